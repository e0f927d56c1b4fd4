"""The add-on in real crawls over real sockets: what goes out, in which order, and what comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from crawls import Collect, Visitor, crawl, faults
from origin_simulator import Answer, Simulator
from scrapy import Request, signals
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.misc import build_from_crawler, load_object

from crawler.outcome import OptedOut
from optout.errors import EvidenceError
from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.journal import Journal, rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from origin_simulator import Origin
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

CLOSED = "User-agent: *\nDisallow: /"
HALF = "User-agent: *\nDisallow: /private"
RESERVED = '<html><head><meta name="tdm-reservation" content="1"></head><body>Text</body></html>'


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def site(simulator: Simulator) -> Origin:
    return simulator.origin(HALF)


def _signals_first(origin: Origin) -> bool:
    """Whether every signal file was asked for before any page."""
    signals = [
        seen.path in {"/robots.txt", "/ai.txt", "/trust.txt"} or "well-known" in seen.path for seen in origin.log
    ]
    return signals == sorted(signals, reverse=True) and signals[:1] == [True]


async def test_no_page_is_asked_for_before_its_origin_was_decided_on(simulator: Simulator, tmp_path: Path) -> None:
    origins = [simulator.origin(HALF, host=f"127.0.0.{last}") for last in range(1, 5)]
    # A slow robots.txt tempts an impatient crawler to go on without it.
    origins[0].put("/robots.txt", Answer(body=HALF.encode(), hold=0.2))
    urls = [origin.page(path) for origin in origins for path in ("/", "/a", "/private/b")]
    done = await crawl(tmp_path, *urls)
    assert all(_signals_first(origin) for origin in origins)
    assert all(origin.asked("/private/b") == 0 for origin in origins)
    assert done.urls == {url for url in urls if "private" not in url}
    assert {type(fault) for fault in done.failures.values()} == {OptedOut}


async def test_fifty_waiting_requests_share_one_look_at_the_origin(site: Origin, tmp_path: Path) -> None:
    site.put("/robots.txt", Answer(body=HALF.encode(), hold=0.1))
    done = await crawl(tmp_path, *(site.page(f"/{number}") for number in range(50)))
    assert len(done.items) == 50
    assert site.asked("/robots.txt") == 1
    assert max(site.asked(path) for path in site.paths()) == 1


LATIN = "User-agent: *\nDisallow: /page # caf\xe9".encode("latin-1")
FORBIDS = b"User-agent: *\nDisallow: /"
ALLOWS = b"User-agent: *\nDisallow:"

# What robots.txt answers, and whether the page may be fetched: by the letter, and under the cautious default policy.
ROBOTS = {
    "500 and empty": (Answer(500), False, False),
    "503 with a body that allows": (Answer(503, body=ALLOWS), False, False),
    "503 with a body that forbids": (Answer(503, body=FORBIDS), False, False),
    "404": (Answer(404), True, True),
    "404 with a body that forbids": (Answer(404, body=FORBIDS), True, True),
    "401": (Answer(401), True, False),
    "403": (Answer(403), True, False),
    "429": (Answer(429), True, False),
    "no answer": (Answer(drop=True), False, False),
    "Latin-1 bytes": (Answer(body=LATIN), False, False),
    "byte order mark": (Answer(body=b"\xef\xbb\xbf" + FORBIDS), False, False),
    "HTML": (Answer(body=b"<html><body>Not here</body></html>", headers=(("Content-Type", "text/html"),)), True, True),
    "allows": (Answer(body=ALLOWS), True, True),
}


@pytest.mark.parametrize("policy", ["literal", "eu-gpai"])
async def test_what_an_unusual_robots_txt_means(policy: str, simulator: Simulator, tmp_path: Path) -> None:
    expected, urls = {}, []
    for name, (answer, literal, cautious) in ROBOTS.items():
        origin = simulator.origin()
        origin.put("/robots.txt", answer)
        urls.append(origin.page("/page"))
        expected[urls[-1]] = name, literal if policy == "literal" else cautious
    looping, closed = simulator.origin(), simulator.closed_port()
    looping.redirect("/robots.txt", "/robots.txt")
    expected[looping.page("/page")] = "redirect loop", policy == "literal"
    expected[f"{closed}/page"] = "refused connection", False
    expected["http://no-such-host.invalid/page"] = "no such host", False
    done = await crawl(tmp_path, *expected, OPTOUT_POLICY=policy, CONCURRENT_REQUESTS=100)
    assert {expected[url][0]: url in done.urls for url in expected} == dict(expected.values())


@pytest.mark.parametrize("policy", ["literal", "eu-gpai"])
async def test_a_robots_txt_that_does_not_come_in_time_permits_nothing(
    policy: str, simulator: Simulator, tmp_path: Path
) -> None:
    late = simulator.origin()
    late.put("/robots.txt", Answer(hold=3, body=ALLOWS))
    done = await crawl(tmp_path, late.page("/page"), OPTOUT_POLICY=policy, OPTOUT_SIGNAL_TIMEOUT=1)
    assert done.urls == set()
    assert late.asked("/robots.txt") == 1
    assert late.asked("/page") == 0


async def test_robots_txt_redirects_count_for_the_first_authority(simulator: Simulator, tmp_path: Path) -> None:
    target, first = simulator.origin(), simulator.origin()
    target.put("/elsewhere", Answer(body=HALF.encode()))
    first.redirect("/robots.txt", "/1")
    for hop in range(1, 4):
        first.redirect(f"/{hop}", f"/{hop + 1}")
    first.redirect("/4", target.url + "/elsewhere")
    urls = [first.page("/private/a"), first.page("/b"), target.page("/private/c")]
    done = await crawl(tmp_path, *urls)
    assert done.urls == set(urls[1:])
    assert first.asked("/private/a") == 0


async def test_an_endless_robots_txt_is_cut_and_what_was_read_counts(simulator: Simulator, tmp_path: Path) -> None:
    origin = simulator.origin()
    endless = HALF.encode() + b"\n" + b"# nothing\n" * 2_000_000
    origin.put("/robots.txt", Answer(body=endless, unsized=True))
    urls = [origin.page("/private/a"), origin.page("/b")]
    done = await crawl(tmp_path, *urls, OPTOUT_POLICY="literal", OPTOUT_SIGNAL_TIMEOUT=20)
    assert done.urls == {urls[1]}
    assert origin.sent("/robots.txt") < len(endless)


async def test_a_header_that_reserves_stops_the_download(site: Origin, tmp_path: Path) -> None:
    body = b"x" * 8_000_000
    url = site.put("/big", Answer(headers=(("tdm-reservation", "1"),), body=body, pause=0.002))
    done = await crawl(tmp_path, url)
    assert done.items == []
    assert site.sent("/big") < len(body) // 2
    assert [row["stage"] for row in done.decisions] == ["headers"]
    assert isinstance(done.failures[url], OptedOut)
    assert not hasattr(done.failures[url], "response")


async def test_what_a_page_says_about_itself_counts(site: Origin, tmp_path: Path) -> None:
    denied, open_page = site.page("/denied", RESERVED), site.page("/open", "<html><head></head></html>")
    done = await crawl(tmp_path, denied, open_page)
    assert done.urls == {open_page}
    assert {row["url"]: row["stage"] for row in done.decisions} == {denied: "page", open_page: "page"}
    assert done.reasons[denied].startswith("tdmrep.")


SPEAKING = {
    "a closing bracket in an attribute": '<meta data-x="a>b" name="tdm-reservation" content="1">',
    "a licence in the page": '<script type="application/rsl+xml">{}</script>',
    "UTF-16": '<meta name="robots" content="noai">',
    "a charset behind it": '<meta name="robots" content="noai"><meta charset="shift_jis">',
}
"""Pages by what is odd about the element that speaks."""


async def test_what_is_kept_of_an_odd_page_gives_the_decision_again(site: Origin, tmp_path: Path) -> None:
    for number, (name, element) in enumerate(SPEAKING.items()):
        html = f"<html><head>{element.format(PROHIBITS.decode())}</head><body>Work > text</body></html>"
        body = html.encode("utf-16" if name == "UTF-16" else "ascii")
        site.put(f"/{number}", Answer(headers=(("Content-Type", "text/html"),), body=body))
    done = await crawl(tmp_path, *(f"{site.url}/{number}" for number in range(len(SPEAKING))))
    assert done.items == []
    assert faults(tmp_path) == []


PROHIBITS = b"""<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>
<prohibits type="usage">ai-train</prohibits></license></content></rsl>"""
PERMITS = PROHIBITS.replace(b"prohibits", b"permits").replace(b"ai-train", b"all")


async def test_a_licence_is_fetched_once_and_decided_on_before_its_pages_go_on(
    simulator: Simulator, site: Origin, tmp_path: Path
) -> None:
    licences = simulator.origin()
    kind = ("Content-Type", "application/rsl+xml")
    urls: dict[str, list[str]] = {}
    for name, text in {"no": PROHIBITS, "yes": PERMITS}.items():
        licence = licences.put(f"/{name}.xml", Answer(headers=(kind,), body=text, hold=0.1))
        link = f'<{licence}>; rel="license"; type="application/rsl+xml"'
        urls[name] = [site.page(f"/{name}/{number}", "<p>Work</p>", ("Link", link)) for number in range(5)]
        element = f'<html><head><link rel="license" type="application/rsl+xml" href="{licence}"></head></html>'
        urls[name].append(site.page(f"/{name}/element", element))
    done = await crawl(tmp_path, *urls["no"], *urls["yes"])
    assert done.urls == set(urls["yes"])
    assert sorted(licences.paths()) == ["/no.xml", "/yes.xml"]
    assert {done.reasons[url] for url in urls["no"]} == {"rsl.prohibited"}
    assert faults(tmp_path) == []


async def test_compressed_pages_are_read(site: Origin, tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    headers = (("Content-Type", "text/html"), ("Content-Encoding", "gzip"))
    url = site.put("/gz", Answer(headers=headers, body=gzip.compress(RESERVED.encode())))
    done = await crawl(tmp_path, url)
    assert done.items == []


async def test_a_page_in_a_coding_that_nobody_removes_is_read_or_refused(site: Origin, tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    def put(path: str, html: str, coding: str) -> str:
        headers = (("Content-Type", "text/html"), ("Content-Encoding", coding))
        return site.put(path, Answer(headers=headers, body=gzip.compress(html.encode())))

    denied, permitted = put("/denied", RESERVED, "gzip"), put("/permitted", "<p>Text</p>", "gzip")
    unknown = put("/unknown", "<p>Text</p>", "fold")
    done = await crawl(tmp_path, denied, permitted, unknown, COMPRESSION_ENABLED=False)
    assert done.urls == {permitted}
    assert gzip.decompress(done.items[0]["body"]) == b"<p>Text</p>"
    assert done.reasons[denied].startswith("tdmrep.")
    assert "cannot be read: nobody knows the coding 'fold'" in str(done.failures[unknown])
    assert [row["fetch"]["error"] for row in done.decisions if row["url"] == unknown] == ["CodingError"]
    assert faults(tmp_path) == []


async def test_a_tdmrep_path_rule_counts_for_its_paths(site: Origin, tmp_path: Path) -> None:
    rules = b'[{"location": "/news/*", "tdm-reservation": 1}, {"location": "/open/*", "tdm-reservation": 0}]'
    site.put("/.well-known/tdmrep.json", Answer(headers=(("Content-Type", "application/json"),), body=rules))
    urls = [site.page("/news/today"), site.page("/open/data")]
    done = await crawl(tmp_path, *urls)
    assert done.urls == {urls[1]}
    assert site.asked("/news/today") == 0


async def test_a_redirect_leads_into_a_closed_origin_but_not_to_its_page(simulator: Simulator, tmp_path: Path) -> None:
    closed, away = simulator.origin(CLOSED), simulator.origin()
    target = closed.page("/secret")
    refresh = f'<html><head><meta http-equiv="refresh" content="0; url={target}"></head></html>'
    urls = [away.redirect("/301", target, 301), away.redirect("/307", target, 307), away.page("/meta", refresh)]
    done = await crawl(tmp_path, *urls)
    assert done.items == []
    assert [away.asked(path) for path in ("/301", "/307", "/meta")] == [1, 1, 1]
    assert closed.asked("/robots.txt") == 1
    assert closed.asked("/secret") == 0


async def test_exemptions_in_meta_are_refused(site: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = site.page("/private/a")
    requests = [
        Request(url, meta={"dont_obey_robotstxt": True}, dont_filter=True),
        Request(url, meta={"optout_ticket": object()}, dont_filter=True),
        Request(url, meta={"optout_ticket": True, "allow_offsite": True}, dont_filter=True),
    ]
    done = await crawl(tmp_path, *requests)
    assert site.asked("/private/a") == 0
    assert done.stat("optout/refused/dont_obey_robotstxt") == 1
    assert "dont_obey_robotstxt is refused" in caplog.text


class RoundTheBack(Visitor):
    """Tries every way to the network that it knows."""

    async def parse(self, response: HtmlResponse) -> object:
        engine = self.crawler.engine
        target = response.urljoin("/private/a")
        ways = {
            "download_async": engine.download_async(Request(target)),
            "handlers": engine.downloader.handlers.download_request_async(Request(target)),
            "fetch": engine.downloader._enqueue_request(Request(target)),
        }
        for name, way in ways.items():
            try:
                await way
                yield {"url": name}
            except IgnoreRequest:
                self.failures[name] = IgnoreRequest()
        # Copying what a request carries does not copy its pass.
        stolen = response.request.replace(url=target)
        try:
            await engine.downloader.handlers.download_request_async(stolen)
            yield {"url": "stolen"}
        except IgnoreRequest:
            self.failures["stolen"] = IgnoreRequest()


async def test_what_is_asked_for_is_what_was_decided_on(site: Origin, tmp_path: Path) -> None:
    secret = site.page("/private/a")
    ways = [f"{site.url}/{way}/private/a" for way in ("x/..", "x/%2e%2E", ".", "private/../x/..")]
    done = await crawl(tmp_path, *ways, site.page("/b").replace("/b", "/private/../b"))
    assert done.urls == {f"{site.url}/b"}
    assert set(done.reasons) == {secret, f"{site.url}/b"}
    assert [path for path in site.paths() if "private" in path] == []


async def test_no_way_to_the_network_goes_round_the_gate(site: Origin, tmp_path: Path) -> None:
    done = await crawl(tmp_path, site.page("/"), spider=RoundTheBack)
    assert done.items == []
    assert set(done.failures) == {"download_async", "handlers", "fetch", "stolen"}
    assert site.asked("/private/a") == 0


class OfTheOldForm:
    """A download handler as others wrote them for years: a Deferred, the spider, no end; it waits for the start."""

    lazy = False

    def __init__(self, crawler: Crawler) -> None:
        standard = load_object(crawler.settings["DOWNLOAD_HANDLERS_BASE"]["http"])
        self._standard = build_from_crawler(standard, crawler)
        self._started = False
        crawler.signals.connect(self._start, signal=signals.engine_started)
        crawler.signals.connect(self._standard.close, signal=signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> OfTheOldForm:
        return cls(crawler)

    def _start(self) -> None:
        self._started = True

    def download_request(self, request: Request, spider: Visitor) -> Deferred[Response]:
        assert self._started
        assert isinstance(spider, Visitor)
        return deferred_from_coro(self._standard.download_request(request))


async def test_a_download_handler_of_the_old_form_stands_behind_the_gate(site: Origin, tmp_path: Path) -> None:
    urls = [site.page("/a"), site.page("/private/b"), site.page("/c", RESERVED)]
    done = await crawl(tmp_path, *urls, DOWNLOAD_HANDLERS={"http": OfTheOldForm})
    assert done.urls == {urls[0]}
    assert {type(fault) for fault in done.failures.values()} == {OptedOut}
    assert site.asked("/private/b") == 0


class Exchanging:
    """A downloader middleware, nearer to the engine than ours, that puts another page in the place of one."""

    def process_response(self, request: Request, response: HtmlResponse) -> HtmlResponse:
        if request.url.endswith("/exchanged"):
            return HtmlResponse(response.url, body=RESERVED.encode(), headers={"Content-Type": "text/html"})
        if request.url.endswith("/foreign"):
            return HtmlResponse("http://127.0.0.1:1/foreign", body=b"taken from elsewhere")
        return response.replace(body=b"cleaned")


async def test_a_page_that_a_middleware_puts_in_is_decided_on(site: Origin, tmp_path: Path) -> None:
    urls = [site.page("/exchanged"), site.page("/foreign"), site.page("/cleaned")]
    done = await crawl(tmp_path, *urls, DOWNLOADER_MIDDLEWARES={Exchanging: 50})
    assert [item["body"] for item in done.items] == [b"cleaned"]
    assert set(done.failures) == set(urls[:2])


class WithoutErrback(Visitor):
    """Most spiders have none."""

    async def start(self) -> AsyncIterator[Request]:
        for request in self.requests:
            yield Request(request)


async def test_a_refusal_in_front_of_the_spider_is_no_error_of_the_spider(site: Origin, tmp_path: Path) -> None:
    urls = [site.page("/exchanged"), site.page("/foreign"), site.page("/cleaned")]
    done = await crawl(tmp_path, *urls, spider=WithoutErrback, DOWNLOADER_MIDDLEWARES={Exchanging: 50})
    assert [item["body"] for item in done.items] == [b"cleaned"]
    assert done.stat("spider_exceptions/count") is None
    assert done.stat("optout/refused/undecided") == 1


async def test_media_of_a_closed_origin_are_not_fetched(simulator: Simulator, site: Origin, tmp_path: Path) -> None:
    pytest.importorskip("itemadapter")
    closed, other = simulator.origin(CLOSED), simulator.origin()
    media = [closed.put("/a.bin", Answer(body=b"a")), other.put("/b.bin", Answer(body=b"b"))]

    class WithFiles(Visitor):
        def parse(self, response: HtmlResponse) -> object:
            yield {"url": response.url, "file_urls": media}

    done = await crawl(
        tmp_path,
        site.page("/"),
        spider=WithFiles,
        FILES_STORE=str(tmp_path / "files"),
        ITEM_PIPELINES={"scrapy.pipelines.files.FilesPipeline": 1, Collect: 100},
    )
    assert closed.asked("/a.bin") == 0
    assert [found["url"] for found in done.items[0]["files"]] == [media[1]]


async def test_a_file_that_cannot_be_read_is_denied_and_the_crawl_goes_on(
    site: Origin, tmp_path: Path, shared: Path
) -> None:
    (locked,) = (shared / "assets").rglob("basic-password.pdf")
    url = site.put("/locked.pdf", Answer(headers=(("Content-Type", "application/pdf"),), body=locked.read_bytes()))
    other = site.page("/other")
    done = await crawl(tmp_path, url, other)
    assert done.urls == {other}
    assert done.stat("finish_reason") == "finished"
    assert faults(tmp_path) == []


async def test_the_http_cache_neither_keeps_a_denied_page_nor_answers_for_a_closed_origin(
    simulator: Simulator, tmp_path: Path
) -> None:
    origin = simulator.origin()
    urls = [origin.page("/kept", "<p>kept</p>"), origin.page("/denied", RESERVED)]
    settings = {"HTTPCACHE_ENABLED": True, "HTTPCACHE_DIR": str(tmp_path / "cache")}
    first = await crawl(tmp_path / "1", *urls, **settings)
    stored = [path.read_bytes() for path in (tmp_path / "cache").rglob("response_body")]
    assert (first.urls, stored) == ({urls[0]}, [b"<p>kept</p>"])
    again = await crawl(tmp_path / "2", urls[0], **settings)
    assert (again.urls, origin.asked("/kept"), origin.asked("/robots.txt")) == ({urls[0]}, 1, 2)
    origin.put("/robots.txt", Answer(body=CLOSED.encode()))
    closed = await crawl(tmp_path / "3", urls[0], **settings)
    assert closed.items == []


async def test_a_signal_that_fails_once_is_asked_for_again_as_the_project_retries(
    simulator: Simulator, tmp_path: Path
) -> None:
    origin = simulator.origin(None)
    url = origin.page("/")
    done = await crawl(tmp_path, url, RETRY_TIMES=2)
    assert done.urls == {url}
    origin.put("/robots.txt", Answer(503))
    done = await crawl(tmp_path / "again", url, RETRY_TIMES=2)
    assert done.items == []
    assert origin.asked("/robots.txt") == 4


class DayAfterDay(Visitor):
    """Comes back to a page when a day and an hour have passed."""

    async def parse(self, response: HtmlResponse) -> object:
        yield {"url": response.url}
        if not response.meta.get("again"):
            self.settings["CLOCK"].day()
            yield Request(response.url, meta={"again": True}, dont_filter=True)


class Clock:
    """A clock that can be put on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def day(self) -> None:
        self.ahead += 25 * 3600


async def test_after_a_day_the_origin_is_asked_again(
    site: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("crawler.origins.time", clock)
    await crawl(tmp_path, site.page("/"), spider=DayAfterDay, CLOCK=clock)
    assert [path for path in site.paths() if path in {"/", "/robots.txt"}] == ["/robots.txt", "/", "/robots.txt", "/"]


async def test_every_decision_is_on_the_disk_before_its_item_comes_out(site: Origin, tmp_path: Path) -> None:
    logged = []

    def look(item: dict[str, str]) -> None:
        found = [row for _, row in rows(tmp_path / "evidence", node="visitor")]
        logged.append([row["stage"] for row in found if row["url"] == item["url"]])

    await crawl(tmp_path, site.page("/a"), site.page("/b"), collect=look)
    assert logged == [["page"], ["page"]]


async def test_a_row_says_why_on_what_grounds_and_under_which_policy(site: Origin, tmp_path: Path) -> None:
    done = await crawl(tmp_path, site.page("/private/a"), OPTOUT_HASH_BODIES=True)
    (row,) = done.rows
    assert (row["effect"], row["reason"], row["access"]) == ("deny", "robots.group.disallow", "deny")
    assert row["decisions"]["ai-train"] == {"effect": "deny", "reason": "robots.group.disallow"}
    assert row["coverage"]["/robots.txt"] == "retrieved"
    assert row["signals"][0]["value"] == "Disallow: /private"
    archive = ArchiveReader(tmp_path / "signals")
    listed = [archive.exchange(item["rec"]) for item in archive.listed(row["exchanges"])]
    assert listed[0].url == site.url + "/robots.txt"
    assert listed[0].body == HALF.encode()
    assert ("User-Agent", "ExampleBot/1.0 (+https://bot.example/)") in listed[0].request_headers
    assert len(row["policy"]) == len(row["registry"]) == 64
    assert row["agent"] == "ExampleBot"


async def test_statistics_count_effects_reasons_and_origins(site: Origin, simulator: Simulator, tmp_path: Path) -> None:
    urls = [site.page("/a"), site.page("/private/b"), simulator.closed_port() + "/c"]
    done = await crawl(tmp_path, *urls)
    names = ["effect/permit", "effect/deny", "reason/robots.group.disallow", "origins/consulted", "origins/unreachable"]
    assert [done.stat(f"optout/{name}") for name in names] == [1, 2, 1, 1, 1]


async def test_the_crawl_stops_when_its_evidence_cannot_be_written(
    site: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise EvidenceError("no space left on device")

    monkeypatch.setattr(Journal, "commit", refuse)
    done = await crawl(tmp_path, *(site.page(f"/{number}") for number in range(200)), CONCURRENT_REQUESTS=4)
    assert done.stat("finish_reason") == "evidence-unwritable"
    assert done.items == []
    assert len(site.log) < 150
    monkeypatch.undo()


async def test_an_evidence_directory_in_use_stops_the_crawl_before_it_begins(site: Origin, tmp_path: Path) -> None:
    with Journal(tmp_path / "evidence", node="visitor"), pytest.raises(EvidenceError, match="in use"):
        await crawl(tmp_path, site.page("/"))
    assert site.log == []
