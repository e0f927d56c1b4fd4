"""The audit: ours against the obvious loop, against reading, scanning and copying the same data.

Use: python bench/audit.py [--quick]

Two million URLs over twenty thousand hosts (with --quick 300,000 over 1,000) are made by `_audit_data.py`. Compared are

(a) the obvious loop, `urlsplit` and Protego for each row, over a fair sample of the rows,
(b) the pure-Python tier and (c) the compiled tier, with all signals of a policy that reads everything,
(d) reading the URL column from Parquet, (e) Arrow's `count_substring` over it,
(f) the whole audit from a Parquet file to decisions and kept rows, and (g) a plain copy of that file,
(h, i) the same two where rows stand in the order of their hosts, as crawlers write them,
(j, k) the same two on a quarter of the rows with a text of some 400 characters each, as datasets for training have.

They take turns; the medians of their CPU time are compared. Warm figures are taken when the hosts' files have been
read: parsers are made beforehand for (a), and policies compiled for (b), (c) and (f). What that making ready costs is
told apart, for each host. The run fails where the tiers differ in any row, where they differ from the engine, or where
an answer about access differs from Protego's and belongs to none of the classes that tools/robots_differences.py
documents.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from protego import Protego

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import _audit_data as data
from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.audit import local
from optout.audit.job import Job, inputs
from optout.audit.judge import KERNEL, AsOf, Judge, Reading
from optout.audit.outcomes import Outcome, outcome_of
from optout.engine import required_paths
from optout.identity import Identity
from optout.model import Effect
from tools.robots_differences import Question, explain, ours, protego

TOKEN = "ExampleBot"
BY_POLICY = "read beyond the letter, as the policy says"
TARGETS = {"b / a": 6.0, "c / a": 25.0, "c / e": 0.25}
COPIES = {"f / g": "rows in random order", "h / i": "rows by host", "j / k": "rows with texts"}
COPY_TARGET = 2.0
WITH_TEXTS = 4
"""One in so many rows is taken for the form with texts, which are long."""
FLAT_TARGET = 2_048


class Sizes(NamedTuple):
    """How much is done."""

    rows: int
    hosts: int
    rounds: int
    looped: int
    compared: int
    by_engine: int


FULL = Sizes(2_000_000, 20_000, 5, 40_000, 20_000, 1_000)
QUICK = Sizes(300_000, 1_000, 5, 8_000, 2_000, 100)

Figures = dict[str, float]
Jobs = dict[str, Callable[[], object]]


class Bench:
    """What is measured, made once."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        found = data.sources()
        self.real = found.real
        self.hosts = data.hosts(found, sizes.hosts)
        self.urls = data.urls(found, self.hosts, sizes.rows)
        self.column = pa.array(self.urls)
        self.store = folder / "store"
        data.fill(self.store, self.hosts)
        self.path = folder / "data.parquet"
        scores = [len(url) / 7 for url in self.urls]
        table = pa.table({"id": range(len(self.urls)), "url": self.column, "score": scores})
        self.by_host, self.with_texts = folder / "by_host.parquet", folder / "with_texts.parquet"
        fewer = table.slice(0, sizes.rows // WITH_TEXTS)
        texts = pa.array(data.texts(found, len(fewer)))
        made = {
            self.path: table,
            self.by_host: table.sort_by("url"),
            self.with_texts: fewer.append_column("text", texts),
        }
        for path, rows in made.items():
            pq.write_table(rows, path, compression="zstd")
        self.policy = policy_files.load(data.POLICY, as_of=data.TODAY)
        self.by_name = {host.name: host for host in self.hosts}
        self.rows = {"a": sizes.looped, "j": len(fewer), "k": len(fewer)}
        self.figures: Figures = {}
        self.wrong: list[str] = []

    def sample(self, count: int) -> list[int]:
        """Rows at equal distances, which is fair because rows are in random order."""
        return list(range(0, len(self.urls), max(1, len(self.urls) // count)))[:count]

    def judge(self, tier: str) -> Judge:
        """A judge that has compiled everything, and what that cost."""
        kernel = KERNEL if tier == "c" else None
        judge = Judge(
            Store.open(self.store), [Reading("own", self.policy, retroactive=False)], Identity(TOKEN), AsOf(), kernel
        )
        begun = process_time()
        judge.judge(self.column)
        hosts = len({urlsplit(url).netloc for url in self.urls})
        self.figures[f"{tier}: first pass, with compiling (us a host)"] = (process_time() - begun) / hosts * 1e6
        return judge

    def loop(self, rows: Iterable[int]) -> Callable[[], list[bool]]:
        """The obvious loop over some rows, its parsers made beforehand, and what that cost."""
        urls = [self.urls[row] for row in rows]
        names = {urlsplit(url).netloc for url in urls}
        begun = process_time()
        parsers = {name: Protego.parse(self.by_name[name].robots.decode("utf-8", "replace")) for name in names}
        self.figures["a: parsing beforehand (us a host)"] = (process_time() - begun) / len(names) * 1e6
        return lambda: [parsers[urlsplit(url).netloc].can_fetch(url, TOKEN) for url in urls]

    def audit(self, path: Path) -> None:
        """The whole audit, from file to files."""
        job = Job(self.store, data.POLICY, TOKEN, data.TODAY)
        file = inputs([str(path)])[0]
        out = Path(tempfile.mkdtemp(dir=self.folder))
        if any(manifest.unreadable or not manifest.rows for manifest in local.run(job, [file], out, 1)):
            sys.exit("the audit is not done")

    def copy(self, path: Path) -> None:
        """A plain copy of the same columns, compressed as the input is."""
        file, out = pq.ParquetFile(path), Path(tempfile.mkdtemp(dir=self.folder))
        with pq.ParquetWriter(out / "copy.parquet", file.schema_arrow, compression="zstd") as writer:
            for batch in file.iter_batches(65_536):
                writer.write_batch(batch)

    def flat(self, judge: Judge) -> None:
        """How large compiled contents are, beside the text of their rules."""
        sites = judge._views[0]._sites.values()  # noqa: SLF001
        flats = [bytes(part) for site in sites for part in site.record()[3:5]]
        sizes = [len(flat) - array("i", flat[:36])[8] for flat in flats]
        pairs = sorted(one + other for one, other in zip(sizes[::2], sizes[1::2], strict=True))
        self.figures["flat policy beside its text, mean (bytes)"] = sum(pairs) / len(pairs)
        self.figures["flat policy beside its text, 99 in 100 at most (bytes)"] = pairs[len(pairs) * 99 // 100]

    # What is compared.

    def check_tiers(self, judges: dict[str, Judge]) -> list[Outcome]:
        """Every row by every tier; what the first tier says."""
        answers = []
        for judge in judges.values():
            numbers = judge.judge(self.column).numbers[0].tolist()
            answers.append([judge.outcomes.all[number] for number in numbers])
        differing = sum(one != other for other in answers[1:] for one, other in zip(answers[0], other, strict=True))
        self.wrong += [f"{differing:,} rows differ between the tiers"] * bool(differing)
        print(f"compared: {len(judges)} tiers on {len(answers[0]):,} rows, {differing:,} differ")
        return answers[0]

    def check_engine(self, answers: list[Outcome]) -> None:
        """A sample by the engine itself, which reads the files anew for every row."""
        rows, paths = self.sample(self.sizes.by_engine), required_paths(self.policy)
        differing = 0
        for row in rows:
            url = self.urls[row]
            exchanges = self.by_name[urlsplit(url).netloc].exchanges(paths)
            verdict = engine.decide(exchanges, url, self.policy, Identity(TOKEN))
            differing += outcome_of(verdict, self.policy) != answers[row]
        self.wrong += [f"{differing:,} rows differ from the engine"] * bool(differing)
        print(f"compared: the engine itself on {len(rows):,} rows, {differing:,} differ")

    def check_protego(self, answers: list[Outcome]) -> dict[str, int]:
        """A sample of answers about access beside Protego's; how many differ, by class."""
        rows = self.sample(self.sizes.compared)
        classes: Counter[str] = Counter()
        for row, allowed in zip(rows, self.loop(rows)(), strict=True):
            if allowed == (answers[row].access is Effect.PERMIT):
                continue
            url = self.urls[row]
            body = self.by_name[urlsplit(url).netloc].robots.decode("utf-8", "replace")
            name = _class_of(Question(body, TOKEN, url), allowed)
            classes[name] += 1
            if name.endswith("unexplained"):
                self.wrong.append(f"Protego differs about {url}")
        print(f"compared: Protego on {len(rows):,} rows, {sum(classes.values()):,} differ, by class:")
        for name, count in classes.most_common():
            print(f"    {count:7,}  {name}")
        return dict(classes.most_common())


def _class_of(question: Question, allowed: bool) -> str:  # noqa: FBT001
    """The class of a difference; that Protego alone refuses must not happen, because it is our second reader."""
    if not allowed:
        return "Protego alone refuses: unexplained"
    if ours(question):
        return f"ours alone refuses: {BY_POLICY}"
    return f"ours alone refuses: {' + '.join(explain(question, protego)) or 'unexplained'}"


def measure(jobs: Jobs, rounds: int) -> Figures:
    """The median CPU seconds of each job over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            gc.collect()
            begun = process_time()
            job()
            taken[name].append(process_time() - begun)
    return {name: median(times) for name, times in taken.items()}


NAMES = {
    "a": "urlsplit + Protego per row",
    "b": "pure Python",
    "c": "compiled",
    "d": "read the URL column from Parquet",
    "e": "Arrow count_substring",
    "f": "whole audit, Parquet to decisions and kept",
    "g": "plain copy of the Parquet file",
    "h": "whole audit, rows by host",
    "i": "plain copy, rows by host",
    "j": "whole audit, rows with texts",
    "k": "plain copy, rows with texts",
}


def show(bench: Bench, seconds: Figures) -> None:
    """The table, and its numbers as figures."""
    for key, name in NAMES.items():
        if key not in seconds:
            continue
        rows = bench.rows.get(key, len(bench.urls))
        each = seconds[key] / rows * 1e9
        bench.figures[f"{key}: {name} (ns a row)"] = round(each, 1)
        ratio = bench.figures["a: urlsplit + Protego per row (ns a row)"] / each
        print(f"({key}) {name:<46} {each:>9,.0f} ns a row {ratio:>8.1f} x (a)")


def ratios(bench: Bench) -> Figures:
    """What the targets speak about."""
    each = {name[0]: value for name, value in bench.figures.items() if name.endswith("(ns a row)")}
    found = {"b / a": each["a"] / each["b"]}
    if "c" in each:
        found |= {"c / a": each["a"] / each["c"], "c / e": each["e"] / each["c"]}
    return found | {name: each[name[0]] / each[name[-1]] for name in COPIES}


def run(bench: Bench) -> int:
    sizes = bench.sizes
    source = "real robots.txt, tdmrep.json, RSL and paths" if bench.real else "files and paths made from a seed"
    print(f"Python {platform.python_version()}, {sizes.rounds} rounds, {sizes.rows:,} URLs over {sizes.hosts:,} hosts")
    print(source)
    if KERNEL is None:
        print("(c) is left out: the compiled tier was not built on this machine")
    loop = bench.loop(bench.sample(sizes.looped))
    judges = {tier: bench.judge(tier) for tier in "bc" if tier == "b" or KERNEL is not None}
    if "c" in judges:
        bench.flat(judges["c"])
    answers = bench.check_tiers(judges)
    bench.check_engine(answers)
    classes = bench.check_protego(answers)
    del answers
    begun = process_time()
    bench.audit(bench.path)
    bench.figures["f: first audit, with compiling (ns a row)"] = (process_time() - begun) / sizes.rows * 1e9
    local._judge.cache_clear()  # noqa: SLF001 - as a process does that was just started
    begun = process_time()
    bench.audit(bench.path)
    bench.figures["f: first audit of another process, compiled on disk (ns a row)"] = (
        (process_time() - begun) / sizes.rows * 1e9
    )
    jobs: Jobs = {"a": loop}
    jobs |= {tier: lambda judge=judge: judge.judge(bench.column) for tier, judge in judges.items()}  # type: ignore[misc]
    jobs |= {
        "d": lambda: pq.read_table(bench.path, columns=["url"]),
        "e": lambda: pc.count_substring(bench.column, "/robots"),
    }
    for (audited, *_, copied), path in zip(COPIES, (bench.path, bench.by_host, bench.with_texts), strict=True):
        jobs |= {audited: partial(bench.audit, path), copied: partial(bench.copy, path)}
    first = {name: round(value, 1) for name, value in bench.figures.items()}
    bench.figures.clear()
    show(bench, measure(jobs, sizes.rounds))
    print("making ready:")
    for name, value in first.items():
        print(f"    {value:>10,.0f}  {name}")
    found = ratios(bench)
    met = {f"{name} at least {least}": found[name] >= least for name, least in TARGETS.items() if name in found}
    flat = first.get("flat policy beside its text, mean (bytes)")
    met |= {} if flat is None else {f"flat policies at most {FLAT_TARGET:,} bytes": flat <= FLAT_TARGET}
    met |= {f"{name} at most {COPY_TARGET}, {what}": found[name] <= COPY_TARGET for name, what in COPIES.items()}
    met |= {"same answers": not bench.wrong}
    for target, good in met.items():
        ratio = next((f": {value:.2f}" for name, value in found.items() if target.startswith(name)), "")
        print(f"{'met   ' if good else 'MISSED'} {target}{ratio}")
    for what in bench.wrong[:10]:
        print(ascii(what))
    figures = bench.figures | first | {name: round(value, 2) for name, value in found.items()}
    print(json.dumps({"figures": figures, "differences": classes, "targets": met, "ok": all(met.values())}))
    return int(not all(met.values()))


def main(quick: bool) -> int:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as folder:
        return run(Bench(Path(folder), QUICK if quick else FULL))


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
