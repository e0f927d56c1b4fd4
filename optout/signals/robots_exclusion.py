"""robots.txt: who may fetch what (RFC 9309, the Robots Exclusion Protocol).

A refusal of access reserves every purpose for whoever is refused: what may not be fetched may not be mined.
`Allow` is silence. It says nothing about use, but it counts in the precedence of paths.

| robots.txt answers | the letter (section 2.3.1) | read more widely under |
|---|---|---|
| 2xx | its rules count; HTML, JSON or binary is no rules and a problem | |
| 4xx | unavailable: everything may be fetched | `robots-unauthorised` (401, 402, 403), `robots-rate-limited` (429) |
| more redirects than are followed | unavailable | `robots-redirects` |
| 5xx, no answer | unreachable: nothing may be fetched, whatever the body says | |
| more bytes than are read | the rules that were read count | `robots-truncated` |

Lines that the letter ignores although a refusal was plainly meant count under `malformed-reservations`, and tokens
behind the first of a list under `agent-lists` (RFC 9309 erratum 8895, reported only).
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from protego import Protego

from optout.errors import MalformedUrl
from optout.model import (
    EVERYONE,
    RESERVE_ALL,
    SILENCE,
    TOO_MANY_REDIRECTS,
    Availability,
    Exchange,
    Leniency,
    Place,
    Problem,
    Purpose,
    Reading,
    Statement,
    Strength,
    reserve,
)
from optout.protocol import Precedence, Protocol, WellKnown
from optout.syntax import robots_txt
from optout.urls import origin_of, without_dot_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from optout.syntax.robots_txt import Group, Record, RobotsFile

    Agents = frozenset[str]

ROLE = "/robots.txt"
_FILE = Place(ROLE)
_EVERYONE = frozenset({EVERYONE})

STATUS_MEANING = {
    401: ("robots.unauthorised", Leniency.ROBOTS_UNAUTHORISED),
    402: ("robots.unauthorised", Leniency.ROBOTS_UNAUTHORISED),
    403: ("robots.unauthorised", Leniency.ROBOTS_UNAUTHORISED),
    429: ("robots.rate-limited", Leniency.ROBOTS_RATE_LIMITED),
}
"""Statuses that the letter counts as "no robots.txt", and the wider reading under which each refuses everything."""

READER_PROBLEMS = {
    "robots.unreachable": "robots.txt answered 5xx or not at all; nothing may be fetched (RFC 9309 section 2.3.1.4).",
    "robots.unauthorised": "robots.txt answered 401, 402 or 403: by the letter unavailable, maybe meant as a refusal.",
    "robots.rate-limited": "robots.txt answered 429: by the letter unavailable, but it exists and was not seen.",
    "robots.redirects": "robots.txt redirected more often than is followed, or to nowhere; by the letter unavailable.",
    "robots.second-reader-forbids": "An independent reader of this robots.txt forbids what ours allows.",
}


def read(exchange: Exchange) -> Reading:
    """Read one answer for `/robots.txt`; see the table above."""
    match exchange.availability:
        case Availability.RETRIEVED:
            return _rules(exchange)
        case Availability.UNREACHABLE:
            return _refusal("robots.unreachable", _outcome(exchange), None)
        case Availability.UNAVAILABLE:
            return _unavailable(exchange)
        case _:
            return SILENCE


def _unavailable(exchange: Exchange) -> Reading:
    status = exchange.status or 0
    if exchange.error == TOO_MANY_REDIRECTS or 300 <= status < 400:
        return _refusal("robots.redirects", _outcome(exchange), Leniency.ROBOTS_REDIRECTS)
    if status in STATUS_MEANING:
        reason, leniency = STATUS_MEANING[status]
        return _refusal(reason, _outcome(exchange), leniency)
    return SILENCE


def _outcome(exchange: Exchange) -> str:
    return exchange.error or f"status {exchange.status}"


def _refusal(reason: str, outcome: str, leniency: Leniency | None) -> Reading:
    statement = Statement(reason, _FILE, outcome, RESERVE_ALL, refuses_access=True, leniency=leniency)
    return Reading((statement,), (Problem(reason, _FILE),))


class _Kind(NamedTuple):
    """What the statements of one kind have in common; `prefix` begins their reason code."""

    prefix: str
    leniency: Leniency | None = None
    advisory: bool = False


_RULE = _Kind("robots.group")
_LISTED = _Kind("robots.agent-list", Leniency.AGENT_LISTS)
_REPAIRED = _Kind("robots.repaired", Leniency.MALFORMED_RESERVATIONS)
_ORPHAN = _Kind("robots.rule-before-agent", advisory=True)


def _rules(exchange: Exchange) -> Reading:
    """Read the rules of a robots.txt that arrived."""
    file = _cut(exchange)
    everyone = file.addressed | {EVERYONE}
    statements = [*_group_rules(file, exchange.url), *_orphans(file)]
    if file.truncated:
        statements.append(_beyond(everyone))
    problems = tuple(Problem(f"robots.{fault.code}", Place(ROLE, fault.line, fault.offset)) for fault in file.faults)
    return Reading((*statements, *_file_itself(statements, everyone)), problems, addressed=file.addressed)


def _cut(exchange: Exchange) -> RobotsFile:
    """Cut the file; a body that was cut at a limit loses its last line, because half a rule is another rule."""
    body = exchange.body
    return robots_txt.parse(body, len(body) - exchange.truncated)


def _group_rules(file: RobotsFile, url: str) -> Iterator[Statement]:
    """What all groups say: by the letter, in each wider reading, and as evidence."""
    for group in file.groups:
        named, listed = group.tokens, group.listed
        rules = _with_path(group.rules)
        yield from _stated(rules, named, _RULE)
        yield from _stated(rules, listed, _LISTED)
        yield from _repaired(group, named | listed, url)
        yield from _no_training(group.others, named)
    for group in file.meant:
        # Apart, so that an `Allow` in such a group bears on its own refusals and lifts none of the letter.
        agents = group.tokens | group.listed
        yield from (one._replace(apart=True) for one in _stated(_with_path(group.rules), agents, _REPAIRED))


def _with_path(records: Iterable[Record]) -> list[Record]:
    """Those whose value can match a path at all; an empty `Disallow` forbids nothing."""
    return [record for record in records if record.value.startswith(("/", "*"))]


def _stated(records: Iterable[Record], agents: Agents, kind: _Kind) -> Iterator[Statement]:
    return (_statement(record, agents, kind) for record in records) if agents else iter(())


def _statement(record: Record, agents: Agents, kind: _Kind) -> Statement:
    allow = record.allow
    return Statement(
        f"{kind.prefix}.{record.field}",
        Place(ROLE, record.line, record.offset, "Allow" if allow else "Disallow"),
        record.raw.strip(),
        () if allow else RESERVE_ALL,
        agents,
        record.value,
        refuses_access=not allow,
        leniency=kind.leniency,
        advisory=kind.advisory,
    )


def _repaired(group: Group, agents: Agents, url: str) -> Iterator[Statement]:
    """Refusals that were plainly meant; one that stands on a `User-agent` line is meant for that agent alone."""
    lines = {agent.line: frozenset(agent.tokens + agent.listed) for agent in group.agents}
    for record in group.intended:
        if record.line in lines:
            yield from _stated([record], lines[record.line], _REPAIRED)
        elif record.value.startswith(("/", "*")) and _names_a_path(record, url):
            yield from _stated([record], agents, _REPAIRED)


def _names_a_path(record: Record, url: str) -> bool:
    """Whether a faulty rule says which paths of this site it means.

    `Disallow: private` does not: the path may begin anywhere. A whole URL does where it is one of this site.
    """
    written = record.raw.partition(":")[2].strip()
    if written.lower().startswith(("http://", "https://")):
        return _site(written) == _site(url)
    return not written or bool(robots_txt.named_path(written))


def _site(url: str) -> str:
    """The host of a URL, for which the one with and the one without `www.` stand for each other; empty: none."""
    try:
        return origin_of(url).host.removeprefix("www.")
    except MalformedUrl:
        return ""


def _orphans(file: RobotsFile) -> Iterator[Statement]:
    """What stands before any `User-agent` line: it addresses nobody, so it is evidence and never decides."""
    yield from _stated(_with_path(file.orphans), _EVERYONE, _ORPHAN)
    yield from _no_training((record for record in file.records if record.group is None), _EVERYONE)


def _no_training(records: Iterable[Record], agents: Agents) -> Iterator[Statement]:
    """`DisallowAITraining` of an expired individual draft that was not adopted: evidence that never decides.

    https://datatracker.ietf.org/doc/draft-canel-robots-ai-control/
    """
    for record in _with_path(record for record in records if record.field == "disallowaitraining"):
        yield Statement(
            "robots.disallow-ai-training",
            Place(ROLE, record.line, record.offset, "DisallowAITraining"),
            record.raw.strip(),
            reserve(Purpose.AI_TRAIN),
            agents,
            record.value,
            strength=Strength.ADVISORY,
            advisory=True,
        )


def _beyond(everyone: Agents) -> Statement:
    """What may stand behind the limit is not known: it may refuse anything to anybody."""
    value = "the file is longer than what was read of it"
    return Statement(
        "robots.truncated",
        _FILE,
        value,
        RESERVE_ALL,
        everyone,
        refuses_access=True,
        leniency=Leniency.ROBOTS_TRUNCATED,
    )


def _file_itself(statements: Iterable[Statement], everyone: Agents) -> Iterator[Statement]:
    """`/robots.txt` itself is always allowed (RFC 9309 section 2.2.2), in every reading that refuses anything.

    The end anchor makes the rule an octet longer than `Disallow: /robots.txt`.
    """
    readings = dict.fromkeys((one.leniency, one.apart) for one in statements if one.refuses_access)
    for leniency, apart in readings:
        value = "robots.txt itself is always allowed"
        pattern = f"{ROLE}$"
        yield Statement(
            "robots.file-itself", _FILE, value, agents=everyone, pattern=pattern, leniency=leniency, apart=apart
        )


# The second reader.

SECOND_READER_LIMIT = 1_000_000
"""Protego copies the rules of a group for each of its agents; files of more copies than this are spared it."""

_HARMLESS_LENGTH = 20_000
"""Characters of a file in which not so many lines of agents and rules fit."""

_ITS_AGENT = re.compile(r"user[-\s]*agent", re.IGNORECASE)
_ITS_SITE_WIDE = re.compile(r"site-?map|host\b", re.IGNORECASE)


def second_reader(exchange: Exchange, token: str) -> Callable[[str], bool]:
    """Read the same bytes with Protego, the parser of Scrapy: a predicate that says whether it forbids a URL.

    A URL that Protego cannot take apart is not forbidden by it; our own reader has decided on it.
    """
    screen: _Screen | None = None

    def forbids(url: str) -> bool:
        nonlocal screen
        if screen is None:
            reading = _second_reading(exchange.body, token)
            screen = _NOTHING if reading is None else reading.screen
        if not screen.lets_on(without_dot_segments(url)):
            return False
        reading = _second_reading(exchange.body, token)
        return reading is not None and reading.forbids(url)

    return forbids


# A path and query that Protego compares as they stand, because its normal form of them is the same.
_AS_IT_STANDS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*(/(?!/)[A-Za-z0-9_.~/=-]*)")


class _Screen(NamedTuple):
    """What one of which a path must begin with, or hold, for any of Protego's rules to forbid it.

    Most paths hold nothing of the kind, and then Protego, which would try every wildcard rule, need not be asked. This
    is kept for as long as an origin is, while all that Protego read is large and is kept for a few origins only.
    """

    beginnings: tuple[str, ...]
    runs: tuple[str, ...]

    def lets_on(self, url: str) -> bool:
        """Whether Protego has to be asked."""
        plain = _AS_IT_STANDS.fullmatch(url)
        if plain is None or plain[1].startswith(self.beginnings):
            return True
        for run in self.runs:  # noqa: SIM110 - a generator would cost more than the search
            if run in plain[1]:
                return True
        return False


_NOTHING = _Screen((), ())


class _SecondReading:
    """Protego's rules for one token."""

    def __init__(self, parsed: Protego, token: str) -> None:
        self._parsed = parsed
        self._token = token

    @cached_property
    def screen(self) -> _Screen:
        """What a path must hold for any of them to forbid it."""
        beginnings, runs = [], []
        for pattern in _disallowed(self._parsed, self._token):
            first, *others = pattern.removesuffix("$").split("*")
            if len(first) > 1 or not any(others):
                beginnings.append(first)
            else:
                runs.append(max(others, key=len))
        return _Screen(tuple(dict.fromkeys(beginnings)), tuple(dict.fromkeys(runs)))

    def forbids(self, url: str) -> bool:
        """Whether Protego forbids a URL, whose dot segments are walked as for our own reader."""
        url = without_dot_segments(url)
        if not self.screen.lets_on(url):
            return False
        try:
            return not self._parsed.can_fetch(url, self._token)
        except ValueError:
            return False


def _disallowed(parsed: Protego, token: str) -> list[str]:
    """The patterns that Protego forbids to a token, in its normal form; `*`, which may be all, if it hides them."""
    try:
        found = parsed._get_matching_rule_set(token)  # noqa: SLF001 - it has no public name
        rules = found._rules if found is not None else []  # noqa: SLF001
        return [rule.value._pattern for rule in rules if rule.field == "disallow"]  # noqa: SLF001
    except AttributeError:
        return ["*"]


# A crawl takes the URLs of hundreds of origins in turn, and parsing costs as much as a hundred answers.
@lru_cache(maxsize=256)
def _second_reading(body: bytes, token: str) -> _SecondReading | None:
    """Parse at the first question, once. Protego takes text and keeps a byte order mark, which would hide a line."""
    text = body.decode("utf-8-sig", "replace").removeprefix("\xef\xbb\xbf")
    if len(text) > _HARMLESS_LENGTH and _copies(text) > SECOND_READER_LIMIT:
        return None
    parsed = Protego.parse(text)
    for rules in parsed._user_agents.values():  # noqa: SLF001 - it has no public name
        # Rules need their parser while they are read; afterwards the two would only keep each other in memory.
        rules._parser_instance = None  # type: ignore[assignment]  # noqa: SLF001
    return _SecondReading(parsed, token)


def _copies(text: str) -> int:
    """At most how many copies of rules Protego would make; it ends lines and spells fields in more ways than we do."""
    copies = agents = 0
    in_agents = False
    for line in text.splitlines():
        content = line.partition("#")[0].strip()
        if _ITS_AGENT.match(content):
            agents = (agents if in_agents else 0) + 1 + ("*" in content)
            in_agents = True
        elif content and not _ITS_SITE_WIDE.match(content):
            copies += agents
            in_agents = False
    return copies


PROTOCOL = Protocol(
    name="robots-exclusion",
    title="robots.txt",
    specification="https://www.rfc-editor.org/rfc/rfc9309",
    edition="RFC 9309, September 2022",
    carriers=(WellKnown(ROLE),),
    read=read,
    problems={f"robots.{code}": text for code, text in robots_txt.PROBLEMS.items()} | READER_PROBLEMS,
    precedence=Precedence.MOST_OCTETS,
    second_reader=second_reader,
)
