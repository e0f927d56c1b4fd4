"""The entries of the log: small canonical JSON objects, each with a type and a time.

| type | what it commits to |
|---|---|
| `segment` | the manifest of a sealed segment: its rows' root hash, file hash, numbers, counts |
| `archive` | a sealed WARC file of signals |
| `document` | a policy, registry or identity file that is in force from now on |
| `redaction` | rows or URLs that have been erased from a segment, and on what legal basis |
| `purge` | a segment's file that was removed when its time was up; its hashes remain |
| `gap` | rows that are lost, declared |
| `rotation` | new signing keys, under the signature of the old ones |
| `countersigned` | who else put their name to an earlier checkpoint, and timestamp tokens over it |
| `heartbeat` | nothing happened; so silence is visible |
| `predecessor` | the last checkpoint of the log before this one |
| `audit` | what an audit was asked: policy, agent, dates, and the digest of the store of signals that it used |
| `shard` | what an audit made of one input: hashes of what was read, of the decisions and of the rows that were kept |
| `report` | the report of an audit that came to its end |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from optout.evidence.canonical import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.evidence.note import VerifierKey
    from optout.evidence.warc import Sealed

SEGMENT, ARCHIVE, DOCUMENT = "evidence/segment/1", "evidence/archive/1", "evidence/document/1"
REDACTION, PURGE, GAP = "evidence/redaction/1", "evidence/purge/1", "evidence/gap/1"
ROTATION, HEARTBEAT, PREDECESSOR = "evidence/rotation/1", "evidence/heartbeat/1", "evidence/predecessor/1"
COUNTERSIGNED = "evidence/countersigned/1"
AUDIT, SHARD, AUDIT_REPORT = "evidence/audit/1", "evidence/shard/1", "evidence/report/1"

REQUIRED: Mapping[str, Mapping[str, type]] = {
    SEGMENT: {
        "node": str, "first_seq": int, "rows": int, "rows_root": str, "leaf": str, "t_min": int, "t_max": int,
        "file": str, "file_sha256": str, "counts": dict, "policy": list, "identity": list, "registry": list,
    },
    ARCHIVE: {"name": str, "sha256": str, "bytes": int, "clean": bool, "t": int},
    DOCUMENT: {"kind": str, "digest": str, "parts": list, "t": int},
    REDACTION: {"file": str, "rows": list, "urls": list, "basis": str, "before": str, "after": str, "t": int},
    PURGE: {"file": str, "basis": str, "t": int},
    GAP: {"node": str, "first_seq": int, "rows": int, "reason": str, "t": int},
    ROTATION: {"old": list, "new": list, "until": int, "t": int},
    COUNTERSIGNED: {"size": int, "witnesses": list, "tokens": list, "t": int},
    HEARTBEAT: {"t": int},
    PREDECESSOR: {"checkpoint": str, "t": int},
    AUDIT: {
        "job": str, "policy": str, "registry": str, "identity": str, "agent": str, "as_of": str, "retroactive": bool,
        "today": str, "columns": dict, "compared": list, "lists": list, "store": dict, "t": int,
    },
    SHARD: {
        "shard": str, "job": str, "file": str, "start": int, "length": int, "input_sha256": str, "rows": int,
        "kept": int, "content": int, "faults": int, "unreadable": str, "decisions": str, "decisions_sha256": str,
        "kept_file": str, "kept_sha256": str, "t": int,
    },
    AUDIT_REPORT: {"job": str, "rows": int, "kept": int, "report_sha256": str, "t": int},
}  # fmt: skip
"""The fields that an entry of each type has, with their types."""


_DIGEST = re.compile(r"[0-9a-f]{64}")
_DIGESTS = {"rows_root", "file_sha256", "sha256", "before", "after", "chain"}


def archive(sealed: Sealed, t: int) -> dict[str, Any]:
    """A sealed WARC file; times are in microseconds."""
    return {
        "v": ARCHIVE, "name": sealed.name, "sha256": sealed.sha256, "bytes": sealed.size, "clean": sealed.clean, "t": t,
    }  # fmt: skip


def document(kind: str, digest: str, parts: Sequence[str], t: int) -> dict[str, Any]:
    """A file, or several under one digest, in force from now on."""
    return {"v": DOCUMENT, "kind": kind, "digest": digest, "parts": list(parts), "t": t}


def gap(node: str, first_seq: int, rows: int, reason: str, t: int) -> dict[str, Any]:
    """Rows that are lost."""
    return {"v": GAP, "node": node, "first_seq": first_seq, "rows": rows, "reason": reason, "t": t}


def rotation(old: Sequence[VerifierKey], new: Sequence[VerifierKey], until: int, t: int) -> dict[str, Any]:
    """New keys; the old ones sign beside them until a POSIX time."""
    return {"v": ROTATION, "old": [key.text for key in old], "new": [key.text for key in new], "until": until, "t": t}


def without_time(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without its time: what it says, whenever it says it."""
    return {name: value for name, value in entry.items() if name != "t"}


def heartbeat(t: int) -> dict[str, Any]:
    """A sign of life."""
    return {"v": HEARTBEAT, "t": t}


def parse(data: bytes) -> dict[str, Any]:
    """Read an entry.

    Raises:
        ValueError: it is not canonical, of no known type, or a field is missing.
    """
    entry = decode(data)
    kind = entry.get("v") if isinstance(entry, dict) else None
    required = REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None:
        raise ValueError(f"an entry of the unknown type {kind!r}")
    for name, expected in required.items():
        if type(entry.get(name)) is not expected:
            raise ValueError(f"a {kind} entry without a proper {name}")
    for name in _DIGESTS & entry.keys():
        if not _DIGEST.fullmatch(str(entry[name])):
            raise ValueError(f"a {kind} entry whose {name} is no SHA-256")
    return dict(entry)
