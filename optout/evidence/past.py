"""What a site said on a day in the past, as an interval.

Nobody saw the site at every moment. What can be said is: the last capture before that moment, the first one after
it, and whether both have the same digest. If they have, the site very likely said that in between; if not, it
changed at an unknown moment in between.

Captures come from our own archive, and from files that others made: CDX as the Wayback Machine's CDX server gives
it (JSON or text), CDXJ, and WARC files such as Common Crawl's `robotstxt` subset.
"""

from __future__ import annotations

from base64 import b32encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import TYPE_CHECKING, Any

import orjson
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from optout.errors import EvidenceError
from optout.evidence import cdxj, warc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_DIGITS = "%Y%m%d%H%M%S"
_CDX_FIELDS = ("urlkey", "timestamp", "original", "mimetype", "statuscode", "digest", "length")


@dataclass(frozen=True, slots=True, order=True)
class Capture:
    """One look at a resource.

    Attributes:
        at: when, in UTC.
        url: what was asked for.
        status: the HTTP status; None where nobody noted it or no response came.
        digest: the base32 SHA-1 of the payload, by which archives compare; empty where there was none.
        source: the file that says so.
        record: the identifier or place of the archived record there.
    """

    at: datetime
    url: str
    status: int | None
    digest: str
    source: str
    record: str


@dataclass(frozen=True, slots=True)
class Interval:
    """What is known about a resource at a moment.

    Attributes:
        moment: the moment.
        before: the last capture at or before it.
        after: the first capture after it.
    """

    moment: datetime
    before: Capture | None
    after: Capture | None

    @property
    def unchanged(self) -> bool | None:
        """Whether both captures have the same bytes and, as far as it was noted, status; None where one is missing."""
        if self.before is None or self.after is None:
            return None
        statuses = {self.before.status, self.after.status} - {None}
        return self.before.digest == self.after.digest and len(statuses) < 2


def as_of(captures: Iterable[Capture], moment: datetime) -> Interval:
    """The captures on either side of a moment."""
    before: Capture | None = None
    after: Capture | None = None
    for capture in captures:
        if capture.at <= moment and (before is None or capture.at > before.at):
            before = capture
        if capture.at > moment and (after is None or capture.at < after.at):
            after = capture
    return Interval(moment, before, after)


def captures_of(url: str, sources: Iterable[Path]) -> Iterator[Capture]:
    """Every capture of a URL in these files and directories.

    A directory is an archive of ours. A file is a WARC file, or a CDX or CDXJ index, by its name.

    Raises:
        EvidenceError: a file cannot be read.
    """
    key = cdxj.sort_key(url)
    for source in sources:
        yield from (capture for capture in _captures(source, key) if cdxj.sort_key(capture.url) == key)


def _captures(source: Path, key: str) -> Iterator[Capture]:
    try:
        if source.is_dir():
            yield from _from_archive(source, key)
        elif source.name.endswith((".warc", ".warc.gz")):
            yield from _from_warc(source)
        else:
            yield from _from_index(source)
    except (OSError, ArchiveLoadFailed) as fault:
        raise EvidenceError(f"{source} cannot be read", place=str(fault)) from fault


def _from_archive(directory: Path, key: str) -> Iterator[Capture]:
    for path in warc.archive_files(directory):
        if warc.index_path(path).exists():
            entries = warc.read_index(path)
        else:
            located = (found for found in warc.iterate(path) if isinstance(found, warc.Located))
            entries = (entry for found in located for entry in warc.index_entries(found))
        for entry in entries:
            if entry.key == key and entry.fields["url"] == entry.fields["requested"]:
                yield _from_entry(entry, str(path))


def _from_entry(entry: cdxj.Entry, source: str) -> Capture:
    fields = entry.fields
    status = str(fields.get("status", ""))
    return Capture(
        at=datetime.strptime(entry.timestamp, _DIGITS).replace(tzinfo=UTC),
        url=str(fields.get("requested", fields.get("url", ""))),
        status=int(status) if status.isascii() and status.isdigit() else None,
        digest=_sha1(str(fields.get("sha1", fields.get("digest", "")))),
        source=source,
        record=str(fields.get("rec", f"{fields.get('filename', '')}@{fields.get('offset', '')}")),
    )


def _from_warc(path: Path) -> Iterator[Capture]:
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type not in {"response", "revisit"} or record.http_headers is None:
                continue
            status = record.http_headers.get_statuscode()
            body = record.content_stream().read()
            yield Capture(
                at=datetime.fromisoformat(record.rec_headers.get_header("WARC-Date")).astimezone(UTC),
                url=record.rec_headers.get_header("WARC-Target-URI"),
                status=int(status) if status.isdigit() else None,
                digest=_sha1(record.rec_headers.get_header("WARC-Payload-Digest") or "") or _base32(body),
                source=str(path),
                record=(record.rec_headers.get_header("WARC-Record-ID") or "").strip("<>"),
            )


def _from_index(path: Path) -> Iterator[Capture]:
    """CDX and CDXJ in the forms that are in use."""
    data = path.read_bytes()
    if data.lstrip().startswith(b"["):
        yield from _from_cdx_json(path, data)
        return
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"CDX "):
            continue
        try:
            if line.endswith(b"}"):
                yield _from_entry(cdxj.parse(line), str(path))
            else:
                fields = line.decode("utf-8", "replace").split()
                yield _from_fields(dict(zip(_CDX_FIELDS, fields, strict=False)), str(path))
        except (ValueError, KeyError) as fault:
            raise EvidenceError(f"{path} is no index of captures", place=f"line {number}") from fault


def _from_cdx_json(path: Path, data: bytes) -> Iterator[Capture]:
    try:
        (*names,), *rows = orjson.loads(data)
        for row in rows:
            yield _from_fields(dict(zip(names, row, strict=True)), str(path))
    except (ValueError, KeyError, TypeError) as fault:
        raise EvidenceError(f"{path} is no answer of a CDX server", place=str(fault)) from fault


def _from_fields(fields: dict[str, Any], source: str) -> Capture:
    status = str(fields.get("statuscode", ""))
    return Capture(
        at=datetime.strptime(fields["timestamp"], _DIGITS).replace(tzinfo=UTC),
        url=fields["original"],
        status=int(status) if status.isascii() and status.isdigit() else None,
        digest=_sha1(str(fields.get("digest", ""))),
        source=source,
        record=f"{fields['timestamp']}/{fields['original']}",
    )


def _sha1(digest: str) -> str:
    """A base32 SHA-1 without its label; empty for a digest of another kind."""
    bare = digest.removeprefix("sha1:")
    return bare if len(bare) == 32 else ""


def _base32(body: bytes) -> str:
    return b32encode(sha1(body, usedforsecurity=False).digest()).decode()
