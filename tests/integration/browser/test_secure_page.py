# SPDX-License-Identifier: MIT
"""The chat page over https and its rooms over wss in headless Chromium, which is told to
take the test's key; and that it does not take it untold."""

import base64
import hashlib
import os
import subprocess
import sys
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


class SecurePage(unittest.TestCase):
    def visit(self, *flags):
        """@return what became of a page's connection to the echo, and the page's title."""
        with Serve("--cert", f"{FILES}/together.pem", urls=("wss://127.0.0.1:0",)) as serve, \
                Browser(*find_browser(), flags=flags) as browser:
            tab = browser.new_tab()
            tab.open(serve.page if flags else "about:blank")
            tab.run(PAGE, serve.url + "/echo")
            return tab.wait("window.result"), tab.run("return document.title")

    def test_a_page_and_its_connection(self):
        result, title = self.visit(f"--ignore-certificate-errors-spki-list={pin()}")
        self.assertEqual(result, "1000 60")
        self.assertIn("wsock", title)

    def test_a_key_that_nobody_vouches_for_is_not_taken(self):
        self.assertEqual(self.visit()[0], "1006 0")


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
