"""JPEG: XMP in APP1 (also Extended XMP), C2PA in APP11.

ISO/IEC 10918-1 annex B (markers); XMP specification part 3, section 1.1.3 (APP1 and Extended XMP);
C2PA 2.2 annex A.3.1 (JUMBF in APP11, ISO/IEC 19566-5 annex D).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5

from optout.syntax.located import MAX_PACKET, Fault, Findings, Slot, Source, Unreadable

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_HEADER = len(_EXTENSION) + 32 + 8
_MAX_SEGMENTS = 4096
_APP1, _APP11 = 0xE1, 0xEB
_ENDS = frozenset((0xDA, 0xD9))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))


def walk(source: Source, found: Findings) -> None:
    """Look at every segment before the first scan: metadata may not stand behind it."""
    main: list[bytes] = []
    extensions: dict[bytes, _Extension] = {}
    try:
        for marker, offset, length in _segments(source, found):
            if marker == _APP1:
                _app1(source, offset, length, found, main, extensions)
            elif marker == _APP11 and b"jumdc2pa" in source.read(offset, min(length, 64)):
                found.manifest(offset)
    finally:
        for guid, extension in extensions.items():
            _close(guid, extension, main, found)


def _segments(source: Source, found: Findings) -> Iterator[tuple[int, int, int]]:
    """Yield marker, offset of the content and its length for each segment that has one."""
    position, head, size = 2, source.head, source.size
    for _ in range(_MAX_SEGMENTS):
        # The first bytes are at hand; going through `Source` for each marker would double the time of the walk.
        lead = head[position : position + 4]
        if len(lead) < 4:
            lead = source.exactly(position, 4, "marker")
        first, marker, high, low = lead
        if first != 0xFF:
            position = _resynchronised(source, position, found)
        elif marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _ENDS:
            return
        else:
            length = high << 8 | low
            if length < 2 or position + 2 + length > size:
                raise Unreadable(Fault.TRUNCATED if length >= 2 else Fault.DAMAGED, position, "segment")
            yield marker, position + 4, length - 2
            position += 2 + length
    raise Unreadable(Fault.TOO_MANY_PARTS, position, "segment")


def _resynchronised(source: Source, position: int, found: Findings) -> int:
    """Skip stray bytes between segments, as decoders do; the walk stays linear because it only moves on.

    Writers pad with zeros. Anything else may be what is left of a damaged segment.
    """
    stray = source.read(position, 65_536)
    at = stray.find(b"\xff")
    if at < 0:
        raise Unreadable(Fault.DAMAGED, position, "marker")
    if stray[:at].strip(b"\0"):
        found.damage(Fault.DAMAGED, position, "marker")
    return position + at


def _app1(
    source: Source,
    offset: int,
    length: int,
    found: Findings,
    main: list[bytes],
    extensions: dict[bytes, _Extension],
) -> None:
    data = source.read(offset, length)
    if data.startswith(_XMP):
        main.append(data[len(_XMP) :])
        found.add(Slot.XMP, "APP1", main[-1], offset)
    elif data.startswith(_EXTENSION) and length >= _EXTENSION_HEADER:
        guid = data[len(_EXTENSION) : len(_EXTENSION) + 32]
        extensions.setdefault(guid, _Extension(offset)).add(data[len(_EXTENSION) + 32 :], offset)


class _Extension:
    """An Extended XMP packet on its way: parts by their offset in the whole."""

    __slots__ = ("offset", "parts", "size", "total")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.total = 0
        self.size = 0
        self.parts: dict[int, bytes] = {}

    def add(self, part: bytes, offset: int) -> None:
        """Keep one segment: four bytes of full length, four of offset, then the text."""
        self.total = int.from_bytes(part[:4])
        self.size += len(part) - 8
        if self.size > MAX_PACKET:
            raise Unreadable(Fault.TOO_LARGE, offset, "Extended XMP")
        self.parts[int.from_bytes(part[4:8])] = part[8:]

    def text(self) -> bytes:
        """The parts in order of their offsets; gaps are left out."""
        return b"".join(part for _, part in sorted(self.parts.items()))


def _close(guid: bytes, extension: _Extension, main: list[bytes], found: Findings) -> None:
    """Keep an Extended XMP packet; one that is incomplete or that the main packet does not name is noted as damage.

    The specification tells readers to pass over a packet that is not named. Its prohibitions still count here,
    because nobody writes them by accident, and the damage keeps its permissions from counting.
    """
    text = extension.text()
    digest = md5(text, usedforsecurity=False).hexdigest().upper().encode()
    if digest != guid.upper() or len(text) != extension.total or not any(guid in packet for packet in main):
        found.damage(Fault.DAMAGED, extension.offset, "Extended XMP")
    found.add(Slot.XMP, "Extended XMP", text, extension.offset)
