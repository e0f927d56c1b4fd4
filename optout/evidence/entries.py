"""The entries of the log: small canonical JSON objects, each with a type and a time.

| type | what it commits to |
|---|---|
| `segment` | the manifest of a sealed segment: its rows' root hash, file hash, numbers, counts |
| `archive` | a sealed WARC file of signals |
| `document` | a policy, registry or identity file that is in force from now on |
| `redaction` | rows or URLs that have been erased from a segment, and on what legal basis |
| `erasure` | an archive file that was written anew without the records of erased rows |
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
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.evidence.canonical import decode
from optout.evidence.layout import parse_segment_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optout.evidence.note import VerifierKey
    from optout.evidence.warc import Sealed

SEGMENT, ARCHIVE, DOCUMENT = "evidence/segment/1", "evidence/archive/1", "evidence/document/1"
REDACTION, PURGE, GAP = "evidence/redaction/1", "evidence/purge/1", "evidence/gap/1"
ROTATION, HEARTBEAT, PREDECESSOR = "evidence/rotation/1", "evidence/heartbeat/1", "evidence/predecessor/1"
COUNTERSIGNED, ERASURE = "evidence/countersigned/1", "evidence/erasure/1"
AUDIT, SHARD, AUDIT_REPORT = "evidence/audit/1", "evidence/shard/1", "evidence/report/1"

REQUIRED: Mapping[str, Mapping[str, type]] = {
    SEGMENT: {
        "node": str, "first_seq": int, "rows": int, "rows_root": str, "leaf": str, "t_min": int, "t_max": int,
        "file": str, "file_sha256": str, "counts": dict, "policy": list, "identity": list, "registry": list,
    },
    ARCHIVE: {"name": str, "sha256": str, "bytes": int, "clean": bool, "t": int},
    DOCUMENT: {"kind": str, "digest": str, "parts": list, "t": int},
    REDACTION: {"file": str, "rows": list, "urls": list, "basis": str, "before": str, "after": str, "t": int},
    ERASURE: {"name": str, "erased": int, "before": str, "after": str, "basis": str, "t": int},
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

OPTIONAL: Mapping[str, frozenset[str]] = {SEGMENT: frozenset({"chain"}), GAP: frozenset({"chain"})}
"""What an entry may have besides: the chain value of the journal after its last row. Any other field is refused."""

_MOST = 2**53 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ARCHIVE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}-[0-9]{6}\.warc\.gz")


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


def countersigned(size: int, t: int, witnesses: Sequence[str] = (), tokens: Sequence[str] = ()) -> dict[str, Any]:
    """A checkpoint that is kept: under cosignatures, timestamp tokens, or for the sake of the keys that signed it."""
    return {"v": COUNTERSIGNED, "size": size, "witnesses": list(witnesses), "tokens": list(tokens), "t": t}


def heartbeat(t: int) -> dict[str, Any]:
    """A sign of life."""
    return {"v": HEARTBEAT, "t": t}


def parse(data: bytes) -> dict[str, Any]:
    """Read an entry. A name in it never leads out of the directory that it names a file of.

    Raises:
        ValueError: it is not canonical, of no known type, or a field is missing, not known, or not what it must be.
    """
    entry = decode(data)
    kind = entry.get("v") if isinstance(entry, dict) else None
    required = REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None:
        raise ValueError(f"an entry of the unknown type {str(kind)[:80]!r}")
    unknown = entry.keys() - required.keys() - OPTIONAL.get(str(kind), frozenset()) - {"v"}
    if unknown:
        raise ValueError(f"a {kind} entry with the unknown field {min(unknown)[:80]!r}")
    for name, expected in required.items():
        if type(entry.get(name)) is not expected:
            raise ValueError(f"a {kind} entry without a proper {name}")
    proper = _PROPER_OF_AUDITS if kind in _OF_AUDITS else _PROPER
    for name, value in entry.items():
        if name in proper and not proper[name](value):
            raise ValueError(f"a {kind} entry whose {name} is not what it must be: {str(value)[:80]!r}")
    return dict(entry)


def waiting_bytes(data: bytes) -> bytes:
    """An entry as it waits for the log: with its SHA-256 on a second line, because no signature covers it yet."""
    return data + b"\n" + sha256(data).hexdigest().encode() + b"\n"


def parse_waiting(data: bytes) -> dict[str, Any]:
    """Read an entry that waits for the log.

    Raises:
        ValueError: it does not have its SHA-256, or is no entry.
    """
    entry = data.partition(b"\n")[0]
    if waiting_bytes(entry) != data:
        raise ValueError("the entry does not have its SHA-256")
    return parse(entry)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _are(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_rows(value: object) -> bool:
    """How many rows there are, or which."""
    return _are(_is_count)(value) if isinstance(value, list) else _is_count(value) and value != 0


_PROPER: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("rows_root", "file_sha256", "sha256", "before", "after", "chain"), _is_digest),
    **dict.fromkeys(("first_seq", "size", "bytes", "erased"), _is_count),
    **dict.fromkeys(("witnesses", "policy", "identity", "registry", "old", "new"), _are(_is_text)),
    **dict.fromkeys(("parts", "tokens"), _are(_is_digest)),
    "node": lambda value: _NODE.fullmatch(value) is not None,
    "file": lambda value: parse_segment_name(value) is not None,
    "name": lambda value: _ARCHIVE_FILE.fullmatch(value) is not None,
    "rows": _are_rows,
    "urls": _are(_is_count),
    "counts": lambda value: all(map(_is_count, value.values())),
}
"""What the value of a field is held to, whatever entry it stands in, but for those of audits."""


def _is_output(folder: str) -> Callable[[object], bool]:
    """Whether something is the name of a file in a folder beside the log, or empty."""
    return lambda value: (
        value == ""
        or (isinstance(value, str) and value.startswith(folder) and not {"", ".", ".."} & set(value.split("/")))
    )


_OF_AUDITS = frozenset({AUDIT, SHARD, AUDIT_REPORT})
_PROPER_OF_AUDITS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("job", "policy", "registry", "identity", "report_sha256"), _is_digest),
    **dict.fromkeys(("input_sha256", "decisions_sha256", "kept_sha256"), lambda value: not value or _is_digest(value)),
    **dict.fromkeys(("start", "length", "rows", "kept", "content", "faults"), _is_count),
    "lists": _are(_is_digest),
    "decisions": _is_output("decisions/"),
    "kept_file": _is_output("kept/"),
}
"""The same for the entries of audits."""
