r"""The indexed form of a list: a header that people can read, and sorted keys that a program searches where they lie.

    optout-list 1 8192\n          the form, its edition, and how many bytes the header has
    {"name": ..., ...}            the description, as one line of JSON, filled up with spaces to whole pages
    keys                          one section for each kind of match, in the order of `Match`

A key is the first 16 bytes of the BLAKE2b of an entry's normal form, written as two 64-bit numbers, the lower byte
first. Keys are spread evenly over their range, so that a key's value tells where in the section it must lie: a look-up
touches a page or two, however long the list is. Entries themselves are not kept. What was found is known from what was
looked for, and two entries share a key by accident once in 10^38.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_left
from dataclasses import dataclass, fields
from datetime import date
from hashlib import blake2b
from math import isqrt
from typing import TYPE_CHECKING

from optout.errors import UnreadableInput
from optout.syntax.listing import Kind, Listing, Match
from optout.urls import match_target, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optout.urls import Origin

KEY_BYTES = 16
PAGE = 4096
"""The header is a multiple of this, so that keys begin where pages do."""

MAX_CUTS = 64
"""Places of a URL at which an entry may end, counted from its host; entries that end later are refused."""

_MAGIC = b"optout-list 1 "
_WIDEST = 10**15
_CUTS = "/?&"


@dataclass(frozen=True, slots=True)
class Description:
    """Everything about a list but its entries.

    Attributes:
        name: what people call it.
        issuer: who keeps it.
        kind: what it means to stand on it.
        basis: the legal basis on which it is used.
        as_of: the date of its contents.
        form: the form of the file that it was imported from.
        source: the SHA-256 of that file, in hexadecimal.
        lines: how many lines the file has.
        faults: how many of them could not be used.
        counts: how many different entries it has, for each kind of match.
        keys: the SHA-256 of the keys, in hexadecimal.
    """

    name: str
    issuer: str
    kind: Kind
    basis: str
    as_of: date
    form: str
    source: str
    lines: int
    faults: int
    counts: tuple[int, int, int, int]
    keys: str

    @property
    def entries(self) -> int:
        """How many different entries it has in all."""
        return sum(self.counts)

    def listing(self, match: Match, entry: str) -> Listing:
        """The report of an entry that was found."""
        return Listing(self.name, self.issuer, self.kind, self.basis, self.as_of.isoformat(), self.source, match, entry)

    def json(self) -> dict[str, object]:
        """The description as an object."""
        form: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        counts = {str(match): count for match, count in zip(Match, self.counts, strict=True)}
        return form | {"as_of": self.as_of.isoformat(), "counts": counts}


def header(description: Description, length: int) -> bytes:
    """The header of a list, filled up to its length."""
    return (_first_line(length) + _json(description)).ljust(length - 1) + b"\n"


def header_length(name: str, issuer: str, basis: str) -> int:
    """The bytes that the header of a list with such texts needs, whatever its counts will be."""
    widest = Description(
        name, issuer, Kind.INFRINGING, basis, date.max, "dnsmasq", "0" * 64, _WIDEST, _WIDEST, (_WIDEST,) * 4, "0" * 64
    )
    needed = len(_first_line(_WIDEST) + _json(widest)) + 1
    return -(-needed // PAGE) * PAGE


def _first_line(length: int) -> bytes:
    return _MAGIC + str(length).encode("ascii") + b"\n"


def _json(description: Description) -> bytes:
    return json.dumps(description.json(), sort_keys=True, separators=(",", ":")).encode("ascii")


def parse_header(data: bytes | memoryview, label: str) -> tuple[Description, int]:
    """The description of a list and the length of its header.

    Args:
        data: the file.
        label: what an error calls it.

    Raises:
        UnreadableInput: it is not such a file, or not a whole one.
    """
    try:
        return _parse_header(bytes(data[:PAGE]), data)
    except (ValueError, KeyError, TypeError) as fault:
        raise UnreadableInput(f"{label} is not a list in our form", mend="import its source again") from fault


def _parse_header(first: bytes, data: bytes | memoryview) -> tuple[Description, int]:
    line = first[: first.index(b"\n")]
    if not line.startswith(_MAGIC):
        raise ValueError("another form")
    length = int(line[len(_MAGIC) :])
    form = json.loads(bytes(data[len(line) + 1 : length]))
    counts = form.pop("counts")
    description = Description(
        **form
        | {
            "kind": Kind(form["kind"]),
            "as_of": date.fromisoformat(form["as_of"]),
            "counts": tuple(int(counts[match]) for match in Match),
        }
    )
    if len(data) != length + description.entries * KEY_BYTES:
        raise ValueError("cut off")
    return description, length


def key_of(entry: str) -> bytes:
    """The key of an entry in its normal form."""
    return blake2b(entry.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


class Section:
    """The sorted keys of one kind of match."""

    __slots__ = ("_count", "_high", "_low", "_slack")

    def __init__(self, words: memoryview) -> None:
        """Search in words of 64 bits: the upper and the lower half of one key after the other."""
        self._high, self._low = words[::2], words[1::2]
        self._count = len(self._high)
        # The place of a key strays from where its value puts it by half the square root of the count; eight times that.
        self._slack = 4 * isqrt(self._count) + 4

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        high, low = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
        at = self._first(high)
        while at < self._count and self._high[at] == high:
            if self._low[at] == low:
                return True
            at += 1
        return False

    def _first(self, high: int) -> int:
        """Where keys with this upper half begin, looked for around the place where they should be."""
        guess = high * self._count >> 64
        begin, end = max(0, guess - self._slack), min(self._count, guess + self._slack)
        if (begin and self._high[begin - 1] >= high) or (end < self._count and self._high[end] < high):
            begin, end = 0, self._count
        return bisect_left(self._high, high, begin, end)


class Index:
    """A list that can be searched."""

    __slots__ = ("_sections", "description")

    def __init__(self, data: memoryview, label: str) -> None:
        """Search in a file that lies in memory, or is mapped there.

        Raises:
            UnreadableInput: it is not a list in our form, or this machine writes numbers the other way round.
        """
        if sys.byteorder != "little":
            raise UnreadableInput(f"{label} needs a little-endian machine")
        self.description, at = parse_header(data, label)
        self._sections: dict[Match, Section] = {}
        for match, count in zip(Match, self.description.counts, strict=True):
            end = at + count * KEY_BYTES
            self._sections[match] = Section(data[at:end].cast("Q"))
            at = end

    def host(self, keys: Mapping[str, bytes]) -> Iterator[tuple[Match, str]]:
        """What stands on the list of a host and the domains above it, from `host_keys`."""
        hosts, domains = self._sections[Match.HOST], self._sections[Match.DOMAIN]
        for number, (name, key) in enumerate(keys.items()):
            if number == 0 and key in hosts:
                yield Match.HOST, name
            if key in domains:
                yield Match.DOMAIN, name

    def one_of(self, match: Match, keys: Mapping[str, bytes]) -> Iterator[tuple[Match, str]]:
        """Which of these stand on the list."""
        section = self._sections[match]
        return ((match, entry) for entry, key in keys.items() if key in section) if len(section) else iter(())

    def has(self, match: Match) -> bool:
        """Whether it has entries of a kind at all."""
        return len(self._sections[match]) > 0


def host_keys(host: str) -> dict[str, bytes]:
    """A host and the domains above it, the narrowest first, with their keys; single labels are no domains."""
    names = [host]
    while host.count(".") > 1:
        host = host.partition(".")[2]
        names.append(host)
    return {name: key_of(name) for name in names}


def url_keys(url: str) -> dict[str, bytes]:
    """Everything above a URL that an entry could name, and the URL itself, with their keys.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    target = match_target(url)
    cuts = [at for at, character in enumerate(target) if character in _CUTS][:MAX_CUTS]
    parts = dict.fromkeys(target[:cut].rstrip("/") for cut in (*cuts, len(target)))
    return {site + part: key_of(site + part) for site in _sites(origin_of(url)) for part in parts}


def url_entry(url: str) -> str:
    """The normal form of an entry that is a URL: host without `www.`, port, path, query; no slash at the end.

    An entry without a port is for every port, and every entry is for http and https alike.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    return _without_www(origin_of(url).authority) + match_target(url).rstrip("/")


def cuts_of(entry: str) -> int:
    """At how many places the entry could have ended, itself included; more than `MAX_CUTS` are never found."""
    return sum(entry.count(character) for character in _CUTS) + 1


def _sites(origin: Origin) -> tuple[str, ...]:
    names = (origin.authority,) if origin.port is None else (origin.authority, origin._replace(port=None).authority)
    return tuple(_without_www(name) for name in names)


def _without_www(authority: str) -> str:
    return authority.removeprefix("www.") if authority.count(".") > 1 else authority
