"""What a row can come to: few distinct outcomes, each with a number, so that a million rows are a million numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optout.engine import STRICTNESS, strictest
from optout.model import Effect, Purpose, Scope, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optout.model import Verdict
    from optout.policy import Policy

SINCE = "since."
"""What stands before a reason that only a later state gives."""

KNOWN, UNKNOWN, MALFORMED = "known", "unknown", "malformed"
"""What a row's origin is to the store: known, not known, or not to be told because the URL names none."""

SILENT = (State.UNSPECIFIED,) * len(Purpose)
_PURPOSES = tuple(Purpose)


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
    deciding = strictest([verdict.decision(purpose) for purpose in policy.crawl_purposes or _PURPOSES])
    signal = deciding.decisive[0] if deciding.decisive else None
    refuses_others = any(signal.scope is Scope.OTHER_AGENTS for signal in verdict.signals)
    return Outcome(
        effects=tuple([decision.effect for decision in verdict.decisions]),
        states=tuple([verdict.states[purpose] for purpose in _PURPOSES]),
        effect=deciding.effect,
        access=verdict.access,
        reason=deciding.reason,
        protocol=signal.protocol if signal else "",
        place=str(signal.place) if signal else "",
        scope=signal.scope if signal else "",
        others=refuses_others or verdict.access is Effect.DENY,
    )


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
    decides = first
    if STRICTNESS[second.effect] > STRICTNESS[first.effect]:
        decides = replace(second, reason=prefix + second.reason, status=first.status)
    others = first.others or second.others
    return replace(decides, effects=effects, states=states, access=access, others=others)


class Outcomes:
    """Every outcome that has come up, numbered in the order of its coming."""

    def __init__(self) -> None:
        self._numbers: dict[Outcome, int] = {}
        self.all: list[Outcome] = []
        self._joined: dict[tuple[int, int, str], int] = {}
        self._columns: dict[str, Column] = {}

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

    def column(self, name: str, value: Callable[[Outcome], object]) -> Column:
        """What every outcome has for a column of that name; found out once for each."""
        column = self._columns.setdefault(name, Column())
        column.extend([value(outcome) for outcome in self.all[len(column.codes) :]])
        return column


class Column:
    """The distinct values of a column by number, and which of them each outcome has."""

    def __init__(self) -> None:
        """Begin with no outcomes."""
        self.values: list[object] = []
        self.codes = np.zeros(0, np.int32)
        self._numbers: dict[object, int] = {}

    def extend(self, values: Sequence[object]) -> None:
        """Take in further outcomes."""
        if values:
            new = [self._numbers.setdefault(value, len(self._numbers)) for value in values]
            self.values = list(self._numbers)
            self.codes = np.append(self.codes, np.array(new, np.int32))


class Told:
    """The outcomes of rows, told column by column."""

    def __init__(self, outcomes: Outcomes, numbers: np.ndarray) -> None:
        """Tell which outcomes there are, once for all columns."""
        there = np.zeros(len(outcomes.all), bool)
        there[numbers] = True
        self._outcomes, self._places = outcomes, pa.array(numbers)
        self._used = np.flatnonzero(there)

    def column(self, name: str, value: Callable[[Outcome], str]) -> pa.DictionaryArray:
        """A column of texts, one for each row.

        Its dictionary holds what the rows need, in order, so that the same rows are the same bytes whatever came
        before them.
        """
        column = self._outcomes.column(name, value)
        texts = [str(value) for value in column.values]
        needed = sorted(np.unique(column.codes[self._used]).tolist(), key=texts.__getitem__)
        places = np.zeros(len(texts), np.int32)
        places[needed] = np.arange(len(needed))
        ordered = pa.array([texts[code] for code in needed], pa.string())
        # Every place is one of the dictionary's, which need not be looked at in each row.
        return pa.DictionaryArray.from_arrays(self._spread(places[column.codes]), ordered, safe=False)

    def flags(self, name: str, value: Callable[[Outcome], bool]) -> pa.BooleanArray:
        """A column of truths, one for each row."""
        column = self._outcomes.column(name, value)
        return self._spread(np.array(column.values, bool)[column.codes])

    def _spread(self, known: np.ndarray) -> pa.Array:
        """What is known by number, for each row; every number was seen to be there."""
        return pc.take(pa.array(known), self._places, boundscheck=False)
