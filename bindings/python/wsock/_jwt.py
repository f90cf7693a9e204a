# SPDX-License-Identifier: MIT
"""Signed tokens: JSON Web Tokens by HS256 and RS256."""
import enum
import json
from typing import Any, Dict, Optional, Union

from . import _wsock
from ._errors import Error

_ALGORITHMS = {"HS256": _wsock.JWT_HS256, "RS256": _wsock.JWT_RS256}


class JWTFault(enum.IntEnum):
    """What is wrong with a token."""

    MALFORMED = _wsock.JWT_MALFORMED
    TOO_LONG = _wsock.JWT_TOO_LONG
    ALGORITHM = _wsock.JWT_ALGORITHM
    CRITICAL = _wsock.JWT_CRITICAL
    SIGNATURE = _wsock.JWT_SIGNATURE
    CLAIMS = _wsock.JWT_CLAIMS
    CLAIM = _wsock.JWT_CLAIM
    EXPIRED = _wsock.JWT_EXPIRED
    NOT_YET_VALID = _wsock.JWT_NOT_YET_VALID
    ISSUER = _wsock.JWT_ISSUER
    AUDIENCE = _wsock.JWT_AUDIENCE


class JWTError(Error):
    """A token does not hold: WSOCK_EACCESS. `why` is one of `JWTFault`, and `detail` says the
    same in a sentence."""

    why: JWTFault

    def __init__(self, why: int) -> None:
        super().__init__(_wsock.EACCESS, str(_wsock.jwt_error_text(why)))
        self.why = JWTFault(why)
        self.args = (why,)  # for a copy


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class JWT:
    """A token that holds: what JWTKey.verify() returns. It never changes."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def subject(self) -> Optional[str]:
        """The claim sub: who it is for; None when it does not say."""
        return str(_wsock.jwt_subject(self._handle)) or None

    @property
    def expires(self) -> Optional[float]:
        """The claim exp: as time.time(), without leeway; None when it does not end."""
        milliseconds = int(_wsock.jwt_expires_ms(self._handle))
        return milliseconds / 1000 if milliseconds else None

    @property
    def claims(self) -> Dict[str, Any]:
        """All claims."""
        claims: Dict[str, Any] = json.loads(_wsock.jwt_claims(self._handle))
        return claims

    @property
    def info(self) -> Any:
        """The claim info: what others may know of who it is for; None without."""
        info = _wsock.jwt_info(self._handle)
        return None if info is None else json.loads(info)

    def may_join(self, room: str) -> bool:
        """Whether the claim rooms lets that room be joined: without it, all."""
        return bool(_wsock.jwt_allows(self._handle, _wsock.JWT_JOIN, room))

    def may_publish(self, room: str) -> bool:
        """Whether the claim pub lets something be published in that room: without it, in all."""
        return bool(_wsock.jwt_allows(self._handle, _wsock.JWT_PUBLISH, room))

    def may_direct(self) -> bool:
        """Whether identities may be sent to: not where there is a claim pub."""
        return bool(_wsock.jwt_allows(self._handle, _wsock.JWT_DIRECT, None))

    def __repr__(self) -> str:
        return f"<wsock.JWT of {self.subject!r}>"


class JWTKey:
    """What tokens are verified with: for HS256 a secret of 32 bytes or more, for RS256 a
    public RSA key, or a certificate, in PEM. A str is its UTF-8. Raises Error (WSOCK_EINVAL)
    for what is no such key, and WSOCK_ENOTSUP where the library was built without OpenSSL or
    jansson. Any thread may use it.
    """

    def __init__(self, key: Union[str, bytes], algorithm: str = "HS256") -> None:
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"algorithm is one of {', '.join(_ALGORITHMS)}, not {algorithm!r}")
        runtime = _wsock.runtime_new()  # it tells what is wrong; the key outlives it
        try:
            self._handle = _wsock.runtime_jwt_key(runtime, _ALGORITHMS[algorithm], key)
        finally:
            _wsock.runtime_close(runtime)
        self.algorithm = algorithm

    def verify(self, token: Union[str, bytes], *, audience: Optional[str] = None,
               issuer: Optional[str] = None, leeway: float = 0,
               now: Optional[float] = None) -> JWT:
        """What the token says, if it holds; else raises JWTError.

        audience: who we are; a token with the claim aud must name it, and one without is
        refused. issuer: the claim iss must be it. leeway: seconds by which the issuer's clock
        may differ. now: as time.time(), which it is unless told."""
        if not leeway >= 0:
            raise ValueError("leeway is 0 seconds or more")
        if now is not None and not now > 0:
            raise ValueError("now is more than 0 seconds")
        found = _wsock.jwt_verify(self._handle, token, audience, issuer, _milliseconds(leeway),
                                  0 if now is None else max(_milliseconds(now), 1))
        if isinstance(found, int):
            raise JWTError(found)
        return JWT(found)

    def __repr__(self) -> str:
        return f"<wsock.JWTKey for {self.algorithm}>"
