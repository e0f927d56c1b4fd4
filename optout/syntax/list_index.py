r"""The indexed form of a list: a header that people can read, and sorted keys that a program searches where they lie.

    optout-list 1 8192\n          the form, its edition, and how many bytes the header has
    {"name": ..., ...}            the description, as one line of JSON, filled up with spaces to whole pages
    keys, directory               for each kind of match, in the order of `Match`

A key is the first 16 bytes of the BLAKE2b of an entry's normal form. The directory says for each beginning of some bits
where keys that begin so begin, as 32-bit numbers, the lower byte first, and ends with the count of keys. Keys are
spread evenly over their range, so between two numbers of the directory lies a dozen keys or two: a look-up touches
two pages, however long the list is. Entries themselves are not kept. What was found is known from what was looked for,
and two entries share a key by accident once in 10^38.
"""

from __future__ import annotations

import json
import sys
from array import array
from bisect import bisect_left
from dataclasses import dataclass, fields
from datetime import date
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from optout.errors import UnreadableInput
from optout.syntax.listing import Kind, Listing, Match
from optout.urls import match_target, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optout.urls import Origin

KEY_BYTES = 16
PAGE = 4096
"""The header is a multiple of this, so that keys begin where pages do."""

MAX_CUTS = 64
"""Places of a URL at which an entry may end, counted from its host; entries that end later are refused."""

_MAGIC = b"optout-list 1 "
_WIDEST = 10**15
_CUTS = "/?&"
_NUMBER_BYTES = 4
_TWO_NUMBERS = Struct("<II").unpack
_FIRST_WORD = Struct(">Q8x").unpack
_KEYS_ALIKE = 8
MOST_KEYS = 2**32 - 1
"""The most entries of one kind that a list can have."""


class Bytes(Protocol):
    """Bytes in memory, or a file that is mapped there."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


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
        bits: how many bits of a key the directory goes by, for each kind of match.
        body: the SHA-256 of everything after the header, in hexadecimal.
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
    counts: tuple[int, ...]
    bits: tuple[int, ...]
    body: str

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
        counts, bits = (dict(zip(map(str, Match), each, strict=True)) for each in (self.counts, self.bits))
        return form | {"as_of": self.as_of.isoformat(), "counts": counts, "bits": bits}


def header(description: Description, length: int) -> bytes:
    """The header of a list, filled up to its length."""
    return (_first_line(length) + _json(description)).ljust(length - 1) + b"\n"


def header_length(name: str, issuer: str, basis: str) -> int:
    """The bytes that the header of a list with such texts needs, whatever its counts will be."""
    widest = Description(
        name=name,
        issuer=issuer,
        kind=Kind.INFRINGING,
        basis=basis,
        as_of=date.max,
        form="dnsmasq",
        source="0" * 64,
        lines=_WIDEST,
        faults=_WIDEST,
        counts=(_WIDEST,) * len(Match),
        bits=(_WIDEST,) * len(Match),
        body="0" * 64,
    )
    needed = len(_first_line(_WIDEST) + _json(widest)) + 1
    return -(-needed // PAGE) * PAGE


def _first_line(length: int) -> bytes:
    return _MAGIC + str(length).encode("ascii") + b"\n"


def _json(description: Description) -> bytes:
    return json.dumps(description.json(), sort_keys=True, separators=(",", ":")).encode("ascii")


def parse_header(data: Bytes, label: str) -> tuple[Description, int]:
    """The description of a list and the length of its header.

    Args:
        data: the file.
        label: what an error calls it.

    Raises:
        UnreadableInput: it is not such a file, or not a whole one.
    """
    try:
        return _parse_header(data)
    except (ValueError, KeyError, TypeError) as fault:
        raise UnreadableInput(f"{label} is not a list in our form", mend="import its source again") from fault


def _parse_header(data: Bytes) -> tuple[Description, int]:
    first = data[:PAGE]
    line = first[: first.index(b"\n")]
    if not line.startswith(_MAGIC):
        raise ValueError("another form")
    length = int(line[len(_MAGIC) :])
    form = json.loads(data[len(line) + 1 : length])
    description = Description(
        **form
        | {
            "kind": Kind(form["kind"]),
            "as_of": date.fromisoformat(form["as_of"]),
            "counts": tuple(int(form["counts"][match]) for match in Match),
            "bits": tuple(int(form["bits"][match]) for match in Match),
        }
    )
    if len(data) != length + sum(map(_section_bytes, description.counts, description.bits)):
        raise ValueError("cut off")
    return description, length


def _section_bytes(count: int, bits: int) -> int:
    return count * KEY_BYTES + ((1 << bits) + 1) * _NUMBER_BYTES


def key_of(entry: str) -> bytes:
    """The key of an entry in its normal form."""
    return blake2b(entry.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


class Section:
    """The sorted keys of one kind of match, with their directory."""

    __slots__ = ("_count", "_data", "_directory", "_keys", "_shift")

    def __init__(self, data: Bytes, keys: int, count: int, bits: int) -> None:
        """Search in a file.

        Args:
            data: the file.
            keys: where the keys begin.
            count: how many there are.
            bits: how many bits of a key the directory goes by.
        """
        self._data, self._keys, self._count = data, keys, count
        self._directory = keys + count * KEY_BYTES
        self._shift = 64 - bits

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return bool(self.among({"": key}))

    def among(self, keys: Mapping[str, bytes]) -> list[str]:
        """Which of these entries are here, given with their keys."""
        data, first, directory, shift = self._data, self._keys, self._directory, self._shift
        present = []
        for entry, key in keys.items():
            at = directory + (_FIRST_WORD(key)[0] >> shift) * _NUMBER_BYTES
            begin, end = _TWO_NUMBERS(data[at : at + 2 * _NUMBER_BYTES])
            near = data[first + begin * KEY_BYTES : first + end * KEY_BYTES]
            found = near.find(key)
            # Bytes of two neighbours may look like the key.
            while found > 0 and found % KEY_BYTES:
                found = near.find(key, found + 1)
            if found >= 0:
                present.append(entry)
        return present


class Directory:
    """Makes the directory of a section from its keys."""

    def __init__(self, bits: int) -> None:
        self._shift = 64 - bits
        self._last = 1 << bits
        self._numbers = array("I")
        self._count = 0

    def add(self, keys: bytes) -> None:
        """Go on with these keys, sorted and behind all earlier ones."""
        words = array("Q", keys)
        if sys.byteorder == "little":
            words.byteswap()
        highs = words[::2]
        while len(self._numbers) < self._last and (bound := len(self._numbers) << self._shift) <= highs[-1]:
            self._numbers.append(self._count + bisect_left(highs, bound))
        self._count += len(highs)

    def finish(self) -> bytes:
        """The directory, when all keys are known."""
        numbers = self._numbers + array("I", [self._count]) * (self._last + 1 - len(self._numbers))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()


def directory_bits(count: int) -> int:
    """How many bits the directory of so many keys goes by: 8 to 16 keys begin alike."""
    return max(0, (count // _KEYS_ALIKE).bit_length() - 1)


class Index:
    """A list that can be searched."""

    __slots__ = ("_sections", "description")

    def __init__(self, data: Bytes, label: str) -> None:
        """Search in a file that lies in memory, or is mapped there.

        Raises:
            UnreadableInput: it is not a list in our form, or not a whole one.
        """
        self.description, at = parse_header(data, label)
        self._sections: dict[Match, Section] = {}
        for match, count, bits in zip(Match, self.description.counts, self.description.bits, strict=True):
            self._sections[match] = Section(data, at, count, bits)
            at += _section_bytes(count, bits)

    def host(self, keys: Mapping[str, bytes]) -> list[tuple[Match, str]]:
        """What stands on the list of a host and the domains above it, from `host_keys`."""
        hosts, domains = self._sections[Match.HOST], self._sections[Match.DOMAIN]
        found = [(Match.DOMAIN, name) for name in domains.among(keys)] if len(domains) else []
        if len(hosts):
            narrowest = next(iter(keys))
            found[:0] = [(Match.HOST, name) for name in hosts.among({narrowest: keys[narrowest]})]
        return found

    def one_of(self, match: Match, keys: Mapping[str, bytes]) -> list[tuple[Match, str]]:
        """Which of these stand on the list."""
        return [(match, entry) for entry in self._sections[match].among(keys)]

    def has(self, match: Match) -> bool:
        """Whether it has entries of a kind at all."""
        return len(self._sections[match]) > 0


def host_keys(host: str) -> dict[str, bytes]:
    """A host and the domains above it, the narrowest first, with their keys; single labels are no domains."""
    keys = {host: key_of(host)}
    for _ in range(host.count(".") - 1):
        host = host.partition(".")[2]
        keys[host] = key_of(host)
    return keys


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
