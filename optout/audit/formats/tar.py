"""WebDataset: tar files in which the members of a sample follow each other and share the name up to the first dot."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from optout.acquisition.files import FileReader
from optout.audit.dates import NO_DATE, seconds
from optout.audit.formats.base import BATCH_BYTES, Batch, Columns, Report, Writer, page_exchange
from optout.audit.formats.packed import packed, unpacked
from optout.audit.formats.pages import headers_of
from optout.errors import UnreadableInput
from optout.model import Exchange

SAMPLES = 4_096
"""How many samples a batch has at most."""

LARGEST_SAMPLE = 1 << 28
"""Bytes of a sample that are looked into; one that is larger is not kept."""

LARGEST_HEADER = 1 << 20
"""Bytes of a header with a long name or further fields; the library would read whatever it claims."""

_HEADERS = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_PAGES = frozenset({"html", "htm", "xhtml"})
_TEXTS = frozenset({"txt", "cls", "json", "url", "jsonl", "npy", "pt", "pth"})


@dataclass(slots=True)
class _Sample:
    """A sample: its members as they are, and what they tell."""

    key: str
    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)
    refused: bool = False
    size: int = 0

    def tell(self, columns: Columns) -> dict[str, Any]:
        """What its JSON member says, and the URL of a member of that name."""
        told: dict[str, Any] = {}
        for member, data in self.members:
            kind = _kind(member.name)
            if kind == "json":
                told = _object(data) | told
            elif kind == "url":
                told[columns.url] = data.decode("utf-8", "replace").strip()
        return told


class TarFormat:
    """WebDataset; a row is a sample. Nothing is ever unpacked to disk."""

    name = "tar"
    suffixes = (".tar", ".tar.gz", ".tgz")

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read samples as far as the file is whole."""
        samples: list[_Sample] = []
        size = 0
        with FileReader() as files:
            for sample in _samples(path, fault):
                samples.append(sample)
                size += sample.size
                if len(samples) >= SAMPLES or size >= BATCH_BYTES:
                    yield _batch(samples, columns, files)
                    samples, size = [], 0
            if samples:
                yield _batch(samples, columns, files)

    @contextmanager
    def writer(self, source: Path, target: Path) -> Iterator[Writer]:
        """Write the members as they were."""
        with (
            packed(source.name.lower(), target) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as out,
        ):
            yield _TarWriter(out)


class _TarWriter:
    def __init__(self, out: tarfile.TarFile) -> None:
        self._out = out

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        samples: Any = batch.raw
        for row in np.flatnonzero(kept):
            for member, data in samples[row].members:
                self._out.addfile(member, io.BytesIO(data))


class _Member(tarfile.TarInfo):
    """A member whose extended headers are read only where they are as small as headers are."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims to have {self.size} bytes")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


def _samples(path: Path, fault: Report) -> Iterator[_Sample]:
    """Samples in order; a member with a hostile name makes its sample one that is not kept."""
    sample: _Sample | None = None
    try:
        with unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            for member in tar:
                hostile = _hostile(member)
                if hostile:
                    fault(f"member {member.name[:200]!r}", hostile)
                if not member.isfile() and not hostile:
                    continue
                key = _key(member.name)
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = _Sample(key)
                sample.refused |= bool(hostile)
                _take(tar, member, sample, fault)
                # The library remembers every member that it has read; a file may have millions.
                tar.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        if sample is None:
            raise UnreadableInput(f"{path}: {error}", mend="the file is no tar file") from error
        fault(f"after {sample.key!r}", f"cannot be read on: {error}")
        sample.refused = True
    if sample is not None:
        yield sample


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, sample: _Sample, fault: Report) -> None:
    """Take a member into its sample, if it is a file and does not make the sample too large."""
    if not member.isfile():
        return
    if sample.size + member.size > LARGEST_SAMPLE:
        fault(f"member {member.name[:200]!r}", f"its {member.size} bytes make the sample larger than is looked into")
        sample.refused = True
    elif (content := tar.extractfile(member)) is not None:
        data = content.read()
        if len(data) < member.size:
            raise EOFError("the file ends in a member")
        sample.members.append((member, data))
        sample.size += len(data)


def _hostile(member: tarfile.TarInfo) -> str:
    """What is wrong with the name or kind of a member; empty where nothing is."""
    parts = member.name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or _DRIVE.match(member.name):
        return "its name leads out of the folder that it would be unpacked to"
    return "" if member.isfile() or member.isdir() else "a link or device, not a file"


_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _kind(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _batch(samples: Sequence[_Sample], columns: Columns, files: FileReader) -> Batch:
    told = [sample.tell(columns) for sample in samples]
    urls = [one.get(columns.url) for one in told]
    dates = [one.get(columns.date) for one in told]
    pages = {
        row: page
        for row, (sample, about) in enumerate(zip(samples, told, strict=True))
        if isinstance(urls[row], str) and (page := _page(sample, about, str(urls[row]), columns, files))
    }
    return Batch(
        urls=pa.array([url if isinstance(url, str) else None for url in urls], pa.string()),
        raw=samples,
        dates=np.array([NO_DATE if date is None else seconds(pa.array([date]))[0] for date in dates], np.int64),
        pages=pages,
        sizes=np.array([sample.size for sample in samples], np.int64),
        languages=pa.array([_text(one.get(columns.language)) for one in told], pa.string()),
        refused=frozenset(row for row, sample in enumerate(samples) if sample.refused),
    )


def _page(sample: _Sample, told: dict[str, Any], url: str, columns: Columns, files: FileReader) -> tuple[Exchange, ...]:
    """What a sample's members are: a page with its header fields, and files that say something about themselves."""
    body = b""
    assets: list[Exchange] = []
    for member, data in sample.members:
        kind = _kind(member.name)
        if kind in _PAGES:
            body = data
        elif kind.rpartition(".")[2] not in _TEXTS:
            assets += files.read_bytes(url, data).exchanges
    if isinstance(told.get(columns.html), str) and not body:
        body = told[columns.html].encode("utf-8", "replace")
    headers = headers_of(told.get(columns.headers))
    page = (page_exchange(url, body, headers),) if body or headers else ()
    return (*page, *assets)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
