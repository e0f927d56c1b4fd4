"""The parts of the add-on by themselves: settings, warnings, waiting, writing in groups, excerpts, counting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scrapy import Spider
from scrapy.crawler import Crawler
from scrapy.http import HtmlResponse
from scrapy.settings import Settings

from crawler import misfits, options
from crawler.addon import OptOutAddon
from crawler.carriers import Screen, excerpt
from crawler.groups import GROUP_ENTRIES, Groups
from crawler.report import Report
from crawler.single_flight import SingleFlight, together
from crawler.spiders.pages import PagesSpider, limit, site_of
from optout.errors import EvidenceError, MalformedUrl, OptoutError, PolicyError, UnreadableInput
from optout.identity import MalformedToken
from optout.model import RESOURCE, Exchange

if TYPE_CHECKING:
    from pathlib import Path


class Named(Spider):
    name = "a spider/1"


def _crawler(**settings: Any) -> Crawler:
    return Crawler(Named, {"USER_AGENT": "ExampleBot/1.0", **settings})


def _read(**settings: Any) -> options.Options:
    crawler = _crawler(**settings)
    return options.read(crawler.settings, crawler)


# Settings.


@pytest.mark.parametrize(
    ("settings", "token"),
    [
        ({"OPTOUT_TOKEN": "OtherBot"}, "OtherBot"),
        ({}, "ExampleBot"),
        ({"ROBOTSTXT_USER_AGENT": "RulesBot"}, "RulesBot"),
        ({"USER_AGENT": "Mozilla/5.0 (compatible; ExampleBot/1.2; +https://bot.example/)"}, "ExampleBot"),
        ({"USER_AGENT": "AI2Bot (+https://bot.example/)"}, "AI2Bot"),
    ],
)
def test_the_product_token_is_set_or_read_from_the_user_agent(settings: dict[str, str], token: str) -> None:
    assert _read(**settings).identity.token == token


@pytest.mark.parametrize(
    ("settings", "fault", "says"),
    [
        ({"OPTOUT_POLICY": "no-such"}, PolicyError, "no-such"),
        ({"OPTOUT_TOKEN": "two words"}, MalformedToken, "two words"),
        ({"USER_AGENT": "()"}, UnreadableInput, "OPTOUT_TOKEN"),
        ({"OPTOUT_SIGNAL_TIMEOUT": 0}, UnreadableInput, "OPTOUT_SIGNAL_TIMEOUT"),
        ({"OPTOUT_ORIGINS_CACHED": "many"}, UnreadableInput, "OPTOUT_ORIGINS_CACHED"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], fault: type[Exception], says: str) -> None:
    with pytest.raises(fault, match=says):
        _read(**settings)


def test_a_setting_that_cannot_be_used_stops_the_crawl_instead_of_the_add_on() -> None:
    # Scrapy goes on without an add-on that raises NotConfigured.
    crawler = _crawler(ADDONS={OptOutAddon: 100}, OPTOUT_POLICY="no-such", TWISTED_REACTOR_ENABLED=False)
    with pytest.raises(PolicyError):
        crawler._apply_settings()


def test_the_spider_names_the_node_in_characters_that_files_may_have() -> None:
    assert _read().node == "a-spider-1"
    assert _read(OPTOUT_NODE="n7").node == "n7"


def test_the_timeout_of_a_signal_is_never_longer_than_the_projects() -> None:
    assert _read(DOWNLOAD_TIMEOUT=5).limits.seconds == 5
    assert _read(OPTOUT_SIGNAL_TIMEOUT=7).limits.seconds == 7


# Warnings.


def _warnings(**given: Any) -> list[str]:
    settings = Settings({"USER_AGENT": "ExampleBot/1.0", "REMOTE_CONTROL_ENABLED": False, **given})
    crawler = Crawler(Named, settings)
    OptOutAddon(crawler).update_settings(crawler.settings)
    return list(misfits.found(crawler.settings))


class MyRobotsMiddleware:
    """Another middleware that reads robots.txt."""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"REMOTE_CONTROL_ENABLED": True}, "REMOTE_CONTROL_ENABLED = False"),
        ({"USER_AGENT": "Mozilla/5.0 (X11) Firefox/130.0", "OPTOUT_TOKEN": "ExampleBot"}, "name your crawler"),
        ({"ROBOTSTXT_OBEY": False}, "ROBOTSTXT_OBEY = False has no effect"),
        ({"DOWNLOADER_MIDDLEWARES": {MyRobotsMiddleware: 90}}, "MyRobotsMiddleware reads robots.txt as well"),
        ({"DOWNLOADER": "my.Downloader"}, "my.Downloader"),
        ({"OPTOUT_POLCY": "literal"}, "OPTOUT_POLCY is no setting"),
    ],
)
def test_what_would_defeat_the_add_on_is_said(settings: dict[str, Any], says: str) -> None:
    (warning,) = _warnings(**settings)
    assert says in warning


def test_what_fits_is_not_warned_of() -> None:
    assert _warnings() == []
    assert _warnings(ROBOTSTXT_OBEY=True) == []


def test_a_handler_that_another_add_on_puts_in_later_is_noticed() -> None:
    crawler = _crawler(REMOTE_CONTROL_ENABLED=False)
    OptOutAddon(crawler).update_settings(crawler.settings)
    crawler.settings["DOWNLOAD_HANDLERS"].set("http", "another.Handler", "cmdline")
    (warning,) = misfits.found(crawler.settings)
    assert "highest number in ADDONS" in warning


def test_a_component_without_the_add_on_refuses_to_work() -> None:
    from crawler.middlewares import Entrance  # noqa: PLC0415

    with pytest.raises(OptoutError, match="ADDONS"):
        Entrance.from_crawler(_crawler())


# Waiting together.


async def test_many_who_ask_at_once_share_one_answer() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    made = []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0.01)
        return len(made)

    assert await asyncio.gather(*(flight.share("a", make) for _ in range(20))) == [1] * 20
    assert await flight.share("a", make) == 2


async def test_a_failure_is_shared_and_not_remembered() -> None:
    flight: SingleFlight[str, int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0.01)
        raise OSError("gone")

    found = await asyncio.gather(*(flight.share("a", fail) for _ in range(3)), return_exceptions=True)
    assert [type(fault) for fault in found] == [OSError] * 3

    async def succeed() -> int:
        return 7

    assert await flight.share("a", succeed) == 7


async def test_results_come_in_the_order_of_the_questions() -> None:
    async def after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    assert await together(after(seconds) for seconds in (0.03, 0.01, 0.02)) == [0.03, 0.01, 0.02]


# Writing in groups.


async def test_whoever_waits_is_told_after_their_entry_was_written() -> None:
    written: list[int] = []
    groups: Groups[int] = Groups(written.extend, lambda _: None)
    groups.add(1)
    groups.add(2)
    await asyncio.gather(groups.durable(), groups.durable())
    assert written == [1, 2]
    await groups.durable()


async def test_a_full_group_does_not_wait_for_the_clock() -> None:
    sizes: list[int] = []
    groups: Groups[int] = Groups(lambda entries: sizes.append(len(entries)), lambda _: None)
    for number in range(GROUP_ENTRIES + 1):
        groups.add(number)
    await groups.durable()
    await groups.durable()
    assert sizes == [GROUP_ENTRIES, 1]


async def test_after_a_failure_everybody_is_told_and_nothing_is_taken() -> None:
    told: list[EvidenceError] = []

    def refuse(_: list[int]) -> None:
        raise OSError("read-only file system")

    groups: Groups[int] = Groups(refuse, told.append)
    groups.add(1)
    found = await asyncio.gather(groups.durable(), groups.durable(), return_exceptions=True)
    assert [type(fault) for fault in found] == [EvidenceError] * 2
    assert len(told) == 1
    with pytest.raises(EvidenceError, match="read-only"):
        groups.add(2)
    with pytest.raises(EvidenceError):
        await groups.durable()


async def test_one_who_gives_up_waiting_does_not_keep_the_others() -> None:
    groups: Groups[int] = Groups(lambda _: None, lambda _: None)
    groups.add(1)
    impatient = asyncio.ensure_future(groups.durable())
    patient = asyncio.ensure_future(groups.durable())
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert impatient.cancelled()


# What a page shows of itself.


def _response(body: bytes, content_type: str = "text/html", status: int = 200, **headers: str) -> HtmlResponse:
    fields = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return HtmlResponse("https://example.org/a", status=status, headers=fields, body=body)


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (_response(b"<html><head><title>x</title></head>"), False),
        (_response(b""), False),
        (_response(b"", X_Robots_Tag="noai"), True),
        (_response(b"<MeTa NAME=robots CONTENT=NoAI>"), True),
        (_response(b'<meta name="robots" content="no&#97;i">'), True),
        (_response(b"<p>noai, tdm-reservation and noml in the text</p>"), False),
        (_response('<meta name="tdm-reservation" content="1">'.encode("utf-16")), True),
        (_response(b"", status=402), True),
    ],
)
def test_the_screen_finds_what_may_speak(response: HtmlResponse, found: bool) -> None:  # noqa: FBT001
    assert Screen(_read().policy).finds(response) is found


WORDS = Screen(_read().policy).words
HEAD = b'<html><head><title>Work</title><meta name="robots" content="noai">'
REST = b"</head><body>" + b"the work itself " * 100


@given(padding=some.integers(0, 300))
def test_an_excerpt_ends_with_the_last_element_that_speaks(padding: int) -> None:
    body = HEAD + b" " * padding + REST
    page = Exchange("https://example.org/", RESOURCE, 200, (("Content-Type", "text/html"),), body)
    shown = excerpt(page, WORDS)
    assert shown.body == HEAD
    assert shown.truncated
    assert excerpt(shown, WORDS).body == HEAD


def test_of_a_page_that_speaks_in_its_headers_only_nothing_is_kept() -> None:
    page = Exchange("https://example.org/", RESOURCE, 200, (("X-Robots-Tag", "noai"),), REST)
    assert excerpt(page, WORDS).body == b""


# Counting and sites.


def test_a_report_counts_by_origin_stage_effect_and_reason() -> None:
    def row(url: str, stage: str, effect: str, reason: str) -> dict[str, str]:
        return {"kind": "decision", "url": url, "stage": stage, "effect": effect, "reason": reason}

    report = Report()
    for given_row in [
        row("https://a.example/1", "page", "permit", "no-reservation"),
        row("https://a.example/2", "request", "deny", "robots.group.disallow"),
        row("https://a.example/3", "request", "deny", "robots.group.disallow"),
        row("https://b.example/1", "request", "permit", "no-reservation"),
        {"kind": "kept", "url": "https://a.example/1"},
        {"kind": "something else"},
    ]:
        report.add(given_row)
    form = report.json()
    assert form["total"] | {"refused": []} == {"asked": 4, "permitted": 1, "kept": 1, "refused": []}
    assert form["origins"]["https://a.example"]["refused"] == [
        {"stage": "request", "effect": "deny", "reason": "robots.group.disallow", "count": 2}
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://www.example.org/a", "http://example.org/b", True),
        ("https://example.org/", "https://example.com/", False),
        ("http://127.0.0.1:8001/", "http://127.0.0.1:8002/", False),
        ("http://localhost:8001/", "http://localhost:8002/", False),
        ("http://[::1]:8001/", "http://[::1]:8001/x", True),
    ],
)
def test_links_are_followed_within_a_site(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert (site_of(one) == site_of(other)) is same


@pytest.mark.parametrize("value", [0, -1, "many", "1.5"])
def test_a_limit_is_a_whole_number(value: object) -> None:
    with pytest.raises(UnreadableInput):
        limit(value)  # type: ignore[arg-type]


def test_seeds_are_urls_and_there_is_at_least_one() -> None:
    assert PagesSpider(seeds="example.org, https://example.com/a").seeds == (
        "https://example.org",
        "https://example.com/a",
    )
    with pytest.raises(UnreadableInput):
        PagesSpider()
    with pytest.raises(MalformedUrl):
        PagesSpider(seeds=["https://exa mple"])


def test_reading_options_opens_no_file_of_the_evidence(tmp_path: Path) -> None:
    _read(OPTOUT_DIR=str(tmp_path / "evidence"))
    assert list(tmp_path.iterdir()) == []
