# SPDX-License-Identifier: MIT
"""Options as keywords: the library's table decides which there are, and what they take."""
import difflib
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _wsock

RUNTIME = _wsock.SCOPE_RUNTIME
SERVER = _wsock.SCOPE_SERVER
ENDPOINT = _wsock.SCOPE_ENDPOINT
CLIENT = _wsock.SCOPE_CLIENT
ROOM = _wsock.SCOPE_ROOM


class Option(NamedTuple):
    """One option of the library's table."""

    name: str
    scope: int
    type: int
    text: str
    words: Optional[str]
    default: int
    is_live: bool


TABLE: Dict[str, Option] = {
    entry[0]: Option._make((*entry[:6], bool(entry[6]))) for entry in _wsock.options()}


def as_text(name: str, value: Any) -> str:
    """A value as the library reads it: times are seconds, None is "off"."""
    option = TABLE[name]
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        if option.type == _wsock.OPTION_MS:
            if value < 0:
                raise ValueError(f"{name} is a number of seconds, 0 or more, not {value}")
            return str(round(value * 1000))
        if isinstance(value, float) and not value.is_integer():
            raise TypeError(f"{name} is a whole number, not {value}")
        return str(int(value))
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and option.type == _wsock.OPTION_STRING:
        return ",".join(str(part) for part in value)
    raise TypeError(f"{name}: {type(value).__name__} is no value of an option")


def nearest(name: str, known: Iterable[str]) -> str:
    """For messages: ", did you mean ...?" or nothing."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]}?" if close else ""


def check(options: Dict[str, Any], scopes: int, also: Iterable[str] = ()) -> None:
    """Raise TypeError for a keyword that is no option of these scopes."""
    for name in options:
        if name not in TABLE or not TABLE[name].scope & scopes:
            known = [entry.name for entry in TABLE.values() if entry.scope & scopes]
            raise TypeError(f"there is no option {name}" + nearest(name, [*known, *also]))


def split(options: Dict[str, Any], scope: int) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Those of a scope, and the others."""
    of = {name: value for name, value in options.items() if TABLE[name].scope & scope}
    return of, {name: value for name, value in options.items() if name not in of}


def apply(set_one: Any, handle: Any, options: Dict[str, Any]) -> None:
    """Set options of an object."""
    for name, value in options.items():
        set_one(handle, name, as_text(name, value))


CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL
    "/etc/ssl/cert.pem",  # Alpine
)


def ca_file() -> Optional[str]:
    """The authorities that clients trust unless tls_ca says otherwise: SSL_CERT_FILE,
    what Python's ssl module would take, or where distributions have them."""
    import ssl  # not before it is needed: it loads OpenSSL

    candidates: List[Optional[str]] = [os.environ.get("SSL_CERT_FILE")]
    candidates.append(ssl.get_default_verify_paths().cafile)
    candidates.extend(CA_FILES)
    return next((path for path in candidates if path and os.path.isfile(path)), None)


class TLS:
    """What TLS uses: `Server("wss://...", tls=TLS(cert="c.pem", key="k.pem"))`.

    cert, key: PEM files, or lists of them, of this end's certificates. ca: a PEM file of
    the authorities that certify the peer. verify: a client's, whether the server's
    certificate is checked; a server's, "none", "optional" or "required". pin: hashes of
    public keys, "sha256//...=", of which the server must have one. server_name: a client's,
    which name to ask for and to check in place of the URL's host. alpn: names to offer or
    to accept for HTTP/1.1, a list or "none", in place of "http/1.1".
    """

    def __init__(self, cert: Any = None, key: Any = None, ca: Any = None, verify: Any = None,
                 pin: Any = None, server_name: Optional[str] = None, alpn: Any = None) -> None:
        self.cert, self.key, self.ca, self.verify, self.pin = cert, key, ca, verify, pin
        self.server_name, self.alpn = server_name, alpn

    def options(self, scope: int) -> Dict[str, Any]:
        """The options that say the same."""
        verify = "tls_verify" if scope & CLIENT else "tls_verify_client"
        pin = ";".join(self.pin) if isinstance(self.pin, (list, tuple)) else self.pin
        named = {"tls_certificate": self.cert, "tls_key": self.key, "tls_ca": self.ca,
                 verify: self.verify, "tls_pin": pin, "tls_server_name": self.server_name,
                 "tls_alpn": self.alpn}
        return {name: value for name, value in named.items() if value is not None}
