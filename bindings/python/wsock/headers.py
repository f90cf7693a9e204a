# SPDX-License-Identifier: MIT
"""Values of a few header fields, written and read."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence

from .exceptions import InvalidHeaderValue

__all__ = ["build_authorization_basic", "build_host", "build_www_authenticate_basic",
           "parse_authorization_basic", "validate_subprotocols"]

_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")


def build_host(host: str, port: int, secure: bool, *,
               always_include_port: bool = False) -> str:
    """The value of a Host header; the port only where it is not the scheme's own."""
    try:
        if ipaddress.ip_address(host).version == 6:
            host = f"[{host}]"
    except ValueError:
        pass
    if always_include_port or port != (443 if secure else 80):
        return f"{host}:{port}"
    return host


def validate_subprotocols(subprotocols: Sequence[str]) -> None:
    """Raise TypeError for a `str` in place of a list, ValueError for what is no token."""
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols is a list of names, and this is one str")
    for name in subprotocols:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"invalid subprotocol: {name}")


def build_www_authenticate_basic(realm: str) -> str:
    """The challenge of RFC 7617."""
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'Basic realm="{quoted}", charset="UTF-8"'


def build_authorization_basic(username: str, password: str) -> str:
    """The answer to it."""
    if ":" in username:
        raise ValueError("a user name of Basic authentication has no colon")
    pair = f"{username}:{password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def parse_authorization_basic(header: str) -> tuple[str, str]:
    """User and password of such an answer; InvalidHeaderValue for another."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidHeaderValue("Authorization", f"unsupported scheme: {scheme}")
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidHeaderValue("Authorization", "no credentials in base64") from error
    username, colon, password = pair.partition(":")
    if not colon:
        raise InvalidHeaderValue("Authorization", "no colon behind the user")
    return username, password
