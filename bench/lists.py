"""Imported lists: building and asking ours against a Python set and SQLite.

Use: python bench/lists.py [--quick]

A list of ten million domains (with --quick half a million) is made from a seed. Every program reads the same file and
answers the same question: does this host, or a domain above it, stand on the list? One host in ten does. Each is built
in a process of its own, whose peak memory is reported; questions are asked in interleaved rounds of CPU time, of which
the medians are compared. A start is the time from naming the store to the first answer, in a fresh process.
"""

from __future__ import annotations

import json
import platform
import random
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout.acquisition.list_import import Source, import_list
from optout.acquisition.lists import Lists
from optout.syntax.listing import Kind
from optout.urls import Origin

DAY = date(2026, 11, 23)
ENDS = ("com", "org", "net", "de", "fr", "info", "co.uk", "com.br")
# Ours answers with list, issuer and basis, SQLite with yes or no.
TARGETS = {"start, milliseconds": 50.0, "x SQLite a question": 1.5, "peak megabytes": 600.0, "x SQLite on disk": 1.0}

Figures = dict[str, float]
Asked = Callable[[str], bool]


def name(number: int) -> str:
    """The name of a domain; numbers are scattered, so that the list is in no order."""
    return f"{number * 2_654_435_761 % 2**32:x}-site.{ENDS[number % len(ENDS)]}"


def write_source(path: Path, entries: int) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{name(number)}\n" for number in range(entries))


def questions(entries: int, count: int) -> list[str]:
    """Hosts, one in ten of which is listed, as itself or under a domain."""
    draw = random.Random(7)
    numbers = (
        draw.randrange(entries) if draw.random() < 0.1 else entries + draw.randrange(entries) for _ in range(count)
    )
    return [draw.choice(("", "www.", "shop.www.")) + name(number) for number in numbers]


def build_ours(source: Path, place: Path) -> None:
    described = Source(source, "bench", "bench", Kind.ADVISORY, "none", DAY, "plain")
    import_list(described, place, lambda *_: None, lambda *_: None)


def build_set(source: Path, _: Path) -> set[str]:
    with source.open(encoding="ascii") as file:
        return {line.rstrip("\n") for line in file}


def build_sqlite(source: Path, place: Path) -> None:
    with sqlite3.connect(place) as base, source.open(encoding="ascii") as file:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("CREATE TABLE entries (name TEXT PRIMARY KEY) WITHOUT ROWID")
        # In order, because a tree that is filled at random takes several times as long.
        rows = ((line,) for line in sorted(line.rstrip("\n") for line in file))
        base.executemany("INSERT OR IGNORE INTO entries VALUES (?)", rows)


BUILDERS: dict[str, Callable[[Path, Path], object]] = {"ours": build_ours, "set": build_set, "sqlite": build_sqlite}


def timed(program: str, source: Path, place: Path) -> Figures:
    """Build, and say what it took; runs in a process of its own."""
    begun, wall = process_time(), perf_counter()
    BUILDERS[program](source, place)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu": process_time() - begun, "wall": perf_counter() - wall, "peak": peak}


def start(place: Path) -> float:
    """Milliseconds to the first answer; runs in a process of its own."""
    begun = perf_counter()
    Lists.open(place, DAY).consult_host(Origin("https", "www.example.com"))
    return (perf_counter() - begun) * 1000


def apart(job: Callable[..., object], *arguments: object) -> object:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def above(host: str) -> Iterator[str]:
    yield host
    while host.count(".") > 1:
        host = host.partition(".")[2]
        yield host


def asking(source: Path, ours: Path, sqlite: Path) -> dict[str, Asked]:
    lists, names = Lists.open(ours, DAY), build_set(source, source)
    base = sqlite3.connect(f"file:{sqlite}?mode=ro&immutable=1", uri=True)
    ask = base.execute

    def in_sqlite(host: str) -> bool:
        above_it = tuple(above(host))
        marks = ",".join("?" * len(above_it))
        return ask(f"SELECT 1 FROM entries WHERE name IN ({marks}) LIMIT 1", above_it).fetchone() is not None  # noqa: S608

    return {
        "ours": lambda host: bool(lists.consult_host(Origin("https", host))),
        "set": lambda host: any(part in names for part in above(host)),
        "sqlite": in_sqlite,
    }


def ask_all(programs: dict[str, Asked], hosts: list[str], rounds: int) -> tuple[Figures, dict[str, list[bool]]]:
    """Seconds a question, and the answers."""
    taken: dict[str, list[float]] = {program: [] for program in programs}
    answers: dict[str, list[bool]] = {}
    for _ in range(rounds):
        for program, ask in programs.items():
            begun = process_time()
            answers[program] = [ask(host) for host in hosts]
            taken[program].append((process_time() - begun) / len(hosts))
    return {program: median(times) for program, times in taken.items()}, answers


def size(place: Path) -> float:
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> int:
    quick = "--quick" in sys.argv[1:]
    entries, count = (500_000, 20_000) if quick else (10_000_000, 100_000)
    with tempfile.TemporaryDirectory(prefix="bench-lists-") as folder:
        source, ours, sqlite = (Path(folder) / part for part in ("source.txt", "ours", "sqlite.db"))
        write_source(source, entries)
        places = {"ours": ours, "set": Path(folder) / "set", "sqlite": sqlite}
        built = {program: apart(partial(timed, program), source, place) for program, place in places.items()}
        started = median(float(str(apart(start, ours))) for _ in range(5))
        asked, answers = ask_all(asking(source, ours, sqlite), questions(entries, count), rounds=5)
        sizes = {"source": size(source), "ours": size(ours), "sqlite": size(sqlite)}
    return report(entries, built, started, asked, answers, sizes)


def report(
    entries: int,
    built: dict[str, object],
    started: float,
    asked: Figures,
    answers: dict[str, list[bool]],
    sizes: Figures,
) -> int:
    figures: Figures = {"entries": entries, "start, milliseconds": round(started, 2)}
    print(f"{platform.python_implementation()} {platform.python_version()}, {entries:,} entries")
    print(f"{'':8}{'build, CPU s':>14}{'peak MB':>10}{'disk MB':>10}{'questions/s':>14}{'µs each':>10}")
    for program, took in built.items():
        assert isinstance(took, dict)  # noqa: S101
        on_disk, each = sizes.get(program, 0.0), asked[program] * 1e6
        print(f"{program:8}{took['cpu']:14.1f}{took['peak']:10.0f}{on_disk:10.0f}{1e6 / each:14,.0f}{each:10.2f}")
        figures |= {
            f"{program}: build CPU seconds": round(took["cpu"], 2),
            f"{program}: build wall seconds": round(took["wall"], 2),
            f"{program}: peak megabytes while building": round(took["peak"], 1),
            f"{program}: megabytes on disk": round(on_disk, 1),
            f"{program}: microseconds a question": round(each, 3),
        }
    print(f"start to first answer: {started:.1f} ms; source {sizes['source']:.0f} MB")
    same = answers["ours"] == answers["set"] == answers["sqlite"]
    if not same:
        print("the programs do not give the same answers")
    measured = {
        "start, milliseconds": started,
        "x SQLite a question": asked["ours"] / asked["sqlite"],
        "peak megabytes": figures["ours: peak megabytes while building"],
        "x SQLite on disk": sizes["ours"] / sizes["sqlite"],
    }
    met = {target: measured[target] <= limit for target, limit in TARGETS.items()}
    ok = same and all(met.values())
    print(json.dumps({"figures": figures, "targets": TARGETS, "met": met, "same_answers": same, "ok": ok}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
