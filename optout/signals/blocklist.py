"""Sites to keep away from: lists of those that are recognised to infringe copyright (Code of Practice, Measure 1.2).

| list | may be fetched | tdm | ai-train | ai-input | search |
|---|---|---|---|---|---|
| `infringing` | no | reserved | reserved | reserved | reserved |
| `advisory` | yes | evidence that never decides | evidence | evidence | evidence |

A list is imported by `optout lists import` and looked at before anything is fetched. What is found arrives as a small
document that names list, issuer, legal basis, date and entry. Not to be listed says nothing. A document that cannot
be read refuses as well, because it was made only where something was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.model import (
    RESERVE_ALL,
    SILENCE,
    Availability,
    Exchange,
    Layer,
    Place,
    Problem,
    Reading,
    Statement,
    Strength,
)
from optout.protocol import Protocol, Registry
from optout.syntax import listing
from optout.syntax.listing import Kind, Match

if TYPE_CHECKING:
    from collections.abc import Mapping

STRENGTH: Mapping[Kind, Strength] = {Kind.INFRINGING: Strength.STANDARD, Kind.ADVISORY: Strength.ADVISORY}
"""The kinds of list that are read here, with the pedigree of what they say."""


def read(exchange: Exchange) -> Reading:
    """Read what a look-up found."""
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    kind = Kind.ADVISORY if exchange.role == Kind.ADVISORY.role else Kind.INFRINGING
    found = listing.parse(exchange.body)
    if found is None:
        place = Place(exchange.role)
        lost = _statement(kind, "list.unreadable", place, "", Layer.ORIGIN)
        return Reading((lost,), (Problem("blocklist.unreadable", place),))
    layer = Layer.ASSET if found.match == Match.CONTENT else Layer.ORIGIN
    place = Place(f"list {found.name}", field=found.entry)
    return Reading((_statement(kind, f"list.{kind}", place, found.text, layer),))


def _statement(kind: Kind, reason: str, place: Place, value: str, layer: Layer) -> Statement:
    return Statement(
        reason,
        place,
        value,
        RESERVE_ALL,
        refuses_access=kind is Kind.INFRINGING,
        layer=layer,
        strength=STRENGTH[kind],
        advisory=kind is Kind.ADVISORY,
    )


PROTOCOL = Protocol(
    name="blocklist",
    title="Lists of infringing sites",
    specification="https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai",
    edition="Code of Practice for General-Purpose AI Models, Copyright chapter, Measure 1.2, 10 July 2025",
    carriers=tuple(Registry(kind.role) for kind in STRENGTH),
    read=read,
    problems={"blocklist.unreadable": "What a look-up in a list of sites found cannot be read; it counts as listed."},
)
