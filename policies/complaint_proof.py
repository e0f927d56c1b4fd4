"""The proof of a removal as one JSON file, and its check.

The file holds the step by which the removal was registered, the list of what is gone, and the bundle that proves the
step's row in the register's log. It names no complainant. `optout/evidence/standalone.py` checks the bundle alone.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.evidence import standalone
from optout.evidence.report import Report, Step
from policies.complaint_log import commitment, said_text
from policies.complaint_removal import files_of, removal_line
from policies.complaints import ComplaintError, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from policies.complaint_register import Register

VERSION = "complaint/removal/1"


def prove(register: Register, number: int) -> dict[str, Any]:
    """The proof that what a complaint is about was removed.

    Raises:
        ComplaintError: its removal is not registered.
        EvidenceError: the register's log does not have the step.
    """
    entry = register.entry(number, State.REMOVED)
    if entry is None:
        raise ComplaintError(
            f"nothing shows that the works of complaint {number} were removed",
            mend="prove it first: optout complaint decide N removed --audit OUT",
        )
    lines = [json.loads(removal_line(number, hit)) for hit in register.hits(number) if hit.kept]
    step = {
        "complaint": number, "at": entry.at, "what": entry.what, "salt": entry.salt.hex(),
        "said": json.loads(entry.said),
    }  # fmt: skip
    return {"v": VERSION, "step": step, "gone": lines, "evidence": register.prove(entry.seq)}


def check(
    data: bytes, name: str, *, keys: Sequence[str] = (), crawls: Sequence[Path] = (), audits: Sequence[Path] = ()
) -> Report:
    """Check a proof, and the files that it names where they are at hand.

    Args:
        data: the proof.
        name: what the report calls it.
        keys: public keys of the register's log, as the reader knows them.
        crawls: crawl directories whose pages were looked through.
        audits: audits whose files were looked through.

    Raises:
        ComplaintError: it is no such proof, or a directory holds no audit or no pages.
    """
    try:
        proof = json.loads(data)
        step, said, bundle = proof["step"], proof["step"]["said"], proof["evidence"]
        row, salt = bundle["row"], bytes.fromhex(step["salt"])
        named = {file["file"]: file["sha256"] for file in said["looked_through"]}
        gone = said["gone"]["sha256"], said["gone"]["items"], [_line(item) for item in proof["gone"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ComplaintError(f"{name} is no proof of a removal", place=f"{type(error).__name__}: {error}") from error
    if proof.get("v") != VERSION:
        raise ComplaintError(f"{name} is no proof of a removal", mend=f"its v must be {VERSION}")
    steps: list[tuple[str, Callable[[Step], None]]] = [
        ("The row of the log commits to the step", lambda one: _committed(one, step, row, salt)),
        ("The row is in the log that was signed", lambda one: _logged(one, bundle, keys)),
        ("What is gone is the list that the step names", lambda one: _listed(one, *gone)),
        ("The files that were looked through are as they were", lambda one: _files(one, named, crawls, audits)),
    ]
    found = [Step(number, text) for number, (text, _) in enumerate(steps, 1)]
    for one, (_, run) in zip(found, steps, strict=True):
        run(one)
    return Report(name, found)


def _line(item: Mapping[str, Any]) -> str:
    return json.dumps(item, sort_keys=True) + "\n"


def _committed(one: Step, step: Mapping[str, Any], row: Mapping[str, Any], salt: bytes) -> None:
    one.checked = 1
    own = commitment(salt, step["complaint"], step["at"], step["what"], said_text(step["said"]))
    if row.get("said_c") != own:
        one.fault("step", "said_c", "the row commits to another step")
    if (row.get("complaint"), row.get("step")) != (step["complaint"], State.REMOVED):
        one.fault("row", "step", "the row is about another step")


def _logged(one: Step, bundle: Mapping[str, Any], keys: Sequence[str]) -> None:
    try:
        checked = standalone.check(json.dumps(bundle).encode(), list(keys), [])
    except (standalone.Wrong, ValueError) as fault:
        one.fault("evidence", "", str(fault))
        return
    one.checked = len(checked.json)
    if checked.code == standalone.INVALID:
        wrong = [step for step in checked.json if step["outcome"] == "fails"]
        for step in wrong or [{"name": str(checked.outcome)}]:
            one.fault("evidence", step["name"], "does not hold")
    elif checked.code == standalone.INCOMPLETE:
        one.gap("whose log it is: give its public key with --key" if not keys else "parts of the bundle")


def _listed(one: Step, digest: str, items: int, lines: Sequence[str]) -> None:
    one.checked = len(lines)
    if sha256("".join(lines).encode()).hexdigest() != digest or len(lines) != items:
        one.fault("gone", "", "the list is another one")


def _files(one: Step, named: Mapping[str, str], crawls: Sequence[Path], audits: Sequence[Path]) -> None:
    here = {file.name: file.digest for file in files_of(crawls, audits)}
    for name, digest in named.items():
        if name not in here:
            one.gap(f"{name}: not at hand; name its directory with --audit or --evidence")
            continue
        one.checked += 1
        if here[name] != digest:
            one.fault(name, "", "the file is another one")
