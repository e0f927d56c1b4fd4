"""AIPREF `Content-Usage`: a preference per category of use, in a header field or by path in robots.txt.

| label | purpose | `y` | `n` |
|---|---|---|---|
| `train-ai` | ai-train | permitted | reserved |
| `ai-use` | ai-input | permitted | reserved |
| `search` | search | permitted | reserved |

Grammar and processing are those of draft-ietf-aipref-attach-05, categories those of draft-ietf-aipref-vocab-08. Any
value but the tokens `y` and `n`, and everything in a field that is no dictionary, is *unknown*: no statement, and no
error. In robots.txt groups are chosen as in RFC 9309; of a group's rules those with the longest matching path count
and hide the shorter ones, even where they state nothing, and equal paths combine, a disallowance winning.

Since vocab-08 a preference for `search` overrides the two others for search that qualifies. That widens what may be
done in a search application and changes no state here: training and input stay as they were stated.

What the drafts call unknown counts under three wider readings where it was evidently meant as a refusal:
`malformed-reservations` (`Train-AI=n`, `train-ai="n"`), `retired-labels` (categories of earlier editions) and
`agent-lists`. None of them ever yields a permission. A line outside any group addresses nobody and is evidence only.
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
    State,
    Statement,
    Strength,
    permit,
    reserve,
)
from optout.protocol import HeaderField, Precedence, Protocol, WellKnown
from optout.syntax import http_fields, robots_txt
from optout.syntax.structured_fields import InnerList, Malformed, parse_dictionary, salvage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.syntax.robots_txt import Record, RobotsFile
    from optout.syntax.structured_fields import Dictionary, Member

    Agents = tuple[str, ...] | frozenset[str]
    Pairs = Iterable[tuple[str, str]]

FIELD = "content-usage"
FIELDS_MEANT = frozenset({"content-usages", "content usage", "content_usage", "contentusage"})
"""Other names that people write for the field in robots.txt."""

EDITION = "draft-ietf-aipref-attach-05 (19 August 2026), draft-ietf-aipref-vocab-08 (14 September 2026)"

LABELS = {
    "train-ai": Purpose.AI_TRAIN,
    "ai-use": Purpose.AI_INPUT,
    "search": Purpose.SEARCH,
}
"""The categories of vocab-08. Labels are case-sensitive."""

RETIRED_LABELS = {
    "all": (Purpose.TDM, Purpose.SEARCH),  # vocab-02
    "bots": (Purpose.TDM, Purpose.SEARCH),  # vocab-03 and -04: any automated processing
    "tdm": (Purpose.TDM,),  # vocab-00 and -01
    "ai": (Purpose.AI_TRAIN,),  # vocab-01
    "genai": (Purpose.AI_TRAIN,),  # vocab-01
    "train-genai": (Purpose.AI_TRAIN,),  # vocab-02 and -03
    "inference": (Purpose.AI_INPUT,),  # vocab-01
    "ai-output": (Purpose.AI_INPUT,),  # vocab-04
}
"""Categories of earlier editions, by the editions that had them; a refusal of one reserves these purposes."""

NEIGHBOURS = {
    "ai-train": (Purpose.AI_TRAIN,),
    "ai-input": (Purpose.AI_INPUT,),
}
"""Labels of Content Signals, which are written in the same files and mistaken for these."""

REFUSALS = frozenset({"n", "no", "?0", "0", "false", "disallow", "deny"})
"""What people write for `n`."""

MAX_PROBLEMS = 50
"""Problems that are listed; a file of a thousand faulty lines is not worse than one of fifty."""


_BLANK = re.compile(r"[ \t]+")


class Preference(NamedTuple):
    """One usage preference, taken apart.

    Attributes:
        reserved: the purposes it disallows by the letter.
        permitted: the purposes it allows by the letter.
        meant: the purposes that only a wider reading finds refused, with that reading.
        problems: codes of what is wrong with it.
    """

    reserved: tuple[Purpose, ...] = ()
    permitted: tuple[Purpose, ...] = ()
    meant: tuple[tuple[Purpose, Leniency], ...] = ()
    problems: tuple[str, ...] = ()


class Origin(NamedTuple):
    """What all statements of one line or field have in common."""

    place: Place
    value: str
    layer: Layer
    agents: Agents = (EVERYONE,)
    pattern: str | None = None


def read(exchange: Exchange) -> Reading:
    """Read the header field of a response, or the rules of a robots.txt."""
    if exchange.role == RESOURCE:
        return _header(exchange)
    return _robots(exchange) if exchange.availability is Availability.RETRIEVED else SILENCE


# The header field (attach-05, section on the Content-Usage header field).


def _header(exchange: Exchange) -> Reading:
    """Several lines are one dictionary (RFC 9110 section 5.3), so one bad line makes all of them unknown."""
    value = http_fields.combined(exchange.headers, FIELD)
    if value is None:
        return SILENCE
    place = Place("headers", field="Content-Usage")
    preference = parse_preference(value)
    stated = _stated(preference, Origin(place, value, Layer.HEADER))
    return Reading(
        tuple(statement for statement in stated if statement.states),
        tuple(Problem(code, place) for code in preference.problems),
    )


# robots.txt (attach-05, section on the Robots Exclusion Protocol).


def _robots(exchange: Exchange) -> Reading:
    # A body that was cut at a limit loses its last line, because half a rule is another rule.
    file = robots_txt.parse(exchange.body, len(exchange.body) - exchange.truncated)
    found = [*_grouped(file), *_outside(file)]
    statements = tuple(item for item in found if isinstance(item, Statement))
    problems = [item for item in found if isinstance(item, Problem)]
    return Reading(statements, tuple(problems[:MAX_PROBLEMS]), addressed=file.addressed)


def _grouped(file: RobotsFile) -> Iterator[Statement | Problem]:
    for group in file.groups:
        rules = [record for record in group.others if record.field == FIELD or record.field in FIELDS_MEANT]
        if rules:
            named, listed = group.tokens, group.listed
            for record in rules:
                yield from _rule(record, named, listed) if record.field == FIELD else _misspelt(record, named)


def _rule(record: Record, named: Agents, listed: Agents) -> Iterator[Statement | Problem]:
    path, written = split_path(record.value)
    preference = parse_preference(written)
    yield from (Problem(code, _place(record)) for code in preference.problems)
    stated = list(_stated(preference, Origin(_place(record), record.raw.strip(), Layer.ORIGIN, named, path)))
    yield from stated
    if listed:
        yield from (_for_listed(statement, listed) for statement in stated if statement.leniency is None)


def _misspelt(record: Record, named: Agents) -> Iterator[Statement | Problem]:
    """A rule under another name: what it reserves was meant."""
    path, written = split_path(record.value)
    preference = parse_preference(written)
    meant = (*((purpose, Leniency.MALFORMED_RESERVATIONS) for purpose in preference.reserved), *preference.meant)
    yield Problem("content-usage.misspelt-field", _place(record))
    yield from (
        statement
        for statement in _stated(
            Preference(meant=meant), Origin(_place(record), record.raw.strip(), Layer.ORIGIN, named, path)
        )
        if statement.states
    )


def _for_listed(statement: Statement, agents: Agents) -> Statement:
    """The statement for agents that only a list names: what it reserves, and what it hides of that, but no more."""
    reserved = tuple((purpose, state) for purpose, state in statement.states if state is State.RESERVED)
    return statement._replace(agents=agents, states=reserved, leniency=Leniency.AGENT_LISTS)


def _outside(file: RobotsFile) -> Iterator[Statement | Problem]:
    """Lines before any group: the grammar has no place for them, so they are evidence and never decide."""
    for record in file.records:
        if record.group is not None:
            return
        if record.field == FIELD:
            path, written = split_path(record.value)
            yield Problem("content-usage.outside-group", _place(record))
            reserved = parse_preference(written).reserved
            if reserved:
                yield Statement(
                    "content-usage.outside-group",
                    _place(record),
                    record.raw.strip(),
                    reserve(*reserved),
                    pattern=path,
                    strength=Strength.ADVISORY,
                    advisory=True,
                )


def _place(record: Record) -> Place:
    return Place("/robots.txt", record.line, record.offset, "Content-Usage")


def split_path(value: str) -> tuple[str | None, str]:
    """The path of a rule and its preference. The path begins with `/` and ends at the first space or tab.

    `*.pdf train-ai=n` has no path and is no dictionary either, so it is unknown, or meant for the whole site.
    """
    if not value.startswith("/"):
        return None, value
    path, *rest = _BLANK.split(value, maxsplit=1)
    return path, "".join(rest)


def _stated(preference: Preference, origin: Origin) -> Iterator[Statement]:
    """One statement for what is disallowed and one for what is allowed, so that each can be named as the reason.

    They share a path and so are combined. A preference that states nothing hides shorter paths all the same.
    """
    common = Statement(
        "content-usage.unknown",
        origin.place,
        origin.value,
        agents=origin.agents,
        pattern=origin.pattern,
        layer=origin.layer,
    )
    if preference.reserved:
        yield common._replace(reason="content-usage.disallowed", states=reserve(*preference.reserved))
    if preference.permitted:
        yield common._replace(reason="content-usage.allowed", states=permit(*preference.permitted))
    if not preference.reserved and not preference.permitted:
        yield common
    for leniency in dict.fromkeys(leniency for _, leniency in preference.meant):
        purposes = [purpose for purpose, under in preference.meant if under is leniency]
        states = tuple(item for item in reserve(*purposes) if item[0] not in preference.permitted)
        yield common._replace(reason=f"content-usage.{leniency}", states=states, leniency=leniency)


# The preference itself (vocab-08, section on the exemplary serialization).


def parse_preference(written: str) -> Preference:
    """Take a usage preference apart: a dictionary whose tokens `y` and `n` count."""
    dictionary = parse_dictionary(written)
    if isinstance(dictionary, Malformed):
        return Preference(meant=tuple(_refused(salvage(written))), problems=("content-usage.malformed",))
    by_letter = [(LABELS[label], member) for label, member in dictionary.members if label in LABELS]
    others = [
        (label, _text(member))
        for label, member in dictionary.members
        if label not in LABELS or not (_says(member, "y") or _says(member, "n"))
    ]
    return Preference(
        reserved=tuple(purpose for purpose, member in by_letter if _says(member, "n")),
        permitted=tuple(purpose for purpose, member in by_letter if _says(member, "y")),
        meant=tuple(_refused(others)),
        problems=tuple(dict.fromkeys(_faults(dictionary, others))),
    )


def _says(member: Member, token: str) -> bool:
    return not isinstance(member, InnerList) and member.is_token(token)


def _text(member: Member) -> str:
    """What somebody wrote who did not mean a structured field; of a list, its refusal if it has one."""
    if not isinstance(member, InnerList):
        return str(member.value).lower()
    words = [str(item.value).lower() for item in member.items]
    return next((word for word in words if word in REFUSALS), "")


def _refused(pairs: Pairs) -> Iterator[tuple[Purpose, Leniency]]:
    """The purposes that pairs refuse as they were evidently meant, each with the reading that finds it."""
    for label, value in pairs:
        if value.lower() in REFUSALS:
            malformed = (LABELS[label],) if label in LABELS else NEIGHBOURS.get(label, ())
            yield from ((purpose, Leniency.MALFORMED_RESERVATIONS) for purpose in malformed)
            yield from ((purpose, Leniency.RETIRED_LABELS) for purpose in RETIRED_LABELS.get(label, ()))


def _faults(dictionary: Dictionary, others: Pairs) -> Iterator[str]:
    if any(label in LABELS for label in dictionary.duplicates):
        yield "content-usage.repeated-label"
    for label, _ in others:
        if label in LABELS:
            yield "content-usage.unknown-value"
        elif label in RETIRED_LABELS:
            yield "content-usage.retired-label"
        elif label in NEIGHBOURS:
            yield "content-usage.foreign-label"


PROTOCOL = Protocol(
    name="content-usage",
    title="AIPREF Content-Usage",
    specification="https://datatracker.ietf.org/doc/draft-ietf-aipref-attach/",
    edition=EDITION,
    carriers=(WellKnown("/robots.txt"), HeaderField(FIELD)),
    read=read,
    problems={
        "content-usage.malformed": "The value is no structured-field dictionary, so that all of it is unknown.",
        "content-usage.unknown-value": "A category has another value than the tokens y and n, and so is unknown.",
        "content-usage.repeated-label": "A category is stated more than once; the last statement counts.",
        "content-usage.retired-label": "A category of an earlier edition of the vocabulary is stated.",
        "content-usage.foreign-label": "A category of Content Signals is stated; this vocabulary does not have it.",
        "content-usage.misspelt-field": "A field is called Content-Usages, or otherwise almost by its name.",
        "content-usage.outside-group": "A Content-Usage line stands before any User-agent line and addresses nobody.",
    },
    precedence=Precedence.MOST_OCTETS_COMBINED,
)
