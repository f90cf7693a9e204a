#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the README's two commands rest on: scripts/install-deps on machines that are made up of
fake programs, and scripts/tally on results that are made up too."""
import json
import os
import pathlib
import pty
import shutil
import stat
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"
REAL = ["sh", "grep", "cat", "env", "ls"]
# All that install-deps asks for by command, header and module.
COMMANDS = ["meson", "ninja", "pkg-config"]


class Machine:
    """A directory of programs that is the whole PATH; apt-get only writes down its words."""

    def __init__(self, directory, root=True, sudo=True, lacks=()):
        self.bin = pathlib.Path(directory, "bin")
        self.bin.mkdir()
        self.log = pathlib.Path(directory, "log")
        self.log.touch()
        for name in REAL:
            (self.bin / name).symlink_to(shutil.which(name))
        self.fake("id", f"echo {0 if root else 1000}")
        self.fake("dpkg-query", "exit 1")
        self.fake("apt-get", f'echo "apt-get $*" >>{self.log}')
        for name in set(COMMANDS) - set(lacks):
            self.fake(name, "exit 0")
        self.fake("gcc", "exit 0")  # finds every header
        if sudo:
            self.fake("sudo", f'echo sudo >>{self.log}; exec "$@"')

    def fake(self, name, body):
        path = self.bin / name
        path.unlink(missing_ok=True)  # not what a link leads to: that is the machine's own
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def install(self, *arguments, stdin=subprocess.DEVNULL):
        done = subprocess.run([str(SCRIPTS / "install-deps"), *arguments], stdin=stdin,
                              env={"PATH": str(self.bin)}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout, self.log.read_text()

    def install_and_answer(self, answer):
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode() + b"\n")
        try:
            return self.install("demo", stdin=theirs)
        finally:
            os.close(ours)
            os.close(theirs)


class InstallDeps(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def machine(self, **how):
        return Machine(self.directory, **how)

    def test_nothing_missing_runs_nothing(self):
        self.assertEqual(self.machine(root=False).install("demo"), (0, "", ""))

    def test_what_is_missing_is_named_and_installed(self):
        status, said, log = self.machine(lacks=["ninja"]).install("demo")
        self.assertEqual(status, 0)
        self.assertIn(": ninja-build\n", said)
        self.assertRegex(log, r"^apt-get update.*\napt-get install .* ninja-build\n$")

    def test_a_user_goes_through_sudo(self):
        status, _, log = self.machine(root=False, lacks=["meson"]).install("demo")
        self.assertEqual((status, log.count("sudo")), (0, 2))

    def test_a_user_without_sudo_is_told(self):
        status, said, log = self.machine(root=False, sudo=False,
                                         lacks=["meson"]).install("demo")
        self.assertEqual((status, log), (1, ""))
        self.assertIn("run as root: apt-get install --no-install-recommends meson", said)

    def test_no_on_a_terminal_installs_nothing(self):
        status, said, log = self.machine(lacks=["meson"]).install_and_answer("n")
        self.assertEqual((status, log), (1, ""))
        self.assertIn("Go on?", said)

    def test_yes_on_a_terminal_installs(self):
        status, _, log = self.machine(lacks=["meson"]).install_and_answer("y")
        self.assertEqual(status, 0)
        self.assertIn("install", log)

    def test_a_failing_install_fails(self):
        machine = self.machine(lacks=["meson"])
        machine.fake("apt-get", "exit 100")
        self.assertNotEqual(machine.install("--yes", "demo")[0], 0)

    def test_each_job_gets_what_it_needs(self):
        said = self.machine().install("--yes", "coverage")[1]
        self.assertRegex(said, r": clang\b.* llvm\b")
        self.assertNotIn("nodejs", said)

    def test_benchmarks_have_peers_that_tests_do_without(self):
        machine = self.machine()
        machine.fake("ls", "exit 1")  # finds no file
        self.assertRegex(machine.install("--yes", "bench")[1], r" lua-http\b")
        self.assertNotIn("lua-http", machine.install("--yes", "test")[1])

    def test_another_job_is_wrong_usage(self):
        self.assertEqual(self.machine().install("lunch")[0], 2)


class Demo(unittest.TestCase):
    def demo(self, *arguments):
        """Without any program in PATH but those that check arguments: so it cannot build."""
        with tempfile.TemporaryDirectory() as directory:
            here = pathlib.Path(directory)
            for name in ("dirname", "grep"):
                (here / name).symlink_to(shutil.which(name))
            done = subprocess.run(["/bin/sh", str(SCRIPTS / "demo"), *arguments],
                                  env={"PATH": directory}, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stderr

    def test_options_that_serve_does_not_have_are_refused_before_the_build(self):
        for argument, named in (("--prot", "--prot"), ("-p", "-p"), ("-qp", "-p"), ("-.", "-.")):
            status, said = self.demo("ws://127.0.0.1:0", argument)
            self.assertEqual(status, 2, said)
            self.assertTrue(said.startswith(f"scripts/demo: wsock serve has no option {named};"), said)

    def test_those_that_it_has_are_not(self):
        for argument in ("-q", "--quiet", "--workers=2"):
            self.assertNotIn("no option", self.demo(argument)[1])


class Tally(unittest.TestCase):
    def tally(self, results, checks="", skips=""):
        with tempfile.TemporaryDirectory() as directory:
            here = pathlib.Path(directory)
            (here / "skips").write_text(skips)
            if checks:
                (here / "checks").write_text(checks)
            (here / "gcc.json").write_text("".join(
                json.dumps({"name": f"libwsock:unit / {name}", "result": result}) + "\n"
                for name, result in results))
            done = subprocess.run([str(SCRIPTS / "tally"), directory, str(here / "skips")],
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, (done.stdout.splitlines() or [""])[-1]

    def test_all_is_well(self):
        self.assertEqual(self.tally([("a", "OK")], "OK\tgcc\tbuild\n"), (0, "2 passed, 0 failed"))

    def test_every_other_result_fails(self):
        for result in ("FAIL", "ERROR", "TIMEOUT", "SKIP", "UNEXPECTEDPASS", "INTERRUPT"):
            self.assertEqual(self.tally([("a", "OK"), ("b", result)]),
                             (1, "1 passed, 1 failed"), result)

    def test_a_step_that_failed_fails(self):
        self.assertEqual(self.tally([("a", "OK")], "FAIL\tasan\tbuild\n")[0], 1)

    def test_a_skip_needs_a_reason(self):
        both = [("a", "OK"), ("b", "SKIP")]
        self.assertEqual(self.tally(both, skips="gcc b: no such kernel\n")[0], 0)
        self.assertEqual(self.tally(both, skips="* b: no such kernel\n")[0], 0)
        self.assertEqual(self.tally(both, skips="tsan b: no such kernel\n")[0], 1)
        self.assertEqual(self.tally(both, skips="gcc b:\n")[0], 1)

    def test_no_tests_are_no_success(self):
        self.assertEqual(self.tally([]), (1, "0 passed, 1 failed"))


# Stands for meson: sets up, and "runs" the tests of `plan`, each as its next entry says.
MESON = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent.parent
if sys.argv[1] == "setup":
    build = pathlib.Path(sys.argv[2])
    build.mkdir(parents=True)
    (build / "build.ninja").touch()
    sys.exit()
plan = json.loads((here / "plan").read_text())
named = [name for name in plan if name in sys.argv]
log = pathlib.Path(sys.argv[sys.argv.index("-C") + 1], "meson-logs", "testlog.json")
log.parent.mkdir(exist_ok=True)
with open(here / "ran", "a") as ran, open(log, "w") as out:
    for name in named or plan:
        ran.write(name + "\\n")
        out.write(json.dumps({"name": "libwsock:unit / " + name, **plan[name].pop(0)}) + "\\n")
(here / "plan").write_text(json.dumps(plan))
"""
GOOD = {"result": "OK", "returncode": 0, "stdout": "", "stderr": ""}


def bad(text, result="FAIL", returncode=1):
    return {"result": result, "returncode": returncode, "stdout": text, "stderr": "its end\n"}


class RunAgain(unittest.TestCase):
    """scripts/test itself, with a meson that follows a plan."""

    def run_stage(self, plan):
        """@return its status, what it printed, and which tests ran, in order."""
        with tempfile.TemporaryDirectory() as directory:
            here = pathlib.Path(directory)
            for name in ("scripts", "tests", "bin"):
                (here / name).mkdir()
            for name in ("test", "tally"):
                shutil.copy(SCRIPTS / name, here / "scripts")
            (here / "tests" / "skips.txt").touch()
            (here / "plan").write_text(json.dumps(plan))
            (here / "bin" / "meson.py").write_text(MESON)
            for name, body in (("bin/meson", 'exec python3 "${0}.py" "$@"'), ("bin/ninja", ""),
                               ("bin/setarch", "exit 1"), ("scripts/install-deps", "")):
                (here / name).write_text(f"#!/bin/sh\n{body}\n")
                (here / name).chmod(0o755)
            done = subprocess.run(["/bin/sh", str(here / "scripts" / "test"), "clang"], text=True,
                                  env={**os.environ, "PATH": f"{here / 'bin'}:{os.environ['PATH']}"},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return done.returncode, done.stdout, (here / "ran").read_text().split("\n")[:-1]

    def test_what_is_good_runs_once(self):
        status, said, ran = self.run_stage({"a": [GOOD], "b c": [GOOD]})
        self.assertEqual((status, ran), (0, ["a", "b c"]))
        self.assertNotIn("UNSTEADY", said)

    def test_what_passes_alone_is_unsteady(self):
        status, said, ran = self.run_stage({"a": [GOOD], "b c": [bad("x.c:7: waited\n"), GOOD]})
        self.assertEqual((status, ran), (0, ["a", "b c", "b c"]))
        self.assertRegex(said, r"UNSTEADY clang: b c: the end of its output\n +x.c:7: waited\n +its")
        self.assertTrue(said.endswith("find out why)\n6 passed, 0 failed\n"), said)

    def test_what_fails_twice_has_failed(self):
        status, said, ran = self.run_stage({"a": [bad("first\n"), bad("second\n")]})
        self.assertEqual((status, ran), (1, ["a", "a"]))
        self.assertIn("    first\n    its end\n", said)
        self.assertTrue(said.endswith("FAIL clang: a\n4 passed, 1 failed\n"), said)

    def test_what_took_too_long_runs_again(self):
        status, _, ran = self.run_stage({"a": [bad("", "TIMEOUT", -15), GOOD]})
        self.assertEqual((status, ran), (0, ["a", "a"]))

    def test_reports_and_crashes_do_not(self):
        for first in (bad("WARNING: ThreadSanitizer: data race"), bad("ERROR: AddressSanitizer: x"),
                      bad("ERROR: LeakSanitizer: x"), bad("a.c:1:2: runtime error: shift"),
                      bad("ThreadSanitizer: x", "TIMEOUT"), bad("", returncode=-11),
                      bad("Test failed with exception: Segmentation fault(11)"),
                      bad("", "ERROR")):
            status, said, ran = self.run_stage({"a": [first, GOOD]})
            self.assertEqual((status, ran), (1, ["a"]), said)

    def test_many_that_fail_are_no_accident(self):
        status, _, ran = self.run_stage({name: [bad(""), GOOD] for name in "abcdef"})
        self.assertEqual((status, ran), (1, list("abcdef")))


class Sizing(unittest.TestCase):
    def test_the_manual_has_what_it_computes(self):
        root = SCRIPTS.parent
        table = subprocess.run([root / "bench/sizing"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        self.assertEqual(len(table.splitlines()), 8)
        self.assertIn(table, (root / "docs/cluster.md").read_text("utf-8"))


if __name__ == "__main__":
    unittest.main()
