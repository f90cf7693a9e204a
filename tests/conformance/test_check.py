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
        listed = [f"{section}.{case}" for section, (count, _) in check.SECTIONS.items()
                  for case in range(count)]
        self.assertEqual(len(listed), 517)
        self.assertEqual(check.suite_problems(listed), [])
        self.assertEqual(len(check.suite_problems(listed[1:])), 1)
        self.assertEqual(len(check.suite_problems(listed + ["11.1"])), 1)


class Program(unittest.TestCase):
    def run_check(self, roles, *arguments):
        """Exit status for {role: {case: verdicts}}, each case a job of its own."""
        with tempfile.TemporaryDirectory() as name:
            for role, verdicts in roles.items():
                directory = pathlib.Path(name, role)
                directory.mkdir()
                (directory / "selected.json").write_text(json.dumps(list(GOOD)))
                for job, (case, (behavior, closing)) in enumerate(verdicts.items()):
                    (directory / str(job)).mkdir()
                    (directory / str(job) / "index.json").write_text(json.dumps(
                        {check.AGENT: {case: {"behavior": behavior,
                                              "behaviorClose": closing}}}))
            with mock.patch.object(sys, "argv", ["check", *arguments, name]), \
                    contextlib.redirect_stdout(io.StringIO()):
                try:
                    check.main()
                except SystemExit as end:
                    return end.code
        return 0

    def test_the_exit_status_is_the_verdict(self):
        bad = {**GOOD, "1.1.1": ("NON-STRICT", "OK")}
        self.assertEqual(self.run_check({"server": GOOD, "client": GOOD}), 0)
        self.assertEqual(self.run_check({"server": GOOD, "client": bad}), 1)
        self.assertEqual(self.run_check({"server": GOOD, "client": {}}), 1)
        self.assertEqual(self.run_check({}), 1)

    def test_the_table_comes_from_good_reports_only(self):
        bad = {**GOOD, "1.1.1": ("FAILED", "OK")}
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, "table.md")
            self.run_check({"server": GOOD, "client": bad}, "--table", str(path))
            self.assertFalse(path.exists())
            self.run_check({"server": GOOD, "client": GOOD}, "--table", str(path))
            self.assertIn("| 3 | Reserved bits | 7 | 0 | 1 | 0 | 1 |", path.read_text())
            self.assertIn("| 13 | Compression, parameters | 126 | not run |",
                          path.read_text())


if __name__ == "__main__":
    unittest.main()
