"""Deciding: what the signals of an origin and a page say together, and what a policy makes of it.

There is one meaning, in five steps:

1. `read`: every protocol reads the exchanges that are its own.
2. `_bind`: its statements are narrowed to those that address our product token under the policy.
3. `_rank`: they are put in the protocol's own order of precedence, so that the first match wins.
4. matching: which statements win for this path.
5. `_conclude`: winners are merged per purpose, most restrictive first, and judged under the policy.

`decide` runs all five with the plain matcher. `compile` runs the first three once per origin and keeps the
answers of the fifth by the combination of winners; what is left per URL is step 4 on `PatternTable`s. A
property test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from optout.model import (
    ASSET,
    EVERYONE,
    RESOURCE,
    Availability,
    Coverage,
    Decision,
    Digests,
    Effect,
    Layer,
    Leniency,
    Place,
    Problem,
    Purpose,
    Scope,
    Signal,
    State,
    Statement,
    Strength,
    Verdict,
    reserve,
)
from optout.policy import AgentClass, LayerRule, Mode, NamedAgents, SecondReading
from optout.protocol import Layers, Precedence, Registry
from optout.signals import PROTOCOLS
from optout.syntax.html_head import read_head
from optout.syntax.patterns import Pattern, PatternTable
from optout.urls import match_target, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from optout.identity import Identity
    from optout.model import Exchange, Reading
    from optout.policy import Agent, Policy
    from optout.protocol import Protocol

    Documents = Mapping[tuple[str, str], Reading]

ROBOTS = "robots-exclusion"
ROBOTS_ROLE = "/robots.txt"
_SPEAKING = frozenset({RESOURCE, ASSET})
_EVERYWHERE = Pattern("*")
_STRICTNESS = {Effect.PERMIT: 0, Effect.REVIEW: 1, Effect.DENY: 2}
_RESTRICTIVE_FIRST = {State.RESERVED: 0, State.PERMITTED: 1, State.UNSPECIFIED: 2}
_STRONGEST_FIRST = {strength: rank for rank, strength in enumerate(Strength)}
_CLOSENESS = {layer: rank for rank, layer in enumerate(Layer)}
_READ_APART = frozenset({Leniency.AGENT_LISTS, Leniency.ROBOTS_TRUNCATED, Leniency.UNLICENSED})


@dataclass(frozen=True, slots=True)
class Read:
    """What one protocol read in one exchange."""

    protocol: Protocol
    exchange: Exchange
    reading: Reading


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement that addresses us, with the protocol it belongs to and whom else it addresses."""

    protocol: Protocol
    statement: Statement
    scope: Scope
    advisory: bool

    @property
    def rank(self) -> tuple[object, ...]:
        """The order in which deciding statements are named: refusals, then the strongest pedigree."""
        statement = self.statement
        return (
            not statement.refuses_access,
            _STRONGEST_FIRST[statement.strength],
            self.protocol.name,
            statement.place.resource,
            statement.place.line or 0,
            statement.place.offset or 0,
            statement.reason,
        )


@dataclass(frozen=True, slots=True)
class Ranked:
    """Statements in the order in which the first that matches a path counts, for these purposes only."""

    bounds: tuple[Bound, ...]
    purposes: frozenset[Purpose]

    def plain_winner(self, target: str) -> int:
        """The index of the statement that counts, found by looking at one after the other; -1 for none."""
        for index, bound in enumerate(self.bounds):
            if _pattern(bound.statement.pattern).matches(target):
                return index
        return -1


@dataclass(frozen=True, slots=True)
class Winner:
    """A statement that counts for a URL, for these purposes."""

    bound: Bound
    purposes: frozenset[Purpose]

    def states(self) -> Iterable[tuple[Purpose, State]]:
        """What it states about those purposes; what it leaves open is not stated."""
        return (
            (purpose, state)
            for purpose, state in self.bound.statement.states
            if purpose in self.purposes and state is not State.UNSPECIFIED
        )


_ALL_PURPOSES = frozenset(Purpose)


@lru_cache(maxsize=65_536)
def _pattern(text: str | None) -> Pattern:
    return _EVERYWHERE if text is None else Pattern(text)


def _octets(statement: Statement) -> int:
    """How narrow a statement is; one without a path is the widest (AIPREF attach-05: length zero)."""
    return 0 if statement.pattern is None else _pattern(statement.pattern).octets


# Step 1: reading.


def read(exchanges: Iterable[Exchange], policy: Policy) -> tuple[Read, ...]:
    """Let every protocol that is not switched off read the exchanges that are its own."""
    return tuple(
        Read(protocol, exchange, protocol.read(exchange))
        for exchange in (_within_limit(exchange, policy) for exchange in exchanges)
        for protocol in _readers(exchange.role)
        if policy.mode(protocol.name) is not Mode.OFF
    )


@lru_cache(maxsize=256)
def _readers(role: str) -> tuple[Protocol, ...]:
    return tuple(protocol for protocol in PROTOCOLS.values() if role in protocol.roles)


def _within_limit(exchange: Exchange, policy: Policy) -> Exchange:
    """Cut a robots.txt at the last line end within the policy's limit (RFC 9309 section 2.5)."""
    if exchange.role != ROBOTS_ROLE or len(exchange.body) <= policy.robots_limit:
        return exchange
    head = exchange.body[: policy.robots_limit]
    end = max(head.rfind(b"\n"), head.rfind(b"\r")) + 1
    return replace(exchange, body=head[:end], truncated=True)


def carries_signals(exchange: Exchange, policy: Policy) -> bool:
    """Whether a page can carry anything at all; False spares the readers, and never a signal.

    Looks for the header fields and statuses that the enforced and observed protocols declare, and for elements in
    which one of their words stands, however it is written.
    """
    fields, words, statuses = _screen(frozenset(name for name in PROTOCOLS if policy.mode(name) is not Mode.OFF))
    if exchange.status in statuses or any(name.lower() in fields for name, _ in exchange.headers):
        return True
    if not exchange.body:
        return False
    content_type = next((value for name, value in exchange.headers if name.lower() == "content-type"), None)
    head = read_head(exchange.body, content_type, words=words)
    return bool(head.metas or head.links or head.scripts or head.problems)


@lru_cache(maxsize=16)
def _screen(names: frozenset[str]) -> tuple[frozenset[str], frozenset[bytes], frozenset[int]]:
    protocols = [PROTOCOLS[name] for name in sorted(names)]
    return (
        frozenset().union(*(protocol.header_fields for protocol in protocols)),
        frozenset().union(*(protocol.page_words for protocol in protocols)),
        frozenset().union(*(protocol.statuses for protocol in protocols)),
    )


# Step 2: binding statements to our product token.


def documents(reads: Iterable[Read]) -> Documents:
    """The readings of documents that other exchanges point to, by the protocol that reads them and by URL."""
    return {(item.protocol.name, item.exchange.url): item.reading for item in reads if _is_document(item)}


def _bind(reads: Sequence[Read], known: Documents, policy: Policy, identity: Identity) -> list[Bound]:
    """The statements that address our token under this policy, documents put in for those that point to one."""
    agent = policy.agents.get(identity.key)
    bounds = []
    for item in reads:
        if _is_document(item):
            continue
        observed = policy.mode(item.protocol.name) is Mode.OBSERVE
        for statement in _addressed(item.reading, identity.key, policy):
            for resolved in _resolve(statement, item, known, policy):
                ours = _for_agent(resolved, agent)
                scope = Scope.EVERYONE if EVERYONE in statement.agents else Scope.THIS_AGENT
                bounds.append(Bound(item.protocol, ours, scope, advisory=observed or ours.advisory))
    return bounds


def _is_document(item: Read) -> bool:
    """Whether this is a document that speaks only through what points to it; nothing points to an imported list."""
    role = item.exchange.role
    return role not in _SPEAKING and not role.startswith("/") and Registry(role) not in item.protocol.carriers


def _addressed(reading: Reading, token: str, policy: Policy) -> Iterable[Statement]:
    """RFC 9309 section 2.2.1: a group of our own replaces what is said to everybody.

    Statements that only a lenient reading addresses to us come on top of that choice; they restrict.
    """
    named = token in reading.addressed
    for statement in reading.statements:
        if statement.leniency is not None and statement.leniency not in policy.honour:
            continue
        if token in statement.agents or (EVERYONE in statement.agents and not named):
            yield statement


def _resolve(statement: Statement, item: Read, known: Documents, policy: Policy) -> Iterable[Statement]:
    """Replace a statement that points to a document by what the document says; keep it where there is none.

    Where only a lenient reading points to the document, its permissions are left out.
    """
    reading = known.get((item.protocol.name, statement.document)) if statement.document else None
    if reading is None or not reading.valid:
        yield statement
        return
    hosts = {None, *(origin_of(url).authority for url in (item.exchange.url, item.exchange.final_url))}
    for inner in reading.statements:
        if inner.host in hosts and (inner.leniency is None or inner.leniency in policy.honour):
            states = inner.states if statement.leniency is None else _restrictions(inner)
            yield replace(inner, states=states, agents=statement.agents, layer=statement.layer)


def _restrictions(statement: Statement) -> tuple[tuple[Purpose, State], ...]:
    return tuple((purpose, state) for purpose, state in statement.states if state is not State.PERMITTED)


def _for_agent(statement: Statement, agent: Agent | None) -> Statement:
    """A token that never fetches is not refused access: refusing it reserves its operator's purposes."""
    if agent is None or not agent.never_fetches or not statement.refuses_access:
        return statement
    kept = tuple((purpose, state) for purpose, state in statement.states if purpose in agent.purposes)
    return replace(statement, states=kept, refuses_access=False)


# Step 3: precedence.


def _rank(bounds: Sequence[Bound]) -> tuple[Ranked, ...]:
    """Order the statements of each source by their protocol's own rule of precedence.

    Precedence holds within one source (a file, a document, a page); across sources the engine merges.
    """
    sources: dict[tuple[str, str, str, str], list[Bound]] = {}
    for bound in bounds:
        statement = bound.statement
        source = (bound.protocol.name, statement.layer, statement.place.resource, _apart(statement))
        sources.setdefault(source, []).append(bound)
    return tuple(ranked for source in sorted(sources) for ranked in _ranked(sources[source]))


def _apart(statement: Statement) -> str:
    """What is read beside its source: an `Allow` of the letter must not lift it, nor may it hide what decides.

    That holds for groups that only a list of agents addresses to us, for what a cut file may still say, for what a
    licence leaves out, for evidence, and for what a protocol itself sets apart.
    """
    if statement.advisory:
        return "advisory"
    if statement.apart:
        return "apart"
    return statement.leniency if statement.leniency in _READ_APART else ""


def _ranked(bounds: list[Bound]) -> Iterable[Ranked]:
    match bounds[0].protocol.precedence:
        case Precedence.ALL:
            return [Ranked((bound,), _ALL_PURPOSES) for bound in bounds]
        case Precedence.FIRST_IN_FILE:
            return [Ranked(tuple(bounds), _ALL_PURPOSES)]
        case Precedence.MOST_OCTETS:
            return [Ranked(tuple(sorted(bounds, key=_most_octets)), _ALL_PURPOSES)]
        case Precedence.MOST_OCTETS_COMBINED:
            return _per_purpose(dict.fromkeys(Purpose, bounds))
        case Precedence.NARROWEST_PER_PURPOSE:
            return _per_purpose({purpose: _stating(bounds, purpose) for purpose in Purpose})


def _most_octets(bound: Bound) -> tuple[int, int]:
    """RFC 9309 section 2.2.2: most octets first; allow wins an equivalent tie."""
    return -_octets(bound.statement), len(bound.statement.states)


def _stating(bounds: Iterable[Bound], purpose: Purpose) -> list[Bound]:
    """Those that name a purpose, be it only to leave it open."""
    return [bound for bound in bounds if any(named is purpose for named, _ in bound.statement.states)]


def _per_purpose(chosen: Mapping[Purpose, list[Bound]]) -> list[Ranked]:
    """One order a purpose; purposes with the same order share it."""
    orders: dict[tuple[Bound, ...], set[Purpose]] = {}
    for purpose, bounds in chosen.items():

        def restrictive_among_equals(bound: Bound, purpose: Purpose = purpose) -> tuple[int, int]:
            return -_octets(bound.statement), _RESTRICTIVE_FIRST[bound.statement.state(purpose)]

        order = tuple(sorted(bounds, key=restrictive_among_equals))
        orders.setdefault(order, set()).add(purpose)
    return [Ranked(order, frozenset(purposes)) for order, purposes in orders.items() if order]


# Step 4 is in `decide` and `CompiledOrigin.decide`.
# Step 5: merging and judging.


@dataclass(frozen=True, slots=True)
class Ground:
    """What a conclusion needs beside the winners: the same for every path of an origin."""

    policy: Policy
    identity: Identity
    problems: tuple[Problem, ...]
    coverage: Coverage
    digests: Digests
    names_us: bool


def _ground(reads: Sequence[Read], exchanges: Sequence[Exchange], policy: Policy, identity: Identity) -> Ground:
    return Ground(
        policy=policy,
        identity=identity,
        problems=tuple(dict.fromkeys(problem for item in reads for problem in item.reading.problems)),
        coverage=coverage(exchanges, policy),
        digests=Digests(
            policy=policy.digest,
            registry=policy.registry_digest,
            exchanges=tuple((exchange.url, exchange.digest) for exchange in exchanges),
        ),
        names_us=any(identity.key in item.reading.addressed for item in reads if item.protocol.name == ROBOTS),
    )


def coverage(exchanges: Iterable[Exchange], policy: Policy) -> Coverage:
    """What became of each well-known file that the policy's enforced protocols ask of an origin."""
    seen = {exchange.role: exchange.availability for exchange in exchanges}
    return Coverage(tuple((path, seen.get(path, Availability.NOT_CONSULTED)) for path in required_paths(policy)))


def required_paths(policy: Policy) -> tuple[str, ...]:
    """The well-known paths that the policy's enforced and observed protocols ask of every origin, robots.txt first."""
    paths = dict.fromkeys(
        path
        for name, protocol in PROTOCOLS.items()
        if policy.mode(name) is not Mode.OFF
        for path in protocol.well_known
    )
    return tuple(sorted(paths, key=lambda path: (path != ROBOTS_ROLE, path)))


def _conclude(winners: Sequence[Winner], others: Sequence[tuple[Agent, Bound]], ground: Ground) -> Verdict:
    """Merge what counts, per purpose, and judge it; pure and without regard to the order of its inputs."""
    policy = ground.policy
    counted = sorted(_superseding(winners, policy), key=lambda winner: winner.bound.rank)
    inferred = _inferred(others, ground)
    deciding = [winner for winner in (*counted, *inferred) if not winner.bound.advisory]
    states = {purpose: _merged(deciding, purpose) for purpose in Purpose}
    refused = any(winner.bound.statement.refuses_access for winner in deciding)
    signals = tuple(dict.fromkeys(signal for winner in (*counted, *inferred) for signal in _signals(winner)))
    advisory = {signal.purpose for signal in signals if signal.advisory and signal.state is State.RESERVED}
    return Verdict(
        states=states,
        decisions=tuple(_judge(purpose, states, deciding, ground) for purpose in Purpose),
        access=Effect.DENY if refused else _access_by_coverage(ground),
        signals=signals + _other_signals(others),
        advisory=tuple(purpose for purpose in Purpose if purpose in advisory),
        problems=ground.problems,
        coverage=ground.coverage,
        digests=ground.digests,
    )


def _superseding(winners: Sequence[Winner], policy: Policy) -> list[Winner]:
    """Under `supersede`, keep of a superseding protocol only the layer closest to the work that states anything."""
    if policy.layers is LayerRule.TIGHTEN:
        return list(winners)
    closest: dict[str, int] = {}
    for winner in winners:
        statement = winner.bound.statement
        if winner.bound.protocol.layers is Layers.SUPERSEDE and statement.states:
            name = winner.bound.protocol.name
            closest[name] = max(closest.get(name, 0), _CLOSENESS[statement.layer])
    return [
        winner
        for winner in winners
        if _CLOSENESS[winner.bound.statement.layer] >= closest.get(winner.bound.protocol.name, 0)
    ]


def _merged(winners: Iterable[Winner], purpose: Purpose) -> State:
    """Any reservation reserves; else any permission permits; else nothing is specified."""
    stated = {state for winner in winners for named, state in winner.states() if named is purpose}
    return min(stated, key=_RESTRICTIVE_FIRST.__getitem__, default=State.UNSPECIFIED)


def _judge(purpose: Purpose, states: Mapping[Purpose, State], winners: Sequence[Winner], ground: Ground) -> Decision:
    """The effect for one purpose: the strictest of what the considered states and the coverage ask for."""
    policy = ground.policy
    considered = policy.considers[purpose]
    state = min((states[named] for named in considered), key=_RESTRICTIVE_FIRST.__getitem__)
    decisive = [winner for winner in winners if any(n in considered and s is state for n, s in winner.states())]
    reason = decisive[0].bound.statement.reason if decisive else "no-reservation"
    signals = tuple(
        signal
        for winner in decisive
        for signal in _signals(winner)
        if signal.purpose in considered and signal.state is state
    )
    by_state = Decision(purpose, policy.effects[state], reason, signals)
    by_coverage = _gap(ground)
    if by_coverage is not None and _STRICTNESS[by_coverage[0]] > _STRICTNESS[by_state.effect]:
        return Decision(purpose, by_coverage[0], by_coverage[1])
    return by_state


def _gap(ground: Ground) -> tuple[Effect, str] | None:
    """The strictest effect of a carrier that could not be looked at, with its reason.

    An unreachable robots.txt is not here: its protocol states complete disallow by itself.
    """
    effects = {
        Availability.UNREACHABLE: ground.policy.unreachable,
        Availability.NOT_CONSULTED: ground.policy.not_consulted,
    }
    gaps = [
        (ground.policy.unreadable if carrier == ASSET else effects[availability], f"coverage.{availability}:{carrier}")
        for carrier, availability in ground.coverage.carriers
        if availability in effects
    ]
    return max(gaps, key=lambda gap: _STRICTNESS[gap[0]], default=None)


def _access_by_coverage(ground: Ground) -> Effect:
    """Without a robots.txt exchange nobody knows whether we may fetch."""
    looked = ground.coverage.of(ROBOTS_ROLE) is not Availability.NOT_CONSULTED
    return Effect.PERMIT if looked else ground.policy.not_consulted


def _signals(winner: Winner) -> Iterable[Signal]:
    bound, statement = winner.bound, winner.bound.statement
    return (
        Signal(
            bound.protocol.name,
            purpose,
            state,
            bound.scope,
            statement.strength,
            statement.place,
            statement.value,
            statement.conditions,
            bound.advisory,
        )
        for purpose, state in winner.states()
    )


# Rules for other AI crawlers.


@dataclass(frozen=True, slots=True)
class OtherAgents:
    """Known AI agents that share one set of rules in an origin's robots.txt, and those rules in order."""

    agents: tuple[Agent, ...]
    ranked: Ranked


def _other_agents(reads: Sequence[Read], policy: Policy, identity: Identity) -> tuple[OtherAgents, ...]:
    """The groups of robots.txt that name known AI agents other than us; agents of one group share its rules."""
    if policy.named_agents is NamedAgents.IGNORE:
        return ()
    groups: dict[tuple[Statement, ...], list[Agent]] = {}
    for item in reads:
        if item.protocol.name != ROBOTS:
            continue
        for token in sorted(item.reading.addressed - {identity.key}):
            if (agent := policy.agents.get(token)) is not None:
                own = tuple(statement for statement in item.reading.statements if token in statement.agents)
                groups.setdefault(own, []).append(agent)
    protocol = PROTOCOLS[ROBOTS]
    return tuple(
        OtherAgents(
            tuple(agents),
            Ranked(tuple(sorted((_other(protocol, rule) for rule in own), key=_most_octets)), _ALL_PURPOSES),
        )
        for own, agents in groups.items()
        if own
    )


def _other(protocol: Protocol, rule: Statement) -> Bound:
    return Bound(protocol, rule, Scope.OTHER_AGENTS, advisory=False)


def _refused(groups: Iterable[OtherAgents], winner: Callable[[int, Ranked], int]) -> tuple[tuple[Agent, Bound], ...]:
    """The other agents that are refused here, each with the rule that does it."""
    refused = []
    for number, group in enumerate(groups):
        index = winner(number, group.ranked)
        if index >= 0 and group.ranked.bounds[index].statement.refuses_access:
            refused += [(agent, group.ranked.bounds[index]) for agent in group.agents]
    return tuple(refused)


def _other_signals(others: Sequence[tuple[Agent, Bound]]) -> tuple[Signal, ...]:
    """One signal a purpose for each rule that refuses other AI agents, naming them."""
    named: dict[tuple[Bound, Purpose], list[str]] = {}
    for agent, bound in others:
        for purpose in agent.purposes:
            named.setdefault((bound, purpose), []).append(agent.token)
    return tuple(
        Signal(
            ROBOTS,
            purpose,
            State.RESERVED,
            Scope.OTHER_AGENTS,
            bound.statement.strength,
            bound.statement.place,
            f"{', '.join(sorted(tokens))}: {bound.statement.value}",
        )
        for (bound, purpose), tokens in sorted(
            named.items(), key=lambda item: (item[0][0].rank, list(Purpose).index(item[0][1]))
        )
    )


def _inferred(others: Sequence[tuple[Agent, Bound]], ground: Ground) -> list[Winner]:
    """Under `named_agents = "reserve"`, two refused training crawlers reserve training for us, who are not named."""
    if ground.policy.named_agents is not NamedAgents.RESERVE or ground.names_us:
        return []
    training = [(agent, bound) for agent, bound in others if agent.agent_class is AgentClass.TRAINING]
    if len({agent.token for agent, _ in training}) < 2:
        return []
    first = min((bound for _, bound in training), key=lambda bound: bound.rank)
    statement = Statement(
        reason="robots.named-agents",
        place=first.statement.place,
        value=", ".join(sorted(agent.token for agent, _ in training)),
        states=reserve(Purpose.AI_TRAIN),
        strength=Strength.CONVENTION,
    )
    return [Winner(Bound(first.protocol, statement, Scope.OTHER_AGENTS, advisory=False), _ALL_PURPOSES)]


# The second reader of robots.txt.


def _second_readers(reads: Sequence[Read], policy: Policy, identity: Identity) -> tuple[Callable[[str], bool], ...]:
    """Independent predicates 'this URL is forbidden', where the policy asks for them.

    A token that never fetches is not asked about: a second reader knows crawl rules only.
    """
    agent = policy.agents.get(identity.key)
    if policy.second_reader is SecondReading.OFF or (agent is not None and agent.never_fetches):
        return ()
    return tuple(
        item.protocol.second_reader(item.exchange, identity.token)
        for item in reads
        if item.protocol.second_reader is not None and item.exchange.availability is Availability.RETRIEVED
    )


def _with_second_reading(winners: Sequence[Winner], ground: Ground, others: Sequence[tuple[Agent, Bound]]) -> Verdict:
    """What becomes of a verdict that allows the fetch where the second reader forbids it."""
    place = Place(ROBOTS_ROLE)
    reads_on = SecondReading.DENY is ground.policy.second_reader
    statement = Statement(
        reason="robots.second-reader",
        place=place,
        value="an independent reader of this robots.txt forbids the URL",
        states=reserve(*Purpose) if reads_on else (),
        refuses_access=reads_on,
    )
    dissent = Bound(PROTOCOLS[ROBOTS], statement, Scope.EVERYONE, advisory=not reads_on)
    noted = replace(ground, problems=(*ground.problems, SECOND_READER_FORBIDS))
    return _conclude((*winners, Winner(dissent, _ALL_PURPOSES)), others, noted)


SECOND_READER_FORBIDS = Problem("robots.second-reader-forbids", Place(ROBOTS_ROLE))
"""The record that an independent reader of robots.txt forbids what ours allows."""


# Deciding, plainly and compiled.


def decide(exchanges: Sequence[Exchange], url: str, policy: Policy, identity: Identity) -> Verdict:
    """Decide on one URL from everything that was seen of its origin and of itself.

    Args:
        exchanges: of the well-known files, of the documents these point to, and, once it was fetched, of the
            resource; each with its role.
        url: the absolute URL to decide on.
        policy: the policy in force.
        identity: who we are.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    target = match_target(url)
    origin = [exchange for exchange in exchanges if exchange.role not in _SPEAKING]
    page = [exchange for exchange in exchanges if exchange.role in _SPEAKING]
    reads = read(origin, policy)
    ground = _ground(reads, origin, policy, identity)
    others = _refused(_other_agents(reads, policy, identity), lambda _, ranked: ranked.plain_winner(target))
    winners = _plain_winners(_rank(_bind(reads, documents(reads), policy, identity)), target)
    closer, ground = _page_winners(page, documents(reads), target, ground)
    return _verdict(url, [*winners, *closer], others, ground, _second_readers(reads, policy, identity))


def _plain_winners(ranked: Iterable[Ranked], target: str) -> list[Winner]:
    found = ((order, order.plain_winner(target)) for order in ranked)
    return [Winner(order.bounds[index], order.purposes) for order, index in found if index >= 0]


def _page_winners(
    page: Sequence[Exchange], known: Documents, target: str, ground: Ground
) -> tuple[list[Winner], Ground]:
    """What headers, page and asset add, and the ground with their problems and digests."""
    telling = [exchange for exchange in page if exchange.role != RESOURCE or carries_signals(exchange, ground.policy)]
    if not telling:
        return [], ground
    reads = read(telling, ground.policy)
    bounds = _bind(reads, {**known, **documents(reads)}, ground.policy, ground.identity)
    added = _ground(reads, telling, ground.policy, ground.identity)
    wider = replace(
        ground,
        problems=tuple(dict.fromkeys(ground.problems + added.problems)),
        coverage=Coverage(ground.coverage.carriers + _unreadable(reads)),
        digests=replace(ground.digests, exchanges=ground.digests.exchanges + added.digests.exchanges),
    )
    return _plain_winners(_rank(bounds), target), wider


def _unreadable(reads: Iterable[Read]) -> tuple[tuple[str, Availability], ...]:
    """The asset as a carrier that could not be reached, where metadata in it exists and cannot be read."""
    lost = any(item.exchange.role == ASSET and not item.reading.valid for item in reads)
    return ((ASSET, Availability.UNREACHABLE),) if lost else ()


def _verdict(
    url: str,
    winners: Sequence[Winner],
    others: Sequence[tuple[Agent, Bound]],
    ground: Ground,
    second: Sequence[Callable[[str], bool]],
) -> Verdict:
    verdict = _conclude(winners, others, ground)
    if verdict.access is Effect.PERMIT and any(forbids(url) for forbids in second):
        return _with_second_reading(winners, ground, others)
    return verdict


@dataclass(frozen=True, slots=True)
class CompiledOrigin:
    """What an origin says site-wide, ready to be applied to its URLs in microseconds.

    Attributes:
        ground: the policy, identity, coverage, problems and digests that every verdict shares.
        ranked: the statements that address us, each group in its order of precedence.
    """

    ground: Ground
    ranked: tuple[Ranked, ...]
    _known: Documents
    _tables: tuple[PatternTable, ...]
    _others: tuple[OtherAgents, ...]
    _other_tables: tuple[PatternTable, ...]
    _second: tuple[Callable[[str], bool], ...]
    _verdicts: dict[tuple[int, ...], Verdict] = field(default_factory=dict)

    def decide(self, url: str, page: Sequence[Exchange] = ()) -> Verdict:
        """Decide on one URL of this origin.

        Args:
            url: absolute.
            page: the exchange of the resource, once it was fetched, and of the documents that it points to.

        Raises:
            MalformedUrl: the URL names no origin.
        """
        target = match_target(url)
        key = tuple([table.first(target) for table in self._tables])
        other_key = tuple([table.first(target) for table in self._other_tables])
        telling = [
            exchange for exchange in page if exchange.role != RESOURCE or carries_signals(exchange, self.ground.policy)
        ]
        if telling or self._second:
            return self._decide_closer(url, target, key, other_key, telling)
        return self._origin_verdict(key, other_key)

    def _origin_verdict(self, key: tuple[int, ...], other_key: tuple[int, ...]) -> Verdict:
        """The verdict of the origin alone; the same winners always give the same verdict."""
        verdict = self._verdicts.get(key + other_key)
        if verdict is None:
            verdict = _conclude(self._winners(key), self._refused(other_key), self.ground)
            self._verdicts[key + other_key] = verdict
        return verdict

    def _decide_closer(
        self, url: str, target: str, key: tuple[int, ...], other_key: tuple[int, ...], page: Sequence[Exchange]
    ) -> Verdict:
        """The verdict with what the page adds and what the second reader of robots.txt says."""
        if not page:
            verdict = self._origin_verdict(key, other_key)
            if verdict.access is not Effect.PERMIT or not any(forbids(url) for forbids in self._second):
                return verdict
        closer, ground = _page_winners(page, self._known, target, self.ground)
        return _verdict(url, [*self._winners(key), *closer], self._refused(other_key), ground, self._second)

    def _winners(self, key: tuple[int, ...]) -> list[Winner]:
        pairs = zip(self.ranked, key, strict=True)
        return [Winner(ranked.bounds[index], ranked.purposes) for ranked, index in pairs if index >= 0]

    def _refused(self, key: tuple[int, ...]) -> tuple[tuple[Agent, Bound], ...]:
        return _refused(self._others, lambda number, _: key[number])


def compile(exchanges: Sequence[Exchange], policy: Policy, identity: Identity) -> CompiledOrigin:
    """Read an origin's exchanges once, so that its URLs can be decided on quickly.

    Args:
        exchanges: of the well-known files and of the documents these point to.
        policy: the policy in force.
        identity: who we are.
    """
    reads = read(exchanges, policy)
    known = documents(reads)
    ranked = _rank(_bind(reads, known, policy, identity))
    others = _other_agents(reads, policy, identity)
    return CompiledOrigin(
        ground=_ground(reads, exchanges, policy, identity),
        ranked=ranked,
        _known=known,
        _tables=tuple(_table(order) for order in ranked),
        _others=others,
        _other_tables=tuple(_table(group.ranked) for group in others),
        _second=_second_readers(reads, policy, identity),
    )


def _table(ranked: Ranked) -> PatternTable:
    return PatternTable([_pattern(bound.statement.pattern) for bound in ranked.bounds])
