"""The step about what others put their names to: witnesses' cosignatures and authorities' timestamps."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence import timestamp, trust
from optout.evidence.entries import COUNTERSIGNED
from optout.evidence.note import Algorithm, MalformedNote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from optout.evidence.checks import Evidence
    from optout.evidence.note import VerifierKey
    from optout.evidence.report import Step

_FUTURE_SECONDS = 300
"""How far a witness's clock may be ahead."""


def witnesses(evidence: Evidence, step: Step) -> None:
    """Cosignatures verify, say times that can be, and are as many as the policy asks; timestamps verify."""
    policy = evidence.policy
    if policy is None or evidence.opened is None:
        step.gap("no policy file or no checkpoint")
        return
    before: dict[VerifierKey, int] = {}
    for path in sorted(evidence.layout.checkpoints.glob("[0-9]*"), key=lambda path: int(path.name)):
        _check_cosignatures(evidence, step, path, before)
    for key in evidence.witnesses:
        if key not in before:
            step.gap(f"the witness {key.name} has cosigned nothing")
    for path in sorted(evidence.layout.timestamps.glob("*.tsr")):
        _check_timestamp(evidence, step, path)
    for index, entry in evidence.of_type(COUNTERSIGNED):
        _check_kept(evidence, step, index, entry)
    if policy.quorum != trust.NONE and not before:
        step.gap(f"the policy asks for the quorum {policy.quorum}, and no checkpoint has been cosigned yet")


def in_future(evidence: Evidence, times: Iterable[int | None]) -> bool:
    """Whether one of these POSIX times has not come yet, give or take five minutes between clocks."""
    if evidence.now is None:
        return False
    limit = evidence.now.timestamp() + _FUTURE_SECONDS
    return any(at is not None and at > limit for at in times)


def _check_cosignatures(evidence: Evidence, step: Step, path: Path, before: dict[VerifierKey, int]) -> None:
    policy, name = evidence.policy, f"checkpoints/{path.name}"
    witnesses = {witness.key for witness in policy.witnesses.values()} if policy else set()
    witnesses.update(evidence.witnesses)
    keys = dict.fromkeys([*evidence.keys, *evidence.all_log_keys(), *witnesses])
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
        if in_future(evidence, [at]):
            step.fault(name, "", f"{key.name} states a time that has not come")
        _hold_to_log_time(step, name, key, at, opened.signers)
    if policy and policy.quorum != trust.NONE and not policy.satisfied(opened.signers):
        step.note(f"{name} has not been cosigned by the quorum {policy.quorum}")


def _check_kept(evidence: Evidence, step: Step, index: int, entry: dict[str, Any]) -> None:
    """What the log says others signed is still here."""
    path = evidence.layout.checkpoints / str(entry["size"])
    signers: set[str] = set()
    if not path.exists():
        step.fault(f"checkpoints/{entry['size']}", "", f"the checkpoint that was kept (entry {index}) is missing")
    else:
        with suppress(MalformedNote):
            signers = {line.name for line in notes.parse(path.read_bytes()).signatures}
    for name in set(entry["witnesses"]) - signers:
        step.fault(f"checkpoints/{entry['size']}", "", f"the cosignature of {name} (entry {index}) is missing")
    tokens = evidence.layout.timestamps.glob(f"{entry['size']}.*.tsr")
    digests = {sha256(token.read_bytes()).hexdigest() for token in tokens}
    for digest in set(entry["tokens"]) - digests:
        step.fault(f"timestamps/{entry['size']}.*.tsr", "", f"the token {digest} (entry {index}) is missing")


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
