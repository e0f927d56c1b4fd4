"""ONIX for Books: the usage constraint "text and data mining".

ONIX for Books 3.0 and 3.1, group P.3 (`EpubUsageConstraint`); code lists 145 (code 11, issue 63), 146 (status) and 147
(units). A message speaks about products by identifier, not about the file it stands in: each statement carries its
product's identifiers as conditions, so that a list of products can be made of it. List 230 is no opt-in and not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from optout.model import (
    ASSET,
    SILENCE,
    Exchange,
    Layer,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    permit,
    reserve,
)
from optout.protocol import Embedded, Protocol
from optout.syntax.containers.markup import MAX_DOCUMENT
from optout.syntax.located import Slot
from optout.syntax.parts import Part, part_of, slot_of
from optout.syntax.xml import Element, MalformedXml, line_of, name_of, parse

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "01": permit(Purpose.TDM, Purpose.AI_TRAIN),
    "02": reserve(Purpose.TDM),
    "03": reserve(Purpose.TDM),
}
"""List 146: permitted; limited, where the limits stand in the conditions; prohibited, or expressly reserved."""

TDM_USAGE = "11"
"""List 145: text and data mining, which the scope note widens to the training of generative AI models."""

_SHORT: Mapping[str, str] = {
    "product": "Product",
    "a001": "RecordReference",
    "productidentifier": "ProductIdentifier",
    "b221": "ProductIDType",
    "b244": "IDValue",
    "descriptivedetail": "DescriptiveDetail",
    "epubusageconstraint": "EpubUsageConstraint",
    "x318": "EpubUsageType",
    "x319": "EpubUsageStatus",
    "epubusagelimit": "EpubUsageLimit",
    "x320": "Quantity",
    "x321": "EpubUsageUnit",
}
"""Short tags and the reference names that they stand for."""

_IDENTIFIERS: Mapping[str, str] = {"02": "ISBN-10", "03": "GTIN-13", "06": "DOI", "15": "ISBN-13", "22": "URN"}
_MESSAGES = frozenset({"ONIXMessage", "ONIXmessage"})
_MAX_TEXT = 500

PROBLEMS: Mapping[str, str] = {
    "onix.unreadable": "The message is too large or not well-formed.",
    "onix.unknown-status": "The usage status is none of 01, 02 and 03.",
}


def read(exchange: Exchange) -> Reading:
    """Read one ONIX message."""
    if slot_of(exchange) != Slot.ONIX:
        return SILENCE
    part = part_of(exchange)
    if part.fault is not None:
        return Reading((), (Problem("onix.unreadable", part.place(part.fault)),), valid=False)
    try:
        message = parse(part.data, max_bytes=MAX_DOCUMENT)
    except MalformedXml as error:
        return Reading((), (Problem("onix.unreadable", part.place("malformed XML", error.line)),), valid=False)
    return _read_message(part, message) if name_of(message)[1] in _MESSAGES else SILENCE


def _read_message(part: Part, message: Element) -> Reading:
    statements, problems = [], []
    for product in _children(message, "Product"):
        for constraint in _constraints(product):
            status = _text(constraint, "EpubUsageStatus")
            place = part.place("EpubUsageConstraint", line_of(constraint))
            if status not in MEANING:
                problems.append(Problem("onix.unknown-status", place))
                continue
            conditions = (*_identifiers(product), *_limits(constraint))
            value = f"{TDM_USAGE}/{status}"
            states = MEANING[status]
            statements.append(
                Statement("onix.text-and-data-mining", place, value, states, layer=Layer.ASSET, conditions=conditions)
            )
    return Reading(tuple(statements), tuple(problems))


def _constraints(product: Element) -> Iterator[Element]:
    for detail in _children(product, "DescriptiveDetail"):
        for constraint in _children(detail, "EpubUsageConstraint"):
            if _text(constraint, "EpubUsageType") == TDM_USAGE:
                yield constraint


def _identifiers(product: Element) -> Iterator[tuple[str, str]]:
    for identifier in _children(product, "ProductIdentifier"):
        kind = _IDENTIFIERS.get(_text(identifier, "ProductIDType"))
        if kind is not None:
            yield kind, _text(identifier, "IDValue")


def _limits(constraint: Element) -> Iterator[tuple[str, str]]:
    for limit in _children(constraint, "EpubUsageLimit"):
        yield "limit", f"{_text(limit, 'Quantity')} of unit {_text(limit, 'EpubUsageUnit')}"


def _children(element: Element, name: str) -> Iterator[Element]:
    """The child elements of a reference name, whichever kind of tags the message uses."""
    for child in element:
        local = name_of(child)[1]
        if _SHORT.get(local, local) == name:
            yield child


def _text(element: Element, name: str) -> str:
    """The text of the first child of a reference name, without white space; empty where there is none."""
    return next(((child.text or "").strip()[:_MAX_TEXT] for child in _children(element, name)), "")


PROTOCOL = Protocol(
    name="onix",
    title="ONIX for Books usage constraint",
    specification="https://www.editeur.org/93/Release-3.0-Downloads/",
    edition="ONIX for Books 3.1; code lists issue 73",
    carriers=(Embedded("ONIX EpubUsageConstraint 11", frozenset({"application/xml"}), ASSET),),
    read=read,
    problems=PROBLEMS,
)
