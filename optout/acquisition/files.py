"""What a file carries, as exchanges: bounded reading of files and bodies, and the pure readers' input.

Every place in a file that may speak about the whole work becomes one exchange of role `ASSET`. The reading of these,
and any decision, is the engine's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from optout.acquisition.declarations import Declarations
from optout.acquisition.manifests import ManifestReader, ManifestReport
from optout.errors import UnreadableInput
from optout.model import ASSET, Exchange
from optout.protocol import Embedded
from optout.signals import PROTOCOLS
from optout.syntax import parts, xmp
from optout.syntax.containers import locate
from optout.syntax.located import Damage, Fault, Located, Packet, Slot, Source
from optout.syntax.sniff import HTML

_PROTOCOLS = tuple(protocol for protocol in PROTOCOLS.values() if ASSET in protocol.roles)
_WORDS = {
    carrier.word
    for protocol in _PROTOCOLS
    for carrier in protocol.carriers
    if isinstance(carrier, Embedded) and carrier.word
}
# What a PDF is full of is told in problems; without a handler of its own the library's log goes to standard error.
logging.getLogger("pikepdf").addHandler(logging.NullHandler())

_MAX_PAGE = 16 * 1024 * 1024
_MAX_SIDECAR = 16 * 1024 * 1024
_SIDECAR_SUFFIXES = frozenset({"xmp", "c2pa"})


@dataclass(frozen=True, slots=True)
class FileParts:
    """What was located in one file.

    Attributes:
        media_type: by the first bytes.
        exchanges: one for each part that may speak about the work, and the page itself where the file is one.
    """

    media_type: str
    exchanges: tuple[Exchange, ...] = ()


class FileReader:
    """Reads files and bodies; keeps the process that reads manifest stores."""

    def __init__(self, manifests: ManifestReader | None = None, declarations: Declarations | None = None) -> None:
        self._manifests = manifests or ManifestReader()
        self._declarations = declarations

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that reads manifest stores."""
        self._manifests.close()

    def read_path(self, name: str) -> FileParts:
        """Read a file and the sidecars beside it.

        Args:
            name: the path of the file; places in signals name it as given.

        Raises:
            UnreadableInput: it cannot be opened or read.
        """
        try:
            # Unbuffered, because the walkers read what they need in pieces; by open, because pathlib takes longer
            # for its part than the file takes to be read.
            with open(name, "rb", buffering=0) as stream:  # noqa: PTH123
                return self._read_file(name, stream)
        except OSError as error:
            message = f"{name}: {error.strerror or error}"
            raise UnreadableInput(message, mend="name a readable file") from error

    def read_bytes(self, url: str, data: bytes) -> FileParts:
        """Read the body of a response.

        Args:
            url: where it came from, for places in signals.
            data: the whole body.
        """
        located = locate(data)
        if _carries_nothing(located):
            return FileParts(located.media_type)
        report = ManifestReport()
        if located.c2pa is not None:
            report = self._manifests.read_bytes(data, located.media_type)
        return FileParts(located.media_type, _exchanges(url, located, report, data))

    def _read_file(self, name: str, stream: BinaryIO) -> FileParts:
        located = self._declared(name, locate(stream))
        manifest, sidecars = _sidecars(name)
        if _carries_nothing(located) and not manifest and not sidecars and located.media_type != HTML:
            return FileParts(located.media_type)
        report = ManifestReport()
        if located.c2pa is not None or manifest:
            report = self._manifests.read_path(name, located.media_type, manifest)
        exchanges = _exchanges(name, located, report, stream)
        if located.media_type == HTML:
            exchanges = (*exchanges, _page(name, stream))
        for sidecar, data in sidecars:
            exchanges += _exchanges(sidecar, locate(data), ManifestReport(), data)
        return FileParts(located.media_type, exchanges)

    def _declared(self, name: str, located: Located) -> Located:
        """What was located, and what has been declared about the work elsewhere."""
        if self._declarations is None:
            return located
        return replace(located, packets=(*located.packets, *self._declarations.match(name, located.media_type)))


def _carries_nothing(located: Located) -> bool:
    """Whether no part of a file can speak; most files end here."""
    if located.c2pa is not None or located.remote_provenance or located.damages:
        return False
    return not any(_may_speak(packet) for packet in located.packets)


def _may_speak(packet: Packet) -> bool:
    return packet.slot is not Slot.XMP or any(xmp.mentions(packet.data, word) for word in _WORDS)


def _exchanges(url: str, located: Located, report: ManifestReport, file: bytes | BinaryIO) -> tuple[Exchange, ...]:
    """One exchange for each part that may speak, for each that could not be read, and for the manifest store."""
    packets = [packet for packet in located.packets if _may_speak(packet)]
    damages = _first_of_each_slot([*located.damages, *_lost_manifests(located, report)])
    remnants = b""
    if located.damages or any(_may_permit(packet) for packet in packets):
        remnants = parts.remnants(Source(file), located)
    if remnants or report.restricts or (located.c2pa is not None and not report.valid):
        located = replace(located, sound=False)
    found = [parts.of_packet(url, located, packet) for packet in packets]
    found += [parts.of_damage(url, located, damage, remnants) for damage in damages]
    if report.report is not None:
        found.append(parts.of_report(url, located, report.report))
    return tuple(found)


def _first_of_each_slot(damages: Iterable[Damage]) -> list[Damage]:
    """One damage a slot: they share what is left of the file, and one is enough to make it unreadable."""
    first: dict[Slot, Damage] = {}
    for damage in damages:
        first.setdefault(damage.slot, damage)
    return list(first.values())


def _lost_manifests(located: Located, report: ManifestReport) -> Iterator[Damage]:
    """Manifest stores that exist and could not be read."""
    if report.fault is not None:
        yield Damage(Slot.C2PA, report.fault, located.c2pa or 0, report.where or "manifest store")
    elif located.c2pa is not None and report.report is None:
        yield Damage(Slot.C2PA, Fault.DAMAGED, located.c2pa, "manifest store")
    elif located.remote_provenance is not None and report.report is None:
        yield Damage(Slot.C2PA, Fault.REMOTE, 0, located.remote_provenance)


def _may_permit(packet: Packet) -> bool:
    """Whether a packet says something and nothing restrictive, so that the rest of the file is worth a look."""
    return not parts.is_restrictive(packet.data)


def _page(name: str, stream: BinaryIO) -> Exchange:
    """The page that a file holds, for the protocols that read pages."""
    stream.seek(0)
    url = Path(name).absolute().as_uri()
    return Exchange(url, status=200, headers=(("content-type", HTML),), body=stream.read(_MAX_PAGE))


def _sidecars(name: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What programs keep beside a file: a manifest store, as `work.c2pa`, and XMP, as `work.xmp` or `work.jpg.xmp`."""
    stem, _, suffix = name.rpartition(".")
    if "/" in suffix or not stem:
        stem = name
    if suffix.lower() in _SIDECAR_SUFFIXES:
        return b"", []
    found = [(f"{start}.xmp", _bytes_of(f"{start}.xmp")) for start in dict.fromkeys((stem, name))]
    return _bytes_of(f"{stem}.c2pa"), [(sidecar, data) for sidecar, data in found if data]


def _bytes_of(name: str) -> bytes:
    """The bytes of a sidecar; none where there is none."""
    if not os.access(name, os.R_OK):
        return b""
    try:
        with Path(name).open("rb") as stream:
            return stream.read(_MAX_SIDECAR)
    except OSError:
        return b""
