"""What `optout lint` finds: what a site says to whom, what is malformed, contradictory or without effect, and the mend.

Each check is a function from a `Look` to findings; the words are data (`data/mends.toml`).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from optout import engine
from optout.identity import Identity
from optout.model import EVERYONE, RESOURCE, Availability, Effect, Layer, Place, Purpose, Scope, State
from optout.policy import AgentClass
from optout.signals import PROTOCOLS
from optout.signals import terms_of_service as terms
from optout.syntax import robots_txt
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from optout.cli.lint_site import Site
    from optout.model import Exchange, Signal, Statement, Verdict
    from optout.policy import Agent, Policy

UNNAMED = Identity("UnnamedCrawler")
"""A crawler that no file names: what is said to everybody holds for it."""

ROBOTS = "robots-exclusion"
DIRECTIVES = "robots-directives"
FOR_EVERYONE = {"noai", "noimageai", "noml"}
FOR_VENDORS = {"noarchive", "nocache", "nosnippet", "max-snippet"}
TRAINING = (Purpose.TDM, Purpose.AI_TRAIN)
SUCCESSORS = {
    "anthropic-ai": "ClaudeBot",
    "claude-web": "ClaudeBot",
    "cohere-ai": "cohere-training-data-crawler",
    "omgilibot": "omgili",
}
"""Tokens that nobody reads any more, and the ones that took their place."""

_SHOWN = 6
_PER_CODE = 10


class Kind(StrEnum):
    """What kind of finding, the gravest first. All but notes make the exit code 1."""

    MALFORMED = "malformed"
    CONTRADICTORY = "contradictory"
    WITHOUT_EFFECT = "without effect"
    INCOMPLETE = "incomplete"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know or to mend, with its place."""

    kind: Kind
    code: str
    place: Place
    says: str
    mend: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a site says to some crawlers: states by the letter, by a cautious reading, and whether they may fetch."""

    agents: tuple[str, ...]
    fetch: bool | None
    letter: tuple[tuple[Purpose, State], ...]
    cautious: tuple[tuple[Purpose, State], ...]


@lru_cache(maxsize=1)
def _words() -> Mapping[str, Any]:
    return tomllib.loads(files("optout.cli").joinpath("data", "mends.toml").read_text(encoding="utf-8"))


def mend_of(code: str) -> str | None:
    """What to do about a problem code; None where nobody has written it down."""
    found = _words()["mends"].get(code)
    return None if found is None else str(found)


def _own(kind: Kind, code: str, place: Place, **parts: str) -> Finding:
    words = _words()["findings"][code]
    return Finding(kind, code, place, words["says"].format(**parts), words["mend"].format(**parts))


class Look:
    """A site as it is read: by whom, by the letter and cautiously."""

    def __init__(self, site: Site, policy: Policy, literal: Policy) -> None:
        self.site = site
        self.policy = policy
        self._literal = literal
        self.reads = engine.read(site.exchanges, policy)

    @cached_property
    def unnamed(self) -> Verdict:
        """What the site says to a crawler that it does not name."""
        return self.verdict(UNNAMED)

    @cached_property
    def named(self) -> dict[Agent, Verdict]:
        """What it says to each known AI agent that it names, in the order of the table."""
        named = {token for item in self.reads for token in item.reading.addressed}
        named |= {token for item in self.reads for statement in item.reading.statements for token in statement.agents}
        return {agent: self.verdict(Identity(agent.token)) for key, agent in self.policy.agents.items() if key in named}

    def verdict(self, identity: Identity) -> Verdict:
        """The verdict for the site's page, as this crawler."""
        return engine.decide(self.site.exchanges, self.site.url, self.policy, identity)

    def letter(self, identity: Identity) -> Verdict:
        """The same by the letter alone."""
        return engine.decide(self.site.exchanges, self.site.url, self._literal, identity)

    def refuses(self, url: str) -> bool:
        """Whether the files of the origin refuse a URL to a crawler that they do not name."""
        return engine.decide(self.site.origin, url, self.policy, UNNAMED).access is Effect.DENY

    def said(self, purpose: Purpose) -> bool:
        """Whether anything is said to everybody about a purpose."""
        return self.unnamed.states[purpose] is not State.UNSPECIFIED

    @property
    def trains_freely(self) -> bool:
        """Whether nothing keeps an unnamed crawler from training."""
        return all(self.unnamed.states[purpose] is not State.RESERVED for purpose in TRAINING)

    def statements(self, protocol: str) -> Iterator[Statement]:
        """What a protocol read, in all exchanges."""
        for item in self.reads:
            if item.protocol.name == protocol:
                yield from item.reading.statements

    def file(self, role: str) -> Exchange | None:
        """A file of the origin that was retrieved."""
        found = (item for item in self.site.origin if item.role == role)
        return next((item for item in found if item.availability is Availability.RETRIEVED), None)


# What it says.


def meanings(look: Look) -> list[Meaning]:
    """What the site says: to crawlers that it does not name, then to those AI agents to whom it says something else."""
    rows = {_meaning(look, UNNAMED, None): ["any crawler that is not named"]}
    for agent in look.named:
        rows.setdefault(_meaning(look, Identity(agent.token), agent), []).append(agent.token)
    return [Meaning(tuple(agents), *row) for row, agents in rows.items()]


def _meaning(
    look: Look, identity: Identity, agent: Agent | None
) -> tuple[bool | None, tuple[tuple[Purpose, State], ...], tuple[tuple[Purpose, State], ...]]:
    letter, cautious = look.letter(identity), look.verdict(identity)
    fetch = None if agent is not None and agent.never_fetches else cautious.access is Effect.PERMIT
    return fetch, tuple(letter.states.items()), tuple(cautious.states.items())


# What is wrong.


def findings(look: Look) -> list[Finding]:
    """Everything found, the gravest first, each once."""
    found = [finding for check in CHECKS for finding in check(look)]
    order = list(Kind)
    return sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.kind))


def _malformed(look: Look) -> Iterator[Finding]:
    """Every problem that a protocol reports; of very many alike, the first."""
    seen: dict[str, int] = {}
    for item in look.reads:
        for problem in item.reading.problems:
            seen[problem.code] = seen.get(problem.code, 0) + 1
            if seen[problem.code] <= _PER_CODE:
                kind = Kind.NOTE if problem.code in _words()["notes"] else Kind.MALFORMED
                mend = mend_of(problem.code) or f"See {item.protocol.specification}"
                says = item.protocol.problems.get(problem.code, problem.code)
                yield Finding(kind, problem.code, problem.place, says, mend)


def _contradictions(look: Look) -> Iterator[Finding]:
    """One source reserves what another permits; refusing one crawler what everybody else may do is none."""
    merged: dict[tuple[str, str, Place], set[Purpose]] = {}
    for verdict in (look.unnamed, *look.named.values()):
        for permits in _stating(verdict, State.PERMITTED):
            for reserves in _stating(verdict, State.RESERVED):
                if permits.purpose is reserves.purpose and not _narrower(reserves, permits):
                    key = _source(permits), _source(reserves), permits.place
                    merged.setdefault(key, set()).add(permits.purpose)
    for (one, other, place), found in merged.items():
        named = ", ".join(purpose for purpose in Purpose if purpose in found)
        yield _own(Kind.CONTRADICTORY, "lint.contradiction", place, permits=one, reserves=other, purposes=named)


def _narrower(one: Signal, other: Signal) -> bool:
    return one.scope is Scope.THIS_AGENT and other.scope is Scope.EVERYONE


def _source(signal: Signal) -> str:
    return f"{signal.protocol} ({signal.place})"


def _stating(verdict: Verdict, state: State) -> Iterator[Signal]:
    for signal in verdict.signals:
        if signal.state is state and not signal.advisory and signal.scope is not Scope.OTHER_AGENTS:
            yield signal


def _refused(look: Look, agent_class: AgentClass) -> list[Agent]:
    """The agents of a class whom robots.txt refuses by name."""
    return [
        agent
        for agent, verdict in look.named.items()
        if agent.agent_class is agent_class and any(signal.protocol == ROBOTS for signal in _refusals(verdict))
    ]


def _refusals(verdict: Verdict) -> Iterator[Signal]:
    return (signal for signal in _stating(verdict, State.RESERVED) if signal.scope is Scope.THIS_AGENT)


def _agents_missing(look: Look) -> Iterator[Finding]:
    """Some training crawlers are refused, others and the control-only tokens are not."""
    refused = _refused(look, AgentClass.TRAINING)
    if not refused or not look.trains_freely:
        return
    place = _first_refusal(look, refused[0])
    missing = [agent.token for agent in _free(look, AgentClass.TRAINING)]
    if missing:
        yield _own(
            Kind.INCOMPLETE,
            "lint.agents-missing",
            place,
            refused=_are([agent.token for agent in refused]),
            missing=_some(missing),
        )
    control = _free(look, AgentClass.CONTROL_ONLY)
    for agent in control:
        yield _own(Kind.INCOMPLETE, "lint.control-token-missing", place, missing=agent.token, operators=agent.operator)


def _first_refusal(look: Look, agent: Agent) -> Place:
    return next(signal.place for signal in _refusals(look.named[agent]) if signal.protocol == ROBOTS)


def _free(look: Look, agent_class: AgentClass) -> list[Agent]:
    """The agents of a class for whom nothing that bears on training is reserved."""
    return [
        agent
        for agent in look.policy.agents.values()
        if agent.agent_class is agent_class
        and (agent not in look.named or not any(True for _ in _refusals(look.named[agent])))
    ]


def _are(names: list[str]) -> str:
    return f"{_some(names)} {'is' if len(names) == 1 else 'are'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _retired_tokens(look: Look) -> Iterator[Finding]:
    """Refusals of tokens that have a successor, which is not refused."""
    refused = {agent.token.lower(): agent for kind in AgentClass for agent in _refused(look, kind)}
    for key, successor in SUCCESSORS.items():
        if key in refused and successor.lower() not in refused and look.trains_freely:
            place = _first_refusal(look, refused[key])
            token = refused[key].token
            yield _own(Kind.WITHOUT_EFFECT, "lint.retired-token", place, token=token, successor=successor)


def _own_groups(look: Look) -> Iterator[Finding]:
    """AI agents with a group of their own are not bound by what is said to everybody (RFC 9309 section 2.2.1)."""
    free = {agent.token.lower(): agent for agent, verdict in look.named.items() if verdict.access is Effect.PERMIT}
    for item in look.reads:
        if item.exchange.role != engine.ROBOTS_ROLE or item.protocol.name == ROBOTS:
            continue
        for statement in item.reading.statements:
            told = {token for other in item.reading.statements for token in other.agents}
            missed = [free[token].token for token in sorted(item.reading.addressed & set(free)) if token not in told]
            if EVERYONE in statement.agents and statement.states and statement.leniency is None and missed:
                field = statement.value.partition(":")[0]
                place = statement.place
                yield _own(Kind.WITHOUT_EFFECT, "lint.own-group", place, agents=_some(missed), field=field)


def _allow_only(look: Look) -> Iterator[Finding]:
    """Groups that only allow, where nothing is disallowed to everybody."""
    robots = look.file(engine.ROBOTS_ROLE)
    if robots is None:
        return
    groups = robots_txt.parse(robots.body).groups
    if any(_disallows(group) for group in groups if group.names(EVERYONE)):
        return
    for group in groups:
        if group.rules and not group.others and not _disallows(group):
            first = group.rules[0]
            yield _own(Kind.WITHOUT_EFFECT, "lint.allow-only", Place(engine.ROBOTS_ROLE, first.line, first.offset))


def _disallows(group: robots_txt.Group) -> bool:
    return any(not rule.allow and rule.value for rule in group.rules) or bool(group.intended)


def _directives(look: Look) -> Iterator[Finding]:
    """Directives that say less than they seem to."""
    for statement in look.statements(DIRECTIVES):
        name = statement.reason.partition(".")[2]
        agents = ", ".join(sorted(statement.agents))
        if name in FOR_EVERYONE and EVERYONE not in statement.agents and look.trains_freely:
            place = statement.place
            yield _own(Kind.INCOMPLETE, "lint.one-agent-only", place, directive=name, agents=agents)
        elif name in FOR_VENDORS and not any(look.said(purpose) for purpose in (*TRAINING, Purpose.AI_INPUT)):
            yield _own(Kind.NOTE, "lint.vendor-meaning", statement.place, directive=name, agents=agents)
        elif name in ("noindex", "none") and EVERYONE in statement.agents and look.trains_freely:
            yield _own(Kind.NOTE, "lint.nothing-for-ai", statement.place)


def _unseen(look: Look) -> Iterator[Finding]:
    """What robots.txt keeps crawlers from seeing."""
    closer = [
        statement
        for item in look.reads
        if item.exchange.role == RESOURCE and item.protocol.name != "http-access"
        for statement in item.reading.statements
        if statement.states and statement.layer is not Layer.ORIGIN
    ]
    if closer and look.refuses(look.site.url):
        yield _own(Kind.WITHOUT_EFFECT, "lint.unseen-page", closer[0].place)
    base = origin_of(look.site.url).text
    for item in look.reads:
        role = item.exchange.role
        speaks = role.startswith("/") and role != engine.ROBOTS_ROLE and item.reading.statements
        if speaks and look.refuses(base + role):
            yield _own(Kind.WITHOUT_EFFECT, "lint.unseen-file", Place(role), file=role)


def _unlinked(look: Look) -> Iterator[Finding]:
    """A licence on disk that nothing points to."""
    pointed = any(pointer.role == "rsl-document" for item in look.reads for pointer in item.reading.pointers)
    for exchange in look.site.origin:
        if exchange.role == "rsl-document" and not pointed and not look.site.live:
            yield _own(Kind.WITHOUT_EFFECT, "lint.unlinked-licence", Place(exchange.url))


def _prose_only(look: Look) -> Iterator[Finding]:
    """A reservation that only people can read."""
    read = [(page, terms.read(page).statements) for page in look.site.terms]
    read += [
        (item.exchange, item.reading.statements) for item in look.reads if item.protocol.name == terms.PROTOCOL.name
    ]
    said = [(page, statement) for page, statements in read for statement in statements]
    named = {purpose for _, statement in said for purpose, _ in statement.states}
    only = [purpose for purpose in Purpose if purpose in named and look.unnamed.states[purpose] is not State.RESERVED]
    if only:
        page, first = said[0]
        place = first.place._replace(resource=page.url)
        yield _own(Kind.INCOMPLETE, "lint.prose-only", place, purposes=", ".join(only))


def _gaps(look: Look) -> Iterator[Finding]:
    """What could not be looked at, and silence."""
    for carrier, availability in look.unnamed.coverage.carriers:
        if availability is Availability.UNREACHABLE and carrier != engine.ROBOTS_ROLE:
            yield _own(Kind.INCOMPLETE, "lint.unlooked", Place(carrier), file=carrier)
    if not any(look.said(purpose) for purpose in Purpose) and not look.named:
        yield _own(Kind.NOTE, "lint.nothing-said", Place(look.site.url))


CHECKS: tuple[Callable[[Look], Iterable[Finding]], ...] = (
    _malformed,
    _contradictions,
    _agents_missing,
    _retired_tokens,
    _own_groups,
    _allow_only,
    _directives,
    _unseen,
    _unlinked,
    _prose_only,
    _gaps,
)
"""Every check, in the order of its findings within a kind."""

WEB = tuple(name for name, protocol in PROTOCOLS.items() if protocol.well_known or RESOURCE in protocol.roles)
"""The protocols whose files and pages lint is about."""
