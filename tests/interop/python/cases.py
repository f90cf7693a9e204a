# SPDX-License-Identifier: MIT
"""What every client of tests/interop/ sends; the other languages hold the same list."""


def noise(size):
    """Bytes that do not compress, the same in all languages."""
    state, out = 1, bytearray()
    for _ in range(size):
        state = (state * 1103515245 + 12345) % 2**32
        out.append(state >> 24)
    return bytes(out)


def block(size):
    """Bytes that are no valid UTF-8 and differ along the way."""
    return bytes((i * 7 + 255) % 256 for i in range(size))


TEXTS = ["", "a", "Hello", "κόσμε ☃ 😀 übung", "€" * 1000, "wsock " * 171]
BINARIES = [*map(block, [0, 1, 125, 126, 65535, 65536, 300000]), noise(65536),
            noise(10000) * 6]
# Sent without waiting in between. They differ in their number only, which is what a context
# is for; their letters do not compress by themselves.
LETTERS = "".join(chr(48 + byte % 64) for byte in noise(48))
ROW = [f"row {i} {LETTERS}" for i in range(8)]
FRAGMENTS = ["frag", "mént", "éd ☃"]
CLOSES = [(1000, "bye"), (4001, "see you ☃")]
