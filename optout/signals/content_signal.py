"""Content Signals: what may be done with content after it was accessed, said in robots.txt.

| signal | purpose | `yes` | `no` |
|---|---|---|---|
| `ai-train` | ai-train | permitted | reserved |
| `ai-input` | ai-input | permitted | reserved |
| `search` | search | permitted | reserved |
| `use=immediate` (beta) | ai-train, search | - | reserved under `draft-vocabulary` |
| `use=reference` (beta) | ai-train | - | reserved under `draft-vocabulary` |

The policy text says that a signal which is absent neither grants nor restricts, and that restrictions are express
reservations of rights under Article 4 of Directive (EU) 2019/790. There is no formal grammar; deployed files vary in
case and spacing and put a path before the signals. A line speaks to the agents of its group, groups of one agent are
merged (a managed block stands before the site's own file), and as an absent signal restricts nothing, a line for a
narrower path takes the place of a wider one for those signals alone that it states; of equals the `no` counts.

Decisions of ours, where the text is silent:

* The policy knows no header field, and one converter emits one with permissive defaults: in a header a `no` reserves
  and a `yes` is nothing.
* A line outside any group addresses nobody. All deployed files put their lines into groups, so by the letter it
  states nothing; a `no` in it is plainly meant for everyone and counts under `malformed-reservations`.
* A line below the last group, behind an empty line or a `Sitemap`, belongs to that group by the letter and is meant
  for the site, as publishers put `License` there: a `no` in it counts for everyone under `malformed-reservations`.
* `ai-train=n`, `train-ai=no` or semicolons for commas count under `malformed-reservations`, refusals only.
* The ladder of `use` lets content be worked with at once (`immediate`), then indexed and quoted (`reference`), then
  reproduced (`full`): each step reserves what only the later ones name. Using an answer at once is `ai-input`, which
  even the first step allows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from optout.model import (
    EVERYONE,
    RESOURCE,
    SILENCE,
    Availability,
    Exchange,
    Layer,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    Statement,
    Strength,
    permit,
    reserve,
)
from optout.protocol import HeaderField, Precedence, Protocol, WellKnown
from optout.syntax import http_fields, robots_blocks, robots_txt
from optout.syntax.structured_fields import salvage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.syntax.robots_txt import Group, Record, RobotsFile

FIELD = "content-signal"
FIELDS_MEANT = frozenset({"content-signals", "content signal", "content_signal", "contentsignal"})
"""Other names that people write for the field."""

ROBOTS = "/robots.txt"

SIGNALS = {
    "ai-train": Purpose.AI_TRAIN,
    "ai-input": Purpose.AI_INPUT,
    "search": Purpose.SEARCH,
}

USE: dict[str, tuple[Purpose, ...]] = {
    "immediate": (Purpose.AI_TRAIN, Purpose.SEARCH),
    "reference": (Purpose.AI_TRAIN,),
    "full": (),
}
"""The beta extension of 1 July 2026: the purposes that each value of `use` leaves out."""

NEIGHBOURS = {
    "train-ai": Purpose.AI_TRAIN,
    "ai-training": Purpose.AI_TRAIN,
    "ai-use": Purpose.AI_INPUT,
    "tdm": Purpose.TDM,
}
"""Names of other vocabularies that are mistaken for signals."""

REFUSALS = frozenset({"no", "n", "?0", "0", "false", "disallow", "deny"})
"""What people write for `no`."""

MAX_PROBLEMS = 50
"""Problems that are listed; a file of a thousand faulty lines is not worse than one of fifty."""

_BLANK = re.compile(r"[ \t]+")


class Signals(NamedTuple):
    """One line, taken apart.

    Attributes:
        path: what it is limited to; None is everything.
        reserved: the purposes with a `no`.
        permitted: the purposes with a `yes` and no `no`.
        drafted: the purposes that `use` leaves out.
        meant: the purposes refused in another way than the text knows.
        problems: codes of what is wrong with it.
    """

    path: str | None
    reserved: tuple[Purpose, ...]
    permitted: tuple[Purpose, ...]
    drafted: tuple[Purpose, ...]
    meant: tuple[Purpose, ...]
    problems: tuple[str, ...]


def read(exchange: Exchange) -> Reading:
    """Read the lines of a robots.txt, or the refusals of a header field."""
    if exchange.role == RESOURCE:
        return _header(exchange)
    return _robots(exchange) if exchange.availability is Availability.RETRIEVED else SILENCE


def parse_signals(value: str) -> Signals:
    """Take a line apart: perhaps a path, then `name=value` pairs between commas; case and spaces do not matter."""
    path, written = _split_path(value)
    pairs = [_pair(part) for part in written.split(",") if part.strip()]
    stated = [(SIGNALS[name], text) for name, text in pairs if name in SIGNALS]
    reserved = tuple(purpose for purpose, text in stated if text == "no")
    permitted = tuple(purpose for purpose, text in stated if text == "yes" and purpose not in reserved)
    known = {*reserved, *permitted}
    return Signals(
        path,
        reserved,
        permitted,
        drafted=tuple(p for name, text in pairs if name == "use" for p in USE.get(text, ()) if p not in known),
        meant=tuple(purpose for purpose in _refused(written) if purpose not in known),
        problems=tuple(dict.fromkeys(_faults(pairs, stated))),
    )


def _split_path(value: str) -> tuple[str | None, str]:
    if not value.startswith("/"):
        return None, value
    path, *rest = _BLANK.split(value, maxsplit=1)
    return path, "".join(rest)


def _pair(part: str) -> tuple[str, str]:
    name, _, text = part.lower().partition("=")
    return name.strip(), text.strip()


def _refused(written: str) -> Iterator[Purpose]:
    """The purposes refused by anything that looks like a pair with a refusing value."""
    for name, text in salvage(written):
        key = name.replace("_", "-")
        purpose = SIGNALS.get(key) or NEIGHBOURS.get(key)
        if purpose is not None and text.lower() in REFUSALS:
            yield purpose


def _faults(pairs: Iterable[tuple[str, str]], stated: list[tuple[Purpose, str]]) -> Iterator[str]:
    for name, text in pairs:
        if name in SIGNALS and text not in ("yes", "no"):
            yield "content-signal.unknown-value"
        elif name == "use":
            yield "content-signal.beta"
        elif name not in SIGNALS:
            yield "content-signal.unknown-signal"
    if any((purpose, "yes") in stated and (purpose, "no") in stated for purpose in SIGNALS.values()):
        yield "content-signal.contradiction"


# robots.txt.


def _robots(exchange: Exchange) -> Reading:
    # A body that was cut at a limit loses its last line, because half a rule is another rule.
    file = robots_txt.parse(exchange.body, len(exchange.body) - exchange.truncated)
    found = [item for group in file.groups for item in _grouped(group)] + list(_outside(file))
    if any(record.field == FIELD for record in file.records):
        found += _set_apart(file, robots_blocks.set_apart(file, exchange.body))
    problems = [item for item in found if isinstance(item, Problem)]
    return Reading(
        tuple(item for item in found if isinstance(item, Statement)),
        tuple(problems[:MAX_PROBLEMS]),
        addressed=file.addressed,
    )


def _grouped(group: Group) -> Iterator[Statement | Problem]:
    """The lines of a group; for agents that only a list names, their refusals alone."""
    lines = [record for record in group.others if record.field == FIELD or record.field in FIELDS_MEANT]
    if not lines:
        return
    named, listed = group.tokens, group.listed
    for record in lines:
        signals = parse_signals(record.value)
        yield from (Problem(code, _place(record)) for code in signals.problems)
        common = _common(record)._replace(agents=named, pattern=signals.path)
        if record.field != FIELD:
            yield Problem("content-signal.misspelt-field", _place(record))
            yield from _meant(common, (*signals.reserved, *signals.meant))
            continue
        yield from _stated(common, signals)
        if listed and signals.reserved:
            yield _reserved(common, signals.reserved)._replace(agents=listed, leniency=Leniency.AGENT_LISTS)


def _outside(file: RobotsFile) -> Iterator[Statement | Problem]:
    for record in file.records:
        if record.group is not None:
            return
        if record.field == FIELD:
            signals = parse_signals(record.value)
            yield Problem("content-signal.outside-group", _place(record))
            common = _common(record)._replace(pattern=signals.path)
            yield from _meant(common, (*signals.reserved, *signals.meant))


def _set_apart(file: RobotsFile, apart: frozenset[int]) -> Iterator[Statement | Problem]:
    """What stands apart from a group that is not everyone's, and is meant for everyone."""
    everybody = file.addressed | {EVERYONE}
    for group in file.groups:
        for record in group.others:
            if record.field == FIELD and record.line in apart and not group.names(EVERYONE):
                signals = parse_signals(record.value)
                yield Problem("content-signal.set-apart", _place(record))
                common = _common(record)._replace(agents=everybody, pattern=signals.path)
                yield from _meant(common, (*signals.reserved, *signals.meant))


def _common(record: Record) -> Statement:
    value = record.raw.strip()
    return Statement("content-signal.unstated", _place(record), value, strength=Strength.INDUSTRY)


def _place(record: Record) -> Place:
    return Place(ROBOTS, record.line, record.offset, "Content-Signal")


# The header field.


def _header(exchange: Exchange) -> Reading:
    place = Place("headers", field="Content-Signal")
    statements: list[Statement] = []
    problems: list[Problem] = []
    for value, _ in http_fields.values(exchange.headers, FIELD):
        signals = parse_signals(value)
        codes = (*signals.problems, "content-signal.permission-in-header") if signals.permitted else signals.problems
        problems += [Problem(code, place) for code in codes]
        reason = "content-signal.unstated"
        common = Statement(reason, place, value, layer=Layer.HEADER, strength=Strength.CONVENTION)
        statements += _stated(common, signals._replace(permitted=()))
    return Reading(tuple(statements), tuple(problems))


# Statements. Each state has one of its own, so that it can be named as the reason of a decision.


def _stated(common: Statement, signals: Signals) -> Iterator[Statement]:
    if signals.reserved:
        yield _reserved(common, signals.reserved)
    if signals.permitted:
        yield common._replace(reason="content-signal.permitted", states=permit(*signals.permitted))
    if signals.drafted:
        states, leniency = reserve(*signals.drafted), Leniency.DRAFT_VOCABULARY
        yield common._replace(reason="content-signal.use", states=states, leniency=leniency)
    yield from _meant(common, signals.meant)


def _reserved(common: Statement, purposes: tuple[Purpose, ...]) -> Statement:
    return common._replace(reason="content-signal.reserved", states=reserve(*purposes))


def _meant(common: Statement, purposes: tuple[Purpose, ...]) -> Iterator[Statement]:
    if purposes:
        states, leniency = reserve(*purposes), Leniency.MALFORMED_RESERVATIONS
        yield common._replace(reason="content-signal.malformed", states=states, leniency=leniency)


PROTOCOL = Protocol(
    name="content-signal",
    title="Content Signals",
    specification="https://contentsignals.org/",
    edition="policy text of 24 September 2025, with the beta extension of 1 July 2026",
    carriers=(WellKnown(ROBOTS), HeaderField(FIELD)),
    read=read,
    problems={
        "content-signal.unknown-value": "A signal has another value than yes and no, and so is not stated.",
        "content-signal.unknown-signal": "A pair names no signal of the policy text.",
        "content-signal.beta": "The beta extension use= is stated.",
        "content-signal.contradiction": "One line says yes and no to the same signal; the no counts.",
        "content-signal.misspelt-field": "A field is called Content-Signals, or otherwise almost by its name.",
        "content-signal.outside-group": "A line stands before any User-agent line and addresses nobody.",
        "content-signal.set-apart": "A line stands apart below the last group and by the letter addresses that alone.",
        "content-signal.permission-in-header": "A header says yes; the policy text knows no header, so it is nothing.",
    },
    precedence=Precedence.NARROWEST_PER_PURPOSE,
)
