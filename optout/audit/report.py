"""What an audit found: figures from the decision shards, as JSON for machines and as a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson

from optout.audit.shard import Place, manifest_json
from optout.audit.storage import near_folder, write
from optout.urls import registrable_domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.audit.job import Job
    from optout.audit.shard import Manifest
    from optout.audit.storage import Location

DOMAINS = 50
"""How many domains a report lists."""

Figures = dict[str, Any]

_SUMS = (
    'count(*) AS "rows", count(*) FILTER (kept) AS kept, coalesce(sum(bytes), 0)::BIGINT AS bytes,'
    " coalesce(sum(bytes) FILTER (kept), 0)::BIGINT AS kept_bytes, coalesce(sum(tokens), 0)::BIGINT AS tokens,"
    " coalesce(sum(tokens) FILTER (kept), 0)::BIGINT AS kept_tokens"
)


def write_report(job: Job, manifests: Sequence[Manifest], directory: Location) -> Figures:
    """Write `report.json` and `report.html`, and give the figures."""
    from optout.audit.report_page import page  # noqa: PLC0415

    place = Place(directory)
    names = [place.path_of(place.decisions(one.file)) for one in manifests if one.rows]
    with near_folder(directory, names) as folder:
        figures = gather(job, manifests, folder)
    write(directory / "report.json", orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    write(directory / "report.html", page(figures).encode())
    return figures


def gather(job: Job, manifests: Sequence[Manifest], directory: Path) -> Figures:
    """The figures of an audit."""
    place = Place(directory)
    readings = job.readings()
    with_rows = [one for one in manifests if one.rows]
    paths = [str(place.decisions(one.file)) for one in with_rows]
    ask = _Asker(paths)
    rows = ask.one(
        f"SELECT {_SUMS}, count(*) FILTER (status = 'unknown') AS unknown,"
        " count(*) FILTER (status = 'malformed') AS malformed,"
        " count(*) FILTER (effect = 'deny') AS denied, count(*) FILTER (effect = 'review') AS review"
    )
    rows["judged"] = rows.pop("rows")
    figures: Figures = {
        "policy": {
            "name": readings[0].policy.name,
            "title": readings[0].policy.title,
            "digest": readings[0].policy.digest,
            "registry": readings[0].policy.registry_digest,
            "purposes": list(readings[0].policy.crawl_purposes),
            "unknown": readings[0].policy.unknown,
        },
        "agent": job.token,
        "as_of": job.as_of.text,
        "retroactive": job.retroactive,
        "rows": rows,
        "reasons": ask.many(f"SELECT reason, effect, protocol, {_SUMS} GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3"),
        "protocols": ask.many(
            f"SELECT protocol, {_SUMS} WHERE effect <> 'permit' AND protocol <> '' GROUP BY ALL ORDER BY 2 DESC, 1"
        ),
        "purposes": _purposes(ask),
        "scopes": ask.many(f"SELECT scope, {_SUMS} WHERE effect = 'deny' GROUP BY ALL ORDER BY 2 DESC, 1"),
        "own_token": ask.one(
            "SELECT count(*) FILTER (effect = 'deny' AND scope = 'this-agent') AS denied_by_name,"
            " count(*) FILTER (effect = 'deny' AND scope = 'everyone') AS denied_with_everyone,"
            " count(*) FILTER (others_refused) AS any_ai_crawler_refused,"
            " count(*) FILTER (others_refused AND kept) AS kept_though_another_is_refused"
        ),
        "languages": ask.many(
            f"SELECT language, {_SUMS} WHERE language IS NOT NULL GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT 30"
        ),
        "years": ask.many(f"SELECT year(date) AS year, {_SUMS} WHERE date IS NOT NULL GROUP BY ALL ORDER BY 1"),
        "time": ask.one(
            "SELECT count(*) FILTER (effect <> 'permit' AND newest_effect <> 'permit' AND status = 'known')"
            " AS reserved_then_and_now,"
            " count(*) FILTER (effect = 'permit' AND newest_effect <> 'permit') AS reserved_since,"
            " count(*) FILTER (effect <> 'permit' AND newest_effect = 'permit' AND status = 'known') AS opened_since,"
            " count(*) FILTER (effect = 'permit' AND newest_effect = 'permit') AS open_then_and_now,"
            " count(*) FILTER (reason = 'origin.unknown-then') AS unknown_then,"
            " min(signal_date)::VARCHAR AS earliest_signal, max(signal_date)::VARCHAR AS latest_signal,"
            " median(gap_days)::BIGINT AS median_gap_days, max(gap_days) AS longest_gap_days"
        ),
        "what_if": [
            {
                "name": reading.name,
                **ask.one(
                    f"SELECT count(*) FILTER (\"if_{reading.name}\" = 'permit') AS kept,"
                    f" count(*) FILTER (kept AND \"if_{reading.name}\" <> 'permit') AS lost,"
                    f" count(*) FILTER (NOT kept AND \"if_{reading.name}\" = 'permit') AS gained"
                ),
            }
            for reading in readings[1:]
        ],
        "domains": _domains(ask),
        "unknown_origins": ask.many(
            "SELECT origin, count(*) AS \"rows\" WHERE status = 'unknown' GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT 50"
        ),
        "origins": ask.one(
            "SELECT count(DISTINCT origin) AS all, count(DISTINCT origin) FILTER (status = 'known') AS known"
        ),
        "files": [_file(one) for one in manifests],
        "faults": [fault for one in manifests for fault in one.listed][:1_000],
    }
    figures["advice"] = advice(figures)
    return figures


class _Asker:
    """Asks the decision shards, which stand between SELECT and the rest of a query."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})

    def many(self, query: str) -> list[Figures]:
        """The rows of an answer."""
        if not self._paths:
            return []
        head, found, tail = _split(query)
        relation = self._connection.execute(
            f"{head} FROM read_parquet($1, union_by_name=true) {found}{tail}", [self._paths]
        )
        names = [column[0] for column in relation.description]
        return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]

    def one(self, query: str) -> Figures:
        """The only row of an answer."""
        found = self.many(query)
        return found[0] if found else _Nothing()


class _Nothing(dict[str, Any]):
    """The answer of no rows: nothing, of everything."""

    def __missing__(self, key: str) -> int:
        return 0

    def pop(self, key: str, *default: Any) -> Any:  # noqa: ANN401
        return super().pop(key, *(default or (0,)))


def _split(query: str) -> tuple[str, str, str]:
    for word in (" WHERE ", " GROUP BY "):
        head, found, tail = query.partition(word)
        # A FILTER has a condition of its own, without this word.
        if found:
            return head, found, tail
    return query, "", ""


def _purposes(ask: _Asker) -> list[Figures]:
    from optout.audit.schema import name_of  # noqa: PLC0415
    from optout.model import Effect, Purpose, State  # noqa: PLC0415

    columns = [
        f"count(*) FILTER ({name_of(purpose, what)} = '{value}') AS \"{purpose} {value}\""
        for purpose in Purpose
        for what, values in (("effect", Effect), ("state", State))
        for value in values
    ]
    found = ask.one(f"SELECT {', '.join(columns)}")
    return [
        {
            "purpose": str(purpose),
            "effects": {str(effect): found[f"{purpose} {effect}"] for effect in Effect},
            "states": {str(state): found[f"{purpose} {state}"] for state in State},
        }
        for purpose in Purpose
    ]


def _domains(ask: _Asker) -> list[Figures]:
    """The domains with the most rows; origins are put together by registrable domain."""
    together: dict[str, Figures] = {}
    for row in ask.many(f"SELECT origin, {_SUMS} WHERE origin IS NOT NULL GROUP BY ALL ORDER BY 1"):
        host = row.pop("origin").partition("://")[2].rpartition("@")[2]
        name = registrable_domain(host.rsplit(":", 1)[0] if not host.endswith("]") else host)
        known = together.setdefault(name, {"domain": name, **dict.fromkeys(row, 0)})
        for key, value in row.items():
            known[key] += value
    ranked = sorted(together.values(), key=lambda one: (-one["bytes"], -one["rows"], one["domain"]))
    return ranked[:DOMAINS]


def _file(manifest: Manifest) -> Figures:
    form = manifest_json(manifest)
    return {name: form[name] for name in ("file", "rows", "kept", "faults", "unreadable", "outputs")}


def advice(figures: Mapping[str, Any]) -> list[str]:
    """What to do next, in the order of what it is worth."""
    rows = figures["rows"]
    judged = rows["judged"] or 1
    found = []
    gaps: dict[str, int] = {}
    for reason in figures["reasons"]:
        kind, _, carrier = reason["reason"].partition(":")
        if kind == "coverage.not-consulted":
            gaps[carrier] = gaps.get(carrier, 0) + reason["rows"]
    if rows["unknown"]:
        share = 100 * rows["unknown"] / judged
        found.append(
            f"{rows['unknown']:,} rows ({share:.1f} %) are of origins that the store knows nothing about; the policy "
            f"says {figures['policy']['unknown']}. Harvest those origins and run the audit again."
        )
    found += [
        f"{count:,} rows are held back only because {carrier} was never looked at; harvest it."
        for carrier, count in sorted(gaps.items(), key=lambda item: -item[1])
    ]
    if rows["malformed"]:
        found.append(f"{rows['malformed']:,} rows have no usable URL; see status = 'malformed' in the decisions.")
    if figures["time"]["reserved_since"] and not figures["retroactive"]:
        count = figures["time"]["reserved_since"]
        found.append(f"{count:,} kept rows have been reserved since; --retroactive takes them out.")
    faults = sum(one["faults"] for one in figures["files"])
    if faults:
        found.append(f"{faults:,} places of the input could not be read; see faults below.")
    return found
