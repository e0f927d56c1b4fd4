"""The steps about an audit: what it wrote beside its log is what was logged, and its rows can be judged again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.errors import OptoutError
from optout.evidence.checks import Differs
from optout.evidence.entries import AUDIT, AUDIT_REPORT, DOCUMENT, SEGMENT, SHARD
from optout.evidence.files import file_hash
from optout.evidence.publisher import pending

if TYPE_CHECKING:
    from pathlib import Path

    from optout.evidence.checks import Evidence
    from optout.evidence.report import Step

_FOLDERS = ("decisions", "kept")


def shards(evidence: Evidence, step: Step) -> None:
    """Decisions, kept rows and report have the hashes of the newest entries about them, and nothing else is there."""
    newest = _newest(evidence)
    if not newest and not evidence.of_type(AUDIT):
        return
    asked = {entry["job"]: entry for _, entry in evidence.of_type(AUDIT)}
    _check_documents(evidence, step)
    listed: set[str] = set()
    for index, entry in newest.values():
        listed.update((entry["decisions"], entry["kept_file"]))
        if entry["job"] not in asked:
            step.fault("tile/entries", f"entry {index}", "nobody logged what the audit was asked")
        _check_shard(evidence, step, entry)
    waiting = _waiting(evidence)
    if waiting:
        step.gap(f"{waiting} entries wait to be taken up by the log: run `optout evidence checkpoint`")
    for _, entry in newest.values():
        _check_sealed(evidence, step, entry)
    _check_strangers(evidence, step, listed)
    _check_report(evidence, step)


def repetition(evidence: Evidence, step: Step) -> None:
    """Every row that was judged by its URL and date alone comes out as it was logged; others need the dataset."""
    newest = _newest(evidence)
    if not newest:
        return
    if evidence.repeat is None:
        step.note("nobody gave the store of signals (--store), so no row was judged again")
        return
    asked = {entry["job"]: entry for _, entry in evidence.of_type(AUDIT)}
    for _, entry in newest.values():
        if entry["decisions"] and entry["job"] in asked:
            _repeat(evidence, step, asked[entry["job"]], entry)


def _repeat(evidence: Evidence, step: Step, asked: dict[str, Any], entry: dict[str, Any]) -> None:
    name = entry["decisions"]
    if entry["content"]:
        step.gap(
            f"{name}: {entry['content']} of its rows were judged by their content too; audit the dataset again "
            "into another folder and compare the hashes"
        )
        return
    try:
        step.checked += evidence.repeat(asked, evidence.layout.directory.parent / name) if evidence.repeat else 0
    except Differs as found:
        step.fault(name, found.place, str(found))
    except (OptoutError, OSError, pa.ArrowException) as fault:
        step.gap(f"{name}: {fault}")


def _newest(evidence: Evidence) -> dict[str, tuple[int, dict[str, Any]]]:
    """The newest entry about each shard, with its index."""
    return {entry["shard"]: (index, entry) for index, entry in evidence.of_type(SHARD)}


def _waiting(evidence: Evidence) -> int:
    return sum(entry["v"] in {AUDIT, SHARD, AUDIT_REPORT} for _, entry in pending(evidence.layout))


def _check_documents(evidence: Evidence, step: Step) -> None:
    logged = {entry["digest"] for _, entry in evidence.of_type(DOCUMENT)}
    for index, entry in evidence.of_type(AUDIT):
        compared = [one["policy"] for one in entry["compared"]]
        for digest in {entry["policy"], entry["registry"], entry["identity"], *entry["lists"], *compared} - logged:
            step.fault("tile/entries", f"entry {index}", f"the document {digest} that the audit names was not logged")


def _check_shard(evidence: Evidence, step: Step, entry: dict[str, Any]) -> None:
    for name, digest in (
        (entry["decisions"], entry["decisions_sha256"]), (entry["kept_file"], entry["kept_sha256"])
    ):  # fmt: skip
        if not name:
            continue
        path = evidence.layout.directory.parent / name
        step.checked += 1
        if not path.is_file():
            step.fault(name, "", "the file is missing")
        elif file_hash(path) != digest:
            step.fault(name, "", "the file does not have the hash that was logged")
        elif name == entry["decisions"]:
            _check_counts(step, path, entry)


def _check_counts(step: Step, path: Path, entry: dict[str, Any]) -> None:
    """The counts of an entry are those of its file."""
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        kept = sum(pc.sum(batch.column(0)).as_py() or 0 for batch in file.iter_batches(columns=["kept"])) if rows else 0
    if (rows, kept) != (entry["rows"], entry["kept"]):
        said = f"{entry['kept']} of {entry['rows']} rows are kept"
        step.fault(entry["decisions"], "", f"the log says that {said}; in the file {kept} of {rows} are")


def node_of(entry: dict[str, Any]) -> str:
    """Who writes the rows of a shard, where they are sealed: named after the shard's hash."""
    return f"audit-{entry['decisions_sha256'][:32]}"


def _check_sealed(evidence: Evidence, step: Step, entry: dict[str, Any]) -> None:
    """Sealed rows are those of the shard whose hash names their writer."""
    segments = [found for _, found in evidence.of_type(SEGMENT) if found["node"] == node_of(entry)]
    path = evidence.layout.directory.parent / entry["decisions"]
    if not segments or not path.is_file():
        return
    shard = pq.read_table(path, columns=list(_SEALED))
    for found in segments:
        file = evidence.layout.segments / found["file"]
        if not file.is_file():
            continue
        rows = pq.read_table(file, columns=["seq", "leaf", "url_c", *_SEALED]).sort_by("seq")
        whole = rows.filter(pc.and_(pc.is_null(rows.column("leaf")), pc.is_null(rows.column("url_c"))))
        expected = shard.take(whole.column("seq"))
        step.checked += whole.num_rows
        if any(_texts(whole.column(name)) != _texts(expected.column(name)) for name in _SEALED):
            step.fault(f"segments/{found['file']}", "", f"its rows are not those of {entry['decisions']}")


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()).combine_chunks()


_SEALED = ("url", "effect", "reason")


def _check_strangers(evidence: Evidence, step: Step, listed: set[str]) -> None:
    base = evidence.layout.directory.parent
    for folder in _FOLDERS:
        for path in sorted((base / folder).rglob("*")):
            name = path.relative_to(base).as_posix()
            if path.is_file() and name not in listed and not path.name.endswith(".part"):
                step.gap(f"{name}: nobody logged this file; an audit that was cut short logs it when it is run again")


def _check_report(evidence: Evidence, step: Step) -> None:
    reports = evidence.of_type(AUDIT_REPORT)
    if not reports:
        step.note("the audit has not come to its end; no report was logged")
        return
    path = evidence.layout.directory.parent / "report.json"
    step.checked += 1
    if not path.is_file():
        step.fault("report.json", "", "the file is missing")
    elif file_hash(path) != reports[-1][1]["report_sha256"]:
        step.fault("report.json", "", "the file does not have the hash that was logged")
