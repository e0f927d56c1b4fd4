"""trust.txt: whether a publisher lets its content train models (JournalList specification).

| `datatrainingallowed` | tdm | ai-train | ai-input | search |
|---|---|---|---|---|
| `no` | - | reserved | - | - |
| `yes` | - | permitted | - | - |
| anything else, or no such line | - | - | - | - |

Lines are `name=value`, `#` begins a comment, letter case does not matter. A colon for the equals sign and other words
for `no` reserve under `malformed-reservations`; nothing but `yes` after an equals sign permits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optout.model import (
    SILENCE,
    Availability,
    Exchange,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
    permit,
    reserve,
)
from optout.protocol import Protocol, WellKnown
from optout.syntax import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optout.syntax.plain_text import Line

FILES = ("/trust.txt", "/.well-known/trust.txt")
VARIABLE = "datatrainingallowed"

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "no": reserve(Purpose.AI_TRAIN),
    "yes": permit(Purpose.AI_TRAIN),
}
"""What the variable states; other values are ignored."""

MEANT_AS_NO = frozenset({"0", "denied", "deny", "disallow", "disallowed", "false", "forbidden", "never", "no", "none"})
"""What people write for `no`."""

MAX_BYTES = 1_048_576
"""Bytes of a file that are read."""

_MAX_LINES = 50
_LINE = re.compile(r"(data[-_ ]?training[-_ ]?allowed)[ \t]*([=:])[ \t]*([^#]*)", re.IGNORECASE)


def read(exchange: Exchange) -> Reading:
    """Read either of the two files; where both exist and differ, the more restrictive counts."""
    if exchange.availability is not Availability.RETRIEVED:
        return SILENCE
    if plain_text.is_markup(exchange.body):
        return Reading(problems=(Problem("trust-txt.html-body", Place(exchange.role)),))
    found = [item for line in plain_text.lines(exchange.body, MAX_BYTES) for item in _line(exchange.role, line)]
    return Reading(
        tuple(item for item in found if isinstance(item, Statement)),
        tuple(item for item in found if isinstance(item, Problem))[:_MAX_LINES],
    )


def _line(file: str, line: Line) -> Iterator[Statement | Problem]:
    """One line: the variable as the specification writes it, or something that only resembles that."""
    written = _LINE.match(line.text)
    if written is None:
        return
    name, separator, value = written[1].lower(), written[2], written[3].strip().lower()
    place = Place(file, line.number, line.offset, VARIABLE)
    if (name, separator) == (VARIABLE, "=") and value in MEANING:
        yield _statement(place, line.text, value, None)
        return
    yield Problem("trust-txt.value" if (name, separator) == (VARIABLE, "=") else "trust-txt.spelling", place)
    if value.strip("\"'.") in MEANT_AS_NO:
        yield _statement(place, line.text, "no", Leniency.MALFORMED_RESERVATIONS)


def _statement(place: Place, text: str, value: str, leniency: Leniency | None) -> Statement:
    verb = "intended" if leniency else "reserved" if value == "no" else "permitted"
    return Statement(
        f"trust-txt.{verb}", place, text[:200], MEANING[value], strength=Strength.CONVENTION, leniency=leniency
    )


PROTOCOL = Protocol(
    name="trust-txt",
    title="trust.txt",
    specification="https://journallist.net/reference-document-for-trust-txt-specifications",
    edition="4 April 2024",
    carriers=tuple(WellKnown(path) for path in FILES),
    read=read,
    problems={
        "trust-txt.html-body": "The file is an HTML page; many sites answer every path with one.",
        "trust-txt.spelling": "The variable is written in another way than datatrainingallowed= in the specification.",
        "trust-txt.value": "datatrainingallowed is neither yes nor no.",
    },
)
