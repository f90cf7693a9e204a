# SPDX-License-Identifier: MIT
"""Pages in headless Chromium, whose servers are Python programs in the shape of the quick start
and the tutorial of `websockets` (tests/python/pages): the time, a counter, four in a row. Each
page comes from somewhere else: a file, another server, the server itself.

With WSOCK_SCREENSHOTS set to a folder it leaves pictures there."""

import base64
import functools
import http.server
import os
import pathlib
import signal
import sys
import threading
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from programs import PAGES, Program  # noqa: E402
from webdriver import Browser, find_browser  # noqa: E402

SKIPPED = 77  # meson's word for it
TOLD = "[...document.querySelectorAll('li')].map((li) => li.textContent)"


def shoot(tab, name):
    folder = os.environ.get("WSOCK_SCREENSHOTS")
    if folder:
        pathlib.Path(folder, f"{name}.png").write_bytes(base64.b64decode(tab.screenshot()))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(*find_browser())
        cls.browser.__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def tab(self, url):
        tab = self.browser.new_tab()
        self.addCleanup(tab.close)
        tab.open(url)
        return tab

    def serve(self, *arguments):
        """@return where the program listens."""
        program = Program(PAGES / arguments[0], *arguments[1:], PORT="0")
        self.addCleanup(program.__exit__)
        return program, program.url()

    def clocks(self, *how):
        _, url = self.serve("clock.py", *how)
        page = (PAGES / "clock.html").as_uri() + "?server=" + urllib.parse.quote(url)
        one, two = self.tab(page), self.tab(page)
        for tab in (one, two):
            tab.wait("document.querySelectorAll('li').length >= 10")
        shoot(one, "clock")
        return [tab.run(f"return {TOLD}") for tab in (one, two)]

    def test_each_page_is_told_the_time_by_itself(self):
        one, two = self.clocks()
        self.assertEqual(sorted(one), one)
        self.assertFalse(set(one) & set(two))

    def test_all_pages_are_told_the_same_time(self):
        one, two = self.clocks("together")
        first = one.index(two[0])
        both = min(len(one) - first, len(two))
        self.assertGreater(both, 0)
        self.assertEqual(one[first:first + both], two[:both])

    def test_all_pages_change_one_number(self):
        handler = functools.partial(Quiet, directory=str(PAGES))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
            threading.Thread(target=files.serve_forever).start()
            self.addCleanup(files.shutdown)
            _, url = self.serve("counter.py")
            page = (f"http://127.0.0.1:{files.server_port}/counter.html?server="
                    + urllib.parse.quote(url))
            one = self.tab(page)
            shows = "document.getElementById(args[0]).textContent === args[1]"
            one.wait(shows, "watching", "1")
            two = self.browser.new_tab()
            two.open(page)
            for tab in (one, two):
                tab.wait(shows, "watching", "2")
                tab.wait(shows, "number", "0")
            for tab, button, number in ((one, "more", "1"), (two, "more", "2"),
                                        (one, "less", "1")):
                tab.click(f"#{button}")
                one.wait(shows, "number", number)
                two.wait(shows, "number", number)
            shoot(one, "counter")
            two.close()
            one.wait(shows, "watching", "1")
            files.shutdown()

    def play(self, tab, column):
        tab.run("document.querySelectorAll('.column')[arguments[0]].click()", column)

    def test_four_in_a_row(self):
        server, url = self.serve("connect_four.py")
        page = url.replace("ws:", "http:") + "/page"
        first = self.tab(page)
        first.resize(560, 620)
        linked = "document.getElementById(args[0]).href.includes('?' + args[0] + '=')"
        for link in ("join", "watch"):
            first.wait(linked, link)
        second, watcher = (self.tab(first.run(
            "return document.getElementById(arguments[0]).href", link))
            for link in ("join", "watch"))
        players = (first, second)
        pieces = "document.querySelectorAll('.' + args[0]).length === args[1]"
        said = "document.getElementById('said').textContent === args[0]"
        self.play(first, 3)
        for tab in (*players, watcher):
            tab.wait(pieces, "red", 1)
        self.play(first, 3)
        first.wait(said, "It is the other one's turn.")
        for turn, column in enumerate((0, 2, 6, 4, 3, 5)):
            self.play(players[(turn + 1) % 2], column)
            colour, count = ("yellow", "red")[turn % 2], (turn + 2 + turn % 2) // 2
            for tab in (*players, watcher):
                tab.wait(pieces, colour, count)
        for tab in (*players, watcher):
            tab.wait(said, "red wins!")
        shoot(first, "connect-four")
        bottom = ("[...document.querySelectorAll('.column')].map((column) => "
                  "column.firstChild.className.replace('cell', '').trim() || '-').join(' ')")
        self.assertEqual(watcher.run(f"return {bottom}"),
                         "yellow - red red red red yellow")
        late = self.tab(watcher.run("return location.href"))
        late.wait(said, "There is no such game.")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.end(), "")


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
