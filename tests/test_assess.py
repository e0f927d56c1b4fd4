"""One URL from plan to decision, where the resource is a file and not a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from origin_simulator import Answer, Simulator
from policies_for_tests import shipped

from optout.acquisition.client import open_fetcher
from optout.acquisition.fetcher import Limits, MemoryFetcher
from optout.assess import assess
from optout.identity import Identity
from optout.model import ASSET, Availability, Effect, Exchange, Purpose, State

ASSETS = Path(__file__).parent / "assets"
URL = "https://example.com/file"


def found(name: str):
    page = Exchange(URL, status=200, headers=(), body=(ASSETS / name).read_bytes())
    return asyncio.run(assess(URL, shipped("eu-gpai"), Identity("ExampleBot"), MemoryFetcher({URL: page})))


@pytest.mark.parametrize("name", ["pdf_tdm.pdf", "c2pa_all.jpg"])
def test_what_a_file_says_of_itself_counts(name):
    assessment = found(name)
    assert any(exchange.role == ASSET for exchange in assessment.exchanges)
    assert assessment.verdict.states[Purpose.AI_TRAIN] is State.RESERVED


def test_a_file_that_says_nothing_specifies_nothing():
    page = Exchange(URL, status=200, body=b"plain text about nothing")
    verdict = asyncio.run(assess(URL, shipped("eu-gpai"), Identity("ExampleBot"), MemoryFetcher({URL: page}))).verdict
    assert verdict.states[Purpose.AI_TRAIN] is State.UNSPECIFIED


def test_a_locked_pdf_is_unreadable_and_that_is_no_permission():
    assessment = found("pdf_locked.pdf")
    assert assessment.verdict.decision(Purpose.AI_TRAIN).effect == shipped("eu-gpai").unreadable


# A page that redirects to another origin.

RESERVED_JSON = b'[{"location": "/", "tdm-reservation": 1}]'
PERMITTED_JSON = RESERVED_JSON.replace(b"1}", b"0}")


def assessed(url: str, policy: str = "literal"):
    async def run():
        limits = Limits(seconds=5, allow_private=True)
        async with open_fetcher(Identity("ExampleBot"), limits) as fetcher:
            return await assess(url, shipped(policy), Identity("ExampleBot"), fetcher)

    return asyncio.run(run())


@pytest.fixture
def ends():
    with Simulator() as simulator:
        start, end = simulator.origin(), simulator.origin()
        end.page("/copy")
        start.redirect("/page", f"{end.url}/copy")
        yield start, end


def states(verdict) -> str:
    return "".join(verdict.states[purpose].value[0] for purpose in Purpose)


def test_nothing_is_asked_of_an_origin_that_refuses_what_another_redirects_to(ends):
    start, end = ends
    end.put("/robots.txt", Answer(body=b"User-agent: *\nDisallow: /copy\n"))
    verdict = assessed(f"{start.url}/page").verdict
    assert (states(verdict), verdict.access) == ("rrrr", Effect.DENY)
    assert end.asked("/copy") == 0
    (place,) = {signal.place for signal in verdict.signals}
    assert place.resource == f"{end.url}/robots.txt", "the first origin has a robots.txt of its own"


@pytest.mark.parametrize("reserving", [0, 1])
def test_a_reservation_of_either_end_of_a_redirect_holds(ends, reserving):
    ends[reserving].put("/.well-known/tdmrep.json", Answer(body=RESERVED_JSON))
    verdict = assessed(f"{ends[0].url}/page").verdict
    assert states(verdict) == "rrru"
    assert verdict.decision(Purpose.AI_TRAIN).reason == "tdmrep.file.reserved"


@pytest.mark.parametrize(("permitting", "want"), [([0], "uuuu"), ([1], "uuuu"), ([0, 1], "puuu")])
def test_a_permission_takes_both_ends(ends, permitting, want):
    for end in permitting:
        ends[end].put("/.well-known/tdmrep.json", Answer(body=PERMITTED_JSON))
    assert states(assessed(f"{ends[0].url}/page").verdict) == want


def test_the_page_at_the_end_and_what_could_not_be_reached_there_count(ends):
    start, end = ends
    end.page("/copy", "<p>Text</p>", ("tdm-reservation", "1"))
    end.put("/ai.txt", Answer(status=503))
    verdict = assessed(f"{start.url}/page", "conservative").verdict
    assert states(verdict) == "rrru"
    assert verdict.coverage.of("/ai.txt") is Availability.UNAVAILABLE
    assert verdict.coverage.of(f"{end.url}/ai.txt") is Availability.UNREACHABLE


def test_origins_that_redirect_to_each_other_come_to_an_end(ends):
    start, end = ends
    end.redirect("/copy", f"{start.url}/page")
    assert states(assessed(f"{start.url}/page").verdict) == "uuuu"
    assert start.asked("/page") == end.asked("/copy") == 3
