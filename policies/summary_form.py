"""What every section of the official form shares: its words, its dates, and fields that are never left empty."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from policies.document import Address, Block, Fields, Missing, Table, Ticks, Value
from policies.facts import MODALITIES, DatasetKind, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from policies.document import Source
    from policies.facts import Dataset, Facts

YES, NO, NONE = "Yes", "No", "None"


def plain(value: object) -> Value:
    """A fact as the form prints it."""
    if isinstance(value, Missing):
        return value
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or NONE
    return value.isoformat() if isinstance(value, date) else str(value)


def address(value: object) -> Value:
    """A fact that is an address."""
    return value if isinstance(value, Missing) else Address(str(value))


def mark(what: str, number: int, among: Sequence[object] | None) -> str:
    """Tells labels apart where there are several models or crawlers."""
    return f" ({what} {number + 1})" if len(among or ()) > 1 else ""


def said_none(value: object) -> bool:
    """Whether a fact is the word `none`."""
    return isinstance(value, str) and value.casefold() == "none"


def comments(facts: Facts, section: str) -> Fields:
    """The form's room for comments; silence is none."""
    said = getattr(facts.comments, section)
    return Fields((("Additional comments", said or NONE),), (facts.pointer(f"comments.{section}"),) if said else ())


def of_kind(facts: Facts, kind: DatasetKind) -> tuple[tuple[int, Dataset], ...]:
    """The datasets of a kind, each with its place in the facts file."""
    return tuple((number, one) for number, one in enumerate(facts.datasets or ()) if one.kind is kind)


def used(facts: Facts, label: str, kind: DatasetKind) -> Iterator[Block]:
    """The yes or no of a section on datasets, and their modalities."""
    source = (facts.pointer("datasets"),)
    if facts.datasets is None:
        yield Ticks(label, (YES, NO), facts.get("datasets"), source)
    elif any(one.kind is None for one in facts.datasets):
        yield Ticks(label, (YES, NO), Missing("datasets[].kind", "Of which kind is each dataset?"), source)
    else:
        found = of_kind(facts, kind)
        yield Ticks(label, (YES, NO), (YES if found else NO,), source)
        yield modalities(found, source)


def modalities(found: Iterable[tuple[int, Dataset]], source: tuple[Source, ...]) -> Block:
    """The boxes of the modalities of some datasets."""
    listed = tuple(found)
    if not listed:
        return Fields((("Modalities", "Not applicable: none was used"),), source)
    unsaid = [number for number, one in listed if one.modalities is None]
    if unsaid:
        missing = Missing(f"datasets[{unsaid[0]}].modalities", "Which modalities does it hold?")
        return Ticks("Modalities", MODALITIES, missing, source)
    words = tuple(dict.fromkeys(word for _, one in listed for word in one.modalities or ()))
    return Ticks("Modalities", MODALITIES, words, source)


_COLUMNS = {"name": "Name", "version": "Version or period", "selection": "Selection", "description": "Description"}


def listed(facts: Facts, label: str, found: Sequence[tuple[int, Dataset]]) -> Block:
    """Datasets with all that the form asks about each."""
    source = (facts.pointer("datasets"),)
    if not found:
        none = facts.get("datasets") if facts.datasets is None else "None: no such dataset is declared"
        return Fields(((label, none),), source)
    rows = tuple(
        (
            *(plain(known(one, name, f"datasets[{number}]")) for name in _COLUMNS),
            Address(one.url) if one.url else "No link stated",
        )
        for number, one in found
    )
    return Table(label, (*_COLUMNS.values(), "Link"), rows, source)
