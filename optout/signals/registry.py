"""Registries of reservations: lists of sites, URLs and works whose rightsholders have opted out.

| list | tdm | ai-train | ai-input | search |
|---|---|---|---|---|
| `opt-out` | reserved | reserved | reserved | - |

A list is imported by `optout lists import` and looked at before anything is fetched. What is found arrives as a small
document that names list, issuer, legal basis, date and entry. Not to be listed says nothing. A document that cannot
be read reserves as well, because it was made only where something was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.model import (
    SILENCE,
    Availability,
    Exchange,
    Layer,
    Place,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    reserve,
)
from optout.protocol import Protocol, Registry
from optout.syntax import listing
from optout.syntax.listing import Kind, Match

if TYPE_CHECKING:
    from collections.abc import Mapping

MEANING: Mapping[Kind, tuple[tuple[Purpose, State], ...]] = {Kind.OPT_OUT: reserve(Purpose.TDM)}
"""What it means to stand on a list."""


def read(exchange: Exchange) -> Reading:
    """Read what a look-up found."""
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    found = listing.parse(exchange.body)
    if found is None:
        place = Place(exchange.role)
        lost = Statement("list.unreadable", place, "", MEANING[Kind.OPT_OUT], strength=Strength.INDUSTRY)
        return Reading((lost,), (Problem("registry.unreadable", place),))
    layer = Layer.ASSET if found.match == Match.CONTENT else Layer.ORIGIN
    place = Place(f"list {found.name}", field=found.entry)
    stated = Statement(
        "list.opt-out", place, found.text, MEANING[Kind.OPT_OUT], layer=layer, strength=Strength.INDUSTRY
    )
    return Reading((stated,))


PROTOCOL = Protocol(
    name="registry",
    title="Opt-out registries",
    specification="https://eur-lex.europa.eu/eli/dir/2019/790/oj",
    edition="Directive (EU) 2019/790, Article 4(3)",
    carriers=(Registry(Kind.OPT_OUT.role),),
    read=read,
    problems={"registry.unreadable": "What a look-up in an opt-out list found cannot be read; it reserves."},
)
