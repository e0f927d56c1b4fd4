"""One bounded walk through a file of any known kind, to where its metadata stands.

The slot decides, never a byte search: a packet counts when it stands where its container's specification puts the
metadata of the whole asset. Adding a format means one module here and one line in `_WALKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from optout.syntax import epub, pdf, xmp
from optout.syntax.containers import archive, boxes, gif, id3, jpeg, markup, png, riff, text, tiff
from optout.syntax.located import Damage, Fault, Findings, Located, Slot, Source, Unreadable
from optout.syntax.sniff import sniff

_BARE_CODESTREAM = b"\xff\x0a"


def _jxl(source: Source, found: Findings) -> None:
    """A bare JPEG XL codestream has no place for metadata (ISO/IEC 18181-2)."""
    if not source.head.startswith(_BARE_CODESTREAM):
        boxes.walk(source, found)


_WALKS: Mapping[str, Callable[[Source, Findings], None]] = {
    "image/jpeg": jpeg.walk,
    "image/png": png.walk,
    "image/gif": gif.walk,
    "image/webp": riff.walk,
    "audio/wav": riff.walk,
    "video/x-msvideo": riff.walk,
    "image/tiff": tiff.walk,
    "image/heic": boxes.walk,
    "image/heif": boxes.walk,
    "image/avif": boxes.walk,
    "video/mp4": boxes.walk,
    "audio/mp4": boxes.walk,
    "video/quicktime": boxes.walk,
    "image/jxl": _jxl,
    "audio/mpeg": id3.walk,
    "audio/flac": id3.walk,
    "image/svg+xml": markup.svg,
    "application/rdf+xml": markup.xmp,
    "application/oebps-package+xml": markup.package,
    "application/xml": markup.xml,
    "application/json": markup.json,
    "application/pdf": pdf.walk,
    "application/epub+zip": epub.walk,
    "application/webpub+zip": archive.readium,
    "application/audiobook+zip": archive.readium,
    "application/divina+zip": archive.readium,
    "application/c2pa": text.store,
    "text/plain": text.walk,
    "text/html": text.walk,
}


def locate(file: bytes | BinaryIO) -> Located:
    """Locate the packets of one file.

    Args:
        file: its bytes, or a seekable binary stream that the caller has opened and will close.

    Damage is part of the answer; nothing is raised for what stands in the file.
    """
    source, found = Source(file), Findings()
    media_type = sniff(source.head)
    walk = _WALKS.get(media_type) or (archive.office if _is_zip(media_type) else None)
    if walk is not None:
        try:
            walk(source, found)
        except Unreadable as error:
            found.damage(error.fault, error.offset, error.where, _slot(media_type, source))
    sound = not found.damages and not found.repaired
    return Located(media_type, tuple(found.packets), found.c2pa, _remote(found), tuple(found.damages), sound)


def _is_zip(media_type: str) -> bool:
    return media_type == "application/zip" or media_type.startswith("application/vnd.oasis.opendocument.")


def _slot(media_type: str, source: Source) -> Slot:
    """Whose packets may be hidden where a walk stopped."""
    if media_type == "application/xml":
        return Slot.NEWSML if b"http://iptc.org/std/nar/" in source.head else Slot.ONIX
    return _STOPPED.get(media_type, Slot.C2PA if _is_zip(media_type) else Slot.XMP)


_STOPPED = {
    "application/webpub+zip": Slot.JSON,
    "application/audiobook+zip": Slot.JSON,
    "application/divina+zip": Slot.JSON,
    "application/oebps-package+xml": Slot.OPF,
    "application/pdf": Slot.PDF,
}


def _remote(found: Findings) -> str | None:
    """The manifest store's URL where XMP names one and none is embedded (C2PA 2.2, section 11.4)."""
    if found.c2pa is not None:
        return None
    return next(
        filter(None, (xmp.provenance(packet.data) for packet in found.packets if packet.slot is Slot.XMP)), None
    )


__all__ = ["Damage", "Fault", "Located", "Slot", "locate"]
