# SPDX-License-Identifier: MIT
"""Header fields of HTTP: a mapping whose keys have no case and may come repeatedly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol, Union

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]


class MultipleValuesError(LookupError):
    """`headers[name]` was asked for, and there are several: see `Headers.get_all`."""

    def __str__(self) -> str:
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()


class Headers(MutableMapping[str, str]):
    """Header fields, in their order.

    It is made from what `dict` takes. Reading a name that comes repeatedly raises
    `MultipleValuesError`; assigning to a name *adds* a field, since that is how HTTP
    repeats them: delete the name first to replace it.
    """

    __slots__ = ("_fields",)

    _fields: list[tuple[str, str]]

    def __init__(self, *args: HeadersLike, **kwargs: str) -> None:
        self._fields = []
        self.update(*args, **kwargs)

    def __str__(self) -> str:
        return "".join(f"{name}: {value}\n" for name, value in self._fields) + "\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._fields!r})"

    def copy(self) -> Headers:
        """Another one with the same fields."""
        twin = type(self)()
        twin._fields = self._fields.copy()
        return twin

    def serialize(self) -> bytes:
        """The fields as HTTP/1.1 writes them, with the empty line behind."""
        lines = [f"{name}: {value}\r\n" for name, value in self._fields]
        return "".join([*lines, "\r\n"]).encode()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and any(self._values(key))

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): None for name, _ in self._fields})

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})

    def _values(self, key: str) -> Iterator[tuple[str]]:
        wanted = key.lower()
        return ((value,) for name, value in self._fields if name.lower() == wanted)

    def __getitem__(self, key: str) -> str:
        values = self.get_all(key)
        if not values:
            raise KeyError(key)
        if len(values) > 1:
            raise MultipleValuesError(key)
        return values[0]

    def __setitem__(self, key: str, value: str) -> None:
        if any(c in "\r\n\0" for c in key + value):
            from .exceptions import InvalidHeaderValue

            raise InvalidHeaderValue(key, value)
        self._fields.append((key, value))

    def __delitem__(self, key: str) -> None:
        unwanted = key.lower()
        self._fields = [f for f in self._fields if f[0].lower() != unwanted]

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return _folded(self) == _folded(other)

    def clear(self) -> None:
        """Remove all fields."""
        self._fields = []

    def update(self, *args: HeadersLike, **kwargs: str) -> None:
        """Add fields, repeated names included."""
        for source in args:
            if isinstance(source, Headers):
                self._fields.extend(source._fields)
                continue
            pairs: Any = source
            for name, value in dict(pairs).items() if hasattr(pairs, "keys") else pairs:
                self[name] = value
        for name, value in kwargs.items():
            self[name] = value

    def get_all(self, key: str) -> list[str]:
        """All values of a name, none being an empty list."""
        return [value for (value,) in self._values(key)]

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Every field as it came, in order."""
        return iter(self._fields)


def _folded(headers: Headers) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers.raw_items())


class SupportsKeysAndGetItem(Protocol):
    """What `dict` takes beside mappings and pairs."""

    def keys(self) -> Iterable[str]:
        """The names."""

    def __getitem__(self, key: str, /) -> str: ...


HeadersLike = Union[Headers, Mapping[str, str], Iterable[tuple[str, str]],
                    SupportsKeysAndGetItem]
"""What `Headers` is made from."""
