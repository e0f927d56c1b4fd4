"""Documents in XML: SVG, bare XMP (sidecars), package documents, ONIX, NewsML; and JSON documents.

SVG 1.1, section 21 (metadata); XMP specification part 3, section 1.2.1 (SVG) and section 4 (sidecars);
C2PA 2.2 annex A.3.8 (`c2pa:manifest` inside SVG's `metadata`).
"""

from __future__ import annotations

from lxml import etree

from optout.syntax.located import Fault, Findings, Slot, Source, Unreadable
from optout.syntax.xml import Element, MalformedXml, line_of, parse

MAX_DOCUMENT = 16 * 1024 * 1024
_LOOK = 4096
_DOCUMENTS = (
    (b"ONIXMessage", Slot.ONIX),
    (b"ONIXmessage", Slot.ONIX),
    (b"http://iptc.org/std/nar/", Slot.NEWSML),
)
_SVG_METADATA = frozenset(("{http://www.w3.org/2000/svg}metadata", "metadata"))
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF"
_MANIFEST = "{http://c2pa.org/manifest}manifest"
_CARRYING = (b"DataMining", b"reservation", b"provenance", b"http://c2pa.org/manifest")


def whole(source: Source, slot: Slot) -> bytes:
    """Return the whole document.

    Raises:
        Unreadable: it is longer than any real one.
    """
    if source.size > MAX_DOCUMENT:
        raise Unreadable(Fault.TOO_LARGE, 0, slot)
    return source.read(0, source.size)


def xmp(source: Source, found: Findings) -> None:
    """A bare XMP packet, as sidecars are."""
    found.add(Slot.XMP, "document", whole(source, Slot.XMP), 0)


def package(source: Source, found: Findings) -> None:
    """A bare EPUB package document."""
    found.add(Slot.OPF, "document", whole(source, Slot.OPF), 0)


def xml(source: Source, found: Findings) -> None:
    """An ONIX message or a NewsML-G2 item; other documents in XML carry nothing that is known."""
    start = source.head[:_LOOK].replace(b"\0", b"")
    for word, slot in _DOCUMENTS:
        if word in start:
            found.add(slot, "document", whole(source, slot), 0)
            return


def json(source: Source, found: Findings) -> None:
    """A document about a work: a Readium manifest or a declaration; none is as long as a data set is."""
    if source.size <= MAX_DOCUMENT:
        found.add(Slot.JSON, "document", whole(source, Slot.JSON), 0)


def svg(source: Source, found: Findings) -> None:
    """Locate the XMP and the C2PA manifest in the metadata of the outermost `svg` element."""
    data = whole(source, Slot.XMP)
    if not _may_carry(data):
        return
    try:
        root = parse(data, max_bytes=MAX_DOCUMENT)
    except MalformedXml:
        raise Unreadable(Fault.DAMAGED, 0, "svg") from None
    for metadata in root:
        if metadata.tag in _SVG_METADATA:
            _metadata(metadata, found)


def _may_carry(data: bytes) -> bool:
    """Names cannot be escaped in XML, so a document in UTF-8 without them carries nothing; others are parsed."""
    return b"\0" in data[:4] or any(word in data for word in _CARRYING)


def _metadata(metadata: Element, found: Findings) -> None:
    for rdf in metadata.iter(_RDF):
        found.add(Slot.XMP, f"metadata line {line_of(rdf)}", etree.tostring(rdf, with_tail=False), 0)
    if next(metadata.iter(_MANIFEST), None) is not None:
        found.manifest(0)
