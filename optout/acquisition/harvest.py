"""Harvesting: the signals of many origins, fetched politely and kept with their dates.

What a visit saw is put in the store as a whole and counts only then, so a harvest that is killed goes on where it
was: an origin whose visit is in the store, and young enough, is not visited again. Memory does not grow with the
list: it is read as it is worked off, and what waits to be written is bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optout.acquisition import origin_list
from optout.acquisition.lanes import Lanes
from optout.acquisition.origin_list import BadLine
from optout.acquisition.visit import reached
from optout.engine import ROBOTS_ROLE
from optout.model import Availability, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from optout.acquisition.history import Capture, Store
    from optout.acquisition.origin_list import Target
    from optout.acquisition.visit import Visitor

    Visit = tuple[Exchange, ...]

_AT_ONCE = 256
_WRITE_SECONDS = 0.25
_WAITING_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is under way at a time.

    Attributes:
        concurrency: targets in all.
        per_domain: targets of one registrable domain.
    """

    concurrency: int = 500
    per_domain: int = 2


@dataclass(slots=True)
class Tally:
    """What a harvest did so far; a target counts when its visit is in the store.

    Attributes:
        targets: lines that are done with.
        fresh: of them, those that were in the store already and young enough, or stood in the list before.
        bad: lines that name no origin.
        origins: visited, by `reached` and `unreachable`.
        files: by availability and, for failures, by error code.
        octets: of bodies.
        documents: fetched because a signal points to them.
    """

    targets: int = 0
    fresh: int = 0
    bad: int = 0
    octets: int = 0
    documents: int = 0
    origins: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, visits: Sequence[Visit]) -> None:
        """Count one target's visits."""
        self.targets += 1
        for visit in visits:
            self.origins["reached" if reached(visit) else "unreachable"] += 1
            for exchange in visit:
                self.files[exchange.availability] += 1
                self.octets += len(exchange.body)
                self.documents += not exchange.role.startswith("/")
                if exchange.error is not None:
                    self.errors[exchange.error] += 1

    def figures(self) -> dict[str, int | dict[str, int]]:
        """Everything by name."""
        plain = ("targets", "fresh", "bad", "octets", "documents")
        counters = {"origins": self.origins, "files": self.files, "errors": self.errors}
        return {name: getattr(self, name) for name in plain} | {name: dict(found) for name, found in counters.items()}


class Harvest:
    """One run over one list."""

    def __init__(self, store: Store, visitor: Visitor, roles: Sequence[str], pace: Pace, since: datetime) -> None:
        """Prepare a run.

        Args:
            store: open for writing.
            visitor: makes the visits.
            roles: the well-known paths that a complete visit has asked for.
            pace: how much is under way at a time.
            since: origins that were visited later than this are not visited again.
        """
        self.tally = Tally()
        self._store = store
        self._visitor = visitor
        self._roles = roles
        self._pace = pace
        self._since = since
        self._running: set[asyncio.Task[None]] = set()
        self._pending: list[tuple[Target, list[Visit]]] = []
        self._waiting_bytes = 0
        self._written = asyncio.Event()
        self._is_filling = False
        self._is_ending = False

    async def run(
        self, lines: Iterable[bytes], tell: Callable[[Tally], None], complain: Callable[[BadLine], None]
    ) -> Tally:
        """Work off a list.

        Args:
            lines: of the list; see `optout.acquisition.origin_list`.
            tell: called with the tally whenever results have been kept.
            complain: called with each line that names no origin.

        Raises:
            StoreError: the disk refuses; what was kept before stays.
        """
        self._tell = tell
        self._lanes = Lanes(self._targets(lines, complain), self._pace.per_domain)
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer = asyncio.create_task(self._write())
        writer.add_done_callback(self._check)
        try:
            self._fill()
            await self._finished
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._is_ending = True
            self._written.set()
            await asyncio.wait([writer])
        writer.result()
        return self.tally

    def _targets(self, lines: Iterable[bytes], complain: Callable[[BadLine], None]) -> Iterator[Target]:
        for found in origin_list.read(lines):
            if isinstance(found, BadLine):
                self.tally.bad += 1
                complain(found)
            else:
                yield found

    def _fill(self) -> None:
        """Begin as many visits as may be under way; a long stretch of fresh origins lets others go in between."""
        if self._is_filling or self._finished.done():
            return
        for _ in range(_AT_ONCE):
            if len(self._running) >= self._pace.concurrency or self._waiting_bytes > _WAITING_BYTES:
                return
            target = self._lanes.take()
            if target is None:
                self._finish_if_idle()
                return
            if self._is_fresh(target):
                self.tally.fresh += 1
                self.tally.targets += 1
                self._lanes.done(target)
                self._lanes.settle(target)
            else:
                task = asyncio.create_task(self._visit(target))
                self._running.add(task)
                task.add_done_callback(self._visited)
        self._is_filling = True
        asyncio.get_running_loop().call_soon(self._fill_on)

    def _fill_on(self) -> None:
        self._is_filling = False
        self._tell(self.tally)
        self._fill()

    def _finish_if_idle(self) -> None:
        if not self._running and not self._finished.done():
            self._finished.set_result(None)

    async def _visit(self, target: Target) -> None:
        """Visit a target's origins until one answers."""
        visits: list[Visit] = []
        try:
            for origin in target.origins:
                visits.append(await self._visitor.visit(origin))
                if reached(visits[-1]):
                    break
        finally:
            self._lanes.done(target)
        self._waiting_bytes += _octets(visits)
        self._pending.append((target, visits))
        self._written.set()

    def _visited(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._check(task)
        self._fill()

    def _check(self, task: asyncio.Task[None]) -> None:
        """A fault of ours ends the run."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self._finished.done():
            self._finished.set_exception(fault)

    # Keeping.

    async def _write(self) -> None:
        """Keep what has been seen, many visits at a time, because each time costs a wait for the disk."""
        while not self._is_ending or self._pending:
            await self._written.wait()
            if not self._is_ending:
                await asyncio.sleep(_WRITE_SECONDS)
                self._written.clear()
            batch, self._pending = self._pending, []
            await asyncio.to_thread(self._put, batch)
            self._count(batch)
            self._fill()

    def _put(self, batch: Sequence[tuple[Target, list[Visit]]]) -> None:
        self._store.put(exchange for _, visits in batch for visit in visits for exchange in visit)

    def _count(self, batch: Sequence[tuple[Target, list[Visit]]]) -> None:
        for target, visits in batch:
            self.tally.add(visits)
            self._waiting_bytes -= _octets(visits)
            self._lanes.settle(target)
        self._tell(self.tally)

    # What need not be visited.

    def _is_fresh(self, target: Target) -> bool:
        """Whether the store has a visit that is young enough, to each origin that would be visited now."""
        for origin in target.origins:
            last = {capture.role: capture for capture in self._store.history(origin.text)}
            if not is_complete(last, self._roles, self._since):
                return False
            if not _is_unreachable(last[ROBOTS_ROLE]):
                return True
        return True


def is_complete(last: Mapping[str, Capture], roles: Iterable[str], since: datetime) -> bool:
    """Whether the last captures of an origin are a whole visit that is young enough."""
    robots = last.get(ROBOTS_ROLE)
    if robots is None:
        return False
    if _is_unreachable(robots):
        return robots.fetched_at >= since
    return all(role in last and last[role].fetched_at >= since for role in roles)


def _is_unreachable(capture: Capture) -> bool:
    exchange = Exchange(capture.url, capture.role, status=capture.status, error=capture.error)
    return exchange.availability is Availability.UNREACHABLE


def _octets(visits: Iterable[Visit]) -> int:
    return sum(len(exchange.body) for visit in visits for exchange in visit)
