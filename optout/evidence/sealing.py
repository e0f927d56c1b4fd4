"""From a journal file, or from a table, to a sealed segment and its manifest.

The order is what makes it safe: salts first, then the segment's file; the file is read back and its root derived
again; then the manifest is put where the log picks it up; only then is the journal file removed. A crash between
any two of these steps leaves a journal file that is sealed again, or a manifest that says it was.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow.compute as pc

from optout.errors import EvidenceError
from optout.evidence import segment
from optout.evidence.canonical import encode
from optout.evidence.entries import SEGMENT, parse, waiting_bytes
from optout.evidence.files import disk_errors, write_durably
from optout.evidence.journal import Damage, Tip, iterate
from optout.evidence.keystore import new_seed
from optout.evidence.layout import segment_name
from optout.evidence.salts import whole

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout
    from optout.evidence.segment import Segment


def seal_file(layout: Layout, store: KeyStore, node: str, path: Path) -> dict[str, Any] | None:
    """Seal a journal file that gets no more rows, and remove it; give the manifest, or None for an empty file.

    Raises:
        EvidenceError: the file is damaged, or the disk refuses.
    """
    rows, tip = _rows_of(path)
    if tip is None:
        return None
    manifest = seal_table(layout, store, node, segment.table_of(rows), chain=tip.chain.hex())
    with disk_errors(path):
        path.unlink(missing_ok=True)
    return manifest


def seal_table(
    layout: Layout, store: KeyStore, node: str, table: pa.Table, *, chain: str | None = None
) -> dict[str, Any]:
    """Seal the rows of a table and put the manifest where the log picks it up.

    Args:
        layout: where everything is.
        store: keeps the salts.
        node: who wrote the rows.
        table: at most 65,536 rows, numbered without gaps.
        chain: the journal's chain value after the last row, where there was a journal.

    Raises:
        EvidenceError: the rows cannot become a segment, or the disk refuses.
    """
    first_seq = int(pc.min(table.column("seq")).as_py())
    name = segment_name(node, first_seq)
    store.keep_salts(name, whole(new_seed(), table.num_rows))
    with disk_errors(layout.segments):
        layout.segments.mkdir(parents=True, exist_ok=True)
    made = _write(layout, store, name, table)
    manifest = _manifest(layout.segments / name, node, first_seq, made)
    if chain is not None:
        manifest["chain"] = chain
    put_pending(layout, f"segment-{name}", manifest)
    return manifest


def put_pending(layout: Layout, name: str, entry: dict[str, Any]) -> None:
    """Leave an entry for whoever writes the log."""
    data = encode(entry)
    parse(data)
    write_durably(layout.pending / f"{name}.json", waiting_bytes(data))


def _rows_of(path: Path) -> tuple[list[dict[str, Any]], Tip | None]:
    rows: list[dict[str, Any]] = []
    tip: Tip | None = None
    for found in iterate(path, None):
        if isinstance(found, Damage):
            raise EvidenceError(f"{path} is damaged", place=f"frame {found.frame}: {found.what}")
        rows += map(orjson.loads, found.lines)
        tip = found.after
    return rows, tip


def _write(layout: Layout, store: KeyStore, name: str, table: pa.Table) -> Segment:
    """Write a segment's file, and hold what is read back from it to what was hashed."""
    known = store.salts(name)
    if known is None:
        raise EvidenceError(f"the salts of {name} were not kept")
    made = segment.sealed(table, known)
    write_durably(layout.segments / name, segment.file_bytes(made.table))
    if not segment.same(segment.read(layout.segments / name), made.table):
        raise EvidenceError(f"{name} does not read back as it was written", mend="check the disk and its memory")
    return made


def _manifest(path: Path, node: str, first_seq: int, made: Segment) -> dict[str, Any]:
    return {
        "v": SEGMENT, "node": node, "first_seq": first_seq, "rows": made.table.num_rows,
        "rows_root": made.tree.root.hex(), "leaf": segment.LEAF, "file": path.name,
        "file_sha256": sha256(path.read_bytes()).hexdigest(), **summary_of(made.table),
    }  # fmt: skip


def summary_of(table: pa.Table) -> dict[str, Any]:
    """What a manifest says about the content of its rows."""
    span = pc.min_max(table.column("t")).as_py()
    return {
        "t_min": span["min"] or 0, "t_max": span["max"] or 0, "counts": _counts(table),
        "policy": _distinct(table, "policy"), "identity": _distinct(table, "identity"),
        "registry": _distinct(table, "registry"),
    }  # fmt: skip


def _counts(table: pa.Table) -> dict[str, int]:
    """How many rows of a segment have each effect."""
    found = pc.value_counts(table.column("effect").cast("string")).to_pylist()
    return {str(item["values"] or "none"): int(item["counts"]) for item in found}


def _distinct(table: pa.Table, name: str) -> list[str]:
    return sorted(value for value in pc.unique(table.column(name).cast("string")).to_pylist() if value is not None)
