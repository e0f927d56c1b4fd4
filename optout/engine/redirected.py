"""One verdict for a URL that redirects to another origin: what each origin on the way says counts.

The URL was asked of the first origin and the copy comes from the last, so a reservation of any of them holds, while
only the last can permit anything. RFC 9309 section 2.3.1.2 and the files of other protocols speak per origin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optout.engine.conclusion import STRICTNESS
from optout.model import Coverage, Purpose, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.model import Decision, Place, Signal
    from optout.urls import Origin


def along(steps: Sequence[tuple[Origin, Verdict]]) -> Verdict:
    """Join the verdicts of the origins on the way, in order; at least one.

    Places and carriers of every origin but the first are named by their URLs.
    """
    first, *others = steps
    verdicts = [first[1], *(_named(origin, verdict) for origin, verdict in others)]
    last = verdicts[-1]
    return Verdict(
        states={purpose: _state([verdict.states[purpose] for verdict in verdicts]) for purpose in Purpose},
        decisions=tuple(_strictest(verdict.decision(purpose) for verdict in verdicts) for purpose in Purpose),
        access=max((verdict.access for verdict in verdicts), key=STRICTNESS.__getitem__),
        signals=tuple(signal for verdict in verdicts for signal in verdict.signals),
        advisory=tuple(purpose for purpose in Purpose if any(purpose in verdict.advisory for verdict in verdicts)),
        problems=tuple(problem for verdict in verdicts for problem in verdict.problems),
        coverage=Coverage(tuple(carrier for verdict in verdicts for carrier in verdict.coverage.carriers)),
        digests=replace(
            last.digests, exchanges=tuple(exchange for verdict in verdicts for exchange in verdict.digests.exchanges)
        ),
    )


def _state(states: Sequence[State]) -> State:
    return State.RESERVED if State.RESERVED in states else states[-1]


def _strictest(decisions: Iterable[Decision]) -> Decision:
    """The strictest decision; of equals the last, which is about the copy itself."""
    return max(reversed(tuple(decisions)), key=lambda decision: STRICTNESS[decision.effect])


def _named(origin: Origin, verdict: Verdict) -> Verdict:
    """A verdict whose places and carriers say which origin they belong to."""

    def place(given: Place) -> Place:
        return given._replace(resource=origin.text + given.resource) if given.resource.startswith("/") else given

    def signals(given: Iterable[Signal]) -> tuple[Signal, ...]:
        return tuple(signal._replace(place=place(signal.place)) for signal in given)

    carriers = verdict.coverage.carriers
    return replace(
        verdict,
        decisions=tuple(item._replace(decisive=signals(item.decisive)) for item in verdict.decisions),
        signals=signals(verdict.signals),
        problems=tuple(problem._replace(place=place(problem.place)) for problem in verdict.problems),
        coverage=Coverage(
            tuple((origin.text + name if name.startswith("/") else name, found) for name, found in carriers)
        ),
    )
