"""Rules for other AI crawlers: reported apart from what binds us, and weighed only where a policy says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.engine.binding import Bound
from optout.engine.precedence import ALL_PURPOSES, Ranked, Winner, most_octets
from optout.engine.reading import ROBOTS
from optout.model import Purpose, Scope, Signal, State, Statement, Strength, reserve
from optout.policy import AgentClass, NamedAgents
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from optout.engine.reading import Read
    from optout.identity import Identity
    from optout.model import Reading
    from optout.policy import Agent, Policy
    from optout.protocol import Protocol

    Refusals = Sequence[tuple[tuple[Agent, ...], Bound]]


@dataclass(frozen=True, slots=True)
class OtherAgents:
    """Known AI agents that share one set of rules in an origin's robots.txt, and those rules in order."""

    agents: tuple[Agent, ...]
    ranked: Ranked


def other_agents(reads: Sequence[Read], policy: Policy, identity: Identity) -> tuple[OtherAgents, ...]:
    """The groups of robots.txt that name known AI agents other than us; agents of one group share its rules."""
    if policy.named_agents is NamedAgents.IGNORE:
        return ()
    groups = [
        (agents, rules)
        for item in reads
        if item.protocol.name == ROBOTS
        for agents, rules in _sharing(item.reading, policy.agents, identity.key)
    ]
    protocol = PROTOCOLS[ROBOTS]
    return tuple(
        OtherAgents(
            agents, Ranked(tuple(sorted((_other(protocol, rule) for rule in rules), key=most_octets)), ALL_PURPOSES)
        )
        for agents, rules in groups
    )


def _sharing(
    reading: Reading, known: Mapping[str, Agent], own_token: str
) -> Iterable[tuple[tuple[Agent, ...], tuple[Statement, ...]]]:
    """Known agents with a group in this file, together where the same statements address them.

    Statements are gone through once and compared by their number: one file may name every agent there is.
    """
    tokens = (reading.addressed & known.keys()) - {own_token}
    numbers: dict[str, list[int]] = {token: [] for token in sorted(tokens)}
    agents: object = None
    named: frozenset[str] = frozenset()
    for number, statement in enumerate(reading.statements):
        if statement.agents is not agents:
            agents, named = statement.agents, tokens.intersection(statement.agents)
        for token in named:
            numbers[token].append(number)
    sharing: dict[tuple[int, ...], list[Agent]] = {}
    for token, found in numbers.items():
        sharing.setdefault(tuple(found), []).append(known[token])
    return (
        (tuple(agents), tuple(reading.statements[number] for number in found))
        for found, agents in sharing.items()
        if found
    )


def _other(protocol: Protocol, rule: Statement) -> Bound:
    return Bound(protocol, rule, Scope.OTHER_AGENTS, advisory=False)


def refused(groups: Iterable[OtherAgents], winner: Callable[[int, Ranked], int]) -> Refusals:
    """The other agents that are refused here, those of each group with the rule that does it."""
    refused = []
    for number, group in enumerate(groups):
        index = winner(number, group.ranked)
        if index >= 0 and group.ranked.bounds[index].statement.refuses_access:
            refused.append((group.agents, group.ranked.bounds[index]))
    return refused


def other_signals(others: Refusals) -> tuple[Signal, ...]:
    """One signal a purpose for each rule that refuses other AI agents, naming them."""
    named: dict[Bound, list[Agent]] = {}
    for agents, bound in others:
        named.setdefault(bound, []).extend(agents)
    return tuple(
        Signal(
            ROBOTS,
            purpose,
            State.RESERVED,
            Scope.OTHER_AGENTS,
            bound.statement.strength,
            bound.statement.place,
            f"{', '.join(tokens)}: {bound.statement.value}",
        )
        for bound, agents in sorted(named.items(), key=lambda item: item[0].rank)
        for purpose in Purpose
        if (tokens := sorted(agent.token for agent in agents if purpose in agent.purposes))
    )


def inferred(others: Refusals, policy: Policy) -> list[Winner]:
    """Under `named_agents = "reserve"`, two refused training crawlers reserve training for us, who are not named."""
    if policy.named_agents is not NamedAgents.RESERVE:
        return []
    training = [
        (agent, bound) for agents, bound in others for agent in agents if agent.agent_class is AgentClass.TRAINING
    ]
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
    return [Winner(Bound(first.protocol, statement, Scope.OTHER_AGENTS, advisory=False), ALL_PURPOSES)]
