"""Verification of a whole evidence directory, as a numbered list of steps.

Whoever verifies brings what they trust: the log's public keys, and checkpoints that they or a witness kept from
earlier. Without them the directory is checked against itself, and the report says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.evidence import checks_archive, checks_audit, checks_files, checks_log, checks_rows, checks_witness
from optout.evidence.checks import Evidence
from optout.evidence.layout import find
from optout.evidence.report import Report, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from optout.evidence.checks import Repeat, Replay
    from optout.evidence.note import VerifierKey

STEPS: tuple[tuple[str, Callable[[Evidence, Step], None]], ...] = (
    ("The directory is an evidence log and holds nothing else", checks_files.structure),
    ("The newest checkpoint carries the log's signatures", checks_log.signatures),
    ("Tiles and bundles give the root hash that was signed", checks_log.tiles),
    ("The log is a continuation of every earlier checkpoint", checks_log.continuation),
    ("Witnesses and timestamps stand by their checkpoints", checks_witness.witnesses),
    ("Entries are well formed, and rows are numbered without gaps", checks_log.entries_continue),
    ("The documents in force are those that were logged", checks_files.documents),
    ("Segments have the file hashes, rows and root hashes of their manifests", checks_rows.segments),
    ("Journals continue where the segments end", checks_rows.journals),
    ("Archived records have their digests, in files that have theirs", checks_archive.records),
    ("Every decision has its exchanges, and every archived exchange its decision", checks_archive.reconciliation),
    ("Reading and deciding again gives the same decisions", checks_archive.replay),
    ("What an audit wrote beside the log has the hashes that were logged", checks_audit.shards),
    ("Judging an audit's rows again by the store of signals gives the same decisions", checks_audit.repetition),
)
"""What is checked, in order, and by what."""


def verify(  # noqa: PLR0913 - each is something that one verifier has and another has not
    directory: Path,
    *,
    trusted: Sequence[VerifierKey] = (),
    known: Iterable[bytes] = (),
    witnesses: Iterable[VerifierKey] = (),
    replay: Replay | None = None,
    now: datetime | None = None,
    authorities: Sequence[bytes] = (),
    repeat: Repeat | None = None,
) -> Report:
    """Check everything there is to check about an evidence directory.

    Args:
        directory: the evidence directory, or a crawl's directory that holds it.
        trusted: the log's public keys as the verifier knows them; by default those that the directory names.
        known: signed checkpoints of this log from earlier, as a witness or the verifier kept them.
        witnesses: public keys of witnesses, as the verifier knows them; each must have cosigned.
        replay: repeats reading and deciding: given a row and the exchanges that it rests on, it returns the fields
            that the row should have.
        now: the time; statements about a later time are faults.
        authorities: certificates of the timestamp authorities that are trusted, in PEM.
        repeat: judges the rows of an audit again; see `optout.evidence.checks.Repeat`.

    Raises:
        EvidenceError: there is no evidence in the directory.
    """
    evidence = Evidence(
        layout=find(directory), trusted=tuple(trusted), known=tuple(known), replay=replay, now=now,
        authorities=tuple(authorities), witnesses=tuple(witnesses), repeat=repeat,
    )  # fmt: skip
    steps = []
    for number, (name, check) in enumerate(STEPS, 1):
        step = Step(number, name)
        try:
            if evidence.sound:
                check(evidence, step)
            else:
                step.gap("step 1 found something that cannot be opened without harm")
        except Exception as fault:  # noqa: BLE001 - damage can make anything of a file; the step does not hold then
            step.fault("", "", f"this could not be looked at: {str(fault)[:500] or repr(fault)}")
        steps.append(step)
    return Report(str(directory), steps)
