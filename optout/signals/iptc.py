"""The "Data Mining" property of IPTC and PLUS, in XMP and in NewsML-G2.

IPTC Photo Metadata Standard 2025.1 and Video Metadata Hub 1.7 (`plus:DataMining`); PLUS License Data Format,
vocabulary `http://ns.useplus.org/ldf/vocab/`; NewsML-G2 2.34 (`rightsInfo/dataMining`). A single value, the same nine
keys everywhere. Where several stand side by side, the stricter counts and the permission does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from optout.model import (
    ASSET,
    SILENCE,
    Exchange,
    Layer,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    flow_down,
    permit,
    reserve,
)
from optout.protocol import Embedded, Protocol
from optout.syntax import xmp
from optout.syntax.containers.markup import MAX_DOCUMENT
from optout.syntax.located import Slot
from optout.syntax.parts import Part, part_of, slot_of
from optout.syntax.xml import MalformedXml, line_of, name_of, parse

States = tuple[tuple[Purpose, State], ...]
Conditions = tuple[tuple[str, str], ...]

NAMESPACE = "http://ns.useplus.org/ldf/xmp/1.0/"

MEANING: Mapping[str, States] = {
    "DMI-UNSPECIFIED": (),
    "DMI-ALLOWED": permit(Purpose.TDM, Purpose.AI_TRAIN, Purpose.SEARCH),
    "DMI-PROHIBITED-AIMLTRAINING": reserve(Purpose.AI_TRAIN),
    "DMI-PROHIBITED-GENAIMLTRAINING": reserve(Purpose.AI_TRAIN),
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": flow_down(
        {Purpose.TDM: State.RESERVED, Purpose.SEARCH: State.PERMITTED}
    ),
    "DMI-PROHIBITED": reserve(Purpose.TDM, Purpose.SEARCH),
    "DMI-PROHIBITED-SEECONSTRAINT": reserve(Purpose.TDM),
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": reserve(Purpose.TDM),
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": reserve(Purpose.TDM),
}
"""What each key says to the letter."""

WIDER_MEANING: Mapping[str, States] = {
    "DMI-PROHIBITED-SEECONSTRAINT": reserve(Purpose.SEARCH),
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": reserve(Purpose.SEARCH),
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": reserve(Purpose.SEARCH),
}
"""What a key may be meant to say besides: a constraint that nobody has read may speak about search too."""

UNKNOWN_PROHIBITION: States = reserve(Purpose.AI_TRAIN)
"""An invented key such as `DMI-PROHIBITED-AIGENAI` prohibits something; training is what all such keys are about."""

WIDER_UNKNOWN_PROHIBITION: States = reserve(Purpose.TDM)

_REASONS = {key: f"iptc.{key.lower()}" for key in MEANING}
_UNKNOWN = "iptc.unknown-prohibition"
_SLOTS = frozenset({Slot.XMP, Slot.NEWSML, Slot.PDF})
_WORD = b"DataMining"
_PROPERTY = "DataMining"
_PROHIBITED = "DMI-PROHIBITED"
_COMPANIONS: Mapping[tuple[str, str], str] = {
    (NAMESPACE, "OtherConstraints"): "constraint",
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "LinkedEncRightsExpr"): "linked-rights-expression",
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "EmbdEncRightsExpr"): "embedded-rights-expression",
    ("http://ns.adobe.com/xap/1.0/rights/", "WebStatement"): "web-statement",
    ("http://ns.adobe.com/xap/1.0/rights/", "UsageTerms"): "usage-terms",
}
"""Properties beside it that point to terms: evidence that is passed on, never decided on."""

_NAMES = frozenset({_PROPERTY, *(name for _, name in _COMPANIONS)})
_REMNANT = re.compile(rb"DMI-PROHIBITED[A-Z-]*")
_MAX_TEXT = 2000
_NEWSML = "http://iptc.org/std/nar/"
_IMAGES = frozenset({"image/*", "video/*", "audio/*", "application/pdf", "image/svg+xml", "application/rdf+xml"})

PROBLEMS: Mapping[str, str] = {
    "iptc.unreadable": "The file or its XMP packet is damaged, too large or too deep; it may say more than was read.",
    "iptc.unknown-value": "The value is not one of the nine keys of the vocabulary.",
    "iptc.wrong-namespace": "The property stands in a namespace that is not the one of PLUS; prohibitions only count.",
    "iptc.conflict": "Several values contradict each other; the stricter counts.",
    "iptc.doubtful-permission": "A permission in a file that was repaired or contradicts itself does not count.",
}


def read(exchange: Exchange) -> Reading:
    """Read one part of a file: an XMP packet, a NewsML-G2 document, or the remnants of a damaged file."""
    slot = slot_of(exchange)
    if slot not in _SLOTS or (slot == Slot.XMP and not exchange.error and not xmp.mentions(exchange.body, _WORD)):
        return SILENCE
    part = part_of(exchange)
    if part.fault is not None:
        return _read_remnants(part, part.fault)
    return _read_newsml(part) if part.slot is Slot.NEWSML else _read_xmp(part)


def _read_xmp(part: Part) -> Reading:
    try:
        properties = xmp.properties(part.data, _NAMES)
    except MalformedXml as error:
        return _read_remnants(part, f"malformed XML in line {error.line}")
    conditions = tuple(_conditions(properties))
    found = [
        _value(part, item, value, conditions)
        for item in properties
        if item.name == _PROPERTY and "useplus.org" in item.namespace
        for value in item.values
    ]
    return _settled(part, found)


def _conditions(properties: tuple[xmp.Property, ...]) -> Iterator[tuple[str, str]]:
    for item in properties:
        name = _COMPANIONS.get((item.namespace, item.name))
        if name is not None:
            values = [value for value in item.values if value] or [value for _, value in item.fields]
            yield name, "; ".join(values)[:_MAX_TEXT]


def _value(part: Part, item: xmp.Property, value: str, conditions: Conditions) -> Reading:
    """What one value says, where it stands in this namespace."""
    reading = _meaning(part.place("plus:DataMining", item.line), value, conditions)
    return reading if item.namespace == NAMESPACE else _from_wrong_namespace(part, reading, item)


def _from_wrong_namespace(part: Part, reading: Reading, item: xmp.Property) -> Reading:
    """Prohibitions only, and only under a lenient reading: the property is not the one that was standardised."""
    problem = Problem("iptc.wrong-namespace", part.place(item.namespace[:_MAX_TEXT], item.line))
    kept = tuple(
        said._replace(leniency=Leniency.MALFORMED_RESERVATIONS, strength=Strength.CONVENTION)
        for said in reading.statements
        if said.leniency is None and not _permits(said)
    )
    return Reading(kept, (*reading.problems, problem))


def _meaning(place: Place, value: str, conditions: Conditions) -> Reading:
    """Look a value up: a URI of the vocabulary, or the bare key that tools write."""
    key = value.rpartition("/")[2].rpartition(":")[2]
    says = _Says(place, value[:_MAX_TEXT], conditions)
    if key in MEANING:
        reason = _REASONS[key]
        return Reading(says(reason, MEANING[key]) + says(reason, WIDER_MEANING.get(key, ()), Leniency.WIDER_PURPOSES))
    unknown = (Problem("iptc.unknown-value", place),)
    if key.upper().startswith(_PROHIBITED):
        states = MEANING.get(key.upper(), UNKNOWN_PROHIBITION)
        wider = says(_UNKNOWN, WIDER_UNKNOWN_PROHIBITION, Leniency.WIDER_PURPOSES)
        return Reading(says(_UNKNOWN, states) + wider, unknown)
    if "prohibit" in value.lower():
        return Reading(says(_UNKNOWN, UNKNOWN_PROHIBITION, Leniency.MALFORMED_RESERVATIONS), unknown)
    return Reading((), unknown)


@dataclass(frozen=True, slots=True)
class _Says:
    """Makes the statements of one value."""

    place: Place
    value: str
    conditions: Conditions

    def __call__(self, reason: str, states: States, leniency: Leniency | None = None) -> tuple[Statement, ...]:
        if not states:
            return ()
        return (
            Statement(
                reason=reason,
                place=self.place,
                value=self.value,
                states=states,
                layer=Layer.ASSET,
                leniency=leniency,
                conditions=self.conditions,
            ),
        )


def _settled(part: Part, found: list[Reading]) -> Reading:
    """Put the values of one part together: beside any other value, or in doubt, a permission does not count."""
    statements = tuple(said for reading in found for said in reading.statements)
    problems = tuple(problem for reading in found for problem in reading.problems)
    if len(found) > 1 and len({said.value for said in statements}) + bool(problems) > 1:
        problems += (Problem("iptc.conflict", part.place("plus:DataMining")),)
        statements = tuple(said for said in statements if not _permits(said))
    if part.doubtful and any(state is State.PERMITTED for said in statements for _, state in said.states):
        problems += (Problem("iptc.doubtful-permission", part.place("plus:DataMining")),)
        statements = tuple(_restrictive(said) for said in statements if not _permits(said))
    return Reading(statements, problems)


def _permits(said: Statement) -> bool:
    """Whether a statement only permits; an exception for search inside a prohibition is not lost with it."""
    return any(state is State.PERMITTED for _, state in said.states) and not _reserves(said)


def _reserves(said: Statement) -> bool:
    return any(state is State.RESERVED for _, state in said.states)


def _restrictive(said: Statement) -> Statement:
    return said._replace(states=tuple(pair for pair in said.states if pair[1] is State.RESERVED))


def _read_remnants(part: Part, fault: str) -> Reading:
    """What a damaged file still shows of prohibitions: they count, with little strength; nothing permits."""
    data = part.data.replace(b"\0", b"")
    keys = dict.fromkeys(match.group().decode() for match in _REMNANT.finditer(data))
    statements = tuple(
        Statement(
            reason="iptc.remnant",
            place=part.place("damaged"),
            value=key,
            states=tuple(pair for pair in MEANING.get(key, UNKNOWN_PROHIBITION) if pair[1] is State.RESERVED),
            layer=Layer.ASSET,
            strength=Strength.CONVENTION,
        )
        for key in keys
    )
    # A PDF that cannot be read is reported by the protocol that reads PDF.
    problems = () if part.slot is Slot.PDF else (Problem("iptc.unreadable", part.place(fault)),)
    return Reading(statements, problems, valid=False)


def _read_newsml(part: Part) -> Reading:
    """NewsML-G2 2.34: at most one `dataMining` in each `rightsInfo`, its value in `uri` or `qcode`."""
    try:
        root = parse(part.data, max_bytes=MAX_DOCUMENT)
    except MalformedXml as error:
        return _read_remnants(part, f"malformed XML in line {error.line}")
    found = []
    for element in root.iter("{*}dataMining"):
        parent = element.getparent()
        if name_of(element)[0].startswith(_NEWSML) and parent is not None and name_of(parent)[1] == "rightsInfo":
            value = element.get("uri") or element.get("qcode") or ""
            found.append(_meaning(part.place("rightsInfo/dataMining", line_of(element)), value.strip(), ()))
    return _settled(part, found)


PROTOCOL = Protocol(
    name="iptc",
    title="IPTC and PLUS Data Mining",
    specification="https://iptc.org/std/photometadata/specification/IPTC-PhotoMetadata",
    edition="IPTC Photo Metadata Standard 2025.1; NewsML-G2 2.34",
    carriers=(
        Embedded("XMP plus:DataMining", _IMAGES, ASSET, word=_WORD),
        Embedded("NewsML-G2 dataMining", frozenset({"application/xml"}), ASSET),
    ),
    read=read,
    problems=PROBLEMS,
)
