"""Segments: up to 65,536 rows, sorted by host, in one Parquet file with a Merkle tree of its own.

A row's leaf is

    inner = SHA-256(salt ‖ JCS(row))
    leaf  = SHA-256(0x00 ‖ inner ‖ host)

where the row holds `url_c` = SHA-256(URL's salt ‖ URL) in place of `url`. The salt keeps anybody from guessing rows
from hashes. The host stands outside the inner hash so that a neighbour in a sorted stretch can show its host and
nothing else; `inner` is as good as random to whoever does not know the salt.

The file holds what the leaves are made from. Columns of rows that have been redacted are empty but for `seq` and
`leaf`; where only the URL was redacted, `url_c` stands in its place. `mark` is the beginning of the leaf hash: it
proves nothing, but it shows which row of a damaged file is the changed one.
"""

from __future__ import annotations

import io
import sys
from array import array
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.errors import EvidenceError
from optout.evidence.canonical import decode, encode_checked
from optout.evidence.rows import FIELDS, Kind, host_of
from optout.evidence.tlog import HASH_SIZE, Tree
from optout.urls import MAX_URL_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from optout.evidence.salts import Salts

ROWS = 65_536
"""A segment holds at most this many rows."""

LEAF = "sha256(00|sha256(salt16|jcs)|host)"
"""How a manifest names the making of a leaf."""

MORE = "more"
"""The column of fields that `FIELDS` does not know, as one canonical JSON object."""

_KEPT = {"leaf": pa.binary(32), "url_c": pa.binary(32), "mark": pa.uint16()}
_TYPES = {
    Kind.TEXT: pa.dictionary(pa.int32(), pa.string()),
    Kind.JSON: pa.dictionary(pa.int32(), pa.string()),
    Kind.INTEGER: pa.int64(),
}
_PLAIN = {"host", "url", MORE}
_BATCH = 4096
_LARGEST = 1 << 30

_PLAIN_STRING = r'^"[ !#-\[\]-~]*"$'
"""A JSON string of printable ASCII without escapes, which has one form only."""

_DELTA = {"seq": "DELTA_BINARY_PACKED", "t": "DELTA_BINARY_PACKED", "url": "DELTA_BYTE_ARRAY"}

SCHEMA = pa.schema(
    [(name, pa.string() if name in _PLAIN else _TYPES[kind]) for name, kind in FIELDS.items()]
    + [(MORE, pa.string())]
    + list(_KEPT.items())
)
"""The columns of a segment file."""

_DICTIONARIES = [field.name for field in SCHEMA if pa.types.is_dictionary(field.type)]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment whose leaves have been derived.

    Attributes:
        table: its rows in the order of its leaves.
        leaves: the leaf hash of each row.
        tree: the tree over them.
    """

    table: pa.Table
    leaves: Sequence[bytes]
    tree: Tree


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as columns.

    Args:
        rows: in the canonical profile, each with `seq`.
    """
    extra: list[dict[str, Any]] = [{} for _ in rows]
    columns: dict[str, list[Any]] = {}
    for name, kind in FIELDS.items():
        values = [row.get(name) for row in rows]
        columns[name] = [_fitting(name, kind, value, extra[at]) for at, value in enumerate(values)]
    for row, rest in zip(rows, extra, strict=True):
        if not row.keys() <= FIELDS.keys() or None in row.values():
            rest.update({name: row[name] for name in row if name not in FIELDS or row[name] is None})
    columns[MORE] = [encode_checked(rest).decode() if rest else None for rest in extra]
    return pa.table({field.name: _column(columns[field.name], field.type) for field in SCHEMA if field.name in columns})


def sealed(table: pa.Table, salts: Salts) -> Segment:
    """Sort rows by host and derive their leaves.

    Args:
        table: the columns of `table_of`, in any order, or of another writer with the same ones.
        salts: made for as many rows.

    Raises:
        EvidenceError: a column of JSON holds something that is not canonical JSON, or a row lacks its number.
    """
    table = completed(table)
    for name, kind in FIELDS.items():
        if kind is Kind.JSON:
            _check_json(name, table.column(name))
    if table.num_rows > ROWS or table.column("seq").null_count or table.column("host").null_count:
        mend = f"at most {ROWS}, each with its number and host"
        raise EvidenceError(f"{table.num_rows} rows cannot become a segment", mend=mend)
    order = pc.sort_indices(table, sort_keys=[("host", "ascending"), ("seq", "ascending")])
    table = table.take(order)
    leaves = derive(table, salts)
    marks = pa.array(_marks(leaves), pa.uint16())
    table = table.set_column(table.column_names.index("mark"), "mark", marks)
    return Segment(table, leaves, Tree(leaves))


def derive(table: pa.Table, salts: Salts) -> list[bytes]:
    """The leaf hash of every row of a segment, in order.

    Raises:
        EvidenceError: a salt that is needed has been destroyed.
    """
    secrets = salts.first(2 * table.num_rows)
    kept = table.column("leaf").to_pylist() if table.column("leaf").null_count < table.num_rows else None
    for at, salt in enumerate(secrets[::2]):
        if salt is None and (kept is None or kept[at] is None):
            raise EvidenceError("the salt of a row that stands in the file is gone", place=f"row {at}")
    hosts = [(host or "").encode() for host in table.column("host").to_pylist()]
    leaves = [
        # The same as `row_leaf`, without a call for each row.
        sha256(b"\x00" + sha256((salt or b"") + line).digest() + host).digest()
        for salt, line, host in zip(secrets[::2], _lines(table, secrets[1::2]), hosts, strict=True)
    ]
    return leaves if kept is None else [stays or leaf for stays, leaf in zip(kept, leaves, strict=True)]


def preimages(table: pa.Table, url_salts: Sequence[bytes | None]) -> list[bytes]:
    """The canonical form of every row as it was hashed, with `url_c` in place of `url`."""
    return list(_lines(table, url_salts))


def url_commitment(table: pa.Table, salts: Salts, at: int) -> bytes | None:
    """What a row holds in place of its URL; None for a row without one, or with it redacted already."""
    url, salt = table.column("url")[at].as_py(), salts.salt(2 * at + 1)
    return None if url is None or salt is None else commitment(url, salt)


def parsed(line: bytes) -> dict[str, Any]:
    """A row from its canonical form."""
    return dict(orjson.loads(line))


def commitment(url: str, salt: bytes) -> bytes:
    """What a sealed row holds in place of its URL."""
    return sha256(salt + url.encode()).digest()


def row_leaf(salt: bytes, line: bytes, host: str) -> bytes:
    """The leaf hash of one row from its canonical form."""
    return _leaf(salt, line, host.encode())


def inner_hash(salt: bytes, line: bytes) -> bytes:
    """The part of a leaf that hides the row."""
    return sha256(salt + line).digest()


def file_bytes(table: pa.Table) -> bytes:
    """The file of a segment."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=3,
        row_group_size=ROWS,
        use_dictionary=[name for name in SCHEMA.names if name not in {MORE, *_KEPT, *_DELTA}],
        column_encoding=_DELTA,
        write_page_checksum=True,
        store_schema=False,
    )
    return buffer.getvalue()


def read(path: Path) -> pa.Table:
    """Read a segment's file.

    Raises:
        EvidenceError: it is damaged, larger than a segment can be, or takes more memory than there is.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=_DICTIONARIES)
        _check_size(file.metadata)
        table = completed(file.read()).select(SCHEMA.names).cast(SCHEMA)
        table.validate(full=True)
        return table
    except (OSError, pa.ArrowException, LookupError, ValueError, MemoryError) as fault:
        raise EvidenceError(f"{path} cannot be read", place=str(fault).split("\n")[0]) from fault


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables hold the same rows in the same order."""
    return one.num_rows == other.num_rows and all(
        _decoded(one.column(name)).equals(_decoded(other.column(name))) for name in SCHEMA.names
    )


def row_faults(table: pa.Table, leaves: Sequence[bytes], first_seq: int) -> Iterator[tuple[int, str]]:
    """What can be seen of a segment to be wrong row by row: order, numbers and marks."""
    hosts, seqs = table.column("host").to_pylist(), table.column("seq").to_pylist()
    marks = table.column("mark").to_pylist()
    missing = set(range(first_seq, first_seq + table.num_rows)) - set(seqs)
    before: tuple[str, int] | None = None
    for at, (host, seq, mark, leaf) in enumerate(zip(hosts, seqs, marks, leaves, strict=True)):
        if mark != int.from_bytes(leaf[:2], "big"):
            yield at, "the row does not hash to its mark"
        if not first_seq <= seq < first_seq + table.num_rows:
            yield at, f"the number {seq} is not of this segment"
        if host is not None and before is not None and (host, seq) <= before:
            yield at, "the row does not stand where its host and number belong"
        before = (host, seq) if host is not None else before
    for seq in sorted(missing)[:3]:
        yield seq - first_seq, f"the row with the number {seq} is missing"


def content_faults(table: pa.Table) -> Iterator[tuple[int, str]]:
    """Where rows say in their columns anything but what was hashed, or are not about their host.

    A column of JSON could hold text that closes its field and begins others; the row that was hashed would then say
    something else than the columns that people ask. And a row under another host would be missing from its own.
    """
    for name, kind in FIELDS.items():
        if kind is Kind.JSON:
            yield from ((at, f"{name} is not canonical JSON") for at in _not_json(table.column(name)))
    for at, text in _present(table.column(MORE)):
        yield from ((at, what) for what in _more_faults(table, at, text))
    hosts: dict[str, str] = {}
    urls, named = table.column("url").to_pylist(), table.column("host").to_pylist()
    for at, (url, host) in enumerate(zip(urls, named, strict=True)):
        if url is None:
            continue
        end = url.find("/", 8)
        origin = url if end < 0 or len(url) > MAX_URL_LENGTH else url[:end]
        expected = hosts.get(origin)
        if expected is None:
            expected = hosts[origin] = host_of(origin)
        if expected != host:
            yield at, f"the row stands under the host {host!r}, its URL is of {expected!r}"


def _not_json(column: pa.ChunkedArray) -> Iterator[int]:
    bad = set(_odd_values(column))
    if bad:
        yield from (at for at, text in enumerate(_decoded(column).to_pylist()) if text in bad)


def _more_faults(table: pa.Table, at: int, text: str) -> Iterator[str]:
    """A field stands either in its column or with the rest."""
    more = orjson.loads(text) if _is_canonical(text) else None
    if not isinstance(more, dict):
        yield "the rest of the row is not a canonical JSON object"
        return
    for name in more.keys() & FIELDS.keys():
        if table.column(name)[at].is_valid:
            yield f"{name} stands here twice"


def _is_canonical(text: str) -> bool:
    try:
        decode(text.encode())
    except ValueError:
        return False
    return True


def redacted(table: pa.Table, leaves: Sequence[bytes], rows: Iterable[int], urls: Mapping[int, bytes]) -> pa.Table:
    """A segment's table without what is redacted.

    Args:
        table: the rows as they stand.
        leaves: their leaf hashes.
        rows: places of rows to empty.
        urls: places of rows of which only the URL goes, with the commitment that stays.
    """
    gone, columns = set(rows), {name: table.column(name).to_pylist() for name in table.column_names}
    for name, values in columns.items():
        if name not in {"seq", "leaf", "mark"}:
            columns[name] = [None if at in gone else value for at, value in enumerate(values)]
    for at in gone:
        columns["leaf"][at] = leaves[at]
    for at, stays in urls.items():
        if at not in gone:
            columns["url"][at], columns["url_c"][at] = None, stays
    return pa.table({field.name: _column(columns[field.name], field.type) for field in SCHEMA})


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows with their plain URLs, as the journal had them; a redacted row has its number only."""
    names = [name for name in FIELDS if name in table.column_names]
    columns = [_values(FIELDS[name], table.column(name)) for name in names]
    rest = table.column(MORE).to_pylist()
    for more, values in zip(rest, zip(*columns, strict=True), strict=True):
        row = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        yield row | orjson.loads(more) if more else row


def row_at(table: pa.Table, at: int) -> dict[str, Any]:
    """One row with its plain URL."""
    return next(rows_of(table.slice(at, 1)))


def _lines(table: pa.Table, url_salts: Sequence[bytes | None]) -> Iterator[bytes]:
    """The canonical form of every row, joined some thousand at a time, which the processor's cache can hold."""
    columns = [
        _commitments(table, url_salts) if name == "url" else _fragments(name, kind, table.column(name))
        for name, kind in FIELDS.items()
    ]
    more = dict(_present(table.column(MORE)))
    for start in range(0, table.num_rows, _BATCH):
        part = [column if isinstance(column, str) else column.slice(start, _BATCH) for column in columns]
        joined = pc.binary_join_element_wise("{", *part, "}", "", null_handling="skip")
        for at, line in enumerate(joined.cast(pa.binary()).to_pylist(), start):
            rest = more.get(at)
            yield line if rest is None else encode_checked(orjson.loads(line) | orjson.loads(rest))


def _marks(leaves: Sequence[bytes]) -> array[int]:
    """The first two bytes of each leaf hash as a number, big-endian."""
    numbers = array("H", b"".join(leaves))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers[:: HASH_SIZE // 2]


def _leaf(salt: bytes, line: bytes, host: bytes) -> bytes:
    return sha256(b"\x00" + sha256(salt + line).digest() + host).digest()


def _fitting(name: str, kind: Kind, value: Any, rest: dict[str, Any]) -> Any:  # noqa: ANN401 - a value of a row
    """The value as its column keeps it; what does not fit there goes to the rest."""
    if value is None:
        return None
    if kind is Kind.JSON:
        return encode_checked(value).decode()
    if type(value) is (int if kind is Kind.INTEGER else str):
        return value
    rest[name] = value
    return None


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)


def completed(table: pa.Table) -> pa.Table:
    """The table with every column of the schema, in its order."""
    have = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in have else pa.nulls(table.num_rows, field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def _check_size(said: pq.FileMetaData) -> None:
    """A file that says that it holds more than a segment can is not read."""
    size = sum(said.row_group(at).total_byte_size for at in range(min(said.num_row_groups, ROWS)))
    if said.num_rows > ROWS or said.num_columns > 2 * len(SCHEMA) or size > _LARGEST or said.num_row_groups > ROWS:
        raise ValueError(f"{said.num_rows} rows and {size} bytes are more than a segment holds")


def _check_json(name: str, column: pa.ChunkedArray) -> None:
    for value in _odd_values(column):
        raise EvidenceError(f"the column {name} does not hold canonical JSON", place=value[:80])


def _odd_values(column: pa.ChunkedArray) -> Iterator[str]:
    """The values of a column of JSON that are not canonical JSON."""
    values = _flat(column).dictionary if pa.types.is_dictionary(column.type) else pc.unique(column)
    unusual = pc.filter(values, pc.invert(pc.match_substring_regex(values, _PLAIN_STRING)))
    yield from (value for value in unusual.to_pylist() if value is not None and not _is_canonical(value))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _values(kind: Kind, column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; equal JSON is read once and must not be changed."""
    values: list[Any] = _decoded(column).to_pylist()
    if kind is not Kind.JSON:
        return values
    known = {text: orjson.loads(text) for text in set(values) if text is not None}
    return [known.get(text) for text in values]


def _fragments(name: str, kind: Kind, column: pa.ChunkedArray) -> pa.Array | str:
    """What a field adds to the canonical form of each row (null: nothing), or one text where all add the same."""
    before, after = _around(name)
    if column.null_count == len(column):
        return ""
    if kind is Kind.INTEGER:
        return pc.binary_join_element_wise(before, _flat(column).cast(pa.string()), after, "")
    encoded = _flat(column)
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    texts = [before + (value if kind is Kind.JSON else orjson.dumps(value).decode()) + after for value in values]
    if len(texts) == 1 and not column.null_count:
        return texts[0]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _around(name: str) -> tuple[str, str]:
    """What stands before and after a field's value: commas lean towards `host`, which every row has."""
    return ("," if name > "host" else "") + f'"{name}":', "," if name < "host" else ""


def _commitments(table: pa.Table, url_salts: Sequence[bytes | None]) -> pa.Array:
    """What the URLs add to the canonical form of each row."""
    urls = table.column("url").to_pylist()
    texts = [
        None if url is None or salt is None else f',"url_c":"{sha256(salt + url.encode()).hexdigest()}"'
        for url, salt in zip(urls, url_salts, strict=True)
    ]
    for at, stays in _present(table.column("url_c")):
        texts[at] = f',"url_c":"{stays.hex()}"'
    return pa.array(texts, pa.string())


def _present(column: pa.ChunkedArray) -> Iterator[tuple[int, Any]]:
    """The values of a column that is mostly empty, with their places."""
    if column.null_count < len(column):
        yield from ((at, value) for at, value in enumerate(column.to_pylist()) if value is not None)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, with one dictionary where it has dictionaries."""
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
