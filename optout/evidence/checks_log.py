"""The steps about the log itself: its files, signatures, tiles, earlier checkpoints, witnesses and entries."""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import entries as entry_types
from optout.evidence import layout, timestamp, tlog, trust
from optout.evidence import note as notes
from optout.evidence.entries import COUNTERSIGNED, DOCUMENT, GAP, PREDECESSOR, PURGE, REDACTION, ROTATION, SEGMENT
from optout.evidence.log import LogReader, end_of
from optout.evidence.note import Algorithm, MalformedNote, parse_verifier
from optout.evidence.publisher import pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from optout.evidence.checks import Evidence
    from optout.evidence.keystore import TreeHead
    from optout.evidence.note import VerifierKey
    from optout.evidence.report import Step

_NODE = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TILE = r"(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?"
_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        "evidence\\.json", "checkpoint", "policy\\.txt", r"checkpoints/[0-9]+", r"timestamps/[0-9]+\.[0-9]+\.tsr",
        rf"tile/([0-9]|[1-5][0-9]|6[0-3])/{_TILE}", f"tile/entries/{_TILE}", "documents/[0-9a-f]{64}",
        rf"segments/{_NODE}-[0-9]{{15}}\.parquet", r"(pending|collected)/[^/]+\.json", "private/.+",
        rf"{_NODE}-[0-9]{{15}}\.jsonl\.zst", rf"{_NODE}\.head", rf"{_NODE}\.lock",
        rf"{_NODE}-[0-9]{{15}}\.jsonl\.[0-9]+\.torn", r"(.*/)?\.[^/]+\.part",
    )
)  # fmt: skip

_FUTURE_SECONDS = 300
"""How far a witness's clock may be ahead."""


def structure(evidence: Evidence, step: Step) -> None:
    """The files that say what this is can be read, and no file is here that should not be."""
    try:
        evidence.description = layout.read_description(evidence.layout)
        evidence.policy = trust.parse(evidence.layout.policy.read_bytes(), "policy.txt")
        step.checked += 2
    except FileNotFoundError as fault:
        step.fault(evidence.name(evidence.layout.policy), "", str(fault.strerror))
    except EvidenceError as fault:
        step.fault(evidence.name(evidence.layout.directory), fault.place or "", str(fault))
    if evidence.description is None:
        step.fault("evidence.json", "", "the file is missing; this is a journal without a log")
    for path in evidence.layout.directory.rglob("*"):
        if path.is_file():
            step.checked += 1
            name = str(path.relative_to(evidence.layout.directory))
            if not any(pattern.fullmatch(name) for pattern in _NAMES):
                step.fault(name, "", "this file does not belong to an evidence log")


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
    if evidence.now is not None and _in_future(evidence, opened.signers.values()):
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
            evidence.entries.append(_entry(step, index, data))
    except EvidenceError as fault:
        step.fault(str(fault.message), fault.place or "", "the entries cannot be read")
        return
    tree = tlog.Tree(leaves)
    step.checked += len(leaves)
    if tree.root != signed.root:
        step.fault("tile/entries", "", "the entries do not have the root hash that was signed")
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
    if not evidence.known:
        step.note("no checkpoint from elsewhere was given, so a log that was replaced as a whole would not show")


def witnesses(evidence: Evidence, step: Step) -> None:
    """Cosignatures verify, say times that can be, and are as many as the policy asks; timestamps verify."""
    policy = evidence.policy
    if policy is None or evidence.opened is None:
        step.gap("no policy file or no checkpoint")
        return
    before: dict[VerifierKey, int] = {}
    for path in sorted(evidence.layout.checkpoints.glob("[0-9]*"), key=lambda path: int(path.name)):
        _check_cosignatures(evidence, step, path, before)
    for path in sorted(evidence.layout.timestamps.glob("*.tsr")):
        _check_timestamp(evidence, step, path)
    for index, entry in evidence.of_type(COUNTERSIGNED):
        _check_kept(evidence, step, index, entry)
    if policy.quorum != trust.NONE and not before:
        step.gap(f"the policy asks for the quorum {policy.quorum}, and no checkpoint has been cosigned yet")


def entries_continue(evidence: Evidence, step: Step) -> None:
    """Each node's rows follow each other without a gap, except where a loss was declared; times do not run back."""
    ends: dict[str, int] = {}
    continued = any(entry["v"] == PREDECESSOR for entry in evidence.entries)
    files: set[str] = set()
    for index, entry in enumerate(evidence.entries):
        step.checked += 1
        if entry["v"] in {SEGMENT, GAP}:
            expected = ends.get(entry["node"], entry["first_seq"] if continued else 0)
            if entry["first_seq"] != expected:
                what = f"the rows of {entry['node']} begin at {entry['first_seq']}, not at {expected}"
                step.fault("tile/entries", f"entry {index}", what)
            ends[entry["node"]] = entry["first_seq"] + entry["rows"]
        if entry["v"] == SEGMENT and entry["file"] != layout.segment_name(entry["node"], entry["first_seq"]):
            step.fault("tile/entries", f"entry {index}", f"the segment is called {entry['file']}")
        if entry["v"] == SEGMENT:
            files.add(entry["file"])
        if entry["v"] in {REDACTION, PURGE} and entry["file"] not in files:
            step.fault("tile/entries", f"entry {index}", f"there is no segment {entry['file']} before it")


def documents(evidence: Evidence, step: Step) -> None:
    """Every document that was logged is here, and every digest that rows name was logged."""
    logged: dict[str, set[str]] = {}
    named: set[str] = set()
    for index, entry in [*evidence.of_type(DOCUMENT), *_waiting(evidence, DOCUMENT)]:
        step.checked += 1
        logged.setdefault(entry["kind"], set()).add(entry["digest"])
        named.update(entry["parts"])
        _check_document(evidence, step, index, entry)
    if evidence.reader is None:
        step.gap("the tiles do not hold")
        return
    for path in evidence.layout.documents.glob("*"):
        if path.name not in named and not path.name.startswith("."):
            step.fault(f"documents/{path.name}", "", "nobody logged this document")
    for index, entry in evidence.of_type(SEGMENT):
        for kind in ("policy", "identity", "registry"):
            for digest in set(entry[kind]) - logged.get(kind, set()):
                step.gap(f"the {kind} {digest} that {entry['file']} names (entry {index}) was not logged")


def _check_document(evidence: Evidence, step: Step, index: int, entry: dict[str, Any]) -> None:
    for part in entry["parts"]:
        path = evidence.layout.documents / str(part)
        if not path.exists() or sha256(path.read_bytes()).hexdigest() != part:
            step.fault(f"documents/{part}", f"entry {index}", f"the {entry['kind']} is missing or changed")
    if len(entry["parts"]) == 1 and entry["digest"] != entry["parts"][0]:
        step.fault("tile/entries", f"entry {index}", "the digest is not that of its one part")


def _waiting(evidence: Evidence, kind: str) -> list[tuple[int, dict[str, Any]]]:
    """Entries of a type that wait to be taken up; they have no index yet."""
    try:
        return [(-1, entry) for _, entry in pending(evidence.layout) if entry["v"] == kind]
    except EvidenceError:
        return []


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


def _entry(step: Step, index: int, data: bytes) -> dict[str, object]:
    try:
        return entry_types.parse(data)
    except ValueError as fault:
        step.fault("tile/entries", f"entry {index}", str(fault))
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
            step.fault(name, "", str(fault))
            return
    if data != expected:
        at = next((i for i in range(0, len(expected), 32) if data[i : i + 32] != expected[i : i + 32]), len(expected))
        step.fault(name, f"hash {at // 32}", "it is not that of the entries")


def _earlier(evidence: Evidence, step: Step, name: str, data: bytes) -> int | None:
    """Hold the log to an earlier checkpoint; give its size."""
    keys = dict.fromkeys([*evidence.keys, *_all_log_keys(evidence)])
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


def _all_log_keys(evidence: Evidence) -> list[VerifierKey]:
    """The keys that the log ever named as its own, retired ones too."""
    return [parse_verifier(text) for _, entry in evidence.of_type(ROTATION) for text in [*entry["old"], *entry["new"]]]


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
    signed, newest = store.signed(), evidence.opened.checkpoint
    step.checked += 1
    if signed is None:
        step.fault("private/signed.json", "", "the signer's memory is missing")
    elif signed.size > newest.size and _is_there(evidence, signed):
        step.gap(f"checkpoint: the signature at size {signed.size} was cut short; who opens the log next repeats it")
    elif signed.size > newest.size:
        step.fault("checkpoint", "", f"the log was rolled back: private/signed.json says size {signed.size}")
    elif (signed.size, signed.root) != (newest.size, newest.root):
        step.fault("private/signed.json", "", "the signer remembers another tree than it signed")
    try:
        held = {key.signer.verifier for key in store.log_keys()}
        named = set(evidence.policy.logs) if evidence.policy else held
        if held != named:
            step.fault("private/log.keys", "", "the keys that sign are not those that policy.txt names")
    except (EvidenceError, MalformedNote) as fault:
        step.fault("private/log.keys", "", str(fault))


def _check_cosignatures(evidence: Evidence, step: Step, path: Path, before: dict[VerifierKey, int]) -> None:
    policy, name = evidence.policy, f"checkpoints/{path.name}"
    witnesses = {witness.key for witness in policy.witnesses.values()} if policy else set()
    keys = dict.fromkeys([*evidence.keys, *_all_log_keys(evidence), *witnesses])
    try:
        opened = checkpoints.open_note(path.read_bytes(), keys)
    except MalformedNote as fault:
        step.fault(name, "", str(fault))
        return
    strangers = sum(not any(key.made(line) for key in keys) for line in opened.note.signatures)
    if strangers:
        step.gap(f"{name} has {strangers} signatures by keys that neither the log nor the policy file names")
    for key, at in opened.signers.items():
        if key not in witnesses or at is None:
            continue
        step.checked += 1
        if at < before.get(key, 0):
            step.fault(name, "", f"{key.name} dates it before an earlier checkpoint")
        before[key] = at
        if _in_future(evidence, [at]):
            step.fault(name, "", f"{key.name} states a time that has not come")
        _hold_to_log_time(step, name, key, at, opened.signers)
    if policy and policy.quorum != trust.NONE and not policy.satisfied(opened.signers):
        step.note(f"{name} has not been cosigned by the quorum {policy.quorum}")


def _check_kept(evidence: Evidence, step: Step, index: int, entry: dict[str, Any]) -> None:
    """What the log says others signed is still here."""
    path = evidence.layout.checkpoints / str(entry["size"])
    signers: set[str] = set()
    if path.exists():
        with suppress(MalformedNote):
            signers = {line.name for line in notes.parse(path.read_bytes()).signatures}
    for name in set(entry["witnesses"]) - signers:
        step.fault(f"checkpoints/{entry['size']}", "", f"the cosignature of {name} (entry {index}) is missing")
    tokens = evidence.layout.timestamps.glob(f"{entry['size']}.*.tsr")
    digests = {sha256(token.read_bytes()).hexdigest() for token in tokens}
    for digest in set(entry["tokens"]) - digests:
        step.fault(f"timestamps/{entry['size']}", "", f"the token {digest} (entry {index}) is missing")


def _hold_to_log_time(
    step: Step, name: str, key: VerifierKey, at: int, signers: Mapping[VerifierKey, int | None]
) -> None:
    """A witness cannot have seen a checkpoint before the log signed it, where the log states when it did."""
    stated = [
        time
        for signer, time in signers.items()
        if time is not None and signer.algorithm is Algorithm.COSIGNATURE_ML_DSA_44 and signer.name != key.name
    ]
    if stated and at + _FUTURE_SECONDS < min(stated):
        step.fault(name, "", f"{key.name} dates it before the log signed it")


def _check_timestamp(evidence: Evidence, step: Step, path: Path) -> None:
    name, size = f"timestamps/{path.name}", path.name.split(".")[0]
    checkpoint = evidence.layout.checkpoints / size
    if not checkpoint.exists():
        step.fault(name, "", f"the checkpoint of size {size} is missing")
        return
    step.checked += 1
    try:
        when = timestamp.check(path.read_bytes(), timestamp.stamped(checkpoint.read_bytes()), evidence.authorities)
    except timestamp.NoAuthorityError as fault:
        step.gap(f"{name}: {fault}")
        return
    except EvidenceError as fault:
        step.fault(name, "", str(fault))
        return
    if evidence.now is not None and when > evidence.now:
        step.fault(name, "", "it states a time that has not come")


def _in_future(evidence: Evidence, times: Iterable[int | None]) -> bool:
    if evidence.now is None:
        return False
    limit = evidence.now.timestamp() + _FUTURE_SECONDS
    return any(at is not None and at > limit for at in times)
