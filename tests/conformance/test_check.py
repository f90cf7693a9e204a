# SPDX-License-Identifier: MIT
"""That the judge of the conformance reports can say no."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

import check

GOOD = {"1.1.1": ("OK", "OK"), "3.2": ("OK", "INFORMATIONAL"), "10.1.1": ("OK", "OK")}
ALL = {mode: [f"{section}.{case}" for section in check.sections_of(mode)
              for case in range(check.SECTIONS[section][0])] for mode in check.MODES}


class Reports(unittest.TestCase):
    def problems(self, changes, selected=tuple(GOOD)):
        return check.problems_of(list(selected), {**GOOD, **changes})

    def test_good_and_informational_cases_pass(self):
        self.assertEqual(self.problems({}), [])

    def test_every_other_verdict_fails(self):
        for verdict in ("NON-STRICT", "FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN"):
            self.assertEqual(len(self.problems({"3.2": (verdict, "OK")})), 1)
            self.assertEqual(len(self.problems({"3.2": ("OK", verdict)})), 1)

    def test_a_case_without_a_report_fails(self):
        self.assertEqual(self.problems({}, [*GOOD, "10.1.2"]), ["10.1.2: no report"])

    def test_a_case_that_was_not_selected_fails(self):
        self.assertEqual(len(self.problems({"9.1.1": ("OK", "OK")})), 1)

    def test_no_selected_case_fails(self):
        self.assertEqual(check.problems_of([], {}), ["no case was selected"])

    def test_another_number_of_cases_in_the_suite_fails(self):
        listed = ALL["shared"]
        self.assertEqual(len(listed), 517)
        self.assertEqual(check.suite_problems(listed), [])
        self.assertEqual(len(check.suite_problems(listed[1:])), 1)
        self.assertEqual(len(check.suite_problems(listed + ["11.1"])), 1)


class Table(unittest.TestCase):
    DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/conformance.md"

    def test_the_file_is_as_it_is_written(self):
        self.assertEqual(check.table_problems(self.DOCS.read_text(), {}), [])

    def test_a_number_changed_by_hand_is_found(self):
        text = self.DOCS.read_text()
        self.assertEqual(len(check.table_problems(text.replace("| 145 |", "| 144 |"), {})), 1)

    def test_a_report_that_says_something_else_is_found(self):
        noted = {**dict.fromkeys(check.PASSES, []), ("server", "shared"): ["3.2"]}
        text = check.table(noted)
        told = {("server", "shared"): (list(GOOD), GOOD)}
        self.assertEqual(check.table_problems(text, told), [])
        surprise = {**GOOD, "1.1.1": ("INFORMATIONAL", "OK")}
        told = {("server", "shared"): (list(GOOD), surprise)}
        self.assertEqual(len(check.table_problems(text, told)), 1)
        plain = {**GOOD, "3.2": ("OK", "OK")}
        told = {("server", "shared"): (list(GOOD), plain)}
        self.assertEqual(len(check.table_problems(text, told)), 1)


class Program(unittest.TestCase):
    def run_check(self, passes, *arguments):
        """Exit status for {pass: {case: verdicts}}, half of the cases in a job each."""
        with tempfile.TemporaryDirectory() as name:
            for key, verdicts in passes.items():
                directory = check.directory_of(pathlib.Path(name), *key)
                directory.mkdir()
                selected = list(ALL[key[1]] if len(verdicts) > len(GOOD) else GOOD)
                (directory / "selected.json").write_text(json.dumps(selected))
                for job in range(2):
                    (directory / str(job)).mkdir()
                    (directory / str(job) / "index.json").write_text(json.dumps(
                        {check.AGENT: {case: {"behavior": found[0], "behaviorClose": found[1]}
                                       for case, found in list(verdicts.items())[job::2]}}))
            with mock.patch.object(sys, "argv", ["check", *arguments, name]), \
                    contextlib.redirect_stdout(io.StringIO()):
                try:
                    check.main()
                except SystemExit as end:
                    return end.code
        return 0

    def test_the_exit_status_is_the_verdict(self):
        server, client = ("server", "shared"), ("client", "shared")
        bad = {**GOOD, "1.1.1": ("NON-STRICT", "OK")}
        self.assertEqual(self.run_check({server: GOOD, client: GOOD}), 0)
        self.assertEqual(self.run_check({server: GOOD, client: bad}), 1)
        self.assertEqual(self.run_check({server: GOOD, client: {}}), 1)
        self.assertEqual(self.run_check({}), 1)

    def test_the_table_comes_from_good_reports_of_all_cases_only(self):
        whole = {key: dict.fromkeys(ALL[key[1]], ("OK", "OK")) for key in check.PASSES}
        whole["client", "shared"]["3.2"] = ("OK", "INFORMATIONAL")
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, "table.md")
            for key in check.PASSES:
                lacking = {**whole, key: GOOD}
                self.assertNotEqual(self.run_check(lacking, "--table", str(path)), 0)
                bad = {**whole, key: {**whole[key], "13.1": ("UNIMPLEMENTED", "OK")}}
                self.assertEqual(self.run_check(bad, "--table", str(path)), 1)
            self.assertFalse(path.exists())
            self.assertEqual(self.run_check(whole, "--table", str(path)), 0)
            self.assertIn("| 3 | Reserved bits | 7 | 7 |  | 6 + 1 |  |", path.read_text())
            self.assertIn("|  | all | 517 | 517 | 216 | 516 + 1 | 216 |", path.read_text())


if __name__ == "__main__":
    unittest.main()
