"""Judging the URLs of a batch: which dated state of its origin counts for a row, and what the row comes to under it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optout.acquisition.lists import Lists
from optout.audit.dates import NO_DATE
from optout.audit.listed import Listed
from optout.audit.locate import NOWHERE, Located, buffers, locate
from optout.audit.outcomes import MALFORMED, UNKNOWN, Outcomes, undecided
from optout.audit.sites import View
from optout.urls import match_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from optout.acquisition.history import OriginState, Store
    from optout.audit.sites import Load, Site
    from optout.identity import Identity
    from optout.model import Exchange
    from optout.policy import Policy

try:
    KERNEL: ModuleType | None = import_module("optout.audit._kernel")
except ImportError:
    KERNEL = None

TIMELINES_KEPT = 200_000
SINCE = "since."
"""What stands before a reason that only a later state gives."""

NO_STATE = -1
_DAY = 86_400


class When(StrEnum):
    """Which dated state of its origin a row is judged by."""

    CRAWL = "crawl"
    NOW = "now"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class AsOf:
    """Which dated state counts: the newest, that of a day, or that of each row's own date."""

    when: When = When.NOW
    moment: datetime | None = None

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        return self.when if self.moment is None else self.moment.isoformat()


class Reading(NamedTuple):
    """A way of judging: a policy, and whether later states may deny."""

    name: str
    policy: Policy
    retroactive: bool


class Dated(NamedTuple):
    """A state of an origin: when it was seen, what names its content, and how to get it."""

    at: int
    key: str
    load: Load


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch comes to, as one number of an outcome for each row.

    Attributes:
        located: where its URLs point.
        numbers: for each reading, in their order.
        newest: under the first reading, what the newest state of the row's origin comes to; the row's own number
            where that is the state that it was judged by.
        dates: when the state that counts was seen, in seconds; `NO_DATE` where none counts.
        gaps: seconds between the row's date and that; 0 unless rows are judged by their own dates.
    """

    located: Located
    numbers: tuple[np.ndarray, ...]
    newest: np.ndarray
    dates: np.ndarray
    gaps: np.ndarray


class Judge:
    """Judges batches against a store. It keeps what it has compiled, and nothing about rows."""

    def __init__(
        self,
        store: Store,
        readings: Sequence[Reading],
        identity: Identity,
        as_of: AsOf,
        kernel: ModuleType | None = KERNEL,
        lists: Lists | None = None,
    ) -> None:
        """Begin with nothing compiled.

        Args:
            store: of dated origin states.
            readings: the first is the one that decides; the others are compared with it.
            identity: who we are.
            as_of: which dated state counts.
            kernel: the compiled tier; None for pure Python, which gives the same answers.
            lists: what else is known about hosts, URLs and contents.
        """
        self.kernel = kernel
        self._listed = Listed(Lists.none() if lists is None else lists)
        self.outcomes = Outcomes()
        self.readings = tuple(readings)
        self._store, self._as_of = store, as_of
        self._views: list[View] = []
        by_digest: dict[tuple[str, str], View] = {}
        for reading in readings:
            key = (reading.policy.digest, reading.policy.registry_digest)
            self._views.append(by_digest.setdefault(key, View(reading.policy, identity, self.outcomes)))
        self._timelines: OrderedDict[str, tuple[Dated, ...]] = OrderedDict()

    def judge(
        self,
        urls: pa.Array,
        dates: np.ndarray | None = None,
        pages: Mapping[int, Sequence[Exchange]] | None = None,
    ) -> Judged:
        """Judge every row.

        Args:
            urls: of strings or bytes, with whatever in them.
            dates: the rows' own dates in seconds, `NO_DATE` where a row has none; needed for `When.CRAWL`.
            pages: for rows with content, what their pages are.
        """
        located = locate(urls, self.kernel)
        pages = self._listed.add(located, pages or {})
        states = _States([self._timeline(origin) for origin in located.origins])
        near = [reading.policy.nearest_capture_days for reading in self.readings]
        choices = {days: self._choose(states, located, dates, days * _DAY) for days in set(near)}
        chosen = choices[near[0]]
        numbers = tuple(
            self._reading(reading, view, states, choices[days], located, pages)
            for reading, view, days in zip(self.readings, self._views, near, strict=True)
        )
        when = states.when(chosen)
        newest = self._newest(states, chosen, located, numbers[0], pages)
        return Judged(located, numbers, newest, when, self._gaps(when, dates))

    def _timeline(self, origin: str) -> tuple[Dated, ...]:
        known = self._timelines.get(origin)
        if known is None:
            known = self._timelines[origin] = self._read(origin)
            if len(self._timelines) > TIMELINES_KEPT:
                self._timelines.popitem(last=False)
        return known

    def _read(self, origin: str) -> tuple[Dated, ...]:
        """The dated states of an origin that may count, oldest first."""
        if self._as_of.when is When.NOW:
            state = self._store.state(origin, None)
            found: tuple[OriginState, ...] = () if state is None else (state,)
        else:
            found = self._store.states(origin)
        return tuple(
            Dated(int(state.captured_at.timestamp()), state.content_key, partial(self._load, origin, number))
            for number, state in enumerate(found)
        )

    def _load(self, origin: str, number: int) -> Sequence[Exchange]:
        if self._as_of.when is When.NOW:
            state = self._store.state(origin, None)
            return () if state is None else state.exchanges
        return self._store.states(origin)[number].exchanges

    def _choose(self, states: _States, located: Located, dates: np.ndarray | None, most: int) -> np.ndarray:
        """For each row the number of the state that counts, at most so many seconds from its date, or `NO_STATE`."""
        if self._as_of.when is When.NOW:
            return states.last(located.codes)
        if self._as_of.moment is not None:
            asked = np.full(len(located.codes), int(self._as_of.moment.timestamp()), np.int64)
        else:
            asked = np.full(len(located.codes), NO_DATE, np.int64) if dates is None else dates
        return states.nearest(located.codes, asked, most)

    def _gaps(self, when: np.ndarray, dates: np.ndarray | None) -> np.ndarray:
        if self._as_of.when is not When.CRAWL or dates is None:
            return np.zeros(len(when), np.int64)
        return np.where((when == NO_DATE) | (dates == NO_DATE), 0, np.abs(when - dates))

    def _reading(
        self,
        reading: Reading,
        view: View,
        states: _States,
        chosen: np.ndarray,
        located: Located,
        pages: Mapping[int, Sequence[Exchange]],
    ) -> np.ndarray:
        """What every row comes to in one way of judging."""
        numbers = self._unknown(reading.policy, located, states)
        rows = np.flatnonzero(chosen != NO_STATE)
        numbers[rows] = self._under(view, states, chosen[rows], located, rows)
        for row, page in pages.items():
            numbers[row] = self._page(view, states, int(chosen[row]), located.url(row), page, int(numbers[row]))
        if reading.retroactive:
            self._since(view, states, chosen, located, numbers)
        return numbers

    def _unknown(self, policy: Policy, located: Located, states: _States) -> np.ndarray:
        """The outcome of every row as if no state counted: why none does."""
        number = self.outcomes.number
        nowhere = number(undecided(policy.unknown, "url.malformed", MALFORMED))
        missing = number(undecided(policy.unknown, "url.missing", MALFORMED))
        unknown = number(undecided(policy.unknown, "origin.unknown", UNKNOWN))
        unknown_then = number(undecided(policy.unknown, "origin.unknown-then", UNKNOWN))
        seen = np.append(states.counts > 0, False)
        numbers = np.where(seen[located.codes], unknown_then, unknown)
        numbers = np.where(located.codes == NOWHERE, nowhere, numbers)
        if located.urls.null_count:
            numbers = np.where(located.urls.is_null().to_numpy(zero_copy_only=False), missing, numbers)
        return numbers.astype(np.int32)

    def _under(self, view: View, states: _States, chosen: np.ndarray, located: Located, rows: np.ndarray) -> np.ndarray:
        """What rows come to under the states that were chosen for them.

        One site is dealt with after the other, so that each is compiled once.
        """
        if self.kernel is not None:
            return self._under_compiled(self.kernel, view, states, chosen, located, rows)
        numbers = np.empty(len(rows), np.int32)
        exceptional = located.odd[rows] | located.robots[rows]
        order = np.argsort(chosen, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(chosen[order])) + 1) if len(order) else ():
            state = states.all[int(chosen[group[0]])]
            site = view.site(state.key, state.load)
            if not site.constant:
                numbers[group] = site.judge(located, rows[group])
                continue
            numbers[group] = site.usual
            if site.delicate and (exceptions := group[exceptional[group]]).size:
                numbers[exceptions] = site.judge(located, rows[exceptions])
        return numbers

    def _under_compiled(
        self, kernel: ModuleType, view: View, states: _States, chosen: np.ndarray, located: Located, rows: np.ndarray
    ) -> np.ndarray:
        """The same by the compiled tier, in one call for all rows but the odd ones."""
        slots = np.full(len(located.codes), NO_STATE, np.int32)
        slots[rows] = chosen
        sites: list[Site | None] = [None] * len(states.all)
        matchers: list[object] = [None] * len(states.all)
        used = np.flatnonzero(np.bincount(chosen, minlength=len(states.all)))
        new = {number for number in used.tolist() if not view.has(states.all[number].key)}
        out = np.full(len(located.codes), NO_STATE, np.int32)
        for group in _groups(chosen, rows, new):
            # What is new is dealt with site by site, so that each is compiled once.
            state = states.all[int(slots[group[0]])]
            out[group] = view.site(state.key, state.load).judge(located, group)
            slots[group] = NO_STATE
        for number in used.tolist():
            if number not in new:
                state = states.all[number]
                sites[number] = site = view.site(state.key, state.load)
                matchers[number] = site.flat(kernel)
        kernel.match(matchers, slots, located.starts, *buffers(located.urls), out)
        for row in np.flatnonzero((out < 0) & (slots != NO_STATE)).tolist():
            known, number, url = sites[slots[row]], int(out[row]), partial(located.url, row)
            if known is not None:
                odd = number == NO_STATE
                out[row] = known.judge_target(match_target(url()), url()) if odd else known.resolve(-2 - number, url)
        judged: np.ndarray = out[rows]
        return judged

    def _since(self, view: View, states: _States, chosen: np.ndarray, located: Located, numbers: np.ndarray) -> None:
        """Let later states deny: the strictest of all states from the chosen one on counts."""
        rows = np.flatnonzero(chosen != NO_STATE)
        ends = states.last(located.codes)
        step = 1
        while (rows := rows[chosen[rows] + step <= ends[rows]]).size:
            later = self._under(view, states, chosen[rows] + step, located, rows)
            pairs = zip(numbers[rows].tolist(), later.tolist(), strict=True)
            numbers[rows] = [self.outcomes.stricter(own, other, SINCE) for own, other in pairs]
            step += 1

    def _newest(
        self,
        states: _States,
        chosen: np.ndarray,
        located: Located,
        numbers: np.ndarray,
        pages: Mapping[int, Sequence[Exchange]],
    ) -> np.ndarray:
        """What rows come to under the newest states of their origins."""
        newest = numbers.copy()
        last = states.last(located.codes)
        rows = np.flatnonzero((chosen != last) & (last != NO_STATE))
        if rows.size:
            newest[rows] = self._under(self._views[0], states, last[rows], located, rows)
            for row in set(rows.tolist()) & pages.keys():
                url, page = located.url(row), pages[row]
                newest[row] = self._page(self._views[0], states, int(last[row]), url, page, int(newest[row]))
        return newest

    def _page(self, view: View, states: _States, state: int, url: str, page: Sequence[Exchange], number: int) -> int:
        """What a row comes to with its content."""
        if not view.telling(page):
            return number
        if state == NO_STATE:
            return self.outcomes.stricter(view.page_alone(url, page, self.outcomes.all[number].status), number, "")
        return view.site(*states.all[state][1:]).judge_page(url, page)


class _States:
    """The dated states of the origins of a batch, one after the other."""

    def __init__(self, timelines: Sequence[Sequence[Dated]]) -> None:
        self.all = [state for timeline in timelines for state in timeline]
        self.counts = np.array([len(timeline) for timeline in timelines], np.int64)
        self._ends = np.append(np.cumsum(self.counts), 0)
        self._times = np.array([state.at for state in self.all], np.int64)
        owners = np.repeat(np.arange(len(timelines)), self.counts)
        self._order = (owners << 36) + self._times

    def last(self, codes: np.ndarray) -> np.ndarray:
        """The newest state of each row's origin."""
        seen = np.append(self.counts > 0, False)
        return np.where(seen[codes], self._ends[codes] - 1, NO_STATE)

    def when(self, chosen: np.ndarray) -> np.ndarray:
        """When the chosen states were seen."""
        times = np.append(self._times, NO_DATE)
        return times[chosen]  # type: ignore[no-any-return]

    def nearest(self, codes: np.ndarray, asked: np.ndarray, most: int) -> np.ndarray:
        """The last state at or before a time, if it is near enough, or else the first after it, if that is."""
        usable = (codes != NOWHERE) & (asked > -(1 << 35)) & (asked < 1 << 35)
        usable &= np.append(self.counts > 0, False)[codes]
        moments = np.where(usable, asked, 0)
        owners = np.where(usable, codes, 0).astype(np.int64)
        before = np.searchsorted(self._order, (owners << 36) + moments, side="right") - 1
        starts = self._ends[owners] - self.counts[owners] if len(self.counts) else owners
        chosen = np.full(len(codes), NO_STATE, np.int64)
        for state, inside in ((before + 1, before + 1 < self._ends[owners]), (before, before >= starts)):
            known = usable & inside
            gaps = np.abs(self.when(np.where(known, state, NO_STATE)) - moments)
            chosen = np.where(known & (gaps <= most), state, chosen)
        return chosen


def _groups(chosen: np.ndarray, rows: np.ndarray, wanted: set[int]) -> Iterable[np.ndarray]:
    """The rows of each state that is wanted."""
    if not wanted:
        return []
    mine = np.isin(chosen, list(wanted))
    keys, places = chosen[mine], rows[mine]
    order = np.argsort(keys, kind="stable")
    return np.split(places[order], np.flatnonzero(np.diff(keys[order])) + 1)


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)
