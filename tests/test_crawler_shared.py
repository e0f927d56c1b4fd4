"""Crawlers that share what they have seen: one look at an origin for all of them, and never permission by failure."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from crawls import crawl, faults
from origin_simulator import Answer, Simulator
from store_servers import wipe

from optout.acquisition.history import Store
from optout.acquisition.stores import open_store
from optout.cli import main
from optout.errors import OptoutError
from optout.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from origin_simulator import Origin

OPEN = "User-agent: *\nAllow: /\n"
CLOSED = "User-agent: *\nDisallow: /\n"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def site(simulator: Simulator) -> Origin:
    return simulator.origin(OPEN)


@pytest.fixture(params=["file", "redis", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "store")
    server = request.getfixturevalue(f"{request.param}_store")
    wipe(server.address)
    return str(server.address)


def put(address: str, *exchanges: Exchange) -> None:
    with open_store(address, create=True) as store:
        store.put(exchanges)


async def paths_of_a_look(site: Origin, tmp_path: Path) -> list[str]:
    """The signal files that a crawl asks for when it knows nothing."""
    await crawl(tmp_path / "alone", site.page("/alone"))
    asked = [path for path in site.paths() if path != "/alone"]
    site.log.clear()
    return asked


async def test_the_next_crawl_asks_for_no_signal_and_decides_the_same(address: str, simulator, tmp_path: Path) -> None:
    sites = [simulator.origin(OPEN), simulator.origin(CLOSED), simulator.origin(None)]
    for site in sites:
        site.put("/.well-known/tdmrep.json", Answer(body=b'[{"location": "/", "tdm-reservation": 0}]'))
    pages = [site.page("/") for site in sites]
    first = await crawl(tmp_path / "one", *pages, OPTOUT_STORE=address)
    asked = [site.asked("/robots.txt") for site in sites]
    second = await crawl(tmp_path / "two", *pages, OPTOUT_STORE=address)
    assert asked == [1, 1, 1]
    assert [site.asked("/robots.txt") for site in sites] == [1, 1, 1]
    assert [site.asked("/.well-known/tdmrep.json") for site in sites] == [1, 1, 1]
    assert (first.urls, first.reasons) == (second.urls, second.reasons)
    assert second.urls == {pages[0], pages[2]}
    assert (first.stat("optout/origins/recalled"), second.stat("optout/origins/recalled")) == (None, 3)
    assert second.stat("optout/origins/consulted") is None
    for name in ("one", "two"):
        assert faults(tmp_path / name) == []


async def test_crawls_at_the_same_time_share_one_look(address: str, site: Origin, tmp_path: Path) -> None:
    site.put("/robots.txt", Answer(hold=0.4, body=OPEN.encode()))
    pages = [site.page(f"/{number}") for number in range(4)]
    done = await asyncio.gather(
        *(
            crawl(tmp_path / page.rpartition("/")[2], page, OPTOUT_STORE=address, OPTOUT_SIGNAL_TIMEOUT=20)
            for page in pages
        )
    )
    assert [crawl.urls for crawl in done] == [{page} for page in pages]
    assert site.asked("/robots.txt") == 1
    assert sum(crawl.stat("optout/origins/consulted") or 0 for crawl in done) == 1


async def test_a_page_never_asks_the_store(site: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    newest = Store.newest
    monkeypatch.setattr(Store, "newest", lambda self, origin: asked.append(origin) or newest(self, origin))
    pages = [site.page(f"/{number}") for number in range(30)]
    done = await crawl(tmp_path / "out", *pages, OPTOUT_STORE=str(tmp_path / "store"))
    assert done.urls == set(pages)
    # Before and after the lease, for the origin and not for its pages.
    assert asked == [site.url] * 2


def start(seeds: list[str], out: Path, store: str) -> subprocess.Popen[bytes]:
    program = "import sys; from optout.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--out", str(out), "--quiet", "--json", "--store", store]
    return subprocess.Popen([sys.executable, "-c", program, "crawl", *seeds, *options], stdout=subprocess.PIPE)


async def test_two_processes_ask_each_origin_once(simulator: Simulator, tmp_path: Path, redis_store) -> None:
    wipe(redis_store.address)
    sites = [simulator.origin(OPEN, host=f"127.0.6.{number + 1}") for number in range(3)]
    for site in sites:
        site.put("/robots.txt", Answer(hold=0.5, body=OPEN.encode()))
    seeds = [site.page("/") for site in sites]
    nodes = [start(seeds, tmp_path / name, redis_store.address) for name in ("one", "two")]
    for node in nodes:
        await asyncio.to_thread(node.communicate, timeout=120)
    assert [node.returncode for node in nodes] == [0, 0]
    for site in sites:
        assert site.asked("/robots.txt") == 1
        assert site.asked("/") == 2
    for name in ("one", "two"):
        assert faults(tmp_path / name) == []


async def test_documents_are_shared_as_well(address: str, simulator: Simulator, tmp_path: Path) -> None:
    licence = simulator.origin(None, host="127.0.0.9")
    text = (
        b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>'
        b'<prohibits type="usage">all</prohibits></license></content></rsl>'
    )
    url = licence.put("/l.xml", Answer(headers=(("Content-Type", "application/rsl+xml"),), body=text))
    site = simulator.origin(f"License: {url}\n{OPEN}")
    page = site.page("/")
    done = [await crawl(tmp_path / name, page, OPTOUT_STORE=address) for name in ("one", "two")]
    assert licence.asked("/l.xml") == 1
    assert done[0].reasons == done[1].reasons


# What is not believed.


async def test_what_is_too_old_is_asked_again(address: str, site: Origin, tmp_path: Path) -> None:
    page = site.page("/")
    paths = await paths_of_a_look(site, tmp_path)
    old = NOW - timedelta(days=3)
    put(address, *(Exchange(site.url + path, path, status=404, fetched_at=old) for path in paths))
    await crawl(tmp_path / "out", page, OPTOUT_STORE=address)
    assert site.asked("/robots.txt") == 1


async def test_what_is_from_the_future_is_asked_again(site: Origin, tmp_path: Path) -> None:
    paths = await paths_of_a_look(site, tmp_path)
    later = datetime.now(UTC) + timedelta(days=3)
    put(str(tmp_path / "store"), *(Exchange(site.url + path, path, status=404, fetched_at=later) for path in paths))
    site.put("/robots.txt", Answer(body=CLOSED.encode()))
    done = await crawl(tmp_path / "out", site.page("/"), OPTOUT_STORE=str(tmp_path / "store"))
    assert site.asked("/robots.txt") == 1
    assert done.urls == set()


@pytest.mark.parametrize(
    ("robots", "asked"),
    [({"status": 503}, 0), ({"error": "timeout"}, 1), ({"error": "too-many-redirects"}, 1), ({"status": 200}, 1)],
    ids=["answered-503", "not-reached-by-another", "only-robots", "only-robots-200"],
)
async def test_an_answer_of_the_origin_is_believed_and_trouble_of_another_node_is_not(
    robots: dict[str, Any], asked: int, address: str, site: Origin, tmp_path: Path
) -> None:
    put(address, Exchange(f"{site.url}/robots.txt", "/robots.txt", fetched_at=datetime.now(UTC), **robots))
    done = await crawl(tmp_path / "out", site.page("/"), OPTOUT_STORE=address)
    assert site.asked("/robots.txt") == asked
    assert bool(done.urls) == bool(asked)


async def test_a_damaged_value_is_fetched_again(redis_store, site: Origin, tmp_path: Path) -> None:
    wipe(redis_store.address)
    site.put("/robots.txt", Answer(body=CLOSED.encode()))
    await crawl(tmp_path / "one", site.page("/"), OPTOUT_STORE=redis_store.address)
    with open_store(redis_store.address) as store:
        client = store.backend._client  # type: ignore[attr-defined]
        for key in client.keys("optout:body:*"):
            client.set(key, OPEN.encode())
        done = await crawl(tmp_path / "two", site.page("/"), OPTOUT_STORE=redis_store.address)
        assert site.asked("/robots.txt") == 2
        assert done.urls == set()
        assert store.newest(site.url)[0].body == CLOSED.encode()


async def test_a_node_that_died_is_not_waited_for_longer_than_a_fetch(
    redis_store, site: Origin, tmp_path: Path
) -> None:
    wipe(redis_store.address)
    with open_store(redis_store.address, create=True) as store:
        store.backend.lease([site.url], "dead", 3600)
    page = site.page("/")
    done = await crawl(tmp_path / "out", page, OPTOUT_STORE=redis_store.address, OPTOUT_SIGNAL_TIMEOUT=3)
    assert done.urls == {page}
    with open_store(redis_store.address) as store:
        assert store.newest(site.url)
        assert store.backend.lease([site.url], "other", 1) == set(), "only the holder ends a lease"


@pytest.mark.parametrize("store", ["redis://:secret@127.0.0.1:1/0", "postgresql://me:secret@127.0.0.1:1/x"])
async def test_without_its_server_a_crawl_asks_the_origins_and_says_so_once(
    store: str, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sites = [simulator.origin(OPEN), simulator.origin(CLOSED), simulator.origin(OPEN)]
    pages = [site.page("/") for site in sites]
    with caplog.at_level(logging.WARNING):
        done = await crawl(tmp_path / "out", *pages, OPTOUT_STORE=store)
    assert done.urls == {pages[0], pages[2]}
    assert [site.asked("/robots.txt") for site in sites] == [1, 1, 1]
    said = [record.getMessage() for record in caplog.records if "the store is away" in record.getMessage()]
    assert len(said) == 1
    assert "secret" not in caplog.text


async def test_a_server_that_dies_during_a_crawl_stops_nothing(
    redis_store, simulator: Simulator, tmp_path: Path
) -> None:
    wipe(redis_store.address)
    first, second = simulator.origin(OPEN), simulator.origin(CLOSED, host="127.0.0.10")
    pages = [first.page("/"), second.page("/")]
    first.put("/robots.txt", Answer(hold=1.0, body=OPEN.encode()))

    def kill() -> None:
        until = time.monotonic() + 20
        while not first.log and time.monotonic() < until:
            time.sleep(0.02)
        redis_store.stop()

    try:
        done, _ = await asyncio.gather(
            crawl(tmp_path / "out", *pages, OPTOUT_STORE=redis_store.address, OPTOUT_SIGNAL_TIMEOUT=20),
            asyncio.to_thread(kill),
        )
    finally:
        redis_store.stop()
        redis_store.start()
    assert done.urls == {pages[0]}
    assert faults(tmp_path / "out") == []


async def test_the_nearest_store_is_told_what_a_farther_one_knows(redis_store, site: Origin, tmp_path: Path) -> None:
    wipe(redis_store.address)
    page, local = site.page("/"), str(tmp_path / "local")
    await crawl(tmp_path / "one", page, OPTOUT_STORE=redis_store.address)
    await crawl(tmp_path / "two", page, OPTOUT_STORE=[local, redis_store.address])
    wipe(redis_store.address)
    await crawl(tmp_path / "three", page, OPTOUT_STORE=[local, redis_store.address])
    assert site.asked("/robots.txt") == 1
    with Store.open(tmp_path / "local") as store:
        assert store.newest(site.url)[0].body == OPEN.encode()


@pytest.mark.parametrize("store", ["mysql://x", "http://example.com", 5, [5]])
async def test_a_setting_that_names_no_store_stops_the_crawl_before_it_begins(
    store: Any, site: Origin, tmp_path: Path
) -> None:
    with pytest.raises(OptoutError):
        await crawl(tmp_path / "out", site.page("/"), OPTOUT_STORE=store)
    assert list(site.log) == []


async def test_what_a_harvest_has_seen_serves_a_crawl_and_the_other_way_round(site: Origin, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(site.url)
    store = str(tmp_path / "store")
    harvest = ["harvest", str(tmp_path / "list"), "--store", store, "--allow-private", "--quiet", "--json"]
    assert await asyncio.to_thread(main, harvest) == 0
    await crawl(tmp_path / "out", site.page("/"), OPTOUT_STORE=store)
    assert site.asked("/robots.txt") == 1
    site.log.clear()
    second = str(tmp_path / "second")
    await crawl(tmp_path / "again", site.page("/"), OPTOUT_STORE=second)
    assert site.asked("/robots.txt") == 1
    assert await asyncio.to_thread(main, [*harvest[:3], second, *harvest[4:]]) == 0
    assert site.asked("/robots.txt") == 1
