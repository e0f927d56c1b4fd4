"""Where the evidence log of an audit lies, and how it comes to an output folder in an object store.

A log is appended to in place and signed with a key that never leaves its machine, and an object store knows neither.
So where OUT is an object store, the log lies with the store of signals, and what may be published of it is copied to
OUT when the audit has come to its end. Whoever copies OUT then has a folder that `optout evidence verify` checks.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from optout.audit.storage import Remote
from optout.errors import EvidenceError
from optout.evidence.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.audit.storage import Location

FOLDER = "audits"
"""Of a store of signals: the logs of audits whose output lies elsewhere."""

_UNPUBLISHED = ("private", "pending")


def home_of(directory: Location, store: Path) -> Path:
    """The folder of this machine whose `evidence/` is the log of an output folder."""
    if isinstance(directory, Path):
        return directory
    readable = re.sub(r"[^A-Za-z0-9]+", "-", directory.url).strip("-")[:80]
    return store / FOLDER / f"{readable}-{sha256(directory.url.encode()).hexdigest()[:8]}"


def publish(home: Path, directory: Remote) -> None:
    """Copy what may be published of a log, the checkpoint last, because it speaks for all else.

    Raises:
        EvidenceError: the log of another machine is there, which this one neither goes on with nor writes over.
        UnreadableInput: the other file system does not take it.
    """
    log, there = Layout(home / "evidence"), directory / "evidence"
    said = there / log.description.name
    if said.is_file() and said.read_bytes() != log.description.read_bytes():
        mend = f"this audit's own log is {log.directory}; audit to another OUT, or from the machine that began this one"
        raise EvidenceError(f"{there} is the log of an audit from another machine", mend=mend)
    for path in (*_published(log), log.checkpoint):
        (there / path.relative_to(log.directory).as_posix()).put(path)


def _published(log: Layout) -> Iterator[Path]:
    for path in sorted(log.directory.rglob("*")):
        inside = path.relative_to(log.directory).parts[0]
        if path.is_file() and inside not in _UNPUBLISHED and path != log.checkpoint:
            yield path
