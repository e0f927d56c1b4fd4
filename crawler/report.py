"""What a crawl did, counted from its evidence and from nothing else, so that it is right after any interruption."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pyarrow import parquet
from scrapy import signals

from crawler.account import PAGE
from crawler.guard import guard_of
from crawler.outcome import DECISION
from optout.errors import MalformedUrl
from optout.evidence.files import write_durably
from optout.evidence.journal import rows
from optout.evidence.layout import Layout, parse_segment_name
from optout.evidence.rows import KEPT
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scrapy.crawler import Crawler

REPORT = "report.json"
"""The name of the report in a crawl's directory."""

COMPLETE = frozenset({"finished", "max-pages"})
"""The reasons for which a crawl that did what it was asked to do ends."""

_COUNTED = ("kind", "stage", "effect", "reason", "url")


@dataclass
class Tally:
    """Decisions of one origin, or of all.

    Attributes:
        asked: requests that were decided on.
        permitted: responses that were permitted after their body was read.
        kept: pages that were kept.
        refused: how many were not permitted, by stage (before the request, after headers, after body), effect and
            reason.
    """

    asked: int = 0
    permitted: int = 0
    kept: int = 0
    refused: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row."""
        if row["kind"] == KEPT:
            self.kept += 1
            return
        stage, effect = row["stage"], row["effect"]
        self.asked += 1
        if effect != "permit":
            self.refused[stage, effect, row["reason"]] += 1
        else:
            self.permitted += stage == PAGE

    def json(self) -> dict[str, Any]:
        """The tally as an object."""
        return {
            "asked": self.asked,
            "permitted": self.permitted,
            "kept": self.kept,
            "refused": [
                {"stage": stage, "effect": effect, "reason": reason, "count": count}
                for (stage, effect, reason), count in sorted(self.refused.items(), key=lambda item: (-item[1], item[0]))
            ],
        }


@dataclass
class Report:
    """What was decided, in all and by origin."""

    total: Tally = field(default_factory=Tally)
    origins: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row of the log."""
        if row.get("kind") not in {DECISION, KEPT}:
            return
        self.total.add(row)
        try:
            origin = origin_of(row["url"]).text
        except MalformedUrl:
            origin = row["url"]
        self.origins[origin].add(row)

    def json(self) -> dict[str, Any]:
        """The report as an object."""
        origins = {origin: tally.json() for origin, tally in sorted(self.origins.items())}
        return {"total": self.total.json(), "origins": origins}


class ReportWriter:
    """Scrapy extension that writes `report.json` when everything else is on the disk."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        crawler.signals.connect(self._write, signal=signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the extension of a crawl."""
        return cls(crawler)

    def _write(self) -> None:
        chosen = guard_of(self._crawler).options
        reason = self._crawler.stats.get_value("finish_reason")
        form = {
            "seeds": list(getattr(self._crawler.spider, "seeds", ())),
            "policy": chosen.policy.name,
            "agent": chosen.identity.token,
            "ended": reason,
            "complete": reason in COMPLETE,
            **read(chosen.directory, chosen.node).json(),
        }
        text = json.dumps(form, indent=2, ensure_ascii=False)
        write_durably(chosen.directory / REPORT, text.encode("utf-8", "replace") + b"\n")


def read(directory: Path, node: str) -> Report:
    """Count the decisions in a crawl's log.

    Raises:
        EvidenceError: the log is damaged.
    """
    report = Report()
    for row in logged(directory / "evidence", node):
        report.add(row)
    return report


def logged(evidence: Path, node: str) -> Iterator[Mapping[str, Any]]:
    """What rows say that the report counts, from the sealed segments and from the journal after them."""
    place = Layout(evidence)
    sealed = 0
    for path in sorted(place.segments.glob("*.parquet")):
        name = parse_segment_name(path.name)
        if name is not None and name[0] == node:
            table = parquet.read_table(path, columns=list(_COUNTED))
            sealed = max(sealed, name[1] + table.num_rows)
            yield from table.to_pylist()
    yield from (row for _, row in rows(evidence, node=node) if row["seq"] >= sealed)
