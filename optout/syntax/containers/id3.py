"""MP3 and FLAC: XMP in PRIV frames, C2PA in GEOB frames of a leading ID3v2 tag.

ID3v2.2, 2.3 and 2.4 (https://id3.org), sections 3 and 4; XMP specification part 3, section 1.3.3;
C2PA 2.2 annex A.3.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from optout.syntax.located import MAX_PACKET, Fault, Findings, Slot, Source, Unreadable

_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40
_C2PA_TYPES = frozenset((b"application/x-c2pa-manifest-store", b"application/c2pa"))
_MAX_TAG = 4 * MAX_PACKET
_MAX_FRAMES = 16_384
_GEOB = frozenset((b"GEOB", b"GEO"))
_CARRIERS = _GEOB | {b"PRIV"}


def walk(source: Source, found: Findings) -> None:
    """Look at every frame of the tag at the start of the file, if there is one."""
    if not source.head.startswith(b"ID3"):
        return
    head = source.exactly(0, 10, "ID3")
    version, flags, length = head[3], head[5], synchsafe(head[6:10])
    if version not in {2, 3, 4}:
        raise Unreadable(Fault.UNSUPPORTED, 3, "ID3")
    if length > _MAX_TAG:
        raise Unreadable(Fault.TOO_LARGE, 0, "ID3")
    tag = source.exactly(10, length, "ID3")
    if flags & _UNSYNCHRONISED and version < 4:
        tag = _synchronised(tag)
    for name, offset, data in _frames(tag, version, extended=bool(flags & _EXTENDED)):
        if name == b"PRIV" and data.startswith(b"XMP\0"):
            found.add(Slot.XMP, "PRIV", data[4:], 10 + offset)
        elif name in _GEOB and data[1:].partition(b"\0")[0] in _C2PA_TYPES:
            found.manifest(10 + offset)


def synchsafe(data: bytes) -> int:
    """The number in bytes of seven bits each (ID3v2.4 section 6.2)."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(reversed(data), range(0, 7 * len(data), 7), strict=True))


def _synchronised(data: bytes) -> bytes:
    """Undo unsynchronisation (ID3v2.4 section 6.1)."""
    return data.replace(b"\xff\0", b"\xff")


def _frames(tag: bytes, version: int, *, extended: bool) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield identifier, offset in the tag and content of each frame that may carry something."""
    position = _after_extended_header(tag, version) if extended else 0
    name_size, header = (3, 6) if version == 2 else (4, 10)
    for _ in range(_MAX_FRAMES):
        name = tag[position : position + name_size]
        if len(name) < name_size or not name.strip(b"\0"):
            return
        digits = tag[position + name_size : position + (6 if version == 2 else 8)]
        length = synchsafe(digits) if version == 4 else int.from_bytes(digits)
        start = position + header
        if not name.isalnum() or start + length > len(tag):
            raise Unreadable(Fault.DAMAGED, 10 + position, "ID3 frame")
        data = tag[start : start + length]
        if name in _CARRIERS:
            yield name, start, _content(data, tag[position + 9], start) if version == 4 else data
        position = start + length
    raise Unreadable(Fault.TOO_MANY_PARTS, 10 + position, "ID3 frame")


def _after_extended_header(tag: bytes, version: int) -> int:
    """The position behind the extended header; its size counts itself in version 2.4 only."""
    return synchsafe(tag[:4]) if version == 4 else int.from_bytes(tag[:4]) + 4


def _content(data: bytes, flags: int, start: int) -> bytes:
    """The content of a version 2.4 frame, its format flags undone (section 4.1.2)."""
    if flags & 0x0C:
        raise Unreadable(Fault.UNSUPPORTED, 10 + start, "compressed or encrypted ID3 frame")
    if flags & 0x40:
        data = data[1:]
    if flags & 0x01:
        data = data[4:]
    return _synchronised(data) if flags & 0x02 else data
