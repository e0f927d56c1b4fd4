"""What a verification found: numbered steps, each with its outcome and every fault with its place."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_FAULTS = 100
"""How many faults and gaps of a step are listed; all are counted."""

_SHOWN = 20
"""How many of them the report for people shows."""


class Outcome(StrEnum):
    """What came of a step, best first."""

    NOTHING = "nothing to check"
    HOLDS = "holds"
    INCOMPLETE = "cannot be checked"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it must be: the file, the place in it, and what is wrong."""

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f' {self.place}' if self.place else ''}: {self.what}"


@dataclass(slots=True)
class Step:
    """One step of a verification while it goes on, and what it found.

    Attributes:
        number: counted from 1.
        name: what is checked, as a sentence.
        checked: how many things were looked at.
        faults: what is wrong, up to `MOST_FAULTS`.
        fault_count: how many faults there are.
        gaps: what could not be looked at, and why, up to `MOST_FAULTS`.
        gap_count: how much could not be looked at.
        notes: what a reader should know, up to `MOST_FAULTS`.
    """

    number: int
    name: str
    checked: int = 0
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    gaps: list[str] = field(default_factory=list)
    gap_count: int = 0
    notes: list[str] = field(default_factory=list)

    def fault(self, file: str, place: str, what: str) -> None:
        """Note something that is wrong."""
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(file, place, what))

    def gap(self, what: str) -> None:
        """Note something that could not be looked at."""
        self.gap_count += 1
        if len(self.gaps) < MOST_FAULTS:
            self.gaps.append(what)

    @contextmanager
    def looking_at(self, file: str, place: str = "") -> Iterator[None]:
        """Whatever damage makes of a file, it is a fault of that file and no reason to leave the others alone."""
        try:
            yield
        except Exception as fault:  # noqa: BLE001 - damage can make anything of a file
            self.fault(file, place, f"this could not be looked at: {str(fault)[:500] or repr(fault)}")

    def note(self, what: str) -> None:
        """Note something that a reader should know."""
        if len(self.notes) < MOST_FAULTS:
            self.notes.append(what)

    @property
    def outcome(self) -> Outcome:
        """What came of the step."""
        if self.fault_count:
            return Outcome.FAILS
        if self.gaps:
            return Outcome.INCOMPLETE
        return Outcome.HOLDS if self.checked else Outcome.NOTHING

    @property
    def json(self) -> dict[str, Any]:
        """The step for machines."""
        return {
            "number": self.number, "name": self.name, "outcome": str(self.outcome), "checked": self.checked,
            "faults": [{"file": item.file, "place": item.place, "what": item.what} for item in self.faults],
            "fault_count": self.fault_count, "gaps": self.gaps, "gap_count": self.gap_count, "notes": self.notes,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A verification from its first step to its last."""

    subject: str
    steps: Sequence[Step]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all steps."""
        order = list(Outcome)
        return max((step.outcome for step in self.steps), key=order.index, default=Outcome.NOTHING)

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong and everything could be looked at."""
        return self.outcome in {Outcome.HOLDS, Outcome.NOTHING}

    @property
    def faults(self) -> list[Fault]:
        """Every listed fault."""
        return [fault for step in self.steps for fault in step.faults]

    @property
    def text(self) -> str:
        """The report for people."""
        lines = [f"{self.subject}: {self.outcome}"]
        for step in self.steps:
            lines.append(f"{step.number:3}. {step.name}: {step.outcome} ({step.checked} checked)")
            lines += _some([str(fault) for fault in step.faults], step.fault_count)
            lines += _some([f"not checked: {gap}" for gap in step.gaps], step.gap_count)
            lines += [f"       note: {note}" for note in step.notes]
        # What a stranger wrote, a file's name even, must not steer the terminal of whoever reads it.
        return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines)

    @property
    def json(self) -> dict[str, Any]:
        """The report for machines."""
        return {"subject": self.subject, "outcome": str(self.outcome), "steps": [step.json for step in self.steps]}


def _some(lines: list[str], count: int) -> list[str]:
    shown = [f"       {line}" for line in lines[:_SHOWN]]
    return [*shown, f"       and {count - len(shown)} more"] if count > len(shown) else shown
