# SPDX-License-Identifier: MIT
"""The chat page over https and the echo over wss in headless Chromium: with an authority of the
test's among those that its user trusts, with a key that it is told to take, and with neither."""

import base64
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))

from tool import TIMEOUT, Serve  # noqa: E402
from webdriver import Browser, find_browser  # noqa: E402

SKIPPED = 77  # meson's word for it
FILES = os.environ["CERTIFICATES"]

PAGE = """
window.result = null;
const socket = new WebSocket(arguments[0]);
const texts = Array.from({length: 60}, (_, i) => "naïve ".repeat(i * i));
let done = 0;
socket.onopen = () => { for (const text of texts) socket.send(text); };
socket.onmessage = (event) => {
  if (event.data !== texts[done]) socket.close(4000, "differs");
  if (++done === texts.length) socket.close(1000);
};
socket.onclose = (event) => { window.result = event.code + " " + done; };
"""


def pin():
    """SHA-256 of the public key of the certificate `good`."""
    def openssl(*arguments, data=None):
        return subprocess.run(["openssl", *arguments], input=data, capture_output=True,
                              timeout=TIMEOUT, check=True).stdout

    key = openssl("pkey", "-pubin", "-outform", "der",
                  data=openssl("x509", "-in", f"{FILES}/good.pem", "-noout", "-pubkey"))
    return base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")


def home_that_trusts(folder, authority):
    """A home directory whose user trusts it: Chromium reads the list of NSS there."""
    database = pathlib.Path(folder) / ".pki/nssdb"
    database.mkdir(parents=True)
    for arguments in (("-N", "--empty-password"),
                      ("-A", "-t", "C,,", "-n", "test", "-i", authority)):
        subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True,
                       timeout=TIMEOUT)
    return {"HOME": folder}


class SecurePage(unittest.TestCase):
    def visit(self, *flags, name="good", environment=None, is_page=True):
        """@return what became of a page's connection to the echo, and the page's title."""
        with Serve("--cert", f"{FILES}/{name}.pem", "--key", f"{FILES}/{name}.key",
                   urls=("wss://127.0.0.1:0",)) as serve, \
                Browser(*find_browser(), flags=flags, environment=environment) as browser:
            tab = browser.new_tab()
            tab.open(serve.page if is_page else "about:blank")
            tab.run(PAGE, serve.url + "/echo")
            return tab.wait("window.result"), tab.run("return document.title")

    def test_an_authority_that_the_user_trusts(self):
        with tempfile.TemporaryDirectory() as folder:
            home = home_that_trusts(folder, f"{FILES}/root.pem")
            result, title = self.visit(environment=home)
            self.assertEqual(result, "1000 60")
            self.assertIn("wsock", title)
            # It vouches for no other host, and for nothing that is over.
            for name in ("other", "expired"):
                self.assertEqual(self.visit(environment=home, name=name, is_page=False)[0],
                                 "1006 0")

    def test_a_key_that_is_told(self):
        result, title = self.visit(f"--ignore-certificate-errors-spki-list={pin()}")
        self.assertEqual(result, "1000 60")
        self.assertIn("wsock", title)

    def test_a_key_that_nobody_vouches_for_is_not_taken(self):
        self.assertEqual(self.visit(is_page=False)[0], "1006 0")


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
