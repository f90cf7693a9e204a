# SPDX-License-Identifier: MIT
"""Compressed messages in headless Chromium: a page sends many, of many sizes, over one
connection to the echo, takes what comes back, and compares. What the server sends is
compressed by zlib or by libdeflate, according to its size and to the build."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))

from tool import Serve  # noqa: E402
from webdriver import Browser, find_browser  # noqa: E402

SKIPPED = 77  # meson's word for it

# Text that repeats itself, text of few letters, and bytes of no order, so that blocks of
# each kind occur; short ones between long ones.
PAGE = """
window.result = null;
let seed = 7;
const random = (below) => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor(seed / 65536) % below;
};
const record = () => JSON.stringify({id: random(100000), name: "naïve " + random(50),
                                     tags: ["red", "green"].slice(random(2)),
                                     at: [random(999) / 7, random(999) / 3]});
const text = (length) => {
  let made = "";
  while (made.length < length) made += record();
  return made.slice(0, length);
};
const letters = (length) => Array.from({length}, () => "ab"[random(2)]).join("");
const noise = (length) => Uint8Array.from({length}, () => random(256));
const mixed = (length) => noise(length).map((byte, i) => (i >> 13) % 2 ? byte : 97 + byte % 5);
const sizes = [0, 1, 255, 256, 900, 1023, 1024, 1025, 1500, 4096, 10000, 32768, 32769, 70000];
const messages = [];
for (const size of sizes)
  messages.push(text(size), letters(size), noise(size), "x".repeat(size), mixed(size),
                text(300));
for (let size = 1024; size < 1140; size++)
  messages.push(text(size));

const same = (a, b) => typeof a === "string" ? a === b
  : a.length === b.byteLength && new Uint8Array(b).every((byte, i) => byte === a[i]);
const socket = new WebSocket(arguments[0]);
let done = 0;
const finish = (what) => { window.result = window.result || what; };
socket.binaryType = "arraybuffer";
socket.onopen = () => { for (const message of messages.slice(0, 8)) socket.send(message); };
socket.onmessage = (event) => {
  if (!same(messages[done], event.data)) {
    finish("message " + done + " differs");
    return;
  }
  done++;
  if (done + 7 < messages.length) socket.send(messages[done + 7]);
  if (done === messages.length) socket.close(1000);
};
socket.onclose = (event) => finish(event.code + " " + done + " of " + messages.length + " "
                                   + socket.extensions);
"""


class Compression(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(*find_browser())
        cls.browser.__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def echo(self, *options):
        """@return the close code, how many messages came back, and what was agreed."""
        with Serve(*options) as serve:
            tab = self.browser.new_tab()
            try:
                tab.open(serve.page)
                tab.run(PAGE, serve.url.rstrip("/") + "/echo")
                return tab.wait("window.result")
            finally:
                tab.close()

    def test_messages_without_context(self):
        for level in "1", "6":
            with self.subTest(level=level):
                self.assertRegex(
                    self.echo("--set", "compression_level=" + level),
                    "^1000 200 of 200 permessage-deflate; server_no_context_takeover;")

    def test_messages_with_context(self):
        self.assertRegex(self.echo("--set", "compression=dedicated"),
                         "^1000 200 of 200 permessage-deflate")

    def test_messages_for_a_small_window(self):
        self.assertRegex(
            self.echo("--set", "compression_window_bits=10"),
            "^1000 200 of 200 permessage-deflate;.*server_max_window_bits=10")


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
