"""TIFF, BigTIFF, DNG and relatives: XMP in tag 700, C2PA in tag 52545 of the main directories.

TIFF 6.0, section 2; BigTIFF (magic 43); XMP specification part 3, section 1.1.7; C2PA 2.2 annex A.3.6.
Directories below the main ones (thumbnails, raw data, Exif) describe parts and are not entered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from optout.syntax.located import Fault, Findings, Slot, Source, Unreadable

_XMP_TAG, _C2PA_TAG = 700, 52545
_MAX_DIRECTORIES = 32
_MAX_ENTRIES = 4096
_SIZES = {1: 1, 2: 1, 6: 1, 7: 1, 3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order, and the widths in bytes of the count, an entry and an offset."""

    order: Literal["little", "big"]
    count: int
    entry: int
    offset: int


def walk(source: Source, found: Findings) -> None:
    """Follow the chain of main directories."""
    layout = _layout(source)
    start = 4 if layout.offset == 4 else 8
    position = _number(source, start, layout.offset, layout)
    seen: set[int] = set()
    while position:
        if position in seen:
            raise Unreadable(Fault.DAMAGED, position, "IFD")
        if len(seen) == _MAX_DIRECTORIES:
            raise Unreadable(Fault.TOO_MANY_PARTS, position, "IFD")
        seen.add(position)
        position = _directory(source, position, layout, found)


def _layout(source: Source) -> _Layout:
    order: Literal["little", "big"] = "little" if source.head.startswith(b"II") else "big"
    magic = int.from_bytes(source.exactly(2, 2, "header"), order)
    return _Layout(order, 8, 20, 8) if magic == 43 else _Layout(order, 2, 12, 4)


def _number(source: Source, position: int, width: int, layout: _Layout) -> int:
    return int.from_bytes(source.exactly(position, width, "IFD"), layout.order)


def _directory(source: Source, position: int, layout: _Layout, found: Findings) -> int:
    """Read one directory; return the position of the next, 0 at the end."""
    count = _number(source, position, layout.count, layout)
    if not count or count > _MAX_ENTRIES:
        raise Unreadable(Fault.DAMAGED if not count else Fault.TOO_MANY_PARTS, position, "IFD")
    start = position + layout.count
    entries = source.exactly(start, count * layout.entry, "IFD")
    for at in range(0, len(entries), layout.entry):
        tag = int.from_bytes(entries[at : at + 2], layout.order)
        if tag == _XMP_TAG:
            _xmp(source, entries[at : at + layout.entry], start + at, layout, found)
        elif tag == _C2PA_TAG:
            found.manifest(start + at)
    return _number(source, start + len(entries), layout.offset, layout)


def _xmp(source: Source, entry: bytes, position: int, layout: _Layout, found: Findings) -> None:
    width = layout.offset
    kind = int.from_bytes(entry[2:4], layout.order)
    length = int.from_bytes(entry[4 : 4 + width], layout.order) * _SIZES.get(kind, 1)
    value = entry[4 + width : 4 + 2 * width]
    if length <= width:
        found.add(Slot.XMP, "tag 700", value[:length], position + 4 + width)
        return
    offset = int.from_bytes(value, layout.order)
    found.add(Slot.XMP, "tag 700", source.packet(offset, length, "tag 700"), offset)
