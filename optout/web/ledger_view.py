"""What the service shows of an evidence directory: counts, rows, the checkpoint, and the log's public files."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from optout.errors import EvidenceError, MalformedUrl
from optout.evidence import bundle
from optout.evidence.checkpoint import parse
from optout.evidence.find import by_url
from optout.evidence.note import parse as parse_note
from optout.evidence.query import Filter, Rows
from optout.urls import origin_of
from optout.web.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from optout.evidence.layout import Layout

    Found = TypeVar("Found")

MOST_ROWS = 1_000
NEWEST = 20
MOST_ORIGINS = 50
MOST_REASONS = 20
FRESH_SECONDS = 5.0
"""How long counts are shown before they are counted again."""

_AT_ONCE = 2
_PUBLIC = re.compile(
    r"checkpoint|tile/(?:entries|[0-9]|[1-5][0-9]|6[0-3])/(?:x[0-9]{3}/){0,6}[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
)
"""The files of C2SP tlog-tiles, by name; nothing else of the directory is handed out."""

_DECIDED = "from rows where effect is not null"
_EFFECTS = f"select effect, reason, count(*) as count {_DECIDED} group by all order by count desc, reason, effect"
_ORIGIN = "regexp_extract(url, '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*')"
_ORIGINS = (
    f"select {_ORIGIN} as origin, count(*) as decisions, count(*) filter (effect = 'permit') as permitted, "
    "count(*) filter (effect = 'deny') as denied, count(*) filter (effect = 'review') as review "
    f"{_DECIDED} group by origin order by decisions desc, origin limit {MOST_ORIGINS}"
)
_RECENT = f"select * {_DECIDED} order by t desc, node, seq desc limit {NEWEST}"
_KEPT = "select count(*) as count from rows where stage = 'kept'"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a log says at a moment.

    Attributes:
        taken_at: when it was counted.
        effects: decisions by effect.
        reasons: effect, reason code and count, the most frequent first, at most `MOST_REASONS`.
        origins: counts by origin, the most frequent first, at most `MOST_ORIGINS`.
        newest: the newest decisions, at most `NEWEST`.
        kept: how many pages were kept.
    """

    taken_at: datetime
    effects: dict[str, int]
    reasons: list[dict[str, Any]]
    origins: list[dict[str, Any]]
    newest: list[dict[str, Any]]
    kept: int

    @property
    def decisions(self) -> int:
        """How many decisions there are."""
        return sum(self.effects.values())


class LedgerView:
    """Reads an evidence directory, a few questions at a time, and writes nothing there."""

    def __init__(self, layout: Layout) -> None:
        """Look at this directory."""
        self.layout = layout
        self._turnstile = Turnstile(_AT_ONCE)
        self._counting = asyncio.Lock()
        self._snapshot: tuple[float, Snapshot] | None = None

    async def snapshot(self) -> Snapshot:
        """The counts, not older than `FRESH_SECONDS`.

        Raises:
            EvidenceError: the log is damaged.
        """
        async with self._counting:
            if self._snapshot is None or time.monotonic() - self._snapshot[0] > FRESH_SECONDS:
                self._snapshot = time.monotonic(), await self._ask(_count)
            return self._snapshot[1]

    async def decisions(self, chosen: Filter, limit: int) -> list[dict[str, Any]]:
        """The newest rows that are meant.

        Raises:
            EvidenceError: the log is damaged.
        """
        return await self._ask(lambda rows: list(rows.decisions(chosen, limit)))

    async def proof(self, url: str) -> dict[str, Any] | None:
        """The bundle that proves the newest decision about a URL; None where none has been sealed.

        Raises:
            EvidenceError: the log is damaged, or what the proof needs is not here.
        """
        async with self._turnstile.turn():
            return await asyncio.to_thread(_proved, self.layout, url)

    def checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint, with the signed note that says it; None before the first.

        Raises:
            EvidenceError: it is damaged.
        """
        data = self.public_file("checkpoint")
        if data is None:
            return None
        try:
            head = parse(parse_note(data).text)
        except ValueError as fault:
            raise EvidenceError("the checkpoint is damaged", place=str(fault)) from fault
        return {"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": data.decode()}

    def public_file(self, name: str) -> bytes | None:
        """A file of the log that anybody may have; None where there is none of that name."""
        if not _PUBLIC.fullmatch(name):
            return None
        path = self.layout.directory / name
        try:
            # A link inside the directory must not lead to what is not the log's.
            inside = path.resolve(strict=True) == self.layout.directory.resolve() / name
            return path.read_bytes() if inside else None
        except OSError:
            return None

    async def _ask(self, question: Callable[[Rows], Found]) -> Found:
        async with self._turnstile.turn():
            return await asyncio.to_thread(_answered, self.layout, question)


def _answered(layout: Layout, question: Callable[[Rows], Found]) -> Found:
    try:
        with Rows(layout) as rows:
            return question(rows)
    except duckdb.Error as fault:
        raise EvidenceError("the log's segments cannot be read", place=str(fault).split("\n")[0]) from fault


def _proved(layout: Layout, url: str) -> dict[str, Any] | None:
    try:
        found = by_url(layout, url)
        return bundle.prove(layout, found[0]) if found else None
    except (duckdb.Error, ValueError) as fault:
        raise EvidenceError("the log's segments cannot be read", place=str(fault).split("\n")[0]) from fault


def _count(rows: Rows) -> Snapshot:
    reasons = list(rows.sql(_EFFECTS))
    effects: Counter[str] = Counter()
    for item in reasons:
        effects[item["effect"]] += item["count"]
    origins = [{**item, "origin": _origin(item["origin"])} for item in rows.sql(_ORIGINS)]
    kept = next(rows.sql(_KEPT))["count"]
    return Snapshot(datetime.now(UTC), dict(effects), reasons[:MOST_REASONS], origins, list(rows.sql(_RECENT)), kept)


def _origin(text: str) -> str:
    try:
        return origin_of(text).text
    except MalformedUrl:
        return text or "no origin"
