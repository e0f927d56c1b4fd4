"""What a row can come to: few distinct outcomes, each with a number, so that a million rows are a million numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from optout.engine import STRICTNESS
from optout.model import Effect, Purpose, Scope, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optout.model import Decision, Verdict
    from optout.policy import Policy

KNOWN, UNKNOWN, MALFORMED = "known", "unknown", "malformed"
"""What a row's origin is to the store: known, not known, or not to be told because the URL names none."""

SILENT = (State.UNSPECIFIED,) * len(Purpose)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a row comes to, without what differs from row to row.

    Attributes:
        effects: what may be done, in the order of `Purpose`.
        states: what the rightsholder has said, in the order of `Purpose`.
        effect: the strictest effect of the purposes that the policy crawls for; what is not permitted is not kept.
        access: whether the agent may fetch the URL.
        reason: why, for the purpose that `effect` comes from.
        protocol: of the signal that decided; empty where none did.
        place: where that signal stands.
        scope: whom it addresses; empty where none decided.
        others: whether the site refuses at least one known AI crawler here, whoever it is.
        status: `KNOWN`, `UNKNOWN` or `MALFORMED`.
    """

    effects: tuple[Effect, ...]
    states: tuple[State, ...]
    effect: Effect
    access: Effect
    reason: str
    protocol: str = ""
    place: str = ""
    scope: str = ""
    others: bool = False
    status: str = KNOWN


def outcome_of(verdict: Verdict, policy: Policy) -> Outcome:
    """What a verdict comes to for a row."""
    deciding = strictest([verdict.decision(purpose) for purpose in policy.crawl_purposes or tuple(Purpose)])
    signal = deciding.decisive[0] if deciding.decisive else None
    refuses_others = any(signal.scope is Scope.OTHER_AGENTS for signal in verdict.signals)
    return Outcome(
        effects=tuple(decision.effect for decision in verdict.decisions),
        states=tuple(verdict.states[purpose] for purpose in Purpose),
        effect=deciding.effect,
        access=verdict.access,
        reason=deciding.reason,
        protocol=signal.protocol if signal else "",
        place=str(signal.place) if signal else "",
        scope=signal.scope if signal else "",
        others=refuses_others or verdict.access is Effect.DENY,
    )


def strictest(decisions: Sequence[Decision]) -> Decision:
    """The decision with the strictest effect; the first of equals."""
    return max(decisions, key=lambda decision: STRICTNESS[decision.effect])


def undecided(effect: Effect, reason: str, status: str) -> Outcome:
    """The outcome of a row whose origin is not known; nothing was said, so the policy alone speaks."""
    return Outcome((effect,) * len(Purpose), SILENT, effect, effect, reason, status=status)


def stricter(first: Outcome, second: Outcome, prefix: str) -> Outcome:
    """What two outcomes come to where the stricter counts for each purpose.

    Args:
        first: what a row comes to.
        second: what else is to be regarded.
        prefix: what stands before the reason of the second where it decides.
    """
    effects = tuple(max(pair, key=STRICTNESS.__getitem__) for pair in zip(first.effects, second.effects, strict=True))
    states = tuple(
        State.RESERVED if State.RESERVED in pair else pair[0] for pair in zip(first.states, second.states, strict=True)
    )
    access = max(first.access, second.access, key=STRICTNESS.__getitem__)
    if STRICTNESS[second.effect] <= STRICTNESS[first.effect]:
        return replace(first, effects=effects, states=states, access=access)
    return replace(
        second, effects=effects, states=states, access=access, reason=prefix + second.reason, status=first.status
    )


class Outcomes:
    """Every outcome that has come up, numbered in the order of its coming."""

    def __init__(self) -> None:
        self._numbers: dict[Outcome, int] = {}
        self.all: list[Outcome] = []
        self._joined: dict[tuple[int, int, str], int] = {}
        self._texts: dict[str, list[str]] = {}

    def number(self, outcome: Outcome) -> int:
        """The number of an outcome."""
        known = self._numbers.get(outcome)
        if known is None:
            known = self._numbers[outcome] = len(self.all)
            self.all.append(outcome)
        return known

    def stricter(self, first: int, second: int, prefix: str) -> int:
        """The number of what two outcomes come to; see `stricter`."""
        key = (first, second, prefix)
        if key not in self._joined:
            self._joined[key] = self.number(stricter(self.all[first], self.all[second], prefix))
        return self._joined[key]

    def told(self, numbers: np.ndarray) -> Told:
        """What these numbers, one for each row, stand for."""
        return Told(self, numbers)

    def texts(self, name: str, value: Callable[[Outcome], str]) -> list[str]:
        """What every outcome has for a column of that name; found out once for each."""
        known = self._texts.setdefault(name, [])
        known += [str(value(outcome)) for outcome in self.all[len(known) :]]
        return known

    def flags(self, numbers: np.ndarray, value: Callable[[Outcome], bool]) -> np.ndarray:
        """An array of truths, one for each row."""
        found: np.ndarray = np.array([value(outcome) for outcome in self.all], bool)[numbers]
        return found


class Told:
    """The outcomes of rows, told column by column."""

    def __init__(self, outcomes: Outcomes, numbers: np.ndarray) -> None:
        """Tell which outcomes there are, once for all columns."""
        # As places, which NumPy would else make of the numbers again for every column.
        self._outcomes, self._places = outcomes, numbers.astype(np.intp)
        there = np.zeros(len(outcomes.all), bool)
        there[self._places] = True
        self._used: list[int] = np.flatnonzero(there).tolist()

    def column(self, name: str, value: Callable[[Outcome], str]) -> pa.DictionaryArray:
        """A column of texts, one for each row.

        Its dictionary holds what the rows need, in order, so that the same rows are the same bytes whatever came
        before them.
        """
        known = self._outcomes.texts(name, value)
        texts = [known[number] for number in self._used]
        ordered = sorted(set(texts))
        places = {text: place for place, text in enumerate(ordered)}
        codes = np.zeros(len(known), np.int32)
        codes[self._used] = [places[text] for text in texts]
        return pa.DictionaryArray.from_arrays(pa.array(codes.take(self._places)), pa.array(ordered, pa.string()))
