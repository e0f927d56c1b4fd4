"""WebDataset: tar files in which the members of a sample follow each other and share the name up to the first dot."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optout.acquisition.files import FileReader
from optout.audit.formats.base import BATCH_BYTES, Batch, Columns, Report, Writer, page_exchange
from optout.audit.formats.objects import Objects, Row, Unclear, dates_at, numbers_at, texts_at, value_at
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

    def tell(self, columns: Columns, objects: Objects, fault: Report) -> Row:
        """What its JSON member says, and the URL of a member of that name; one that is unclear is not kept."""
        told: Row = {}
        for member, data in self.members:
            kind = _kind(member.name)
            if kind == "json":
                try:
                    told = objects.read(data) | told
                except Unclear as error:
                    fault(f"member {member.name[:200]!r}", str(error))
                    self.refused = True
            elif kind == "url":
                told[columns.url] = data.decode("utf-8", "replace").strip()
        objects.note(told)
        return told


class TarFormat:
    """WebDataset; a row is a sample. Nothing is ever unpacked to disk."""

    name = "tar"
    suffixes = (".tar", ".tar.gz", ".tgz")

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read samples as far as the file is whole."""
        samples: list[_Sample] = []
        size = 0
        objects = Objects(columns)
        with FileReader() as files:
            for sample in _samples(path, fault):
                samples.append(sample)
                size += sample.size
                if len(samples) >= SAMPLES or size >= BATCH_BYTES:
                    yield _batch(samples, [one.tell(columns, objects, fault) for one in samples], columns, files)
                    samples, size = [], 0
            if samples:
                yield _batch(samples, [one.tell(columns, objects, fault) for one in samples], columns, files)
        objects.tell(fault)

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
                self._out.addfile(_filled(member), io.BytesIO(data))


def _filled(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member as it is written: of a sparse file, the holes were read as zeros and are no holes any more."""
    if not member.issparse():
        return member
    whole = copy(member)
    whole.type, whole.sparse = tarfile.REGTYPE, None
    whole.pax_headers = {name: text for name, text in member.pax_headers.items() if name not in _OF_PACKED}
    return whole


_OF_PACKED = frozenset({"path", "size"}) | {
    f"GNU.sparse.{name}"
    for name in ("major", "minor", "name", "realsize", "size", "map", "numblocks", "offset", "numbytes")
}
"""Fields that tell about a sparse file as it is packed."""


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


def _batch(samples: Sequence[_Sample], told: Sequence[Row], columns: Columns, files: FileReader) -> Batch:
    urls = texts_at(told, columns.url)
    pages = {
        row: page
        for row, (sample, url) in enumerate(zip(samples, urls.to_pylist(), strict=True))
        if url is not None and (page := _page(sample, told[row], url, columns, files))
    }
    return Batch(
        urls=urls,
        raw=samples,
        dates=dates_at(told, columns.date),
        pages=pages,
        sizes=np.array([sample.size for sample in samples], np.int64),
        tokens=numbers_at(told, columns.tokens),
        languages=texts_at(told, columns.language),
        refused=frozenset(row for row, sample in enumerate(samples) if sample.refused),
    )


def _page(sample: _Sample, told: Row, url: str, columns: Columns, files: FileReader) -> tuple[Exchange, ...]:
    """What a sample's members are: a page with its header fields, and files that say something about themselves."""
    body = b""
    assets: list[Exchange] = []
    for member, data in sample.members:
        kind = _kind(member.name)
        if kind in _PAGES:
            body = data
        elif kind.rpartition(".")[2] not in _TEXTS:
            assets += files.read_bytes(url, data).exchanges
    html = value_at(told, columns.html)
    if isinstance(html, str) and not body:
        body = html.encode("utf-8", "replace")
    headers = headers_of(value_at(told, columns.headers))
    page = (page_exchange(url, body, headers),) if body or headers else ()
    return (*page, *assets)
