# SPDX-License-Identifier: MIT
"""The names that `import websockets` gives its users, as far as `import wsock` has no class
of its own by that name (Server, Headers, Request, State)."""

from __future__ import annotations

import importlib
from typing import Any

from .exceptions import __all__ as _EXCEPTIONS

_MODULES = {
    "asyncio.client": ("ClientConnection", "connect", "unix_connect"),
    "asyncio.server": ("ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"),
    "datastructures": ("HeadersLike", "MultipleValuesError"),
    "exceptions": _EXCEPTIONS,
    "frames": ("Close", "CloseCode", "Opcode"),
    "http11": ("Response",),
    "protocol": ("Side",),
    "typing": ("Data", "LoggerLike", "Origin", "StatusLike", "Subprotocol"),
}


def find(name: str) -> Any:
    """What it stands for; AttributeError where it stands for nothing."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"wsock.{module}"), name)
    raise AttributeError(f"module 'wsock' has no attribute {name!r}")
