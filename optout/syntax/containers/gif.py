"""GIF: XMP and C2PA in application extensions.

GIF89a specification, section 26; XMP specification part 3, section 1.1.2; C2PA 2.2 annex A.3.5.
"""

from __future__ import annotations

from optout.syntax.located import MAX_STEPS, Fault, Findings, Slot, Source, Unreadable

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_APPLICATION = 0xFF
_XMP = b"XMP DataXMP"
_C2PA = b"C2PA_GIF"
_TRAIL = b"\1" + bytes(range(255, -1, -1)) + b"\0"


class _Steps:
    """Counts blocks and sub-blocks together, so that a file of many short ones has an end."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def take(self, position: int) -> None:
        """Use one up."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable(Fault.TOO_MANY_PARTS, position, "block")


def walk(source: Source, found: Findings) -> None:
    """Look at every block up to the trailer."""
    steps = _Steps()
    screen = source.exactly(0, 13, "screen")
    position = 13 + _colours(screen[10])
    while True:
        steps.take(position)
        head = source.exactly(position, 1, "block")[0]
        if head == _TRAILER:
            return
        if head == _EXTENSION:
            position = _extension(source, position, found, steps)
        elif head == _IMAGE:
            image = source.exactly(position, 10, "image")
            position = _skip(source, position + 11 + _colours(image[9]), steps)
        else:
            raise Unreadable(Fault.DAMAGED, position, "block")


def _colours(packed: int) -> int:
    """Bytes of the colour table that a packed field announces."""
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _extension(source: Source, position: int, found: Findings, steps: _Steps) -> int:
    """Read one extension; return the position behind it."""
    head = source.exactly(position, 3, "extension")
    start = position + 3 + head[2]
    end = _skip(source, start if head[1] == _APPLICATION else position + 2, steps)
    if head[1] != _APPLICATION:
        return end
    name = source.read(position + 3, head[2])
    if name == _XMP:
        # The packet is not cut into sub-blocks: a trailer of 258 bytes leads every reader of sub-blocks to its end.
        data = source.packet(start, end - start, "application extension")
        found.add(Slot.XMP, "application extension", data.removesuffix(_TRAIL), start)
    elif name.startswith(_C2PA):
        found.manifest(start)
    return end


def _skip(source: Source, position: int, steps: _Steps) -> int:
    """Pass over sub-blocks; return the position behind their terminator."""
    while True:
        steps.take(position)
        length = source.exactly(position, 1, "sub-block")[0]
        position += 1 + length
        if not length:
            return position
