"""Compiling whole origins: every signal file read, narrowed, ordered and made into tables; then deciding URLs.

Use: python bench/origin.py [--quick]

The robots.txt bodies are those of the test corpus where it is present, else made here; each origin also has a
tdmrep.json, an ai.txt and a trust.txt. Beside it stands what Protego takes to parse the robots.txt alone, and to look
up the same URLs. CPU time, interleaved rounds, medians. Where Protego forbids what we allow, the run fails: the engine
asks Protego as its second reader, so that there is no such case.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

from protego import Protego

from optout import compile as compile_origin
from optout.acquisition import policy_files
from optout.identity import Identity
from optout.model import Effect, Exchange

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "robots" / "robots.parquet"
URLS_PER_ORIGIN = 20
SEED = 7
TOKEN = "ExampleBot"
MOST_COMPILE = 6.0
"""Four files read and ordered may cost this many times what Protego takes to parse one of them."""
MOST_DECIDE = 8.0
"""A decision for four purposes with reasons, second reader included, beside Protego's bare yes or no."""


def bodies(count: int) -> list[bytes]:
    """Real robots.txt bodies, or made ones of the same order of size."""
    chance = random.Random(SEED)
    if CORPUS.exists():
        from pyarrow import parquet  # noqa: PLC0415 - only where the corpus is

        found = [value.as_py() for value in parquet.read_table(CORPUS, columns=["body"])["body"]]
        return chance.sample([body for body in found if body], count)
    lines = [f"Disallow: /{chance.randrange(10_000)}/*{'$' * chance.randrange(2)}" for _ in range(4_000)]
    return [
        ("User-agent: *\n" + "\n".join(chance.sample(lines, chance.randrange(1, 120)))).encode() for _ in range(count)
    ]


def origin(number: int, body: bytes) -> tuple[Exchange, ...]:
    """The exchanges of one origin."""
    base = f"https://site-{number}.example"
    files = {
        "/robots.txt": body,
        "/.well-known/tdmrep.json": b'[{"location": "/paid/", "tdm-reservation": 1}]',
        "/ai.txt": b"User-Agent: *\nDisallow: /img/\n",
        "/trust.txt": b"member=https://association.example/\n",
    }
    return tuple(Exchange(base + path, path, status=200, body=text) for path, text in files.items())


def measure(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median CPU seconds of each job, the jobs taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            taken[name].append(time.process_time() - start)
    return {name: median(times) for name, times in taken.items()}


def main(quick: bool) -> int:  # noqa: FBT001
    """Print what one origin and one URL cost."""
    rounds, count = (3, 300) if quick else (7, 1_000)
    found = bodies(count)
    origins = [origin(number, body) for number, body in enumerate(found)]
    texts = [body.decode("utf-8", "replace") for body in found]
    policy, identity = policy_files.load(as_of=date(2026, 11, 23)), Identity(TOKEN)
    compiled = [compile_origin(exchanges, policy, identity) for exchanges in origins]
    parsed = [Protego.parse(text) for text in texts]
    urls = [
        [f"https://site-{site}.example/a/{number}/page.html?x={number}" for number in range(URLS_PER_ORIGIN)]
        for site in range(count)
    ]
    taken = measure(
        {
            "compile": lambda: [compile_origin(exchanges, policy, identity) for exchanges in origins],
            "Protego parse": lambda: [Protego.parse(text) for text in texts],
            "decide": lambda: [site.decide(url) for site, own in zip(compiled, urls, strict=True) for url in own],
            "Protego can_fetch": lambda: [
                site.can_fetch(url, TOKEN) for site, own in zip(parsed, urls, strict=True) for url in own
            ],
        },
        rounds,
    )
    looser = [
        url
        for ours, theirs, own in zip(compiled, parsed, urls, strict=True)
        for url in own
        if ours.decide(url).access is Effect.PERMIT and not theirs.can_fetch(url, TOKEN)
    ]
    return report(taken, count, looser)


def report(taken: dict[str, float], count: int, looser: list[str]) -> int:
    """Print the table and the figures; the exit code is 1 where a target is missed."""
    per = {"compile": count, "Protego parse": count}
    figures = {
        f"{name} (us)": round(seconds / per.get(name, count * URLS_PER_ORIGIN) * 1e6, 2)
        for name, seconds in taken.items()
    }
    for name, value in figures.items():
        print(f"  {name:26} {value:10,.2f}")
    figures["compile: x Protego parse"] = round(taken["compile"] / taken["Protego parse"], 2)
    figures["decide: x Protego can_fetch"] = round(taken["decide"] / taken["Protego can_fetch"], 2)
    targets = {
        f"compile four files in at most {MOST_COMPILE:g} x Protego's parse of one": figures["compile: x Protego parse"]
        <= MOST_COMPILE,
        f"decide in at most {MOST_DECIDE:g} x Protego's look-up": figures["decide: x Protego can_fetch"] <= MOST_DECIDE,
        "nothing allowed that Protego forbids": not looser,
    }
    for target, met in targets.items():
        print(f"{'met ' if met else 'MISSED'} {target}")
    for url in looser[:10]:
        print("differs:", ascii(url))
    print(json.dumps({"figures": figures, "targets": targets, "ok": all(targets.values())}))
    return int(not all(targets.values()))


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
