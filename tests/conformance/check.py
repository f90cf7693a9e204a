#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges what the conformance suite reported: check.py [--table FILE] REPORTS.

REPORTS is the directory that `run` wrote, with one directory a role. Every selected case
must be there, as OK or INFORMATIONAL, its close included; nothing else may be. --table
writes docs/conformance.md from the same reports."""
import argparse
import collections
import json
import pathlib
import sys

AGENT = "libwsock"
GOOD = ("OK", "INFORMATIONAL")
ROLES = ("server", "client")
# section: (cases in it, what it tests). The suite's own list is compared with this.
SECTIONS = {
    1: (16, "Framing"),
    2: (11, "Pings and pongs"),
    3: (7, "Reserved bits"),
    4: (10, "Opcodes"),
    5: (20, "Fragmentation"),
    6: (145, "UTF-8"),
    7: (37, "Closing"),
    9: (54, "Limits and performance"),
    10: (1, "Auto-fragmentation"),
    12: (90, "Compression, payloads"),
    13: (126, "Compression, parameters"),
}


def section_of(case):
    return int(case.partition(".")[0])


def in_order(case):
    return [int(part) for part in case.split(".")]


def suite_problems(listed):
    """How the suite's own list of cases differs from the one known here."""
    counts = collections.Counter(section_of(case) for case in listed)
    return [f"section {section}: {counts[section]} cases instead of {SECTIONS[section][0]}"
            if section in SECTIONS else f"section {section} is not known"
            for section in sorted(set(counts) | set(SECTIONS))
            if counts[section] != SECTIONS.get(section, (0,))[0]]


def read_role(directory):
    """(selected cases, {case: verdicts}) of one role; the reports of all jobs together."""
    selected = json.loads((directory / "selected.json").read_text())
    verdicts = {}
    for index in sorted(directory.glob("*/index.json")):
        for case, found in json.loads(index.read_text()).get(AGENT, {}).items():
            verdicts[case] = (found["behavior"], found["behaviorClose"])
    return selected, verdicts


def problems_of(selected, verdicts):
    """One line for each selected case that is not as it must be, and for each surprise."""
    problems = [] if selected else ["no case was selected"]
    for case in selected:
        if case not in verdicts:
            problems.append(f"{case}: no report")
        elif any(verdict not in GOOD for verdict in verdicts[case]):
            problems.append("{}: {}, closing {}".format(case, *verdicts[case]))
    problems += [f"{case}: reported, but not selected"
                 for case in sorted(set(verdicts) - set(selected), key=in_order)]
    return problems


def is_informational(verdicts, case):
    return "INFORMATIONAL" in verdicts[case]


def summary(selected, verdicts):
    good = [case for case in selected
            if all(v in GOOD for v in verdicts.get(case, ("missing",)))]
    informational = sum(is_informational(verdicts, case) for case in good)
    return (f"{len(selected)} cases: {len(good) - informational} OK, "
            f"{informational} informational, {len(selected) - len(good)} failed")


def table(reports):
    """docs/conformance.md; every selected case of both roles is good."""
    rows, informational, totals = [], {}, [0] * 5
    for section, (known, what) in SECTIONS.items():
        cells = []
        for role in ROLES:
            selected, verdicts = reports[role]
            cases = [case for case in selected if section_of(case) == section]
            noted = [case for case in cases if is_informational(verdicts, case)]
            informational.setdefault(role, []).extend(noted)
            cells += [len(cases) - len(noted), len(noted)] if cases else ["not run", ""]
        if "" not in cells:
            totals = [a + b for a, b in zip(totals, [known, *cells])]
        rows.append([section, what, known, *cells])
    rows.append(["", "all that were run", *totals])
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    notes = [f"- {role}: {', '.join(sorted(informational[role], key=in_order)) or 'none'}"
             for role in ROLES]
    return TEXT.format(rows="\n".join(lines), notes="\n".join(notes),
                       cases=sum(known for known, _ in SECTIONS.values()))


TEXT = """\
# Conformance

What the Autobahn test suite 0.8.2 says about libwsock in both roles: as a server tested by the
suite's client, and as a client tested by its server. Of its {cases} cases all that are run must be
OK or informational, the close included; NON-STRICT counts as a failure.

| section | what | cases | server: OK | informational | client: OK | informational |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

Informational are the cases where RFC 6455 leaves the choice to the endpoint, and which therefore
have no right answer:

{notes}

This file is made from the reports by

```sh
tests/conformance/run                # after scripts/test gcc, which builds the programs
tests/conformance/check.py --table docs/conformance.md build/conformance/reports
```
"""


def judge(reports):
    """Prints the verdict on {role: (selected, verdicts)}; whether all is good."""
    good = bool(reports)
    for role, (selected, verdicts) in reports.items():
        problems = problems_of(selected, verdicts)
        good = good and not problems
        print(f"{role}: {summary(selected, verdicts)}")
        for problem in problems:
            print(f"    {problem}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE")
    parser.add_argument("reports", type=pathlib.Path)
    arguments = parser.parse_args()
    reports = {role: read_role(arguments.reports / role) for role in ROLES
               if (arguments.reports / role / "selected.json").exists()}
    if not judge(reports):
        sys.exit(1)
    if arguments.table:
        if len(reports) != len(ROLES):
            sys.exit("conformance: the table needs the reports of both roles")
        arguments.table.write_text(table(reports))


if __name__ == "__main__":
    main()
