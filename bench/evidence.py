"""The evidence log: sealing, appends, size, verification, deciding again and proofs, beside pymerkle and SQLite.

Use: python bench/evidence.py [--quick]

Decisions are made from a seed: 60,000 hosts (Zipf), URLs of about 57 characters, 30 exchanges sets a host. Sealing is
measured as an audit does it, from tables, and as a crawl does it, through the journal. pymerkle (if installed) hashes
the same canonical rows into a tree that must have our root; SQLite (WAL, synchronous FULL, an index on the host)
stores the same rows and must answer the same question alike. Figures are CPU time over all threads, medians of
interleaved rounds; only latencies are wall time, beside that of bare fsync in the same run. The long run seals ten
million rows one segment after the other and watches the memory.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep

import duckdb
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout import engine
from optout.acquisition import policy_files
from optout.engine.overall import overall
from optout.evidence import bundle, segment, standalone, tlog
from optout.evidence.canonical import encode_checked
from optout.evidence.layout import Layout
from optout.evidence.ledger import EvidenceLog, TableLog
from optout.evidence.replay import Redecision, documents_in
from optout.evidence.rows import decision_row
from optout.evidence.verify import verify
from optout.identity import Identity
from optout.model import Exchange, Purpose

try:
    from pymerkle import InmemoryTree
except ImportError:
    InmemoryTree = None

SEED, HOSTS = 20261123, 60_000
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TARGETS = {"seal_rows_per_s": 100_000, "append_p99_ms": 50, "bytes_per_row": 60, "memory_growth_mb": 128}
AT_LEAST = {"seal_rows_per_s"}
"""The targets that are to be reached; the others are to be stayed under."""

WORDS = ("news", "article", "blog", "sport", "travel", "culture", "archive", "story", "review", "recipe", "politics")
DENY = (
    '[{"k":"robots-exclusion","place":"/robots.txt line 3 (Disallow)","purpose":"ai-train","scope":"everyone",'
    '"state":"reserved","strength":"standard","value":"/p/"}]'
)
COVERAGE = '{"/.well-known/tdmrep.json":"unavailable","/ai.txt":"unavailable","/robots.txt":"retrieved"}'


# Decisions.


class Maker:
    """Makes tables of decisions, always the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        weights = [1 / rank for rank in range(1, HOSTS + 1)]
        self._ranks, self._weights = range(HOSTS), list(_sums(weights))
        self._made = 0

    def table(self, rows: int) -> pa.Table:
        """So many decisions, as an audit writes them."""
        draw = self._draw
        hosts = draw.choices(self._ranks, cum_weights=self._weights, k=rows)
        start, self._made = self._made, self._made + rows
        denied = [draw.random() < 0.2 for _ in hosts]
        urls = [
            f"https://site-{host:05d}.example/{draw.choice(WORDS)}/{draw.choice(WORDS)}-{draw.getrandbits(36):x}.html"
            for host in hosts
        ]
        text = {
            "agent": ["ExampleBot"] * rows, "kind": ["decision"] * rows, "stage": ["audit"] * rows,
            "purpose": ["ai-train"] * rows, "policy": ["a" * 64] * rows, "registry": ["b" * 64] * rows,
            "identity": ["c" * 64] * rows, "host": [f"example,site-{host:05d})/" for host in hosts], "url": urls,
            "effect": ["deny" if no else "permit" for no in denied],
            "reason": ["robots.group.disallow" if no else "silence" for no in denied],
            "signals": [DENY if no else "[]" for no in denied], "coverage": [COVERAGE] * rows,
            "exchanges": [f'"{_set(host, draw.randrange(30))}"' for host in hosts], "fetch": ['{"done":false}'] * rows,
        }  # fmt: skip
        columns = {name: pa.array(values, pa.string()) for name, values in text.items()}
        first = int(NOW.timestamp()) * 1_000_000 + start * 20
        columns["t"] = pa.array([first + 20 * at + draw.randrange(20) for at in range(rows)], pa.int64())
        columns["v"] = pa.array([1] * rows, pa.int64())
        return pa.table(columns)


def _sums(weights: list[float]) -> Iterator[float]:
    total = 0.0
    for weight in weights:
        total += weight
        yield total


def _set(host: int, day: int) -> str:
    return sha256(b"%d %d" % (host, day)).hexdigest()


def as_rows(table: pa.Table) -> list[dict]:
    """The rows of a table, as a crawl logs them one by one."""
    return list(segment.rows_of(segment.completed(table)))


# Measuring.


def cpu(call: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of a call over all threads, and what it gave."""
    gc.collect()
    before = process_time()
    result = call()
    return process_time() - before, result


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-evidence-") as name:
        yield Path(name)


def size_of(path: Path) -> int:
    """The bytes of all files below a path."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def rss() -> int:
    """The memory of this process now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# What is compared.


def seal_tables(place: Path, tables: list[pa.Table]) -> None:
    log = TableLog(place, node="audit", now=NOW)
    for table in tables:
        log.append(table)
    log.close(NOW + timedelta(seconds=90))


def journal(place: Path, rows: list[dict]) -> EvidenceLog:
    """Log rows durably, a thousand a commit."""
    log = EvidenceLog(place / "evidence", node="n1", now=NOW)
    for at, row in enumerate(rows, 1):
        log.add_checked(row)
        if at % 1000 == 0:
            log.commit()
    log.commit()
    return log


def sqlite(place: Path, rows: list[dict]) -> int:
    """Store the same rows, a thousand a commit; give the bytes."""
    names = list(rows[0])
    with sqlite3.connect(place / "rows.db", isolation_level=None) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute(f"create table decisions ({', '.join(names)})")
        database.execute("create index by_host on decisions (host)")
        marks = ", ".join("?" * len(names))
        for at in range(0, len(rows), 1000):
            database.execute("begin")
            values = [[item if isinstance(item, str | int) else json.dumps(item) for item in row.values()]
                      for row in rows[at : at + 1000]]  # fmt: skip
            database.executemany(f"insert into decisions values ({marks})", values)  # noqa: S608
            database.execute("commit")
        database.execute("pragma wal_checkpoint(truncate)")
    database.close()
    return size_of(place)


def merkle(lines: list[bytes]) -> bytes:
    """Pymerkle's root over the canonical rows."""
    tree = InmemoryTree(algorithm="sha256")
    for line in lines:
        tree.append_entry(line)
    return tree.get_root()


def our_tree(lines: list[bytes]) -> bytes:
    return tlog.Tree([tlog.leaf_hash(line) for line in lines]).root


def sealing(figures: dict[str, float], rounds: int, segments: int, crawl_rows: int) -> None:
    """Seal tables, journal and seal rows, store them in SQLite, and hash them with pymerkle, in turns."""
    maker = Maker(SEED)
    tables = [maker.table(segment.ROWS) for _ in range(segments)]
    rows = [{**row, "seq": at, "node": "n1"} for at, row in enumerate(as_rows(tables[0].slice(0, crawl_rows)))]
    lines = [encode_checked(row) for row in rows]
    spent: dict[str, list[float]] = {}

    def note(name: str, count: int, seconds: float) -> None:
        spent.setdefault(name, []).append(count / seconds)

    for _ in range(rounds):
        with directory() as place:
            note("seal_rows_per_s", segments * segment.ROWS, cpu(lambda: seal_tables(place, tables))[0])
            figures["bytes_per_row"] = size_of(place) / (segments * segment.ROWS)
            figures["parquet_bytes_per_row"] = size_of(place / "segments") / (segments * segment.ROWS)
        with directory() as place:
            seconds, log = cpu(lambda: journal(place, rows))
            note("journal_rows_per_s", crawl_rows, seconds)
            note("journal_seal_rows_per_s", crawl_rows, cpu(partial(log.close, NOW + timedelta(seconds=90)))[0])
            segments_of_log = f"'{place}/evidence/segments/*.parquet'"
            ours = duckdb.sql(f"select host, count(*) from {segments_of_log} group by 1").fetchall()  # noqa: S608
        with directory() as place:
            note("sqlite_rows_per_s", crawl_rows, cpu(lambda: sqlite(place, rows))[0])
            figures["sqlite_bytes_per_row"] = size_of(place) / crawl_rows
            with sqlite3.connect(place / "rows.db") as database:
                theirs = database.execute("select host, count(*) from decisions group by 1").fetchall()
            database.close()
        if sorted(ours) != sorted(theirs):
            sys.exit("SQLite counts other decisions per host than the log")
        seconds, root = cpu(lambda: our_tree(lines))
        note("tree_leaves_per_s", crawl_rows, seconds)
        if InmemoryTree is not None:
            seconds, other = cpu(lambda: merkle(lines))
            note("pymerkle_leaves_per_s", crawl_rows, seconds)
            if other != root:
                sys.exit("pymerkle has another root over the same rows")
    figures |= {name: median(values) for name, values in spent.items()}


def appends(figures: dict[str, float], seconds: float) -> None:
    """A thousand decisions a second, a hundred a commit: how long until it is on the disk, with sealing beside it."""
    rows = as_rows(Maker(SEED + 1).table(2000))
    with directory() as place:
        log = EvidenceLog(place / "evidence", node="n1", now=NOW)
        ours, bare = [], []
        probe = os.open(place / "probe", os.O_WRONLY | os.O_CREAT)
        used = process_time()
        for tick in range(int(seconds * 10)):
            begun = perf_counter()
            for row in rows[tick * 100 % 1900 :][:100]:
                log.add(row)
            log.commit()
            log.tick_soon(NOW + timedelta(seconds=tick / 10))
            ours.append(perf_counter() - begun)
            fsync = perf_counter()
            os.write(probe, b"x" * 200)
            os.fsync(probe)
            bare.append(perf_counter() - fsync)
            sleep(max(0.0, 0.1 - (perf_counter() - begun)))
        figures["append_cpu_us_per_row"] = (process_time() - used) / (len(ours) * 100) * 1e6
        os.close(probe)
        log.close(NOW + timedelta(seconds=seconds + 1))
    for name, values in (("append", ours), ("fsync", bare)):
        figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = median(values) * 1e3, percentile(values, 0.99) * 1e3


def verification(figures: dict[str, float], segments: int, proofs: int) -> None:
    """Verify a log of tables, and prove decisions from it."""
    maker = Maker(SEED + 2)
    with directory() as place:
        tables = [maker.table(segment.ROWS) for _ in range(segments)]
        seal_tables(place, tables)
        seconds, report = cpu(lambda: verify(place, now=NOW + timedelta(days=1)))
        bad = [fault for step in report.steps if step.number < 10 for fault in step.faults]
        if bad:
            sys.exit(f"the log does not verify: {bad[0]}")
        figures["verify_rows_per_s"] = segments * segment.ROWS / seconds
        urls = tables[0].column("url").to_pylist()[:proofs]
        for table in tables:
            del table
        layout, keys = Layout(place), [line.split()[1] for line in (place / "policy.txt").read_text().splitlines()[:2]]
        made, checked, sizes = [], [], []
        for url in urls:
            seconds, proof = cpu(lambda url=url: bundle.prove_url(layout, url))
            data = json.dumps(proof, separators=(",", ":")).encode()
            made.append(seconds)
            sizes.append(len(data))
            seconds, result = cpu(lambda data=data: standalone.check(data, keys, []))
            checked.append(seconds)
            if [step for step in result.steps[:3] if step.wrong]:
                sys.exit("a proof does not verify")
    figures |= {"proof_bytes": median(sizes), "prove_ms": median(made) * 1e3, "check_proof_ms": median(checked) * 1e3}


def replay(figures: dict[str, float], hosts: int, pages: int) -> None:
    """Verify a crawl with archived signals, reading and deciding every row again."""
    texts = policy_files.texts("eu-gpai")
    policy, identity = policy_files.load("eu-gpai", as_of=NOW.date()), Identity("ExampleBot")
    body = b"User-agent: *\nDisallow: /p/\nDisallow: /*?s=\n\nUser-agent: ExampleBot\nDisallow: /private/\n"
    with directory() as place:
        log = EvidenceLog(place / "evidence", node="n1", now=NOW)
        log.document("policy", [texts[0]], NOW, policy.digest)
        log.document("registry", list(texts[1:]), NOW, policy.registry_digest)
        named = log.document("identity", [b"{}"], NOW)
        for host in range(hosts):
            origin = f"https://site-{host}.example"
            seen = [
                Exchange(f"{origin}{path}", path, status, body=data, fetched_at=NOW)
                for path, status, data in (
                    ("/robots.txt", 200, body), ("/.well-known/tdmrep.json", 404, b""), ("/ai.txt", 404, b""),
                    ("/trust.txt", 404, b""),
                )
            ]  # fmt: skip
            listed = log.write_set(seen)
            for page in range(pages):
                url = f"{origin}/{'p' if page % 4 == 0 else 'q'}/{page}"
                verdict = engine.decide(seen, url, policy, identity)
                found = overall(verdict, [Purpose.AI_TRAIN])
                log.add(decision_row(
                    url=url, decided_at=NOW, stage="request", agent=identity.token, purpose="ai-train",
                    effect=str(found.effect), reason=found.reason, policy=policy.digest,
                    registry=policy.registry_digest, identity=named, exchanges=listed, access=str(verdict.access),
                    decisions={str(item.purpose): {"effect": str(item.effect), "reason": item.reason}
                               for item in verdict.decisions},
                ))  # fmt: skip
            log.commit()
        log.close(NOW + timedelta(seconds=90))
        again = Redecision(documents_in(place / "evidence" / "documents"))
        plain, _ = cpu(lambda: verify(place, now=NOW + timedelta(days=1)))
        seconds, report = cpu(lambda: verify(place, now=NOW + timedelta(days=1), replay=again))
        if not report.valid:
            sys.exit(report.text)
        figures["replay_rows_per_s"] = hosts * pages / (seconds - plain)
        figures["archive_bytes_per_host"] = size_of(place / "signals") / hosts


def long_run(figures: dict[str, float], rows: int) -> None:
    """Seal so many rows, one segment after the other, and verify them; the memory must not grow with them."""
    maker, used, seen = Maker(SEED + 3), 0.0, []
    begun = perf_counter()
    with directory() as place:
        log = TableLog(place, node="audit", now=NOW)
        for number in range(-(-rows // segment.ROWS)):
            table = maker.table(segment.ROWS)
            seconds, _ = cpu(lambda table=table: log.append(table))
            used += seconds
            log.tick(NOW + timedelta(seconds=61 * number))
            seen.append(rss())
        log.close(NOW + timedelta(days=1))
        figures["long_rows"] = log.next_seq
        figures["long_seal_rows_per_s"] = log.next_seq / used
        figures["long_bytes_per_row"] = size_of(place) / log.next_seq
        seconds, report = cpu(lambda: verify(place, now=NOW + timedelta(days=2)))
        if any(step.faults for step in report.steps if step.number < 10):
            sys.exit(report.text)
        figures["long_verify_rows_per_s"] = log.next_seq / seconds
    settled = seen[min(len(seen) - 1, 5) :]
    figures["long_wall_s"] = perf_counter() - begun
    figures["memory_growth_mb"] = (max(settled) - settled[0]) / 1e6
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    figures: dict[str, float] = {}
    sealing(figures, 3, 1 if quick else 4, 10_000 if quick else 50_000)
    appends(figures, 4 if quick else 150)
    verification(figures, 1 if quick else 8, 5 if quick else 50)
    replay(figures, 50 if quick else 500, 20 if quick else 40)
    long_run(figures, 3 * segment.ROWS if quick else 10_000_000)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pyarrow {pa.__version__}")
    for name, value in figures.items():
        print(f"{name:26} {value:>14,.1f}  {_target(name)}")
    met = {name: (figures[name] >= limit) is (name in AT_LEAST) for name, limit in TARGETS.items()}
    result = {name: round(value, 3) for name, value in figures.items()}
    print(json.dumps({**result, "targets": TARGETS, "met": met, "ok": all(met.values())}))


def _target(name: str) -> str:
    if name not in TARGETS:
        return ""
    return f"(target {'at least' if name in AT_LEAST else 'under'} {TARGETS[name]:,})"


if __name__ == "__main__":
    main()
