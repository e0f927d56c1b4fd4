"""Harvesting: the signals of many origins, fetched politely and kept with their dates.

What a visit saw is put in the store as a whole and counts only then, so a harvest that is killed goes on where it
was: an origin whose visit is in the store, and young enough, is not visited again. Several harvests may work on one
store at the same time; see `optout.acquisition.claims`. Memory does not grow with the list: it is read as it is worked
off, and what waits to be written is bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from optout.acquisition import origin_list
from optout.acquisition.captures import NOT_ASKED, StoreError, StoreUnreachable
from optout.acquisition.claims import LEASE_SECONDS, Claims
from optout.acquisition.lanes import Lanes
from optout.acquisition.origin_list import BadLine
from optout.acquisition.visit import reached
from optout.model import Exchange
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from optout.acquisition.history import Store
    from optout.acquisition.origin_list import Target
    from optout.acquisition.visit import Visitor

    Visit = tuple[Exchange, ...]

_AT_ONCE = 256
_WRITE_SECONDS = 0.25
_WAITING_BYTES = 64_000_000
_LOOK_AGAIN_SECONDS = 1.0
_OUTAGE_SECONDS = 120.0
_PAUSE_SECONDS = 0.5

Given = ParamSpec("Given")
Result = TypeVar("Result")


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
        fresh: of them, those that were in the store already and young enough, because of us or somebody else.
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


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told what.

    Attributes:
        tell: the tally, whenever results have been kept.
        complain: each line that names no origin.
        warn: once for each time that the store's server does not answer.
    """

    tell: Callable[[Tally], None]
    complain: Callable[[BadLine], None]
    warn: Callable[[StoreError], None]


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
        self._pace = pace
        self._claims = Claims(store, roles, since)
        self._running: set[asyncio.Task[None]] = set()
        self._pending: list[tuple[Target, list[Visit]]] = []
        self._elsewhere: list[Target] = []
        self._look_again_at = 0.0
        self._waiting_bytes = 0
        self._written = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_ending = False

    async def run(self, lines: Iterable[bytes], ears: Ears) -> Tally:
        """Work off a list; see `optout.acquisition.origin_list` for its form.

        Raises:
            StoreError: the disk refuses, or the server does not answer for minutes; what was kept before stays.
        """
        self._ears = ears
        self._lanes = Lanes(self._targets(lines), self._pace.per_domain, repeated=self._repeated)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer, renewal = asyncio.create_task(self._write()), asyncio.create_task(self._renew())
        admission = asyncio.create_task(self._admit())
        for task in (writer, renewal):
            task.add_done_callback(self._check)
        try:
            await asyncio.wait([admission, self._failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(admission, *self._running)
            self._is_ending = True
            self._written.set()
            await asyncio.wait([writer])
            await _cancelled(renewal)
            await self._give_back()
        if self._failed.done():
            self._failed.result()
        admission.result()
        writer.result()
        return self.tally

    def _targets(self, lines: Iterable[bytes]) -> Iterator[Target]:
        for found in origin_list.read(lines):
            if isinstance(found, BadLine):
                self.tally.bad += 1
                self._ears.complain(found)
            else:
                yield found

    def _repeated(self) -> None:
        self.tally.targets += 1
        self.tally.fresh += 1

    # Beginning visits.

    async def _admit(self) -> None:
        """Begin visits, as many at a time as may be under way, until nothing is left to do."""
        while True:
            self._moved.clear()
            batch = self._take()
            if batch:
                await self._begin(batch)
            elif self._running or self._elsewhere:
                await self._wait()
            elif not self._has_room():
                await self._moved.wait()
            else:
                return

    def _has_room(self) -> bool:
        return len(self._running) < self._pace.concurrency and self._waiting_bytes <= _WAITING_BYTES

    def _take(self) -> list[Target]:
        self._look_again()
        batch: list[Target] = []
        room = min(self._pace.concurrency - len(self._running), _AT_ONCE) if self._has_room() else 0
        while len(batch) < room and (target := self._lanes.take()) is not None:
            batch.append(target)
        return batch

    def _look_again(self) -> None:
        """Take up what others had begun to visit, now and then, so that it does not pile up."""
        now = asyncio.get_running_loop().time()
        if self._elsewhere and now >= self._look_again_at:
            self._look_again_at = now + _LOOK_AGAIN_SECONDS
            for target in self._elsewhere:
                self._lanes.offer(target)
            self._elsewhere.clear()

    async def _begin(self, batch: list[Target]) -> None:
        found = await self._insist(self._claims.sort, batch)
        for target in found.fresh:
            self.tally.fresh += 1
            self.tally.targets += 1
            self._lanes.done(target)
            self._lanes.settle(target)
        for target in found.elsewhere:
            self._lanes.done(target)
            self._elsewhere.append(target)
        for target in found.ours:
            task = asyncio.create_task(self._visit(target))
            self._running.add(task)
            task.add_done_callback(self._visited)
        if found.fresh:
            self._ears.tell(self.tally)

    async def _wait(self) -> None:
        """Wait until something is done, or until it is time to look at what others visit."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._look_again_at if self._elsewhere else None):
                await self._moved.wait()

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
        self._moved.set()
        self._check(task)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A fault of ours ends the run."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self._failed.done():
            self._failed.set_exception(fault)

    # Keeping.

    async def _write(self) -> None:
        """Keep what has been seen, many visits at a time, because each time costs a wait for the disk."""
        while not self._is_ending or self._pending:
            await self._written.wait()
            if not self._is_ending:
                await asyncio.sleep(_WRITE_SECONDS)
                self._written.clear()
            batch, self._pending = self._pending, []
            await self._insist(self._put, batch)
            self._count(batch)
            self._moved.set()

    def _put(self, batch: Sequence[tuple[Target, list[Visit]]]) -> None:
        self._store.put(self._news([exchange for _, visits in batch for visit in visits for exchange in visit]))
        self._claims.release(target for target, _ in batch)

    def _news(self, exchanges: Sequence[Exchange]) -> list[Exchange]:
        """Without the files that were not asked for and are known: what they said stands until they are."""
        owners = {exchange.url: origin_of(exchange.url).text for exchange in exchanges if exchange.error == NOT_ASKED}
        last = self._store.latest(sorted(set(owners.values()))) if owners else {}
        known = {capture.url for found in last.values() for capture in found if capture.error != NOT_ASKED}
        return [exchange for exchange in exchanges if exchange.error != NOT_ASKED or exchange.url not in known]

    def _count(self, batch: Sequence[tuple[Target, list[Visit]]]) -> None:
        for target, visits in batch:
            self.tally.add(visits)
            self._waiting_bytes -= _octets(visits)
            self._lanes.settle(target)
        self._ears.tell(self.tally)

    # Leases, and a server that is away.

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                await asyncio.to_thread(self._claims.renew)
            except StoreUnreachable as fault:
                # Whoever wants to write will find out, and insist.
                self._ears.warn(fault)

    async def _give_back(self) -> None:
        try:
            await asyncio.to_thread(self._claims.release_all)
        except StoreError as fault:
            self._ears.warn(fault)

    async def _insist(self, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
        """Do something with the store in a thread, and again while its server is away for as long as a restart takes.

        Raises:
            StoreError: it is away for longer, or refuses.
        """
        until = asyncio.get_running_loop().time() + _OUTAGE_SECONDS
        pause = _PAUSE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(work, *given, **named)
            except StoreUnreachable as fault:
                if asyncio.get_running_loop().time() > until or self._is_ending:
                    raise
                self._ears.warn(fault)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LEASE_SECONDS / 3)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """End tasks, whatever they say to it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _octets(visits: Iterable[Visit]) -> int:
    return sum(len(exchange.body) for visit in visits for exchange in visit)
