"""The evidence report: what logs show for a period, a site or a complaint, and whether they hold.

Counts come from logs that verify. Of one that does not, the report shows what verification found, and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from optout.evidence.layout import find
from optout.evidence.query import surt
from optout.evidence.report import Outcome
from optout.evidence.spilling import spilling
from policies.complaint_search import Finder, of_post, plain_host
from policies.document import (
    Block,
    Bullets,
    Document,
    Fields,
    Figure,
    Heading,
    Missing,
    Paragraph,
    Source,
    SourceKind,
    Table,
)
from policies.evidence_facts import logged_rows
from policies.plots import bars, periods, timeline
from policies.signal_history import history

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from policies.evidence_facts import LogFacts, Observed, Scope
    from policies.facts import Facts
    from policies.signal_history import History

NAME = "evidence-report"
_GAPS = 5
_MEASURED = Source(SourceKind.LAW, "what evidence of this kind is")


def evidence_report(facts: Facts, observed: Observed) -> Document:
    """The report on what `observed.scope` names; on everything where it names nothing."""
    scope = observed.scope
    blocks: list[Block] = [*_head(facts, scope)]
    if not observed.logs:
        blocks.append(Missing("--evidence", "Name the crawls whose evidence is to be reported"))
    data: dict[str, Any] = {"scope": scope.text, "logs": []}
    for log in observed.logs:
        found, said = _of_log(log, scope)
        blocks += found
        data["logs"].append(said)
    if observed.logs:
        blocks += _limits(observed)
    return Document(NAME, "Evidence report", tuple(blocks), data, observed.dated, "reasons")


def _head(facts: Facts, scope: Scope) -> Iterator[Block]:
    yield Fields(
        (("Provider", facts.get("provider.name")), ("This report is about", scope.text)),
        (facts.pointer("provider.name"),),
    )


def _of_log(log: LogFacts, scope: Scope) -> tuple[list[Block], Mapping[str, Any]]:
    blocks: list[Block] = [Heading(f"Log {log.origin}"), *_verification(log)]
    said: dict[str, Any] = {"origin": log.origin, "root": log.root, "verification": log.verification.json}
    if not log.holds or log.directory is None:
        blocks.append(Paragraph("This log does not hold, so nothing is counted from it.", (_log(log, "verification"),)))
        return blocks, said
    rows = _Counted(log, scope)
    blocks += _decisions(log, rows)
    blocks += _coverage(log, rows)
    seen = history(log.directory, scope)
    blocks += _signals(log, seen)
    said |= {
        "decisions": rows.total,
        "reasons": [[*key, count] for key, count in rows.ranked],
        "signal_files": seen.files,
        "signal_changes": seen.changes,
    }
    return blocks, said


def _log(log: LogFacts, what: str) -> Source:
    return Source(SourceKind.LOG, f"{log.origin}, {what}", log.root)


def _verification(log: LogFacts) -> Iterator[Block]:
    words = {
        Outcome.HOLDS: "The log holds.",
        Outcome.FAILS: "The log does not hold.",
        Outcome.INCOMPLETE: "Nothing wrong was found; not everything could be checked.",
        Outcome.NOTHING: "There was nothing to check.",
    }
    yield Paragraph(words[log.verification.outcome], (_log(log, f"{log.size} entries under the newest checkpoint"),))
    rows = tuple(
        (
            step.number,
            step.name,
            str(step.outcome),
            step.checked,
            "; ".join(fault.what for fault in step.faults) or "none",
        )
        for step in log.verification.steps
    )
    if rows:
        heads = ("Step", "What is checked", "Outcome", "Checked", "Faults")
        yield Table("Verification", heads, rows, (_log(log, "verification"),))


class _Counted:
    """The decisions of a log that are meant, counted in one pass; only what is counted stays in memory."""

    def __init__(self, log: LogFacts, scope: Scope) -> None:
        self.reasons, self.carriers = Counter[tuple[str, str, str]](), Counter[tuple[str, str]]()
        self.days: dict[str, Counter[str]] = defaultdict(Counter)
        self.total = 0
        self._spans: dict[str, tuple[int, int]] = {}
        finder = Finder(scope.subjects) if scope.subjects else None
        for row in _rows(log, scope, finder):
            if finder is None or finder.of_url(row["url"] or "") is not None:
                self._add(row)

    def _add(self, row: Mapping[str, Any]) -> None:
        count, node = row["count"], row["node"]
        self.total += count
        self.reasons[row["effect"], row["stage"], row["reason"]] += count
        self.days[row["day"]][row["effect"]] += count
        for carrier, what in json.loads(row["coverage"] or "{}").items():
            self.carriers[str(carrier), str(what)] += count
        first, last = self._spans.get(node, (row["first"], row["last"]))
        self._spans[node] = min(first, row["first"]), max(last, row["last"])

    @property
    def ranked(self) -> list[tuple[tuple[str, str, str], int]]:
        """Answer, moment and reason with their number."""
        return sorted(self.reasons.items(), key=lambda item: (item[0][0], -item[1], item[0]))

    @property
    def span(self) -> str:
        """The rows that were counted, by the node that wrote them."""
        told = ", ".join(f"{node} rows {first} to {last}" for node, (first, last) in sorted(self._spans.items()))
        return f"{told} ({self.total} of them)" if told else "no row"


def _rows(log: LogFacts, scope: Scope, finder: Finder | None) -> Iterator[Mapping[str, Any]]:
    """Rows that are alike, put together; by URL only where that matters, and then of hosts that may be meant."""
    same = "node, effect, stage, reason, strftime(make_timestamp(t), '%Y-%m-%d') as day, coverage, "
    same += "null as url" if finder is None else "url"
    conditions = ["effect is not null", *_conditions(scope)]
    with spilling() as connection:
        logged_rows(connection, find(log.directory))  # type: ignore[arg-type]
        if finder is not None:
            post = f" or {of_post(finder)}" if finder.posts else ""
            conditions.append(f"(host in (select host from wanted){post})")  # noqa: S608 - quoted by `of_post`
            connection.execute("select distinct host from logged where host is not null")
            found: list[str] = []
            while hosts := connection.fetchmany(10_000):
                found += (host for (host,) in hosts if finder.names_host(plain_host(host)))
            connection.register("wanted", pa.table({"host": pa.array(found, pa.string())}))
        cursor = connection.execute(
            f'select {same}, count(*) as "count", min(seq) as "first", max(seq) as "last" '  # noqa: S608 - our own names and quoted values
            f"from logged where {' and '.join(conditions)} group by all"
        )
        names = [item[0] for item in cursor.description or ()]
        while batch := cursor.fetchmany(1_000):
            yield from (dict(zip(names, values, strict=True)) for values in batch)


def _conditions(scope: Scope) -> Iterator[str]:
    if scope.host:
        name = surt(scope.host).removesuffix(")/").replace("'", "''")
        yield f"(host = '{name})/' or starts_with(host, '{name},') or starts_with(host, '{name}:'))"
    day = "strftime(make_timestamp(t), '%Y-%m-%d')"
    if scope.first:
        yield f"{day} >= '{scope.first.isoformat()}'"
    if scope.last:
        yield f"{day} <= '{scope.last.isoformat()}'"


def _decisions(log: LogFacts, rows: _Counted) -> Iterator[Block]:
    source = (_log(log, rows.span),)
    if not rows.total:
        yield Paragraph("The log has no decision about it.", source)
        return
    yield Paragraph(f"Decisions on record: {rows.total}.", source)
    table = tuple((*key, count) for key, count in rows.ranked)
    yield Table(
        "Decisions by answer, moment and reason", ("Answer", "Moment", "Reason", "Decisions"), table, source, "reasons"
    )
    days = periods(rows.days)
    alt = "; ".join(
        f"{day}: {', '.join(f'{count} {effect}' for effect, count in sorted(counts.items()))}"
        for day, counts in days.items()
    )
    title = "Decisions by period (UTC) and answer"
    yield Figure(title, bars(days, title), alt)


def _coverage(log: LogFacts, rows: _Counted) -> Iterator[Block]:
    if rows.carriers:
        table = tuple((*key, count) for key, count in sorted(rows.carriers.items()))
        heads = ("Signal file", "What became of looking at it", "Decisions")
        yield Table("Coverage: what was consulted", heads, table, (_log(log, rows.span),), "coverage")


def _signals(log: LogFacts, seen: History) -> Iterator[Block]:
    if not seen.files:
        return
    source = (_log(log, "archive of signals"),)
    yield Paragraph(
        f"Signal files, and pages that carry signals, in the archive: {seen.files}; "
        f"looks at them: {seen.looks}; changes between two looks: {seen.changes}.",
        source,
    )
    if seen.by_day:
        days = periods({day: {"changes": count} for day, count in seen.by_day.items()})
        title = "Changes of signal files by period (UTC)"
        yield Figure(title, bars(days, title), "; ".join(f"{day}: {one['changes']}" for day, one in days.items()))
    caption = "Looks at signal files over time: an open circle is a look, a filled square a look that found a change"
    drawn = f"{len(seen.drawn)} of {seen.files} files, those with the most changes first"
    caption += f"; drawn are {drawn}" if len(seen.drawn) < seen.files else ""
    alt = f"{drawn}; {seen.changes} changes"
    yield Figure(caption, timeline(seen.drawn, caption), alt)
    if seen.listed:
        heads = ("File", "Last seen as before", "Seen changed", "Status before", "Status after", "SHA-256 after")
        rows = tuple(
            (one.url, one.before.isoformat(), one.after.isoformat(), one.was, one.status, one.digest)
            for one in seen.listed
        )
        yield Table("Changes of signal files", heads, rows, source, "changes")
    if seen.changes > len(seen.listed):
        yield Paragraph(
            f"{seen.changes - len(seen.listed)} more changes are not listed; narrow the report to see them.", source
        )


def _limits(observed: Observed) -> Iterator[Block]:
    """What no log can show, and what this one was not checked for."""
    yield Heading("What this report cannot show")
    always = (
        "That nothing was fetched beside the log. Whoever serves a site can compare its own record of requests.",
        "That a server sent the same bytes to others. The archive holds what the crawler was sent.",
        "What a site said between two looks. A change is dated by the last look before it and the first after it.",
        "That the times are true beyond what witnesses and timestamps say; without them they are the operator's.",
    )
    yield Bullets(tuple(Paragraph(text, (_MEASURED,)) for text in always))
    for log in observed.logs:
        notes = [note for step in log.verification.steps for note in step.notes]
        gaps = [gap for step in log.verification.steps for gap in step.gaps[:_GAPS]]
        if notes or gaps:
            yield Paragraph(f"Of the log {log.origin} the verification says:", (_log(log, "verification"),))
            yield Bullets(tuple(Paragraph(text) for text in dict.fromkeys([*notes, *gaps])))


DOCUMENTS = {NAME: evidence_report}
