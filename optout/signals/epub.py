"""TDMRep in EPUB: the package document of each rendition.

TDM Reservation Protocol, W3C Community Group Final Report of 10 May 2024, section 6.3 (EPUB 3: `meta property`;
EPUB 2: `meta name`); EPUB 3.3, sections 5.5.5 (`meta`) and D.1 (`prefix`). It covers every resource of the book.
A prefix that is not declared is accepted where it is `tdm`, because published examples leave the declaration out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from optout.model import (
    ASSET,
    SILENCE,
    Exchange,
    Layer,
    Leniency,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    permit,
    reserve,
)
from optout.protocol import Embedded, Protocol
from optout.syntax.located import MAX_PACKET, Slot
from optout.syntax.parts import Part, part_of, slot_of
from optout.syntax.xml import Element, MalformedXml, line_of, name_of, parse

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "1": reserve(Purpose.TDM),
    "0": permit(Purpose.TDM),
}
"""What each value says; a permission does not flow down to training."""

MEANT_AS_ONE = frozenset({"true", "yes", "reserved", "1.0"})
"""Values that the specification leaves unset and that are evidently meant as 1."""

NAMESPACES = frozenset({"http://www.w3.org/ns/tdmrep", "http://www.w3.org/ns/tdmrep/", "http://www.w3.org/ns/tdmrep#"})

_PREFIX = re.compile(r"([^\s:]+):\s+(\S+)")
_REMNANT = re.compile(rb"tdm:reservation[\"']?\s*(?:content)?\s*(?:=\s*[\"']|>)\s*1\s*[\"'<]")
_MAX_TEXT = 2000

PROBLEMS: Mapping[str, str] = {
    "epub.unreadable": "The container or a package document is damaged, encrypted, too large or not well-formed.",
    "epub.unknown-value": "tdm:reservation has a value other than 0 and 1, so it is unset.",
    "epub.undeclared-prefix": "The prefix tdm is used without being declared; it is read as TDMRep's.",
    "epub.conflict": "Several values of tdm:reservation contradict each other; the reservation counts.",
    "epub.doubtful-permission": "A permission in a damaged or contradictory file does not count.",
}


def read(exchange: Exchange) -> Reading:
    """Read one package document, or what is left of one."""
    if slot_of(exchange) != Slot.OPF:
        return SILENCE
    part = part_of(exchange)
    if part.fault is not None:
        return _read_remnants(part, part.fault)
    try:
        package = parse(part.data, max_bytes=MAX_PACKET)
    except MalformedXml as error:
        return _read_remnants(part, f"malformed XML in line {error.line}")
    return _read_package(part, package)


def _read_package(part: Part, package: Element) -> Reading:
    prefixes = dict(_PREFIX.findall(package.get("prefix", "")))
    terms = list(_terms(package, prefixes))
    policy = next((value for _, term, value in terms if term == "policy"), "")
    found = [_value(part, meta, value, policy) for meta, term, value in terms if term == "reservation"]
    reading = _settled(part, found)
    if terms and "tdm" not in prefixes and not NAMESPACES & set(prefixes.values()) and _uses_properties(terms):
        undeclared = Problem("epub.undeclared-prefix", part.place("package prefix", line_of(package)))
        return replace(reading, problems=(*reading.problems, undeclared))
    return reading


def _uses_properties(terms: list[tuple[Element, str, str]]) -> bool:
    return any(meta.get("property") is not None for meta, _, _ in terms)


def _terms(package: Element, prefixes: Mapping[str, str]) -> Iterator[tuple[Element, str, str]]:
    """Yield element, term and value of each TDMRep `meta` about the whole book."""
    for metadata in package:
        if name_of(metadata)[1] != "metadata":
            continue
        for meta in metadata.iter("{*}meta"):
            prefix, _, term = (meta.get("property") or meta.get("name") or "").strip().partition(":")
            uri = prefixes.get(prefix)
            ours = uri in NAMESPACES if uri is not None else prefix == "tdm"
            if ours and meta.get("refines") is None:
                yield meta, term, (meta.get("content") or meta.text or "").strip()


def _value(part: Part, meta: Element, value: str, policy: str) -> Reading:
    """What one value says; a policy matters only beside a reservation."""
    statement = Statement(
        reason="epub.tdm-reservation",
        place=part.place("tdm:reservation", line_of(meta)),
        value=value[:_MAX_TEXT],
        states=MEANING.get(value, reserve(Purpose.TDM)),
        layer=Layer.ASSET,
        conditions=(("policy", policy[:_MAX_TEXT]),) if policy and value != "0" else (),
    )
    if value in MEANING:
        return Reading((statement,))
    meant = value.lower() in MEANT_AS_ONE
    lenient = statement._replace(leniency=Leniency.MALFORMED_RESERVATIONS)
    return Reading((lenient,) if meant else (), (Problem("epub.unknown-value", statement.place),))


def _settled(part: Part, found: list[Reading]) -> Reading:
    """Put the values of one package together: beside any other value, or in doubt, a permission does not count."""
    statements = tuple(said for reading in found for said in reading.statements)
    problems = tuple(problem for reading in found for problem in reading.problems)
    permits = any(said.value == "0" for said in statements)
    if permits and (problems or any(said.value == "1" for said in statements)):
        code = "epub.conflict"
    elif permits and part.doubtful:
        code = "epub.doubtful-permission"
    else:
        return Reading(statements, problems)
    kept = tuple(said for said in statements if said.value != "0")
    return Reading(kept, (*problems, Problem(code, part.place("tdm:reservation"))))


def _read_remnants(part: Part, fault: str) -> Reading:
    """What a damaged book still shows of a reservation: it counts, with little strength; nothing permits."""
    found = _REMNANT.search(part.data)
    statement = Statement(
        reason="epub.remnant",
        place=part.place("damaged"),
        value=found.group().decode("ascii", "replace") if found else "",
        states=reserve(Purpose.TDM),
        layer=Layer.ASSET,
        strength=Strength.CONVENTION,
    )
    return Reading((statement,) if found else (), (Problem("epub.unreadable", part.place(fault)),), valid=False)


PROTOCOL = Protocol(
    name="epub",
    title="TDMRep in EPUB",
    specification="https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/",
    edition="W3C Community Group Final Report, 10 May 2024",
    carriers=(Embedded("OPF tdm:reservation", frozenset({"application/epub+zip"}), ASSET),),
    read=read,
    problems=PROBLEMS,
)
