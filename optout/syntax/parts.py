"""What was located in a file as exchanges, so that readers, archive and log treat it like everything else fetched.

A part is small (a packet, a package document, a report on a manifest store), while the file may be a film. The
archive can therefore keep what a decision rests on without keeping the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optout.model import ASSET, Exchange, Place
from optout.syntax.located import Damage, Fault, Located, Packet, Slot, Source

NEAR = "near match"
"""How the place of a part begins that is about a similar work, and therefore only a hint."""

_EDGE = 1024 * 1024
_CONTEXT = 200
_MAX_REMNANTS = 16
_RESERVING = (
    rb"DMI-PROHIBITED"
    rb"|D\0M\0I\0-\0P\0R\0O\0H\0I\0B\0I\0T\0E\0D"
    rb"|reservation[\"']?\s*(?:content)?\s*(?:=\s*[\"']|>)\s*1\s*[\"'<]"
)
_RESTRICTIVE = re.compile(_RESERVING)
_RESTRICTIVE_OR_MANIFEST = re.compile(_RESERVING + rb"|notAllowed|jumdc2pa")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file, as a reader gets it.

    Attributes:
        slot: the kind of place it was found in.
        where: the place in the container's own words; the URL for a remote manifest.
        offset: of the part in the file, in bytes.
        asset_type: the media type of the file.
        data: its bytes; where it could not be read, what is left of it.
        fault: why it could not be read, None where it could.
        doubtful: whether permissions in it do not count, because the file was repaired or contradicts itself.
        resource: how places name the file.
    """

    slot: Slot
    where: str
    offset: int
    asset_type: str
    data: bytes
    fault: Fault | None
    doubtful: bool
    resource: str

    def place(self, field: str, line: int | None = None) -> Place:
        """A place inside this part."""
        return Place(self.resource, line, self.offset, f"{self.where}: {field}" if self.where else field)


def part_of(exchange: Exchange) -> Part:
    """The part that an exchange of role `ASSET` holds."""
    fields = dict(exchange.headers)
    return Part(
        slot=Slot(fields["slot"]),
        where=fields["where"],
        offset=int(fields["offset"]),
        asset_type=fields["asset-type"],
        data=exchange.body,
        fault=Fault(exchange.error) if exchange.error else None,
        doubtful="doubtful" in fields,
        resource=exchange.url,
    )


def of_packet(url: str, located: Located, packet: Packet) -> Exchange:
    """The exchange of a packet that could be read."""
    fields = _fields(located, packet.slot, packet.where, packet.offset)
    return Exchange(url, ASSET, 200, fields, packet.data)


def of_damage(url: str, located: Located, damage: Damage, remnants: bytes) -> Exchange:
    """The exchange of something that could not be read, with what is left of restrictive words in the file."""
    fields = _fields(located, damage.slot, damage.where, damage.offset)
    return Exchange(url, ASSET, None, fields, remnants, error=damage.fault)


def of_report(url: str, located: Located, report: bytes) -> Exchange:
    """The exchange of a report on the manifest store that stands in the file."""
    return Exchange(url, ASSET, 200, _fields(located, Slot.C2PA, "manifest store", located.c2pa or 0), report)


def _fields(located: Located, slot: Slot, where: str, offset: int) -> tuple[tuple[str, str], ...]:
    fields = (("slot", slot), ("where", where), ("offset", str(offset)), ("asset-type", located.media_type))
    return fields if located.sound else (*fields, ("doubtful", "1"))


def slot_of(exchange: Exchange) -> str:
    """The slot of a part, before anything else of it is looked at."""
    return exchange.headers[0][1]


def is_restrictive(data: bytes) -> bool:
    """Whether a part holds a word that reserves; spares a cross-check that could only confirm it."""
    return b"DMI-PROHIBITED" in data or _RESTRICTIVE.search(data) is not None


def remnants(source: Source, located: Located) -> bytes:
    """Restrictive words with their surroundings, from the first and the last mebibyte, a line each.

    This is the last resort for damaged files and the cross-check of permissions; it is no way to read a sound file,
    because it sees thumbnails and older revisions too. Words of a manifest count where no manifest was located.
    """
    words = _RESTRICTIVE_OR_MANIFEST if located.c2pa is None else _RESTRICTIVE
    found = list(dict.fromkeys(_matches(source, words)))
    return b"\n".join(found[:_MAX_REMNANTS])


def _matches(source: Source, words: re.Pattern[bytes]) -> Iterator[bytes]:
    starts = (0, source.size - _EDGE) if source.size > _EDGE else (0,)
    for start in starts:
        edge = source.read(start, _EDGE)
        for match in words.finditer(edge):
            yield edge[max(match.start() - _CONTEXT, 0) : match.end() + _CONTEXT].replace(b"\n", b" ")
