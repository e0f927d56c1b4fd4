"""How fast the audit is, as ratios within one run: `.venv/bin/python bench/audit.py [ROWS] [HOSTS]`.

URLs are made from real robots.txt files: hosts are drawn by Zipf's law, each bound to a real file; 15 % of the paths
are made from the host's own rules, the others are real paths. Compared are

(a) the obvious loop, `urlsplit` and Protego for each row, parsers kept by host and made beforehand,
(b) the pure-Python tier, (c) the compiled tier, everything compiled beforehand,
(d) reading the URL column from Parquet, (e) Arrow's `count_substring` over it,
(f) the whole audit of a Parquet file, and (g) a plain copy of that file.

All times are CPU time; the least of three rounds counts. (a) is taken from a sample of the rows.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from protego import Protego

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.audit import local
from optout.audit.job import Job, inputs
from optout.audit.judge import KERNEL, AsOf, Judge, Reading
from optout.audit.shard import Place, made
from optout.engine import required_paths
from optout.identity import Identity
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
SAMPLE = 60_000
TOKEN = "ExampleBot"
TODAY = date(2026, 11, 23)
SEEN = datetime(2026, 11, 1, tzinfo=UTC)
Rows = list[str]


def main() -> int:
    if not CORPUS.is_dir():
        print(f"needs {CORPUS}", file=sys.stderr)
        return 0
    rows, hosts = (
        (int(text) for text in [*sys.argv[1:], "2000000", "20000"][:2])
        if len(sys.argv) != 2
        else (int(sys.argv[1]), 20_000)
    )
    random.seed(6)
    bodies = pq.read_table(CORPUS / "robots/robots.parquet", columns=["body"])["body"].to_pylist()
    bodies = [random.choice(bodies) for _ in range(hosts)]
    urls = make_urls(bodies, rows)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        fill(store, bodies)
        run(Path(folder), store, bodies, urls)
    return 0


def make_urls(bodies: list[bytes], rows: int) -> Rows:
    """URLs of hosts by Zipf's law, in random order."""
    real = pq.read_table(CORPUS / "urls/urls.parquet", columns=["url"])["url"].to_pylist()
    paths = [
        urlsplit(url)[2] + (f"?{urlsplit(url).query}" if urlsplit(url).query else "")
        for url in real[:50_000]
        if "[" not in url
    ]
    own = [own_paths(body) for body in bodies]
    weights = list(accumulate(1 / rank for rank in range(1, len(bodies) + 1)))
    found = []
    for host in random.choices(range(len(bodies)), cum_weights=weights, k=rows):
        path = random.choice(paths)
        if own[host] and random.random() < 0.15:
            path = random.choice(own[host]).replace("*", "x").rstrip("$") + random.choice(["", "a", "/b", "?c=1"])
        found.append(f"https://www.site-{host}.example{path if path.startswith('/') else '/' + path}")
    return found


def own_paths(body: bytes) -> list[str]:
    """The paths that a file's own rules name."""
    rules = (line for line in body.splitlines() if line.lower().startswith((b"disallow:", b"allow:")))
    return [rule.split(b":", 1)[1].strip().decode("utf-8", "replace") for rule in rules]


def answer(host: int, path: str, body: bytes) -> Exchange:
    """What a host answers at a well-known path: its robots.txt, and 404 elsewhere."""
    url = f"https://www.site-{host}.example{path}"
    if path == "/robots.txt":
        return Exchange(url, path, 200, (), body, fetched_at=SEEN)
    return Exchange(url, path, 404, fetched_at=SEEN)


def fill(folder: Path, bodies: list[bytes]) -> None:
    """A store in which every host has its file, and none of the others."""
    policy = policy_files.load("eu-gpai", as_of=TODAY)
    with Store.open(folder, create=True) as store:
        store.put(
            answer(host, path, body)
            for host, body in enumerate(bodies)
            for path in required_paths(policy)
        )  # fmt: skip


def cpu(task: Callable[[], object], rounds: int = 3) -> float:
    """The least CPU seconds of a task."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def run(folder: Path, store: Path, bodies: list[bytes], urls: Rows) -> None:
    column = pa.array(urls)
    path = folder / "data.parquet"
    table = pa.table({"id": range(len(urls)), "url": column, "score": [random.random() for _ in urls]})
    pq.write_table(table, path, compression="zstd")
    sample = urls[:SAMPLE]
    protego = cpu(loop(bodies, sample)) / len(sample)
    ratios: dict[str, float] = {}
    show("(a) urlsplit + Protego per row", protego, protego, ratios, "a")
    policy, identity = policy_files.load("eu-gpai", as_of=TODAY), Identity(TOKEN)
    answers = []
    for key, name, kernel in (("b", "(b) pure Python", None), ("c", "(c) compiled", KERNEL)):
        if key == "c" and KERNEL is None:
            print("(c) compiled: not built on this machine")
            continue
        with Store.open(store) as opened:
            judge = Judge(opened, [Reading("own", policy, retroactive=False)], identity, AsOf(), kernel)
            start = time.process_time()
            judged = judge.judge(column)
            print(f"    first pass, with compiling: {time.process_time() - start:.1f} s of CPU")
            answers.append([(judge.outcomes.all[number]) for number in judged.numbers[0][:SAMPLE]])
            show(name, cpu(lambda judge=judge: judge.judge(column)) / len(urls), protego, ratios, key)
    if len(answers) == 2 and answers[0] != answers[1]:
        sys.exit("the tiers differ")
    compare(bodies, sample, [outcome.access == "permit" for outcome in answers[0]])
    show("(d) read the URL column", cpu(lambda: pq.read_table(path, columns=["url"])) / len(urls), protego, ratios, "d")
    show(
        "(e) Arrow count_substring",
        cpu(lambda: pc.count_substring(column, "/robots")) / len(urls),
        protego,
        ratios,
        "e",
    )
    whole(folder, store, path, ratios, len(urls), protego)
    print(f"targets: b ≥ 6 × a: {ratios['b']:.1f}")
    if "c" in ratios:
        print(f"targets: c ≥ 25 × a: {ratios['c']:.1f}; c ≥ 0.25 of e: {ratios['c'] / ratios['e']:.2f}")
    print(f"targets: f ≤ 2 × the CPU of g: {ratios['g'] / ratios['f']:.2f}")


def whole(folder: Path, store: Path, path: Path, ratios: dict[str, float], rows: int, protego: float) -> None:
    """The audit from file to files, when origins have been compiled, against a copy."""
    job = Job(store, "eu-gpai", TOKEN, TODAY)
    file = inputs([str(path)])[0]
    numbers = iter(range(100))

    def audit() -> None:
        out = folder / f"out{next(numbers)}"
        for _ in local.run(replace(job), [file], out, 1):
            pass
        if made(Place(out), file, job.digest()) is None:
            sys.exit("the audit is not done")

    audit()
    show("(f) whole audit, Parquet to decisions and kept", cpu(audit) / rows, protego, ratios, "f")
    show("(g) copy of the Parquet file", cpu(lambda: copy(path, folder / "copy.parquet")) / rows, protego, ratios, "g")


def copy(source: Path, target: Path) -> None:
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(65_536):
            writer.write_batch(batch)


def loop(bodies: list[bytes], sample: Rows) -> Callable[[], object]:
    """The obvious loop over a sample."""
    names = {urlsplit(url).netloc for url in sample}
    parsers = {name: Protego.parse(bodies[int(name[9:-8])].decode("utf-8", "replace")) for name in names}
    return lambda: [parsers[urlsplit(url).netloc].can_fetch(url, TOKEN) for url in sample]


def compare(bodies: list[bytes], sample: Rows, allowed: list[bool]) -> None:
    """How often the two answers differ, and in which direction; the second reader makes ours the stricter."""
    theirs = loop(bodies, sample)()
    pairs = list(zip(theirs, allowed, strict=True))  # type: ignore[call-overload]
    looser = sum(own and not other for other, own in pairs)
    stricter = sum(other and not own for other, own in pairs)
    print(f"    of {len(pairs):,} rows {stricter:,} are refused by us alone, {looser:,} by Protego alone")


def show(name: str, seconds: float, protego: float, ratios: dict[str, float], key: str) -> None:
    ratios[key] = protego / seconds
    print(f"{name:<48} {seconds * 1e9:>9,.0f} ns/row {ratios[key]:>7.1f} × (a)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
