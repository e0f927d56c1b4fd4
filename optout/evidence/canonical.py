"""Canonical JSON: the one byte string of a row, so that its hash means something.

The profile is RFC 8785 restricted to what every JSON library writes alike: objects with ASCII keys, arrays,
strings, integers within ±(2^53 - 1), booleans and null. There are no floats, because their text form is where
implementations differ, and no keys beyond ASCII, because there the sort orders of UTF-8 and UTF-16 differ.
Inside the profile `orjson` with sorted keys equals RFC 8785 byte for byte; a property test holds that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from optout.errors import EvidenceError

JSON = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | bool | None

_LARGEST = 2**53 - 1
# A fragment is canonical JSON already: what many rows share is encoded and checked once.
_SCALARS = (str, bool, type(None), orjson.Fragment)


def encode(value: JSON) -> bytes:
    """Give the canonical bytes of a value.

    Raises:
        EvidenceError: the value is outside the profile, or a string holds a lone surrogate.
    """
    _check(value)
    return encode_checked(value)


def encode_checked(value: Any) -> bytes:  # noqa: ANN401 - fragments of bytes that are canonical already may stand inside
    """Give the canonical bytes of a value that is known to be inside the profile."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as fault:
        raise EvidenceError(f"this value has no canonical JSON form: {fault}") from fault


def decode(data: bytes) -> Any:  # noqa: ANN401 - callers narrow what they read
    """Read canonical JSON, and nothing but canonical JSON.

    Raises:
        ValueError: the bytes are not JSON, or not the canonical form of what they say.
    """
    value = orjson.loads(data)
    try:
        again = encode(value)
    except EvidenceError as fault:
        raise ValueError(str(fault)) from fault
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
    if again != data:
        raise ValueError("not in canonical form")
    return value


def _check(value: object) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is int:
        _check_integer(value)  # type: ignore[arg-type]
    elif kind is dict:
        _check_object(value)  # type: ignore[arg-type]
    elif kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            _check(item)
    else:
        raise EvidenceError(
            f"a row holds a {kind.__name__}", mend="use strings, integers, booleans, null, lists, dicts"
        )


def _check_integer(value: int) -> None:
    if not -_LARGEST <= value <= _LARGEST:
        raise EvidenceError(f"the integer {value} is beyond 2^53", mend="write it as a string")


def _check_object(value: Mapping[object, object]) -> None:
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            raise EvidenceError(f"the key {key!r} is not ASCII text")
        if type(item) not in _SCALARS:
            _check(item)
