"""XMP packets: the properties of the asset, by namespace and name.

ISO 16684-1 (XMP part 1), sections 6 (data model) and 7 (serialisation in RDF/XML). Only properties directly under
the descriptions of `rdf:RDF` are the asset's own: structures, ingredients and thumbnails describe parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optout.syntax.located import MAX_PACKET
from optout.syntax.xml import Element, MalformedXml, entity_in, line_of, name_of, parse, split_name

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_ROOT, _DESCRIPTION = f"{{{_RDF}}}RDF", f"{{{_RDF}}}Description"
_RESOURCE, _VALUE, _ITEM = f"{{{_RDF}}}resource", f"{{{_RDF}}}value", f"{{{_RDF}}}li"
_ARRAYS = frozenset(f"{{{_RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
_DCTERMS, _PROVENANCE_NAMES = "http://purl.org/dc/terms/", frozenset({"provenance"})
_MAX_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the asset.

    Attributes:
        namespace: its namespace URI.
        name: its local name.
        values: its value, or the items of its array, white space at the ends removed.
        fields: local name and value of each field, where the value is a structure.
        line: the line in the packet.
    """

    namespace: str
    name: str
    values: tuple[str, ...]
    fields: tuple[tuple[str, str], ...] = ()
    line: int = 0


def properties(packet: bytes, names: frozenset[str]) -> tuple[Property, ...]:
    """Return the asset's properties of these local names, in the order of the packet.

    Raises:
        MalformedXml: the packet is not well-formed XML, or an entity of its own may hide a property; `line` says where.
    """
    root = parse(_trimmed(packet), max_bytes=MAX_PACKET)
    entity = entity_in(root)
    if entity is not None:
        raise MalformedXml("an entity is not resolved", line_of(entity))
    return tuple(
        found
        for rdf in ([root] if root.tag == _ROOT else root.iter(_ROOT))
        for description in rdf
        if description.tag == _DESCRIPTION
        for found in _of(description, names)
    )


def mentions(packet: bytes, word: bytes) -> bool:
    """Whether a packet can hold an element or attribute of this local name; spares the parser.

    Names cannot be escaped in XML, so in an encoding that contains ASCII the name stands in the bytes. Other
    encodings (UTF-16, UTF-32) show a zero byte at the start and are never ruled out.
    """
    return word in packet or b"\0" in packet[:4] or packet.startswith((b"\xff\xfe", b"\xfe\xff"))


def provenance(packet: bytes) -> str | None:
    """The http or https URL of a manifest store in `dcterms:provenance`, None where there is none."""
    if not mentions(packet, b"provenance"):
        return None
    try:
        found = [item for item in properties(packet, _PROVENANCE_NAMES) if item.namespace == _DCTERMS]
    except MalformedXml:
        return None
    urls = (value for item in found for value in item.values)
    return next((url for url in urls if url.lower().startswith(("http://", "https://"))), None)


def _trimmed(packet: bytes) -> bytes:
    """Without the padding that writers leave around a packet; UTF-16 keeps its zero bytes."""
    if packet[:1] == b"\0" or packet[1:2] == b"\0" or packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        return packet
    return packet.strip(b"\0 \t\r\n")


def _of(description: Element, names: frozenset[str]) -> Iterator[Property]:
    for name, value in description.attrib.items():
        namespace, local = split_name(str(name))
        if local in names:
            yield Property(namespace, local, (str(value).strip(),), (), line_of(description))
    for element in description:
        namespace, local = name_of(element)
        if local in names:
            yield Property(namespace, local, tuple(_values(element)), tuple(_fields(element)), line_of(element))


def _values(element: Element) -> Iterator[str]:
    """The value, or those of an array; one with qualifiers is in `rdf:value`, in each of the forms of RDF."""
    given = element.get(_RESOURCE, element.get(_VALUE))
    if given is not None:
        yield given.strip()
        return
    if not len(element):
        yield (element.text or "").strip()
        return
    for child in element:
        if child.tag == _VALUE:
            yield from _values(child)
        elif child.tag in _ARRAYS:
            for item in child.findall(_ITEM)[:_MAX_ITEMS]:
                yield from _values(item)
        elif child.tag == _DESCRIPTION and (len(child) or child.get(_VALUE) is not None):
            yield from _values(child)


def _fields(element: Element) -> Iterator[tuple[str, str]]:
    """The fields of a structure, whether as attributes, as elements, or inside a description or array."""
    for name, value in element.attrib.items():
        namespace, local = split_name(str(name))
        if namespace not in {_RDF, _XML}:
            yield local, str(value).strip()
    for child in list(element)[:_MAX_ITEMS]:
        if child.tag == _DESCRIPTION or child.tag in _ARRAYS or child.tag == _ITEM:
            yield from _fields(child)
        elif name_of(child)[0] not in {"", _RDF}:
            for value in _values(child):
                yield name_of(child)[1], value
