"""Where the files of an evidence directory are.

```
evidence.json            what this directory is: format, the log's origin, where the archive of signals is
checkpoint               the newest signed checkpoint
policy.txt               the log's public keys and witnesses (C2SP tlog-policy)
tile/                    hashes and entries (C2SP tlog-tiles)
checkpoints/             checkpoints that a witness cosigned or an authority timestamped, by size
timestamps/              RFC 3161 tokens over them
segments/                sealed rows, one Parquet file each
documents/               the policy, registry and identity files in force, by SHA-256
pending/                 manifests that the log has not taken up yet
collected/               manifests that the log of another directory has taken up
<node>-….jsonl.zst       journals: rows that are not sealed yet
private/                 keys, salts and the signer's memory; never to be published
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence.canonical import decode, encode
from optout.evidence.files import create_durably

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "optout-evidence/1"

_SEGMENT = re.compile(r"(?P<node>[A-Za-z0-9][A-Za-z0-9._-]{0,63})-(?P<first>[0-9]{15})\.parquet\Z")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one evidence directory."""

    directory: Path

    @property
    def description(self) -> Path:
        """What this directory is."""
        return self.directory / "evidence.json"

    @property
    def checkpoint(self) -> Path:
        """The newest signed checkpoint."""
        return self.directory / "checkpoint"

    @property
    def policy(self) -> Path:
        """The log's public keys and witnesses."""
        return self.directory / "policy.txt"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints that somebody else has put their name to."""
        return self.directory / "checkpoints"

    @property
    def timestamps(self) -> Path:
        """Timestamp tokens."""
        return self.directory / "timestamps"

    @property
    def segments(self) -> Path:
        """Sealed rows."""
        return self.directory / "segments"

    @property
    def documents(self) -> Path:
        """Policy, registry and identity files."""
        return self.directory / "documents"

    @property
    def pending(self) -> Path:
        """Manifests that the log has not taken up yet."""
        return self.directory / "pending"

    @property
    def collected(self) -> Path:
        """Manifests that the log of another directory has taken up."""
        return self.directory / "collected"

    @property
    def private(self) -> Path:
        """Keys, salts and the signer's memory."""
        return self.directory / "private"


@dataclass(frozen=True, slots=True)
class Description:
    """What an evidence directory says of itself.

    Attributes:
        origin: the log's name.
        archive: the directory of archived signals, relative to the evidence directory.
    """

    origin: str
    archive: str


def segment_name(node: str, first_seq: int) -> str:
    """The name of a segment's file."""
    return f"{node}-{first_seq:015d}.parquet"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """Node and first sequence number of a segment's file; None for another file."""
    found = _SEGMENT.match(name)
    return (found["node"], int(found["first"])) if found else None


def write_description(layout: Layout, description: Description) -> Description:
    """Write what a new directory is, unless another process was quicker; give what is written there."""
    create_durably(layout.description, _written(description))
    return read_description(layout) or description


_RESTORE = "restore the file from a copy"


def read_description(layout: Layout) -> Description | None:
    """Read what this directory is; None where it is no evidence directory yet.

    Raises:
        EvidenceError: the file is damaged, or of a later version.
    """
    try:
        data = layout.description.read_bytes()
        said = decode(data.removesuffix(b"\n"))
        if said["format"] != FORMAT:
            mend = "use the version of optout that wrote it"
            raise EvidenceError(f"{layout.description} has the format {said['format']!r}", mend=mend)
        found = Description(str(said["origin"]), str(said["archive"]))
    except FileNotFoundError:
        return None
    except OSError as fault:
        mend = "name a directory that this process may read and write"
        raise EvidenceError(f"{layout.description} cannot be read", place=fault.strerror, mend=mend) from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise EvidenceError(f"{layout.description} is damaged", place=str(fault), mend=_RESTORE) from fault
    if data != _written(found):
        place = "it holds more or less than was written"
        raise EvidenceError(f"{layout.description} is damaged", place=place, mend=_RESTORE)
    return found


def _written(description: Description) -> bytes:
    """The bytes of a description; nobody signs them, so nothing else may pass for them."""
    said = {"archive": description.archive, "format": FORMAT, "origin": description.origin}
    return encode(said) + b"\n"


def find(directory: Path) -> Layout:
    """The evidence directory that is meant: the one given, or the `evidence` in it.

    Raises:
        EvidenceError: there is none.
    """
    for candidate in (directory, directory / "evidence"):
        if (candidate / "evidence.json").exists() or any(candidate.glob("*.head")):
            return Layout(candidate)
    raise EvidenceError(f"{directory} holds no evidence", mend="name a crawl's directory or its evidence directory")


def each_once(directories: Iterable[Path]) -> list[Path]:
    """The directories without those whose log was named before, so that nothing in it is counted twice.

    A crawl's directory stays rather than the evidence directory in it, since pages stand beside that.

    Raises:
        EvidenceError: a directory holds no evidence.
    """
    found: dict[Path, Path] = {}
    for directory in directories:
        place = find(directory).directory.resolve()
        if place not in found or found[place].resolve() == place:
            found[place] = directory
    return list(found.values())
