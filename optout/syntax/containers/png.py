"""PNG: XMP in iTXt, plain or compressed, before or behind the pixels; C2PA in caBX.

PNG third edition, sections 5.3 (chunks) and 11.3.3 (text); XMP specification part 3, section 1.1.5;
C2PA 2.2 annex A.3.3. The legacy profile text chunks are those of ImageMagick.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from optout.syntax.inflate import inflate
from optout.syntax.located import MAX_PACKET, MAX_STEPS, Fault, Findings, Slot, Source, Unreadable

_KEYWORD = b"XML:com.adobe.xmp"
_LEGACY = b"Raw profile type xmp"
_TEXT = frozenset((b"iTXt", b"tEXt", b"zTXt"))


def walk(source: Source, found: Findings) -> None:
    """Look at every chunk, because text may stand behind the pixels."""
    for name, offset, length in _chunks(source):
        if name in _TEXT:
            _text(source, name, offset, length, found)
        elif name == b"caBX":
            found.manifest(offset)


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, offset of the data and its length, up to the end chunk."""
    position = 8
    for _ in range(MAX_STEPS):
        head = source.exactly(position, 8, "chunk")
        length, name = int.from_bytes(head[:4]), head[4:]
        if not name.isalpha():
            raise Unreadable(Fault.DAMAGED, position, "chunk")
        if name == b"IEND":
            return
        if position + 12 + length > source.size:
            raise Unreadable(Fault.TRUNCATED, position, "chunk")
        yield name, position + 8, length
        position += 12 + length
    raise Unreadable(Fault.TOO_MANY_PARTS, position, "chunk")


def _text(source: Source, name: bytes, offset: int, length: int, found: Findings) -> None:
    keyword = source.read(offset, min(length, 80)).partition(b"\0")[0]
    if keyword not in {_KEYWORD, _LEGACY}:
        return
    data = source.packet(offset, length, name.decode())
    if zlib.crc32(data, zlib.crc32(name)) != int.from_bytes(source.read(offset + length, 4)):
        found.damage(Fault.DAMAGED, offset, name.decode())
    text = _content(name, data[len(keyword) + 1 :], offset)
    found.add(Slot.XMP, name.decode(), _unhexed(text, offset) if keyword == _LEGACY else text, offset)


def _content(name: bytes, rest: bytes, offset: int) -> bytes:
    """The text of a chunk behind its keyword, decompressed."""
    if name == b"tEXt":
        return rest
    if name == b"zTXt":
        return inflate(rest[1:], MAX_PACKET, offset)
    compressed, text = rest[:1], rest[2:].split(b"\0", 2)[-1]
    return inflate(text, MAX_PACKET, offset) if compressed == b"\1" else text


def _unhexed(text: bytes, offset: int) -> bytes:
    """A legacy profile: a name, a length and hexadecimal digits, each on lines of their own."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        raise Unreadable(Fault.DAMAGED, offset, "profile") from None
