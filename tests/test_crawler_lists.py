"""Imported lists in real crawls: what they forbid is never asked for, and the log says who forbade it and why."""

from __future__ import annotations

import json
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from crawls import crawl
from origin_simulator import Answer, Simulator

from crawler.outcome import OptedOut
from optout.acquisition.list_import import Source, import_list
from optout.errors import UnreadableInput
from optout.evidence.verify import verify
from optout.syntax.listing import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from origin_simulator import Origin

OPEN = "User-agent: *\nAllow: /"
WORK = b"A reserved work, the same on every mirror."


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def site(simulator: Simulator) -> Origin:
    return simulator.origin(OPEN, host="127.0.0.7")


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    """Put a list into a store, and give the store."""

    def put(text: str, kind: Kind = Kind.INFRINGING) -> str:
        path = tmp_path / f"{kind}.txt"
        path.write_text(text)
        source = Source(path, f"{kind} list", "Court of Example", kind, "Case 1/26", date(2026, 1, 1))
        import_list(source, tmp_path / "lists", lambda *_: None, lambda *_: None)
        return str(tmp_path / "lists")

    return put


@pytest.mark.parametrize("kind", [Kind.INFRINGING, Kind.OPT_OUT])
async def test_nothing_is_asked_of_a_listed_site(
    site: Origin, listed: Callable[..., str], tmp_path: Path, kind
) -> None:
    urls = [site.page("/"), site.page("/a")]
    done = await crawl(tmp_path / "out", *urls, OPTOUT_LISTS=listed("127.0.0.7\n", kind))
    assert list(site.log) == [], "not even robots.txt"
    assert {type(fault) for fault in done.failures.values()} == {OptedOut}
    assert set(done.reasons.values()) == {f"list.{kind}"}
    said = json.dumps([row["signals"] for row in done.decisions], default=str)
    assert "Court of Example" in said
    assert "Case 1/26" in said
    assert done.stat("optout/origins/listed") == 1


async def test_of_a_listed_part_nothing_is_asked_and_the_rest_is_kept(
    site: Origin, listed: Callable[..., str], tmp_path: Path
) -> None:
    store = listed(f"{site.page('/films')}\n")
    done = await crawl(tmp_path / "out", site.page("/films/1"), site.page("/news"), OPTOUT_LISTS=store)
    assert done.urls == {site.page("/news")}
    assert site.asked("/films/1") == 0
    assert done.reasons[site.page("/films/1")] == "list.infringing"


async def test_where_only_a_listed_part_is_wanted_no_signals_are_asked_for(
    site: Origin, listed: Callable[..., str], tmp_path: Path
) -> None:
    await crawl(tmp_path / "out", site.page("/films/1"), OPTOUT_LISTS=listed(f"{site.page('/films')}\n"))
    assert list(site.log) == []


async def test_a_redirect_to_a_listed_site_is_not_followed(
    simulator: Simulator, site: Origin, listed: Callable[..., str], tmp_path: Path
) -> None:
    other = simulator.origin(OPEN, host="127.0.0.8")
    start = other.put("/", Answer(status=302, headers=(("Location", site.page("/film")),)))
    done = await crawl(tmp_path / "out", start, OPTOUT_LISTS=listed("127.0.0.7\n"))
    assert list(site.log) == []
    assert done.reasons[site.page("/film")] == "list.infringing"


@pytest.mark.parametrize("kind", [Kind.INFRINGING, Kind.OPT_OUT])
async def test_a_signal_file_that_moved_to_a_listed_site_is_not_followed_there_and_is_no_permission(
    simulator: Simulator, site: Origin, listed: Callable[..., str], tmp_path: Path, kind
) -> None:
    site.put("/elsewhere", Answer(body=OPEN.encode(), headers=(("Content-Type", "text/plain"),)))
    other = simulator.origin(None, host="127.0.0.8")
    other.redirect("/robots.txt", f"{site.url}/elsewhere")
    page = other.page("/")
    done = await crawl(tmp_path / "out", page, OPTOUT_LISTS=listed("127.0.0.7\n", kind))
    assert list(site.log) == []
    assert done.urls == set()
    assert done.reasons[page] == "robots.unreachable"
    assert verify(tmp_path / "out" / "evidence").faults == []


async def test_a_licence_at_a_listed_site_is_not_asked_for(
    simulator: Simulator, site: Origin, listed: Callable[..., str], tmp_path: Path
) -> None:
    site.put("/licence.xml", Answer(body=b"<rsl/>", headers=(("Content-Type", "application/rsl+xml"),)))
    other = simulator.origin(f"License: {site.url}/licence.xml\n{OPEN}", host="127.0.0.8")
    await crawl(tmp_path / "out", other.page("/"), OPTOUT_LISTS=listed("127.0.0.7\n"))
    assert other.asked("/robots.txt") == 1
    assert list(site.log) == []


async def test_a_suppressed_work_is_recognised_on_a_mirror(
    site: Origin, listed: Callable[..., str], tmp_path: Path
) -> None:
    plain = (("Content-Type", "text/plain"),)
    mirror = site.put("/mirror", Answer(body=WORK, headers=plain))
    other = site.put("/other", Answer(body=b"Something else.", headers=plain))
    store = listed(f"{sha256(WORK).hexdigest()}\n", Kind.OPT_OUT)
    done = await crawl(tmp_path / "out", mirror, other, OPTOUT_LISTS=store)
    assert done.urls == {other}
    assert done.reasons[mirror] == "list.opt-out"


async def test_an_advisory_list_lets_the_crawl_go_on(site: Origin, listed: Callable[..., str], tmp_path: Path) -> None:
    done = await crawl(tmp_path / "out", site.page("/"), OPTOUT_LISTS=listed("127.0.0.7\n", Kind.ADVISORY))
    assert done.urls == {site.page("/")}


@pytest.mark.parametrize("kind", Kind)
async def test_the_evidence_repeats_and_names_the_lists(
    site: Origin, listed: Callable[..., str], tmp_path: Path, kind: Kind
) -> None:
    text = f"127.0.0.7\n{site.page('/a')}\n{sha256(WORK).hexdigest()}\n"
    work = site.put("/work", Answer(body=WORK, headers=(("Content-Type", "text/plain"),)))
    urls = [site.page("/"), site.page("/a"), work]
    await crawl(tmp_path / "out", *urls, OPTOUT_LISTS=listed(text, kind))
    report = verify(tmp_path / "out" / "evidence")
    assert report.faults == []
    assert report.valid, report.text
    documents = (tmp_path / "out" / "evidence" / "documents").iterdir()
    assert any(b"Court of Example" in path.read_bytes() for path in documents)


async def test_a_store_that_is_not_there_stops_the_crawl_before_it_begins(site: Origin, tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="there are no lists"):
        await crawl(tmp_path / "out", site.page("/"), OPTOUT_LISTS=str(tmp_path / "nothing"))
    assert list(site.log) == []
