"""The steps about the log itself: its signatures, tiles, earlier checkpoints and entries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import entries as entry_types
from optout.evidence import layout, tlog
from optout.evidence.checks_witness import in_future
from optout.evidence.entries import GAP, PREDECESSOR, PURGE, REDACTION, ROTATION, SEGMENT
from optout.evidence.log import LogReader, end_of
from optout.evidence.note import MalformedNote, parse_verifier

if TYPE_CHECKING:
    from pathlib import Path

    from optout.evidence.checks import Evidence
    from optout.evidence.keystore import TreeHead
    from optout.evidence.note import VerifierKey
    from optout.evidence.report import Step

_HOUR = 3600 * 1_000_000
_SILENCE = 2 * _HOUR
"""How long nothing is said before a reader should know: two heartbeats. In microseconds, as the log's times."""

_SHOWN = 5
"""How many of the longest silences, of the gaps, and of the late segments are named."""


def signatures(evidence: Evidence, step: Step) -> None:
    """The checkpoint is signed by every key that the policy file names, and by a trusted one."""
    named = evidence.policy.logs if evidence.policy else ()
    if not evidence.trusted:
        step.note("the log's keys were taken from the directory itself; compare them with published ones")
    try:
        data = evidence.layout.checkpoint.read_bytes()
        evidence.keys = _trusted_now(evidence, step)
        evidence.opened = checkpoints.open_note(data, dict.fromkeys([*evidence.keys, *named]))
    except FileNotFoundError:
        signed = evidence.store.signed() if evidence.store.directory.exists() else None
        if signed is not None and _is_there(evidence, signed):
            step.gap("checkpoint: the log has not signed anything yet, or its first signature was cut short")
        else:
            step.fault("checkpoint", "", "the file is missing")
        return
    except MalformedNote as fault:
        step.fault("checkpoint", "", str(fault))
        return
    opened, origin = evidence.opened, evidence.description.origin if evidence.description else None
    step.checked += len(opened.signers)
    if not any(key in evidence.keys for key in opened.signers):
        step.fault("checkpoint", "", "no trusted key signed it")
    for key in named:
        if key.checkable and key not in opened.signers:
            step.fault("checkpoint", "", f"the signature of the key {key.key_id.hex()} is missing")
    if origin is not None and opened.checkpoint.origin != origin:
        what = f"it is of the log {opened.checkpoint.origin!r}, evidence.json is of {origin!r}"
        step.fault("checkpoint", "line 1", what)
    if evidence.now is not None and in_future(evidence, opened.signers.values()):
        step.fault("checkpoint", "", "it states a time that has not come")


def tiles(evidence: Evidence, step: Step) -> None:
    """Every bundle hashes to its tile, every tile to the one above, and the last to the signed root."""
    if evidence.opened is None:
        step.gap("no checkpoint")
        return
    signed = evidence.opened.checkpoint
    reader = LogReader(evidence.layout, signed.size)
    leaves: list[bytes] = []
    try:
        for index, data in reader.entries():
            leaves.append(tlog.leaf_hash(data))
            evidence.entries.append(_entry(evidence, step, index, data))
    except EvidenceError as fault:
        name = evidence.bundle_of(len(leaves))
        step.fault(name, f"entry {len(leaves)}", fault.place or "the file is missing")
        return
    tree = tlog.Tree(leaves)
    step.checked += len(leaves)
    if tree.root != signed.root:
        tree = _blame(evidence, step, reader, tree)
    for path in sorted((evidence.layout.directory / "tile").rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            step.checked += 1
            _check_tile(evidence, step, path, tree)
    for level, index, width in tlog.tiles(signed.size):
        names = {tlog.tile_path(level, index, width), tlog.tile_path(level, index)}
        if not any((evidence.layout.directory / name).exists() for name in names):
            step.fault(tlog.tile_path(level, index, width), "", "the tile is missing")
    if not step.fault_count:
        evidence.reader = reader


def _blame(evidence: Evidence, step: Step, reader: LogReader, tree: tlog.Tree) -> tlog.Tree:
    """Find the entries that are not those that were signed: the hash tiles may still know; give the tree to go by."""
    try:
        known = [reader.nodes(0, index) for index in range(reader.size)]
        signed = tlog.Tree(known)
    except (EvidenceError, IndexError):
        signed = tree
    if evidence.opened is None or signed.root != evidence.opened.checkpoint.root:
        step.fault("tile/entries", "", "the entries do not have the root hash that was signed")
        return tree
    for index in range(reader.size):
        if tree.node(0, index) != signed.node(0, index):
            step.fault(evidence.bundle_of(index), f"entry {index}", "this is not the entry that was signed")
    return signed


def continuation(evidence: Evidence, step: Step) -> None:
    """Checkpoints from before, here, in the signer's memory and with the verifier, are beginnings of this log."""
    if evidence.reader is None:
        step.gap("the tiles do not hold")
        return
    for path in sorted(evidence.layout.checkpoints.glob("[0-9]*"), key=lambda path: int(path.name)):
        step.checked += 1
        size = _earlier(evidence, step, f"checkpoints/{path.name}", path.read_bytes())
        if size is not None and size != int(path.name):
            step.fault(f"checkpoints/{path.name}", "", f"it is of size {size}")
    for number, data in enumerate(evidence.known, 1):
        step.checked += 1
        _earlier(evidence, step, f"known checkpoint {number}", data)
    _signer_memory(evidence, step)
    _signing_keys(evidence, step)
    if not evidence.known:
        step.note("no checkpoint from elsewhere was given, so a log that was replaced as a whole would not show")


def entries_continue(evidence: Evidence, step: Step) -> None:
    """Each node's rows follow each other without a gap, except where a loss was declared."""
    _note_silence(evidence, step)
    _note_late(evidence, step)
    ends: dict[str, int] = {}
    continued = any(entry["v"] == PREDECESSOR for entry in evidence.entries)
    files: set[str] = set()
    for index, entry in enumerate(evidence.entries):
        step.checked += 1
        if entry["v"] in {SEGMENT, GAP}:
            expected = ends.get(entry["node"], entry["first_seq"] if continued else 0)
            if entry["first_seq"] != expected:
                what = f"the rows of {entry['node']} begin at {entry['first_seq']}, not at {expected}"
                step.fault(evidence.bundle_of(index), f"entry {index}", what)
            ends[entry["node"]] = entry["first_seq"] + entry["rows"]
        if entry["v"] == SEGMENT and entry["file"] != layout.segment_name(entry["node"], entry["first_seq"]):
            step.fault(evidence.bundle_of(index), f"entry {index}", f"the segment is called {entry['file']}")
        if entry["v"] == SEGMENT:
            files.add(entry["file"])
        if entry["v"] in {REDACTION, PURGE} and entry["file"] not in files:
            step.fault(evidence.bundle_of(index), f"entry {index}", f"there is no segment {entry['file']} before it")


def _note_silence(evidence: Evidence, step: Step) -> None:
    """The longest times of which the log says nothing; while a process has it open, it says something every hour."""
    times = sorted(entry.get("t", entry.get("t_max", 0)) for entry in evidence.entries)
    silences = [(later - before, before) for before, later in pairwise(times) if later - before > _SILENCE]
    for length, since in sorted(silences, reverse=True)[:_SHOWN]:
        step.note(f"the log says nothing for {length // _HOUR} hours after {_time(since)}")
    for index, entry in evidence.of_type(GAP)[:_SHOWN]:
        what = f"{entry['rows']} rows of {entry['node']} from {entry['first_seq']} on were declared lost"
        step.note(f"entry {index}: {what}: {entry['reason']}")


def _note_late(evidence: Evidence, step: Step) -> None:
    """Rows that the log took up long after the time that they state: nobody but the operator vouches for that time."""
    seen = 0
    late = []
    for index, entry in enumerate(evidence.entries):
        if entry["v"] == SEGMENT and seen - entry["t_max"] > _SILENCE:
            late.append((index, entry, seen))
        seen = max(seen, entry.get("t", entry.get("t_max", 0)))
    for index, entry, after in late[:_SHOWN]:
        what = f"the rows of {entry['file']} say {_time(entry['t_min'])} to {_time(entry['t_max'])}"
        step.note(f"entry {index}: {what}, and were logged after {_time(after)}")


def _time(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat(timespec="seconds")


def _trusted_now(evidence: Evidence, step: Step) -> tuple[VerifierKey, ...]:
    """The keys that trusted ones lead to by rotations that they signed."""
    if not evidence.trusted:
        return evidence.policy.logs if evidence.policy else ()
    keys = dict.fromkeys(evidence.trusted)
    for path in sorted(evidence.layout.checkpoints.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            opened = checkpoints.open_note(path.read_bytes(), keys)
            found = LogReader(evidence.layout, opened.checkpoint.size)
            if found.root() != opened.checkpoint.root:
                continue
            keys |= dict.fromkeys(_rotated(found, tuple(keys)))
        except (MalformedNote, EvidenceError) as fault:
            step.note(f"checkpoints/{path.name} does not lead to further keys: {fault}")
    return tuple(keys)


def _rotated(reader: LogReader, keys: tuple[VerifierKey, ...]) -> list[VerifierKey]:
    found: list[VerifierKey] = []
    texts = {key.text for key in keys}
    for _, data in reader.entries():
        if ROTATION.encode() in data:
            entry = entry_types.parse(data)
            if texts & set(entry["old"]):
                found += [parse_verifier(text) for text in entry["new"]]
                texts |= set(entry["new"])
    return found


def _entry(evidence: Evidence, step: Step, index: int, data: bytes) -> dict[str, object]:
    try:
        return entry_types.parse(data)
    except ValueError as fault:
        step.fault(evidence.bundle_of(index), f"entry {index}", str(fault))
        return {"v": ""}


def _check_tile(evidence: Evidence, step: Step, path: Path, tree: tlog.Tree) -> None:
    """One tile or bundle, full or partial, against the tree of the entries."""
    name = str(path.relative_to(evidence.layout.directory))
    parts = name.removeprefix("tile/").replace(".p/", "/p").split("/")
    width = int(parts.pop()[1:]) if parts[-1].startswith("p") else tlog.TILE_WIDTH
    index = int("".join(part.removeprefix("x") for part in parts[1:]))
    level = 0 if parts[0] == "entries" else int(parts[0])
    if end_of(name) > tree.size:
        step.note(f"{name} goes beyond what was signed; a crash may leave such a file")
        return
    data = path.read_bytes()
    expected = tlog.tile_bytes(level, index, width, tree.node)
    if parts[0] == "entries":
        try:
            data = b"".join(map(tlog.leaf_hash, tlog.bundle_entries(data)))
        except ValueError as fault:
            step.fault(name, f"entries from {index * tlog.TILE_WIDTH} on", str(fault))
            return
    if data != expected:
        at = next((i for i in range(0, len(expected), 32) if data[i : i + 32] != expected[i : i + 32]), len(expected))
        step.fault(name, f"hash {at // 32}", "it is not that of the entries")


def _earlier(evidence: Evidence, step: Step, name: str, data: bytes) -> int | None:
    """Hold the log to an earlier checkpoint; give its size."""
    keys = dict.fromkeys([*evidence.keys, *evidence.all_log_keys()])
    try:
        earlier = checkpoints.open_note(data, keys).checkpoint
        if evidence.opened is None or evidence.reader is None:
            return None
        newest = evidence.opened.checkpoint
        if earlier.origin != newest.origin:
            step.fault(name, "", f"it is of the log {earlier.origin}")
        elif earlier.size > newest.size:
            step.fault("checkpoint", "", f"the log was rolled back: {name} is of size {earlier.size}")
        elif not tlog.check_consistency(
            earlier.size, earlier.root, newest.size, newest.root, evidence.reader.consistency(earlier.size)
        ):
            step.fault(
                "checkpoint", "", f"the log was rewritten: {name} of size {earlier.size} is not a beginning of it"
            )
        return earlier.size
    except (MalformedNote, EvidenceError) as fault:
        step.fault(name, "", str(fault))
        return None


def _is_there(evidence: Evidence, head: TreeHead) -> bool:
    """Whether the tiles hold this tree, signed or not."""
    try:
        return LogReader(evidence.layout, head.size).root() == head.root
    except EvidenceError:
        return False


def _signer_memory(evidence: Evidence, step: Step) -> None:
    store = evidence.store
    if not store.directory.exists() or evidence.opened is None or evidence.reader is None:
        return
    step.checked += 1
    try:
        signed, newest = store.signed(), evidence.opened.checkpoint
    except EvidenceError as fault:
        step.fault("private/signed.json", "", fault.message)
        return
    if signed is None:
        step.fault("private/signed.json", "", "the signer's memory is missing")
    elif signed.size > newest.size and _is_there(evidence, signed):
        step.gap(f"checkpoint: the signature at size {signed.size} was cut short; who opens the log next repeats it")
    elif signed.size > newest.size:
        step.fault("checkpoint", "", f"the log was rolled back: private/signed.json says size {signed.size}")
    elif (signed.size, signed.root) != (newest.size, newest.root):
        step.fault("private/signed.json", "", "the signer remembers another tree than it signed")


def _signing_keys(evidence: Evidence, step: Step) -> None:
    """The keys that sign are those that are published, for as long as was logged."""
    if not evidence.store.directory.exists() or evidence.reader is None:
        return
    try:
        keys = evidence.store.log_keys()
    except (EvidenceError, MalformedNote) as fault:
        step.fault("private/log.keys", "", str(fault))
        return
    held = {key.signer.verifier for key in keys}
    if held != (set(evidence.policy.logs) if evidence.policy else held):
        step.fault("private/log.keys", "", "the keys that sign are not those that policy.txt names")
    if (evidence.store.directory / "next.keys").exists():
        step.note("keys are being replaced, and that was interrupted; `optout evidence rotate` finishes it")
        return
    until = {text: entry["until"] for _, entry in evidence.of_type(ROTATION) for text in entry["old"]}
    for number, key in enumerate(keys, 1):
        if key.until != until.get(key.signer.verifier.text):
            step.fault("private/log.keys", f"line {number}", "the key signs longer, or not as long, as was logged")
