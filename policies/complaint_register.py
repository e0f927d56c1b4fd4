"""The register of complaints: an SQLite file, and a log in which every step stands.

A step is logged before it is registered. Its row in the log holds no personal data: it commits to the step by SHA-256
over a salt and the step's canonical form. `Register.holds` checks each step against its row, so a register that was
changed afterwards shows, and a person's data can still be erased from the register.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from optout.evidence.canonical import JSON, encode
from optout.evidence.ledger import EvidenceLog
from optout.evidence.rows import microseconds
from policies.complaint_search import DATASET, LOG, Hit
from policies.complaints import (
    OPEN,
    RESERVING,
    STEPS,
    Complaint,
    ComplaintError,
    Ground,
    Role,
    State,
    Subject,
    subject,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from policies.complaint_search import Looked

NODE, KIND = "complaints", "complaint"

_TABLES = """
create table if not exists complaint(
  number integer primary key, received text not null, due text not null, state text not null, source text unique,
  form text not null) strict;
create table if not exists step(
  number integer not null references complaint, at text not null, what text not null, seq integer not null,
  salt blob not null, said text not null) strict;
create table if not exists hit(
  number integer not null references complaint, kind text not null, text text not null, place text not null,
  source text not null, item text not null, url text not null, effect text not null, reason text not null,
  kept integer not null) strict;
create index if not exists hit_number on hit(number);
"""


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
        """Whether nobody has decided in time."""
        return self.state in OPEN and now > self.due


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


class Register:
    """The register in a directory; close it, or use it in a `with`. Two processes take turns."""

    def __init__(self, directory: Path, *, create: bool = True) -> None:
        """Open it.

        Args:
            directory: where it is.
            create: whether to begin one where none is.

        Raises:
            ComplaintError: there is none, or the file is no register.
        """
        self.directory = directory
        path = directory / "register.sqlite"
        if not create and not path.exists():
            raise ComplaintError(f"{directory} holds no register", mend="begin one with `optout complaint add`")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ComplaintError(f"{path} cannot be opened as a register", place=str(error)) from error

    def add(self, complaint: Complaint, now: datetime, answer_days: int) -> tuple[int, bool]:
        """Take a complaint in; give its number, and whether it is new. The same file again is the same complaint.

        Raises:
            EvidenceError: the step cannot be logged; nothing is registered.
        """
        with self._turn():
            known = self._db.execute("select number from complaint where source = ?", [complaint.source]).fetchone()
            if known:
                return int(known[0]), False
            due = now + timedelta(days=answer_days)
            cursor = self._db.execute(
                "insert into complaint(received, due, state, source, form) values (?, ?, ?, ?, ?)",
                [now.isoformat(), due.isoformat(), State.RECEIVED, complaint.source, _form(complaint)],
            )
            number = int(cursor.lastrowid or 0)
            self._step(number, State.RECEIVED, now, {"form": json.loads(_form(complaint)), "due": due.isoformat()})
        return number, True

    def answer(self, number: int, more: Complaint, now: datetime) -> None:
        """Add what the complainant has sent in answer to our questions.

        Raises:
            ComplaintError: there is no such complaint, or it is decided.
        """
        with self._turn():
            record = self.record(number)
            if record.state not in OPEN:
                raise ComplaintError(f"complaint {number} is {record.state}", mend="add a new complaint")
            form = _form(_joined(record.complaint, more))
            self._db.execute("update complaint set form = ?, state = ? where number = ?",
                             [form, State.RECEIVED, number])  # fmt: skip
            self._step(number, "answered", now, {"form": json.loads(form), "source": more.source})

    def found(self, number: int, hits: Iterable[Hit], places: Sequence[str], now: datetime) -> None:
        """Remember what a search has found; it takes the place of what earlier searches found.

        Args:
            number: the complaint.
            hits: what was found.
            places: what was searched.
            now: the time.
        """
        with self._turn():
            self.record(number)
            self._db.execute("delete from hit where number = ?", [number])
            self._db.executemany(
                "insert into hit values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, *hit.subject, hit.place, hit.source, hit.item, hit.url, hit.effect, hit.reason, int(hit.kept))
                 for hit in hits),
            )  # fmt: skip
            logged, rows, kept = self._counts(number)
            self._step(number, "searched", now,
                       {"places": list(places), "log_rows": logged, "dataset_rows": rows, "kept": kept})  # fmt: skip

    def decide(self, number: int, decision: Decision, now: datetime) -> None:
        """Uphold, reject, or ask for more.

        Raises:
            ComplaintError: the decision cannot follow, or lacks what it needs.
        """
        with self._turn():
            record = self.record(number)
            _check(record, decision, self)
            said = {"by": decision.by, "reason": decision.reason}
            if decision.ground:
                said["ground"] = str(decision.ground)
            if decision.same_as is not None:
                said["same_as"] = str(decision.same_as)
            self._move(number, decision.state, now, said)

    def remove(self, number: int, by: str, looked: Looked, now: datetime) -> None:
        """Note that what was complained of is gone, with what was looked through to know it.

        Raises:
            ComplaintError: something is left, nothing was looked through, or the complaint is not upheld.
        """
        with self._turn():
            record = self.record(number)
            _follow(record, State.REMOVED)
            if not looked.files:
                raise ComplaintError("nothing was looked through", mend="name --evidence DIR or --audit OUT")
            if looked.left:
                first = looked.left[0]
                raise ComplaintError(
                    f"{len(looked.left):,} items of complaint {number} are still there",
                    place=f"{first.source}, {first.url[:200]}", mend="remove them, then prove it again",
                )  # fmt: skip
            files = [{"file": name, "sha256": digest, "items": count} for name, digest, count in looked.files]
            self._move(number, State.REMOVED, now, {"by": by, "looked_through": files, "left": 0})

    def record(self, number: int) -> Record:
        """A complaint.

        Raises:
            ComplaintError: there is none with that number.
        """
        row = self._db.execute(
            "select number, received, due, state, form from complaint where number = ?", [number]
        ).fetchone()
        if row is None:
            raise ComplaintError(f"there is no complaint {number}", mend="`optout complaint list` shows them")
        return self._record(row)

    def records(self) -> Iterator[Record]:
        """Every complaint, in the order of arrival."""
        rows = self._db.execute("select number, received, due, state, form from complaint order by number").fetchall()
        yield from (self._record(row) for row in rows)

    def hits(self, number: int) -> Iterator[Hit]:
        """What the newest search has found."""
        cursor = self._db.execute("select * from hit where number = ? order by rowid", [number])
        for _, kind, text, place, source, item, url, effect, reason, kept in cursor:
            yield Hit(Subject(kind, text), place, source, item, url, effect, reason, bool(kept))

    def reservations(self) -> Iterator[tuple[Record, Sequence[str]]]:
        """Upheld complaints, with the lines of a list that reserves what they are about."""
        for record in self.records():
            if record.state in RESERVING:
                own = [one.listed for one in record.complaint.subjects]
                # In its normal form, an address that a stranger wrote cannot become several lines.
                named = (subject(hit.url) for hit in self.hits(record.number) if hit.subject.kind == "post")
                posts = (one.listed for one in named if one is not None and one.listed)
                yield record, tuple(dict.fromkeys([*filter(None, own), *posts]))

    def holds(self, number: int) -> bool:
        """Whether every step of a complaint is the one that the log has."""
        logged = self._logged()
        steps = self._db.execute("select at, what, seq, salt, said from step where number = ?", [number]).fetchall()
        return bool(steps) and all(
            logged.get(seq) == _commitment(salt, number, at, what, json.loads(said))
            for at, what, seq, salt, said in steps
        )

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Self:
        """Give the register itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One change: all of it or nothing."""
        try:
            self._db.execute("begin immediate")
            yield
            self._db.execute("commit")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(error, sqlite3.Error):
                raise ComplaintError(f"{self.directory} cannot be written", place=str(error)) from error
            raise

    def _move(self, number: int, state: State, now: datetime, said: Mapping[str, Any]) -> None:
        self._db.execute("update complaint set state = ? where number = ?", [state, number])
        self._step(number, state, now, said)

    def _step(self, number: int, to: str, now: datetime, said: Mapping[str, Any]) -> None:
        """Log a step, then register it."""
        salt, at, what = secrets.token_bytes(16), now.isoformat(), str(to)
        commitment = _commitment(salt, number, at, what, said)
        log = EvidenceLog(self.directory / "evidence", node=NODE, now=now)
        row: dict[str, JSON] = {
            "v": 1,
            "kind": KIND,
            "t": microseconds(now),
            "complaint": number,
            "step": what,
            "said_c": commitment,
        }
        try:
            seq = log.add(row)
        finally:
            log.close(now)
        self._db.execute("insert into step values (?, ?, ?, ?, ?, ?)",
                         [number, at, what, seq, salt, json.dumps(said, sort_keys=True)])  # fmt: skip

    def _logged(self) -> Mapping[int, str]:
        from optout.evidence import segment  # noqa: PLC0415 - PyArrow is slow to load

        folder = self.directory / "evidence" / "segments"
        rows = [row for path in sorted(folder.glob("*.parquet")) for row in segment.rows_of(segment.read(path))]
        return {row["seq"]: row.get("said_c", "") for row in rows}

    def _record(self, row: Sequence[Any]) -> Record:
        number, received, due, state, form = row
        steps = self._db.execute(
            "select at, what, seq, said from step where number = ? order by rowid", [number]
        ).fetchall()
        return Record(
            number, datetime.fromisoformat(received), datetime.fromisoformat(due), State(state), _complaint(form),
            tuple(Step(datetime.fromisoformat(at), what, seq, json.loads(said)) for at, what, seq, said in steps),
            self._counts(number),
        )  # fmt: skip

    def _counts(self, number: int) -> tuple[int, int, int]:
        with closing(self._db.execute(
            "select count(*) filter (where place = ?), count(*) filter (where place = ?), coalesce(sum(kept), 0) "
            "from hit where number = ?", [LOG, DATASET, number]
        )) as cursor:  # fmt: skip
            logged, rows, kept = cursor.fetchone()
        return int(logged), int(rows), int(kept)


def _commitment(salt: bytes, number: int, at: str, what: str, said: Mapping[str, Any]) -> str:
    step: dict[str, JSON] = {"number": number, "at": at, "what": what, "said": json.dumps(said, sort_keys=True)}
    return sha256(salt + encode(step)).hexdigest()


def _follow(record: Record, state: State) -> None:
    if state not in STEPS[record.state]:
        after = ", ".join(sorted(STEPS[record.state])) or "nothing"
        raise ComplaintError(f"complaint {record.number} is {record.state}", mend=f"what may follow: {after}")


def _check(record: Record, decision: Decision, register: Register) -> None:
    _follow(record, decision.state)
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
        _check_same(record, register.record(decision.same_as))


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


def _joined(old: Complaint, more: Complaint) -> Complaint:
    """What was said first stays; what was missing is filled in, and works and subjects come together."""
    return replace(
        old, name=old.name or more.name, contact=old.contact or more.contact, role=old.role or more.role,
        represents=old.represents or more.represents, works=tuple(dict.fromkeys([*old.works, *more.works])),
        claim="\n\n".join(filter(None, (old.claim, more.claim))),
        subjects=tuple(dict.fromkeys([*old.subjects, *more.subjects])),
        unread=tuple(dict.fromkeys([*old.unread, *more.unread])),
    )  # fmt: skip


def _form(complaint: Complaint) -> str:
    return json.dumps({
        "name": complaint.name, "contact": complaint.contact, "role": complaint.role or "",
        "represents": complaint.represents, "works": complaint.works, "claim": complaint.claim,
        "subjects": [list(subject) for subject in complaint.subjects], "unread": complaint.unread,
        "source": complaint.source,
    }, sort_keys=True)  # fmt: skip


def _complaint(form: str) -> Complaint:
    said = json.loads(form)
    return Complaint(
        name=said["name"], contact=said["contact"], role=Role(said["role"]) if said["role"] else None,
        represents=said["represents"], works=tuple(said["works"]), claim=said["claim"],
        subjects=tuple(Subject(*subject) for subject in said["subjects"]), unread=tuple(said["unread"]),
        source=said["source"],
    )  # fmt: skip
