"""One URL from plan to decision, where the resource is a file and not a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from policies_for_tests import shipped

from optout.acquisition.fetcher import MemoryFetcher
from optout.assess import assess
from optout.identity import Identity
from optout.model import ASSET, Exchange, Purpose, State

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
