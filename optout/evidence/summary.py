"""What an evidence directory holds, in a few lines."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from optout.evidence import entries, journal, trust
from optout.evidence.checkpoint import parse
from optout.evidence.layout import read_description
from optout.evidence.log import LogReader
from optout.evidence.note import Algorithm
from optout.evidence.note import parse as parse_note

if TYPE_CHECKING:
    from optout.evidence.layout import Layout


def summary(layout: Layout) -> dict[str, Any]:
    """Name, size, root, keys, rows per node and effect, and who countersigned when.

    Raises:
        EvidenceError: the log is damaged.
    """
    description = read_description(layout)
    said: dict[str, Any] = {"origin": description.origin if description else "a journal without a log"}
    found: list[dict[str, Any]] = []
    if layout.checkpoint.exists():
        head = parse(parse_note(layout.checkpoint.read_bytes()).text)
        found = [entries.parse(data) for _, data in LogReader(layout, head.size).entries()]
        said |= {"entries": head.size, "root": head.root.hex()}
        logs = trust.parse(layout.policy.read_bytes()).logs
        said["key"] = [key.text for key in logs if key.algorithm is Algorithm.ED25519]
    said |= _rows(layout, found)
    said |= _audited(found)
    said["entry types"] = [f"{count} {kind.split('/')[1]}" for kind, count in Counter(e["v"] for e in found).items()]
    said["documents"] = [f"{_time(e)} {e['kind']} {e['digest']}" for e in found if e["v"] == entries.DOCUMENT]
    said["archives"] = [f"{e['name']} {e['bytes']} bytes" for e in found if e["v"] == entries.ARCHIVE]
    said["countersigned"] = [
        f"{_time(e)} size {e['size']} by {', '.join(e['witnesses']) or 'nobody'}, {len(e['tokens'])} timestamps"
        for e in found
        if e["v"] == entries.COUNTERSIGNED
    ]
    said["erased"] = [
        f"{_time(e)} {e['file']} {e['basis']}" for e in found if e["v"] in {entries.REDACTION, entries.PURGE}
    ]
    return said


def _rows(layout: Layout, found: list[dict[str, Any]]) -> dict[str, Any]:
    nodes: Counter[str] = Counter()
    effects: Counter[str] = Counter()
    for entry in found:
        if entry["v"] == entries.SEGMENT:
            nodes[entry["node"]] += entry["rows"]
            effects.update(entry["counts"])
    waiting: Counter[str] = Counter()
    for node in sorted({path.name[:-26] for path in layout.directory.glob("*.jsonl.zst")}):
        waiting[node] = sum(1 for _ in journal.rows(layout.directory, node=node))
    return {
        "sealed rows": sum(nodes.values()),
        "node": [f"{node}: {count} sealed" for node, count in sorted(nodes.items())],
        "effects": dict(sorted(effects.items())),
        "not sealed": sum(waiting.values()),
    }


def _audited(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What audits have made, by the newest entry about each shard."""
    newest = {entry["shard"]: entry for entry in found if entry["v"] == entries.SHARD}
    if not newest:
        return {}
    rows, kept = (sum(entry[name] for entry in newest.values()) for name in ("rows", "kept"))
    return {"audited": f"{len(newest)} shards, {rows} rows, {kept} kept"}


def _time(entry: dict[str, Any]) -> str:
    return datetime.fromtimestamp(entry["t"] // 1_000_000, UTC).isoformat()
