"""Step 5: what counts is merged per purpose, most restrictive first, and judged under the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.engine.others import inferred, other_signals
from optout.engine.precedence import RESTRICTIVE_FIRST, Winner
from optout.engine.reading import ROBOTS, ROBOTS_ROLE, coverage
from optout.model import (
    ASSET,
    Availability,
    Coverage,
    Decision,
    Digests,
    Effect,
    Layer,
    Purpose,
    Signal,
    State,
    Verdict,
)
from optout.policy import LayerRule
from optout.protocol import Layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optout.engine.others import Refusals
    from optout.engine.reading import Read
    from optout.identity import Identity
    from optout.model import Exchange, Problem
    from optout.policy import Policy

STRICTNESS = {Effect.PERMIT: 0, Effect.REVIEW: 1, Effect.DENY: 2}
_CLOSENESS = {layer: rank for rank, layer in enumerate(Layer)}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a conclusion needs beside the winners: the same for every path of an origin."""

    policy: Policy
    identity: Identity
    problems: tuple[Problem, ...]
    coverage: Coverage
    digests: Digests
    names_us: bool


def prepare_ground(reads: Sequence[Read], exchanges: Sequence[Exchange], policy: Policy, identity: Identity) -> Ground:
    """The ground of an origin, or of a page, from what was read of it."""
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


def conclude(winners: Sequence[Winner], others: Refusals, ground: Ground) -> Verdict:
    """Merge what counts, per purpose, and judge it; pure and without regard to the order of its inputs."""
    policy = ground.policy
    counted = sorted(_superseding(winners, policy), key=lambda winner: winner.bound.rank)
    implied = [] if ground.names_us else inferred(others, policy)
    deciding = [winner for winner in (*counted, *implied) if not winner.bound.advisory]
    states = {purpose: _merged(deciding, purpose) for purpose in Purpose}
    refused = any(winner.bound.statement.refuses_access for winner in deciding)
    signals = tuple(dict.fromkeys(signal for winner in (*counted, *implied) for signal in signals_of(winner)))
    advisory = {signal.purpose for signal in signals if signal.advisory and signal.state is State.RESERVED}
    return Verdict(
        states=states,
        decisions=tuple(_judge(purpose, states, deciding, ground) for purpose in Purpose),
        access=Effect.DENY if refused else _access_by_coverage(ground),
        signals=signals + other_signals(others),
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
    return min(stated, key=RESTRICTIVE_FIRST.__getitem__, default=State.UNSPECIFIED)


def _judge(purpose: Purpose, states: Mapping[Purpose, State], winners: Sequence[Winner], ground: Ground) -> Decision:
    """The effect for one purpose: the strictest of what the considered states and the coverage ask for."""
    policy = ground.policy
    considered = policy.considers[purpose]
    state = min((states[named] for named in considered), key=RESTRICTIVE_FIRST.__getitem__)
    decisive = [winner for winner in winners if any(n in considered and s is state for n, s in winner.states())]
    reason = decisive[0].bound.statement.reason if decisive else "no-reservation"
    signals = tuple(
        signal
        for winner in decisive
        for signal in signals_of(winner)
        if signal.purpose in considered and signal.state is state
    )
    by_state = Decision(purpose, policy.effects[state], reason, signals)
    by_coverage = _gap(ground)
    if by_coverage is not None and STRICTNESS[by_coverage[0]] > STRICTNESS[by_state.effect]:
        return Decision(purpose, by_coverage[0], by_coverage[1])
    return by_state


def _gap(ground: Ground) -> tuple[Effect, str] | None:
    """The strictest effect of a carrier that could not be looked at, with its reason.

    An unreachable robots.txt is not here: its protocol states complete disallow by itself.
    """
    gaps = [
        (_gap_effect(carrier, availability, ground.policy), f"coverage.{availability}:{carrier}")
        for carrier, availability in ground.coverage.carriers
        if availability in {Availability.UNREACHABLE, Availability.NOT_CONSULTED}
    ]
    return max(gaps, key=lambda gap: STRICTNESS[gap[0]], default=None)


def _gap_effect(carrier: str, availability: Availability, policy: Policy) -> Effect:
    if carrier == ASSET:
        return policy.unreadable
    if availability is Availability.UNREACHABLE:
        return policy.unreachable
    # Without robots.txt, which the Code of Practice mandates, an origin is as good as unknown.
    return policy.unknown if carrier == ROBOTS_ROLE else policy.not_consulted


def _access_by_coverage(ground: Ground) -> Effect:
    """Without a robots.txt exchange nobody knows whether we may fetch."""
    looked = ground.coverage.of(ROBOTS_ROLE) is not Availability.NOT_CONSULTED
    return Effect.PERMIT if looked else ground.policy.unknown


def signals_of(winner: Winner) -> Iterable[Signal]:
    """The signals that a statement which counts yields, one for each purpose that it states."""
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
