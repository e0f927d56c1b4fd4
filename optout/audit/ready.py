"""The compiled tier at work: the matchers of the states that rows are judged by, made when they are first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optout.audit.locate import buffers
from optout.audit.states import NO_STATE
from optout.urls import match_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from optout.audit.locate import Located
    from optout.audit.sites import Site, View
    from optout.audit.states import States

WAVE = 1_024
"""How many contents are compiled before the rows that belong to them are judged."""


class Ready:
    """The sites of states that have been judged by under a view, by the number of the state."""

    def __init__(self, view: View, states: States) -> None:
        self._view, self._states = view, states
        self._sites: list[Site | None] = []
        self._matchers: list[object] = []
        self._made = np.zeros(0, bool)

    def judge(self, kernel: ModuleType, chosen: np.ndarray, located: Located, rows: np.ndarray) -> np.ndarray:
        """What rows come to under the states that were chosen for them: what is new in waves, then all else at once."""
        slots = np.full(len(located.codes), NO_STATE, np.int32)
        slots[rows] = chosen
        out = np.full(len(slots), NO_STATE, np.int32)
        for wave in self._make(chosen):
            new = np.zeros(len(self._sites) + 1, bool)
            new[wave] = True
            mine = new[slots]
            self._match(kernel, np.where(mine, slots, NO_STATE).astype(np.int32), located, out)
            slots[mine] = NO_STATE
        self._match(kernel, slots, located, out)
        judged: np.ndarray = out[rows]
        return judged

    def _make(self, chosen: np.ndarray) -> Iterator[np.ndarray]:
        """Make what is missing, a few at a time, so that each is compiled once; tell which states these are."""
        grown = len(self._states.all) - len(self._sites)
        self._sites += [None] * grown
        self._matchers += [None] * grown
        self._made = np.append(self._made, np.zeros(grown, bool))
        missing = np.unique(chosen[~self._made[chosen]])
        for wave in np.array_split(missing, -(-len(missing) // WAVE)) if len(missing) else ():
            for number in wave.tolist():
                state = self._states.all[number]
                site = self._sites[number] = self._view.site(state.key, state.load)
                self._matchers[number] = site.matcher
            self._made[wave] = True
            yield wave

    def _learn(self, slots: np.ndarray, found: np.ndarray) -> bool:
        """Find out what combinations that have come up come to, each once however many rows have it; tell of news.

        Args:
            slots: the states of rows.
            found: what the compiled tier says of them, -2 - combination where it knows no more than that.
        """
        combined = found < NO_STATE
        pairs = np.unique((slots[combined].astype(np.int64) << 32) - 2 - found[combined])
        news = [self._site(pair >> 32).learn(pair & 0xFFFFFFFF) for pair in pairs.tolist()]
        return any(news)

    def _site(self, number: int) -> Site:
        """The site of a state that is made."""
        site = self._sites[number]
        assert site is not None  # noqa: S101 - `_make` comes first
        return site

    def _match(self, kernel: ModuleType, slots: np.ndarray, located: Located, out: np.ndarray) -> None:
        """Put in what rows come to; what the compiled tier leaves open is settled one by one."""
        columns = (located.starts, *buffers(located.urls), out)
        kernel.match(self._matchers, slots, *columns)
        left = np.flatnonzero((out < 0) & (slots != NO_STATE))
        if not left.size:
            return
        if self._learn(slots[left], out[left]):
            again = np.full(len(slots), NO_STATE, np.int32)
            again[left] = slots[left]
            kernel.match(self._matchers, again, *columns)
            left = left[out[left] < 0]
        for row in left.tolist():
            site, number, url = self._site(slots[row]), int(out[row]), located.url(row)
            settled = site.judge_target(match_target(url), url) if number == NO_STATE else site.settle(-2 - number, url)
            out[row] = settled
