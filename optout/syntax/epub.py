"""EPUB: the package documents that the container names.

EPUB 3.3, sections 4.2.6.3.1 (`META-INF/container.xml`) and 5 (package document); EPUB 2.0.1 OCF and OPF.
"""

from __future__ import annotations

from urllib.parse import unquote

from optout.syntax.containers import archive
from optout.syntax.located import MAX_PACKET, Fault, Findings, Slot, Source, Unreadable
from optout.syntax.xml import MalformedXml, parse

_CONTAINER = "META-INF/container.xml"
_ROOTFILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_MAX_CONTAINER = 1024 * 1024
_MAX_ROOTFILES = 64


def walk(source: Source, found: Findings) -> None:
    """Locate every package document: a publication may have several renditions, and each may reserve."""
    try:
        book = archive.walk(source, found)
        names = _rootfiles(book)
    except Unreadable as error:
        found.damage(error.fault, error.offset, error.where, Slot.OPF)
        return
    for name in names:
        _package(book, name, found)


def _rootfiles(book: archive.Archive) -> list[str]:
    data = book.member(_CONTAINER, _MAX_CONTAINER)
    if data is None:
        raise Unreadable(Fault.DAMAGED, 0, _CONTAINER)
    try:
        root = parse(data, max_bytes=_MAX_CONTAINER)
    except MalformedXml:
        raise Unreadable(Fault.DAMAGED, 0, _CONTAINER) from None
    paths = [element.get("full-path", "") for element in root.iter(_ROOTFILE)]
    if not paths or len(paths) > _MAX_ROOTFILES:
        raise Unreadable(Fault.TOO_MANY_PARTS if paths else Fault.DAMAGED, 0, _CONTAINER)
    return list(dict.fromkeys(paths))


def _package(book: archive.Archive, name: str, found: Findings) -> None:
    """Keep one package document; some writers percent-encode the path, which the specification does not."""
    stored = name if name in book.names else unquote(name)
    try:
        data = book.member(stored, MAX_PACKET)
    except Unreadable as error:
        found.damage(error.fault, error.offset, error.where, Slot.OPF)
        return
    if data is None:
        found.damage(Fault.DAMAGED, 0, name, Slot.OPF)
        return
    found.add(Slot.OPF, stored, data, book.offset(stored))
