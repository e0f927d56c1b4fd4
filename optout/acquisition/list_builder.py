"""Building the indexed form of a list in bounded memory, so that an interrupted import goes on where it stopped.

Keys are dealt out into files by their first byte, 256 for each kind of match; they are spread evenly, so each file
gets its share. Now and then everything is flushed and the place in the source is noted. At the end each file is sorted
by itself and put behind the one before: a list of a billion entries needs memory for four million.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from optout.syntax.list_index import KEY_BYTES, Directory, directory_bits, key_of
from optout.syntax.listing import Match

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optout.acquisition.list_forms import Entry

_SHARES = 256
_STATE = "state.json"
_SPILL_BYTES = 64 * 1024


@dataclass(slots=True)
class Progress:
    """How far the reading of a source is.

    Attributes:
        offset: bytes read.
        lines: lines read.
        faults: lines that could not be used.
        sizes: bytes in each file of keys, by its name.
    """

    offset: int = 0
    lines: int = 0
    faults: int = 0
    sizes: dict[str, int] = field(default_factory=dict)


class Written(NamedTuple):
    """What stands in a file: keys for each kind of match, bits of their directories, SHA-256 of the whole."""

    counts: tuple[int, ...]
    bits: tuple[int, ...]
    body: str


class Builder:
    """The keys of a list that is being imported, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        """Go on from what an interrupted import noted in the directory, or begin.

        Raises:
            OSError: the disk refuses.
        """
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.progress = self._restored()
        self._shares = {match: [bytearray() for _ in range(_SHARES)] for match in Match}

    def _restored(self) -> Progress:
        """What was noted; files are cut back to what they held then."""
        try:
            progress = Progress(**json.loads((self._directory / _STATE).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            progress = Progress()
        for path in self._directory.glob("*.keys"):
            os.truncate(path, progress.sizes.get(path.name, 0))
        return progress

    def add(self, entry: Entry) -> None:
        """Take an entry in."""
        key = key_of(entry.text)
        share = self._shares[entry.match][key[0]]
        share += key
        if len(share) >= _SPILL_BYTES:
            self._spill(entry.match, key[0])

    def _spill(self, match: Match, number: int) -> None:
        share = self._shares[match][number]
        with self._path(match, number).open("ab") as file:
            file.write(share)
        share.clear()

    def _path(self, match: Match, number: int) -> Path:
        return self._directory / f"{match}-{number:02x}.keys"

    def note(self) -> None:
        """Put everything on the disk and note how far the source has been read."""
        for match, shares in self._shares.items():
            for number in range(_SHARES):
                if shares[number]:
                    self._spill(match, number)
        self.progress.sizes = {path.name: path.stat().st_size for path in sorted(self._directory.glob("*.keys"))}
        temporary = self._directory / f"{_STATE}.part"
        temporary.write_text(json.dumps(asdict(self.progress)), encoding="ascii")
        temporary.replace(self._directory / _STATE)

    def write(self, file: BinaryIO) -> Written:
        """Write all keys, in order and each once, and their directories."""
        digest = sha256()
        counts = []
        bits = [directory_bits(self._added(match)) for match in Match]
        for match, width in zip(Match, bits, strict=True):
            directory, count = Directory(width), 0
            for keys in self._sorted(match):
                directory.add(keys)
                file.write(keys)
                digest.update(keys)
                count += len(keys) // KEY_BYTES
            numbers = directory.finish()
            file.write(numbers)
            digest.update(numbers)
            counts.append(count)
        return Written(tuple(counts), tuple(bits), digest.hexdigest())

    def _added(self, match: Match) -> int:
        """How many keys were added, some perhaps twice."""
        waiting = sum(len(share) for share in self._shares[match])
        return (waiting + sum(path.stat().st_size for path in self._directory.glob(f"{match}-*.keys"))) // KEY_BYTES

    def _sorted(self, match: Match) -> Iterator[bytes]:
        for number in range(_SHARES):
            path = self._path(match, number)
            keys = (path.read_bytes() if path.exists() else b"") + bytes(self._shares[match][number])
            if keys:
                yield _in_order(keys)

    def discard(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._directory)


def _in_order(keys: bytes) -> bytes:
    """Keys sorted and each once."""
    layout = pa.binary(KEY_BYTES)
    held = pa.FixedSizeBinaryArray.from_buffers(layout, len(keys) // KEY_BYTES, [None, pa.py_buffer(keys)])
    single = held.unique()
    ordered = single.take(pc.sort_indices(single))
    return bytes(ordered.buffers()[1].to_pybytes()[: len(ordered) * KEY_BYTES])
