#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lints themselves: each rule is broken here, and must be seen."""

import pathlib
import tempfile
import unittest

import calls
import layers
import symbols
import vectors


DOC = """
## What a client sends

| `type` | fields | answer |
|---|---|---|
| `say` | `room`, `words` | `{"count"}` |

## What a server sends

| `type` | fields |
|---|---|
| `left` | `room`, `reason` |

## Fields

| field | what it is |
|---|---|
| `count` | how many |
| `reason` | of `left`: `asked` |
| `room` | where |
| `words` | what is said |

## Errors

| `code` | of | what is wrong |
|---|---|---|
| `rude` | `say` | the words |

## Close codes

| code | why | come back? |
|---|---|---|
| 4410 | ended | no |
| 4400 to 4499, others | | no |
"""


class Vectors(unittest.TestCase):
    STEPS = (
        {"do": ["say"]},
        {"client": {"type": "say", "room": "r", "words": "w", "id": 1, "later": 0}},
        {"server": {"re": 1, "ok": {"count": 1}}},
        {"server": {"re": None, "err": {"code": "rude"}}},
        {"server": {"type": "left", "room": "r", "reason": "asked"}},
        {"closed": 4410},
        {"closed": 4411},
    )

    def found(self, steps, doc=DOC):
        return vectors.complaints(doc, {"conversations": [{"steps": list(steps)}]})

    def test_what_fits_fits(self):
        self.assertEqual(self.found(self.STEPS), [])

    def test_each_step_is_needed(self):
        for index in range(len(self.STEPS)):
            with self.subTest(self.STEPS[index]):
                self.assertNotEqual(self.found(self.STEPS[:index] + self.STEPS[index + 1:]), [])

    def test_each_field_is_needed(self):
        for name in ("room", "words"):
            frame = {key: value for key, value in self.STEPS[1]["client"].items() if key != name}
            found = self.found([*self.STEPS, {"client": frame}])
            self.assertEqual(found, [])
            found = self.found([self.STEPS[0], {"client": frame}, *self.STEPS[2:]])
            self.assertIn(f"client's say, {name}: in no conversation that clients play", found)

    def test_what_is_in_no_table_is_seen(self):
        for frame in ({"server": {"type": "news"}}, {"server": {"type": "left", "room": "r", "reason": "x", "by": 1}},
                      {"client": {"type": "say", "to": 1, "id": 2}},
                      {"server": {"re": 1, "ok": {"time": 1}}}):
            with self.subTest(frame):
                self.assertNotEqual(self.found([*self.STEPS, frame]), [])

    def test_a_row_more_is_seen(self):
        for row, more in (("| `left` |", "| `news` | |"), ("| `room` | where |", "| `by` | who |"),
                          ("| `rude` |", "| `late` | | |"), ("| 4410 |", "| 4409 | | |")):
            with self.subTest(more):
                self.assertEqual(len(self.found(self.STEPS, DOC.replace(row, f"{more}\n{row}"))), 1)


class Layers(unittest.TestCase):
    def found(self, files):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = pathlib.Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return layers.complaints(directory)

    def test_a_lower_layer_may_be_included(self):
        files = {
            "core/buf.h": "",
            "io/loop.h": '#include "core/buf.h"\n',
            "conn/conn.c": '#include "io/loop.h"\n#include <wsock/wsock.h>\n',
            "conn/other.c": '#include "queue.h"\n/* #include "api/x.h" */\n',
            "conn/queue.h": "",
        }
        self.assertEqual(self.found(files), [])

    def test_a_higher_layer_may_not(self):
        order = ["core", "proto", "tls", "conn", "cluster", "room", "api"]
        for low, high in zip(order, order[1:]):
            files = {
                f"{low}/a.c": f'\n#include "{high}/b.h"\n',
                f"{high}/b.h": "",
            }
            self.assertEqual(
                self.found(files), [f'src/{low}/a.c:2: {low}/ may not include "{high}/b.h"']
            )

    def test_proto_and_io_never_meet(self):
        for one, other in [("proto", "io"), ("io", "proto")]:
            files = {f"{one}/a.h": f'  #  include "{other}/b.h"\n', f"{other}/b.h": ""}
            self.assertEqual(len(self.found(files)), 1)

    def test_a_way_round_by_dots_is_seen(self):
        files = {"core/a.c": '#include "../api/b.h"\n', "api/b.h": ""}
        self.assertEqual(len(self.found(files)), 1)

    def test_what_is_in_no_layer_is_seen(self):
        self.assertEqual(len(self.found({"core/a.c": '#include "wsock/error.h"\n'})), 1)
        self.assertEqual(len(self.found({"core/a.c": '#include "core/gone.h"\n'})), 1)
        files = {"misc/a.c": '#include "core/b.h"\n', "core/b.h": ""}
        self.assertEqual(len(self.found(files)), 1)


class Calls(unittest.TestCase):
    def found(self, text, path="conn/a.c"):
        return calls.complaints_of(pathlib.PurePosixPath(path), text)

    def test_every_forbidden_call_is_seen(self):
        for name in calls.HEAP + calls.PRINTS + calls.ENDS:
            self.assertEqual(len(self.found(f"    {name}(x);\n")), 1, name)
            self.assertEqual(len(self.found(f"    r = {name} (x);\n")), 1, name)

    def test_an_address_or_a_stream_is_seen(self):
        self.assertEqual(len(self.found("hook(list, free);\n")), 1)
        self.assertEqual(len(self.found("fn = malloc;\n")), 1)
        self.assertEqual(len(self.found("log_to(stderr);\n")), 1)

    def test_other_things_of_the_name_are_not(self):
        for text in [
            "wsi_free(x);",
            "owner->free(x);",
            "hooks.free(x);",
            "void (*free)(void *);",
            "void *wsi_alloc(size_t size) __attribute__((malloc));",
            "/* malloc(3) is\n * not free() */",
            '"printf(%s)"',
            "snprintf(text, sizeof text, x);",
        ]:
            self.assertEqual(self.found(text), [], text)

    def test_only_the_door_goes_to_the_heap(self):
        self.assertEqual(self.found("p = malloc(n);", "core/alloc.c"), [])
        self.assertEqual(len(self.found("p = malloc(n);", "core/blob.c")), 1)
        self.assertEqual(len(self.found("abort();", "core/alloc.c")), 1)

    def test_the_line_is_the_right_one(self):
        found = self.found('/* two\n lines */ char *s = "x";\nabort();\n')
        self.assertEqual(found, ["src/conn/a.c:3: abort: the library does not end the process"])


class Symbols(unittest.TestCase):
    def found(self, *lines):
        return symbols.complaints("\n".join(f"lib.a[a.o]: {line}" for line in lines))

    def test_memory_and_computing_are_allowed(self):
        self.assertEqual(
            self.found("memcpy U", "wsi_alloc U", "wsi_buf_append U", "__cpu_model U"), []
        )

    def test_what_the_layer_defines_is_its_own(self):
        self.assertEqual(self.found("wsi_mask U", "wsi_mask T 0 40"), [])

    def test_io_is_seen(self):
        for name in """time clock_gettime socket recv send read write getrandom rand
            printf snprintf fopen stderr malloc free getenv pthread_create
            wsi_clock_system wsi_random_bytes wsi_loop_new xmemcpy memcpyx""".split():
            self.assertEqual(len(self.found(f"{name} U")), 1, name)

    def test_sanitizers_are_no_io(self):
        self.assertEqual(self.found("__asan_report_load8 U", "__tsan_read4 U"), [])


if __name__ == "__main__":
    unittest.main()
