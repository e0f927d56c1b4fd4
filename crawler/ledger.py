"""The evidence of a crawl: signals in the archive first, then the rows that rest on them.

When the disk refuses, whoever waits is told, nothing more is accepted, and the crawl is stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.asyncio import run_in_thread

from crawler.groups import Groups
from optout.evidence.exchange_record import identifier_of
from optout.evidence.journal import Journal
from optout.evidence.warc import SignalArchive
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optout.errors import EvidenceError
    from optout.evidence.canonical import JSON

    Row = Mapping[str, JSON]


class Ledger:
    """The writing end of a crawl's evidence."""

    def __init__(self, directory: Path, node: str, on_failure: Callable[[EvidenceError], None]) -> None:
        """Open the archive and the journal.

        Args:
            directory: holds `signals/` and `evidence/`; created when missing.
            node: the writer's name in both.
            on_failure: called once when the disk refuses.

        Raises:
            EvidenceError: another process writes there, or the disk refuses already.
        """
        self._archive = SignalArchive(directory / "signals", prefix=node)
        try:
            self._journal = Journal(directory / "evidence", node=node)
        except BaseException:
            self._archive.close()
            raise
        self._groups: Groups[Exchange | Row] = Groups(self._write, on_failure)

    def keep(self, exchange: Exchange) -> str:
        """Archive an exchange and give the identifier of its record.

        Raises:
            EvidenceError: the disk has refused already.
        """
        self._groups.add(exchange)
        return identifier_of(exchange)

    def add(self, row: Row) -> None:
        """Log a row.

        Raises:
            EvidenceError: the disk has refused already.
        """
        self._groups.add(row)

    async def durable(self) -> None:
        """Wait until everything so far is on the disk.

        Raises:
            EvidenceError: it will never be.
        """
        await self._groups.durable()

    async def close(self) -> None:
        """Write what is open, seal the archive's last file, and let go of the files.

        Raises:
            EvidenceError: the disk refuses.
        """
        try:
            await self._groups.durable()
        finally:
            await run_in_thread(self._close_files)

    def _write(self, entries: list[Exchange | Row]) -> None:
        rows = []
        for entry in entries:
            if isinstance(entry, Exchange):
                self._archive.write(entry)
            else:
                rows.append(entry)
        self._archive.commit()
        self._journal.append(rows)

    def _close_files(self) -> None:
        try:
            self._archive.close()
        finally:
            self._journal.close()
