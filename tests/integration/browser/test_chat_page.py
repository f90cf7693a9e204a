# SPDX-License-Identifier: MIT
"""The chat page in headless Chromium: two pages in one room, who says what, who comes and
goes, a terminal beside them, reconnection, and no way for markup to get in.

With WSOCK_SCREENSHOTS set to a folder it leaves pictures there."""

import base64
import os
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))

from relay import Relay  # noqa: E402
from tool import TIMEOUT, Process, Serve, run  # noqa: E402
from webdriver import Browser, find_browser  # noqa: E402

SKIPPED = 77  # meson's word for it


def shoot(tab, name):
    folder = os.environ.get("WSOCK_SCREENSHOTS")
    if folder:
        with open(f"{folder}/{name}.png", "wb") as file:
            file.write(base64.b64decode(tab.screenshot()))


def enter(tab, page, room, name):
    tab.open(f"{page}#{room}")
    tab.run("document.getElementById('name').value = ''")
    tab.type("#name", name + "\n")
    tab.wait("document.getElementById('state').dataset.state === 'online'")


def say(tab, text):
    tab.type("#say", text + "\n")


SAID = ("[...document.querySelectorAll('#log li:not(.event)')].some((li) => "
        "li.querySelector('.from').textContent === args[0] && "
        "li.querySelector('.text').textContent === args[1])")
EVENT = "[...document.querySelectorAll('#log .event')].some((li) => li.textContent === args[0])"
MEMBERS = ("[...document.querySelectorAll('#member-list li')].map((li) => li.textContent)"
           ".join() === args[0]")


class ChatPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(*find_browser())
        cls.browser.__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def tab(self):
        tab = self.browser.new_tab()
        self.addCleanup(tab.close)
        return tab

    def test_two_pages_in_one_room(self):
        with Serve() as serve:
            ann, bob = self.tab(), self.browser.new_tab()
            ann.resize(1000, 640)
            enter(ann, serve.page, "lobby", "Ann")
            enter(bob, serve.page, "lobby", "Bob")
            ann.wait(EVENT, "Bob came")
            ann.wait(MEMBERS, "Ann (you),Bob")
            bob.wait(MEMBERS, "Ann,Bob (you)")
            say(ann, "hello Bob")
            bob.wait(SAID, "Ann", "hello Bob")
            ann.wait(SAID, "Ann", "hello Bob")
            say(bob, "hello Ann")
            ann.wait(SAID, "Bob", "hello Ann")
            self.assertEqual(ann.run("return document.querySelectorAll('#log .own').length"), 1)
            self.assertRegex(ann.text("#log time"), r"\d")
            shoot(ann, "desktop")
            bob.close()
            ann.wait(EVENT, "Bob left")
            ann.wait(MEMBERS, "Ann (you)")

    def test_a_terminal_chats_with_a_page(self):
        with Serve() as serve:
            ann = self.tab()
            enter(ann, serve.page, "lobby", "Ann")
            bob = Process("connect", serve.url + "/rooms/lobby?name=Bob")
            ann.wait(EVENT, "Bob came")
            bob.write("from the terminal\n")
            self.assertEqual(bob.line(), "from the terminal")
            ann.wait(SAID, "Bob", "from the terminal")
            say(ann, "from the page")
            self.assertEqual(bob.line(), "from the page")
            self.assertEqual(bob.finish()[0], 0)
            ann.wait(EVENT, "Bob left")

    def test_markup_stays_text(self):
        evil = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
        with Serve() as serve:
            bob = self.tab()
            enter(bob, serve.page, "lobby", "Bob")
            mallory = Process("connect", serve.url + "/rooms/lobby?name=%3Ci%3EMallory%3C/i%3E")
            bob.wait(EVENT, "<i>Mallory</i> came")
            mallory.write(evil + "\n")
            self.assertEqual(mallory.line(), evil)
            bob.wait(SAID, "<i>Mallory</i>", evil)
            nodes = "return document.querySelectorAll('#chat img, #chat b, #chat i').length"
            self.assertEqual(bob.run(nodes), 0)
            self.assertNotIn("broken", bob.run("return document.title"))
            self.assertEqual(mallory.finish()[0], 0)

    def test_it_comes_back_when_the_server_does(self):
        with Serve() as serve:
            ann = self.tab()
            enter(ann, serve.page, "lobby", "Ann")
            url = serve.url
            serve.signal(signal.SIGTERM)
            ann.wait("document.getElementById('state').dataset.state !== 'online'")
            self.assertTrue(ann.run("return document.getElementById('send').disabled"))
            self.assertEqual(serve.popen.wait(TIMEOUT), 0)
            with Serve(urls=(url,)):
                ann.wait("document.getElementById('state').dataset.state === 'online'")
                say(ann, "still here")
                ann.wait(SAID, "Ann", "still here")

    def log(self, tab):
        """What the log says, who says it first; events alone."""
        return tab.run("return [...document.querySelectorAll('#log li')].map((li) => "
                       "[...li.querySelectorAll('.from, .text')].map((x) => x.textContent)"
                       ".join(': ') || li.textContent)")

    def test_what_is_kept_is_shown_and_what_may_be_missing_is_told(self):
        first = Serve("--history", "100").__enter__()
        self.addCleanup(first.popen.kill)
        bob, ann = self.tab(), self.tab()
        ann.resize(1000, 640)
        enter(bob, first.page, "lobby", "Bob")
        for text in ("one", "two"):
            say(bob, text)
            bob.wait(SAID, "Bob", text)
        enter(ann, first.page, "lobby", "Ann")
        ann.wait(SAID, "Bob", "two")
        say(ann, "three")
        ann.wait(SAID, "Ann", "three")
        self.assertEqual(self.log(ann), ["Bob: one", "Bob: two", "You are here as Ann",
                                         "Ann: three"])
        first.signal(signal.SIGKILL)
        ann.wait("document.getElementById('state').dataset.state !== 'online'")
        self.assertEqual(first.finish()[0], -signal.SIGKILL)
        bob.open("about:blank")
        with Serve("--history", "100", urls=(first.url,)) as second:
            eve = Process("connect", second.url + "/rooms/lobby?name=Eve")
            eve.write("meanwhile\n")
            self.assertEqual(eve.line(), "meanwhile")
            ann.wait(EVENT, "Some messages may be missing here")
            ann.wait(SAID, "Eve", "meanwhile")
            say(ann, "four")
            ann.wait(SAID, "Ann", "four")
            log = [line for line in self.log(ann) if not line.endswith((" left", " came"))]
            self.assertEqual(log[3:5], ["Ann: three", "Some messages may be missing here"])
            self.assertEqual(sorted(log[5:7]), ["Eve: meanwhile", "You are here as Ann"])
            self.assertEqual(log[7:], ["Ann: four"])
            shoot(ann, "missing")
            self.assertEqual(eve.finish()[0], 0)

    def test_what_was_missed_while_it_was_cut_off_is_shown_once(self):
        with Serve("--history", "100") as serve, Relay(serve.port) as relay:
            ann = self.tab()
            enter(ann, f"http://127.0.0.1:{relay.port}/", "lobby", "Ann")
            bob = Process("connect", serve.url + "/rooms/lobby?name=Bob")
            for text in ("one", "two", "three"):
                bob.write(text + "\n")
                self.assertEqual(bob.line(), text)
                if text == "one":
                    ann.wait(SAID, "Bob", "one")
                    relay.cut()
                    ann.wait("document.getElementById('state').dataset.state !== 'online'")
            relay.open()
            ann.wait(SAID, "Bob", "three")
            said = [line for line in self.log(ann) if line.startswith("Bob: ")]
            self.assertEqual(said, ["Bob: one", "Bob: two", "Bob: three"])
            self.assertFalse(ann.run(f"const args = arguments; return {EVENT}",
                                     "Some messages may be missing here"))
            self.assertEqual(bob.finish()[0], 0)

    def test_the_address_names_the_room_and_the_reader_can_leave(self):
        with Serve() as serve:
            ann = self.tab()
            enter(ann, serve.page, "r%C3%A4ume.eins", "Ann")
            self.assertEqual(ann.text("#title"), "r\u00e4ume.eins")
            ann.run("location.hash = 'other'")
            ann.wait("document.getElementById('title').textContent === 'other'")
            ann.wait("document.getElementById('state').dataset.state === 'online'")
            ann.wait(MEMBERS, "Ann (you)")
            ann.click("#leave")
            ann.wait("!document.getElementById('enter').hidden")
            self.assertEqual(ann.run("return document.getElementById('name').value"), "Ann")

    def test_a_room_that_is_none_says_why(self):
        with Serve() as serve:
            ann = self.tab()
            ann.open(f"{serve.page}#a..b")
            ann.type("#name", "Ann\n")
            ann.wait("document.getElementById('enter-error').textContent.includes('dots')")

    def test_a_full_room_is_entered_as_soon_as_there_is_a_place(self):
        with Serve("--set", "max_members=1") as serve:
            ann, bob = self.tab(), self.tab()
            enter(ann, serve.page, "lobby", "Ann")
            bob.open(f"{serve.page}#lobby")
            bob.run("document.getElementById('name').value = ''")
            bob.type("#name", "Bob\n")
            bob.wait(EVENT, "Not in the room yet: the room is full. Trying again\u2026")
            self.assertTrue(bob.run("return document.getElementById('send').disabled"))
            self.assertEqual(bob.text("#state"), "entering\u2026")
            shoot(bob, "full")
            ann.click("#leave")
            bob.wait(EVENT, "You are here as Bob")
            bob.wait("document.getElementById('state').dataset.state === 'online'")
            self.assertFalse(bob.run("return document.getElementById('send').disabled"))

    def test_who_is_sent_out_is_told_why(self):
        with tempfile.TemporaryDirectory() as folder:
            place = f"unix:{folder}/admin"
            with Serve("--admin", place) as serve:
                self.assertEqual(serve.line(), f"admin at {place}")
                ann = self.tab()
                enter(ann, serve.page, "lobby", "Ann")
                self.assertEqual(run("publish", "--admin", place, "lobby", "news").returncode, 0)
                ann.wait(SAID, "(the server)", "news")
                kick = run("kick", "--admin", place, "--room", "lobby", "--reason", "too loud", "Ann")
                self.assertEqual(kick.returncode, 0, kick.stderr)
                ann.wait("document.getElementById('enter-error').textContent === "
                         "'You were sent out of the room: too loud'")

    def test_the_newest_message_stays_in_sight(self):
        with Serve() as serve:
            ann = self.tab()
            ann.resize(360, 640)
            enter(ann, serve.page, "lobby", "Ann")
            for number in range(12):
                say(ann, f"message {number}")
                ann.wait(SAID, "Ann", f"message {number}")
            at_end = ("(({scrollHeight, scrollTop, clientHeight}) => "
                      "scrollHeight > clientHeight && scrollHeight - scrollTop - clientHeight < 2)"
                      "(document.getElementById('log'))")
            ann.wait(at_end)
            ann.click("#toggle-members")
            ann.wait(at_end)
            ann.resize(360, 400)
            ann.wait(at_end)

    def test_it_fits_a_phone(self):
        with Serve() as serve:
            ann = self.tab()
            ann.resize(360, 640)
            ann.open(serve.page)
            shoot(ann, "phone-enter")
            enter(ann, serve.page, "lobby", "Ann")
            bob = Process("connect", serve.url + "/rooms/lobby?name=Bob")
            ann.wait(EVENT, "Bob came")
            bob.write("a word that is long " + "x" * 200 + "\n")
            bob.line()
            say(ann, "short")
            ann.wait(SAID, "Ann", "short")
            self.assertLessEqual(ann.run("return document.documentElement.scrollWidth"), 360)
            self.assertFalse(ann.run("return document.getElementById('members').checkVisibility()"))
            ann.click("#toggle-members")
            self.assertTrue(ann.run("return document.getElementById('members').checkVisibility()"))
            shoot(ann, "phone")
            ann.dark()
            ann.click("#toggle-members")
            shoot(ann, "phone-dark")
            self.assertEqual(bob.finish()[0], 0)


if __name__ == "__main__":
    if find_browser() is None:
        print("chromium and chromedriver are not installed", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main()
