"""Step 5: what counts is merged per purpose, most restrictive first, and judged under the policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

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
    Problem,
    Purpose,
    Signal,
    State,
    Verdict,
)
from optout.policy import LayerRule
from optout.protocol import Layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optout.engine.binding import Bound
    from optout.engine.others import Refusals
    from optout.engine.reading import Read
    from optout.identity import Identity
    from optout.model import Exchange
    from optout.policy import Policy

    Told = tuple[Bound, Sequence[Signal]]

Found = TypeVar("Found", Signal, Problem)

STRICTNESS = {Effect.PERMIT: 0, Effect.REVIEW: 1, Effect.DENY: 2}
_SILENCE = dict.fromkeys(Purpose, State.UNSPECIFIED)
_CLOSENESS = {layer: rank for rank, layer in enumerate(Layer)}


@dataclass(frozen=True)
class Ground:
    """What a conclusion needs beside the winners: the same for every path of an origin."""

    policy: Policy
    identity: Identity
    problems: tuple[Problem, ...]
    coverage: Coverage
    digests: Digests
    names_us: bool

    @cached_property
    def gap(self) -> tuple[Effect, str] | None:
        """The strictest effect of a carrier that could not be looked at, with its reason.

        An unreachable robots.txt is not here: its protocol states complete disallow by itself.
        """
        gaps = [
            (_gap_effect(carrier, availability, self.policy), f"coverage.{availability}:{carrier}")
            for carrier, availability in self.coverage.carriers
            if availability is Availability.UNREACHABLE or availability is Availability.NOT_CONSULTED
        ]
        return max(gaps, key=lambda gap: STRICTNESS[gap[0]], default=None)


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
    told = [(winner.bound, signals_of(winner)) for winner in (*counted, *implied)]
    deciding = [(bound, signals) for bound, signals in told if not bound.advisory]
    states = _merged(deciding)
    refused = any(bound.statement.refuses_access for bound, _ in deciding)
    signals = tuple(dict.fromkeys(signal for _, signals in told for signal in signals))
    advisory = {signal.purpose for signal in signals if signal.advisory and signal.state is State.RESERVED}
    return Verdict(
        states=states,
        decisions=tuple([_judge(purpose, states, deciding, ground) for purpose in states]),
        access=Effect.DENY if refused else _access_by_coverage(ground),
        signals=signals + other_signals(others),
        advisory=tuple(purpose for purpose in states if purpose in advisory),
        problems=ground.problems,
        coverage=ground.coverage,
        digests=ground.digests,
    )


def on_the_way(first: Verdict, then: Verdict, where: str) -> Verdict:
    """The verdict on a URL that leads to another one: nothing is freer than on either of the two.

    Args:
        first: on the URL.
        then: on where it leads.
        where: the origin of that, to be named with its files; empty where it is the same.
    """
    return replace(
        first,
        states={purpose: _of_both(first.states[purpose], then.states[purpose]) for purpose in first.states},
        decisions=tuple(strictest(pair) for pair in zip(first.decisions, then.decisions, strict=True)),
        access=max(first.access, then.access, key=STRICTNESS.__getitem__),
        signals=tuple(dict.fromkeys((*first.signals, *(_elsewhere(item, where) for item in then.signals)))),
        advisory=tuple(purpose for purpose in Purpose if purpose in {*first.advisory, *then.advisory}),
        problems=tuple(dict.fromkeys((*first.problems, *(_elsewhere(item, where) for item in then.problems)))),
        coverage=Coverage(tuple({**dict(first.coverage.carriers), **_carriers_elsewhere(then, where)}.items())),
        digests=replace(
            first.digests, exchanges=tuple(dict.fromkeys(first.digests.exchanges + then.digests.exchanges))
        ),
    )


def _of_both(one: State, other: State) -> State:
    """One reservation is enough; a permission has to be given at both ends."""
    if State.RESERVED in (one, other):
        return State.RESERVED
    return one if one is other else State.UNSPECIFIED


def strictest(decisions: Iterable[Decision]) -> Decision:
    """The decision with the strictest effect; the first of equals."""
    return max(decisions, key=lambda decision: STRICTNESS[decision.effect])


def _elsewhere(found: Found, where: str) -> Found:
    """A signal or problem whose place names the other origin's file."""
    place = found.place
    is_file = bool(where) and place.resource.startswith("/")
    return found._replace(place=place._replace(resource=where + place.resource)) if is_file else found


def _carriers_elsewhere(then: Verdict, where: str) -> dict[str, Availability]:
    return {where * name.startswith("/") + name: found for name, found in then.coverage.carriers}


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


def _merged(told: Iterable[Told]) -> dict[Purpose, State]:
    """Per purpose: any reservation reserves; else any permission permits; else nothing is specified."""
    states = _SILENCE.copy()
    for _, signals in told:
        for signal in signals:
            if RESTRICTIVE_FIRST[signal.state] < RESTRICTIVE_FIRST[states[signal.purpose]]:
                states[signal.purpose] = signal.state
    return states


def _judge(purpose: Purpose, states: Mapping[Purpose, State], told: Sequence[Told], ground: Ground) -> Decision:
    """The effect for one purpose: the strictest of what the considered states and the coverage ask for."""
    policy = ground.policy
    considered = policy.considers[purpose]
    state = min([states[named] for named in considered], key=RESTRICTIVE_FIRST.__getitem__)
    effect, gap = policy.effects[state], ground.gap
    if gap is not None and STRICTNESS[gap[0]] > STRICTNESS[effect]:
        return Decision(purpose, *gap)
    reason, decisive = "", []
    for bound, signals in told:
        found = [signal for signal in signals if signal.state is state and signal.purpose in considered]
        reason = reason or (bound.statement.reason if found else "")
        decisive += found
    return Decision(purpose, effect, reason or "no-reservation", tuple(decisive))


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


def signals_of(winner: Winner) -> list[Signal]:
    """The signals that a statement which counts yields, one for each purpose that it states."""
    (protocol, statement, scope, advisory), _ = winner
    return [
        Signal(
            protocol.name,
            purpose,
            state,
            scope,
            statement.strength,
            statement.place,
            statement.value,
            statement.conditions,
            advisory,
        )
        for purpose, state in winner.states()
    ]
