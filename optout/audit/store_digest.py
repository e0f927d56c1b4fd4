"""The dated states of a store as one digest, so that somebody can tell whether they have the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from optout.evidence.rows import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from optout.acquisition.history import Capture, OriginState, Store


@dataclass(frozen=True, slots=True)
class States:
    """What a store held.

    Attributes:
        digest: over every capture of every origin, in order of origin and time.
        origins: how many there were.
        captures: how many there were.
        newest: the time of the last capture, in microseconds since 1970 UTC; 0 where there was none.
    """

    digest: str
    origins: int
    captures: int
    newest: int

    def json(self) -> dict[str, Any]:
        """As an entry of a log holds it."""
        return {"sha256": self.digest, "origins": self.origins, "captures": self.captures, "newest": self.newest}


def digest_of_states(store: Store, until: datetime | None = None) -> States:
    """The digest of what a store holds, or held at a time.

    A capture counts by what it says and when it was made, not by how the store keeps it; so a copy of a store, and
    one that was filled from the same archives, have the same digest.

    Args:
        store: the store.
        until: captures after this time do not count.
    """
    digest = sha256()
    origins = captures = newest = 0
    for origin in store.origins():
        history = [one for one in store.history(origin) if until is None or one.fetched_at <= until]
        if not history:
            continue
        origins += 1
        captures += len(history)
        newest = max(newest, microseconds(history[-1].fetched_at))
        digest.update(sha256(orjson.dumps([_text(origin), [_said(one) for one in history]])).digest())
    return States(digest.hexdigest(), origins, captures, newest)


def _said(capture: Capture) -> list[Any]:
    return [
        capture.role, _text(capture.url), microseconds(capture.fetched_at),
        capture.status, capture.error, capture.digest,
        [[_text(name), _text(value)] for name, value in capture.headers], [_text(url) for url in capture.redirects],
        capture.truncated,
    ]  # fmt: skip


def _text(text: str) -> str:
    """Text as JSON can hold it, whatever a server has sent."""
    return text.encode("utf-8", "backslashreplace").decode()


class Until:
    """A store as it was at a time, for the judge."""

    def __init__(self, store: Store, moment: datetime) -> None:
        """Show of a store what it held at a time."""
        self._store, self._moment = store, moment

    def state(self, origin: str, as_of: datetime | None) -> OriginState | None:
        """See `Store.state`."""
        return self._store.state(origin, self._moment if as_of is None else min(as_of, self._moment))

    def states(self, origin: str) -> tuple[OriginState, ...]:
        """See `Store.states`. A visit that was still going on counts as far as it had come."""
        found = self._store.states(origin)
        known = tuple(state for state in found if state.captured_at <= self._moment)
        last = self.state(origin, None)
        later = len(known) < len(found) and last is not None
        if later and last is not None and (not known or known[-1].captured_at != last.captured_at):
            return (*known, last)
        return known
