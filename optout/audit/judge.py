"""Judging the URLs of a batch: which dated state of its origin counts for a row, and what the row comes to under it."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optout.acquisition.lists import Lists
from optout.audit.dates import DAY, NO_DATE
from optout.audit.listed import Listed
from optout.audit.locate import NOWHERE, Located, Locator
from optout.audit.outcomes import KNOWN, MALFORMED, SINCE, UNKNOWN, Outcomes, undecided
from optout.audit.ready import WAVE, Ready
from optout.audit.shelf import Shelf
from optout.audit.sites import Contents, View
from optout.audit.states import NO_STATE, Dated, States
from optout.engine import ROBOTS_ROLE
from optout.urls import match_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from optout.acquisition.history import OriginState, Store
    from optout.audit.sites import Site
    from optout.identity import Identity
    from optout.model import Exchange
    from optout.policy import Policy

KERNEL_EDITION = 2
"""Of what Python and `_kernel.c` say to each other, which has the same number; both change together."""


def compiled_tier(name: str = "optout.audit._kernel") -> ModuleType | None:
    """The compiled tier; None where it was not built, or was built from a text of another edition."""
    try:
        module = import_module(name)
    except ImportError:
        return None
    return module if getattr(module, "EDITION", None) == KERNEL_EDITION else None


KERNEL = compiled_tier()

ORIGINS_KEPT = 200_000
SITES_KEPT = 100_000


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


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch comes to, as one number of an outcome for each row.

    Attributes:
        located: where its URLs point.
        numbers: for each reading, in their order.
        newest: under the first reading, what the newest state of the row's origin comes to; the row's own number
            where that is the state that it was judged by.
        dates: when the state that counts was seen, in seconds; `NO_DATE` where none counts.
        gaps: seconds between the row's date and that; None where rows are not judged by their own dates.
    """

    located: Located
    numbers: tuple[np.ndarray, ...]
    newest: np.ndarray
    dates: np.ndarray
    gaps: np.ndarray | None


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
        shelves: Path | None = None,
    ) -> None:
        """Begin with nothing compiled.

        Args:
            store: of dated origin states.
            readings: the first is the one that decides; the others are compared with it.
            identity: who we are.
            as_of: which dated state counts.
            kernel: the compiled tier; None for pure Python, which gives the same answers.
            lists: what else is known about hosts, URLs and contents.
            shelves: where compiled contents are kept; None for nowhere.
        """
        self.kernel = kernel
        self._listed = Listed(Lists.none() if lists is None else lists)
        self.outcomes = Outcomes()
        self.readings = tuple(readings)
        self._store, self._as_of = store, as_of
        self._views: list[View] = []
        by_digest: dict[tuple[str, str], View] = {}
        self._contents = Contents()
        for reading in readings:
            key = (reading.policy.digest, reading.policy.registry_digest)
            if key not in by_digest:
                shelf = None if shelves is None else Shelf(shelves, reading.policy, identity)
                by_digest[key] = View(reading.policy, identity, self.outcomes, kernel, shelf, self._contents)
            self._views.append(by_digest[key])
        self._begin()

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
        self._forget()
        located = self._locator.locate(urls)
        pages = self._listed.add(located, pages or {})
        near = [reading.policy.nearest_capture_days for reading in self.readings]
        met = self._meet(located, dates, near)
        asked = self._asked(located.codes, dates)
        choices = {days: self._choose(located.codes, asked, days * DAY) for days in set(near)}
        chosen = choices[near[0]]
        numbers = tuple(
            self._reading(reading, view, choices[days], located, pages, met.get(view), asked)
            for reading, view, days in zip(self.readings, self._views, near, strict=True)
        )
        when = self._states.when(chosen)
        newest = self._newest(chosen, asked, located, numbers[0], pages)
        return Judged(located, numbers, newest, when, self._gaps(when, dates))

    def _meet(self, located: Located, dates: np.ndarray | None, near: Sequence[int]) -> dict[View, np.ndarray]:
        """Read the states of origins that are new and judge by them, a few at a time.

        What was read to date a state is at hand then to compile it, and all policies share what protocols read in it.

        Returns:
            for each view what rows come to, `NO_STATE` where their origins are not new; nothing where none is.
        """
        states = self._states
        new = len(located.origins) > len(states)
        met = {view: np.full(len(located.codes), NO_STATE, np.int32) for view in self._views} if new else {}
        with _no_search_for_cycles():
            for first in range(len(states), len(located.origins), WAVE):
                known = len(states.all)
                states.extend([self._read(origin) for origin in located.origins[first : first + WAVE]])
                rows = np.flatnonzero((located.codes >= first) & (located.codes < first + WAVE))
                asked = self._asked(located.codes[rows], None if dates is None else dates[rows])
                choices = [self._choose(located.codes[rows], asked, days * DAY) for days in near]
                self._learn(known, located, rows, list(zip(self._views, choices, strict=True)), met)
        return met

    def _learn(
        self,
        known: int,
        located: Located,
        rows: np.ndarray,
        choices: Sequence[tuple[View, np.ndarray]],
        met: Mapping[View, np.ndarray],
    ) -> None:
        """Judge rows by the states that are new."""
        for first in range(known, len(self._states.all), WAVE):
            for view, chosen in choices:
                mine = np.flatnonzero((chosen >= first) & (chosen < first + WAVE))
                met[view][rows[mine]] = self._under(view, chosen[mine], located, rows[mine])

    def shelve(self) -> None:
        """Let other processes have what was compiled here, and have what they compiled."""
        for view in dict.fromkeys(self._views):
            view.shelve()

    def _forget(self) -> None:
        """Begin anew where more has come up than is to be kept."""
        if len(self._states) > ORIGINS_KEPT or any(len(view) > SITES_KEPT for view in self._views):
            self._begin()

    def _begin(self) -> None:
        self._locator, self._states = Locator(self.kernel), States()
        for view in self._views:
            view.clear()
        self._ready = {view: Ready(view, self._states) for view in self._views}

    def _read(self, origin: str) -> tuple[Dated, ...]:
        """The dated states of an origin that may count, oldest first."""
        if self._as_of.when is When.NOW:
            state = self._store.state(origin, None)
            found: tuple[OriginState, ...] = () if state is None else (state,)
        else:
            found = self._store.states(origin)
        for state in found:
            self._contents.offer(state.content_key, state.exchanges)
        return tuple(
            Dated(
                _seconds(state.captured_at), state.content_key, partial(self._load, origin, number), _robots_at(state)
            )
            for number, state in enumerate(found)
        )

    def _load(self, origin: str, number: int) -> Sequence[Exchange]:
        if self._as_of.when is When.NOW:
            state = self._store.state(origin, None)
            return () if state is None else state.exchanges
        return self._store.states(origin)[number].exchanges

    def _asked(self, codes: np.ndarray, dates: np.ndarray | None) -> np.ndarray | None:
        """For each row the time whose state counts, in seconds; None where the newest does."""
        if self._as_of.when is When.NOW:
            return None
        if self._as_of.moment is not None:
            return np.full(len(codes), int(self._as_of.moment.timestamp()), np.int64)
        return np.full(len(codes), NO_DATE, np.int64) if dates is None else dates

    def _choose(self, codes: np.ndarray, asked: np.ndarray | None, most: int) -> np.ndarray:
        """For each row the number of the state that counts, at most so many seconds from its time, or `NO_STATE`."""
        return self._states.last(codes) if asked is None else self._states.nearest(codes, asked, most)

    def _gaps(self, when: np.ndarray, dates: np.ndarray | None) -> np.ndarray | None:
        if self._as_of.when is not When.CRAWL or dates is None:
            return None
        return np.where((when == NO_DATE) | (dates == NO_DATE), 0, np.abs(when - dates))

    def _reading(
        self,
        reading: Reading,
        view: View,
        chosen: np.ndarray,
        located: Located,
        pages: Mapping[int, Sequence[Exchange]],
        met: np.ndarray | None,
        asked: np.ndarray | None,
    ) -> np.ndarray:
        """What every row comes to in one way of judging, of which some may be known already."""
        numbers = self._unknown(reading.policy, located)
        rows = np.flatnonzero(chosen != NO_STATE)
        if met is not None:
            numbers[rows] = met[rows]
            rows = rows[met[rows] == NO_STATE]
        numbers[rows] = self._under(view, chosen[rows], located, rows)
        for row, page in pages.items():
            numbers[row] = self._page(view, int(chosen[row]), located.url(row), page, int(numbers[row]))
        if asked is not None:
            self._forget_old_robots(reading.policy, chosen, asked, numbers)
        if reading.retroactive:
            self._since(view, chosen, asked, located, numbers)
        return numbers

    def _unknown(self, policy: Policy, located: Located) -> np.ndarray:
        """The outcome of every row as if no state counted: why none does."""
        number = self.outcomes.number
        nowhere = number(undecided(policy.unknown, "url.malformed", MALFORMED))
        missing = number(undecided(policy.unknown, "url.missing", MALFORMED))
        unknown = number(undecided(policy.unknown, "origin.unknown", UNKNOWN))
        unknown_then = number(undecided(policy.unknown, "origin.unknown-then", UNKNOWN))
        by_origin = np.where(self._states.seen, unknown_then, unknown).astype(np.int32)
        by_origin[NOWHERE] = nowhere
        numbers: np.ndarray = by_origin[located.codes]
        if located.urls.null_count:
            numbers[located.urls.is_null().to_numpy(zero_copy_only=False)] = missing
        return numbers

    def _under(self, view: View, chosen: np.ndarray, located: Located, rows: np.ndarray) -> np.ndarray:
        """What rows come to under the states that were chosen for them."""
        if self.kernel is not None:
            return self._ready[view].judge(self.kernel, chosen, located, rows)
        return self._under_python(view, chosen, located, rows)

    def _under_python(self, view: View, chosen: np.ndarray, located: Located, rows: np.ndarray) -> np.ndarray:
        """By Python alone, one site after the other, so that each is compiled once."""
        numbers = np.empty(len(rows), np.int32)
        odd = located.odd[rows]
        for judge, mine in ((self._plain, ~odd), (self._odd, odd)):
            places = np.flatnonzero(mine)
            places = places[_in_order(chosen[places], len(self._states.all))]
            ordered, states = rows[places], chosen[places]
            for piece in located.pieces(ordered):
                numbers[places[piece]] = judge(view, states[piece], located, ordered[piece])
        return numbers

    def _plain(self, view: View, chosen: np.ndarray, located: Located, rows: np.ndarray) -> list[int]:
        """The same for rows that are not odd, in the order of their states."""
        edges = np.flatnonzero(np.diff(chosen, prepend=NO_STATE, append=NO_STATE))
        numbers: list[int] = []
        for (begin, end), lines in zip(pairwise(edges.tolist()), located.lines(rows, edges), strict=True):
            numbers += self._site(view, chosen[begin]).judge(lines, rows[begin:end], located)
        return numbers

    def _odd(self, view: View, chosen: np.ndarray, located: Located, rows: np.ndarray) -> list[int]:
        """The same for rows that are odd, in the order of their states."""
        asked = zip(chosen.tolist(), located.several(rows), strict=True)
        return [self._site(view, number).judge_target(match_target(url), url) for number, url in asked]

    def _site(self, view: View, number: int) -> Site:
        """The site of a state under a view."""
        state = self._states.all[number]
        return view.site(state.key, state.load)

    def _forget_old_robots(self, policy: Policy, chosen: np.ndarray, asked: np.ndarray, numbers: np.ndarray) -> None:
        """Let a robots.txt permit nothing where it is too far from a row's time, though another file is near enough.

        What it reserved, and what other files did, still counts: nothing tells that it was lifted.
        """
        nothing = self.outcomes.number(undecided(policy.unknown, f"coverage.not-consulted:{ROBOTS_ROLE}", KNOWN))
        rows = self._stale(policy, chosen, asked)
        numbers[rows] = [self.outcomes.stricter(own, nothing, "") for own in numbers[rows].tolist()]

    def _stale(self, policy: Policy, chosen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return self._states.stale(chosen, asked, policy.nearest_capture_days * DAY)

    def _since(
        self, view: View, chosen: np.ndarray, asked: np.ndarray | None, located: Located, numbers: np.ndarray
    ) -> None:
        """Let later states deny: the strictest of all states from the chosen one on counts.

        Where none was near enough to be chosen, those that came after the time that was asked for are later all the
        same.
        """
        first = np.where(chosen != NO_STATE, chosen + 1, NO_STATE)
        if asked is not None:
            first = np.where(chosen != NO_STATE, first, self._states.after(located.codes, asked))
        rows = np.flatnonzero(first != NO_STATE)
        ends = self._states.last(located.codes)
        step = 0
        while (rows := rows[first[rows] + step <= ends[rows]]).size:
            later = self._under(view, first[rows] + step, located, rows)
            pairs = zip(numbers[rows].tolist(), later.tolist(), strict=True)
            numbers[rows] = [self.outcomes.stricter(own, other, SINCE) for own, other in pairs]
            step += 1

    def _newest(
        self,
        chosen: np.ndarray,
        asked: np.ndarray | None,
        located: Located,
        numbers: np.ndarray,
        pages: Mapping[int, Sequence[Exchange]],
    ) -> np.ndarray:
        """What rows come to under the newest states of their origins."""
        last = self._states.last(located.codes)
        differs = (chosen != last) & (last != NO_STATE)
        if asked is not None:
            # Whose robots.txt is too old for a date, but not for today.
            differs[self._stale(self.readings[0].policy, chosen, asked)] = True
        rows = np.flatnonzero(differs)
        if not rows.size:
            return numbers
        newest = numbers.copy()
        newest[rows] = self._under(self._views[0], last[rows], located, rows)
        for row in set(rows.tolist()) & pages.keys():
            url, page = located.url(row), pages[row]
            newest[row] = self._page(self._views[0], int(last[row]), url, page, int(newest[row]))
        return newest

    def _page(self, view: View, state: int, url: str, page: Sequence[Exchange], number: int) -> int:
        """What a row comes to with its content."""
        if not view.telling(page):
            return number
        if state == NO_STATE:
            return self.outcomes.stricter(view.page_alone(url, page, self.outcomes.all[number].status), number, "")
        return self._site(view, state).judge_page(url, page)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Python searches all objects for cycles as these grow more; while much is made that stays, it does so in vain.

    Nothing that is made here holds itself.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _in_order(chosen: np.ndarray, states: int) -> np.ndarray:
    """Where the rows of each state are, one state after the other; NumPy sorts short numbers by their digits."""
    order: np.ndarray = np.argsort(chosen.astype(np.uint16) if states <= 1 << 16 else chosen, kind="stable")
    return order


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _robots_at(state: OriginState) -> int:
    """When the robots.txt of a state was captured; of one that has none, when the state was seen."""
    dates = (one.fetched_at for one in state.exchanges if one.role == ROBOTS_ROLE)
    return _seconds(next(dates, None) or state.captured_at)


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)
