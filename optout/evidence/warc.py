"""The archive of signals: WARC 1.1 files with everything that was fetched in order to decide.

One writer has one open file at a time, `<prefix>-<number>.warc.gz`, a gzip member for each record, so that any WARC
tool reads it while it grows. A file that gets no more records is sealed: its CDXJ index is written beside it, and
the evidence log takes down its name and SHA-256. Until then `<name>.head` holds the length and SHA-256 of what is
durable, so that a change to a growing file shows as well.

A process that dies leaves at most one incomplete record at the end of its file; the next one cuts that off, seals
the file and begins another.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from optout.errors import EvidenceError
from optout.evidence import cdxj
from optout.evidence.canonical import decode, encode
from optout.evidence.exchange_record import (
    LIST_TYPE,
    Earlier,
    Record,
    base32_sha1,
    exchange_list,
    exchange_of,
    identifier_of,
    is_list,
    list_digest,
    list_identifier,
    list_record,
    payload_digest,
    payload_of,
    records,
    requested_url,
)
from optout.evidence.files import disk_errors, sync_directory, take_lock, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from optout.model import Exchange

FILE_SIZE = 1 << 26
"""When a file has grown to this many bytes, it is sealed and another begun."""

REMEMBERED = 200_000
"""How many bodies are remembered in order to write a revisit record instead of the same bytes."""

_LARGEST_RECORD = 1 << 28
_CHUNK = 1 << 16
REVISIT = "warc/revisit"
"""The media type by which an index tells a record without a body of its own."""

_INDEXED = ("url", "requested", "date", "rec", "filename", "offset", "length", "mime", "digest")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Located(NamedTuple):
    """A record and where it stands: file name, byte offset and length of its gzip member."""

    file: str
    offset: int
    length: int
    record: Record


class Broken(NamedTuple):
    """Why a file cannot be read on, where, and whether a crash while writing explains it."""

    offset: int
    what: str
    torn: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file that gets no more records.

    Attributes:
        name: of the file.
        sha256: of the file, in hexadecimal.
        size: in bytes.
        clean: whether its writer ended it; after a crash it may hold exchanges on which nobody came to decide.
    """

    name: str
    sha256: str
    size: int
    clean: bool


class SignalArchive:
    """The writing end. One process has it; `write` remembers in memory, `commit` returns when it is on the disk."""

    def __init__(self, directory: Path, *, prefix: str = "signals", file_size: int = FILE_SIZE) -> None:
        """Open the archive, sealing what an earlier process left open.

        Args:
            directory: where the files are; created when missing.
            prefix: what the names of this writer's files begin with; writers of one directory differ in it.
            file_size: in bytes; a file is sealed once it is at least so large.

        Raises:
            EvidenceError: another process writes under this prefix, the disk refuses, or a file is damaged.
        """
        if not _PREFIX.match(prefix):
            raise EvidenceError(f"{prefix!r} cannot begin a file name", mend="use letters, digits, '.', '_' and '-'")
        self.directory, self.prefix, self._file_size = directory, prefix, file_size
        self._earlier: OrderedDict[str, Earlier] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._buffer: list[bytes] = []
        self._lines: list[bytes] = []
        self._failure: str | None = None
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._size, self._hash = 0, sha256()
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        busy = f"another process archives under the prefix {prefix!r}"
        self._lock = take_lock(directory / f"{prefix}.lock", busy, "give each process its own prefix")
        try:
            self._recover()
        except BaseException:
            self._lock.close()
            raise

    def write(self, exchange: Exchange) -> str:
        """Archive an exchange and give the identifier of its record; the same exchange is written once.

        It is durable after the next `commit`, which therefore comes before the commit of rows that name it.

        Raises:
            EvidenceError: nothing was fetched, nobody knows when, or an earlier commit failed.
        """
        self._refuse_after_failure()
        identifier = identifier_of(exchange)
        if identifier not in self._known:
            earlier = self._earlier.get(exchange.digest) if exchange.body and exchange.status is not None else None
            for record in records(exchange, earlier):
                self._put(record)
            _remember(self._known, identifier, None)
        return identifier

    def write_set(self, exchanges: Sequence[Exchange]) -> str:
        """Archive the exchanges that a decision rests on, and their list; give the list's SHA-256 for the row.

        Raises:
            EvidenceError: as `write` does.
        """
        for exchange in exchanges:
            self.write(exchange)
        listed = exchange_list(exchanges)
        digest = list_digest(listed)
        if exchanges and list_identifier(digest) not in self._known:
            self._put(list_record(listed, exchanges))
            _remember(self._known, list_identifier(digest), None)
        return digest

    def commit(self) -> None:
        """Make everything that was written durable.

        Raises:
            EvidenceError: the disk is full, read-only or broken; nothing further is taken.
        """
        self._refuse_after_failure()
        data, self._buffer = b"".join(self._buffer), []
        try:
            with disk_errors(self.directory):
                self._append(data)
        except BaseException as fault:
            self._failure = str(fault)
            raise
        if self._size >= self._file_size:
            self.seal()

    def seal(self) -> Sealed | None:
        """End the open file and write its index; None where nothing was written since the last time.

        Raises:
            EvidenceError: as `commit`; a file of which not all came to the disk is sealed by whoever opens it next.
        """
        self._refuse_after_failure()
        if self._buffer:
            self.commit()
        if self._file is None or self._path is None:
            return None
        self._file.close()
        with disk_errors(self._path):
            sealed = _seal(self._path, self._lines, self._hash.hexdigest())
        self._file, self._path, self._lines, self._size, self._hash = None, None, [], 0, sha256()
        return sealed

    def close(self) -> None:
        """Seal, and let another process write under this prefix."""
        try:
            if self._failure is None:
                self.seal()
        finally:
            if self._file:
                self._file.close()
            self._lock.close()

    def __enter__(self) -> Self:
        """Give the archive itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            mend = "free or repair the disk, then start again"
            raise EvidenceError(f"the archive {self.directory} stopped after an error: {self._failure}", mend=mend)

    def _put(self, record: Record) -> None:
        self._path = self._path or self._next_path()
        data = compressed(record)
        located = Located(self._path.name, self._size, len(data), record)
        self._buffer.append(data)
        self._size += len(data)
        self._lines += [entry.line for entry in index_entries(located)]
        if record.kind == "response":
            digest = record.fields["WARC-Payload-Digest"]
            earlier = Earlier(record.identifier, record.fields["WARC-Target-URI"], record.fields["WARC-Date"])
            _remember(self._earlier, digest.removeprefix("sha256:"), earlier)

    def _append(self, data: bytes) -> None:
        if not data or self._path is None:
            return
        if self._file is None:
            # Before the file, so that whoever is killed in between leaves no file without a head.
            head_path(self._path).write_bytes(_head_bytes(0, self._hash.hexdigest()))
            self._file = self._path.open("xb")
            sync_directory(self.directory)
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._hash.update(data)
        # Written over at once and not cut off first: it never gets shorter, and a kill leaves the old or the new.
        with head_path(self._path).open("r+b", buffering=0) as head:
            head.write(_head_bytes(self._size, self._hash.hexdigest()))

    def _next_path(self) -> Path:
        last = max((int(path.name[-14:-8]) for path in archive_files(self.directory, self.prefix)), default=-1)
        return self.directory / f"{self.prefix}-{last + 1:06d}.warc.gz"

    def _recover(self) -> None:
        for path in archive_files(self.directory, self.prefix):
            if not index_path(path).exists():
                _seal_after_crash(path)
            for entry in read_index(path):
                fields = entry.fields
                _remember(self._known, fields["rec"], None)
                if fields["mime"] == "unk" and fields["url"] == fields["requested"]:
                    earlier = Earlier(fields["rec"], fields["url"], fields["date"])
                    _remember(self._earlier, fields["digest"].removeprefix("sha256:"), earlier)


def archive_files(directory: Path, prefix: str | None = None) -> tuple[Path, ...]:
    """The archive's files in the order of writing, of one writer or of all."""
    named = re.compile((re.escape(prefix) if prefix else "[A-Za-z0-9][A-Za-z0-9._-]{0,63}") + r"-[0-9]{6}\.warc\.gz\Z")
    return tuple(sorted(path for path in directory.glob("*.warc.gz") if named.match(path.name)))


def index_path(path: Path) -> Path:
    """Where the CDXJ index of a WARC file is."""
    return path.with_name(path.name.removesuffix(".warc.gz") + ".cdxj")


def head_path(path: Path) -> Path:
    """Where the length and SHA-256 of a growing WARC file are."""
    return path.with_name(path.name + ".head")


def unclean_path(path: Path) -> Path:
    """The empty file that marks a WARC file whose writer died."""
    return path.with_name(path.name + ".unclean")


def sealed_files(directory: Path) -> tuple[Path, ...]:
    """The files that get no more records."""
    return tuple(path for path in archive_files(directory) if index_path(path).exists())


def describe(path: Path) -> Sealed:
    """What the log takes down about a sealed file, from the file itself."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return Sealed(path.name, digest.hexdigest(), path.stat().st_size, clean=not unclean_path(path).exists())


def iterate(path: Path) -> Iterator[Located | Broken]:
    """Give the records of a file one by one; the last thing given is a `Broken` where reading had to stop."""
    for found in _members(path):
        if isinstance(found, Broken):
            yield found
            return
        offset, length, data = found
        record = _parse(data)
        if record is None:
            yield Broken(offset, "this is not one WARC record", torn=False)
            return
        yield Located(path.name, offset, length, record)


def read_at(path: Path, offset: int) -> Located:
    """Read the record at an offset.

    Raises:
        EvidenceError: no record stands there.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            member = _one_member(file, file.read(_CHUNK))
    except (OSError, zlib.error) as fault:
        raise EvidenceError(f"{path} cannot be read", place=f"byte {offset}: {fault}") from fault
    record = None if member is None else _parse(member.content)
    if member is None or record is None:
        raise EvidenceError(f"{path} holds no record", place=f"byte {offset}")
    return Located(path.name, offset, member.length, record)


def read_index(path: Path) -> Iterator[cdxj.Entry]:
    """The index lines of a sealed file.

    Raises:
        EvidenceError: a line is damaged.
    """
    with index_path(path).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _checked(cdxj.parse(line))
            except ValueError as fault:
                raise EvidenceError(f"{index_path(path)} is damaged", place=f"line {number}") from fault


def _checked(entry: cdxj.Entry) -> cdxj.Entry:
    if not all(isinstance(entry.fields.get(name), str) for name in _INDEXED) or not entry.fields["offset"].isdigit():
        raise ValueError("a field is missing")
    return entry


def index_entries(located: Located) -> list[cdxj.Entry]:
    """The index lines of a record: under the URL that answered, and under the one that was asked for."""
    record = located.record
    if record.kind not in {"response", "revisit", "metadata"}:
        return []
    fields = record.fields
    said: dict[str, Any] = {
        "url": fields["WARC-Target-URI"], "date": fields["WARC-Date"], "rec": record.identifier,
        "filename": located.file, "offset": str(located.offset), "length": str(located.length),
    }  # fmt: skip
    said |= _answer_fields(record)
    moment = "".join(c for c in fields["WARC-Date"][:19] if c.isdigit())
    urls = dict.fromkeys([fields["WARC-Target-URI"], requested_url(record)])
    return [cdxj.Entry(cdxj.sort_key(url), moment, said | {"requested": url}) for url in urls]


def record_fault(record: Record) -> str | None:
    """What is wrong with a record by itself; `pair_fault` looks at what belongs together."""
    if record.fields.get("WARC-Block-Digest") != payload_digest(record.block):
        return "the block does not have its digest"
    if record.kind == "response" and record.fields.get("Optout-Payload-SHA1") != base32_sha1(payload_of(record)):
        return "the payload does not have its SHA-1"
    return None


def pair_fault(answer: Record, request: Record, body: bytes) -> str | None:
    """What is wrong with an answer, its request and the payload taken together; None where they are whole."""
    try:
        exchange = exchange_of(answer, request, body)
        named = identifier_of(exchange) == answer.identifier
    except (KeyError, ValueError, TypeError) as fault:
        return f"not records of ours: {fault}"
    if answer.kind != "metadata" and answer.fields.get("WARC-Payload-Digest") != payload_digest(body):
        return "the payload does not have its digest"
    return None if named else "the content does not have the identifier that is computed from it"


def _answer_fields(record: Record) -> dict[str, Any]:
    fields = record.fields
    if is_list(record):
        return {"mime": LIST_TYPE, "status": "-", "digest": payload_digest(record.block)}
    if record.kind == "metadata":
        return {"mime": "application/warc-fields", "status": "-", "digest": "-", "error": fields["Optout-Error"]}
    mime = REVISIT if record.kind == "revisit" else "unk"
    status = record.block[9:12].decode("ascii", "replace")
    return {
        "digest": fields["WARC-Payload-Digest"], "sha1": fields["Optout-Payload-SHA1"], "mime": mime, "status": status,
    }  # fmt: skip


def _seal(path: Path, lines: list[bytes], digest: str) -> Sealed:
    write_durably(index_path(path), b"".join(sorted(lines)))
    head_path(path).unlink(missing_ok=True)
    return Sealed(path.name, digest, path.stat().st_size, clean=True)


def _seal_after_crash(path: Path) -> None:
    """Cut an incomplete last record off, unless more is missing than a crash explains."""
    lines: list[bytes] = []
    for found in iterate(path):
        if isinstance(found, Broken):
            _cut(path, found)
            break
        lines += [entry.line for entry in index_entries(found)]
    with disk_errors(path):
        unclean_path(path).touch()
        _seal(path, lines, "")


def _cut(path: Path, broken: Broken) -> None:
    head = read_head(path)
    if not broken.torn or (head and broken.offset < head[0]):
        mend = "restore the file from a copy; records that were acknowledged are missing"
        raise EvidenceError(f"{path} is damaged", place=f"byte {broken.offset}: {broken.what}", mend=mend)
    with disk_errors(path), path.open("r+b") as file:
        file.truncate(broken.offset)
        os.fsync(file.fileno())


def _head_bytes(size: int, digest: str) -> bytes:
    return encode({"sha256": digest, "size": size}) + b"\n"


def read_head(path: Path) -> tuple[int, str] | None:
    """The length and SHA-256 that a growing file should have at least; None where its head cannot be read."""
    try:
        data = head_path(path).read_bytes()
        said = decode(data.removesuffix(b"\n"))
        return (int(said["size"]), str(said["sha256"])) if data.endswith(b"\n") else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(memory: OrderedDict[str, Any], key: str, value: object) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


def compressed(record: Record) -> bytes:
    """The gzip member that a record is in a file."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    return compressor.compress(record.bytes) + compressor.flush()


def _members(path: Path) -> Iterator[tuple[int, int, bytes] | Broken]:
    """The gzip members of a file, with offset, length and content."""
    offset, ahead = 0, b""
    with path.open("rb") as file:
        while ahead or (ahead := file.read(_CHUNK)):
            try:
                member = _one_member(file, ahead)
            except zlib.error as fault:
                yield Broken(offset, f"this is not gzip: {fault}", torn=False)
                return
            if member is None:
                yield Broken(offset, "the file ends inside a record", torn=True)
                return
            yield offset, member.length, member.content
            offset, ahead = offset + member.length, member.rest


class _Member(NamedTuple):
    content: bytes
    length: int
    rest: bytes


def _one_member(file: BinaryIO, ahead: bytes) -> _Member | None:
    """The gzip member that begins with the bytes read ahead; None where the file ends inside it."""
    decompressor = zlib.decompressobj(zlib.MAX_WBITS + 16)
    content, read = bytearray(), len(ahead)
    while True:
        content += decompressor.decompress(ahead, _LARGEST_RECORD)
        if len(content) >= _LARGEST_RECORD:
            raise zlib.error("the record is too large")
        if decompressor.eof:
            rest = decompressor.unused_data
            return _Member(bytes(content), read - len(rest), rest)
        ahead = file.read(_CHUNK)
        if not ahead:
            return None
        read += len(ahead)


def _parse(data: bytes) -> Record | None:
    """The one WARC record that these bytes are; None where they are anything else."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    length = fields.pop("Content-Length", "")
    if lines[0] != "WARC/1.1" or len(fields) != len(lines) - 2 or not length.isascii() or not length.isdigit():
        return None
    if not end or rest[int(length) :] != b"\r\n\r\n":
        return None
    kind = fields.pop("WARC-Type", "")
    return Record(kind, fields, rest[: int(length)]) if "WARC-Record-ID" in fields else None
