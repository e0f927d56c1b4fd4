"""Compiling whole origins: every signal file read, narrowed, ordered and made into tables, per second.

The robots.txt bodies are those of the test corpus where it is present, else made here; each origin also has a
tdmrep.json, an ai.txt and a trust.txt. Beside it stands what Protego takes to parse the robots.txt alone.
"""

from __future__ import annotations

import random
import sys
import time
from datetime import date
from pathlib import Path

from protego import Protego

from optout import compile as compile_origin
from optout.acquisition import policy_files
from optout.identity import Identity
from optout.model import Exchange

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "robots" / "robots.parquet"
ORIGINS = 1_000
URLS_PER_ORIGIN = 20
SEED = 7


def bodies() -> list[bytes]:
    """Real robots.txt bodies, or made ones of the same order of size."""
    chance = random.Random(SEED)
    if CORPUS.exists():
        from pyarrow import parquet  # noqa: PLC0415 - only where the corpus is

        found = [value.as_py() for value in parquet.read_table(CORPUS, columns=["body"])["body"]]
        return chance.sample([body for body in found if body], ORIGINS)
    lines = [f"Disallow: /{chance.randrange(10_000)}/*{'$' * chance.randrange(2)}" for _ in range(4_000)]
    return [
        ("User-agent: *\n" + "\n".join(chance.sample(lines, chance.randrange(1, 120)))).encode() for _ in range(ORIGINS)
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


def main() -> int:
    """Print what one origin and one URL cost."""
    found = bodies()
    origins = [origin(number, body) for number, body in enumerate(found)]
    policy, identity = policy_files.load(as_of=date(2026, 11, 23)), Identity("ExampleBot")
    start = time.process_time()
    compiled = [compile_origin(exchanges, policy, identity) for exchanges in origins]
    compiling = time.process_time() - start
    urls = [f"https://site-1.example/a/{number}/page.html?x={number}" for number in range(URLS_PER_ORIGIN)]
    start = time.process_time()
    for site in compiled:
        for url in urls:
            site.decide(url)
    deciding = time.process_time() - start
    start = time.process_time()
    for body in found:
        Protego.parse(body.decode("utf-8", "replace"))
    parsing = time.process_time() - start
    count = len(found)
    mean = sum(map(len, found)) // count
    print(f"{count} origins, policy {policy.name}, mean robots.txt {mean} bytes (CPU time)")
    print(f"  compile: {compiling / count * 1e6:8.0f} µs an origin = {count / compiling:.0f} origins/s")
    print(f"  decide:  {deciding / count / len(urls) * 1e6:8.1f} µs a URL, second reader included")
    ratio = compiling / parsing
    print(f"  Protego parses the robots.txt alone in {parsing / count * 1e6:.0f} µs; ours/Protego = {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
