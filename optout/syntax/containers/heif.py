"""The `meta` box of HEIF and AVIF: the XMP items that describe the whole image.

ISO/IEC 14496-12, sections 8.11.1 (`meta`), 8.11.3 (`iloc`), 8.11.4 (`pitm`), 8.11.6 (`iinf`), 8.11.12 (`iref`);
ISO/IEC 23008-12, annex A.3 (XMP as an item of type `mime` with a `cdsc` reference to what it describes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from optout.syntax.located import MAX_PACKET, Fault, Findings, Slot, Source, Unreadable

_MAX_ITEMS = 65_536
_XMP_TYPE = b"application/rdf+xml"


@dataclass(slots=True)
class _Meta:
    """What the boxes inside `meta` say about items."""

    primary: int | None = None
    xmp: list[int] = field(default_factory=list)
    encoded: set[int] = field(default_factory=set)
    places: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    described: dict[int, set[int]] = field(default_factory=dict)


class _Cursor:
    """Reads big-endian numbers from bytes that begin at an offset of the file."""

    __slots__ = ("_base", "_data", "at")

    def __init__(self, data: bytes, base: int) -> None:
        self._data, self._base, self.at = data, base, 0

    def number(self, width: int) -> int:
        """Read a number of so many bytes; a width of 0 reads nothing and gives 0."""
        return int.from_bytes(self.take(width))

    def take(self, width: int) -> bytes:
        """Read so many bytes."""
        data = self._data[self.at : self.at + width]
        if len(data) < width:
            raise Unreadable(Fault.TRUNCATED, self._base + self.at, "meta")
        self.at += width
        return data

    def text(self) -> bytes:
        """Read up to a zero byte or the end."""
        end = self._data.find(b"\0", self.at)
        end = len(self._data) if end < 0 else end
        text, self.at = self._data[self.at : end], end + 1
        return text


def walk(source: Source, start: int, end: int, found: Findings) -> None:
    """Locate the XMP items of the `meta` box whose content stands between two offsets."""
    data = source.packet(start, end - start, "meta")
    # QuickTime's `meta` has no version and flags; the box type of its first child stands where theirs would be.
    at = 0 if data[4:8] in {b"hdlr", b"keys"} else 4
    meta = _Meta()
    idat = 0
    for kind, inner, offset in _children(data, at, start):
        if kind == b"idat":
            idat = offset
        elif kind in _READERS:
            _READERS[kind](_Cursor(inner, offset), meta)
    for item in meta.xmp:
        _keep(source, item, meta, idat, found)


def _children(data: bytes, at: int, base: int) -> list[tuple[bytes, bytes, int]]:
    """The boxes inside `meta` as type, content and offset of the content."""
    found = []
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16]), 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            raise Unreadable(Fault.DAMAGED, base + at, "meta")
        found.append((data[at + 4 : at + 8], data[at + header : at + size], base + at + header))
        at += size
    return found


def _pitm(cursor: _Cursor, meta: _Meta) -> None:
    meta.primary = cursor.number(4 if cursor.number(4) >> 24 else 2)


def _iinf(cursor: _Cursor, meta: _Meta) -> None:
    count = cursor.number(4 if cursor.number(4) >> 24 else 2)
    for _ in range(min(count, _MAX_ITEMS)):
        size = cursor.number(4)
        if cursor.take(4) != b"infe" or size < 8:
            raise Unreadable(Fault.DAMAGED, 0, "iinf")
        _infe(_Cursor(cursor.take(size - 8), 0), meta)


def _infe(cursor: _Cursor, meta: _Meta) -> None:
    version = cursor.number(4) >> 24
    if version < 2:
        return
    item = cursor.number(4 if version == 3 else 2)
    cursor.take(2)
    if cursor.take(4) != b"mime":
        return
    cursor.text()
    if cursor.text() == _XMP_TYPE:
        meta.xmp.append(item)
        if cursor.text():
            meta.encoded.add(item)


def _iloc(cursor: _Cursor, meta: _Meta) -> None:
    version = cursor.number(4) >> 24
    sizes = cursor.number(2)
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    wide = 4 if version == 2 else 2
    for _ in range(min(cursor.number(wide), _MAX_ITEMS)):
        item = cursor.number(wide)
        method = cursor.number(2) & 15 if version else 0
        cursor.take(2)
        base = cursor.number(base_size)
        places = []
        extents = cursor.number(2)
        # Extents of no width cost no bytes, so that their number alone could keep a reader busy.
        if extents > 1 and not length_size:
            raise Unreadable(Fault.DAMAGED, 0, "iloc")
        for _ in range(extents):
            cursor.take(index_size if version else 0)
            places.append((base + cursor.number(offset_size), cursor.number(length_size)))
        # A place inside `idat` is told apart by a negative offset, because `idat` may stand behind `iloc`.
        meta.places[item] = [(offset if not method else -1 - offset, length) for offset, length in places]


def _iref(cursor: _Cursor, meta: _Meta) -> None:
    wide = 4 if cursor.number(4) >> 24 else 2
    while True:
        try:
            size = cursor.number(4)
        except Unreadable:
            return
        kind = cursor.take(4)
        inner = _Cursor(cursor.take(max(size - 8, 0)), 0)
        if kind == b"cdsc":
            item = inner.number(wide)
            meta.described[item] = {inner.number(wide) for _ in range(inner.number(2))}


_READERS = {b"pitm": _pitm, b"iinf": _iinf, b"iloc": _iloc, b"iref": _iref}


def _keep(source: Source, item: int, meta: _Meta, idat: int, found: Findings) -> None:
    """Keep an XMP item, unless it says that it describes something other than the primary image."""
    described = meta.described.get(item)
    if described and meta.primary is not None and meta.primary not in described:
        return
    places = [(offset if offset >= 0 else idat - 1 - offset, length) for offset, length in meta.places.get(item, [])]
    if not places or item in meta.encoded:
        raise Unreadable(Fault.DAMAGED if not places else Fault.UNSUPPORTED, 0, "meta item")
    if sum(length for _, length in places) > MAX_PACKET:
        raise Unreadable(Fault.TOO_LARGE, places[0][0], "meta item")
    parts = [source.exactly(offset, length, "meta item") for offset, length in places]
    found.add(Slot.XMP, "meta item", b"".join(parts), places[0][0])
