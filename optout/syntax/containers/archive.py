"""ZIP-based files: EPUB, OOXML, ODF and Readium packages.

PKWARE APPNOTE 6.3.10; EPUB 3.3, section 4.2 (OCF); C2PA 2.2 annex A.6 (`META-INF/content_credential.c2pa`).
"""

from __future__ import annotations

import zlib
from io import BytesIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from optout.syntax.located import Fault, Findings, Slot, Source, Unreadable

_MANIFEST = "META-INF/content_credential.c2pa"
_READIUM = "manifest.json"
_MAX_DIRECTORY = 8 * 1024 * 1024
_END = b"PK\x05\x06"


class Archive:
    """A ZIP archive whose members are read with a limit."""

    __slots__ = ("_zip", "names")

    def __init__(self, source: Source) -> None:
        _check_directory(source)
        whole = source.open()
        try:
            self._zip = ZipFile(BytesIO(whole) if isinstance(whole, bytes) else whole)
        except (BadZipFile, NotImplementedError, ValueError, EOFError, OSError):
            raise Unreadable(Fault.DAMAGED, 0, "zip") from None
        self.names = frozenset(self._zip.namelist())

    def member(self, name: str, limit: int) -> bytes | None:
        """Return a member's bytes, checksum checked; None where there is no such member.

        Raises:
            Unreadable: it is encrypted, damaged, in an unknown compression, or longer than `limit` bytes.
        """
        if name not in self.names:
            return None
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise Unreadable(Fault.ENCRYPTED, info.header_offset, name)
        data = self._read(info, limit)
        if len(data) > limit:
            raise Unreadable(Fault.TOO_LARGE, info.header_offset, name)
        return data

    def _read(self, info: ZipInfo, limit: int) -> bytes:
        try:
            with self._zip.open(info) as stream:
                return stream.read(limit + 1)
        except NotImplementedError:
            raise Unreadable(Fault.UNSUPPORTED, info.header_offset, info.filename) from None
        except (BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError):
            raise Unreadable(Fault.DAMAGED, info.header_offset, info.filename) from None

    def offset(self, name: str) -> int:
        """Where a member begins in the file."""
        return self._zip.getinfo(name).header_offset


def _check_directory(source: Source) -> None:
    """Refuse a central directory that would take long to read (section 4.3.16: its size stands at the end)."""
    tail_start = max(source.size - 65_557, 0)
    tail = source.read(tail_start, 65_557)
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        raise Unreadable(Fault.TRUNCATED, tail_start, "zip")
    if int.from_bytes(tail[at + 12 : at + 16], "little") > _MAX_DIRECTORY:
        raise Unreadable(Fault.TOO_LARGE, tail_start + at, "zip")


def walk(source: Source, found: Findings) -> Archive:
    """Locate what every ZIP-based file may carry; return the archive for readers of one kind."""
    archive = Archive(source)
    if _MANIFEST in archive.names:
        found.manifest(archive.offset(_MANIFEST))
    return archive


def office(source: Source, found: Findings) -> None:
    """OOXML and ODF: only a C2PA manifest is defined."""
    walk(source, found)


def readium(source: Source, found: Findings) -> None:
    """A packaged Readium publication: the manifest at its root."""
    archive = walk(source, found)
    try:
        manifest = archive.member(_READIUM, 4 * 1024 * 1024)
    except Unreadable as error:
        found.damage(error.fault, error.offset, error.where, Slot.JSON)
        return
    if manifest is not None:
        found.add(Slot.JSON, _READIUM, manifest, archive.offset(_READIUM))
