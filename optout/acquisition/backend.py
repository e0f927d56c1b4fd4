"""What a store stands on: the interface that the local file, Redis or Valkey, and Postgres have in common.

A backend keeps rows and bodies, and knows nothing of what they mean; `optout.acquisition.history` does. It also hands
out leases: who holds the lease of a key does the work for it, and everybody else waits or uses what is there. A lease
ends by itself, so that a node that dies blocks nobody. It saves work and guards nothing: rows are dated, and what is
current is what was fetched last, not what was written last, so a node whose lease ran out can neither hide nor undo
what another has seen since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from optout.acquisition.captures import Entry, Row

FORMAT = "1"
"""The edition of what backends keep; a store of another one is not read."""


class Backend(Protocol):
    """Rows, bodies and leases. Every method may be called from any thread, and raises `StoreError` where it fails."""

    @property
    def name(self) -> str:
        """Where it is, for people; without passwords."""
        ...

    def rows(self, origin: str) -> list[Row]:
        """Every capture of an origin, in order of time, then role, then URL."""
        ...

    def latest(self, origins: Sequence[str]) -> dict[str, list[Row]]:
        """The last capture of each file of origins, in any order; origins without any may be missing."""
        ...

    def bodies(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Bodies by digest. What is missing is not there; what is there need not be intact."""
        ...

    def write(self, entries: Iterable[Entry]) -> None:
        """Keep entries, all or none; they are as durable as the backend can make them when this returns.

        A row replaces one of the same origin, file and time. A body that is there already is repaired if it is
        damaged.
        """
        ...

    def origins(self) -> Iterator[str]:
        """Every origin that has a capture, in order of the text."""
        ...

    def size(self) -> int:
        """How many origins there are."""
        ...

    def unfollowed(self) -> list[tuple[str, Row]]:
        """Origin and row of every capture whose error is `captures.REDIRECT_NOT_FOLLOWED`."""
        ...

    def lease(self, keys: Collection[str], holder: str, seconds: float) -> set[str]:
        """Take leases, or keep those that the holder has already.

        Args:
            keys: of the work.
            holder: a name that nobody else has.
            seconds: after which they end if they are not taken again.

        Returns:
            the keys whose leases the holder has now.
        """
        ...

    def release(self, keys: Collection[str], holder: str) -> None:
        """End leases, if they are still the holder's."""
        ...

    def mark(self, name: str) -> None:
        """Remember that a piece of work is done for good."""
        ...

    def is_marked(self, name: str) -> bool:
        """Whether it is."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
