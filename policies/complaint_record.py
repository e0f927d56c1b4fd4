"""A complaint in the register, what may follow on what, and what a decision needs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policies.complaints import OPEN, STEPS, Complaint, ComplaintError, Ground, Role, State, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

PENDING = -1
"""The number of a step that its log does not have yet."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the handling.

    Attributes:
        at: when.
        what: the state that it led to, or `searched`, `answered`.
        seq: its row in the register's log.
        said: who did it, on what ground, why, and what was found.
    """

    at: datetime
    what: str
    seq: int
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A complaint in the register.

    Attributes:
        number: its number.
        received: when it came.
        due: when an answer is due.
        state: where it stands.
        complaint: what it says.
        steps: what was done, in order.
        found: hits in logs, hits in datasets, and how many of both were kept.
    """

    number: int
    received: datetime
    due: datetime
    state: State
    complaint: Complaint
    steps: tuple[Step, ...]
    found: tuple[int, int, int]

    @property
    def searched(self) -> bool:
        """Whether anything was looked through."""
        return any(step.what == "searched" for step in self.steps)

    def overdue(self, now: datetime) -> bool:
        """Whether nobody has decided by the end of the day (UTC) that was promised, or at once where that was."""
        at_once = self.due == self.received
        return self.state in OPEN and now > self.due and (at_once or now.date() > self.due.date())


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided about a complaint.

    Attributes:
        state: what it leads to.
        by: who decides.
        reason: why, in a sentence that the complainant may read.
        ground: for a rejection.
        same_as: the number of the complaint that it repeats.
    """

    state: State
    by: str
    reason: str
    ground: Ground | None = None
    same_as: int | None = None


def follow(record: Record, state: State) -> None:
    """Refuse a state that may not follow.

    Raises:
        ComplaintError: it may not.
    """
    if state not in STEPS[record.state]:
        after = ", ".join(sorted(STEPS[record.state])) or "nothing"
        raise ComplaintError(f"complaint {record.number} is {record.state}", mend=f"what may follow: {after}")


def check(record: Record, decision: Decision, earlier: Callable[[int], Record]) -> None:
    """Refuse a decision that cannot follow, or lacks what it needs.

    Raises:
        ComplaintError: with the mend.
    """
    follow(record, decision.state)
    if decision.state is State.REMOVED:
        raise ComplaintError("a removal is proven, not decided", mend="name what to look through")
    if not decision.by.strip() or not decision.reason.strip():
        raise ComplaintError("a decision needs a name and a reason", mend="write --by NAME --reason TEXT")
    if (decision.state is State.REJECTED) != (decision.ground is not None):
        raise ComplaintError("a rejection, and nothing else, has a ground", mend=f"one of {', '.join(Ground)}")
    if decision.state is State.UPHELD and not record.complaint.subjects:
        mend = "ask for addresses, and add the answer with --answers"
        raise ComplaintError(f"complaint {record.number} names nothing that could be reserved", mend=mend)
    if decision.ground is Ground.NOT_USED and (not record.searched or record.found[2]):
        mend = "search first, and reject on this ground only where nothing was kept"
        raise ComplaintError(f"nothing shows that the works of complaint {record.number} were not used", mend=mend)
    if (decision.ground is Ground.IDENTICAL) != (decision.same_as is not None):
        raise ComplaintError("an identical complaint names the one it repeats, and no other does", mend="--same-as N")
    if decision.same_as is not None:
        _check_same(record, earlier(decision.same_as))


def _check_same(record: Record, earlier: Record) -> None:
    """Measure 1.5 frees nobody from answering what somebody else, or somebody about something else, has asked."""
    new, old = record.complaint, earlier.complaint
    whom = {text.casefold() for text in (old.contact, old.represents) if text}
    same_person = bool(whom & {text.casefold() for text in (new.contact, new.represents) if text})
    covered = set(new.subjects) <= set(old.subjects)
    if earlier.number >= record.number or earlier.state in OPEN or not same_person or not covered:
        raise ComplaintError(
            f"complaint {record.number} does not repeat complaint {earlier.number}",
            mend="that one must be earlier, decided, from the same person and about everything that this one names",
        )


def joined(old: Complaint, more: Complaint) -> Complaint:
    """What was said first stays; what was missing is filled in, and works and subjects come together."""
    return replace(
        old, name=old.name or more.name, contact=old.contact or more.contact, role=old.role or more.role,
        represents=old.represents or more.represents, works=tuple(dict.fromkeys([*old.works, *more.works])),
        claim="\n\n".join(filter(None, (old.claim, more.claim))),
        subjects=tuple(dict.fromkeys([*old.subjects, *more.subjects])),
        unread=tuple(dict.fromkeys([*old.unread, *more.unread])),
    )  # fmt: skip


def form_text(complaint: Complaint) -> str:
    """A complaint as the register keeps it."""
    return json.dumps({
        "name": complaint.name, "contact": complaint.contact, "role": complaint.role or "",
        "represents": complaint.represents, "works": complaint.works, "claim": complaint.claim,
        "subjects": [list(subject) for subject in complaint.subjects], "unread": complaint.unread,
        "source": complaint.source,
    }, sort_keys=True)  # fmt: skip


def complaint_of(form: str) -> Complaint:
    """A complaint as the register has kept it."""
    said = json.loads(form)
    return Complaint(
        name=said["name"], contact=said["contact"], role=Role(said["role"]) if said["role"] else None,
        represents=said["represents"], works=tuple(said["works"]), claim=said["claim"],
        subjects=tuple(Subject(*subject) for subject in said["subjects"]), unread=tuple(said["unread"]),
        source=said["source"],
    )  # fmt: skip
