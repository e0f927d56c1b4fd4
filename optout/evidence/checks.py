"""What the steps of a verification share: what is given, and what earlier steps have found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.entries import ROTATION
from optout.evidence.keystore import KeyStore
from optout.evidence.note import parse_verifier
from optout.evidence.tlog import TILE_WIDTH, bundle_path
from optout.model import Exchange

if TYPE_CHECKING:
    from datetime import datetime

    from optout.evidence.checkpoint import Opened
    from optout.evidence.layout import Description, Layout
    from optout.evidence.log import LogReader
    from optout.evidence.note import VerifierKey
    from optout.evidence.trust import TrustPolicy

Replay = Callable[[Mapping[str, Any], Sequence[Exchange]], Mapping[str, Any]]
"""Reads and decides again: a row and the exchanges that it rests on → the fields that the row should have."""

Repeat = Callable[[Mapping[str, Any], Path], int]
"""Judges the rows of a decision shard again: what the audit was asked and the shard's file → how many rows it repeated.
It raises `Differs` at a row that comes out otherwise, and EvidenceError where the rows cannot be judged again."""


class Differs(Exception):
    """Judged again, a row comes out otherwise: its place, and what differs."""

    def __init__(self, place: str, what: str) -> None:
        """Tell the place and the difference."""
        super().__init__(what)
        self.place = place


@dataclass(slots=True)
class Named:
    """Where rows name something: where first, and whether only rows do whose URL has been erased."""

    file: str
    place: str
    erased: bool


@dataclass(slots=True)
class Evidence:
    """An evidence directory under verification.

    Attributes:
        layout: where everything is.
        trusted: the log's keys as the verifier knows them.
        known: checkpoints that the verifier kept.
        witnesses: public keys of witnesses that the verifier wants to have cosigned.
        replay: reads and decides again.
        now: the time, where it is known.
        authorities: trusted timestamp authorities.
        repeat: judges the rows of an audit again.
        description: what the directory says it is.
        policy: the policy file of the directory.
        opened: the newest checkpoint, once its signatures have been verified.
        keys: every key of the log that the trusted ones lead to.
        reader: the log's tiles, once they have been found to give the signed root.
        entries: the log's entries, by index.
        lists: the lists of exchanges that rows name, with where they do.
        records: the records that rows name by themselves, with where they do.
        waiting: entries that the log has not taken up yet, in the order in which it will.
        sound: whether every file can be opened without harm.
        unread: whether there are rows that could not be read.
    """

    layout: Layout
    trusted: tuple[VerifierKey, ...]
    known: tuple[bytes, ...]
    witnesses: tuple[VerifierKey, ...]
    replay: Replay | None
    now: datetime | None
    authorities: tuple[bytes, ...]
    repeat: Repeat | None = None
    description: Description | None = None
    policy: TrustPolicy | None = None
    opened: Opened | None = None
    keys: tuple[VerifierKey, ...] = ()
    reader: LogReader | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)
    lists: dict[str, Named] = field(default_factory=dict)
    records: dict[str, Named] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    sound: bool = True
    unread: bool = False
    _archived: ArchiveReader | None = None

    @property
    def store(self) -> KeyStore:
        """What is private; it may not be there."""
        return KeyStore(self.layout.private)

    @property
    def archive(self) -> Path | None:
        """The directory of archived signals."""
        if self.description is not None:
            return self.layout.directory / self.description.archive
        beside = self.layout.directory / "../signals"
        return beside if beside.exists() else None

    @property
    def archived(self) -> ArchiveReader:
        """The archive, read from its files without believing any index."""
        if self._archived is None:
            self._archived = ArchiveReader.scanned(self.archive) if self.archive else ArchiveReader(Path(), {})
        return self._archived

    def of_type(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """The entries of one type, with their indexes."""
        return [(index, entry) for index, entry in enumerate(self.entries) if entry.get("v") == kind]

    def all_log_keys(self) -> list[VerifierKey]:
        """The keys that the log ever named as its own, retired ones too."""
        return [parse_verifier(text) for _, entry in self.of_type(ROTATION) for text in [*entry["old"], *entry["new"]]]

    def bundle_of(self, index: int) -> str:
        """The file that an entry of the log stands in."""
        size = self.opened.checkpoint.size if self.opened else 0
        bundle = index // TILE_WIDTH
        names = (bundle_path(bundle, max(1, min(TILE_WIDTH, size - bundle * TILE_WIDTH))), bundle_path(bundle))
        return next((name for name in names if (self.layout.directory / name).exists()), names[0])

    def name(self, path: Path) -> str:
        """A file as the report names it."""
        try:
            return str(path.relative_to(self.layout.directory))
        except ValueError:
            return str(path)
