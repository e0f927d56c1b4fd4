"""Handing out targets so that no domain has more than so many under way, without anybody standing in line.

A target whose domain is busy is parked and the next one taken, so that a list in order of domain goes as fast as
a shuffled one. What is parked is bounded; when it is full, the list is read on as soon as something is done.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optout.acquisition.origin_list import Target

PARKED = 20_000


class Lanes:
    """The targets of a list, each once as long as it is not settled."""

    def __init__(
        self,
        source: Iterator[Target],
        per_domain: int,
        parked: int = PARKED,
        repeated: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand out what `source` gives, at most `per_domain` of one domain at a time.

        Args:
            source: the targets.
            per_domain: how many of one domain.
            parked: how many may wait for their domain.
            repeated: called for each target that is left out because the same is not settled yet.
        """
        self._source = source
        self._repeated = repeated
        self._per_domain = per_domain
        self._room = parked
        self._active: dict[str, int] = {}
        self._waiting: dict[str, deque[Target]] = {}
        self._ready: deque[Target] = deque()
        self._held: set[str] = set()
        self._exhausted = False

    def take(self) -> Target | None:
        """The next target that may begin; None while none may, or for good when nothing is under way."""
        while self._ready:
            target = self._ready.popleft()
            if self._may_begin(target):
                return self._begin(target)
            self._park(target)
        while self._room > 0 and not self._exhausted:
            found = next(self._source, None)
            if found is None:
                self._exhausted = True
            elif found.key in self._held:
                self._repeated()
            else:
                self._held.add(found.key)
                if self._may_begin(found):
                    return self._begin(found)
                self._park(found)
        return None

    def offer(self, target: Target) -> None:
        """A target that was taken and is done is to be taken again."""
        self._ready.append(target)

    def done(self, target: Target) -> None:
        """A target is no longer under way; the first that waits for its domain may begin."""
        self._active[target.domain] -= 1
        if not self._active[target.domain]:
            del self._active[target.domain]
        waiting = self._waiting.get(target.domain)
        if waiting:
            self._ready.append(waiting.popleft())
            self._room += 1
            if not waiting:
                del self._waiting[target.domain]

    def settle(self, target: Target) -> None:
        """A target's results are kept; from now on the store knows about it."""
        self._held.discard(target.key)

    def _may_begin(self, target: Target) -> bool:
        return self._active.get(target.domain, 0) < self._per_domain

    def _park(self, target: Target) -> None:
        self._waiting.setdefault(target.domain, deque()).append(target)
        self._room -= 1

    def _begin(self, target: Target) -> Target:
        self._active[target.domain] = self._active.get(target.domain, 0) + 1
        return target
