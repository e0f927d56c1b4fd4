"""The evidence of a crawl: exchanges in the archive first, then the rows that rest on them.

When the disk refuses, whoever waits is told, nothing more is accepted, and the crawl is stopped.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import run_in_thread

from crawler.groups import Groups
from optout.evidence.exchange_record import exchange_list, identifier_of, list_digest
from optout.evidence.ledger import SEAL_SECONDS, EvidenceLog
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawler.options import Options
    from crawler.row_form import Line
    from optout.acquisition.lists import Lists
    from optout.errors import EvidenceError
    from optout.evidence.canonical import JSON
    from optout.identity import Identity

    Row = Mapping[str, JSON]
    Exchanges = tuple[Exchange, ...]


class Ledger:
    """The writing end of a crawl's evidence."""

    def __init__(self, options: Options, on_failure: Callable[[EvidenceError], None]) -> None:
        """Open the log and the archive, and put on record what is in force.

        Args:
            options: say where, under which name, as whom and under which policy.
            on_failure: called once when the disk refuses.

        Raises:
            EvidenceError: another process writes there, or the disk refuses already.
        """
        self._ticked_at = datetime.now(UTC)
        self._log = EvidenceLog(options.directory / "evidence", node=options.node, now=self._ticked_at)
        try:
            self.identity = self._put_on_record(options)
        except BaseException:
            self._log.release()
            raise
        self._groups: Groups[Exchanges | Exchange | Line | Row] = Groups(self._write, on_failure)

    def _put_on_record(self, options: Options) -> str:
        policy, registry, agents = options.policy_texts
        self._log.document("policy", [policy], self._ticked_at, options.policy.digest)
        self._log.document("registry", [registry, agents], self._ticked_at, options.policy.registry_digest)
        if options.lists.descriptions:
            self._log.document("lists", [_lists_text(options.lists)], self._ticked_at)
        return self._log.document("identity", [_identity_text(options.identity)], self._ticked_at)

    def keep(self, exchanges: Exchanges) -> str:
        """Archive the exchanges that decisions rest on, and give the digest by which rows name them.

        Raises:
            EvidenceError: the disk has refused already.
        """
        self._groups.add(exchanges)
        return list_digest(exchange_list(exchanges))

    def keep_page(self, page: Exchange) -> str:
        """Archive what was seen of a page, and give the identifier of its record.

        Raises:
            EvidenceError: the disk has refused already.
        """
        self._groups.add(page)
        return identifier_of(page)

    def add(self, row: Line | Row) -> None:
        """Log a row, given as its fields or as what makes its line.

        Raises:
            EvidenceError: the disk has refused already.
        """
        self._groups.add(row)

    def check(self) -> None:
        """Make sure that rows can still be logged.

        Raises:
            EvidenceError: the disk has refused.
        """
        self._groups.check()

    async def durable(self) -> None:
        """Wait until everything so far is on the disk.

        Raises:
            EvidenceError: it will never be.
        """
        await self._groups.durable()

    async def close(self) -> None:
        """Write what is open, seal and sign everything, and let go of the files.

        Raises:
            EvidenceError: the disk refuses.
        """
        try:
            await self._groups.durable()
        except BaseException:
            await run_in_thread(self._log.release)
            raise
        await run_in_thread(self._log.close, datetime.now(UTC))

    def _write(self, entries: list[Exchanges | Exchange | Line | Row]) -> None:
        lines: list[Line] = []
        for entry in entries:
            if callable(entry):
                lines.append(entry)
            elif isinstance(entry, tuple):
                self._log.write_set(entry)
            elif isinstance(entry, Exchange):
                self._log.write(entry)
            else:
                self._log.add(entry)
        self._log.add_lines(lines)
        self._log.commit()
        now = datetime.now(UTC)
        if (now - self._ticked_at).total_seconds() >= SEAL_SECONDS:
            self._ticked_at = now
            # Pages wait for this thread, and sealing a minute's rows takes longer than they may.
            self._log.tick_soon(now)


def _lists_text(lists: Lists) -> bytes:
    """Which lists are in force, with issuer, legal basis, date, and the digests of their source and of their keys."""
    form = [description.json() for description in lists.descriptions]
    return json.dumps(form, indent=2, sort_keys=True).encode() + b"\n"


def _identity_text(identity: Identity) -> bytes:
    form = {"product_token": identity.token, "user_agent": identity.header}
    return json.dumps(form, indent=2, sort_keys=True).encode() + b"\n"
