"""The register of complaints: an SQLite file, and a log in which every step stands.

A step is registered first, then logged, and then its number in the log is noted. Whoever is interrupted in between
leaves a step without a number; `settle` finds it in the log or logs it, so that none is lost and none stands there
twice. `holds` checks each step against its row.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from optout.errors import EvidenceError
from policies.complaint_log import Entry, StepLog, said_text
from policies.complaint_record import PENDING, Record, Step, check, complaint_of, follow, form_text, joined
from policies.complaint_search import DATASET, LOG, Hit
from policies.complaints import OPEN, RESERVING, ComplaintError, State, Subject, subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from policies.complaint_record import Decision
    from policies.complaint_removal import Removal
    from policies.complaints import Complaint

    Files: TypeAlias = Callable[[Iterable[Hit]], Iterable[Mapping[str, Any]]]

_MEND = "mend the disk; the next `optout complaint` command logs it"
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
            self._log = StepLog(directory / "evidence")
            self._fresh: set[int] = set()
        except (OSError, sqlite3.Error) as error:
            raise ComplaintError(f"{path} cannot be opened as a register", place=str(error)) from error

    def add(self, complaint: Complaint, now: datetime, answer_days: int) -> tuple[int, bool]:
        """Take a complaint in; give its number, and whether it is new. The same file again is the same complaint.

        Raises:
            EvidenceError: the step cannot be logged now; it is registered, and `settle` will log it.
        """
        with self._change(now):
            known = self._db.execute("select number from complaint where source = ?", [complaint.source]).fetchone()
            if known:
                return int(known[0]), False
            due = now + timedelta(days=answer_days)
            cursor = self._db.execute(
                "insert into complaint(received, due, state, source, form) values (?, ?, ?, ?, ?)",
                [now.isoformat(), due.isoformat(), State.RECEIVED, complaint.source, form_text(complaint)],
            )
            number = int(cursor.lastrowid or 0)
            self._step(number, State.RECEIVED, now, {"form": json.loads(form_text(complaint)), "due": due.isoformat()})
        return number, True

    def answer(self, number: int, more: Complaint, now: datetime) -> None:
        """Add what the complainant has sent in answer to our questions.

        Raises:
            ComplaintError: there is no such complaint, or it is decided.
            EvidenceError: as `add`.
        """
        with self._change(now):
            record = self.record(number)
            if any(step.what == "answered" and step.said["source"] == more.source for step in record.steps):
                return
            if record.state not in OPEN:
                raise ComplaintError(f"complaint {number} is {record.state}", mend="add a new complaint")
            form = form_text(joined(record.complaint, more))
            self._db.execute("update complaint set form = ?, state = ? where number = ?",
                             [form, State.RECEIVED, number])  # fmt: skip
            self._step(number, "answered", now, {"form": json.loads(form), "source": more.source})

    def found(
        self, number: int, hits: Iterable[Hit], places: Sequence[str], now: datetime, files: Files | None = None
    ) -> None:
        """Remember what a search has found; it takes the place of what earlier searches found.

        Args:
            number: the complaint.
            hits: what was found; they may be many, and are gathered before other processes have to wait.
            places: what was searched.
            now: the time.
            files: tells of the hits in which files kept copies are.

        Raises:
            EvidenceError: as `add`, or a log that is searched is damaged.
        """
        if self.record(number).state is State.REMOVED:
            mend = "`optout complaint report` reports on logs at any time"
            raise ComplaintError(f"complaint {number} is removed, and what was found of it stands", mend=mend)
        self._gather(number, hits)
        said: dict[str, Any] = {"places": list(places)}
        if files is not None:
            said["kept_files"] = list(files(self._hits("incoming", number)))
        with self._change(now):
            self._db.execute("delete from hit where number = ?", [number])
            self._db.execute("insert into hit select * from incoming order by rowid")
            logged, rows, kept = self._counts(number)
            self._step(number, "searched", now, {**said, "log_rows": logged, "dataset_rows": rows, "kept": kept})

    def _gather(self, number: int, hits: Iterable[Hit]) -> None:
        """Put hits into a table that only this process sees."""
        self._db.execute("create temp table if not exists incoming as select * from hit where false")
        self._db.execute("delete from incoming")
        self._db.execute("begin")
        try:
            self._db.executemany(
                "insert into incoming values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, *hit.subject, hit.place, hit.source, hit.item, hit.url, hit.effect, hit.reason, int(hit.kept))
                 for hit in hits),
            )  # fmt: skip
        finally:
            self._db.execute("commit")

    def decide(self, number: int, decision: Decision, now: datetime) -> None:
        """Uphold, reject, or ask for more. The same decision again changes nothing.

        Raises:
            ComplaintError: the decision cannot follow, or lacks what it needs.
            EvidenceError: as `add`.
        """
        said = {"by": decision.by, "reason": decision.reason}
        if decision.ground:
            said["ground"] = str(decision.ground)
        if decision.same_as is not None:
            said["same_as"] = str(decision.same_as)
        with self._change(now):
            record = self.record(number)
            if not _repeated(record, decision.state, said):
                check(record, decision, self.record)
                self._move(number, decision.state, now, said)

    def remove(self, number: int, by: str, removal: Removal, now: datetime) -> None:
        """Note that what was complained of is gone, with what was looked through to know it.

        Raises:
            ComplaintError: something is left, nothing was looked through, or the complaint is not upheld.
            EvidenceError: as `add`.
        """
        with self._change(now):
            record = self.record(number)
            follow(record, State.REMOVED)
            removal.check(number)
            self._move(number, State.REMOVED, now, {"by": by, **removal.said})

    def settle(self, now: datetime) -> None:
        """Log the steps that an interrupted process has left unlogged.

        Raises:
            EvidenceError: the disk refuses, or the log is damaged.
        """
        with self._turn():
            self._log_pending(now)

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
        yield from self._hits("hit", number)

    def _hits(self, table: str, number: int) -> Iterator[Hit]:
        cursor = self._db.execute(f"select * from {table} where number = ? order by rowid", [number])  # noqa: S608 - our own tables
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
        """Whether every step of a complaint is the one that the log has.

        Raises:
            EvidenceError: the log is damaged.
        """
        return self._log.holds(entry for _, entry in self._entries("number = ?", number))

    def entry(self, number: int, what: str) -> Entry | None:
        """The newest step of a kind, as the log commits to it; None where there is none."""
        found = [entry for _, entry in self._entries("number = ?", number) if entry.what == what]
        return found[-1] if found else None

    def prove(self, seq: int) -> dict[str, Any]:
        """The bundle that proves a step's row in the log.

        Raises:
            EvidenceError: the log does not have it.
        """
        return self._log.prove(seq)

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
    def _change(self, now: datetime) -> Iterator[None]:
        """One change, all of it or nothing; then its step is logged."""
        self._fresh.clear()
        with self._turn():
            yield
        with self._turn():
            self._log_pending(now)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One transaction; other processes wait."""
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
        """Register a step; the log gets it when the change is durable."""
        values = [number, now.isoformat(), str(to), PENDING, secrets.token_bytes(16), said_text(said)]
        cursor = self._db.execute("insert into step values (?, ?, ?, ?, ?, ?)", values)
        self._fresh.add(int(cursor.lastrowid or 0))

    def _log_pending(self, now: datetime) -> None:
        """Log what has no number yet; only for steps of this very change nobody can have tried before."""
        waiting = list(self._entries("seq = ?", PENDING))
        if not waiting:
            return
        tried = {place for place, _ in waiting} - self._fresh
        self._fresh.clear()
        (highest,) = self._db.execute("select coalesce(max(seq), -1) from step").fetchone()
        try:
            numbers = self._log.take([entry for _, entry in waiting], now,
                                     after=int(highest) if tried else None)  # fmt: skip
        except OSError as error:
            raise EvidenceError("the step is registered but not logged", place=str(error), mend=_MEND) from error
        places = [(seq, place) for seq, (place, _) in zip(numbers, waiting, strict=True)]
        self._db.executemany("update step set seq = ? where rowid = ?", places)

    def _entries(self, where: str, value: int) -> Iterator[tuple[int, Entry]]:
        """Steps as the log commits to them, in order, each with its place in the table."""
        select = f"select rowid, number, at, what, salt, said, seq from step where {where} order by rowid"  # noqa: S608 - our own conditions
        for place, *columns in self._db.execute(select, [value]).fetchall():
            yield place, Entry(*columns)

    def _record(self, row: Sequence[Any]) -> Record:
        number, received, due, state, form = row
        steps = self._db.execute(
            "select at, what, seq, said from step where number = ? order by rowid", [number]
        ).fetchall()
        return Record(
            number, datetime.fromisoformat(received), datetime.fromisoformat(due), State(state), complaint_of(form),
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


def _repeated(record: Record, state: State, said: Mapping[str, Any]) -> bool:
    """Whether the last that was done is just this, as when a command is run again that was interrupted."""
    last = [step for step in record.steps if step.what != "searched"][-1:]
    return record.state is state and bool(last) and last[0].what == state and dict(last[0].said) == dict(said)
