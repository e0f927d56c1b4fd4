"""The evidence report: what logs show for a period, a site or a complaint, and whether they hold.

Counts come from logs that verify. Of one that does not, the report shows what verification found, and nothing else.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from optout.errors import MalformedUrl
from optout.evidence import warc
from optout.evidence.layout import find, read_description
from optout.evidence.query import Rows, surt
from optout.evidence.report import Outcome
from optout.urls import origin_of
from policies.complaint_search import Finder
from policies.document import (
    Block,
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
from policies.plots import bars, timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from policies.evidence_facts import LogFacts, Observed, Scope
    from policies.facts import Facts

NAME = "evidence-report"
_PLOTTED = 40
_LISTED = 500


class Look(NamedTuple):
    """One look at a signal file."""

    at: datetime
    status: str
    digest: str


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
    looks = _looks(log.directory, scope)
    blocks += _signals(log, looks)
    said |= {
        "decisions": rows.total,
        "reasons": [[*key, count] for key, count in rows.ranked],
        "signal_files": len(looks),
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
    """The decisions of a log that are meant, counted in one pass."""

    def __init__(self, log: LogFacts, scope: Scope) -> None:
        self.reasons, self.carriers = Counter[tuple[str, str, str]](), Counter[tuple[str, str]]()
        self.days: dict[str, Counter[str]] = defaultdict(Counter)
        self.total = 0
        finder = Finder(scope.subjects) if scope.subjects else None
        numbers: list[tuple[str, int]] = []
        for row in _rows(log, scope, by_url=finder is not None):
            if finder is not None and finder.of_url(row["url"] or "") is None:
                continue
            count = row["count"]
            self.total += count
            self.reasons[row["effect"], row["stage"], row["reason"]] += count
            self.days[row["day"]][row["effect"]] += count
            for carrier, what in json.loads(row["coverage"] or "{}").items():
                self.carriers[str(carrier), str(what)] += count
            numbers += [(row["node"], row["first"]), (row["node"], row["last"])]
        self.span = _span(numbers, self.total)

    @property
    def ranked(self) -> list[tuple[tuple[str, str, str], int]]:
        """Answer, moment and reason with their number."""
        return sorted(self.reasons.items(), key=lambda item: (item[0][0], -item[1], item[0]))


def _span(numbers: Sequence[tuple[str, int]], count: int) -> str:
    nodes = sorted({node for node, _ in numbers})
    ranges = ((node, [number for name, number in numbers if name == node]) for node in nodes)
    told = ", ".join(f"{node} rows {min(own)} to {max(own)}" for node, own in ranges)
    return f"{told} ({count} of them)" if told else "no row"


def _rows(log: LogFacts, scope: Scope, *, by_url: bool) -> Iterable[Mapping[str, Any]]:
    """Rows that are alike, put together; by URL only where that matters."""
    same = "node, effect, stage, reason, day, coverage" + (", url" if by_url else "")
    figures = "count(*) as count, min(seq) as first, max(seq) as last"
    url = "" if by_url else ", null as url"
    where = " and ".join(["effect is not null", *_conditions(scope)])
    with Rows(find(log.directory)) as rows:  # type: ignore[arg-type]
        yield from rows.sql(f"select {same}{url}, {figures} from rows where {where} group by {same} order by all")  # noqa: S608 - our own names and quoted values


def _conditions(scope: Scope) -> Iterator[str]:
    if scope.host:
        name = surt(scope.host).removesuffix(")/").replace("'", "''")
        yield f"(host = '{name})/' or starts_with(host, '{name},') or starts_with(host, '{name}:'))"
    if scope.first:
        yield f"day >= '{scope.first.isoformat()}'"
    if scope.last:
        yield f"day <= '{scope.last.isoformat()}'"


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
    days = {day: dict(counts) for day, counts in rows.days.items()}
    alt = "; ".join(
        f"{day}: {', '.join(f'{count} {effect}' for effect, count in sorted(counts.items()))}"
        for day, counts in sorted(days.items())
    )
    yield Figure("Decisions by day (UTC) and answer", bars(days), alt)


def _coverage(log: LogFacts, rows: _Counted) -> Iterator[Block]:
    if rows.carriers:
        table = tuple((*key, count) for key, count in sorted(rows.carriers.items()))
        heads = ("Signal file", "What became of looking at it", "Decisions")
        yield Table("Coverage: what was consulted", heads, table, (_log(log, rows.span),), "coverage")


def _looks(directory: Path, scope: Scope) -> Mapping[str, Sequence[Look]]:
    """Every look at the signal files of the sites that are meant, in order of time, from the archive's index."""
    place = find(directory)
    description = read_description(place)
    found: dict[str, list[Look]] = defaultdict(list)
    finder = Finder(scope.subjects) if scope.subjects else None
    for path in warc.archive_files(place.directory / description.archive) if description else ():
        for entry in warc.read_index(path) if warc.index_path(path).exists() else ():
            url = str(entry.fields.get("requested", ""))
            if _meant(url, entry.key, scope, finder):
                moment = datetime.strptime(entry.timestamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
                said = entry.fields
                if _in_period(moment, scope):
                    found[url].append(Look(moment, str(said.get("status", "none")), str(said.get("digest", ""))))
    return {url: sorted(looks) for url, looks in sorted(found.items())}


def _meant(url: str, key: str, scope: Scope, finder: Finder | None) -> bool:
    name = surt(scope.host).removesuffix(")/") if scope.host else ""
    if name and not key.startswith((f"{name})/", f"{name},", f"{name}:")):
        return False
    if finder is None:
        return True
    try:
        return finder.may_hold(origin_of(url).host)
    except MalformedUrl:
        return False


def _in_period(moment: datetime, scope: Scope) -> bool:
    day = moment.date()
    return (scope.first is None or day >= scope.first) and (scope.last is None or day <= scope.last)


def _signals(log: LogFacts, looks: Mapping[str, Sequence[Look]]) -> Iterator[Block]:
    if not looks:
        return
    marked = {url: _marked(found) for url, found in looks.items()}
    changed = {url: sum(change for _, change in found) for url, found in marked.items()}
    source = (_log(log, "archive of signals"),)
    yield Paragraph(
        f"Signal files, and pages that carry signals, in the archive: {len(looks)}; "
        f"looks at them: {sum(map(len, looks.values()))}; "
        f"changes between two looks: {sum(changed.values())}.",
        source,
    )
    plotted = sorted(looks, key=lambda url: (-changed[url], -len(looks[url]), url))[:_PLOTTED]
    caption = "Looks at signal files over time: an open circle is a look, a filled square a look that found a change"
    alt = f"{len(plotted)} of {len(looks)} files, those with the most changes first; {sum(changed.values())} changes"
    yield Figure(caption, timeline([(url, marked[url]) for url in plotted]), alt)
    rows = [row for url in sorted(looks) for row in _changes(url, looks[url])]
    if rows:
        heads = ("File", "Last seen as before", "Seen changed", "Status before", "Status after", "SHA-256 after")
        yield Table("Changes of signal files", heads, tuple(rows[:_LISTED]), source, "changes")
        if len(rows) > _LISTED:
            yield Paragraph(
                f"{len(rows) - _LISTED} more changes are not listed; narrow the report to see them.", source
            )


def _marked(looks: Sequence[Look]) -> list[tuple[datetime, bool]]:
    before = [None, *looks[:-1]]
    return [(look.at, old is not None and old[1:] != look[1:]) for old, look in zip(before, looks, strict=True)]


def _changes(url: str, looks: Sequence[Look]) -> Iterator[tuple[str, str, str, str, str, str]]:
    for old, new in itertools.pairwise(looks):
        if old[1:] != new[1:]:
            yield (
                url,
                old.at.isoformat(),
                new.at.isoformat(),
                old.status,
                new.status,
                new.digest.removeprefix("sha256:"),
            )


DOCUMENTS = {NAME: evidence_report}
