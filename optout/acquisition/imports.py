"""Bringing in what others have captured: WARC files, Parquet files, saved signal files, and folders of all these.

A file is read from beginning to end. It gives visits (exchanges that belong together), and faults where something is
damaged or is not what it says; after a fault it is read on from the next place where a record can begin. Pages and
other URLs that are no signal file are passed over. A file that has been read without a fault is named by a mark, so
that it need not be read again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from optout.errors import MalformedUrl
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from optout.model import Exchange

WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".warc.lz4")
PARQUET_SUFFIXES = (".parquet", ".parq")
INDEX_SUFFIXES = (".cdx", ".cdxj", ".cdx.gz")
ARC_SUFFIXES = (".arc", ".arc.gz")

_SNIFFED = 4
_SKEW = timedelta(days=1)
_MEND = {
    INDEX_SUFFIXES: "an index holds no bodies; bring in the WARC records that it points to",
    ARC_SUFFIXES: "an ARC file; convert it first: warcio recompress IN.arc.gz OUT.warc.gz",
}
_UNKNOWN = "neither a WARC nor a Parquet file, nor a signal file under the name of its host (HOST/robots.txt)"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read: the file, the place in it, and what is wrong.

    Attributes:
        file: its name.
        place: where in it; empty for the whole file.
        what: what is wrong.
        missed: whether it would be right if a file before this one had been read.
    """

    file: str
    place: str
    what: str
    missed: bool = False

    def __str__(self) -> str:
        """Give the one line that people read."""
        return f"{self.file}: {self.place}: {self.what}" if self.place else f"{self.file}: {self.what}"


class Whole(NamedTuple):
    """A file has been read to its end without a fault; the mark names it, its size and its date."""

    mark: str


class Skipped(NamedTuple):
    """A file was not read, because its mark is known."""

    file: str


class _Reader(Protocol):
    """Reads files of one kind.

    Attributes:
        at: how far the reader is in its file, in octets.
    """

    at: int

    def read(self, path: Path) -> Iterator[tuple[Exchange, ...] | Fault]:
        """Read one file."""
        ...


class Import:
    """Files, and folders with all that is in them.

    Attributes:
        total: octets of all files.
    """

    def __init__(self, paths: Iterable[Path], roles: Sequence[str]) -> None:
        """List files.

        Args:
            paths: WARC files, Parquet files, signal files, or folders.
            roles: the well-known paths whose captures are wanted.
        """
        # Each drags in a library that the other does not need.
        from optout.acquisition import import_parquet, import_saved, import_warc  # noqa: PLC0415

        self._roles = roles
        self._readers: dict[str, _Reader] = {
            "warc": import_warc.Reader(roles),
            "parquet": import_parquet.Reader(roles),
            "saved": import_saved.Reader(roles),
        }
        self._files = list(_files(paths))
        self._behind = 0
        self._reading: _Reader | None = None
        self.total = sum(size for _, _, size in self._files)

    @property
    def done(self) -> int:
        """How many octets have been read."""
        return self._behind + (self._reading.at if self._reading is not None else 0)

    def read(
        self, is_marked: Callable[[str], bool] = lambda _: False
    ) -> Iterator[tuple[Exchange, ...] | Fault | Whole | Skipped]:
        """Read everything, except the files whose marks are known."""
        self._behind = 0
        for path, was_named, size in self._files:
            try:
                yield from self._file(path, is_marked, was_named=was_named)
            except OSError as error:
                yield Fault(str(path), "", error.strerror or str(error))
            self._reading = None
            self._behind += size

    def _file(
        self, path: Path, is_marked: Callable[[str], bool], *, was_named: bool
    ) -> Iterator[tuple[Exchange, ...] | Fault | Whole | Skipped]:
        kind = _kind(path, self._roles)
        if kind is None:
            if was_named:
                yield Fault(str(path), "", _why_not(path))
            return
        mark = _mark(path, self._roles)
        if is_marked(mark):
            yield Skipped(str(path))
            return
        self._reading = self._readers[kind]
        self._reading.at = 0
        whole = True
        for item in self._reading.read(path):
            found = item if isinstance(item, Fault) else _dated(item, path)
            whole = whole and not isinstance(found, Fault)
            yield found
        if whole:
            yield Whole(mark)


def _dated(visit: tuple[Exchange, ...], path: Path) -> tuple[Exchange, ...] | Fault:
    """A visit, unless it was made in the future: that would pass for the newest state until then."""
    latest = max(exchange.fetched_at for exchange in visit if exchange.fetched_at is not None)
    if latest <= datetime.now(UTC) + _SKEW:
        return visit
    return Fault(str(path), visit[0].url, f"its date, {latest:%Y-%m-%d}, is in the future")


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool, int]]:
    """The files, whether they were named themselves, and their sizes; those of a folder come in order of name."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False, file.stat().st_size) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, True, path.stat().st_size if path.is_file() else 0


def _kind(path: Path, roles: Sequence[str]) -> str | None:
    name = path.name.lower()
    if name.endswith(WARC_SUFFIXES):
        return "warc"
    if name.endswith(PARQUET_SUFFIXES):
        return "parquet"
    if role_of(path, roles) is not None:
        return "saved"
    with path.open("rb") as file:
        begin = file.read(_SNIFFED)
    return {b"PAR1": "parquet", b"WARC": "warc"}.get(begin)


def role_of(path: Path, roles: Iterable[str]) -> str | None:
    """The well-known path with which a file's name ends; the longest, because some are the end of others."""
    name = path.as_posix()
    return max((role for role in roles if name.endswith(role)), key=len, default=None)


def _why_not(path: Path) -> str:
    name = path.name.lower()
    return next((mend for suffixes, mend in _MEND.items() if name.endswith(suffixes)), _UNKNOWN)


def _mark(path: Path, roles: Sequence[str]) -> str:
    """What names a file as it is now, read for these roles."""
    stat = path.stat()
    name = os.fsencode(path.resolve()).hex()
    return sha256(json.dumps([name, stat.st_size, stat.st_mtime_ns, sorted(roles)]).encode()).hexdigest()


def well_known(url: str, roles: Sequence[str]) -> tuple[str, str] | None:
    """The role that a URL is of, and the URL in the form in which the store has it; None for any other URL."""
    try:
        parts = urlsplit(url)
        if parts.query or parts.path not in roles:
            return None
        return parts.path, origin_of(url).text + parts.path
    except (MalformedUrl, ValueError):
        return None
