# SPDX-License-Identifier: MIT
"""Connections, and the requests that open them."""
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from . import _wsock
from ._errors import Error

TLS_FACTS = {
    "version": _wsock.TLS_FACT_VERSION,
    "cipher": _wsock.TLS_FACT_CIPHER,
    "server_name": _wsock.TLS_FACT_SERVER_NAME,
    "protocol": _wsock.TLS_FACT_PROTOCOL,
    "resumed": _wsock.TLS_FACT_RESUMED,
    "subject": _wsock.TLS_FACT_SUBJECT,
    "issuer": _wsock.TLS_FACT_ISSUER,
    "names": _wsock.TLS_FACT_NAMES,
    "fingerprint": _wsock.TLS_FACT_FINGERPRINT,
    "pin": _wsock.TLS_FACT_PIN,
    "verified": _wsock.TLS_FACT_VERIFIED,
    "chain": _wsock.TLS_FACT_CHAIN,
}


def _tls_facts(ask: Any, handle: Any) -> Optional[Dict[str, str]]:
    if ask(handle, _wsock.TLS_FACT_VERSION) is None:
        return None
    facts = {name: ask(handle, number) for name, number in TLS_FACTS.items()}
    return {name: fact for name, fact in facts.items() if fact is not None}


class Fields(Mapping[str, str]):
    """Names with values, in the order sent: a mapping of the first value of each name, and
    get_all() for those that come more than once."""

    def __init__(self, fields: List[Tuple[str, str]]) -> None:
        self._fields = fields

    def _key(self, name: str) -> str:
        return name

    def get_all(self, name: str) -> List[str]:
        """All values of a name, in the order sent."""
        key = self._key(name)
        return [value for own, value in self._fields if self._key(own) == key]

    def raw_items(self) -> Iterator[Tuple[str, str]]:
        """All names with their values, repeated ones included."""
        return iter(self._fields)

    def __getitem__(self, name: str) -> str:
        for value in self.get_all(name):
            return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._key(name) for name, _ in self._fields))

    def __len__(self) -> int:
        return len({self._key(name) for name, _ in self._fields})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._fields!r})"


class Headers(Fields):
    """Header fields: the case of names does not matter."""

    def _key(self, name: str) -> str:
        return name.lower()


class Request(_wsock.Request):
    """An HTTP request: one that asks for a WebSocket (on_request), or a plain one (on_http).

    What it says stays readable. It is answered once, in its handler or, after defer(),
    later and from any thread; until the option request_timeout, when it gets 503.
    """

    def _fields(self, kind: int) -> List[Tuple[str, str]]:
        fields: List[Tuple[str, str]] = []
        while True:
            field = _wsock.request_field_at(self, kind, len(fields))
            if field is None:
                return fields
            fields.append(field)

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        return bool(_wsock.request_is_upgrade(self))

    @property
    def method(self) -> str:
        """ "GET"; for a plain request "HEAD" too, and "POST" where the option max_body_bytes
        takes one."""
        return str(_wsock.request_method(self))

    @property
    def path(self) -> str:
        """The target as sent, with the query: "/chat/a%20b?x=1"."""
        return str(_wsock.request_target(self))

    @property
    def path_only(self) -> str:
        """The path, decoded and without the query: "/chat/a b"."""
        return str(_wsock.request_path(self))

    @property
    def params(self) -> Dict[str, str]:
        """What the captures of the pattern took, decoded."""
        return dict(self._fields(_wsock.FIELDS_PARAM))

    @property
    def query(self) -> Fields:
        """Names and values of the query, decoded."""
        return Fields(self._fields(_wsock.FIELDS_QUERY))

    @property
    def headers(self) -> Headers:
        """Header fields."""
        return Headers(self._fields(_wsock.FIELDS_HEADER))

    @property
    def cookies(self) -> Fields:
        """Cookies."""
        return Fields(self._fields(_wsock.FIELDS_COOKIE))

    @property
    def remote_address(self) -> str:
        """Where the client is, "192.0.2.1:4711"; as listed proxies tell, if it is behind
        one (options proxy_protocol_from and trust_forwarded_from)."""
        return str(_wsock.request_remote_address(self))

    @property
    def peer_address(self) -> str:
        """Who is connected: the client, or the proxy in front of it."""
        return str(_wsock.request_peer_address(self))

    @property
    def host(self) -> str:
        """The host that the client asked for."""
        return str(_wsock.request_host(self))

    @property
    def is_secure(self) -> bool:
        """Whether the client came over TLS, as far as is known."""
        return bool(_wsock.request_is_secure(self))

    @property
    def tls(self) -> Optional[Dict[str, str]]:
        """What is known of its TLS to this server: version, cipher, subject...; None
        without."""
        return _tls_facts(_wsock.request_tls, self)

    @property
    def subprotocols(self) -> List[str]:
        """Those that the client offers, the preferred one first."""
        offers = self.headers.get_all("Sec-WebSocket-Protocol")
        return [name.strip() for offer in offers for name in offer.split(",") if name.strip()]

    @property
    def authorization(self) -> Optional[str]:
        """The Authorization header as sent, or None; see basic and bearer."""
        value: Optional[str] = _wsock.request_header(self, "Authorization")
        return value

    @property
    def basic(self) -> Optional[Tuple[str, str]]:
        """User and password of an Authorization of the scheme Basic, or None."""
        user = _wsock.request_basic_user(self)
        return None if user is None else (user, _wsock.request_basic_password(self))

    @property
    def bearer(self) -> Optional[str]:
        """The token of an Authorization of the scheme Bearer, or None."""
        token: Optional[str] = _wsock.request_bearer_token(self)
        return token

    @property
    def body(self) -> bytes:
        """The body of a plain POST, which the server's option max_body_bytes lets come; else
        empty."""
        body: bytes = _wsock.request_body(self)
        return body

    # ---- answers ----

    def _add_headers(self, headers: Any) -> None:
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        for name, value in pairs:
            _wsock.request_add_header(self, name, value)

    def accept(self, *, identity: Optional[str] = None, info: Any = None,
               subprotocol: Optional[str] = None, headers: Any = None) -> bool:
        """Accept the upgrade; on_open follows. `identity`, a name of at most 255 bytes, and
        `info`, any object, become those of the connection. Without a subprotocol the first of the endpoint's option subprotocols
        that the client offers is chosen; "" is none. Returns True, for the handler to
        return. Raises Error (WSOCK_ECLOSED) when it is too late."""
        self._add_headers(headers)
        if identity is not None:
            _wsock.request_set_identity(self, identity)
        self._set_info(info)
        _wsock.request_accept(self, subprotocol)
        self._settled()
        return True

    def reject(self, status: int = 403, text: str = "", *, headers: Any = None) -> bool:
        """Refuse it with a status from 300 to 599 and a line of text. Returns False, for
        the handler to return."""
        self._add_headers(headers)
        _wsock.request_reject(self, status, text)
        self._settled()
        return False

    def respond(self, status: int = 200, body: Any = b"", *,
                content_type: Optional[str] = None, headers: Any = None) -> None:
        """Answer with a whole HTTP response. For an upgrade this is a rejection."""
        self._add_headers(headers)
        if content_type is None:
            text = isinstance(body, str)
            content_type = "text/plain; charset=utf-8" if text else "application/octet-stream"
        _wsock.request_respond(self, status, content_type, body)
        self._settled()

    def defer(self) -> None:
        """It will be answered later: what the handler returns is none."""
        self._deferred = True

    @property
    def answered(self) -> bool:
        """Whether it was answered, or is too late to be."""
        return self._answered

    def __repr__(self) -> str:
        if not self._is_live():
            return "<wsock.Request closed>"
        return f"<wsock.Request {self.method} {self.path} from {self.remote_address}>"


class Connection(_wsock.Conn):
    """One WebSocket, at either end: the same object in each handler, hashable, and usable
    after it closed. All its methods are for any thread."""

    @property
    def params(self) -> Dict[str, str]:
        """What the captures of the pattern took, decoded."""
        return self.request.params if self.request is not None else {}

    @property
    def subprotocol(self) -> str:
        """The subprotocol that was agreed on, "" when none."""
        return str(_wsock.conn_subprotocol(self))

    @property
    def extensions(self) -> str:
        """The extensions that were agreed on, as in the server's answer."""
        return str(_wsock.conn_extensions(self))

    @property
    def remote_address(self) -> str:
        """The peer's address; a client's is the one that listed proxies tell."""
        return str(_wsock.conn_remote_address(self))

    @property
    def local_address(self) -> str:
        """The address of this end, "" before it is open."""
        return str(_wsock.conn_local_address(self))

    @property
    def url(self) -> str:
        """Where a client's connection leads: its URL, or where redirects led; "" at a server."""
        return str(_wsock.conn_url(self))

    @property
    def rtt(self) -> Optional[float]:
        """Seconds from the last ping of the library's to its pong; None before one."""
        microseconds = _wsock.conn_rtt_us(self)
        return None if microseconds is None else microseconds / 1e6

    @property
    def tls(self) -> Optional[Dict[str, str]]:
        """What is known of its TLS: version, cipher, subject...; None without."""
        return _tls_facts(_wsock.conn_tls, self)

    def response_header(self, name: str) -> Optional[str]:
        """A header field of the server's answer, at a client; else None."""
        value: Optional[str] = _wsock.conn_response_header(self, name)
        return value

    @property
    def response_body(self) -> bytes:
        """The body of an answer that refused, as far as the option max_refusal_bytes keeps
        it; else empty."""
        return bytes(_wsock.conn_response_body(self))

    def ping(self, data: Any = b"") -> None:
        """Send a ping of at most 125 bytes; on_pong brings the answer."""
        _wsock.conn_send_ping(self, data)

    def reset(self) -> None:
        """End it at once, without a handshake; on_close follows."""
        try:
            _wsock.conn_reset(self)
        except Error as error:
            if error.code != _wsock.ECLOSED:
                raise

    def after(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn once, in that many seconds, unless it begins to close before that."""
        return self._timer(seconds, 0.0, fn)

    def every(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn again and again until it begins to close; see Queue.every."""
        if not seconds > 0:
            raise ValueError("every() takes more than 0 seconds")
        return self._timer(seconds, seconds, fn)

    def pause(self) -> None:
        """Stop reading, by count: as many resume() let it go on."""
        _wsock.conn_pause_read(self)

    def resume(self) -> None:
        """Take one pause() back."""
        _wsock.conn_resume_read(self)

    def send_begin(self, *, text: bool = False) -> bool:
        """Begin a message that is sent in parts. False when the backlog is full."""
        return _is_taken(_wsock.conn_send_begin, self, _wsock.TEXT if text else _wsock.BINARY)

    def send_part(self, data: Any) -> bool:
        """Append to it. False when the backlog is full: then nothing was."""
        return _is_taken(_wsock.conn_send_append, self, data)

    def send_end(self) -> None:
        """End it."""
        _wsock.conn_send_end(self)

    def __repr__(self) -> str:
        if not self._is_live():
            return "<wsock.Connection of another process>"
        return f"<wsock.Connection {self.id} {self.remote_address}>"


def _is_taken(call: Any, *arguments: Any) -> bool:
    try:
        call(*arguments)
    except Error as error:
        if error.code == _wsock.EAGAIN:
            return False
        raise
    return True
