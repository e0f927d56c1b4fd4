"""TDMRep in XMP: the document-level metadata of PDF, and what tools write into images.

TDM Reservation Protocol, W3C Community Group Final Report of 10 May 2024, section 6.4 (PDF). The elements are
`tdm:reservation` and `tdm:policy`; the namespace is written with a slash here, with a hash in EPUB, and without either
in the wild: all three are accepted everywhere. Only `1` and `0` are values. A namespace alone, as in a PDF/A schema
description, says nothing; nor does the information dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
from optout.syntax import xmp
from optout.syntax.located import Slot
from optout.syntax.parts import Part, part_of, slot_of
from optout.syntax.xml import MalformedXml

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "1": reserve(Purpose.TDM),
    "0": permit(Purpose.TDM),
}
"""What each value says; a permission does not flow down to training."""

MEANT_AS_ONE = frozenset({"true", "yes", "reserved", "1.0"})
"""Values that the specification leaves unset and that are evidently meant as 1."""

NAMESPACES = frozenset({"http://www.w3.org/ns/tdmrep", "http://www.w3.org/ns/tdmrep/", "http://www.w3.org/ns/tdmrep#"})

_SLOTS = frozenset({Slot.XMP, Slot.PDF})
_WORD = b"reservation"
_NAMES = frozenset({"reservation", "policy"})
_REMNANT = re.compile(rb"reservation\s*(?:=\s*[\"']|>)\s*1\s*[\"'<]")
_MAX_TEXT = 2000
_PDF = "application/pdf"

PROBLEMS: Mapping[str, str] = {
    "pdf.unreadable": "The PDF is encrypted or damaged, or its metadata stream is too large or not well-formed.",
    "pdf.unknown-value": "tdm:reservation has a value other than 0 and 1, so it is unset.",
    "pdf.conflict": "Several values of tdm:reservation contradict each other; the reservation counts.",
    "pdf.doubtful-permission": "A permission in a file that was repaired or contradicts itself does not count.",
}


def read(exchange: Exchange) -> Reading:
    """Read one part of a file: an XMP packet, or what is left of a PDF that could not be read."""
    slot = slot_of(exchange)
    if slot not in _SLOTS or (slot == Slot.XMP and not exchange.error and not xmp.mentions(exchange.body, _WORD)):
        return SILENCE
    part = part_of(exchange)
    if part.fault is None:
        return _read_xmp(part)
    # Other files that cannot be read are reported by the protocol that reads images.
    ours = part.slot is Slot.PDF
    return _read_remnants(part, *([Problem("pdf.unreadable", part.place(part.fault))] if ours else []))


def _read_xmp(part: Part) -> Reading:
    try:
        properties = xmp.properties(part.data, _NAMES)
    except MalformedXml as error:
        return _read_remnants(part, Problem("pdf.unreadable", part.place(f"malformed XML in line {error.line}")))
    named = [item for item in properties if item.namespace in NAMESPACES]
    policy = next((value for item in named if item.name == "policy" for value in item.values if value), "")
    found = [_value(part, item, value, policy) for item in named if item.name == "reservation" for value in item.values]
    return _settled(part, found)


def _value(part: Part, item: xmp.Property, value: str, policy: str) -> Reading:
    """What one value says; a policy matters only beside a reservation."""
    statement = Statement(
        reason="pdf.tdm-reservation",
        place=part.place("tdm:reservation", item.line),
        value=value[:_MAX_TEXT],
        states=MEANING.get(value, reserve(Purpose.TDM)),
        layer=Layer.ASSET,
        strength=Strength.STANDARD if part.asset_type == _PDF else Strength.CONVENTION,
        conditions=(("policy", policy[:_MAX_TEXT]),) if policy and value != "0" else (),
    )
    if value in MEANING:
        return Reading((statement,))
    meant = value.lower() in MEANT_AS_ONE
    lenient = statement._replace(leniency=Leniency.MALFORMED_RESERVATIONS)
    return Reading((lenient,) if meant else (), (Problem("pdf.unknown-value", statement.place),))


def _settled(part: Part, found: list[Reading]) -> Reading:
    """Put the values of one packet together: beside any other value, or in doubt, a permission does not count."""
    statements = tuple(said for reading in found for said in reading.statements)
    problems = tuple(problem for reading in found for problem in reading.problems)
    permits = any(said.value == "0" for said in statements)
    if permits and (problems or any(said.value == "1" for said in statements)):
        code = "pdf.conflict"
    elif permits and part.doubtful:
        code = "pdf.doubtful-permission"
    else:
        return Reading(statements, problems)
    kept = tuple(said for said in statements if said.value != "0")
    return Reading(kept, (*problems, Problem(code, part.place("tdm:reservation"))))


def _read_remnants(part: Part, *problems: Problem) -> Reading:
    """What a damaged file still shows of a reservation: it counts, with little strength; nothing permits."""
    found = _REMNANT.search(part.data.replace(b"\0", b""))
    statement = Statement(
        reason="pdf.remnant",
        place=part.place("damaged"),
        value=found.group().decode("ascii", "replace") if found else "",
        states=reserve(Purpose.TDM),
        layer=Layer.ASSET,
        strength=Strength.CONVENTION,
    )
    return Reading((statement,) if found else (), problems, valid=False)


PROTOCOL = Protocol(
    name="pdf",
    title="TDMRep in PDF and other XMP",
    specification="https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/",
    edition="W3C Community Group Final Report, 10 May 2024",
    carriers=(Embedded("XMP tdm:reservation", frozenset({_PDF}), ASSET, word=_WORD),),
    read=read,
    problems=PROBLEMS,
)
