#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Judges what the conformance suite reported: check.py [--table FILE] REPORTS.

REPORTS is the directory that `run` wrote, with one directory for each role and mode of
compression. Every selected case must be there, as OK or INFORMATIONAL, its close included;
nothing else may be. --table writes docs/conformance.md from the same reports, if they are of
all cases; from then on every run compares what it finds with that file."""
import argparse
import collections
import json
import pathlib
import sys

AGENT = "libwsock"
GOOD = ("OK", "INFORMATIONAL")
ROLES = ("server", "client")
# All cases run with the first mode; what compresses nothing need not run twice.
MODES = ("shared", "dedicated")
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
COMPRESSION = (12, 13)
PASSES = tuple((role, mode) for role in ROLES for mode in MODES)


def section_of(case):
    return int(case.partition(".")[0])


def sections_of(mode):
    return tuple(SECTIONS) if mode == MODES[0] else COMPRESSION


def cases_in(mode):
    return sum(SECTIONS[section][0] for section in sections_of(mode))


def in_order(case):
    return [int(part) for part in case.split(".")]


def suite_problems(listed):
    """How the suite's own list of cases differs from the one known here."""
    counts = collections.Counter(section_of(case) for case in listed)
    return [f"section {section}: {counts[section]} cases instead of {SECTIONS[section][0]}"
            if section in SECTIONS else f"section {section} is not known"
            for section in sorted(set(counts) | set(SECTIONS))
            if counts[section] != SECTIONS.get(section, (0,))[0]]


def directory_of(reports, role, mode):
    return reports / f"{role}-{mode}"


def read_pass(directory):
    """(selected cases, {case: verdicts}); the reports of all jobs together."""
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
    return "INFORMATIONAL" in verdicts.get(case, ())


def summary(mode, selected, verdicts):
    good = [case for case in selected
            if all(v in GOOD for v in verdicts.get(case, ("missing",)))]
    informational = sum(is_informational(verdicts, case) for case in good)
    return (f"{len(selected)} of {cases_in(mode)} cases: "
            f"{len(good) - informational} OK, {informational} informational, "
            f"{len(selected) - len(good)} failed")


def missing_from(reports):
    """What the reports lack to be those of all cases."""
    return [f"{role}, {mode}: {count} of {cases_in(mode)} cases" for role, mode in PASSES
            for count in [len(set(reports.get((role, mode), ([],))[0]))]
            if count != cases_in(mode)]


# ---- docs/conformance.md ----

def table(informational):
    """The file, when all cases are OK but those of {(role, mode): informational cases}."""
    rows, totals = [], dict.fromkeys(PASSES, (0, 0))
    for section, (known, what) in SECTIONS.items():
        cells = []
        for key in PASSES:
            noted = sum(section_of(case) == section for case in informational[key])
            if section in sections_of(key[1]):
                totals[key] = (totals[key][0] + known - noted, totals[key][1] + noted)
                cells.append(cell(known - noted, noted))
            else:
                cells.append("")
        rows.append([section, what, known, *cells])
    rows.append(["", "all", sum(known for known, _ in SECTIONS.values()),
                 *(cell(*totals[key]) for key in PASSES)])
    notes = [f"- {role}, {mode}: {', '.join(informational[role, mode]) or 'none'}"
             for role, mode in PASSES]
    return TEXT.format(heads=" | ".join(map(", ".join, PASSES)),
                       rule=" | ".join("---" for _ in range(3 + len(PASSES))),
                       rows="\n".join(f"| {' | '.join(map(str, row))} |" for row in rows),
                       notes="\n".join(notes))


def cell(good, noted):
    return f"{good} + {noted}" if noted else str(good)


def informational_in(reports):
    return {key: sorted((case for case in reports[key][0]
                         if is_informational(reports[key][1], case)), key=in_order)
            for key in PASSES}


def read_table(text):
    """The inverse of table()."""
    found = dict.fromkeys(PASSES, ())
    for role, mode in PASSES:
        for line in text.splitlines():
            if line.startswith(f"- {role}, {mode}: ") and not line.endswith(": none"):
                found[role, mode] = line.partition(": ")[2].split(", ")
    return found


def table_problems(text, reports):
    """Where the file is not what --table writes, or not what was reported."""
    told = read_table(text)
    problems = [] if table(told) == text else ["it is not as check.py --table writes it"]
    for key, (selected, verdicts) in reports.items():
        problems += [f"it is wrong about {case} ({', '.join(key)})" for case in selected
                     if is_informational(verdicts, case) != (case in told[key])]
    return problems


TEXT = """\
# Conformance

What the Autobahn test suite 0.8.2 says about libwsock in both roles: as a server tested by the
suite's client, and as a client tested by its server. All of its cases must be OK or informational,
the close included; NON-STRICT and UNIMPLEMENTED count as failures. They run with the option
`compression` set to shared, and those about compression also with dedicated.

| section | what | cases | {heads} |
| {rule} |
{rows}

34 + 3: 34 are OK and 3 informational, which are those where RFC 6455 leaves the choice to the
endpoint, and which therefore have no right answer:

{notes}

This file is made from the reports by

```sh
tests/conformance/run    # all cases, half an hour; after scripts/test gcc, which builds the programs
tests/conformance/check.py --table docs/conformance.md build/conformance/reports
```

A part of them: `tests/conformance/run --role server --mode shared --sections 1-7,10`; `--help`
says more. `scripts/test --conformance` runs the same cases, `scripts/test` sections 1 to 10 and a
part of 12 and 13 that the commit chooses; either fails where this file is not what it finds.
"""


def judge(reports, told=None):
    """Prints the verdict on {(role, mode): (selected, verdicts)}; whether all is good.
    With a file that tells the same, that too."""
    good = bool(reports)
    for (role, mode), (selected, verdicts) in reports.items():
        problems = problems_of(selected, verdicts)
        if told is not None and not problems:
            problems = [f"{told}: {problem}" for problem in table_problems(
                told.read_text(), {(role, mode): (selected, verdicts)})]
        good = good and not problems
        print(f"{role}, {mode}: {summary(mode, selected, verdicts)}")
        for problem in problems:
            print(f"    {problem}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE")
    parser.add_argument("reports", type=pathlib.Path)
    arguments = parser.parse_args()
    directories = {key: directory_of(arguments.reports, *key) for key in PASSES}
    reports = {key: read_pass(directory) for key, directory in directories.items()
               if (directory / "selected.json").exists()}
    if not judge(reports):
        sys.exit(1)
    if arguments.table:
        missing = missing_from(reports)
        if missing:
            sys.exit("conformance: the table needs all cases\n" + "\n".join(missing))
        arguments.table.write_text(table(informational_in(reports)))


if __name__ == "__main__":
    main()
