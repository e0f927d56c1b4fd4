"""The log of the register: each step is one row in it, whatever interrupts the writing.

A row holds no personal data: it commits to the step by SHA-256 over a salt and the step's canonical form. So a
register that was changed afterwards shows, and what a person has sent can still be erased from it. The salt also makes
each commitment the only one of its kind; that is how a step is found again whose number was not noted in time.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence.canonical import JSON, encode
from optout.evidence.layout import Layout, parse_segment_name
from optout.evidence.ledger import EvidenceLog
from optout.evidence.rows import microseconds
from policies.complaint_record import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

NODE, KIND = "complaints", "complaint"


@dataclass(frozen=True, slots=True)
class Entry:
    """A step as it is committed to.

    Attributes:
        number: of the complaint.
        at: when, in ISO 8601.
        what: as in `policies.complaint_record.Step`.
        salt: 16 random bytes.
        said: JSON with sorted keys.
        seq: the number of its row; `PENDING` where the log does not have it yet.
    """

    number: int
    at: str
    what: str
    salt: bytes
    said: str
    seq: int = PENDING

    @property
    def commitment(self) -> str:
        """What the row holds of it, in hexadecimal."""
        return commitment(self.salt, self.number, self.at, self.what, self.said)


def commitment(salt: bytes, number: int, at: str, what: str, said: str) -> str:
    """SHA-256 over the salt and the canonical form of a step, in hexadecimal."""
    step: dict[str, JSON] = {"number": number, "at": at, "what": what, "said": said}
    return sha256(salt + encode(step)).hexdigest()


class StepLog:
    """The evidence log beside a register."""

    def __init__(self, directory: Path) -> None:
        """Use the log of this directory; it begins with the first step."""
        self._layout = Layout(directory)

    def take(self, entries: Sequence[Entry], now: datetime, *, after: int | None) -> list[int]:
        """Log steps, and give the numbers of their rows; what is durable in the log is not logged again.

        Args:
            entries: in the order in which they were registered.
            now: the time.
            after: the highest number that the register knows, where an earlier attempt may have logged some of them;
                None where there was none.

        Raises:
            EvidenceError: the disk refuses, or the log is damaged. Some may have been logged.
        """
        log = EvidenceLog(self._layout.directory, node=NODE, now=now)
        try:
            known: Mapping[str, int] = {}
            if after is not None:
                log.checkpoint(now)
                known = self._commitments(after)
            return [known[one.commitment] if one.commitment in known else log.add(_row(one, now)) for one in entries]
        finally:
            log.close(now)

    def holds(self, entries: Iterable[Entry]) -> bool:
        """Whether each of these is what the log has under its number; no steps at all do not hold."""
        steps = list(entries)
        numbers = {one.seq for one in steps}
        logged = {} if PENDING in numbers else self._rows_with(numbers)
        return bool(steps) and all(logged.get(one.seq) == one.commitment for one in steps)

    def prove(self, seq: int) -> dict[str, Any]:
        """The bundle that proves a row (`optout.evidence.bundle`).

        Raises:
            EvidenceError: the log does not have it, or it cannot be proved.
        """
        from optout.evidence import bundle, segment  # noqa: PLC0415 - PyArrow is slow to load
        from optout.evidence.find import Found  # noqa: PLC0415 - as above

        for path in self._files_with({seq}):
            numbers = segment.read(path).column("seq").to_pylist()
            if seq in numbers:
                return bundle.prove(self._layout, Found(path.name, numbers.index(seq), 0))
        raise EvidenceError(f"the register's log has no row {seq}", mend="run `optout evidence verify` on it")

    def _commitments(self, after: int) -> dict[str, int]:
        """Commitment and number of the rows that come later than a number."""
        rows = (row for path in self._from(after + 1) for row in _read(path))
        return {str(row.get("said_c")): row["seq"] for row in rows if row["seq"] > after}

    def _rows_with(self, numbers: set[int]) -> dict[int, str]:
        rows = (row for path in self._files_with(numbers) for row in _read(path))
        return {row["seq"]: str(row.get("said_c", "")) for row in rows}

    def _segments(self) -> list[tuple[int, Path]]:
        """First number and file of each segment, in order."""
        named = ((parse_segment_name(path.name), path) for path in self._layout.segments.glob(f"{NODE}-*.parquet"))
        return sorted((name[1], path) for name, path in named if name is not None)

    def _from(self, number: int) -> list[Path]:
        segments = self._segments()
        start = max(0, bisect_right([first for first, _ in segments], number) - 1)
        return [path for _, path in segments[start:]]

    def _files_with(self, numbers: set[int]) -> list[Path]:
        """The only files that may hold these rows: a register has a file for every step."""
        segments = self._segments()
        firsts = [first for first, _ in segments]
        places = {bisect_right(firsts, number) - 1 for number in numbers}
        return [segments[place][1] for place in sorted(places) if place >= 0]


def _read(path: Path) -> Iterable[Mapping[str, Any]]:
    from optout.evidence import segment  # noqa: PLC0415 - PyArrow is slow to load

    return segment.rows_of(segment.read(path))


def _row(entry: Entry, now: datetime) -> dict[str, JSON]:
    return {
        "v": 1, "kind": KIND, "t": microseconds(now), "complaint": entry.number, "step": entry.what,
        "said_c": entry.commitment,
    }  # fmt: skip


def said_text(said: Mapping[str, Any]) -> str:
    """What was said as it is committed to."""
    return json.dumps(said, sort_keys=True)
