"""Bringing in what others have captured: WARC files, Parquet files, and folders of either.

A file is read from beginning to end. It gives visits (exchanges that belong together), and faults where something is
damaged or is not what it says; after a fault it is read on from the next place where a record can begin. Pages and
other URLs that are no signal file are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from optout.errors import MalformedUrl
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optout.model import Exchange

WARC_SUFFIXES = (".warc", ".warc.gz", ".warc.zst", ".warc.lz4")
PARQUET_SUFFIXES = (".parquet", ".parq")

_SNIFFED = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read: the file, the place in it, and what is wrong."""

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        """Give the one line that people read."""
        return f"{self.file}: {self.place}: {self.what}" if self.place else f"{self.file}: {self.what}"


def read(paths: Iterable[Path], roles: Sequence[str]) -> Iterator[tuple[Exchange, ...] | Fault]:
    """Read files, and folders with all that is in them.

    Args:
        paths: WARC files, Parquet files, or folders.
        roles: the well-known paths whose captures are wanted.
    """
    # Each drags in a library that the other does not need.
    from optout.acquisition import import_parquet, import_warc  # noqa: PLC0415

    warc = import_warc.Reader(roles)
    for path, was_named in _files(paths):
        try:
            kind = _kind(path)
            if kind == "warc":
                yield from warc.read(path)
            elif kind == "parquet":
                yield from import_parquet.read(path, roles)
            elif was_named:
                yield Fault(str(path), "", "neither a WARC nor a Parquet file")
        except OSError as error:
            yield Fault(str(path), "", error.strerror or str(error))


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """The files, and whether they were named themselves; those of a folder come in order of name."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, True


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith(WARC_SUFFIXES):
        return "warc"
    if name.endswith(PARQUET_SUFFIXES):
        return "parquet"
    with path.open("rb") as file:
        begin = file.read(_SNIFFED)
    return {b"PAR1": "parquet", b"WARC": "warc"}.get(begin)


def well_known(url: str, roles: Sequence[str]) -> tuple[str, str] | None:
    """The role that a URL is of, and the URL in the form in which the store has it; None for any other URL."""
    try:
        parts = urlsplit(url)
        if parts.query or parts.path not in roles:
            return None
        return parts.path, origin_of(url).text + parts.path
    except (MalformedUrl, ValueError):
        return None
