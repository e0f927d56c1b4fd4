"""Bounded decompression: no more bytes come out than were asked for, whatever goes in."""

from __future__ import annotations

import zlib

import brotli  # type: ignore[import-untyped]

from optout.syntax.located import Fault, Unreadable


def inflate(data: bytes, limit: int, offset: int) -> bytes:
    """Decompress a zlib stream (RFC 1950) to at most `limit` bytes.

    Args:
        data: the stream.
        limit: bytes of output.
        offset: where in the file it stands, for the error.

    Raises:
        Unreadable: it is damaged, cut short, or longer than the limit.
    """
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, limit)
    except zlib.error:
        raise Unreadable(Fault.DAMAGED, offset, "zlib") from None
    if not stream.eof:
        raise Unreadable(Fault.TOO_LARGE if len(text) >= limit else Fault.TRUNCATED, offset, "zlib")
    return text


def unbrotli(data: bytes, limit: int, offset: int) -> bytes:
    """Decompress a Brotli stream (RFC 7932) to at most `limit` bytes; arguments and errors as in `inflate`."""
    stream = brotli.Decompressor()
    try:
        text = bytes(stream.process(data, output_buffer_limit=limit + 1))
    except brotli.error:
        raise Unreadable(Fault.DAMAGED, offset, "Brotli") from None
    if len(text) > limit:
        raise Unreadable(Fault.TOO_LARGE, offset, "Brotli")
    if not stream.is_finished():
        raise Unreadable(Fault.TRUNCATED, offset, "Brotli")
    return text
