"""Who visits which origin, where several harvests work on one store.

A harvest leases a target before it visits it, and keeps the lease until what it saw is in the store. Whoever finds a
target leased comes back later: then the visit is in the store, or the lease has ended because its holder died.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from optout.acquisition.captures import DAMAGED, NOT_ASKED
from optout.engine import ROBOTS_ROLE
from optout.model import Availability, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from optout.acquisition.history import Capture, Store
    from optout.acquisition.origin_list import Target

LEASE_SECONDS = 30.0
"""How long others wait for a harvest that has died; a live one takes its leases again long before."""


class Sorted(NamedTuple):
    """Targets that are ours to visit, that need no visit, and that somebody else visits now."""

    ours: list[Target]
    fresh: list[Target]
    elsewhere: list[Target]


class Claims:
    """The leases of one harvest. Every method asks the store, and may be called from any thread."""

    def __init__(self, store: Store, roles: Sequence[str], since: datetime) -> None:
        """Look for visits to `roles` that are younger than `since`."""
        self._store = store
        self._roles = roles
        self._since = since
        self._holder = uuid4().hex
        self._held: set[str] = set()
        self._lock = Lock()

    def sort(self, targets: Sequence[Target]) -> Sorted:
        """Claim targets.

        Raises:
            StoreError: the store cannot be asked.
        """
        fresh, stale = self._divide(targets)
        if not stale:
            return Sorted([], fresh, [])
        taken = self._store.backend.lease([target.key for target in stale], self._holder, LEASE_SECONDS)
        with self._lock:
            self._held |= taken
        # Somebody may have come back from a visit between the look and the lease.
        done, ours = self._divide([target for target in stale if target.key in taken])
        self.release(done)
        return Sorted(ours, fresh + done, [target for target in stale if target.key not in taken])

    def renew(self) -> None:
        """Keep every lease for another while.

        Raises:
            StoreError: the store cannot be asked.
        """
        with self._lock:
            held = set(self._held)
        if held:
            self._store.backend.lease(held, self._holder, LEASE_SECONDS)

    def release(self, targets: Iterable[Target]) -> None:
        """Give back the leases of targets.

        Raises:
            StoreError: the store cannot be asked.
        """
        keys = {target.key for target in targets}
        with self._lock:
            self._held -= keys
        if keys:
            self._store.backend.release(keys, self._holder)

    def release_all(self) -> None:
        """Give back every lease, so that nobody waits for us.

        Raises:
            StoreError: the store cannot be asked.
        """
        with self._lock:
            held, self._held = self._held, set()
        if held:
            self._store.backend.release(held, self._holder)

    def _divide(self, targets: Sequence[Target]) -> tuple[list[Target], list[Target]]:
        """Targets of which the store has a visit that is young enough, and the others."""
        known = self._store.latest([origin.text for target in targets for origin in target.origins])
        fresh: list[Target] = []
        stale: list[Target] = []
        for target in targets:
            (fresh if self._is_fresh(target, known) else stale).append(target)
        return fresh, stale

    def _is_fresh(self, target: Target, known: Mapping[str, tuple[Capture, ...]]) -> bool:
        """Whether there is a visit that is young enough, to each origin that would be visited now."""
        for origin in target.origins:
            last = {capture.role: capture for capture in known[origin.text]}
            if not is_complete(last, self._roles, self._since):
                return False
            if not _is_unreachable(last[ROBOTS_ROLE]):
                return True
        return True


def is_complete(last: Mapping[str, Capture], roles: Iterable[str], since: datetime) -> bool:
    """Whether the last captures of an origin are a whole visit that is young enough."""
    robots = last.get(ROBOTS_ROLE)
    if robots is None or any(capture.error == DAMAGED for capture in last.values()):
        return False
    if _is_unreachable(robots):
        return robots.fetched_at >= since
    return all(role in last and last[role].error != NOT_ASKED and last[role].fetched_at >= since for role in roles)


def _is_unreachable(capture: Capture) -> bool:
    exchange = Exchange(capture.url, capture.role, status=capture.status, error=capture.error)
    return exchange.availability is Availability.UNREACHABLE
