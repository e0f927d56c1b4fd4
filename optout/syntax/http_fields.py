"""Header fields: looking one up in an ordered list of pairs, and the fields that are no structured fields.

Names are compared without regard to case (RFC 9110 section 5.1), order and duplicates are kept, because both
mean something: one line of `X-Robots-Tag` may address one agent and the next another. Nothing here raises:
whatever a server sends is read as far as it can be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Headers = Sequence[tuple[str, str]]

_OWS = " \t"
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
# RFC 9110 section 5.6.6, with what servers add to it: spaces around "=", no name, text after the value.
_PARAMETER = re.compile(rf"[ \t]*+;[ \t]*+([^\s=;,\"]*+)[ \t]*+(?:=[ \t]*+({_QUOTED}|[^;,]*+))?+([^;,]*+)", re.DOTALL)
_BRACKETED = re.compile(r"<([^>]*+)(>?)")
_BARE_TARGET = re.compile(r"[^\s;,]++")
_BETWEEN = re.compile(r"[\s,]*+")
_TO_COMMA = re.compile(r"[^,]*+")
_ESSENCE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LinkValue:
    """One link of a `Link` field (RFC 8288 section 3).

    Attributes:
        target: the URI reference as written, not resolved.
        params: name (lower case) and value (quotes removed) in order, duplicates kept.
        offset: where the link begins in the field value, in characters.
        well_formed: False where it could only be read with tolerance: no angle brackets, an open quote,
            text after the parameters.
    """

    target: str
    params: tuple[tuple[str, str], ...]
    offset: int
    well_formed: bool = True

    def param(self, name: str) -> str | None:
        """The first value of a parameter; later ones are to be ignored (RFC 8288 section 3.3)."""
        return next((value for key, value in self.params if key == name), None)

    @property
    def rel(self) -> tuple[str, ...]:
        """The relation types in lower case (RFC 8288 section 3.3: a list separated by spaces)."""
        return tuple((self.param("rel") or "").lower().split())

    @property
    def type(self) -> str | None:
        """The media type the link announces, lower case and without parameters."""
        return _essence(self.param("type"))


def values(headers: Headers, name: str) -> tuple[tuple[str, int], ...]:
    """Every value of a field with its index in `headers`, in order, surrounding white space removed."""
    wanted = name.lower()
    return tuple((value.strip(_OWS), at) for at, (key, value) in enumerate(headers) if key.lower() == wanted)


def combined(headers: Headers, name: str) -> str | None:
    """All values of a field joined by ", " (RFC 9110 section 5.3); None where the field is absent."""
    found = values(headers, name)
    return ", ".join(value for value, _ in found) if found else None


def media_type(headers: Headers) -> str | None:
    """The media type of the response in lower case, without parameters.

    Of several `Content-Type` fields the last that is a media type counts (Fetch standard, "extract a MIME
    type"); None where there is none.
    """
    found = (_essence(value) for value, _ in reversed(values(headers, "content-type")))
    return next((essence for essence in found if essence is not None), None)


def charset(content_type: str | None) -> str | None:
    """The `charset` parameter of a `Content-Type` value, lower case; the first counts where it is repeated."""
    if content_type is None:
        return None
    start = content_type.find(";")
    parameters = _parameters(content_type, start)[0] if start >= 0 else ()
    return next((value.lower() for name, value in parameters if name == "charset" and value), None)


def parse_links(value: str) -> tuple[LinkValue, ...]:
    """The links of one `Link` field value (RFC 8288 appendix B.2), in order.

    Tolerant where that appendix gives up: a target without angle brackets ends at the next ";", "," or white
    space, and text after the parameters is skipped to the next comma.
    """
    return tuple(_links(value))


def _links(value: str) -> Iterator[LinkValue]:
    at = _skip(_BETWEEN, value, 0)
    while at < len(value):
        target, closed, end = _target(value, at)
        params, after, whole = _parameters(value, end)
        end = _skip(_TO_COMMA, value, after)
        clean = closed and whole and not value[after:end].strip()
        if target or closed:
            yield LinkValue(target, params, at, clean)
        at = _skip(_BETWEEN, value, end)


def _target(value: str, at: int) -> tuple[str, bool, int]:
    if match := _BRACKETED.match(value, at):
        return match[1].strip(), bool(match[2]), match.end()
    if match := _BARE_TARGET.match(value, at):
        return match[0], False, match.end()
    return "", False, at


def _parameters(value: str, at: int) -> tuple[tuple[tuple[str, str], ...], int, bool]:
    """The parameters from here on, where they end, and whether they were written as they should be."""
    found: list[tuple[str, str]] = []
    whole = True
    while match := _PARAMETER.match(value, at):
        text, closed = _unquote(match[2] or "")
        whole = whole and closed and not match[3].strip()
        if match[1]:
            found.append((match[1].lower().strip("\"'"), text))
        at = match.end()
    return tuple(found), at, whole


def _unquote(text: str) -> tuple[str, bool]:
    if not text.startswith('"'):
        return text.strip(" \t'"), True
    closed = len(text) > 1 and text.endswith('"')
    inner = text[1:-1] if closed else text[1:]
    return _ESCAPE.sub(r"\1", inner).strip(), closed


def _essence(content_type: str | None) -> str | None:
    if content_type is None:
        return None
    text = content_type.partition(";")[0].strip().lower()
    return text if _ESSENCE.fullmatch(text) else None


def _skip(pattern: re.Pattern[str], value: str, at: int) -> int:
    match = pattern.match(value, at)
    return match.end() if match else at
