"""An exchange as WARC 1.1 records, and back, without losing anything that a decision could rest on.

A response becomes a `request` and a `response` record, or a `revisit` record where the same bytes are archived
already; a fetch without a response becomes a `request` and a `metadata` record. Fields of ours start with
`Optout-`. The archived body has its content codings removed, so the header fields that would make a reader
remove them again are renamed with the prefix `X-Archive-Orig-`, and renamed back on reading.

The record's identifier is computed from everything the exchange holds. A row that names the identifier therefore
commits not only to the body but to status, header fields, redirects and times as well.
"""

from __future__ import annotations

import json
from base64 import b32encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1, sha256
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

from optout.errors import EvidenceError
from optout.evidence.canonical import encode
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REVISIT_PROFILE = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"

LIST_TYPE = "application/json; profile=optout-exchanges"
"""The content type of a list of exchanges."""

_RENAMED = ("content-encoding", "transfer-encoding", "content-length")
_PREFIX = "X-Archive-Orig-"
_MICROSECONDS = "%Y-%m-%dT%H:%M:%S.%fZ"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One WARC record: its kind, named fields and block."""

    kind: str
    fields: Mapping[str, str]
    block: bytes

    @property
    def identifier(self) -> str:
        """The record's identifier, without angle brackets."""
        return self.fields["WARC-Record-ID"].strip("<>")

    @property
    def bytes(self) -> bytes:
        """The record as it stands in an uncompressed WARC file (WARC 1.1 section 4)."""
        lines = [f"{name}: {value}" for name, value in self.fields.items()]
        head = "\r\n".join(["WARC/1.1", f"WARC-Type: {self.kind}", *lines, f"Content-Length: {len(self.block)}"])
        return head.encode() + b"\r\n\r\n" + self.block + b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Earlier:
    """An archived response with the same body."""

    identifier: str
    url: str
    date: str


def identifier_of(exchange: Exchange) -> str:
    """The record identifier that belongs to an exchange: a version 8 UUID of its SHA-256 (RFC 9562 section 5.8)."""
    return _identifier("exchange", exchange)


def content_digest(exchange: Exchange) -> bytes:
    """The SHA-256 of everything that an exchange holds, of which its identifier shows the beginning."""
    return _described("exchange", exchange)


def records(exchange: Exchange, earlier: Earlier | None) -> tuple[Record, ...]:
    """The records of an exchange: what came back first, then what was sent.

    Args:
        exchange: what one fetch saw; `fetched_at` must be known and aware.
        earlier: where the same body is archived already; None writes the body.

    Raises:
        EvidenceError: nothing was fetched, or nobody knows when.
    """
    if exchange.fetched_at is None or exchange.fetched_at.tzinfo is None:
        raise EvidenceError(f"the exchange with {exchange.url} has no time in UTC", mend="set fetched_at")
    if exchange.status is None and (exchange.error is None or exchange.headers or exchange.body):
        raise EvidenceError(f"the exchange with {exchange.url} has no status", mend="archive only what was fetched")
    answer = _failure(exchange) if exchange.status is None else _response(exchange, earlier)
    return answer, _request(exchange)


def exchange_list(exchanges: Iterable[Exchange]) -> list[dict[str, str]]:
    """The list of exchanges that a decision rests on: the role, the record, and digests of body and of everything."""
    return [
        {"k": item.role, "rec": identifier_of(item), "body": item.digest, "whole": content_digest(item).hex()}
        for item in exchanges
    ]


def list_digest(listed: Sequence[Mapping[str, str]]) -> str:
    """The SHA-256 of a list of exchanges, by which rows name it."""
    return sha256(encode(listed)).hexdigest()


def list_record(listed: Sequence[Mapping[str, str]], exchanges: Sequence[Exchange]) -> Record:
    """The record of a list of exchanges; its time is that of the first."""
    digest = list_digest(listed)
    first = _common(exchanges[0], exchanges[0].url, list_identifier(digest))
    fields = {
        "WARC-Record-ID": first["WARC-Record-ID"],
        "WARC-Target-URI": f"urn:sha256:{digest}",
        "WARC-Date": first["WARC-Date"],
        "Content-Type": LIST_TYPE,
    }
    return _with_block("metadata", fields, encode(listed))


def list_identifier(digest: str) -> str:
    """The record identifier of the list with a SHA-256."""
    return _uuid(bytes.fromhex(digest))


def is_list(record: Record) -> bool:
    """Whether a record holds a list of exchanges."""
    return record.fields.get("Content-Type") == LIST_TYPE


def exchange_of(answer: Record, request: Record | None, body: bytes) -> Exchange:
    """The exchange that records were made from.

    Args:
        answer: the `response`, `revisit` or `metadata` record.
        request: the `request` record that it is concurrent to.
        body: the payload; that of the earlier response for a revisit.

    Raises:
        ValueError: these are not records that `records` makes.
    """
    fields = answer.fields
    status, headers = _parse_response(answer)
    redirects = tuple(json.loads(fields.get("Optout-Redirects", "[]")))
    return Exchange(
        url=_asked(answer),
        role=json.loads(fields["Optout-Role"]),
        status=status,
        headers=headers,
        body=body,
        redirects=redirects,
        error=json.loads(fields.get("Optout-Error", "null")),
        fetched_at=datetime.strptime(fields["WARC-Date"], _MICROSECONDS).replace(tzinfo=UTC),
        truncated="WARC-Truncated" in fields,
        request_headers=() if request is None else _headers_of(request),
    )


def requested_url(record: Record) -> str:
    """The URL that was asked for, in the form that a WARC field can carry."""
    return _uri(_asked(record))


def payload_of(record: Record) -> bytes:
    """What follows the HTTP header section of a record's block."""
    return record.block.partition(b"\r\n\r\n")[2]


def payload_digest(body: bytes) -> str:
    """The payload digest as the archive writes it."""
    return f"sha256:{sha256(body).hexdigest()}"


def base32_sha1(body: bytes) -> str:
    """The digest by which Common Crawl and the Wayback Machine compare payloads."""
    return b32encode(sha1(body, usedforsecurity=False).digest()).decode()


def _asked(record: Record) -> str:
    said = record.fields.get("Optout-Requested-URI")
    return record.fields["WARC-Target-URI"] if said is None else str(json.loads(said))


def _identifier(part: str, exchange: Exchange) -> str:
    return _uuid(_described(part, exchange))


def _uuid(whole: bytes) -> str:
    """A version 8 UUID of the beginning of a digest (RFC 9562 section 5.8)."""
    digest = bytearray(whole[:16])
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return UUID(bytes=bytes(digest)).urn


def _described(part: str, exchange: Exchange) -> bytes:
    when = exchange.fetched_at.astimezone(UTC).strftime(_MICROSECONDS) if exchange.fetched_at else None
    everything = [
        part, exchange.url, exchange.role, exchange.status, exchange.headers, exchange.digest, exchange.redirects,
        exchange.error, when, exchange.truncated, exchange.request_headers,
    ]  # fmt: skip
    return sha256(json.dumps(everything, separators=(",", ":")).encode()).digest()


def _common(exchange: Exchange, target: str, identifier: str) -> dict[str, str]:
    assert exchange.fetched_at is not None  # noqa: S101 - `records` has checked it
    fields = {
        "WARC-Record-ID": f"<{identifier}>",
        "WARC-Target-URI": _uri(target),
        "WARC-Date": exchange.fetched_at.astimezone(UTC).strftime(_MICROSECONDS),
        "Optout-Role": json.dumps(exchange.role),
    }
    if exchange.redirects:
        fields["Optout-Redirects"] = json.dumps(exchange.redirects)
    if exchange.redirects or fields["WARC-Target-URI"] != exchange.url:
        fields["Optout-Requested-URI"] = json.dumps(exchange.url)
    return fields


def _response(exchange: Exchange, earlier: Earlier | None) -> Record:
    fields = _common(exchange, exchange.final_url, identifier_of(exchange))
    if exchange.error is not None:
        fields["Optout-Error"] = json.dumps(exchange.error)
    if exchange.truncated:
        fields["WARC-Truncated"] = "length"
    fields["Content-Type"] = "application/http; msgtype=response"
    assert exchange.status is not None  # noqa: S101 - the caller chose by it
    head = _head(_status_line(exchange.status), _renamed(exchange.headers), fields)
    fields["WARC-Payload-Digest"] = payload_digest(exchange.body)
    fields["Optout-Payload-SHA1"] = base32_sha1(exchange.body)
    if earlier is None:
        return _with_block("response", fields, head + exchange.body)
    fields["WARC-Profile"] = REVISIT_PROFILE
    fields["WARC-Refers-To"] = f"<{earlier.identifier}>"
    fields["WARC-Refers-To-Target-URI"] = earlier.url
    fields["WARC-Refers-To-Date"] = earlier.date
    return _with_block("revisit", fields, head)


def _failure(exchange: Exchange) -> Record:
    fields = _common(exchange, exchange.url, identifier_of(exchange))
    fields["Optout-Error"] = json.dumps(exchange.error)
    fields["Content-Type"] = "application/warc-fields"
    return _with_block("metadata", fields, f"fetchError: {json.dumps(exchange.error)}\r\n".encode())


def _request(exchange: Exchange) -> Record:
    fields = _common(exchange, exchange.url, _identifier("request", exchange))
    fields["WARC-Concurrent-To"] = f"<{identifier_of(exchange)}>"
    fields["Content-Type"] = "application/http; msgtype=request"
    split = urlsplit(_uri(exchange.url))
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return _with_block("request", fields, _head(f"GET {target} HTTP/1.1", exchange.request_headers, fields))


def _with_block(kind: str, fields: dict[str, str], block: bytes) -> Record:
    return Record(kind, fields | {"WARC-Block-Digest": f"sha256:{sha256(block).hexdigest()}"}, block)


def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}"


def _head(first: str, headers: Headers, fields: dict[str, str]) -> bytes:
    """The HTTP header section. What header lines cannot carry exactly is kept as JSON in a field of ours."""
    section = _section(first, headers, "surrogateescape")
    if section is not None and _parse_lines(section) == headers:
        return section
    fields["Optout-Headers"] = json.dumps(headers)
    printable = tuple((_printable(name), _printable(value)) for name, value in headers)
    return _section(first, printable, "replace") or b""


def _section(first: str, headers: Headers, errors: str) -> bytes | None:
    lines = [f"{name}: {value}" for name, value in headers]
    try:
        return "\r\n".join([first, *lines, "", ""]).encode("utf-8", errors)
    except UnicodeEncodeError:
        return None


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")


def _headers_of(record: Record) -> Headers:
    if "Optout-Headers" in record.fields:
        return tuple((name, value) for name, value in json.loads(record.fields["Optout-Headers"]))
    return _parse_lines(record.block.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def _parse_lines(section: bytes) -> Headers:
    text = section.decode("utf-8", "surrogateescape")
    lines = text.partition("\r\n\r\n")[0].split("\r\n")[1:]
    return tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))


def _parse_response(record: Record) -> tuple[int | None, Headers]:
    if record.kind == "metadata":
        return None, ()
    version, _, rest = record.block.partition(b"\r\n")[0].partition(b" ")
    if version != b"HTTP/1.1" or not rest[:3].isdigit():
        raise ValueError("no HTTP status line")
    return int(rest.split(b" ")[0]), _original(_headers_of(record))


def _renamed(headers: Headers) -> Headers:
    return tuple((_PREFIX + name if _is_renamed(name) else name, value) for name, value in headers)


def _is_renamed(name: str) -> bool:
    return name.lower() in _RENAMED or name.startswith(_PREFIX)


def _original(headers: Headers) -> Headers:
    return tuple((name.removeprefix(_PREFIX), value) for name, value in headers)


def _uri(url: str) -> str:
    """A URL as a WARC field can carry it: no white space, no controls, no lone surrogates."""
    return "".join(c if c > " " and c.isprintable() else _escaped(c) for c in url)


def _escaped(character: str) -> str:
    return "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
