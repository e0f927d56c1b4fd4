"""Removing content codings (RFC 9110 section 8.4), within bounds, and noticing where that cannot be done wholly.

The first part of a coded file must never pass for the file: a robots.txt that ends in mid-line after `Disallow:`
permits what the whole one forbids. Libraries that decode while they fetch give such a part without a word.
"""

from __future__ import annotations

import io
import re
import zlib
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ACCEPTED = "gzip, deflate, br, zstd"
"""The codings that can be removed, as an `Accept-Encoding` field names them."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MEMBERS = 1_000
"""Parts one after the other that a body may have; each costs a copy of what follows it."""
_CODINGS = 4
_FIELDS = ("content-encoding", "transfer-encoding")
_NO_CODING = frozenset({"", "identity", "none", "utf-8", "chunked", "aws-chunked"})
"""`aws-chunked` is how a file was once sent to an object store, many of which go on saying so for ever."""
_CHUNK = 65_536


class CodingError(ValueError):
    """A coding that nobody knows, or a body that is not in it or ends too early."""


def codings(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The codings of a message, in the order in which they were applied: of its content, then of its transfer.

    A transfer coding other than chunks (RFC 9112 section 7.2) is asked for by nobody and removed by no HTTP library.
    Words that only say that there is none are left out, and so are those of layers that are gone when a body arrives
    and the character set that some servers put there.
    """
    listed = list(headers)
    values = ",".join(value for field in _FIELDS for name, value in listed if name.lower() == field)
    named = [word.strip().lower() for word in values.split(",")]
    return [word for word in named if word not in _NO_CODING]


def is_chunked(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a message says that its body is sent in chunks (RFC 9112 section 7.1)."""
    return any(name.lower() == "transfer-encoding" and "chunked" in value.lower() for name, value in headers)


def is_part(body: bytes, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a collector kept less of a body than was announced (RFC 9112 section 6.3).

    Where a coding is named that may be gone, the lengths cannot be compared; nothing at all is less than anything.

    Args:
        body: as it was kept.
        headers: of its message.
    """
    listed = list(headers)
    said = next((value.strip() for name, value in listed if name.lower() == "content-length"), "")
    length = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0
    return len(body) < (min(length, 1) if codings(listed) or is_chunked(listed) else length)


def unsaid(body: bytes) -> str | None:
    """The coding that a text is in by its first octets, where its message is not there to tell; no text begins so."""
    return next((name for magic, name in _MAGIC.items() if body.startswith(magic)), None)


def decoded(body: bytes, names: list[str], limit: int, *, is_cut: bool = False) -> tuple[bytes, bool]:
    """A body without its codings.

    Args:
        body: as it was received.
        names: from `codings`.
        limit: octets of the result, and of each step on the way.
        is_cut: whether the end of `body` is missing because somebody cut it, and is not to be missed.

    Returns:
        the body, and whether it was cut at the limit or before.

    Raises:
        CodingError: it cannot be decoded, or its end is missing.
    """
    if len(names) > _CODINGS:
        raise CodingError(f"{len(names)} codings, one around the other")
    for name in reversed(names):
        remove = _REMOVE.get(name)
        if remove is None:
            raise CodingError(f"nobody knows the coding {name!r}")
        try:
            body, is_whole = remove(body, limit + 1)
        except (zlib.error, brotli.error, zstandard.ZstdError) as fault:
            raise CodingError(f"not in the coding {name!r}: {fault}") from fault
        if not is_whole and not is_cut and len(body) <= limit:
            raise CodingError(f"it ends before its coding {name!r} does")
        is_cut = is_cut or len(body) > limit
        body = body[:limit]
    return body, is_cut


def plain(body: bytes, headers: Iterable[tuple[str, str]], limit: int, *, is_cut: bool = False) -> tuple[bytes, bool]:
    """A body without its codings, which many collectors remove while they leave the fields that name them.

    Octets that no text has (WHATWG MIME Sniffing, "binary data byte") show that a body still is in its coding.

    Args:
        body: as it was kept.
        headers: of its message.
        limit: as for `decoded`.
        is_cut: as for `decoded`.

    Returns:
        as `decoded`.

    Raises:
        CodingError: it is in a coding and cannot be decoded.
    """
    try:
        body, is_cut = decoded(body, codings(headers), limit, is_cut=is_cut)
    except CodingError:
        if unsaid(body) or _BINARY.search(body, 0, _SNIFFED):
            raise
    return body[:limit], is_cut or len(body) > limit


def bare(body: bytes, limit: int, *, is_cut: bool = False) -> tuple[bytes, bool]:
    """A text without the coding that only its first octets tell, because its message was not kept.

    Args:
        body: as it was kept.
        limit: as for `decoded`.
        is_cut: as for `decoded`.

    Returns:
        as `decoded`.

    Raises:
        CodingError: it is in a coding and cannot be decoded.
    """
    name = unsaid(body)
    return plain(body, (("Content-Encoding", name or ""),), limit, is_cut=is_cut)


_MAGIC = {_GZIP_MAGIC: "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_SNIFFED = 1_445
"""How many octets of a resource its kind is told by (WHATWG MIME Sniffing, section 5.2)."""


def unchunked(body: bytes, *, is_cut: bool = False) -> bytes:
    """A body without its chunks (RFC 9112 section 7.1); as it is where a collector has removed them.

    Args:
        body: as it was kept.
        is_cut: as for `decoded`.

    Raises:
        CodingError: it begins in chunks and does not go on so to its end.
    """
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK_HEAD.match(body, at):
        size = int(found[1], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
    if not at:
        return body
    if not is_cut:
        raise CodingError("its chunks end early")
    return b"".join(parts)


_CHUNK_HEAD = re.compile(rb"(?:\r?\n)?([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")


def _gunzip(data: bytes, limit: int) -> tuple[bytes, bool]:
    """All members one after the other (RFC 1952 section 2.2); what follows them and is none is nobody's."""
    parts, size = [], 0
    for _ in range(_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        parts.append(stream.decompress(data, limit - size))
        size += len(parts[-1])
        if not stream.eof:
            return b"".join(parts), False
        data = stream.unused_data
        if not data.startswith(_GZIP_MAGIC):
            return b"".join(parts), True
    raise CodingError(f"more than {_MEMBERS:,} members")


def _inflate(data: bytes, limit: int) -> tuple[bytes, bool]:
    """With the wrapper that is meant (RFC 1950), or without it, which is what some servers send."""
    for form in (_ZLIB, _RAW):
        stream = zlib.decompressobj(form)
        try:
            return stream.decompress(data, limit), stream.eof
        except zlib.error:
            if form == _RAW:
                raise
    raise AssertionError


def _unbrotli(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = brotli.Decompressor()
    found, rest = b"", data
    while len(found) < limit and not stream.is_finished():
        more = stream.process(rest, output_buffer_limit=limit - len(found))
        if not more and stream.can_accept_more_data():
            break
        found, rest = found + more, b""
    return found, bool(stream.is_finished())


def _unzstd(data: bytes, limit: int) -> tuple[bytes, bool]:
    """All frames one after the other (RFC 8878 section 3), with windows of up to 8 MB (section 3.1.1.1.2)."""
    source = io.BytesIO(data)
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(source, read_across_frames=True)
    parts, size = [], 0
    while size < limit and (part := reader.read(min(_CHUNK, limit - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts), size < limit and _has_last_frame(data)


def _has_last_frame(data: bytes) -> bool:
    """Whether the last frame is whole; a reader of a stream that simply ends does not tell."""
    for _ in range(_MEMBERS):
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj()
        stream.decompress(data)
        if not stream.eof:
            return False
        data = stream.unused_data
        if not data:
            return True
    return False


_REMOVE: dict[str, Callable[[bytes, int], tuple[bytes, bool]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
