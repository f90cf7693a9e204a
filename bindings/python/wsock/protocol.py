# SPDX-License-Identifier: MIT
"""The side and the state of a connection."""

from __future__ import annotations

import enum

__all__ = ["Side", "State"]


class Side(enum.IntEnum):
    """Which end of a connection this one is."""

    SERVER = 0
    CLIENT = 1


class State(enum.IntEnum):
    """How far a connection is; it never goes back."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
