# SPDX-License-Identifier: MIT
"""What every client of tests/interop/ sends; the other languages hold the same list."""

TEXTS = ["", "Hello", "κόσμε ☃ 😀 übung", "€" * 1000]
SIZES = [0, 1, 125, 126, 65535, 65536, 300000]
FRAGMENTS = ["frag", "mént", "éd ☃"]
CLOSES = [(1000, "bye"), (4001, "see you ☃")]


def block(size):
    """Bytes that are no valid UTF-8 and differ along the way."""
    return bytes((i * 7 + 255) % 256 for i in range(size))
