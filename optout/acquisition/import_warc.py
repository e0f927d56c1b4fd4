"""Captures from WARC files: other people's archives, Common Crawl's robotstxt subset, and those of our own crawls.

In archives of our own (fields that begin with `Optout-`) documents are captured too; the list of exchanges that a
decision rested on tells whose they are.
"""

from __future__ import annotations

import json
import re
from base64 import b32encode
from collections import OrderedDict
from dataclasses import replace
from hashlib import md5, sha1, sha256
from io import SEEK_END
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from fastwarc.warc import ArchiveIterator, WarcRecordType

from optout.acquisition import coding, warc_ends
from optout.acquisition.imports import Fault, well_known
from optout.model import ASSET, RESOURCE, Exchange

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from fastwarc.warc import HeaderMap, WarcRecord

_ANSWERS = (WarcRecordType.response, WarcRecordType.revisit, WarcRecordType.metadata, WarcRecordType.unknown)
_LIST_TYPE = "application/json; profile=optout-exchanges"
_PAGES = frozenset({RESOURCE, ASSET})
_PREFIX = "x-archive-orig-"
_DIGESTS = {"sha1": sha1, "sha-1": sha1, "sha256": sha256, "sha-256": sha256, "md5": md5}
_LARGEST = 16_000_000
_LARGEST_HEAD = 1_000_000
_BODIES_REMEMBERED = 128_000_000
_EXCHANGES_REMEMBERED = 4_096
_PACKED = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
_PLAIN = b"WARC/1."
_CHUNK = 1 << 20
_FIRST_CHUNK = 1 << 12
_LINE_FEEDS = "lines of its HTTP head end in line feeds alone"
_FAULTS_BORNE = 10_000
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

Value = TypeVar("Value")


class _Damaged(Exception):
    """A record that is not what it says."""


class _Missed(_Damaged):
    """A record that refers to one that was not read."""


class _Cut(_Damaged):
    """A record that claims to be longer than the file, so that what follows would count as part of it."""


class _Memory(Generic[Value]):
    """The most recent values, up to a total weight."""

    def __init__(self, capacity: int) -> None:
        self._room = capacity
        self._values: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def put(self, key: str, value: Value, weight: int = 1) -> None:
        if key in self._values:
            return
        self._values[key] = value, weight
        self._room -= weight
        while self._room < 0:
            self._room += self._values.popitem(last=False)[1][1]

    def get(self, key: str) -> Value | None:
        found = self._values.get(key)
        return None if found is None else found[0]


class Reader:
    """Reads WARC files; a record may refer to one in a file that was read before.

    Attributes:
        at: how far the reader is in its file, in octets.
    """

    def __init__(self, roles: Sequence[str]) -> None:
        """Look for captures of these well-known paths."""
        self._roles = roles
        self.at = 0
        self._records = 0
        self._is_cut = False
        self._bodies: _Memory[tuple[bytes, bool]] = _Memory(_BODIES_REMEMBERED)
        self._exchanges: _Memory[Exchange] = _Memory(_EXCHANGES_REMEMBERED)

    def read(self, path: Path) -> Iterator[tuple[Exchange, ...] | Fault]:
        """Read one file; after damage, from the next place where a record begins."""
        with path.open("rb") as file:
            start: int | None = 0
            self._records = stretches = 0
            while start is not None and stretches < _FAULTS_BORNE:
                start = yield from self._stretch(file, start, path)
                stretches += 1
            if start is not None:
                yield Fault(str(path), f"byte {start}", "so many places are damaged that the rest is not read")

    def _stretch(
        self, file: BinaryIO, start: int, path: Path
    ) -> Generator[tuple[Exchange, ...] | Fault, None, int | None]:
        """Read until the end or the next damage; give the place to go on from."""
        file.seek(start)
        at, length = start, 0
        found: list[tuple[Exchange, ...] | Fault] = []
        empty: list[tuple[Exchange, ...] | Fault] = []
        try:
            for record in ArchiveIterator(file, parse_http=False):
                self._records += 1
                yield from empty
                at = self.at = record.stream_pos
                length = record.content_length
                self._is_cut = False
                found = list(self._record(record, f"byte {at}", path))
                if self._is_cut:
                    yield from found
                    return _next_record(file, at + 1)
                empty = found if any(map(_is_empty, found)) else []
                yield from () if empty else found
        except OSError as error:
            # What is not followed by a record has another length than it says; nothing shows how an empty one was cut.
            yield Fault(str(path), f"after byte {at}", str(error))
            return _next_record(file, at + 1)
        yield from empty
        if not self._records and file.seek(0, SEEK_END):
            yield Fault(str(path), "", "there is no WARC record in it")
        elif not any(isinstance(item, Fault) for item in found) and not warc_ends.ends_with(file, at, length):
            yield Fault(str(path), f"after byte {at}", "the file ends in mid-record")
        return None

    def _record(self, record: WarcRecord, place: str, path: Path) -> Iterator[tuple[Exchange, ...] | Fault]:
        if record.record_type == WarcRecordType.no_type:
            yield Fault(str(path), place, "the record's head is cut or names no type")
        if record.record_type not in _ANSWERS:
            return
        try:
            if record.headers.get("Content-Type") == _LIST_TYPE:
                yield from self._documents(json.loads(record.reader.read(_LARGEST)))
            elif (exchange := self._exchange(record)) is not None:
                self._exchanges.put(record.record_id or "", exchange)
                if exchange.role.startswith("/"):
                    yield (exchange,)
        except (_Damaged, ValueError, TypeError, KeyError, RecursionError) as error:
            self._is_cut = isinstance(error, _Cut)
            yield Fault(str(path), place, str(error) or type(error).__name__, isinstance(error, _Missed))

    def _documents(self, listed: list[dict[str, str]]) -> Iterator[tuple[Exchange, ...]]:
        """The exchanges that one decision rested on, where documents are among them."""
        found = [self._exchanges.get(entry["rec"]) or self._exchanges.get(f"<{entry['rec']}>") for entry in listed]
        visit = tuple(exchange for exchange in found if exchange is not None)
        if any(not exchange.role.startswith("/") for exchange in visit) and visit[0].role.startswith("/"):
            yield visit

    def _exchange(self, record: WarcRecord) -> Exchange | None:
        """The exchange of a record; None for what is no signal file."""
        fields = record.headers
        if "Content-Length" not in fields:
            raise _Damaged("the record's head is cut or has no Content-Length")
        if record.record_type == WarcRecordType.unknown:
            _pass_over(fields.get("WARC-Type") or "")
            return None
        said = fields.get("Optout-Role")
        url = _asked(record)
        if said is None:
            named = well_known(url, self._roles)
            if named is None or record.record_type == WarcRecordType.metadata:
                return None
            role, url = named
        elif (role := json.loads(said)) in _PAGES:
            return None
        if record.record_date is None:
            raise _Damaged(_no_time(fields.get("WARC-Date")))
        return self._filled(record, Exchange(url, role, fetched_at=record.record_date))

    def _filled(self, record: WarcRecord, begun: Exchange) -> Exchange:
        """With what came back."""
        fields = record.headers
        error = json.loads(fields.get("Optout-Error") or "null")
        redirects = tuple(json.loads(fields.get("Optout-Redirects") or "[]"))
        begun = replace(begun, error=error, redirects=redirects)
        if record.record_type == WarcRecordType.metadata:
            return begun
        http = _http(record)
        body, cut = self._body(record, http)
        status = http.status_code
        return replace(
            begun,
            # An archive that asked with a condition refers to the body it had; the file is there.
            status=200 if status == 304 else status,
            headers=_headers(record, http),
            body=body,
            truncated=cut or "WARC-Truncated" in fields,
        )

    def _body(self, record: WarcRecord, http: HeaderMap) -> tuple[bytes, bool]:
        digest = record.headers.get("WARC-Payload-Digest") or ""
        if record.record_type == WarcRecordType.revisit or http.status_code == 304:
            # The digest of a 304 may be that of its own body, and nothing has been seen of a file by that.
            says_nothing = http.status_code == 304 and _is_of_nothing(digest)
            keys = (record.headers.get("WARC-Refers-To") or "", "" if says_nothing else digest)
            known = next((kept for key in keys if key and (kept := self._bodies.get(key)) is not None), None)
            if known is None:
                raise _Missed("the record that it revisits is not in this file or one before it")
            return known
        received = record.reader.read(_LARGEST + 1)
        is_cut = len(received) > _LARGEST or "WARC-Truncated" in record.headers
        received = received[:_LARGEST]
        # Collectors remove codings and leave the fields that name them, as Common Crawl's did until 2018.
        whole = coding.unchunked(received, is_cut=is_cut) if coding.is_chunked(http) else received
        body, is_cut = coding.plain(whole, http, _LARGEST, is_cut=is_cut)
        if not is_cut:
            _check_digest(record.headers.get("WARC-Payload-Digest") or "", received, whole, body)
        is_cut = is_cut or coding.is_part(received, http)
        for key in filter(None, (digest, record.record_id)):
            self._bodies.put(key, (body, is_cut), len(body) + 200)
        return body, is_cut


def _no_time(said: str | None) -> str:
    return "no WARC-Date" if said is None else f"its WARC-Date is no time: {said[:40]!r}"


def _check_digest(said: str, *payloads: bytes) -> None:
    """Make sure that a payload is what its digest says, in any of the forms from which tools make one.

    Raises:
        _Damaged: it is none of them.
    """
    known = _digests(said, payloads)
    value = said.strip().partition(":")[2].lower()
    if len(value) in map(len, known) and value not in known:
        raise _Damaged("its payload is not what its WARC-Payload-Digest says")


def _is_of_nothing(said: str) -> bool:
    return said.strip().partition(":")[2].lower() in _digests(said, (b"",))


def _digests(said: str, payloads: Iterable[bytes]) -> set[str]:
    """The digests of payloads by the algorithm that one of them names, in both spellings; none by an unknown one."""
    make = _DIGESTS.get(said.strip().partition(":")[0].lower())
    made = [make(payload) for payload in payloads] if make is not None else []
    return {text for one in made for text in (one.hexdigest(), b32encode(one.digest()).decode().lower())}


def _is_empty(found: tuple[Exchange, ...] | Fault) -> bool:
    """Whether it is an answer that permits everything because nothing is in it."""
    return isinstance(found, tuple) and any(exchange.status == 200 and not exchange.body for exchange in found)


def _pass_over(kind: str) -> None:
    """A record of a type that somebody made up is none of ours; one whose type is no word at all is damaged."""
    if not _WORD.fullmatch(kind):
        raise _Damaged("its head is damaged")


def _asked(record: WarcRecord) -> str:
    said = record.headers.get("Optout-Requested-URI")
    if said is not None:
        return str(json.loads(said))
    return (record.headers.get("WARC-Target-URI") or "").strip("<> ")


def _http(record: WarcRecord) -> HeaderMap:
    """The HTTP head of a record; what can be read from the record after it is the body as it was received.

    Raises:
        OSError: it is too long.
        _Cut: the record ends before it says.
        _Damaged: there is none, or it cannot be told from the body.
    """
    block = _block(record)
    record.parse_http(auto_decode="none")
    # It is missing in some, whatever the library's types say.
    http = cast("HeaderMap | None", record.http_headers)
    if http is None or http.status_code is None:
        raise _Damaged("no HTTP response in it")
    head, end, _ = block.partition(b"\r\n\r\n")
    # The library takes what follows a line feed alone for part of the line: the body would be missing, and permit.
    if b"\n" in head.replace(b"\r\n", b""):
        raise _Damaged(_LINE_FEEDS)
    if not end:
        raise _Damaged("its HTTP head has no end")
    return http


def _block(record: WarcRecord) -> bytes:
    """What a record holds, left there to be read again; of a large one the beginning, in which there must be a head.

    Raises:
        _Cut: there is less of it than it says.
    """
    announced = record.content_length
    if announced > _LARGEST:
        # What is left out here is what comes behind the largest body that is looked at.
        record.set_bytes_content(record.reader.read(_LARGEST + _LARGEST_HEAD))
    else:
        record.freeze()
    block = record.reader.read()
    record.reader.seek(0)
    if len(block) < min(announced, _LARGEST + _LARGEST_HEAD):
        raise _Cut(f"cut in mid-record: {len(block)} of {announced} bytes")
    return block


def _headers(record: WarcRecord, http: HeaderMap) -> tuple[tuple[str, str], ...]:
    """The header fields; those that our archives rename get their names back."""
    if "Optout-Headers" in record.headers:
        return tuple((name, value) for name, value in json.loads(record.headers["Optout-Headers"]))
    return tuple((name[len(_PREFIX) :] if name.lower().startswith(_PREFIX) else name, value) for name, value in http)


def _next_record(file: BinaryIO, start: int) -> int | None:
    """The next place at or after `start` where a record could begin; None where there is none."""
    file.seek(0)
    begin = file.read(max(map(len, _PACKED)))
    mark = next((magic for magic in _PACKED if begin.startswith(magic)), _PLAIN)
    file.seek(start)
    ahead, size = b"", _FIRST_CHUNK
    while chunk := file.read(size):
        found = (ahead + chunk).find(mark)
        if found >= 0:
            return start - len(ahead) + found
        start += len(chunk)
        ahead, size = (ahead + chunk)[-len(mark) + 1 :], _CHUNK
    return None
