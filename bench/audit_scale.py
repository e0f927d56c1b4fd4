"""A hundred million rows on one machine: `.venv/bin/python bench/audit_scale.py [--quick] [--rows N]`.

Makes a dataset from a seed: half of its rows in many files, half in one giant file. Audits it twice, once undisturbed
and once through two kills: one of the driver alone while its workers go on, and one of all processes at once. Then
holds what came out of both to be the same bytes, verifies the evidence log, and judges every row again from the store.
All the while it takes the memory of the whole process tree: proportional set size, in which what processes share
counts once.

--quick does a million rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.engine import required_paths
from optout.model import Exchange

OPTOUT = Path(sys.executable).with_name("optout")
SEED = 20261127
HOSTS, QUICK_HOSTS = 20_000, 200
BODIES = 4_000
FILE_ROWS = 1 << 20
GROUP_ROWS = 1 << 17
MOST_MEMORY = 2_000
"""Megabytes that all processes together may have."""

MOST_GROWTH = 1.3
"""How much more memory a run may take in its third quarter than in its second: growth with the rows would be more."""

SEEN = datetime(2026, 1, 1, tzinfo=UTC)
POLL_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--folder", type=Path, help="where to work; a folder of its own by default")
    arguments = parser.parse_args()
    rows = arguments.rows or (1_000_000 if arguments.quick else 100_000_000)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        return run(Path(name), rows, quick=arguments.quick)


def run(folder: Path, rows: int, *, quick: bool) -> int:
    """Make, audit, kill, resume and compare; a quick run is too short to tell anything about growth."""
    hosts = QUICK_HOSTS if quick else HOSTS
    started = time.monotonic()
    fill(folder / "store", hosts)
    files = make(folder / "data", rows, hosts)
    say(f"made {rows:,} rows in {files} files and {hosts:,} hosts", started)
    whole = audited(folder, "whole")
    say(f"audited undisturbed in {whole.seconds:,.0f} s", started)
    first = audited(folder, "killed", until=0.3, all_of_them=False)
    second = audited(folder, "killed", until=0.7, all_of_them=True)
    last = audited(folder, "killed")
    say("audited through two kills", started)
    same = snapshot(folder / "whole") == snapshot(folder / "killed")
    verified = verify(folder / "killed", folder / "store")
    say("verified and judged again", started)
    shards = len(list((folder / "killed/shards").iterdir()))
    report = json.loads((folder / "killed/report.json").read_text())
    most = max(one.most for one in (whole, first, second, last))
    growth = whole.quarter(3) / max(1, whole.quarter(2))
    figures = {
        "rows": rows,
        "rows judged": report["rows"]["judged"],
        "rows kept": report["rows"]["kept"],
        "files": files,
        "shards": shards,
        "seconds": round(whole.seconds, 1),
        "cpu seconds": round(whole.cpu, 1),
        "cpu us per row": round(whole.cpu / rows * 1e6, 3),
        "cpu us per row of a copy": round(copied(folder, rows) / rows * 1e6, 3),
        "memory, most (MB)": most,
        "memory, second quarter (MB)": whole.quarter(2),
        "memory, third quarter (MB)": whole.quarter(3),
        "shards done at the kills": [first.done, second.done],
        "seconds of the three runs with kills": [round(one.seconds, 1) for one in (first, second, last)],
        "bytes of decisions per row": round(size(folder / "whole/decisions") / rows, 2),
        "rows judged again from the log": verified.get("repeated", 0),
    }
    targets = {
        f"all processes together stay under {MOST_MEMORY:,} MB": most < MOST_MEMORY,
        "rows in are rows judged": report["rows"]["judged"] == rows,
        "through two kills the same bytes come out": same,
        "the evidence log holds": verified["outcome"] == "holds",
        "every row comes out again": verified["repeated"] == rows,
    }
    if not quick:
        targets[f"memory does not grow with the rows (at most {MOST_GROWTH} x)"] = growth <= MOST_GROWTH
    return told(figures, targets)


def told(figures: dict[str, object], targets: dict[str, bool]) -> int:
    """Print the table and the figures; the exit code is 1 where a target is missed."""
    for name, value in figures.items():
        print(f"  {name:40} {value:>16,}" if isinstance(value, int | float) else f"  {name:40} {value!s:>16}")
    for target, met in targets.items():
        print(f"{'met ' if met else 'MISSED'} {target}")
    print(json.dumps({"figures": figures, "targets": targets, "ok": all(targets.values())}))
    return int(not all(targets.values()))


# The dataset.


def fill(folder: Path, hosts: int) -> None:
    """A store in which every host has two dated states: a third allows all, some refuse all, the others some paths."""
    chance = random.Random(SEED)
    paths = required_paths(policy_files.load("eu-gpai", as_of=date(2026, 11, 23)))
    with Store.open(folder, create=True) as store:
        for at in (SEEN, SEEN + timedelta(days=180)):
            bodies = [robots(chance) for _ in range(BODIES)]
            store.put(exchange for host in range(hosts) for exchange in visit(host, chance.choice(bodies), paths, at))


def robots(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.3:
        return b"User-agent: *\nDisallow:\n"
    if kind < 0.4:
        return b"User-agent: *\nDisallow: /\n"
    rules = [f"Disallow: /section-{chance.randrange(40)}/{chance.choice(['', '*/print', '*.pdf$'])}" for _ in range(12)]
    return ("User-agent: *\n" + "\n".join(rules) + "\n").encode()


def visit(host: int, body: bytes, paths: tuple[str, ...], at: datetime) -> Iterator[Exchange]:
    for path in paths:
        url = f"https://www.site-{host}.example{path}"
        found = path == "/robots.txt"
        yield Exchange(url, path, 200 if found else 404, (), body if found else b"", fetched_at=at)


def make(folder: Path, rows: int, hosts: int) -> int:
    """Files of a million rows, and one of as many rows as all of them; give how many files there are."""
    folder.mkdir()
    several = rows // 2
    size = max(1, min(FILE_ROWS, several // 8))
    count = 0
    for first in range(0, several, size):
        with writer(folder / f"part-{count:04}.parquet") as sink:
            fill_file(sink, first, min(size, several - first), hosts)
        count += 1
    with writer(folder / "zz-giant.parquet") as sink:
        for first in range(several, rows, FILE_ROWS):
            fill_file(sink, first, min(FILE_ROWS, rows - first), hosts)
    return count + 1


SCHEMA = pa.schema(
    {"id": pa.int64(), "url": pa.string(), "date": pa.timestamp("s"), "language": pa.string(), "tokens": pa.int32()}
)


def writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, SCHEMA, compression="zstd")


def fill_file(sink: pq.ParquetWriter, first: int, count: int, hosts: int) -> None:
    """Rows of hosts by Zipf's law, in random order."""
    chance = np.random.default_rng([SEED, first])
    weights = np.cumsum(1 / np.arange(1, hosts + 1))
    names = pa.array([f"https://www.site-{host}.example" for host in range(hosts)] + ["https://www.never-seen.example"])
    found = np.searchsorted(weights, chance.random(count) * weights[-1])
    found[chance.random(count) < 0.02] = hosts
    sections = pa.array([f"/section-{number}/" for number in range(40)])
    numbers = pa.array(np.arange(first, first + count))
    ends = pa.array(["", ".html", "/print", ".pdf"])
    urls = pc.binary_join_element_wise(
        names.take(pa.array(found)), sections.take(pa.array(chance.integers(0, 40, count))),
        numbers.cast(pa.string()), ends.take(pa.array(chance.integers(0, 4, count))), "",
    )  # fmt: skip
    start = int(SEEN.timestamp())
    columns = {
        "id": numbers,
        "url": urls,
        "date": pa.array(start + chance.integers(0, 300 * 86_400, count)).cast(pa.timestamp("s")),
        "language": pa.array(["en", "de", "fr", "it"]).take(pa.array(chance.integers(0, 4, count))),
        "tokens": pa.array(chance.integers(50, 4_000, count), pa.int32()),
    }
    sink.write_table(pa.table(columns, schema=SCHEMA), row_group_size=GROUP_ROWS)


# The audit.


@dataclass
class Run:
    """What a run took, and how much memory it had as time went on."""

    seconds: float = 0.0
    cpu: float = 0.0
    done: int = 0
    memory: list[int] = field(default_factory=list)

    @property
    def most(self) -> int:
        """The most memory that it had."""
        return max(self.memory, default=0)

    def quarter(self, number: int) -> int:
        """The median of the memory in a quarter of the run, from 1."""
        size = len(self.memory) // 4
        return int(np.median(self.memory[size * (number - 1) : size * number] or [0]))


def audited(folder: Path, name: str, until: float | None = None, *, all_of_them: bool = True) -> Run:
    """Audit, and kill it when a share of the shards is done: the driver alone, or all of its processes."""
    command = [OPTOUT, "audit", folder / "data", "--store", folder / "store"]
    command += ["--out", folder / name, "--tokens-column", "tokens", "--workers", "2"]
    run, started = Run(), time.monotonic()
    cpu = os.times()
    said = folder / f"{name}.log"
    with said.open("ab") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
    whole = len(list((folder / "whole/shards").glob("*.json"))) if (folder / "whole/report.json").exists() else 0
    while process.poll() is None:
        run.memory.append(memory(process.pid))
        run.done = len(list((folder / name / "shards").glob("*.json")))
        if until is not None and run.done >= until * whole:
            (os.killpg if all_of_them else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(POLL_SECONDS)
    after = os.times()
    run.seconds = time.monotonic() - started
    run.cpu = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    if until is None and process.returncode:
        sys.exit(f"the audit ended with {process.returncode}: {said.read_text(errors='replace')[-2_000:]}")
    if until is not None and not all_of_them:
        wait_for_orphans(process.pid)
    return run


def wait_for_orphans(session: int) -> None:
    """Workers end when their driver has gone."""
    for _ in range(100):
        if not any(about.session == session for about in processes()):
            return
        time.sleep(0.1)
    os.killpg(session, signal.SIGKILL)
    sys.exit("workers outlived the process that had begun them")


@dataclass(frozen=True)
class About:
    """A process: its number and session."""

    number: int
    session: int


def processes() -> Iterator[About]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield About(int(path.parent.name), int(fields[3]))


def memory(process: int) -> int:
    """Megabytes of a process and all that it has begun."""
    total = 0
    for number in tree(process):
        with suppress(OSError):
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024


def tree(process: int) -> Iterator[int]:
    yield process
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield from tree(int(child))


def snapshot(out: Path) -> dict[str, str]:
    """The digest of everything that an audit wrote but for its log, which has keys and times of its own."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and out / "evidence" not in path.parents:
            digest = sha256()
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            found[path.relative_to(out).as_posix()] = digest.hexdigest()
    return found


def verify(out: Path, store: Path) -> dict[str, object]:
    command = [str(OPTOUT), "evidence", "verify", str(out), "--store", str(store), "--json"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    for step in said["steps"]:
        for fault in [*step["faults"], *step["gaps"]]:
            print(f"  step {step['number']}: {fault}")
    return {"outcome": said["outcome"], "repeated": said["steps"][13]["checked"]}


def copied(folder: Path, rows: int) -> float:
    """CPU seconds for a plain copy of the dataset's first files, as for all of it."""
    taken = count = 0.0
    for path in sorted((folder / "data").glob("part-*.parquet"))[:4]:
        start = time.process_time()
        file = pq.ParquetFile(path)
        with pq.ParquetWriter(folder / "copy.parquet", file.schema_arrow, compression="zstd") as sink:
            for batch in file.iter_batches(65_536):
                sink.write_batch(batch)
        taken += time.process_time() - start
        count += file.metadata.num_rows
    return taken / count * rows


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def say(text: str, started: float) -> None:
    print(f"[{time.monotonic() - started:7.1f} s] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
