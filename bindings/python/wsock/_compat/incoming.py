# SPDX-License-Identifier: MIT
"""A message that comes in parts, until it is whole."""

from __future__ import annotations

import codecs
from collections import deque
from typing import Optional

from ..typing import Data


class Incoming:
    """Its parts, so far, as bytes; of a text they may be cut inside a character."""

    __slots__ = ("_decoder", "is_text", "is_wanted", "is_whole", "parts", "wanted_whole")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.is_whole = False
        self.is_wanted = True
        self.wanted_whole = False
        self.parts: deque[bytes] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def whole(self) -> Data:
        """All of it."""
        data = b"".join(self.parts)
        return data.decode() if self.is_text else data

    def take(self, decode: Optional[bool]) -> Data:
        """The next part, as `recv_streaming(decode=)` wants it."""
        part = self.parts.popleft()
        if not (self.is_text if decode is None else decode):
            return part
        return self._decoder.decode(part, self.is_whole and not self.parts)
