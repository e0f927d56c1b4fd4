"""The audit by its three engines on the same files: second-run wall time and CPU, with two workers.

Use: python bench/audit_engines.py [--quick]

Parquet files with URLs of hosts that each have a robots.txt are made from a seed. Each engine is a process of its own
that runs the audit twice into empty folders: the first run starts processes and compiles what origins say, the second
is what a long audit is made of. Ray and Spark keep their workers between the two; the default engine makes new ones,
as every run of the command does. CPU is that of the process and all that it has started, Java among them. Rounds are
interleaved, and medians are compared. An engine that is not installed is named and left out.

What the engines write has to be the same, file by file.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pyarrow as pa
import pyarrow.parquet as pq

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.audit.job import Job, inputs
from optout.engine import required_paths
from optout.model import Exchange

SEED = 20261127
FILES, WORKERS, TARGET = 8, 2, 1.3
ENGINES = {"local": None, "ray": "ray", "spark": "pyspark"}
TODAY = date(2026, 11, 27)
SEEN = datetime(2026, 11, 1, tzinfo=UTC)
WORDS = ("news", "article", "private", "search", "tag", "image", "archive", "user", "2026", "shop")


def main() -> int:
    if "--engine" in sys.argv:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
        return 0
    quick = "--quick" in sys.argv
    there = [name for name, library in ENGINES.items() if library is None or find_spec(library)]
    for name in ENGINES.keys() - set(there):
        print(f"--engine {name} is not installed and left out: make bench EXTRAS=ray,spark")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), 20_000 if quick else 500_000, 200 if quick else 5_000)
        rounds = [{name: asked(name, folder, number) for name in there} for number in range(1 if quick else 3)]
    return report(rounds, there)


def make(folder: Path, rows: int, hosts: int) -> None:
    """Files of URLs, and a store that knows the hosts."""
    draw = random.Random(SEED)
    paths = required_paths(policy_files.load("eu-gpai", as_of=TODAY))
    with Store.open(folder / "store", create=True) as store:
        store.put(answer(host, path, draw) for host in range(hosts) for path in paths)
    (folder / "in").mkdir()
    for number in range(FILES):
        urls = [f"https://site-{int(hosts * draw.random() ** 3)}.example/{made_path(draw)}" for _ in range(rows)]
        pq.write_table(pa.table({"url": urls}), folder / f"in/{number}.parquet")


def made_path(draw: random.Random) -> str:
    return "/".join(draw.choices(WORDS, k=draw.randint(1, 4))) + f"/{draw.randrange(10**6)}.html"


def answer(host: int, path: str, draw: random.Random) -> Exchange:
    """A robots.txt of a few rules; nothing else is there."""
    url = f"https://site-{host}.example{path}"
    if path != "/robots.txt":
        return Exchange(url, path, 404, fetched_at=SEEN)
    rules = "".join(f"Disallow: /{made_path(draw)[:12]}\n" for _ in range(draw.randint(0, 12)))
    return Exchange(url, path, 200, body=f"User-agent: *\n{rules}".encode(), fetched_at=SEEN)


def asked(name: str, folder: str, number: int) -> dict[str, Any]:
    """Measure an engine in a process of its own."""
    command = [sys.executable, __file__, "--engine", name, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"--engine {name}: {done.stderr[-2_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"round {number + 1}: {name:<6} first run {found['first']:6.2f} s, second run {found['second']:6.2f} s",
        flush=True,
    )
    return found


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Run the audit twice by one engine."""
    job, files = Job(folder / "store", "eu-gpai", "ExampleBot", TODAY), inputs([str(folder / "in")])
    engine = import_module(f"optout.audit.{name}")
    with ExitStack() as stack, tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        if name == "spark":
            stack.enter_context(engine.session(WORKERS))
        if name == "ray":
            stack.enter_context(engine.started(WORKERS))
        for _ in engine.run(job, files, Path(out) / "first", WORKERS):
            pass
        first, before, again = time.perf_counter() - start, cpu(), time.perf_counter()
        manifests = list(engine.run(job, files, Path(out) / "second", WORKERS))
        wall, used = time.perf_counter() - again, cpu() - before
    outputs = {path: digest for one in manifests for path, digest in (one.outputs or {}).items()}
    rows = sum(one.rows for one in manifests)
    return {"first": first, "second": wall, "cpu": used, "rows": rows, "outputs": dict(sorted(outputs.items()))}


def cpu() -> float:
    """CPU seconds of this process and of all that it has started, living and dead."""
    family, found = {os.getpid()}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    while more := {one for one, (above, _) in found.items() if above in family} - family:
        family |= more
    return sum(ticks for one, (_, ticks) in found.items() if one in family) / os.sysconf("SC_CLK_TCK")


def report(rounds: list[dict[str, dict[str, Any]]], there: list[str]) -> int:
    outputs = [one["outputs"] for each in rounds for one in each.values()]
    if any(one != outputs[0] for one in outputs) or len(outputs[0]) != 2 * FILES:
        sys.exit("the engines have written different files")
    middle = {
        name: {key: median(each[name][key] for each in rounds) for key in ("first", "second", "cpu", "rows")}
        for name in there
    }
    figures, targets = {}, {}
    print(f"{'engine':<8}{'first run s':>12}{'second run s':>14}{'× local':>9}{'CPU µs/row':>12}{'× local':>9}")
    for name, one in middle.items():
        wall, used = one["second"] / middle["local"]["second"], one["cpu"] / middle["local"]["cpu"]
        micro = one["cpu"] / one["rows"] * 1e6
        print(f"{name:<8}{one['first']:>12.2f}{one['second']:>14.2f}{wall:>9.2f}{micro:>12.2f}{used:>9.2f}")
        figures |= {f"{name} first run s": one["first"], f"{name} second run s": one["second"]}
        figures |= {f"{name} CPU us per row": micro}
        if name != "local":
            figures[f"{name} second run, times local"] = wall
            targets[f"{name} second run <= {TARGET} x local"] = wall <= TARGET
    rounded = {name: round(value, 3) for name, value in figures.items()}
    print(
        json.dumps(
            {
                "figures": rounded,
                "targets": targets,
                "left out": sorted(ENGINES.keys() - set(there)),
                "ok": all(targets.values()),
            }
        )
    )
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
