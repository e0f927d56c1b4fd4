"""The shared store: what it costs a crawl and a harvest to share an origin, beside the fetch that it saves.

Use: python bench/shared_store.py [--quick]

A folder, Redis (or Valkey) and Postgres, the servers started here from the system's packages, hold the same origins:
all signal files that the default policy asks for, a robots.txt of their own. Counted is the CPU time of this process
for one origin: to find what is known (a crawl that was not first), and to look, lease, keep and release (one that was,
or a harvest). Peers are the bare clients, redis-py setting one key under a lease and getting it back and asyncpg
inserting one row and selecting it, and aiohttp fetching the same files over plain HTTP, which is the least that sharing
saves. Rounds are interleaved.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
import pytest
import redis
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from store_servers import postgres_server, redis_server, wipe

from optout.acquisition import policy_files
from optout.acquisition.claims import Claims
from optout.acquisition.origin_list import target
from optout.acquisition.stores import open_store
from optout.engine import required_paths
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 2026
PORT = 18_480
BATCH = 16
PATHS = required_paths(policy_files.load(as_of=date(2026, 11, 23)))
TARGETS = {"find: redis": 0.5, "find: postgres": 1.0, "keep: redis": 1.0, "keep: postgres": 1.0}
"""Parts of the fetch that is saved, at most."""


def visit(number: int, at: datetime) -> list[Exchange]:
    """What a look at an origin sees: a robots.txt of ordinary size, and nothing else."""
    source = random.Random(SEED * 1_000_003 + number)
    rules = "".join(f"Disallow: /{source.randrange(10**6):06}/\n" for _ in range(source.randrange(2, 40)))
    origin, plain = f"https://{number}.example", (("Content-Type", "text/plain"),)
    files = [Exchange(origin + path, path, status=404, headers=plain, fetched_at=at) for path in PATHS[1:]]
    body = f"User-agent: *\n{rules}".encode()
    return [Exchange(f"{origin}/robots.txt", "/robots.txt", 200, plain, body, fetched_at=at), *files]


def keep(address: str, visits: list[list[Exchange]]) -> None:
    """What a harvest does beside fetching: look, lease, look, keep, release."""
    roles = PATHS
    with open_store(address, create=True) as store:
        claims = Claims(store, roles, datetime.now(UTC) - timedelta(hours=1))
        for start in range(0, len(visits), BATCH):
            batch = visits[start : start + BATCH]
            targets = [target(exchanges[0].url) for exchanges in batch]
            assert len(claims.sort(targets).ours) == len(batch)  # noqa: S101
            store.put(exchange for exchanges in batch for exchange in exchanges)
            claims.release(targets)


def find(address: str, visits: list[list[Exchange]]) -> list[str]:
    """What a crawl does for an origin that another has looked at; gives the origins that are not as they were."""
    wrong = []
    with open_store(address) as store:
        for exchanges in visits:
            origin = exchanges[0].url.removesuffix("/robots.txt")
            found = store.newest(origin)
            if found[0].body != exchanges[0].body or len(found) != len(exchanges):
                wrong.append(f"{address}: {origin}")
    return wrong


# The peers.


def bare_redis(address: str, visits: list[list[Exchange]]) -> None:
    """One key an origin: set under a lease, got back."""
    with redis.Redis.from_url(address) as client:
        for exchanges in visits:
            key = exchanges[0].url
            client.set(f"lease:{key}", "us", nx=True, px=30_000)
            client.set(key, exchanges[0].body)
            client.delete(f"lease:{key}")
            client.get(key)


async def bare_postgres(address: str, visits: list[list[Exchange]]) -> None:
    """One row an origin: inserted, selected."""
    connection = await asyncpg.connect(address)
    try:
        await connection.execute("DROP TABLE IF EXISTS bare; CREATE TABLE bare (origin text PRIMARY KEY, body bytea)")
        for exchanges in visits:
            await connection.execute("INSERT INTO bare VALUES ($1, $2)", exchanges[0].url, exchanges[0].body)
            await connection.fetchrow("SELECT body FROM bare WHERE origin = $1", exchanges[0].url)
    finally:
        await connection.close()


async def bare_fetch(count: int) -> None:
    """Fetch the same files of each origin over a connection of its own, as the crawl that is first has to."""
    for _ in range(count):
        async with aiohttp.ClientSession() as session:
            for path in PATHS:
                async with session.get(f"http://127.0.0.1:{PORT}{path}") as response:
                    await response.read()


async def serve() -> None:
    """Answer every request with 404, in a process of its own."""

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            for _ in range(data.count(b"\r\n\r\n")):
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", PORT)
    print("ready", flush=True)
    await server.serve_forever()


def timed(work: Callable[[], object], count: int) -> tuple[float, object]:
    """CPU microseconds of this process for one origin."""
    begun = process_time()
    result = work()
    return (process_time() - begun) / count * 1e6, result


def measure(stores: dict[str, str], count: int, rounds: int) -> tuple[dict[str, float], list[str]]:
    taken: dict[str, list[float]] = {}
    wrong: list[str] = []

    def note(name: str, work: Callable[[], object]) -> object:
        spent, result = timed(work, count)
        taken.setdefault(name, []).append(spent)
        return result

    for number in range(rounds):
        visits = [visit(number * count + one, datetime.now(UTC)) for one in range(count)]
        for kind, address in stores.items():
            note(f"keep: {kind}", lambda: keep(address, visits))  # noqa: B023 - called at once
            found = note(f"find: {kind}", lambda: find(address, visits))  # noqa: B023
            assert isinstance(found, list)  # noqa: S101
            wrong += found
        note("peer: bare redis-py, one key", lambda: bare_redis(stores["redis"], visits))  # noqa: B023
        note("peer: bare asyncpg, one row", lambda: uvloop.run(bare_postgres(stores["postgres"], visits)))  # noqa: B023
        note("peer: aiohttp, the same files", lambda: uvloop.run(bare_fetch(count)))
    return {name: median(times) for name, times in taken.items()}, wrong


def main() -> int:
    if "--serve" in sys.argv:
        uvloop.run(serve())
        return 0
    try:
        figures, wrong = run(quick="--quick" in sys.argv)
    except pytest.skip.Exception as missing:
        print(json.dumps({"figures": {}, "targets": {f"a server is there: {missing}": False}, "ok": False}))
        return 1
    return report(figures, wrong)


def run(*, quick: bool) -> tuple[dict[str, float], list[str]]:
    """Start the servers, measure, and stop them."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stores = {
            "folder": str(Path(folder) / "store"),
            "redis": stack.enter_context(redis_server()).address,
            "postgres": stack.enter_context(postgres_server()).address,
        }
        for address in (stores["redis"], stores["postgres"]):
            wipe(address)
        command = [sys.executable, __file__, "--serve"]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(server.terminate)
        assert server.stdout is not None  # noqa: S101
        server.stdout.readline()
        return measure(stores, 160 if quick else 1_600, 3 if quick else 5)


def report(figures: dict[str, float], wrong: list[str]) -> int:
    fetch = figures["peer: aiohttp, the same files"]
    for name in [name for name in figures if not name.startswith("peer")]:
        figures[f"{name} / fetch"] = figures[name] / fetch
    print(f"Python {platform.python_version()}, redis-py {redis.__version__}, asyncpg {asyncpg.__version__}\n")
    print(f"CPU microseconds of the client for one origin of {len(PATHS)} files; a page costs none of this\n")
    for name, figure in figures.items():
        print(f"  {name:36} {figure:10,.2f}")
    for difference in wrong[:20]:
        print(f"  DIFFERS {difference}")
    targets = {
        **{
            f"{name} is at most {most} of the fetch": figures[f"{name} / fetch"] <= most
            for name, most in TARGETS.items()
        },
        "what is found is what was kept": not wrong,
    }
    rounded = {name: round(figure, 3) for name, figure in figures.items()}
    print(json.dumps({"figures": rounded, "targets": targets, "ok": all(targets.values())}))
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
