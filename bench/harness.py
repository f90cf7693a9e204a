# SPDX-License-Identifier: MIT
"""What the benchmark scripts share: to start and end the programs of the build directory,
pinned to cores, and to run the generator against them."""

import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys


# A closed loop keeps one of the two programs busy all the time, unless a third one
# takes their cores.
BUSY = 0.90
REPEATS = 2


class Failed(Exception):
    """A program of the benchmark did not do its part."""


def program(build_dir, name):
    path = os.path.join(build_dir, "bench", name)
    if not os.access(path, os.X_OK):
        raise Failed(f"{path} is missing: build first (meson compile -C {build_dir})")
    return path


def certificate(build_dir):
    """A PEM file of the tests with a certificate, its chain and its key, of P-256."""
    return os.path.join(build_dir, "tests", "support", "certificates", "together.pem")


def build_type(build_dir):
    """The build type and the sanitizers of a build directory."""
    try:
        path = os.path.join(build_dir, "meson-info", "intro-buildoptions.json")
        with open(path, encoding="utf-8") as f:
            options = {option["name"]: option["value"] for option in json.load(f)}
    except OSError as error:
        raise Failed(f"no build directory of meson: {error}") from None
    return options["buildtype"], options.get("sanitize", "")


def need_optimised(build_dir):
    """The build type; figures of debugging and sanitizer builds would mean nothing."""
    kind, sanitize = build_type(build_dir)
    if kind not in ("release", "debugoptimized") or sanitize:
        raise Failed(f"{build_dir} has buildtype={kind}, sanitize={sanitize!r}: "
                     "use release or debugoptimized, and no sanitizer")
    return kind


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def raise_fd_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def numbers(text):
    """A list of positive numbers from the command line, such as 1,16."""
    result = [int(part) for part in text.split(",")]
    if min(result) < 1:
        raise ValueError
    return result


def placed(core, realtime):
    """What a child does before it becomes the program. realtime: True, or "in turns" for
    one of many threads, which might wait for each other in vain without."""
    def place():
        if core is not None:
            os.sched_setaffinity(0, {core})
        if realtime:
            policy = os.SCHED_RR if realtime == "in turns" else os.SCHED_FIFO
            os.sched_setscheduler(0, policy, os.sched_param(1))
    return place


def start(command, core, realtime, obeys):
    """Start a program and wait for its line "ready"."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE if obeys else None,
                               stdout=subprocess.PIPE, text=True,
                               preexec_fn=placed(core, realtime))
    if process.stdout.readline() != "ready\n":
        process.kill()
        raise Failed(f"{os.path.basename(command[0])} did not start "
                     f"(status {process.wait()})")
    return process


def stop(process, timeout_s=60):
    """End a program that start() began: by SIGTERM, or by the end of its input when it
    obeys that."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        else:
            process.terminate()
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failed(f"{process.args[0]} did not end in {timeout_s} s") from None
    finally:
        process.stdout.close()
    if status not in (0, -signal.SIGTERM):
        raise Failed(f"{process.args[0]} ended with status {status}")


@contextlib.contextmanager
def running(command, core=None, realtime=False, obeys=False):
    """A program that runs meanwhile; obeys: it gets a pipe as its input."""
    process = start(command, core, realtime, obeys)
    try:
        yield process
    except BaseException:
        process.kill()  # what failed inside is told, not what this does to the program
        process.wait()
        raise
    stop(process)


def generate(build_dir, name, url, core=None, realtime=False, **options):
    """Run a generator once; its result as a dictionary. True stands for a bare flag."""
    command = [program(build_dir, name), "--json"]
    for option, value in options.items():
        if value is True:
            command.append(f"--{option}")
        elif value is not False:
            command += [f"--{option}", str(value)]
    if url is not None:
        command.append(url)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          preexec_fn=placed(core, realtime), check=False)
    if done.returncode != 0:
        raise Failed(f"the generator failed with status {done.returncode}: "
                     f"{' '.join(command)}")
    return json.loads(done.stdout)


def cpu_seconds(pid):
    """What all threads of a process have used so far, those that ended left out."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), \
                open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def middle_of(values):
    """The median of each figure, those of dictionaries too; None stays what it is."""
    if isinstance(values[0], dict):
        return {key: middle_of([value[key] for value in values]) for key in values[0]}
    return None if values[0] is None else statistics.median(values)


def load(build_dir, url, core=None, realtime=False, **options):
    """Run the generator of the plain echo."""
    return generate(build_dir, "load", url, core, realtime, **options)


def undisturbed(measure):
    """One measurement, again when neither program was busy; the last one stands."""
    for _ in range(1 + REPEATS):
        result = measure()
        result["disturbed"] = max(result["server_share"], result["generator_share"]) < BUSY
        if not result["disturbed"]:
            break
    return result


def main(run):
    """Run a script's main function: errors are one line and status 1."""
    try:
        sys.exit(run())
    except Failed as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")
    except (PermissionError, subprocess.SubprocessError) as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: could not start a program: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
