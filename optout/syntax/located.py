"""What a file carries: the packets that were located in it, and the bounded source that they are read from.

Nothing here has an opinion on what a packet says. The slot decides what is a packet of the asset itself: the
bytes of a thumbnail, a placed image or an older revision stand elsewhere and are not located.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from io import SEEK_END
from typing import BinaryIO

HEAD = 16 * 1024
"""Bytes of a stream that are read at once; the metadata of most JPEGs stands within them, and more takes longer."""

MAX_PACKET = 4 * 1024 * 1024
"""Bytes of one packet, after decompression, that are kept."""

MAX_STEPS = 262_144
"""Parts of one container (segments, chunks, boxes, blocks) that are looked at."""

MAX_DEPTH = 8
"""Containers within containers that are entered."""


class Slot(StrEnum):
    """The kind of place that a packet was found in; it says which readers may speak about it."""

    XMP = "xmp"
    PDF = "pdf"
    OPF = "opf"
    ONIX = "onix"
    NEWSML = "newsml"
    JSON = "json"
    C2PA = "c2pa"


class Fault(StrEnum):
    """Why something that a file holds could not be read."""

    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_LARGE = "too-large"
    TOO_DEEP = "too-deep"
    TOO_MANY_PARTS = "too-many-parts"
    ENCRYPTED = "encrypted"
    UNSUPPORTED = "unsupported"
    REMOTE = "remote"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Packet:
    """Metadata that speaks about the whole asset.

    Attributes:
        slot: the kind of place.
        where: the place in the container's own words, such as `APP1` or `iTXt`.
        data: the bytes, decompressed.
        offset: where the packet begins in the file, in bytes; 0 for a place without an offset.
    """

    slot: Slot
    where: str
    data: bytes
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the file that could not be read: its metadata may say more than was found.

    Attributes:
        slot: the kind of packet that may be hidden there.
        fault: why it could not be read.
        offset: where in the file, in bytes.
        where: the place in the container's own words; for a remote manifest, its URL.
    """

    slot: Slot
    fault: Fault
    offset: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """Everything that was located in one file.

    Attributes:
        media_type: by the first bytes, never by a name or header.
        packets: in the order of the file.
        c2pa: the offset of the embedded C2PA manifest store, None where there is none.
        remote_provenance: the URL of a manifest store that is kept elsewhere, None where there is none.
        damages: what could not be read.
        sound: False where a repair was needed, so that a permission found here may be the rest of something else.
    """

    media_type: str
    packets: tuple[Packet, ...] = ()
    c2pa: int | None = None
    remote_provenance: str | None = None
    damages: tuple[Damage, ...] = ()
    sound: bool = True


class Unreadable(Exception):
    """A walker cannot go on; it is caught where the walk began and becomes a `Damage`."""

    def __init__(self, fault: Fault, offset: int, where: str = "") -> None:
        super().__init__(fault, offset, where)
        self.fault = fault
        self.offset = offset
        self.where = where


class Source:
    """A file's bytes by offset, from memory or from a seekable stream, with its first bytes at hand."""

    __slots__ = ("_stream", "head", "size")

    def __init__(self, source: bytes | BinaryIO) -> None:
        self._stream: BinaryIO | None
        if isinstance(source, bytes):
            self._stream, self.head, self.size = None, source, len(source)
        else:
            source.seek(0)
            self._stream, self.head = source, source.read(HEAD)
            self.size = len(self.head) if len(self.head) < HEAD else source.seek(0, SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at an offset; fewer than `length` only at the end of the file."""
        end = min(offset + length, self.size)
        if self._stream is None or end <= len(self.head):
            return self.head[offset:end]
        if offset >= end:
            return b""
        self._stream.seek(offset)
        return self._stream.read(end - offset)

    def exactly(self, offset: int, length: int, where: str = "") -> bytes:
        """Return `length` bytes at an offset.

        Raises:
            Unreadable: the file ends before.
        """
        data = self.read(offset, length)
        if len(data) < length:
            raise Unreadable(Fault.TRUNCATED, offset, where)
        return data

    def packet(self, offset: int, length: int, where: str) -> bytes:
        """Return a packet of at most `MAX_PACKET` bytes.

        Raises:
            Unreadable: it is longer, or the file ends before.
        """
        if length > MAX_PACKET:
            raise Unreadable(Fault.TOO_LARGE, offset, where)
        return self.exactly(offset, length, where)

    def open(self) -> bytes | BinaryIO:
        """Return the whole file for a library that reads by itself: the bytes, or the stream at its start."""
        if self._stream is None:
            return self.head
        self._stream.seek(0)
        return self._stream


class Findings:
    """What a walk has found so far."""

    __slots__ = ("c2pa", "damages", "packets", "repaired")

    def __init__(self) -> None:
        self.repaired = False
        self.packets: list[Packet] = []
        self.c2pa: int | None = None
        self.damages: list[Damage] = []

    def add(self, slot: Slot, where: str, data: bytes, offset: int) -> None:
        """Keep a packet."""
        self.packets.append(Packet(slot, where, data, offset))

    def manifest(self, offset: int) -> None:
        """Note where the first C2PA manifest store stands."""
        if self.c2pa is None:
            self.c2pa = offset

    def damage(self, fault: Fault, offset: int, where: str = "", slot: Slot = Slot.XMP) -> None:
        """Note something that could not be read."""
        self.damages.append(Damage(slot, fault, offset, where))
