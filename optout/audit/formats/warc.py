"""WARC files; a row is a record of what a server sent."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from optout.acquisition import coding
from optout.acquisition.files import FileReader
from optout.acquisition.warc_ends import BLANK, record_end
from optout.audit.dates import NO_DATE, moment_of
from optout.audit.formats.base import BATCH_BYTES, Batch, Columns, Report, Writer, page_exchange
from optout.audit.reading import counted
from optout.errors import UnreadableInput
from optout.model import Exchange
from optout.syntax.sniff import HTML

RECORDS = 4_096
"""How many records a batch has at most."""

LARGEST_PAGE = 1 << 24
"""Bytes of a page that are read for its signals."""

_STEP = 1 << 20
_BREAK = re.compile(rb"\r?\n")

_ROWS = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion | WarcRecordType.revisit
_PAGES = ("text/html", "application/xhtml")


@dataclass(frozen=True, slots=True)
class _Span:
    """A record in its file.

    Attributes:
        start: the place of its first byte, or of the compressed member that it is.
        row: its number in the batch; None for a record that goes with others.
        url: its target; empty for none.
    """

    start: int
    row: int | None
    url: str


@dataclass(frozen=True, slots=True)
class _Spans:
    spans: Sequence[_Span]
    end: int


class WarcFormat:
    """WARC, plain or compressed record by record.

    A request or metadata record is kept with the response to the same URL in the same batch; a record without a
    target, such as `warcinfo`, is always kept. Bytes are copied as they are.
    """

    name = "warc"
    suffixes = (".warc", ".warc.gz", ".warc.zst")

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read records as far as the file is whole."""
        del columns
        gathered, last, broken = _Gathered(), None, ""
        with _opened(path) as stream, FileReader() as files:
            try:
                for record in _records(stream, path):
                    _check_alone(record.stream_pos, last, path)
                    last = record.stream_pos
                    if gathered.full and record.record_type & (_ROWS | WarcRecordType.request):
                        yield gathered.batch(record.stream_pos)
                        gathered = _Gathered()
                    gathered.add(record, files, fault)
            except _Broken as error:
                broken = f"cannot be read on: {error}"
            if gathered.spans:
                yield gathered.last(stream, broken, fault)

    @contextmanager
    def writer(self, source: Path, target: Path) -> Iterator[Writer]:
        """Copy the bytes of records."""
        with source.open("rb") as stream, target.open("wb") as out:
            yield _Copier(stream, out)


class _Copier:
    def __init__(self, source: IO[bytes], target: IO[bytes]) -> None:
        self._source, self._target = source, target

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        raw: Any = batch.raw
        wanted = {span.url for span in raw.spans if span.row is not None and kept[span.row]}
        places = [*(span.start for span in raw.spans), raw.end]
        for span, end in zip(raw.spans, places[1:], strict=True):
            follows = not span.url or span.url in wanted
            if kept[span.row] if span.row is not None else follows:
                self._source.seek(span.start)
                self._target.write(self._source.read(end - span.start))


class _Gathered:
    """Records that become a batch."""

    def __init__(self) -> None:
        self.spans: list[_Span] = []
        self._urls: list[str] = []
        self._dates: list[int] = []
        self._sizes: list[int] = []
        self._pages: dict[int, tuple[Exchange, ...]] = {}
        self._refused: set[int] = set()
        self._bytes = 0
        self._length = 0

    @property
    def full(self) -> bool:
        """Whether the next row should begin another batch."""
        return len(self.spans) >= RECORDS or self._bytes >= BATCH_BYTES

    def add(self, record: WarcRecord, files: FileReader, fault: Report) -> None:
        url = (record.headers.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
        self._length = record.content_length
        if not record.record_type & _ROWS:
            self.spans.append(_Span(record.stream_pos, None, url))
            return
        row = len(self._urls)
        self.spans.append(_Span(record.stream_pos, row, url))
        self._urls.append(url)
        self._sizes.append(record.content_length)
        moment = moment_of(record.headers.get("WARC-Date") or "")
        self._dates.append(NO_DATE if moment is None else int(moment.timestamp()))
        try:
            if not _whole(record):
                fault(f"record at byte {record.stream_pos}", "is cut off")
                self._refused.add(row)
            page = _page(record, url, files)
        except (OSError, ValueError, EOFError, zlib.error) as error:
            fault(f"record at byte {record.stream_pos}", f"its content cannot be read: {error}")
            self._refused.add(row)
            page = ()
        if page:
            self._pages[row] = page
            self._bytes += sum(len(item.body) for item in page)

    def last(self, stream: IO[bytes], broken: str, fault: Report) -> Batch:
        """The batch at the end of what can be read. What stands behind it was not judged, so it is not copied."""
        span = self.spans[-1]
        size = os.fstat(stream.fileno()).st_size
        end = record_end(stream, span.start, self._length)
        if broken or (span.row not in self._refused and (end is None or end < size)):
            fault("after the last record that was judged", broken or "what follows is no record")
        if end is None:
            end = span.start
            self.spans.pop()
            self._refused |= set() if span.row is None else {span.row}
        return self.batch(end)

    def batch(self, end: int) -> Batch:
        """The batch, which ends before a place in the file."""
        return Batch(
            urls=pa.array([url or None for url in self._urls], pa.string()),
            raw=_Spans(self.spans, end),
            dates=np.array(self._dates, np.int64),
            pages=self._pages,
            sizes=np.array(self._sizes, np.int64),
            refused=frozenset(self._refused),
        )


def _whole(record: WarcRecord) -> bool:
    """Whether a record has all its bytes; as many of them as are looked into are held for reading."""
    length = record.content_length
    block = record.reader.read(min(length, LARGEST_PAGE))
    left = length - len(block)
    while left > 0 and (more := record.reader.read(_STEP)):
        left -= len(more)
    record.set_bytes_content(_with_breaks(block) if record.is_http else block)
    return left <= 0


def _with_breaks(block: bytes) -> bytes:
    """An HTTP message with a head as the library wants it; some servers send line feeds alone (RFC 9112, 2.2)."""
    end = BLANK.search(block)
    if end is None or (
        end[0] == b"\r\n\r\n" and block.count(b"\n", 0, end.end()) == block.count(b"\r\n", 0, end.end())
    ):
        return block
    return _BREAK.sub(b"\r\n", block[: end.start()]) + b"\r\n\r\n" + block[end.end() :]


def _page(record: WarcRecord, url: str, files: FileReader) -> tuple[Exchange, ...]:
    """What a record holds: a page, or what a file says about itself.

    Raises:
        ValueError: its content cannot be read.
    """
    if record.record_type == WarcRecordType.conversion or not record.content_length:
        return ()
    status, headers, body = _answer(record)
    declared = (record.http_content_type or record.headers.get("Content-Type") or "").lower()
    is_page = declared.startswith(_PAGES) or (not declared and b"<" in body[:512])
    page = page_exchange(url, body if is_page else b"", headers, status)
    if is_page or not body or declared.startswith(("text/", "application/json", "application/http")):
        return (page,)
    found = files.read_bytes(url, body)
    if found.media_type == HTML:
        return (page_exchange(url, body, headers, status),)
    return (page, *found.exchanges)


def _answer(record: WarcRecord) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Status, header fields, and content without codings, which some archives have removed under the same fields."""
    if not record.is_http:
        return 200, (), record.reader.read(LARGEST_PAGE)
    record.parse_http(auto_decode="none")
    fields: Any = record.http_headers
    if fields is None or (fields.status_code is None and not fields.items()):
        raise ValueError("no HTTP response in it")
    headers = tuple((str(name), str(value)) for name, value in fields.items())
    is_cut = "WARC-Truncated" in record.headers or record.content_length > LARGEST_PAGE
    body = record.reader.read(LARGEST_PAGE)
    if coding.is_chunked(headers):
        body = coding.unchunked(body, is_cut=is_cut)
    return fields.status_code or 200, headers, coding.plain(body, headers, LARGEST_PAGE, is_cut=is_cut)[0]


def _check_alone(start: int, last: int | None, path: Path) -> None:
    """Make sure that a record can be copied without the one before it.

    Raises:
        UnreadableInput: they are compressed as one.
    """
    if start == last:
        mend = "compress it record by record (WARC 1.1, annex D): warcio recompress IN OUT"
        raise UnreadableInput(f"{path}: several records are compressed as one", mend=mend)


class _Broken(Exception):
    """What comes after some records is none."""


def _records(stream: IO[bytes], path: Path) -> Iterator[WarcRecord]:
    """The records up to the first that is broken.

    Raises:
        UnreadableInput: there is none, so that the file is no WARC.
        _Broken: there are others.
    """
    seen = False
    try:
        for record in ArchiveIterator(stream, parse_http=False, quirks_mode=True):
            seen = True
            yield record
    except (OSError, ValueError, EOFError, zlib.error) as error:
        if not seen:
            raise UnreadableInput(f"{path}: {error}", mend="the file is no WARC file") from error
        raise _Broken(error) from error
    if not seen and os.fstat(stream.fileno()).st_size:
        raise UnreadableInput(f"{path}: no record in it", mend="the file is no WARC file")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        stream = counted(path)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", mend="name a readable file") from error
    with stream:
        yield stream
