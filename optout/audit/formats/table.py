"""Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.audit.dates import seconds
from optout.audit.formats.base import BATCH_BYTES, ROWS, Batch, Columns, Report, Writer, counts
from optout.audit.formats.pages import pages_of
from optout.audit.reading import READING
from optout.errors import UnreadableInput

MOST_ROWS = 1 << 18
"""How many rows a batch has at most; every batch becomes a row group, and many small ones cost more."""

MOST_LOST = 1 << 24
"""Rows of a broken row group that are taken down as lost; a footer that claims more is not believed."""


@dataclass(frozen=True)
class ParquetFormat:
    """Parquet files; a row is a row.

    Attributes:
        groups: the row groups to read; None for all.
    """

    groups: range | None = None
    name: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Read a file, row group by row group, so that a broken one costs only its own rows."""
        file = opened(path)
        check(file.schema_arrow, columns, path)
        with file:
            for group in range(file.num_row_groups) if self.groups is None else self.groups:
                yield from _group(file, group, columns, fault)

    @contextmanager
    def writer(self, source: Path, target: Path) -> Iterator[Writer]:
        """Write with the schema and compression of the source."""
        file = opened(source)
        schema = file.schema_arrow
        groups = file.metadata.num_row_groups
        is_old = _has_old_times_only(file.schema)
        codec = file.metadata.row_group(0).column(0).compression if groups and schema.names else "ZSTD"
        coded = _coded(file.metadata.row_group(0)) if groups else True
        file.close()
        codec = "NONE" if codec == "UNCOMPRESSED" else codec
        with pq.ParquetWriter(
            target,
            schema,
            compression=codec,
            use_dictionary=coded,
            use_deprecated_int96_timestamps=is_old,
            use_compliant_nested_type=_is_compliant(schema),
        ) as writer:
            yield _TableWriter(writer)


def _is_compliant(fields: Iterable[pa.Field]) -> bool:
    """Whether the items of all lists are called "element": Arrow calls them so, whatever they were called, or not."""
    return all(_is_named_so(field.type) and _is_compliant(_fields(field.type)) for field in fields)


def _is_named_so(kind: pa.DataType) -> bool:
    return not _is_list(kind) or bool(kind.value_field.name == "element")


def _fields(kind: pa.DataType) -> list[pa.Field]:
    """The fields in a type."""
    return [kind.field(at) for at in range(kind.num_fields)]


def _is_list(kind: pa.DataType) -> bool:
    return any((pa.types.is_list(kind), pa.types.is_large_list(kind), pa.types.is_fixed_size_list(kind)))


def _has_old_times_only(schema: pq.ParquetSchema) -> bool:
    """Whether all times are of the type that Hive and Spark write; Arrow writes all of a file in one way."""
    columns = [schema.column(at) for at in range(len(schema))]
    times = {column.physical_type for column in columns if _is_time(column)}
    return times == {"INT96"}


def _is_time(column: pq.ColumnSchema) -> bool:
    return bool(column.physical_type == "INT96" or column.logical_type.type == "TIMESTAMP")


def _coded(about: pq.RowGroupMetaData) -> list[str]:
    """The columns whose dictionary has held: one that has so many values that it was given up is not begun again."""
    columns = [about.column(at) for at in range(about.num_columns)]
    return [column.path_in_schema for column in columns if _DICTIONARY & {*column.encodings} and not _given_up(column)]


def _given_up(column: pq.ColumnChunkMetaData) -> bool:
    """Whether the column is larger than its values are without a dictionary, or with one of the usual limit."""
    plain = _WIDTHS.get(column.physical_type, 1 << 20) * int(column.num_values)
    return int(column.total_uncompressed_size) > min(plain, (1 << 20) + 3 * int(column.num_values))


_WIDTHS = {"INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8}


_DICTIONARY = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def _group(file: pq.ParquetFile, group: int, columns: Columns, fault: Report) -> Iterator[Batch]:
    """The rows of a row group; those that cannot be read are rows all the same, without a URL."""
    about = file.metadata.row_group(group)
    rows, given, octets = about.num_rows, 0, _octets(about)
    try:
        for batch in file.iter_batches(_batch_rows(about), row_groups=[group]):
            READING.add(octets * batch.num_rows // rows)
            yield batch_of(batch, columns)
            given += batch.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).splitlines()[0]
        if rows - given > MOST_LOST:
            fault(f"row group {group}", f"{what}; its {rows} rows, if they are as many, were not judged")
            return
        fault(f"row group {group}, from its row {given} of {rows}", what)
        for start in range(given, rows, ROWS):
            yield lost(min(ROWS, rows - start))


def _octets(about: pq.RowGroupMetaData) -> int:
    """The bytes of a row group in the file."""
    return sum(about.column(at).total_compressed_size for at in range(about.num_columns))


def _batch_rows(about: pq.RowGroupMetaData) -> int:
    """How many rows make a batch, so that pages in a column do not become more than memory holds."""
    fitting = BATCH_BYTES * int(about.num_rows) // max(1, int(about.total_byte_size))
    return max(1, min(MOST_ROWS, fitting))


def lost(count: int) -> Batch:
    """Rows that are known to be there and cannot be read."""
    return Batch(pa.nulls(count, pa.string()), None, refused=frozenset(range(count)))


class _TableWriter:
    """Gathers the rows that are kept, so that row groups do not become small."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        rows: Any = batch.raw
        if kept.any():
            self._writer.write_batch(rows if kept.all() else _chosen(rows, kept))


def _chosen(rows: pa.RecordBatch, kept: np.ndarray) -> pa.RecordBatch:
    """The rows that are kept. Of views in columns Arrow cannot choose some, but put stretches together."""
    with suppress(pa.ArrowNotImplementedError):
        return rows.filter(pa.array(kept))
    stretches = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2).tolist()
    return pa.concat_batches([rows.slice(begin, end - begin) for begin, end in stretches])


def opened(path: Path) -> pq.ParquetFile:
    """Open a file.

    Raises:
        UnreadableInput: it is cut off, encrypted, or no Parquet.
    """
    try:
        # By its octets, because Arrow takes no name that is not UTF-8. Of INT96 Arrow makes nanoseconds by itself,
        # which end in 2262: 9999-12-31, which Hive and Spark write for "never", would be kept as a day of 1816.
        file = pq.ParquetFile(pa.OSFile(os.fsencode(path)), coerce_int96_timestamp_unit="us")
        is_signed = _footer_length(path) > file.metadata.serialized_size
    except (pa.ArrowException, OSError) as error:
        what = str(error).splitlines()[0]
        raise UnreadableInput(f"{path}: {what}", mend="the file is no whole Parquet file; write it again") from error
    if is_signed:
        # Arrow ends the whole process when it is asked about a column that is encrypted.
        file.close()
        raise UnreadableInput(f"{path}: columns of it may be encrypted", mend="write it again without encryption")
    return file


def _footer_length(path: Path) -> int:
    """The bytes of the footer, and of the signature behind it that a file with encrypted columns has."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def check(schema: pa.Schema, columns: Columns, path: object) -> None:
    """Make sure that the columns are there which must be.

    Raises:
        UnreadableInput: one is not.
    """
    for name in sorted({columns.url, *columns.named}):
        if _type_at(schema, name) is None:
            if schema.names.count(name) > 1:
                raise UnreadableInput(f"{path}: more than one column {name!r}", mend="write it with names that differ")
            has = ", ".join(islice(_paths(schema), 20))
            raise UnreadableInput(f"{path}: no column {name!r}", mend=f"name one of its columns: {has}")
    kind = _type_at(schema, columns.url)
    if not _holds_texts(kind):
        what = f"the column {columns.url!r} is of type {kind}"
        raise UnreadableInput(f"{path}: {what}"[:300], mend="name a column of texts with --url-column")


def _paths(fields: Iterable[pa.Field], before: str = "") -> Iterator[str]:
    """The paths of all columns; the fields of a struct are columns in Parquet."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _paths(field.type, f"{before}{field.name}.")
        else:
            yield before + field.name


def _type_at(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column by its path in the schema, such as `metadata.url`; None where there is none or several."""
    found = _path(schema.names, name)
    if found is None:
        return None
    kind = schema.types[schema.names.index(found[0])]
    for part in found[1:]:
        at = kind.get_field_index(part) if pa.types.is_struct(kind) else -1
        if at < 0:
            return None
        kind = kind.field(at).type
    return kind


def _path(names: Sequence[str], name: str) -> tuple[str, ...] | None:
    """The column, and the fields in it, that a name means; a column of that very name goes first."""
    whole = (name,) if name in names else tuple(name.split("."))
    return whole if names.count(whole[0]) == 1 else None


def _column(rows: pa.RecordBatch, name: str) -> pa.Array | None:
    """A column by its path in the schema."""
    if _type_at(rows.schema, name) is None:
        return None
    first, *fields = _path(rows.schema.names, name) or (name,)
    column = rows.column(first)
    return pc.struct_field(column, fields) if fields else column


def _holds_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_texts(kind.value_type)
    return any(is_kind(kind) for is_kind in (*_TEXTUAL, *_VIEWS, pa.types.is_fixed_size_binary, pa.types.is_null))


def batch_of(rows: pa.RecordBatch, columns: Columns) -> Batch:
    """Take from a batch of a table what judging needs."""
    urls: Any = _column(rows, columns.url)
    dates = _column(rows, columns.date)
    html, headers = _values(rows, columns.html), _values(rows, columns.headers)
    known = html is not None or headers is not None
    pages = pages_of(urls.to_pylist(), html, headers) if known else {}
    return Batch(
        urls=urls,
        raw=rows,
        dates=None if dates is None else seconds(dates),
        pages=pages,
        sizes=_sizes(rows, columns),
        tokens=_numbers(rows, columns.tokens),
        languages=_texts(rows, columns.language),
    )


def _values(rows: pa.RecordBatch, name: str) -> list[object] | None:
    column = _column(rows, name)
    if column is None:
        return None
    return (
        [dict(one) if one else one for one in column.to_pylist()]
        if pa.types.is_map(column.type)
        else column.to_pylist()
    )


def _sizes(rows: pa.RecordBatch, columns: Columns) -> np.ndarray | None:
    """The bytes of a row: of its page, or of its longest text."""
    page = _column(rows, columns.html)
    found = [page] if page is not None else [_column(rows, name) for name in ("text", "content", "raw_content", "body")]
    for column in found:
        if column is not None and any(kind(column.type) for kind in _TEXTUAL):
            lengths: np.ndarray = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
            return lengths.astype(np.int64)
    return None


_VIEWS = (pa.types.is_string_view, pa.types.is_binary_view)
_TEXTUAL = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def _numbers(rows: pa.RecordBatch, name: str | None) -> pa.Array | None:
    column = None if name is None else _column(rows, name)
    return None if column is None else counts(column)


def _texts(rows: pa.RecordBatch, name: str) -> pa.Array | None:
    column = _column(rows, name)
    if column is None:
        return None
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if any(kind(column.type) for kind in _TEXTUAL[:2]) else None
