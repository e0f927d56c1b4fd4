"""The dated states of all origins that have come up, and which of them counts for a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optout.audit.dates import NO_DATE, through
from optout.audit.locate import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optout.audit.sites import Load

NO_STATE = -1


class Dated(NamedTuple):
    """A state of an origin: when it was seen, what names its content, and how to get it.

    Attributes:
        robots_at: when the robots.txt of it was captured, which may be long before; `at` where it has none.
    """

    at: int
    key: str
    load: Load
    robots_at: int


class States:
    """The states of origins, one after the other, numbered in the order of their coming.

    Attributes:
        all: the states by number.
        seen: for each origin whether it has any; the last entry stands for no origin.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.all: list[Dated] = []
        self._counts = np.zeros(0, np.int64)
        self._times = np.array([NO_DATE], np.int64)
        self._robots = np.zeros(0, np.int64)
        self._arrange()

    def __len__(self) -> int:
        """How many origins there are."""
        return len(self._counts)

    def extend(self, timelines: Sequence[Sequence[Dated]]) -> None:
        """Take in the states of further origins, oldest first."""
        if timelines:
            new = [state for timeline in timelines for state in timeline]
            self.all += new
            self._times = np.append(self._times[:-1], np.array([*(state.at for state in new), NO_DATE], np.int64))
            self._robots = np.append(self._robots, np.array([state.robots_at for state in new], np.int64))
            self._counts = np.append(self._counts, [len(timeline) for timeline in timelines])
            self._arrange()

    def _arrange(self) -> None:
        self.seen = np.append(self._counts > 0, False)
        self._ends = np.append(np.cumsum(self._counts), 0)
        self._last = np.where(self.seen, self._ends - 1, NO_STATE).astype(np.int32)
        owners = np.repeat(np.arange(len(self._counts)), self._counts)
        self._order = (owners << 36) + self._times[:-1]

    def last(self, codes: np.ndarray) -> np.ndarray:
        """The newest state of each row's origin."""
        return self._last[codes]  # type: ignore[no-any-return]

    def when(self, chosen: np.ndarray) -> np.ndarray:
        """When the chosen states were seen."""
        return self._times[chosen]  # type: ignore[no-any-return]

    def after(self, codes: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The first state after a time, or `NO_STATE`; after a time that nobody knows, that is the first of all.

        Args:
            codes: the rows' origins.
            asked: the times, in seconds, midnight for a whole day; `NO_DATE` where nobody knows.
        """
        usable = (codes != NOWHERE) & self.seen[codes]
        owners = np.where(usable, codes, 0).astype(np.int64)
        moments = np.clip(through(asked), -(1 << 35), (1 << 35) - 1)
        found = np.searchsorted(self._order, (owners << 36) + moments, side="right")
        return np.where(usable & (found < self._ends[owners]), found, NO_STATE).astype(np.int32)

    def nearest(self, codes: np.ndarray, asked: np.ndarray, most: int) -> np.ndarray:
        """The last state at or before a time, if it is near enough, or else the first after it, if that is.

        Args:
            codes: the rows' origins.
            asked: the times, in seconds, midnight for a whole day.
            most: how far a state may lie from the time that it is to speak for, in seconds.
        """
        usable = (codes != NOWHERE) & (asked > -(1 << 35)) & (asked < 1 << 35) & self.seen[codes]
        moments = np.where(usable, asked, 0)
        owners = np.where(usable, codes, 0).astype(np.int64)
        latest = np.minimum(through(moments), (1 << 35) - 1)
        before = np.searchsorted(self._order, (owners << 36) + latest, side="right") - 1
        ends = self._ends[owners]
        starts = ends - self._counts[owners] if len(self._counts) else owners
        chosen = np.full(len(codes), NO_STATE, np.int32)
        for state, inside in ((before + 1, before + 1 < ends), (before, before >= starts)):
            known = usable & inside
            gaps = np.abs(self.when(np.where(known, state, NO_STATE)) - moments)
            chosen = np.where(known & (gaps <= most), state, chosen)
        return chosen.astype(np.int32)

    def stale(self, chosen: np.ndarray, asked: np.ndarray, most: int) -> np.ndarray:
        """The rows whose chosen state has a robots.txt that was captured too far from the time that was asked for.

        Args:
            chosen: the states, `NO_STATE` where there is none.
            asked: the times, in seconds.
            most: how far it may lie from the time that it is to speak for, in seconds.
        """
        rows = np.flatnonzero(chosen != NO_STATE)
        far: np.ndarray = rows[np.abs(self._robots[chosen[rows]] - asked[rows]) > most]
        return far
