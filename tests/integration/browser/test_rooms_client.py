# SPDX-License-Identifier: MIT
"""The JavaScript client in headless Chromium, as a module and as a script: connections that are
cut or fall silent, a server that is killed, a page that is frozen. Nothing comes twice or out of
order, and what is lost is told."""

import contextlib
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))

from relay import Relay  # noqa: E402
from tool import Serve  # noqa: E402
from webdriver import Browser, find_browser  # noqa: E402
from ws_peer import TEXT, Client  # noqa: E402

SKIPPED = 77  # meson's word for it

PAGE = """
const [kind] = arguments;
window.heard = [];
window.told = [];
window.marks = [];
const begin = ({ connect }) => {
  window.client = connect("/rooms", { name: "Ann", backoff: { first: 50, most: 100 } });
  window.room = client.room("lobby", { recover: true });
  client.on("state", ({ state }) => told.push(state));
  room.on("message", (data) => heard.push(data));
  room.on("joined", ({ recovered }) => told.push(recovered ? "recovered" : "joined"));
  room.on("gap", () => told.push("gap"));
};
for (const event of ["freeze", "resume"])
  document.addEventListener(event, () => marks.push([event, heard.length]));
if (kind === "module") {
  import("/wsock.js").then(begin);
} else {
  const script = document.createElement("script");
  script.src = "/wsock.iife.js";
  script.onload = () => begin(wsock);
  document.head.append(script);
}
"""
KEEP = ("--history", "1000")
HEARD = "window.heard.includes(args[0])"
TOLD = "window.told.filter((what) => what === args[0]).length >= args[1]"


class Bob:
    """A raw member, whose own messages come back to him once the room has them."""

    def __init__(self, serve, count=0):
        self.client = Client(serve.port, "/rooms/lobby?name=Bob")
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.abort()

    def say(self, count):
        texts = [str(i) for i in range(self.count, self.count + count)]
        self.count += count
        for text in texts:
            self.client.send(TEXT, text)
            while self.client.receive_message() != text:
                pass
        return texts


class RoomsClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(*find_browser())
        cls.browser.__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    @contextlib.contextmanager
    def page(self, serve, kind="module"):
        """Ann's page reaches the server by a relay; Bob is there."""
        with Relay(serve.port) as relay, Bob(serve) as bob:
            tab = self.browser.new_tab()
            try:
                tab.open(f"http://127.0.0.1:{relay.port}/")
                tab.run(PAGE, kind)
                tab.wait(TOLD, "joined", 1)
                yield relay, tab, bob
            finally:
                tab.close()

    def assert_told(self, tab, texts, *told):
        """How often it tried to connect is a matter of chance."""
        self.assertEqual(tab.run("return heard"), texts)
        ignored = ("connecting", "waiting")
        self.assertEqual([what for what in tab.run("return told") if what not in ignored],
                         ["open", "joined", *told])

    def test_what_was_missed_comes_once_and_in_order(self):
        for kind in ("module", "script"):
            with self.subTest(kind), Serve(*KEEP) as serve, \
                    self.page(serve, kind) as (relay, tab, bob):
                texts = bob.say(5)
                tab.wait(HEARD, texts[-1])
                relay.cut()
                tab.wait(TOLD, "waiting", 1)
                texts += bob.say(100)
                relay.open()
                texts += bob.say(20)
                tab.wait(HEARD, texts[-1])
                self.assert_told(tab, texts, "open", "recovered")

    def test_a_server_that_was_killed_has_another_epoch(self):
        first = Serve(*KEEP).__enter__()
        self.addCleanup(first.popen.kill)
        with self.page(first) as (_, tab, bob):
            texts = bob.say(5)
            tab.wait(HEARD, texts[-1])
            epoch = tab.run("return room.position.epoch")
            first.signal(signal.SIGKILL)
            tab.wait(TOLD, "waiting", 1)
            self.assertEqual(first.finish()[0], -signal.SIGKILL)
            with Serve(*KEEP, urls=(first.url,)) as second:
                tab.wait(TOLD, "gap", 1)
                with Bob(second, bob.count) as bob:
                    texts += bob.say(5)
                tab.wait(HEARD, texts[-1])
                self.assert_told(tab, texts, "open", "joined", "gap")
                self.assertNotEqual(tab.run("return room.position.epoch"), epoch)

    def test_silence_without_an_end_is_noticed_after_heartbeats(self):
        with Serve(*KEEP, "--heartbeat", "0.4") as serve, self.page(serve) as (relay, tab, bob):
            texts = bob.say(2)
            tab.wait(HEARD, texts[-1])
            relay.silence()
            texts += bob.say(50)
            tab.wait(TOLD, "recovered", 1)
            texts += bob.say(2)
            tab.wait(HEARD, texts[-1])
            self.assert_told(tab, texts, "open", "recovered")

    def assert_frozen(self, tab, heard):
        """Between freezing and thawing the page heard nothing."""
        self.assertEqual(tab.run("return marks"), [["freeze", heard], ["resume", heard]])

    def test_a_frozen_page_hears_afterwards_what_was_said(self):
        """Chromium lets go of its connection, which the page hears of only then."""
        with Serve(*KEEP) as serve, self.page(serve) as (_, tab, bob):
            texts = bob.say(3)
            tab.wait(HEARD, texts[-1])
            tab.life("frozen")
            texts += bob.say(100)
            tab.life("active")
            texts += bob.say(1)
            tab.wait(HEARD, texts[-1])
            self.assert_frozen(tab, 3)
            self.assertEqual(tab.run("return heard"), texts)
            self.assertNotIn("gap", tab.run("return told"))

    def test_a_frozen_page_that_was_cut_off_recovers(self):
        with Serve(*KEEP) as serve, self.page(serve) as (relay, tab, bob):
            texts = bob.say(3)
            tab.wait(HEARD, texts[-1])
            tab.life("frozen")
            texts += bob.say(50)
            relay.cut()
            texts += bob.say(50)
            relay.open()
            tab.life("active")
            tab.wait(HEARD, texts[-1])
            self.assert_frozen(tab, 3)
            self.assert_told(tab, texts, "open", "recovered")


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
