# SPDX-License-Identifier: MIT
"""What the command says to arguments, before any connection."""

import re
import subprocess
import unittest

from tool import run

COMMANDS = ("serve", "connect", "bench")
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES"]


class Help(unittest.TestCase):
    def test_every_page_has_the_sections_of_a_manual_in_80_columns(self):
        for args in (("--help",), *((c, "--help") for c in (*COMMANDS, "publish", "rooms", "kick", "cluster"))):
            page = run(*args)
            self.assertEqual((page.returncode, page.stderr), (0, ""))
            sections = re.findall(r"^[A-Z ]+$", page.stdout, re.M)
            is_client = args[0] in ("connect", "bench")
            self.assertEqual(sections, [s for s in SECTIONS if is_client or s != "ENVIRONMENT"])
            self.assertLessEqual(max(map(len, page.stdout.splitlines())), 80)
            self.assertNotIn("@OPTIONS", page.stdout)

    def test_help_and_short_options_print_the_same_page(self):
        for command in COMMANDS:
            page = run(command, "--help").stdout
            self.assertEqual(run(command, "-h").stdout, page)
            self.assertEqual(run("help", command).stdout, page)
        self.assertEqual(run("help").stdout, run("--help").stdout)

    def test_pages_list_the_options_of_the_library(self):
        self.assertIn("max_message_bytes=1MiB", run("serve", "--help").stdout)
        self.assertIn("max_message_bytes=1MiB", run("connect", "--help").stdout)
        self.assertNotIn(" www=", run("connect", "--help").stdout)

    def test_defaults_are_those_of_the_command(self):
        serve, bench, connect = (run(c, "--help").stdout for c in COMMANDS[:1] + COMMANDS[:0:-1])
        self.assertIn(" compression=shared\n", serve)
        self.assertIn(" compression=off\n", connect)
        self.assertIn(" pause_read_when_backlogged=on\n", serve)
        self.assertIn(" pause_read_when_backlogged=off\n", connect)
        for page in (serve, bench):
            for name in ("workers", "log_level", "www"):
                self.assertNotIn(f" {name}=", page)

    def test_version_names_the_command_and_the_library(self):
        result = run("--version")
        self.assertRegex(result.stdout, r"^wsock \d+\.\d+\.\d+, libwsock \d+\.\d+\.\d+\n$")
        self.assertEqual(result.returncode, 0)

    def test_help_fails_when_it_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([__import__("tool").WSOCK, "--help"], stdout=full,
                                    check=False)
        self.assertEqual(result.returncode, 1)


class Usage(unittest.TestCase):
    def assert_usage(self, message, *args):
        result = run(*args)
        self.assertEqual((result.returncode, result.stdout), (2, ""), args)
        self.assertRegex(result.stderr, message)
        self.assertEqual(result.stderr.count("\n"), 1, "one line")

    def test_a_command_is_needed_and_the_nearest_is_named(self):
        self.assert_usage("serve, connect, bench, publish, rooms, kick or cluster")
        self.assert_usage("unknown command serv; did you mean serve", "serv")
        self.assert_usage("unknown command frobnicate; see wsock --help", "frobnicate")
        self.assert_usage("unknown command frobnicate", "help", "frobnicate")

    def test_an_unknown_option_names_the_nearest(self):
        self.assert_usage("--wokers; did you mean --workers", "serve", "--wokers", "2")
        self.assert_usage("--cont; did you mean --count", "connect", "--cont=3", "ws://x")
        self.assert_usage("--secons; did you mean --seconds", "bench", "--secons", "3")
        self.assert_usage("unknown option --zzzzzzzzzz; see", "serve", "--zzzzzzzzzz")
        self.assert_usage("unknown option -z", "connect", "-z", "ws://x")

    def test_names_are_never_abbreviated(self):
        self.assert_usage("unknown option --work", "serve", "--work", "2")
        self.assert_usage("unknown option --js", "bench", "--js", "ws://x")

    def test_values_are_required_and_refused_where_they_belong(self):
        self.assert_usage("--workers needs a value", "serve", "--workers")
        self.assert_usage("--quiet takes no value", "serve", "--quiet=yes")
        self.assert_usage("--insecure takes no value", "connect", "ws://x", "-k=1")
        self.assert_usage("--wait needs a value", "connect", "ws://x", "-w")

    def test_numbers_must_be_whole_and_in_range(self):
        for bad in ("0", "-1", "2x", "", "99999999999999999999"):
            self.assert_usage("--workers takes a whole number from 1", "serve", f"--workers={bad}")
        for bad in ("soon", "1.", ".5", "-1", "1e3"):
            self.assert_usage("-w takes seconds", "connect", "ws://x", "-w", bad)

    def test_what_cannot_have_an_effect_is_refused(self):
        self.assert_usage("reconnect_attempts=3 has an effect with --reconnect only", "connect",
                          "ws://127.0.0.1:1", "--set", "reconnect_attempts=3")
        for bad in ("0", "999999"):
            self.assert_usage("--connect-timeout takes 0.001 to 86400", "connect", "ws://x",
                              "--connect-timeout", bad)

    def test_a_url_is_needed_and_only_one(self):
        self.assert_usage("the URL is missing", "connect")
        self.assert_usage("the URL is missing", "bench")
        self.assert_usage("one URL", "connect", "ws://127.0.0.1:1", "ws://127.0.0.1:2")
        self.assert_usage("one URL", "bench", "ws://127.0.0.1:1", "ws://127.0.0.1:2")

    def test_urls_that_are_none_are_refused(self):
        for command in COMMANDS:
            self.assert_usage(command, command, "http://127.0.0.1:1")
            self.assert_usage(command, command, "ws://127.0.0.1:99999")

    def test_what_a_url_may_have_meant_is_suggested(self):
        for wrong, meant in (("foo", "ws://foo"), ("localhost:8080/x", "ws://localhost:8080/x"),
                             ("http://foo/x", "ws://foo/x"), ("HTTPS://foo", "wss://foo"),
                             ("/run/x.sock", r"ws\+unix:/run/x.sock")):
            for command in COMMANDS:
                self.assert_usage(f"{re.escape(wrong)}: the scheme is not ws, wss, .*; "
                                  f"try {meant}$", command, wrong)
        for wrong in ("tcp://x", "", "ws+tcp:/x"):
            self.assertNotIn("try", run("connect", wrong).stderr)
        with_password = run("connect", "joe:secret@foo").stderr
        self.assertIn("; try one that begins with ws://\n", with_password)

    def test_authorities_of_clients_that_nobody_asks_are_refused(self):
        self.assert_usage("--ca has an effect with --verify-client only", "serve", "--ca", "x.pem",
                          "ws://127.0.0.1:0")

    def test_a_password_is_not_told(self):
        self.assert_usage("--user takes USER:PASSWORD$", "connect", "ws://x", "-u", "secret")

    def test_set_names_the_option_it_does_not_know(self):
        self.assert_usage("no option \"max_mesage_bytes\"; did you mean max_message_bytes",
                          "serve", "--set", "max_mesage_bytes=1")
        self.assert_usage("NAME=VALUE", "serve", "--set", "max_message_bytes")
        self.assert_usage("max_message_bytes", "serve", "--set", "max_message_bytes=lots")
        self.assert_usage("max_message_bytes", "connect", "ws://127.0.0.1:1", "--set",
                          "max_message_bytes=lots")

    def test_set_leaves_alone_what_has_a_flag_or_no_effect(self):
        for command, name, flag in (("serve", "workers", "--workers"), ("serve", "www", "--www"),
                                    ("serve", "log_level", "--log-level"),
                                    ("bench", "workers", "--workers")):
            self.assert_usage(f"for {name} there is {flag}", command, "ws://127.0.0.1:0"
                              if command == "serve" else "ws://127.0.0.1:1",
                              "--set", f"{name}=4")
        self.assert_usage("no option \"log_level\"", "bench", "ws://127.0.0.1:1",
                          "--set", "log_level=4")
        self.assert_usage("no option \"subprotocols\"", "connect", "ws://127.0.0.1:1",
                          "--set", "subprotocols=x")

    def test_payloads_take_units(self):
        for bad in ("64MB", "65MiB", "-1", "KiB", "9999999999999999999999", "1.5K", "65537K"):
            self.assert_usage("--payload takes bytes from 0 to 67108864", "bench", "ws://x",
                              "--payload", bad)

    def test_options_that_contradict_each_other_are_refused(self):
        self.assert_usage("-x and -b", "connect", "ws://x", "-x", "hi", "-b")
        self.assert_usage("at least 13 bytes", "bench", "ws://x", "--fanout", "--payload", "4")

    def test_a_listener_that_others_can_reach_needs_public(self):
        for url in ("ws://*:0", "ws://0.0.0.0:0", "ws://[::]:0", "ws://192.0.2.1:0", "ws://0:0"):
            self.assert_usage("--public", "serve", url)

    def test_headers_and_subprotocols_must_be_valid(self):
        self.assert_usage("Name: value", "connect", "ws://127.0.0.1:1", "-H", "novalue")
        self.assert_usage("--header", "connect", "ws://127.0.0.1:1", "-H", "Bad Name: x")
        self.assert_usage("--header", "bench", "ws://127.0.0.1:1", "-H", "Upgrade: x")
        self.assert_usage("--subprotocol", "connect", "ws://127.0.0.1:1", "-s", "a b")


if __name__ == "__main__":
    unittest.main()
