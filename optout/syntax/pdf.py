"""PDF: the document-level metadata stream, and whether a C2PA manifest is attached.

ISO 32000-2, sections 14.3.2 (metadata streams), 7.6 (encryption), 7.11.4 (embedded files), 14.13 (associated
files); C2PA 2.2 annex A.4. The stream that the catalog of the last revision refers to speaks for the document;
older revisions, metadata of single objects and the information dictionary do not.
"""

from __future__ import annotations

import re
from io import BytesIO

import pikepdf

from optout.syntax.inflate import inflate
from optout.syntax.located import MAX_PACKET, Fault, Findings, Slot, Source, Unreadable

_MANIFEST = pikepdf.Name("/C2PA_Manifest")
_TAIL = 2048
_END = re.compile(rb"startxref\s+\d{1,20}\s+%%EOF[\0\s]*\Z")
_MAX_FILES = 256
_MAX_FILTERED = 64 * 1024
"""Bytes before unpacking of a stream whose filters have no limit of ours; they unpack to a thousandfold at most."""


def walk(source: Source, found: Findings) -> None:
    """Locate the catalog's metadata and manifest."""
    whole = source.open()
    stream = BytesIO(whole) if isinstance(whole, bytes) else whole
    try:
        with pikepdf.open(stream, suppress_warnings=True) as pdf:
            _catalog(pdf, found)
            # An older revision may speak where a newer one is lost; a page without resources hides nothing.
            warnings = (str(warning) for warning in pdf.get_warnings())
            found.repaired = _is_cut(source) or any(not warning.endswith("; repairing") for warning in warnings)
    except pikepdf.PasswordError:
        found.damage(Fault.ENCRYPTED, 0, "document", Slot.PDF)
    except _FAILURES:
        found.damage(Fault.DAMAGED, 0, "document", Slot.PDF)


_FAILURES = (pikepdf.PdfError, pikepdf.DataDecodingError, ValueError, TypeError, KeyError, RuntimeError, OSError)
"""What pikepdf raises for a damaged file; its objects answer a wrong type with Python's own errors."""


def _is_cut(source: Source) -> bool:
    """Whether the file ends otherwise than with its last revision, as what is left of an update would."""
    return _END.search(source.read(max(source.size - _TAIL, 0), _TAIL)) is None


def _catalog(pdf: pikepdf.Pdf, found: Findings) -> None:
    metadata = _entry(pdf.Root, "/Metadata")
    if isinstance(metadata, pikepdf.Stream):
        _metadata(metadata, found)
    if any(_is_manifest(entry) for entry in _associated(pdf)):
        found.manifest(0)


def _metadata(metadata: pikepdf.Stream, found: Findings) -> None:
    """Keep the metadata stream, unless it unpacks to more than any real one."""
    try:
        found.add(Slot.XMP, "Metadata", _unpacked(metadata), 0)
    except Unreadable as error:
        found.damage(error.fault, 0, "Metadata", Slot.PDF)


def _unpacked(metadata: pikepdf.Stream) -> bytes:
    """The stream's bytes; Flate is unpacked here because pikepdf unpacks without a limit."""
    packed, filters = metadata.read_raw_bytes(), metadata.get("/Filter")
    if filters is None:
        data = packed
    elif _is_plain_flate(filters) and metadata.get("/DecodeParms") is None:
        data = inflate(packed, MAX_PACKET, 0)
    elif len(packed) > _MAX_FILTERED:
        raise Unreadable(Fault.TOO_LARGE, 0)
    else:
        data = metadata.read_bytes()
    if len(data) > MAX_PACKET:
        raise Unreadable(Fault.TOO_LARGE, 0)
    return data


def _is_plain_flate(filters: pikepdf.Object) -> bool:
    return filters == pikepdf.Name.FlateDecode or (
        isinstance(filters, pikepdf.Array) and len(filters) == 1 and filters[0] == pikepdf.Name.FlateDecode
    )


def _associated(pdf: pikepdf.Pdf) -> list[pikepdf.Object]:
    """The file specifications that may be the manifest: associated files of the catalog, and embedded files."""
    embedded = _entry(_entry(pdf.Root, "/Names"), "/EmbeddedFiles")
    return _items(_entry(pdf.Root, "/AF")) + _items(_entry(embedded, "/Names"))


def _entry(parent: pikepdf.Object | None, name: str) -> pikepdf.Object | None:
    """An entry of a dictionary; None where there is none, or the parent is something else."""
    return parent.get(name) if isinstance(parent, pikepdf.Dictionary) else None


def _items(array: pikepdf.Object | None) -> list[pikepdf.Object]:
    return list(array[:_MAX_FILES]) if isinstance(array, pikepdf.Array) else []


def _is_manifest(entry: pikepdf.Object) -> bool:
    return isinstance(entry, pikepdf.Dictionary) and entry.get("/AFRelationship") == _MANIFEST
