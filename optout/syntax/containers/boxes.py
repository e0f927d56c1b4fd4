"""Box-structured files: HEIF, AVIF, MP4, MOV, M4A and JPEG XL.

ISO/IEC 14496-12 (boxes, `meta`, `iinf`, `iloc`, `iref`); ISO/IEC 23008-12 (HEIF); ISO/IEC 18181-2 (JPEG XL);
XMP specification part 3, sections 1.1.8 and 1.2 (`uuid`, `XMP_`); C2PA 2.2 annexes A.3.7, A.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optout.syntax.containers import heif
from optout.syntax.inflate import unbrotli
from optout.syntax.located import MAX_DEPTH, MAX_STEPS, Fault, Findings, Slot, Source, Unreadable

_XMP_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_C2PA_UUID = bytes.fromhex("D8FEC3D61B0E483C92975828877EC481")
_MAX_BROTLI = 1024 * 1024
_ESSENTIAL = frozenset((b"moov", b"moof", b"meta", b"jxlc", b"jxlp"))
_ENTERED = frozenset((b"moov", b"udta"))


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its type, and where its content begins and ends in the file."""

    kind: bytes
    start: int
    end: int


def walk(source: Source, found: Findings) -> None:
    """Look at every top-level box, because `moov` and `uuid` may stand at the end."""
    whole = False
    for box in boxes(source, 0, source.size):
        whole = whole or box.kind in _ESSENTIAL
        if box.kind == b"uuid":
            _uuid(source, box, found)
        elif box.kind == b"moov":
            _movie(source, box, found, depth=1)
        elif box.kind == b"meta":
            heif.walk(source, box.start, box.end, found)
        elif box.kind in _JXL:
            _JXL[box.kind](source, box, found)
    if not whole:
        # Cut between two boxes, a file shows no other sign of what is missing.
        raise Unreadable(Fault.TRUNCATED, source.size, "box")


def boxes(source: Source, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets.

    Raises:
        Unreadable: a box is shorter than its own header, or longer than what holds it.
    """
    position = start
    for _ in range(MAX_STEPS):
        if end - position < 8 and not source.read(position, end - position).strip(b"\0"):
            return
        head = source.exactly(position, 8, "box")
        size, kind, header = int.from_bytes(head[:4]), head[4:], 8
        if size == 1:
            size, header = int.from_bytes(source.exactly(position + 8, 8, "box")), 16
        elif size == 0:
            size = end - position
        if size < header:
            raise Unreadable(Fault.DAMAGED, position, "box")
        if position + size > end:
            raise Unreadable(Fault.TRUNCATED, position, "box")
        yield Box(kind, position + header, position + size)
        position += size
    raise Unreadable(Fault.TOO_MANY_PARTS, position, "box")


def _uuid(source: Source, box: Box, found: Findings) -> None:
    name = source.read(box.start, 16)
    if name == _XMP_UUID:
        start = box.start + 16
        found.add(Slot.XMP, "uuid", source.packet(start, box.end - start, "uuid"), start)
    elif name == _C2PA_UUID:
        found.manifest(box.start)


def _movie(source: Source, box: Box, found: Findings, depth: int) -> None:
    """Enter `moov` and `udta` for QuickTime's `XMP_`; tracks describe parts."""
    if depth > MAX_DEPTH:
        raise Unreadable(Fault.TOO_DEEP, box.start, "moov")
    # QuickTime may end user data with four zero bytes instead of a box.
    end = box.end - 4 if box.kind == b"udta" and source.read(box.end - 4, 4) == b"\0\0\0\0" else box.end
    for inner in boxes(source, box.start, max(end, box.start)):
        if inner.kind == b"XMP_":
            packet = source.packet(inner.start, inner.end - inner.start, "XMP_")
            found.add(Slot.XMP, "moov/udta/XMP_", packet, inner.start)
        elif inner.kind in _ENTERED:
            _movie(source, inner, found, depth + 1)


def _xml(source: Source, box: Box, found: Findings) -> None:
    found.add(Slot.XMP, "xml", source.packet(box.start, box.end - box.start, "xml"), box.start)


def _jumbf(source: Source, box: Box, found: Findings) -> None:
    if b"jumdc2pa" in source.read(box.start, min(box.end - box.start, 64)):
        found.manifest(box.start)


def _brotli(source: Source, box: Box, found: Findings) -> None:
    """A compressed box: four bytes of the real type, then a Brotli stream."""
    kind = source.exactly(box.start, 4, "brob")
    if kind not in {b"xml ", b"jumb"}:
        return
    data = source.packet(box.start + 4, box.end - box.start - 4, "brob")
    content = unbrotli(data, _MAX_BROTLI, box.start)
    if kind == b"xml ":
        found.add(Slot.XMP, "brob xml", content, box.start)
    elif b"jumdc2pa" in content[:64]:
        found.damage(Fault.UNSUPPORTED, box.start, "brob jumb", Slot.C2PA)


_JXL = {b"xml ": _xml, b"jumb": _jumbf, b"brob": _brotli}
