"""Step 2: statements are narrowed to those that address our product token under the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optout.engine.reading import is_document
from optout.model import EVERYONE, Purpose, Scope, State, Statement, Strength
from optout.policy import Mode
from optout.protocol import Protocol
from optout.urls import authority_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.engine.reading import Documents, Read
    from optout.identity import Identity
    from optout.model import Reading
    from optout.policy import Agent, Policy

_STRONGEST_FIRST = {strength: rank for rank, strength in enumerate(Strength)}


class Bound(NamedTuple):
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


def bind(reads: Sequence[Read], known: Documents, policy: Policy, identity: Identity) -> list[Bound]:
    """The statements that address our token under this policy, documents put in for those that point to one."""
    agent = policy.agents.get(identity.key)
    bounds = []
    for item in reads:
        if is_document(item):
            continue
        observed = policy.mode(item.protocol.name) is Mode.OBSERVE
        for statement in _addressed(item.reading, identity.key, policy):
            scope = Scope.EVERYONE if EVERYONE in statement.agents else Scope.THIS_AGENT
            for resolved in _resolve(statement, item, known, policy) if statement.document else (statement,):
                ours = resolved if agent is None else _for_agent(resolved, agent)
                bounds.append(Bound(item.protocol, ours, scope, observed or ours.advisory))
    return bounds


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
    reading = known.get((item.protocol.name, statement.document or ""))
    if reading is None or not reading.valid:
        yield statement
        return
    hosts = {None, authority_of(item.exchange.url), authority_of(item.exchange.final_url)}
    for inner in reading.statements:
        if inner.host in hosts and (inner.leniency is None or inner.leniency in policy.honour):
            states = inner.states if statement.leniency is None else _restrictions(inner)
            yield inner._replace(states=states, agents=statement.agents, layer=statement.layer)


def _restrictions(statement: Statement) -> tuple[tuple[Purpose, State], ...]:
    return tuple((purpose, state) for purpose, state in statement.states if state is not State.PERMITTED)


def _for_agent(statement: Statement, agent: Agent) -> Statement:
    """A token that never fetches is not refused access: refusing it reserves its operator's purposes."""
    if not agent.never_fetches or not statement.refuses_access:
        return statement
    kept = tuple((purpose, state) for purpose, state in statement.states if purpose in agent.purposes)
    return statement._replace(states=kept, refuses_access=False)
