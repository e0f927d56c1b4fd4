"""The figures of an audit, asked of its decision shards by DuckDB, which needs no more memory for more rows."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import ExitStack
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from optout.audit.advice import advice
from optout.audit.outcomes import SINCE
from optout.audit.schema import Rows, decisions, name_of
from optout.audit.shard import Place, manifest_json
from optout.evidence.spilling import named, spilling
from optout.model import Effect, Purpose, State
from optout.urls import registrable_domain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from optout.audit.job import Job
    from optout.audit.judge import Reading
    from optout.audit.shard import Manifest

Figures = dict[str, Any]

DOMAINS = 50
"""How many domains a report lists."""

GROUPS = 30
"""How many languages, and groups of domains, a report lists."""

UNKNOWN_FILE = "unknown-origins.txt"
"""What `optout harvest` is given next: the origins that nothing is known about, those with the most rows first."""

_SINCE = f"reason LIKE '{SINCE}%'"
"""Rows that a later state has denied; the store knows their origins, though perhaps not at the time asked for."""

_THEN = f"(status = 'unknown' AND (reason = 'origin.unknown-then' OR {_SINCE}))"
"""Rows of origins that the store knows, but not at the time asked for."""

_OPEN = f"(effect = 'permit' OR (status = 'known' AND {_SINCE}))"
"""Rows that the state which they are judged by does not hold back, though a later one may."""

_SUMS = (
    'count(*) AS "rows", count(*) FILTER (kept) AS kept,'
    " count(*) FILTER (effect = 'review') AS review,"
    f" count(*) FILTER (status = 'unknown' AND effect = 'deny' AND NOT {_SINCE}) AS unknown,"
    " coalesce(sum(bytes), 0)::BIGINT AS bytes, coalesce(sum(bytes) FILTER (kept), 0)::BIGINT AS kept_bytes,"
    " coalesce(sum(tokens), 0)::BIGINT AS tokens, coalesce(sum(tokens) FILTER (kept), 0)::BIGINT AS kept_tokens"
)
_ADDED = ", ".join(
    f'sum("{name}")::BIGINT AS "{name}"'
    for name in ("rows", "kept", "review", "unknown", "bytes", "kept_bytes", "tokens", "kept_tokens")
)
_UNREADABLE = "(effect = 'permit' AND NOT kept)"
"""Rows that nothing forbids and that are not kept, because what is in them could not be read."""

MEMORY = "768MB"
"""What asking may take; what needs more goes to the disk."""

_STEPS = (100, 1_000, 10_000, 100_000)
"""How many origins one might harvest first."""

_GAPS = ((0, 1), (2, 7), (8, 30), (31, 90), (91, 366), (367, None))
"""Days between a row and the capture that it was judged by."""

_BATCH = 50_000


def gather(job: Job, manifests: Sequence[Manifest], directory: Path, unknown: Path, *, is_remote: bool) -> Figures:
    """The figures of an audit.

    Args:
        job: what was asked.
        manifests: of all its shards.
        directory: the output folder.
        unknown: the file to write unknown origins to.
        is_remote: whether that folder is but a copy of what lies on another file system.
    """
    place = Place(directory)
    readings = job.readings()
    with Asker([str(place.decisions(one.file)) for one in manifests if one.rows], _no_rows(job)) as ask:
        figures = {
            **_asked(job, readings[0]),
            "rows": _rows(ask),
            "reasons": ask.many(f"SELECT reason, effect, protocol, {_SUMS} GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3"),
            "protocols": ask.many(
                f"SELECT protocol, {_SUMS} WHERE effect <> 'permit' AND protocol <> '' GROUP BY ALL ORDER BY 2 DESC, 1"
            ),
            "purposes": _purposes(ask),
            "scopes": ask.many(f"SELECT scope, {_SUMS} WHERE effect = 'deny' GROUP BY ALL ORDER BY 2 DESC, 1"),
            "own_token": _own_token(ask),
            "languages": ask.many(
                f"SELECT language, {_SUMS} WHERE language IS NOT NULL GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT {GROUPS}"
            ),
            "years": ask.many(f"SELECT year(date) AS year, {_SUMS} WHERE date IS NOT NULL GROUP BY ALL ORDER BY 1"),
            "time": _time(ask),
            "what_if": [_what_if(ask, reading) for reading in readings[1:]],
            **_sites(ask),
            **_unknown(ask, unknown),
            "origins": ask.one(
                "SELECT count(DISTINCT origin) AS all, count(DISTINCT origin) FILTER (status = 'known') AS known"
            ),
        }
    figures["files"] = [_file(one) for one in manifests]
    figures["faults"] = [fault for one in manifests for fault in one.listed][:1_000]
    figures["advice"] = [one.json() for one in advice(figures, is_remote=is_remote)]
    return figures


def _no_rows(job: Job) -> pa.Table:
    judge = job.judge()
    return decisions(judge, judge.judge(pa.array([], pa.string())), Rows())


def _asked(job: Job, own: Reading) -> Figures:
    policy = own.policy
    return {
        "policy": {
            "name": policy.name, "title": policy.title, "digest": policy.digest, "registry": policy.registry_digest,
            "purposes": list(policy.crawl_purposes), "unknown": policy.unknown,
            "nearest_capture_days": policy.nearest_capture_days,
        },
        "agent": job.token, "as_of": job.as_of.text, "retroactive": job.retroactive,
    }  # fmt: skip


class Asker:
    """Asks the decision shards, which stand between SELECT and the rest of a query."""

    def __init__(self, paths: Sequence[str], no_rows: pa.Table) -> None:
        """Ask these files; where there are none, a table of no rows that has their columns."""
        self._paths, self._no_rows = named(paths), no_rows
        self._stack = ExitStack()
        self.connection = self._stack.enter_context(spilling(MEMORY))

    def __enter__(self) -> Self:
        """Give the asker itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._stack.close()

    def relation(self, query: str) -> duckdb.DuckDBPyRelation:
        """The answer, in a cursor of its own; nothing is read yet."""
        head, found, tail = _split(query)
        cursor = self.connection.cursor()
        if self._paths:
            text = f"{head} FROM read_parquet($1, union_by_name=true, hive_partitioning=false) {found}{tail}"
            return cursor.sql(text, params=[self._paths])
        cursor.register("no_rows", self._no_rows)
        return cursor.sql(f"{head} FROM no_rows {found}{tail}")

    def many(self, query: str) -> list[Figures]:
        """The rows of an answer."""
        return rows_of(self.relation(query))

    def one(self, query: str) -> Figures:
        """The only row of an answer."""
        (found,) = self.many(query)
        return found


def rows_of(answer: duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation) -> list[Figures]:
    """The rows of an answer, by the names of its columns."""
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _split(query: str) -> tuple[str, str, str]:
    for word in (" WHERE ", " GROUP BY "):
        head, found, tail = query.partition(word)
        # A FILTER has a condition of its own, without this word.
        if found:
            return head, found, tail
    return query, "", ""


def _rows(ask: Asker) -> Figures:
    found = ask.one(
        f"SELECT {_SUMS}, count(*) FILTER (status = 'malformed') AS malformed,"
        " count(*) FILTER (status = 'unknown') AS of_unknown_origins,"
        " count(*) FILTER (effect = 'deny') AS denied,"
        f" count(*) FILTER (effect = 'deny' AND (status = 'known' OR {_SINCE})) AS refused,"
        f" count(*) FILTER ({_UNREADABLE}) AS unreadable"
    )
    names = (
        "kept", "review", "bytes", "kept_bytes", "tokens", "kept_tokens", "malformed", "denied", "refused",
        "unreadable",
    )  # fmt: skip
    return {"judged": found["rows"], **{name: found[name] for name in names}, "unknown": found["of_unknown_origins"]}


def _purposes(ask: Asker) -> list[Figures]:
    columns = [
        f"count(*) FILTER ({name_of(purpose, what)} = '{value}') AS \"{purpose} {value}\""
        for purpose in Purpose
        for what, values in (("effect", Effect), ("state", State))
        for value in values
    ] + [
        f"count(*) FILTER ({name_of(purpose, 'effect')} = 'deny' AND status <> 'known' AND NOT {_SINCE})"
        f' AS "{purpose} unknown"'
        for purpose in Purpose
    ]
    found = ask.one(f"SELECT {', '.join(columns)}")
    return [
        {
            "purpose": str(purpose),
            "effects": {str(effect): found[f"{purpose} {effect}"] for effect in Effect},
            "states": {str(state): found[f"{purpose} {state}"] for state in State},
            "denied_unknown": found[f"{purpose} unknown"],
        }
        for purpose in Purpose
    ]


def _own_token(ask: Asker) -> Figures:
    """Whom rules name: us, everybody, or some AI crawler, whoever it is."""
    return dict(
        ask.one(
            "SELECT count(*) FILTER (effect = 'deny' AND scope = 'this-agent') AS denied_by_name,"
            " count(*) FILTER (effect = 'deny' AND scope = 'everyone') AS denied_with_everyone,"
            " count(*) FILTER (others_refused) AS any_ai_crawler_refused,"
            " count(*) FILTER (others_refused AND kept) AS kept_though_another_is_refused,"
            " count(*) FILTER (others_refused AND NOT kept AND status = 'known') AS held_back_and_another_is_refused,"
            " count(*) FILTER (NOT others_refused AND kept AND status = 'known') AS kept_and_nobody_is_refused,"
            " count(*) FILTER (NOT others_refused AND NOT kept AND status = 'known')"
            " AS held_back_though_nobody_is_refused,"
            " coalesce(sum(tokens) FILTER (others_refused AND kept), 0)::BIGINT"
            " AS tokens_kept_though_another_is_refused"
        )
    )


def _time(ask: Asker) -> Figures:
    gaps = ", ".join(
        f'count(*) FILTER (gap_days >= {low}{f" AND gap_days <= {high}" if high is not None else ""}) AS "{low}"'
        for low, high in _GAPS
    )
    found = ask.one(
        f"SELECT count(*) FILTER (NOT {_OPEN} AND newest_effect <> 'permit' AND status = 'known')"
        " AS reserved_then_and_now,"
        f" count(*) FILTER ({_OPEN} AND newest_effect <> 'permit') AS reserved_since,"
        f" count(*) FILTER (NOT {_OPEN} AND newest_effect = 'permit' AND status = 'known') AS opened_since,"
        f" count(*) FILTER ({_OPEN} AND newest_effect = 'permit' AND status = 'known') AS open_then_and_now,"
        f" count(*) FILTER {_THEN} AS unknown_then,"
        f" count(*) FILTER ({_THEN} AND date IS NULL) AS without_a_date,"
        " min(signal_date)::VARCHAR AS earliest_signal, max(signal_date)::VARCHAR AS latest_signal,"
        f" max(gap_days) AS longest_gap_days, {gaps}"
    )
    found["median_gap_days"] = _median_gap(ask)
    spans = [{"from": low, "to": high, "rows": found[str(low)]} for low, high in _GAPS]
    return {name: value for name, value in found.items() if not name.isdecimal()} | {"gaps": spans}


def _median_gap(ask: Asker) -> int | None:
    """The median, from how often each number of days comes up: DuckDB's own holds every row in memory."""
    counted = ask.many("SELECT gap_days, count(*) AS n WHERE gap_days IS NOT NULL GROUP BY 1 ORDER BY 1")
    ends = list(accumulate(one["n"] for one in counted))
    if not ends:
        return None
    places = ((ends[-1] - 1) // 2, ends[-1] // 2)
    middle: list[int] = [counted[bisect_right(ends, place)]["gap_days"] for place in places]
    return round(sum(middle) / 2)


def _what_if(ask: Asker, reading: Reading) -> Figures:
    column = '"if_{}"'.format(reading.name.replace('"', '""'))
    found = ask.one(
        f"SELECT count(*) FILTER ({column} = 'permit' AND NOT {_UNREADABLE}) AS kept,"
        f" count(*) FILTER (kept AND {column} <> 'permit') AS lost,"
        f" count(*) FILTER (NOT kept AND {column} = 'permit' AND NOT {_UNREADABLE}) AS gained,"
        f" count(*) FILTER ({column} = 'review') AS review,"
        f" coalesce(sum(bytes) FILTER ({column} = 'permit' AND NOT {_UNREADABLE}), 0)::BIGINT AS kept_bytes,"
        f" coalesce(sum(tokens) FILTER ({column} = 'permit' AND NOT {_UNREADABLE}), 0)::BIGINT AS kept_tokens"
    )
    return {"name": reading.name, **{name: found[name] for name in ("kept", "lost", "gained", "review")},
            "kept_bytes": found["kept_bytes"], "kept_tokens": found["kept_tokens"]}  # fmt: skip


def _sites(ask: Asker) -> Figures:
    """Rows by registrable domain and by top-level domain. Origins pass through one batch at a time."""
    answer = ask.relation(f"SELECT origin, {_SUMS} WHERE origin IS NOT NULL GROUP BY ALL")
    into = ask.connection.cursor()
    into.register("origins", _with_domains(answer))
    into.execute(f"CREATE TEMP TABLE sites AS SELECT domain, {_ADDED} FROM origins GROUP BY domain")  # noqa: S608
    top = "SELECT * FROM sites ORDER BY tokens DESC, bytes DESC, 2 DESC, 1"
    last = "regexp_extract(domain, '[^.]*$')"
    name = f"CASE WHEN domain LIKE '[%' OR regexp_full_match({last}, '[0-9]+') THEN 'addresses' ELSE '.' || {last} END"
    groups = f"SELECT {name} AS name, {_ADDED} FROM sites GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {GROUPS}"  # noqa: S608
    return {
        "domains": rows_of(into.execute(f"{top} LIMIT {DOMAINS}")),
        "domain_groups": rows_of(into.execute(groups)),
    }


def _with_domains(answer: duckdb.DuckDBPyRelation) -> pa.RecordBatchReader:
    """The rows of an answer, with the registrable domain in place of the origin."""
    reader: pa.RecordBatchReader = answer.to_arrow_reader(_BATCH)
    schema = pa.schema([pa.field("domain", pa.string()), *list(reader.schema)[1:]])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            domains = [_domain(origin) for origin in batch.column(0).to_pylist()]
            yield pa.RecordBatch.from_arrays([pa.array(domains, pa.string()), *batch.columns[1:]], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _domain(origin: str) -> str:
    host = origin.partition("://")[2].rpartition("@")[2]
    return registrable_domain(host if host.endswith("]") else host.rsplit(":", 1)[0])


def _unknown(ask: Asker, target: Path) -> Figures:
    """The origins that nothing is known about: written to a file, the first of them, and what the first are worth."""
    answer = ask.relation(
        "SELECT origin, count(*) AS \"rows\" WHERE status = 'unknown' AND origin IS NOT NULL"
        # An audit judges any scheme that has origins, but only these can be harvested.
        f" AND NOT {_THEN} AND regexp_matches(origin, '^https?://') GROUP BY ALL"
    )
    into = ask.connection.cursor()
    into.register("answer", answer.to_arrow_reader(_BATCH))
    into.execute("CREATE TEMP TABLE unknown AS SELECT * FROM answer")
    ordered = into.execute('SELECT origin FROM unknown ORDER BY "rows" DESC, origin')
    with target.open("w", encoding="utf-8") as file:
        while rows := ordered.fetchmany(_BATCH):
            file.writelines(f"{origin}\n" for (origin,) in rows)
    first = rows_of(into.execute('SELECT origin, "rows" FROM unknown ORDER BY "rows" DESC, origin LIMIT 50'))
    worth = ", ".join(f'coalesce(sum("rows") FILTER (place <= {count}), 0)::BIGINT' for count in _STEPS)
    ranked = '(SELECT "rows", row_number() OVER (ORDER BY "rows" DESC, origin) AS place FROM unknown)'
    (settled,) = into.execute(f"SELECT {worth} FROM {ranked}").fetchall()  # noqa: S608 - constants of this module
    (total,) = into.execute("SELECT count(*) FROM unknown").fetchall()
    steps = [{"origins": count, "rows": rows} for count, rows in zip(_STEPS, settled, strict=True) if count < total[0]]
    return {"unknown_origins": first, "unknown_origin_count": total[0], "unknown_settled": steps}


def _file(manifest: Manifest) -> Figures:
    form = manifest_json(manifest)
    return {name: form[name] for name in ("file", "rows", "kept", "faults", "unreadable", "outputs")}
