"""RIFF: XMP and C2PA in top-level chunks of WebP, WAV and AVI.

WebP container specification (RFC 9649, section 2.7); XMP specification part 3, section 1.3.2 (`_PMX`);
EBU Tech 3306 (RF64); C2PA 2.2 annex A.3.4. What stands inside LIST chunks describes parts.
"""

from __future__ import annotations

from collections.abc import Iterator

from optout.syntax.located import MAX_STEPS, Fault, Findings, Slot, Source, Unreadable

_XMP = frozenset((b"XMP ", b"_PMX"))
_FORMS = frozenset((b"RIFF", b"RF64", b"BW64"))
_STREAMED = 0x7FFF0000
"""Sizes from here on are what writers put down who did not know how long the file would be."""

_OPEN_ENDED = 0xFFFFFFFF


def walk(source: Source, found: Findings) -> None:
    """Look at every chunk of every RIFF form in the file: an AVI file over 1 GiB has several."""
    for name, offset, length in _chunks(source):
        if name in _XMP:
            found.add(Slot.XMP, name.decode().strip(), source.packet(offset, length, "chunk"), offset)
        elif name == b"C2PA":
            found.manifest(offset)


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset of the data and its length."""
    position, wide, promised = 0, 0, 0
    for _ in range(MAX_STEPS):
        head = source.read(position, 8)
        if len(head) < 8:
            _check_end(source, position, promised)
            return
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name in _FORMS:
            promised = position + 8 + length if length < _STREAMED else 0
            position += 12
            continue
        if not name.isascii() or not name.decode("ascii").isprintable():
            raise Unreadable(Fault.DAMAGED, position, "chunk")
        if name == b"ds64":
            wide = int.from_bytes(source.exactly(position + 16, 8, "ds64"), "little")
        if name == b"data" and length == _OPEN_ENDED:
            length = wide or source.size - position - 8
        if position + 8 + length > source.size:
            raise Unreadable(Fault.TRUNCATED, position, "chunk")
        yield name, position + 8, length
        position += 8 + length + (length & 1)
    raise Unreadable(Fault.TOO_MANY_PARTS, position, "chunk")


def _check_end(source: Source, position: int, promised: int) -> None:
    """Behind the last chunk nothing but padding may be left, and no form may have promised more."""
    if promised > source.size or source.read(position, 8).strip(b"\0"):
        raise Unreadable(Fault.TRUNCATED, position, "form")
