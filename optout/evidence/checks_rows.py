"""The steps about rows: sealed segments, and journals that are not sealed yet."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from optout.errors import EvidenceError
from optout.evidence import journal, segment
from optout.evidence.checks import Named
from optout.evidence.entries import GAP, PURGE, REDACTION, SEGMENT
from optout.evidence.journal import Damage, Tip
from optout.evidence.salts import depth_of
from optout.evidence.sealing import summary_of
from optout.evidence.tlog import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from optout.evidence.checks import Evidence
    from optout.evidence.report import Step
    from optout.evidence.salts import Salts


def segments(evidence: Evidence, step: Step) -> None:
    """Every segment is there, whole, in order, and gives the root hash of its manifest."""
    listed = set()
    for manifest, changes in manifests(evidence):
        listed.add(manifest["file"])
        with step.looking_at(f"segments/{manifest['file']}", f"rows 0 to {manifest['rows'] - 1}"):
            _check_segment(evidence, step, manifest, changes)
    for path in evidence.layout.segments.glob("*.parquet"):
        if path.name in listed:
            continue
        if evidence.reader is None:
            step.gap(f"segments/{path.name}: the log that it should be in cannot be read")
        elif (evidence.layout.directory / f"{path.stem}.jsonl.zst").exists():
            step.note(f"segments/{path.name} was being sealed when its writer died; its journal is still here")
        else:
            step.fault(f"segments/{path.name}", "", "nobody logged this segment")
    if evidence.store.directory.exists():
        for path in (evidence.store.directory / "salts").glob("*.json"):
            if f"{path.stem}.parquet" not in listed:
                step.note(f"private/salts/{path.name} is of no logged segment; a crash may leave such a file")


def journals(evidence: Evidence, step: Step) -> None:
    """Each journal is whole, continues the last segment of its node, and is as long as its head says."""
    if evidence.reader is None and evidence.layout.checkpoint.exists():
        step.gap("the log cannot be read, so nobody can tell where its segments end")
        return
    ends = _ends(evidence)
    heads = {path.stem for path in evidence.layout.directory.glob("*.head")}
    nodes = {path.name[:-26] for path in evidence.layout.directory.glob("*.jsonl.zst")}
    for node in sorted(heads | nodes | {node for node, tip in ends.items() if tip.chain != journal.GENESIS}):
        _check_journal(evidence, step, node, ends.get(node, Tip(0, journal.GENESIS)))


def note_all_names(evidence: Evidence, step: Step) -> None:
    """Remember which exchanges rows name, and where first; of a segment only what differs is looked at."""
    for manifest, changes in manifests(evidence):
        try:
            table = segment.read(evidence.layout.segments / manifest["file"])
        except EvidenceError:
            evidence.unread = evidence.unread or not _is_purged(changes)
            continue
        step.checked += table.num_rows
        columns = [table.column(name).cast("string").to_pylist() for name in ("exchanges", "fetch")]
        addressed = table.column("url").is_valid().to_pylist()
        first = {said: at for at, said in reversed(list(enumerate(zip(*columns, addressed, strict=True))))}
        file = f"segments/{manifest['file']}"
        for (exchanges, fetch, has_url), at in first.items():
            with step.looking_at(file, f"row {at}"):
                row = {"exchanges": exchanges and orjson.loads(exchanges), "fetch": fetch and orjson.loads(fetch)}
                note_names(evidence, file, f"row {at}", row | ({"url": ""} if has_url else {}))
    for file, place, row in _waiting_rows(evidence):
        step.checked += 1
        note_names(evidence, file, place, row)


def rows_of(evidence: Evidence) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every row that can be read, with its file and place: segments first, then journals."""
    for manifest, changes in manifests(evidence):
        try:
            table = segment.read(evidence.layout.segments / manifest["file"])
        except EvidenceError:
            evidence.unread = evidence.unread or not _is_purged(changes)
            continue
        lines = table.select([name for name in table.column_names if name not in {"leaf", "mark", "url_c"}])
        try:
            rows = list(segment.rows_of(lines))
        except (ValueError, TypeError, LookupError):
            evidence.unread = True
            continue
        for at, row in enumerate(rows):
            yield f"segments/{manifest['file']}", f"row {at}", row
    yield from _waiting_rows(evidence)


def _waiting_rows(evidence: Evidence) -> Iterator[tuple[str, str, dict[str, Any]]]:
    nodes = {path.name[:-26] for path in evidence.layout.directory.glob("*.jsonl.zst")}
    for node in sorted(nodes):
        try:
            for place, row in journal.rows(evidence.layout.directory, node=node):
                yield place.file, f"frame {place.frame} row {place.row}", row
        except EvidenceError:
            evidence.unread = True


def _is_purged(changes: list[dict[str, Any]]) -> bool:
    return any(change["v"] == PURGE for change in changes)


def manifests(evidence: Evidence) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every segment's manifest, signed or pending, with what was done to the segment since."""
    found = [entry for _, entry in evidence.of_type(SEGMENT)]
    known = {manifest["file"] for manifest in found}
    found += [entry for entry in evidence.waiting if entry["v"] == SEGMENT and entry["file"] not in known]
    changes: dict[str, list[dict[str, Any]]] = {}
    for entry in evidence.entries:
        if entry["v"] in {REDACTION, PURGE}:
            changes.setdefault(entry["file"], []).append(entry)
    return [(manifest, changes.get(manifest["file"], [])) for manifest in found]


def _check_segment(evidence: Evidence, step: Step, manifest: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    name, path = f"segments/{manifest['file']}", evidence.layout.segments / manifest["file"]
    if _is_purged(changes):
        if path.exists():
            step.fault(name, "", "it was logged as purged and is still there")
        return
    if not path.exists():
        step.fault(name, f"rows 0 to {manifest['rows'] - 1}", "the file is missing")
        return
    expected = _file_hash(step, name, manifest, changes)
    changed = sha256(path.read_bytes()).hexdigest() != expected
    try:
        table = segment.read(path)
    except EvidenceError as fault:
        step.fault(name, f"rows 0 to {manifest['rows'] - 1}", f"the file cannot be read: {fault.place}")
        return
    before = step.fault_count
    _check_rows(evidence, step, name, manifest, table)
    if changed and step.fault_count == before:
        step.fault(name, f"rows 0 to {manifest['rows'] - 1}", "the file does not have the hash that was logged")
    _check_redacted(step, name, table, changes)
    step.checked += table.num_rows


def _file_hash(step: Step, name: str, manifest: dict[str, Any], changes: list[dict[str, Any]]) -> str:
    """The hash that the file has after everything that was logged to have been done to it."""
    expected = str(manifest["file_sha256"])
    for change in changes:
        if change["before"] != expected:
            step.fault(name, "", "a redaction was logged of another file than this")
        expected = change["after"]
    return expected


def _check_rows(evidence: Evidence, step: Step, name: str, manifest: dict[str, Any], table: pa.Table) -> None:
    if table.num_rows != manifest["rows"]:
        place = f"rows {min(table.num_rows, manifest['rows'])} to {max(table.num_rows, manifest['rows']) - 1}"
        step.fault(name, place, f"{table.num_rows} rows instead of {manifest['rows']}")
        return
    try:
        salts = evidence.store.salts(manifest["file"])
    except EvidenceError as fault:
        place = f"rows 0 to {manifest['rows'] - 1}"
        step.fault(evidence.name(evidence.store.salts_path(manifest["file"])), place, fault.place or fault.message)
        return
    if salts is None:
        if (evidence.store.directory / "salts").exists():
            place = evidence.name(evidence.store.salts_path(manifest["file"]))
            step.fault(place, f"rows 0 to {manifest['rows'] - 1}", "the salts are missing")
        step.gap(f"{name}: no salts, so the root hash cannot be derived")
        return
    if salts.depth != depth_of(table.num_rows):
        step.fault(
            evidence.name(evidence.store.salts_path(manifest["file"])),
            f"rows 0 to {table.num_rows - 1}",
            "a tree of another depth",
        )
        return
    try:
        leaves = segment.derive(table, salts)
    except EvidenceError as fault:
        step.fault(name, fault.place or "", fault.message)
        return
    _check_destroyed(evidence, step, manifest["file"], table, salts)
    for at, what in segment.row_faults(table, leaves, manifest["first_seq"]):
        step.fault(name, f"row {at}", what)
    for at, what in segment.content_faults(table):
        step.fault(name, f"row {at}", what)
    _check_whole(step, name, manifest, table, leaves)


def _check_destroyed(evidence: Evidence, step: Step, file: str, table: pa.Table, salts: Salts) -> None:
    """Of what has been erased no salt is left, or it could be guessed from its hash."""
    for column, which in (("leaf", 0), ("url_c", 1)):
        for at, kept in enumerate(table.column(column).to_pylist()):
            if kept is not None and salts.salt(2 * at + which) is not None:
                place = evidence.name(evidence.store.salts_path(file))
                step.fault(place, f"row {at}", "the salt of what was erased is still there")


def _check_whole(step: Step, name: str, manifest: dict[str, Any], table: pa.Table, leaves: list[bytes]) -> None:
    """The root hash, and what the manifest says about all rows together."""
    if Tree(leaves).root.hex() != manifest["rows_root"]:
        step.fault(name, f"rows 0 to {table.num_rows - 1}", "the rows do not have the root hash that was logged")
    if table.column("leaf").null_count == table.num_rows:
        for field, value in summary_of(table).items():
            if value != manifest[field]:
                what = f"{field} is {str(manifest[field])[:200]} in the manifest, {str(value)[:200]} in the rows"
                step.fault(name, f"rows 0 to {table.num_rows - 1}", what)


def _check_redacted(step: Step, name: str, table: pa.Table, changes: list[dict[str, Any]]) -> None:
    """Exactly the rows and URLs that were logged as redacted are gone."""
    rows = {at for change in changes if change["v"] == REDACTION for at in change["rows"]}
    urls = {at for change in changes if change["v"] == REDACTION for at in change["urls"]} - rows
    gone = {at for at, leaf in enumerate(table.column("leaf").to_pylist()) if leaf is not None}
    blank = {at for at, kept in enumerate(table.column("url_c").to_pylist()) if kept is not None}
    for at in sorted((rows ^ gone) | (urls ^ blank)):
        step.fault(name, f"row {at}", "what was redacted is not what was logged as redacted")


def _ends(evidence: Evidence) -> dict[str, Tip]:
    """Where the sealed rows of each node end."""
    ends: dict[str, Tip] = {}
    for manifest, _ in manifests(evidence):
        chain = bytes.fromhex(manifest.get("chain", "")) or journal.GENESIS
        ends[manifest["node"]] = Tip(manifest["first_seq"] + manifest["rows"], chain)
    for _, entry in evidence.of_type(GAP):
        end = entry["first_seq"] + entry["rows"]
        if end > ends.get(entry["node"], Tip(0, b"")).next_seq:
            ends[entry["node"]] = Tip(end, bytes.fromhex(entry.get("chain", "")) or journal.GENESIS)
    return ends


def _check_journal(evidence: Evidence, step: Step, node: str, tip: Tip) -> None:
    passed = {tip.next_seq: tip.chain}
    for path in journal.journal_files(evidence.layout.directory, node):
        if int(path.name[-25:-10]) < tip.next_seq:
            step.note(f"{path.name} has been sealed; a crash may leave such a file")
            continue
        for found in journal.check(path, tip):
            if isinstance(found, Damage):
                if found.torn and _is_acknowledged(evidence, node, tip):
                    step.note(f"{path.name} frame {found.frame}: {found.what}; it was never acknowledged")
                    break
                step.fault(path.name, f"frame {found.frame}", found.what)
                evidence.unread = True
                return
            tip = found.after
            passed[tip.next_seq] = tip.chain
            step.checked += len(found.lines)
            for number, line in enumerate(found.lines):
                _note_url(step, path.name, f"frame {found.index} row {number}", line)
    _check_head(evidence, step, node, tip, passed)


def _check_head(evidence: Evidence, step: Step, node: str, tip: Tip, passed: dict[int, bytes]) -> None:
    """The head of a journal is of this journal, and not ahead of it."""
    head = journal.read_head(evidence.layout.directory, node)
    if head is None:
        step.fault(f"{node}.head", "", "the head is missing or damaged")
    elif head.next_seq > tip.next_seq:
        files = [path.name for path in journal.journal_files(evidence.layout.directory, node)]
        name = files[-1] if files else journal.file_name(node, tip.next_seq)
        place = f"rows {tip.next_seq} to {head.next_seq - 1}"
        step.fault(name, place, f"these rows are missing; {node}.head says that they were acknowledged")
        evidence.unread = True
    elif head.next_seq in passed and passed[head.next_seq] != head.chain and head.chain != journal.GENESIS:
        step.fault(f"{node}.head", "", "the head does not belong to this journal")
    elif head.next_seq < min(passed):
        step.fault(f"{node}.head", "", "the head is behind the rows that are sealed; a power cut may do that, and the "
                   "next start of the writer mends it")  # fmt: skip
    elif head.next_seq not in passed:
        step.fault(f"{node}.head", "", "the head does not stand at the end of a frame")
    else:
        step.checked += 1


def _is_acknowledged(evidence: Evidence, node: str, tip: Tip) -> bool:
    """Whether everything that was acknowledged is there; a full disk or a crash leaves a torn frame behind that."""
    head = journal.read_head(evidence.layout.directory, node)
    return head is not None and head == tip


def _note_url(step: Step, file: str, place: str, line: bytes) -> None:
    row = orjson.loads(line)
    if "host" not in row:
        step.fault(file, place, "the row has no host")


def note_names(evidence: Evidence, file: str, place: str, row: dict[str, Any]) -> None:
    """Remember which exchanges a row names."""
    named = row.get("exchanges")
    erased = "url" not in row
    if isinstance(named, str) and named:
        _note(evidence.lists, named, Named(file, place, erased))
    fetched = row.get("fetch")
    record = fetched.get("rec") if isinstance(fetched, dict) else None
    if isinstance(record, str):
        _note(evidence.records, record, Named(file, place, erased))


def _note(names: dict[str, Named], name: str, named: Named) -> None:
    known = names.setdefault(name, named)
    known.erased = known.erased and named.erased
