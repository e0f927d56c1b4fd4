"""Declaring a loss: when acknowledged rows are gone for good, the log says so and goes on behind them.

A journal that ends before its head says, or is damaged before its end, is refused, because nothing explains that but a
broken disk or somebody's hand. Where no copy is left, this seals what can still be read, and logs a `gap` for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence import entries, journal, sealing
from optout.evidence.files import disk_errors, locked
from optout.evidence.journal import GENESIS, Tip
from optout.evidence.log import BusyError
from optout.evidence.publisher import Publisher
from optout.evidence.rows import microseconds

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout


def declare(layout: Layout, store: KeyStore, origin: str, node: str, *, reason: str, now: datetime) -> int:
    """Seal what is left of a node's journal, log the rest as lost, and give the number of lost rows.

    Args:
        layout: where everything is.
        store: keeps the salts.
        origin: the log's name.
        node: whose rows are lost.
        reason: what happened, for everybody to read.
        now: the time.

    Raises:
        EvidenceError: nothing is missing, nobody knows how much is, the node or the log is in use, or the disk refuses.
    """
    publisher = Publisher(layout, store, origin)
    with locked(layout.directory / f"{node}.lock", f"the node {node} is in use", "wait until it ends"):
        try:
            if not publisher.acquire():
                raise BusyError("another process writes the log", mend="wait until it ends")
            publisher.take_up()
            head = journal.read_head(layout.directory, node)
            if head is None:
                raise EvidenceError(f"{node}.head is missing or damaged, so nobody knows how many rows there were")
            tip = _salvaged(layout, store, node, publisher.index.tips.get(node, Tip(0, GENESIS)))
            publisher.take_up()
            lost = head.next_seq - tip.next_seq
            if lost <= 0:
                raise EvidenceError(f"no row of {node} is missing")
            entry = entries.gap(node, tip.next_seq, lost, reason, microseconds(now))
            publisher.append(entry | {"chain": head.chain.hex()})
            publisher.sign(int(now.timestamp()))
            return lost
        finally:
            publisher.close()


def _salvaged(layout: Layout, store: KeyStore, node: str, tip: Tip) -> Tip:
    """Seal the whole frames that continue what is sealed, put everything behind them aside, and give where they end."""
    whole = True
    for path in journal.journal_files(layout.directory, node):
        if path.name < journal.file_name(node, tip.next_seq):
            path.unlink()
            continue
        frames, damage = journal.scan(path, tip) if whole else ([], None)
        if not frames:
            _put_aside(path)
        elif damage is not None:
            journal.set_aside(path, damage.offset)
        if frames:
            sealing.seal_file(layout, store, node, path)
            tip = frames[-1].after
        whole = bool(frames) and damage is None
    return tip


def _put_aside(path: Path) -> None:
    with disk_errors(path):
        path.rename(path.with_suffix(".0.torn"))
