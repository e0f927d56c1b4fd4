"""The crawl as users start it: a foreign project, `optout crawl`, and what is left when a crawl is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crawls import faults
from origin_simulator import Answer, Origin, Simulator

from crawler.pipelines import kept_exchange
from crawler.report import logged
from optout.cli import main
from optout.evidence import bundle, warc
from optout.evidence.layout import find

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
HALF = "User-agent: *\nDisallow: /private"
RESERVED = '<html><head><meta name="robots" content="noai"></head><body><a href="/more">more</a></body></html>'

SETTINGS = """
BOT_NAME = "foreign"
SPIDER_MODULES = ["foreign.spiders"]
USER_AGENT = "ForeignBot/2.0 (+https://foreign.example/)"
REMOTE_CONTROL_ENABLED = False
TELNETCONSOLE_ENABLED = False
FEEDS = {{"items.jsonl": {{"format": "jsonlines"}}}}
ADDONS = {{"crawler.addon.OptOutAddon": 100}}
{more}
"""

SPIDER = """
import scrapy

class Simple(scrapy.Spider):
    name = "simple"
    start_urls = {urls!r}

    def parse(self, response):
        yield {{"url": response.url}}
"""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def site(simulator: Simulator) -> Origin:
    return simulator.origin(HALF)


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(cwd), str(ROOT)]),
        "PYTHONWARNINGS": "error::DeprecationWarning:crawler",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _foreign(directory: Path, urls: list[str], more: str = "") -> None:
    (directory / "foreign" / "spiders").mkdir(parents=True)
    for package in ("foreign", "foreign/spiders"):
        (directory / package / "__init__.py").touch()
    (directory / "scrapy.cfg").write_text("[settings]\ndefault = foreign.settings\n")
    (directory / "foreign" / "settings.py").write_text(SETTINGS.format(more=more))
    (directory / "foreign" / "spiders" / "simple.py").write_text(SPIDER.format(urls=urls))


@pytest.mark.parametrize(
    "more",
    [
        "",
        pytest.param("TWISTED_REACTOR_ENABLED = False", marks=pytest.mark.slow),
        pytest.param('TWISTED_REACTOR = "twisted.internet.epollreactor.EPollReactor"', marks=pytest.mark.slow),
    ],
    ids=["asyncio reactor", "no reactor", "epoll reactor"],
)
def test_one_line_in_a_foreign_project(more: str, simulator: Simulator, tmp_path: Path) -> None:
    origins = [simulator.origin(HALF), simulator.origin(None)]
    origins[1].put("/robots.txt", Answer(503))
    big = Answer(headers=(("X-Robots-Tag", "noai"),), body=b"x" * 4_000_000, pause=0.002)
    urls = [origins[0].page("/open"), origins[0].page("/private/a"), origins[0].page("/noai", RESERVED)]
    urls += [origins[0].put("/header", big), origins[1].page("/closed")]
    _foreign(tmp_path, urls, more + "\nRETRY_ENABLED = False\n")
    done = _run("-m", "scrapy", "crawl", "simple", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    items = [json.loads(line)["url"] for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert items == [origins[0].url + "/open"]
    assert origins[0].asked("/private/a") == origins[1].asked("/closed") == 0
    assert origins[0].sent("/header") < len(big.body)
    assert "ScrapyDeprecationWarning" not in done.stderr
    assert "Traceback" not in done.stderr
    decisions = {row["url"]: row["effect"] for row in logged(tmp_path / "optout-evidence" / "evidence", "simple")}
    assert decisions == {url: "permit" if url.endswith("/open") else "deny" for url in urls}
    assert faults(tmp_path / "optout-evidence") == []


CRAWL = ("-c", "import sys; from optout.cli import main; sys.exit(main())", "crawl")


def _kept(directory: Path) -> list[str]:
    located = (found for path in warc.archive_files(directory / "pages") for found in warc.iterate(path))
    records = [found.record for found in located if isinstance(found, warc.Located)]
    return [record.fields["WARC-Target-URI"] for record in records if record.kind in {"response", "revisit"}]


def test_optout_crawl_keeps_what_is_permitted_and_reports(simulator: Simulator, tmp_path: Path) -> None:
    site, away = simulator.origin(HALF), simulator.origin()
    links = "".join(
        f'<a href="{path}">x</a>' for path in ("/a", "/private/b", "/noai", "/old", f"{away.url}/away", "/gone")
    )
    site.page("/", links)
    site.page("/a", '<a href="/deep">x</a>')
    site.page("/deep", '<a href="/deeper">x</a>')
    site.page("/deeper")
    site.page("/noai", RESERVED)
    site.redirect("/old", "/a")
    out = tmp_path / "out"
    done = _run(*CRAWL, site.url + "/", "--out", str(out), "--depth", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(_kept(out)) == [site.url + path for path in ("/", "/a", "/deep")]
    assert site.asked("/private/b") == site.asked("/deeper") == site.asked("/more") == away.asked("/away") == 0
    report = json.loads(done.stdout)
    assert json.loads((out / "report.json").read_text()) == report
    assert (report["complete"], report["total"]["kept"]) == (True, 3)
    reasons = {(item["stage"], item["reason"]): item["count"] for item in report["total"]["refused"]}
    assert reasons == {("request", "robots.group.disallow"): 1, ("page", "robots-directives.noai"): 1}
    assert faults(out) == []
    proved = bundle.prove_url(find(out), site.url + "/a")["row"]
    assert (proved["kind"], proved["effect"], proved["reason"]) == ("decision", "permit", "no-reservation")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("https://exa mple/",), "exa mple"),
        (("https://example.org/", "--policy", "no-such"), "no-such"),
        (("https://example.org/", "--max-pages", "none"), "none"),
        (("https://example.org/", "--depth", "-1"), "--depth -1"),
        (("https://example.org/", "--delay", "-0.5"), "--delay -0.5"),
        (("https://example.org/", "--delay", "nan"), "--delay nan"),
        (("https://example.org/", "--as", "two words"), "two words"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["crawl", *arguments, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("optout crawl: ")
    assert says in line
    assert not out.exists()


def _start(out: Path, site: Origin) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *CRAWL, site.url + "/", "--out", str(out), "--quiet"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _done(directory: Path) -> set[str]:
    """The kept pages that a crawl holds for done: everything about them has been acknowledged by the disk."""
    table = directory / "job" / "frontier.sqlite"
    if not table.exists():
        return set()
    with closing(sqlite3.connect(f"file:{table}?mode=ro", uri=True)) as frontier:
        try:
            return {url for (url,) in frontier.execute("SELECT url FROM urls WHERE state = 2")}
        except sqlite3.OperationalError:  # it is being made
            return set()


def _until(condition: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_crawl_loses_nothing_that_was_acknowledged_and_goes_on(site: Origin, tmp_path: Path) -> None:
    pages = 50
    site.page("/", "".join(f'<a href="/p/{number}">x</a>' for number in range(pages)) + '<a href="/private/x">x</a>')
    for number in range(pages):
        body = f"<p>Page {number}</p>".encode()
        site.put(f"/p/{number}", Answer(headers=(("Content-Type", "text/html"),), body=body, hold=0.05))
    out = tmp_path / "out"
    with _start(out, site) as process:
        _until(lambda: len(_done(out)) >= 10, process)
        process.send_signal(signal.SIGKILL)
    done_before = _done(out)
    assert len(done_before) >= 10
    acknowledged = [row["url"] for row in logged(out / "evidence", "pages") if row["kind"] == "decision"]
    kept = set(_kept(out))
    assert done_before <= kept <= set(acknowledged)
    done = _run(*CRAWL, site.url + "/", "--out", str(out), "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    decided = [row["url"] for row in logged(out / "evidence", "pages") if row["kind"] == "decision"]
    assert set(acknowledged) <= set(decided)
    assert set(_kept(out)) == {f"{site.url}/p/{number}" for number in range(pages)} | {site.url + "/"}
    again = {url for url in done_before if site.asked(url.removeprefix(site.url)) != 1}
    assert again == set(), "what was done must not be done again"
    assert site.asked("/private/x") == 0
    assert faults(out) == []


def test_an_interrupted_crawl_ends_in_order_and_says_how_to_go_on(site: Origin, tmp_path: Path) -> None:
    site.page("/", "".join(f'<a href="/p/{number}">x</a>' for number in range(60)))
    for number in range(60):
        site.put(f"/p/{number}", Answer(headers=(("Content-Type", "text/html"),), body=b"<p>x</p>", hold=0.05))
    out = tmp_path / "out"
    with _start(out, site) as process:
        _until(lambda: len(site.log) > 12, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run it again to go on" in stderr
    assert json.loads((out / "report.json").read_text())["complete"] is False
    assert len(site.log) < 60
    assert faults(out) == []


def test_a_crawl_that_fills_the_disk_says_so_in_one_line_and_goes_on_without_loss(site: Origin, tmp_path: Path) -> None:
    # Of a refused page its beginning is kept as evidence, up to the element that speaks.
    paths = [f"/p/{number}" for number in range(60)]
    site.page("/", "".join(f'<a href="{path}">x</a>' for path in paths))
    for path in paths:
        html = f'<html><head><!-- {os.urandom(30_000).hex()} --><meta name="robots" content="noai"></head>'
        site.put(path, Answer(headers=(("Content-Type", "text/html"),), body=html.encode(), hold=0.1))
    out = tmp_path / "out"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); {CRAWL[1]}"
    failed = _run("-c", limited, *CRAWL[2:], site.url + "/", "--out", str(out), "--quiet", cwd=tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.splitlines() == [
        f"optout crawl: the crawl was stopped ({out}/crawl.log says why): free or repair the disk"
    ]
    assert len(site.log) < len(paths)
    done = _run(*CRAWL, site.url + "/", "--out", str(out), "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    refused = {row["url"] for row in logged(out / "evidence", "pages") if row["effect"] == "deny"}
    assert refused == {site.url + path for path in paths}
    assert faults(out) == []


def test_a_kept_page_carries_the_redirects_that_led_to_it() -> None:
    from scrapy import Request  # noqa: PLC0415
    from scrapy.http import Response  # noqa: PLC0415

    request = Request(
        "https://example.org/c", meta={"redirect_urls": ["https://example.org/a", "https://example.org/b"]}
    )
    exchange = kept_exchange(Response("https://example.org/c", request=request))
    assert exchange.url == "https://example.org/a"
    assert exchange.redirects == ("https://example.org/b", "https://example.org/c")
