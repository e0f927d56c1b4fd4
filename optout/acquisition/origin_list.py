"""The list of origins to harvest: hosts, origins or URLs, one a line, read one at a time however many there are."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING

from optout.errors import MalformedUrl
from optout.urls import origin_of, registrable_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.urls import Origin

_SCHEMES = ("https", "http")
_LONGEST_LINE = 65_536
_AUTHORITY_END = re.compile(r"[/?#]")
# A host with a port looks alike, and has a digit there.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]*:(?![0-9])")
_NAME_ONE = "name a host, or an http:// or https:// URL"
_PACKED = ("compressed", "give what is in it, for instance: zcat LIST.gz | optout harvest -")
_WIDE = ("in UTF-16", "write it in UTF-8")
_NO_LISTS = {
    b"\x1f\x8b": _PACKED,
    b"\x28\xb5\x2f\xfd": _PACKED,
    b"BZh91AY": _PACKED,
    b"\xfd7zXZ": _PACKED,
    b"PK\x03\x04": _PACKED,
    b"\xff\xfe": _WIDE,
    b"\xfe\xff": _WIDE,
    b"PAR1\x15": ("a Parquet file", "write its column of URLs as text, one a line"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the list.

    Attributes:
        origins: what it means, in the order of trying; a bare host means https, and http where nothing answers.
        domain: whose they are, for politeness.
    """

    origins: tuple[Origin, ...]
    domain: str

    @property
    def key(self) -> str:
        """The text of the first origin."""
        return self.origins[0].text


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that names no origin: its number and why."""

    number: int
    why: str


def read(lines: Iterable[bytes]) -> Iterator[Target | BadLine]:
    """Read a list; empty lines and lines that begin with `#` mean nothing."""
    for number, text in _meant(lines):
        try:
            yield target(text)
        except MalformedUrl as error:
            yield BadLine(number, str(error))


def count(lines: Iterable[bytes]) -> int:
    """How many lines of a list mean something."""
    return sum(1 for _ in _meant(lines))


def unreadable(begin: bytes) -> tuple[str, str] | None:
    """What a file is instead of a list, by its first bytes, and the mend; None for anything that might be one."""
    return next((what for mark, what in _NO_LISTS.items() if begin.startswith(mark)), None)


def _meant(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        text = line[:_LONGEST_LINE].decode("utf-8", "surrogateescape").strip("\ufeff \t\r\n")
        if text and not text.startswith("#"):
            yield number, text


def target(text: str) -> Target:
    """What a line means.

    Raises:
        MalformedUrl: it names no origin, or one of another scheme than http and https.
    """
    if "\t" in _AUTHORITY_END.split(text.partition("://")[2] or text, maxsplit=1)[0]:
        # Readers of URLs leave a tab out, and what is left of two columns is the host of somebody else.
        raise MalformedUrl(f"a tab in {text[:80]!a}", mend="write one host, origin or URL a line, no columns")
    urls = (text,) if "://" in text else _bare(text)
    origins = tuple(origin_of(url) for url in urls)
    if origins[0].scheme not in _SCHEMES:
        raise MalformedUrl(f"cannot harvest '{origins[0].scheme}:'", mend=_NAME_ONE)
    return Target(origins, registrable_domain(origins[0].host))


def _bare(text: str) -> tuple[str, ...]:
    """The URLs that a text without a scheme of the web stands for."""
    with suppress(AddressValueError):
        text = f"[{IPv6Address(text).compressed}]"
    if found := _SCHEME.match(text):
        raise MalformedUrl(f"cannot harvest {found[0]!r}", mend=_NAME_ONE)
    return tuple(f"{scheme}://{text}" for scheme in _SCHEMES)
