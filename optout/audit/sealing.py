"""Sealing the rows of decision shards, so that one of them can be proved, or erased, without showing any other.

An audit logs the hash of each shard, which commits to every row of it and costs next to nothing. A proof of a single
row takes salts and a tree over the rows, which costs more than judging them; so it is done when somebody needs it, and
only for shards that are as they were logged. Rows are numbered as in the shard, and their writer is named after its
hash: sealing that was interrupted goes on where it stopped, and sealing again does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.audit.schema import name_of
from optout.errors import EvidenceError
from optout.evidence.checkpoint import parse as parse_checkpoint
from optout.evidence.checks_audit import node_of
from optout.evidence.entries import AUDIT, DOCUMENT, SHARD
from optout.evidence.entries import parse as parse_entry
from optout.evidence.files import file_hash
from optout.evidence.layout import find
from optout.evidence.ledger import TableLog
from optout.evidence.log import LogReader
from optout.evidence.note import parse as parse_note
from optout.evidence.rows import VERSION, host_of
from optout.evidence.segment import MORE, ROWS
from optout.model import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from optout.evidence.layout import Layout

_COLUMNS = ("url", "origin", "effect", "reason", "access")


def seal(directory: Path, now: datetime) -> Iterator[tuple[str, int]]:
    """Seal the rows of every shard of an audit that are not sealed yet; give each shard with its number of rows.

    Args:
        directory: the output folder of an audit.
        now: the time.

    Raises:
        EvidenceError: there is no signed log, a shard is not as it was logged, or the disk refuses.
    """
    layout = find(directory)
    entries = _entries(layout)
    asked = {entry["job"]: entry for entry in entries if entry["v"] == AUDIT}
    purposes = _purposes(layout, entries)
    for entry in {entry["shard"]: entry for entry in entries if entry["v"] == SHARD}.values():
        if entry["rows"] and entry["job"] in asked:
            question = asked[entry["job"]]
            yield entry["shard"], _seal_shard(layout, entry, question, purposes[question["policy"]], now)


def _entries(layout: Layout) -> list[dict[str, Any]]:
    if not layout.checkpoint.exists():
        raise EvidenceError(f"{layout.directory} has no signed log", mend="run the audit to its end")
    size = parse_checkpoint(parse_note(layout.checkpoint.read_bytes()).text).size
    return [parse_entry(data) for _, data in LogReader(layout, size).entries()]


def _purposes(layout: Layout, entries: list[dict[str, Any]]) -> dict[str, str]:
    """For each logged policy what its rows were judged for, as a row says it."""
    import tomllib  # noqa: PLC0415 - beside its only use

    found = {}
    for entry in entries:
        if entry["v"] == DOCUMENT and entry["kind"] == "policy":
            text = (layout.documents / entry["digest"]).read_text(encoding="utf-8")
            found[entry["digest"]] = " ".join(tomllib.loads(text)["crawl"]["purposes"])
    return found


def _seal_shard(layout: Layout, entry: dict[str, Any], asked: dict[str, Any], purposes: str, now: datetime) -> int:
    path = layout.directory.parent / entry["decisions"]
    if not path.is_file() or file_hash(path) != entry["decisions_sha256"]:
        mend = "restore it, or run the audit again"
        raise EvidenceError(f"{path} is not the shard that was logged", mend=mend)
    log = TableLog(layout.directory, node=node_of(entry), now=now)
    try:
        with pq.ParquetFile(path) as file:
            for table in _stretches(file, log.next_seq):
                log.append(_rows(table, asked, purposes))
    finally:
        log.close(now)
    return int(entry["rows"])


def _stretches(file: pq.ParquetFile, start: int) -> Iterator[pa.Table]:
    """The rows from a number on, as many at a time as a segment holds, wherever the file's own batches end."""
    at, waiting = 0, list[pa.RecordBatch]()
    columns = [*_COLUMNS, *(name_of(purpose, what) for purpose in Purpose for what in ("effect", "state"))]
    for batch in file.iter_batches(ROWS, columns=columns):
        skipped = max(0, min(start - at, batch.num_rows))
        at += batch.num_rows
        waiting.append(batch.slice(skipped))
        table = pa.Table.from_batches(waiting)
        while table.num_rows >= ROWS:
            yield table.slice(0, ROWS)
            table = table.slice(ROWS)
        waiting = table.to_batches()
    rest = pa.Table.from_batches(waiting) if waiting else None
    if rest is not None and rest.num_rows:
        yield rest


def _rows(table: pa.Table, asked: dict[str, Any], purposes: str) -> pa.Table:
    """Rows of a shard as rows of the log."""
    count = table.num_rows
    columns = {name: _plain(table.column(name)) for name in table.column_names}
    same = {
        "kind": "decision", "stage": "audit", "agent": asked["agent"], "purpose": purposes, "policy": asked["policy"],
        "registry": asked["registry"], "identity": asked["identity"],
    }  # fmt: skip
    return pa.table(
        {
            **{name: pa.array([value] * count, pa.string()).dictionary_encode() for name, value in same.items()},
            "v": pa.array([VERSION] * count, pa.int64()),
            "t": pa.array([asked["t"]] * count, pa.int64()),
            "host": _hosts(columns["origin"]),
            "url": columns["url"],
            **{name: columns[name].dictionary_encode() for name in ("effect", "reason", "access")},
            MORE: _more(columns),
        }
    )


def _hosts(origins: pa.Array) -> pa.Array:
    coded = origins.dictionary_encode()
    hosts = pa.array([host_of(origin) for origin in coded.dictionary.to_pylist()], pa.string())
    return pc.fill_null(hosts.take(coded.indices), "")


def _more(columns: dict[str, pa.Array]) -> pa.Array:
    """Effect and state for each purpose, as canonical JSON: keys in order, nothing between."""
    parts: list[object] = []
    for what, before in (("effect", '{"effects":{'), ("state", '},"states":{')):
        parts.append(before)
        for at, purpose in enumerate(sorted(Purpose)):
            parts += [f'{"," if at else ""}"{purpose}":"', columns[name_of(purpose, what)], '"']
    return pc.binary_join_element_wise(*parts, "}}", "")


def _plain(column: pa.ChunkedArray) -> pa.Array:
    decoded = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    found = decoded.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
