"""Where a record of a WARC file ends, and whether the file ends there too.

Readers of archives take a file that ends in the middle of a record for one that ends before it, so that half of a
download would pass for the whole of it.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import IO, TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

BLANK = re.compile(rb"\r?\n\r?\n")
"""What ends the head of a record, and the head of the HTTP message in it."""

_GZIP_MAGIC = b"\x1f\x8b"
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_STEP = 1 << 20
_SIP = 1 << 12
"""So little is unpacked at once that a bomb does not fill the memory."""
_PADDING = b"\0 \t\r\n"


def record_end(stream: IO[bytes], start: int, length: int) -> int | None:
    """The place behind a record and the line breaks that end it; None where that cannot be told.

    Args:
        stream: the file.
        start: of the record.
        length: of its block.
    """
    stream.seek(start)
    magic = stream.read(4)
    stream.seek(start)
    if magic.startswith(_GZIP_MAGIC):
        return _packed_end(stream, length, lambda: zlib.decompressobj(31))
    if magic == zstandard.FRAME_HEADER:
        return _packed_end(stream, length, lambda: zstandard.ZstdDecompressor().decompressobj())
    head = stream.read(_STEP)
    blank = BLANK.search(head)
    if blank is None or (end := start + blank.end() + length) > _size(stream):
        return None
    stream.seek(end)
    rest = stream.read(_STEP)
    return end + len(rest) - len(rest.lstrip(b"\r\n"))


def ends_with(stream: IO[bytes], start: int, length: int) -> bool:
    """Whether a file ends where its last record does; padding behind it is nothing.

    Args:
        stream: the file.
        start: of the last record that was read; where several are compressed as one, the end of the file.
        length: of its block.
    """
    stream.seek(0)
    if stream.read(len(_LZ4_MAGIC)) == _LZ4_MAGIC:
        # Its frames cannot be taken apart here; one that is cut is an error to whoever reads it.
        return True
    end = _only_end(stream) if start >= _size(stream) else record_end(stream, start, length)
    if end is None:
        return False
    stream.seek(end)
    return not stream.read(_STEP).strip(_PADDING)


def _only_end(stream: IO[bytes]) -> int | None:
    """The place behind the last of the compressed members of a file; None where it is cut."""
    stream.seek(0)
    if stream.read(2) != _GZIP_MAGIC:
        # A frame of Zstandard that is cut is an error to whoever reads it.
        return _size(stream)
    stream.seek(0)
    end: int | None = 0
    while end is not None and end < _size(stream):
        stream.seek(end)
        if stream.read(2) != _GZIP_MAGIC:
            return end
        stream.seek(end)
        end = _packed_end(stream, 0, lambda: zlib.decompressobj(31))
    return end


def _packed_end(stream: IO[bytes], length: int, begin: Callable[[], Any]) -> int | None:
    """The place behind compressed members, of which a record has as many as its block needs."""
    made, data = 0, b""
    while made <= length:
        member = begin()
        while not member.eof:
            data = data or stream.read(_SIP)
            if not data:
                return None
            try:
                made += len(member.decompress(data))
            except (zlib.error, zstandard.ZstdError):
                return None
            data = member.unused_data
    return stream.tell() - len(data)


def _size(stream: IO[bytes]) -> int:
    return os.fstat(stream.fileno()).st_size
