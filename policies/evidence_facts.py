"""What logs and audits show: counts with the rows they were counted from, and the policies that were in force.

Documents read nothing but this. A log is verified first, and what a log shows that does not hold is shown as nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq

from optout import policy as policies
from optout.errors import EvidenceError, OptoutError
from optout.evidence import checkpoint, entries, journal, segment
from optout.evidence.layout import each_once, find, parse_segment_name, read_description
from optout.evidence.log import LogReader
from optout.evidence.replay import Redecision, documents_in
from optout.evidence.report import Outcome
from optout.evidence.spilling import named, spilling
from optout.evidence.verify import verify
from optout.syntax.listing import Kind
from policies.document import Source, SourceKind, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from optout.evidence.layout import Layout
    from optout.evidence.report import Report
    from optout.policy import Policy
    from policies.complaints import Subject

DECISION, KEPT = "decision", "kept"
ROBOTS = "/robots.txt"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAME = (
    "node", "kind", "stage", "effect", "access", "reason", "purpose", "agent", "policy", "registry", "identity",
    "signals", "coverage",
)  # fmt: skip


class AuditFault(OptoutError):
    """An audit's report that cannot be read."""


class PreviousFault(OptoutError):
    """An earlier version of a document that cannot be read."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a log that are alike in everything that is counted.

    Attributes:
        node: who wrote them.
        kind, stage, effect, access, reason, purpose, agent: as in the rows.
        policy, registry, identity: the digests of what was in force.
        protocols: the protocols whose reservations were decisive.
        coverage: carrier and what became of looking at it.
        fetched: whether the page was fetched.
        count: how many rows.
        first, last: their lowest and highest number.
        begin, end: their earliest and latest time.
    """

    node: str
    kind: str
    stage: str
    effect: str
    access: str
    reason: str
    purpose: str
    agent: str
    policy: str
    registry: str
    identity: str
    protocols: frozenset[str]
    coverage: Mapping[str, str]
    fetched: bool
    count: int
    first: int
    last: int
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Regime:
    """A policy while it was in force, and the rows that were decided under it."""

    policy: Policy
    rows: tuple[Rows, ...]

    @property
    def begin(self) -> datetime:
        """The first decision."""
        return min(row.begin for row in self.rows)

    @property
    def end(self) -> datetime:
        """The last decision."""
        return max(row.end for row in self.rows)


@dataclass(frozen=True, slots=True)
class Record:
    """A file that was put on record in a log, in force from then on: a policy, a registry, a document."""

    kind: str
    digest: str
    since: datetime


@dataclass(frozen=True)
class LogFacts:
    """What one log shows.

    Attributes:
        origin: the log's name.
        size: entries under the newest checkpoint; 0 where none is signed yet.
        root: the root hash that was signed, hexadecimal; empty without a checkpoint.
        rows: the rows in groups.
        policies: those in force, by policy and registry digest.
        identities: what the crawler said of itself, by digest.
        lists: the lists of sites in force, each as it was logged.
        verification: what verifying found.
        kept_without_permission: pages that were kept though no permission for them is in the log.
        directory: the crawl's directory, for documents that look into its pages; None where nothing was read.
        records: the files that the log has on record, the earliest first.
        erased: entries that say that rows or archives were erased, and on which basis.
    """

    origin: str
    size: int
    root: str
    rows: tuple[Rows, ...]
    policies: Mapping[tuple[str, str], Policy]
    identities: Mapping[str, Mapping[str, str]]
    lists: tuple[Mapping[str, Any], ...]
    verification: Report
    kept_without_permission: int
    directory: Path | None = None
    records: tuple[Record, ...] = ()
    erased: int = 0

    @property
    def holds(self) -> bool:
        """Whether verification found nothing wrong."""
        return self.verification.outcome is not Outcome.FAILS

    @cached_property
    def decisions(self) -> tuple[Rows, ...]:
        """The groups that are decisions."""
        return tuple(row for row in self.rows if row.kind == DECISION)

    @cached_property
    def regimes(self) -> tuple[Regime, ...]:
        """Each policy with the decisions under it, the earliest first."""
        by_policy: dict[tuple[str, str], list[Rows]] = {}
        for row in self.decisions:
            by_policy.setdefault((row.policy, row.registry), []).append(row)
        made = [
            Regime(self.policies[key].in_force(min(row.begin for row in rows).date()), tuple(rows))
            for key, rows in by_policy.items()
            if key in self.policies
        ]
        return tuple(sorted(made, key=lambda regime: (regime.begin, regime.policy.digest)))

    @property
    def infringing(self) -> tuple[Mapping[str, Any], ...]:
        """Those of the lists that name infringing sites."""
        return tuple(entry for entry in self.lists if entry.get("kind") == Kind.INFRINGING)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The product tokens that decisions were made for."""
        return tuple(sorted({row.agent for row in self.decisions if row.agent}))

    def pointer(self, rows: Sequence[Rows], what: str = "") -> Source:
        """A pointer to rows, for people and programs: the log, its root, who wrote them, the range, how many."""
        if not rows:
            return Source(SourceKind.LOG, f"{self.origin}, no row{f' with {what}' if what else ''}", self.root)
        spans = []
        for node in sorted({row.node for row in rows}):
            own = [row for row in rows if row.node == node]
            first, last = min(row.first for row in own), max(row.last for row in own)
            spans.append(f"{node} rows {first} to {last} ({total(own)} of them)")
        return Source(SourceKind.LOG, f"{self.origin}, {', '.join(spans)}{f', {what}' if what else ''}", self.root)


_OUTCOMES: Mapping[str, str] = {
    "judged": "Judged",
    "kept": "Kept",
    "review": "Set aside for review",
    "denied": "Denied",
    "refused": "Denied because of what a site says, or of what could not be read",
    "unknown": "Of sites that the store of signals knows nothing about",
    "malformed": "Without a web address",
}


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """What one audit shows: its report, and the digest of that.

    Attributes:
        name: the name of the audit's directory.
        figures: `report.json` as it stands; `optout.audit.report` says what is in it.
        digest: SHA-256 of `report.json`.
        directory: the audit's directory, for documents that look into its decisions; None where nothing was read.
    """

    name: str
    figures: Mapping[str, Any]
    digest: str
    directory: Path | None = None

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows judged, kept, in review, denied, of these for what was read, unknown and malformed."""
        found = self.figures.get("rows", {})
        return {name: found[name] for name in _OUTCOMES if isinstance(found.get(name), int)}

    @property
    def outcomes(self) -> tuple[tuple[str, int], ...]:
        """The same in words, as a table shows them."""
        return tuple((_OUTCOMES[name], count) for name, count in self.rows.items())

    def is_at(self, place: str) -> bool:
        """Whether a place in the facts file means this directory: its path, or as much of the end as tells it."""
        wanted = [part for part in PurePath(place).parts if part != ".."]
        own = self.directory.resolve().parts if self.directory else (self.name,)
        return bool(wanted) and list(own[-len(wanted) :]) == wanted

    def pointer(self, what: str) -> Source:
        """A pointer to a part of the report."""
        return Source(SourceKind.AUDIT, f"{self.name}/report.json {what}", self.digest)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about; what is None does not matter.

    Attributes:
        host: a site, with its subdomains.
        first: the first day (UTC).
        last: the last day, which counts.
        subjects: what a complaint is about.
        title: what names the subjects, such as `complaint 4`.
    """

    host: str | None = None
    first: date | None = None
    last: date | None = None
    subjects: tuple[Subject, ...] = ()
    title: str = ""

    @property
    def text(self) -> str:
        """It in words."""
        parts = [
            self.title,
            f"{self.host} with its subdomains" if self.host else "",
            f"from {self.first.isoformat()}" if self.first else "",
            f"to {self.last.isoformat()}" if self.last else "",
        ]
        return ", ".join(filter(None, parts)) or "everything on record"


@dataclass(frozen=True, slots=True)
class Previous:
    """The version before of a document on a form: its fields by the numbers of the form, and the file they are in."""

    form: Mapping[str, Mapping[str, Any]]
    source: Source


@dataclass(frozen=True)
class Observed:
    """Everything that was observed: any number of logs and audits, what of it a report is about, and what was before.

    Attributes:
        logs: each verified.
        audits: of datasets.
        scope: what a report is about.
        previous: the version before, where a document is to say what differs from it.
    """

    logs: tuple[LogFacts, ...] = ()
    audits: tuple[AuditFacts, ...] = ()
    scope: Scope = Scope()
    previous: Previous | None = None

    @property
    def sound(self) -> tuple[LogFacts, ...]:
        """The logs that bear statements: verified, with decisions in them."""
        return tuple(log for log in self.logs if log.holds and log.decisions)

    @property
    def dated(self) -> str:
        """The day of the last decision; empty where there is none."""
        return max((row.end.date().isoformat() for log in self.sound for row in log.decisions), default="")


def total(rows: Iterable[Rows]) -> int:
    """How many rows the groups hold."""
    return sum(row.count for row in rows)


def observe(logs: Sequence[Path] = (), audits: Sequence[Path] = (), *, now: datetime | None = None) -> Observed:
    """Read and verify logs, and read audits; each once, however often it is named.

    Args:
        logs: crawl or evidence directories.
        audits: output directories of audits.
        now: the time; statements about a later time are faults.

    Raises:
        EvidenceError: a directory holds no evidence, or two hold copies of one log.
        AuditFault: a directory holds no audit's report.
    """
    different = {path.resolve(): path for path in audits}
    found = tuple(read_log(path, now=now) for path in each_once(logs))
    _refuse_copies(found)
    return Observed(found, tuple(read_audit(path) for path in different.values()))


def _refuse_copies(found: Sequence[LogFacts]) -> None:
    """Two copies of one log would have everything in it counted twice."""
    first: dict[str, LogFacts] = {}
    for log in found:
        if not log.holds:
            continue
        if log.origin in first:
            both = f"{first[log.origin].directory} and {log.directory}"
            raise EvidenceError(f"the log {log.origin} was named twice", place=both, mend="name the newer copy only")
        first[log.origin] = log


def read_previous(path: Path) -> Previous:
    """Read the `.json` of an earlier version of a training summary.

    Raises:
        PreviousFault: it cannot be read, or holds no form.
    """
    mend = "name the .json that `optout document training-summary` wrote"
    try:
        data = path.read_bytes()
        form = json.loads(data)["data"]["form"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise PreviousFault(f"{path} holds no earlier version: {error!r}", mend=mend) from error
    if not isinstance(form, dict) or not all(isinstance(section, dict) for section in form.values()):
        raise PreviousFault(f"{path} holds no earlier version: its form has no sections", mend=mend)
    return Previous(form, Source(SourceKind.FACTS, f"{path.name}, the version before", sha256(data).hexdigest()))


def read_audit(directory: Path) -> AuditFacts:
    """Read an audit's report.

    Raises:
        AuditFault: there is none, or it is damaged.
    """
    path = directory / "report.json"
    try:
        data = path.read_bytes()
        figures = json.loads(data)
    except (OSError, ValueError) as error:
        raise AuditFault(f"{path} cannot be read: {error}", mend="name the --out directory of an audit") from error
    if not isinstance(figures, dict):
        raise AuditFault(f"{path} is no audit's report", mend="name the --out directory of an audit")
    return AuditFacts(directory.name, figures, sha256(data).hexdigest(), directory)


def read_log(directory: Path, *, now: datetime | None = None) -> LogFacts:
    """Verify a log and count what is in it.

    Raises:
        EvidenceError: there is none, or it is so damaged that it cannot be read.
    """
    place = find(directory)
    document = documents_in(place.documents)
    verification = verify(directory, replay=Redecision(document), now=now)
    described = read_description(place)
    size, root = _tip(place)
    try:
        rows, kept_without_permission = _counted(place)
    except (EvidenceError, ValueError, TypeError, AttributeError):
        if verification.outcome is not Outcome.FAILS:
            raise
        # A damaged row may hold anything; what does not verify is shown as nothing.
        rows, kept_without_permission = (), 0
    return LogFacts(
        origin=described.origin if described else directory.name, size=size, root=root, rows=rows,
        policies=_policies(rows, document), identities=_identities(rows, document), lists=_lists(place),
        verification=verification, kept_without_permission=kept_without_permission, directory=directory,
        **_entries(place, size),
    )  # fmt: skip


def _entries(place: Layout, size: int) -> dict[str, Any]:
    """The entries of the log that are not rows; nothing where it is damaged, which verification has said."""
    try:
        found = [entries.parse(data) for _, data in LogReader(place, size).entries()]
    except (EvidenceError, ValueError):
        found = []
    said = [entry for entry in found if entry["v"] == entries.DOCUMENT]
    erased = sum(entry["v"] in {entries.REDACTION, entries.PURGE} for entry in found)
    return {
        "records": tuple(Record(entry["kind"], entry["digest"], _moment(entry["t"])) for entry in said),
        "erased": erased,
    }


def _tip(place: Layout) -> tuple[int, str]:
    try:
        found = checkpoint.parse(place.checkpoint.read_text(encoding="utf-8").split("\n\n", 1)[0] + "\n")
    except (OSError, ValueError, OptoutError):
        return 0, ""
    return found.size, found.root.hex()


def _counted(place: Layout) -> tuple[tuple[Rows, ...], int]:
    """The rows that are alike, in a fixed order, and how many pages were kept without permission.

    The log may have any number of rows: DuckDB puts together what is alike, and only that comes into memory.
    """
    with spilling() as connection:
        try:
            logged_rows(connection, place)
            groups = _folded(connection)
            (kept,) = connection.execute(_KEPT_WITHOUT_PERMISSION).fetchall()[0]
        except duckdb.Error as error:
            raise EvidenceError("the log's rows cannot be read", place=str(error).partition("\n")[0]) from error
    return tuple(sorted(groups, key=lambda row: (row.node, row.first))), int(kept)


def logged_rows(connection: duckdb.DuckDBPyConnection, place: Layout) -> None:
    """Make the view `logged` of every row, sealed or not; rows that have been erased have no kind and are left out."""
    sealed, paths = dict[str, int](), sorted(place.segments.glob("*.parquet"))
    for path in paths:
        name = parse_segment_name(path.name)
        if name is not None:
            count = pq.read_metadata(path).num_rows
            sealed[name[0]] = max(sealed.get(name[0], 0), name[1] + count)
    waiting = [
        row
        for head in sorted(place.directory.glob("*.head"))
        for _, row in journal.rows(place.directory, node=head.stem)
        if row["seq"] >= sealed.get(head.stem, 0)
    ]
    connection.register("waiting", segment.table_of(waiting))
    columns = ", ".join(f'"{name}"' for name in (*_SAME, "seq", "t", "host", "url", "fetch"))
    parts = [f"select {columns} from waiting"]  # noqa: S608 - our own names
    if paths:
        connection.read_parquet(named(paths), hive_partitioning=False).create_view("sealed")
        parts.append(f"select {columns} from sealed")  # noqa: S608 - our own names
    union = " union all ".join(parts)
    connection.execute(f"create temp view logged as select * from ({union}) where kind is not null")  # noqa: S608 - as above


_COLUMNS = ", ".join(f'"{name}"' for name in _SAME)
_GROUPS = (
    f"""select {_COLUMNS}, coalesce(contains("fetch", '"done":true'), false) as fetched, count(*) as "count", """  # noqa: S608 - our own names
    """min(seq) as "first", max(seq) as "last", min(t) as "begin", max(t) as "end" from logged group by all """
)
_KEPT_WITHOUT_PERMISSION = (
    f"select count(*) from (select url from logged where kind = '{KEPT}') kept anti join (select distinct url "  # noqa: S608 - our own names
    f"from logged where kind = '{DECISION}' and stage = 'page' and effect = 'permit') permitted "
    "on kept.url is not distinct from permitted.url"
)


def _folded(connection: duckdb.DuckDBPyConnection) -> list[Rows]:
    """Groups whose signals differ in their words and not in their protocols are one."""
    cursor = connection.execute(_GROUPS)
    names = [item[0] for item in cursor.description or ()]
    found: dict[tuple[Any, ...], Rows] = {}
    while batch := cursor.fetchmany(1_000):
        for values in batch:
            row = dict(zip(names, values, strict=True))
            one = _rows(row)
            key = (*(row[name] for name in _SAME if name != "signals"), one.protocols, one.fetched)
            found[key] = _together(found[key], one) if key in found else one
    return list(found.values())


def _rows(row: Mapping[str, Any]) -> Rows:
    signals = json.loads(row["signals"] or "[]")
    return Rows(
        **{name: row[name] or "" for name in _SAME if name not in {"signals", "coverage"}},
        protocols=frozenset(str(signal.get("k")) for signal in signals if signal.get("state") == "reserved"),
        coverage=json.loads(row["coverage"] or "{}"), fetched=bool(row["fetched"]), count=row["count"],
        first=row["first"], last=row["last"], begin=_moment(row["begin"]), end=_moment(row["end"]),
    )  # fmt: skip


def _together(one: Rows, other: Rows) -> Rows:
    return replace(
        one, count=one.count + other.count, first=min(one.first, other.first), last=max(one.last, other.last),
        begin=min(one.begin, other.begin), end=max(one.end, other.end),
    )  # fmt: skip


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _policies(rows: Iterable[Rows], document: Callable[[str], Sequence[bytes]]) -> dict[tuple[str, str], Policy]:
    found: dict[tuple[str, str], Policy] = {}
    for key in sorted({(row.policy, row.registry) for row in rows if row.kind == DECISION}):
        try:
            (text,), (registry, agents) = document(key[0]), document(key[1])
            found[key] = policies.parse(text, registry, agents, source=f"document {key[0][:16]}")
        except (ValueError, OptoutError):
            continue  # Verification has said so already; without its text a policy bears no statement.
    return found


def _identities(rows: Iterable[Rows], document: Callable[[str], Sequence[bytes]]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for digest in sorted({row.identity for row in rows if row.identity}):
        try:
            said = json.loads(document(digest)[0])
        except (ValueError, OptoutError):
            continue
        found[digest] = {str(key): str(value) for key, value in said.items()}
    return found


def _lists(place: Layout) -> tuple[Mapping[str, Any], ...]:
    """The lists of sites that were put on record, in the only file that is a list of such objects."""
    found: list[Mapping[str, Any]] = []
    for path in sorted(place.documents.glob("*")) if place.documents.is_dir() else ():
        data = path.read_bytes()
        if data.startswith(b"["):
            try:
                said = json.loads(data)
            except ValueError:
                continue
            found += [
                entry for entry in said if isinstance(entry, dict) and entry.keys() >= {"name", "issuer", "basis"}
            ]
    return tuple(found)


def reasons_table(logs: Sequence[LogFacts]) -> Table:
    """How often each answer was given, and why."""
    counts: dict[tuple[str, str, str], int] = {}
    for log in logs:
        for row in log.decisions:
            key = (row.effect, row.stage, row.reason)
            counts[key] = counts.get(key, 0) + row.count
    lines = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0]))
    sources = tuple(log.pointer(log.decisions) for log in logs)
    rows = tuple((*key, count) for key, count in lines)
    return Table(
        "Decisions by answer, moment and reason", ("Answer", "Moment", "Reason", "Decisions"), rows, sources, "reasons"
    )
