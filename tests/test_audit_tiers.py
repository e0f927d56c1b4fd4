"""Every tier of the audit gives the engine's own answer, whatever a column is made of and whatever is in it."""

import sys
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from policies_for_tests import shipped
from protego import Protego

from optout import engine
from optout.acquisition.history import OriginState
from optout.audit.judge import KERNEL, KERNEL_EDITION, AsOf, Judge, Reading, compiled_tier
from optout.audit.outcomes import MALFORMED, UNKNOWN, outcome_of
from optout.errors import MalformedUrl
from optout.identity import Identity
from optout.model import Effect, Exchange
from optout.urls import origin_of

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
TOKEN = "ExampleBot"
TIERS = [None, KERNEL] if KERNEL is not None else [None]


def test_a_compiled_tier_of_another_edition_is_not_used(monkeypatch):
    for edition, used in ((None, False), (KERNEL_EDITION - 1, False), (KERNEL_EDITION, True)):
        stale = ModuleType("stale")
        if edition is not None:
            stale.EDITION = edition
        monkeypatch.setitem(sys.modules, "stale", stale)
        assert (compiled_tier("stale") is stale) == used
    assert compiled_tier("optout.audit._never_built") is None


class Memory:
    """A store of origins in memory."""

    def __init__(self, robots):
        self.exchanges = {
            origin: (Exchange(f"{origin}/robots.txt", "/robots.txt", 200, (), body),) for origin, body in robots.items()
        }

    def state(self, origin, as_of):
        found = self.exchanges.get(origin)
        seen = datetime(2026, 1, 1, tzinfo=UTC)
        return None if found is None else OriginState(found, seen, None, unchanged=False, content_key=origin)


def judged(store, column, kernel, rounds=2):
    """What rows come to, when all is new and when all is known."""
    readings = [Reading("own", shipped("eu-gpai"), retroactive=False)]
    judge = Judge(store, readings, Identity(TOKEN), AsOf(), kernel)
    found = [judge.judge(column).numbers[0].tolist() for _ in range(rounds)]
    assert all(numbers == found[0] for numbers in found)
    return [judge.outcomes.all[number] for number in found[0]]


RULES = b"User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /*.pdf$\nDisallow: /caf%C3%A9\nDisallow: /%E9\n"
ROBOTS = {"https://example.com": RULES, "http://xn--bcher-kva.example:8080": b"User-agent: *\nDisallow: /\n"}
TEXTS = [
    "https://example.com/a/x", "https://example.com/a/b", "https://example.com/x.pdf", "https://example.com/x.pdf?y",
    "https://example.com/café", "https://example.com/caf%c3%a9", "https://EXAMPLE.com:443/a", "https://example.com?a",
    "https://user@example.com/a#b", " https://example.com/a ", "https://exam\nple.com/a", "http://bücher.example:8080/",
    "example.com/a", "//example.com/a", "https://example.com/" + "y" * 70_000, "https://nowhere.example/", "", "a b",
    "https://example.com/%", "https://example.com/100%25", "https://example.com/a%2", "https://example.com/%2Fa", None,
]  # fmt: skip
OCTETS = [None if text is None else text.encode() for text in TEXTS]
OCTETS += [b"https://example.com/\xe9", b"https://example.com/a\xff", b"\xff", b"https://ex\xe9mple.com/"]


def expected(store, urls):
    """What the engine says, one URL after the other."""
    policy, identity = shipped("eu-gpai"), Identity(TOKEN)
    found = []
    for url in urls:
        try:
            exchanges = store.exchanges[origin_of(url).text]
            found.append(outcome_of(engine.decide(exchanges, url, policy, identity), policy))
        except (KeyError, MalformedUrl, TypeError):
            found.append(None)
    return found


def test_every_row_has_the_answer_of_the_engine_in_every_tier():
    store = Memory(ROBOTS)
    answers = [judged(store, pa.array(TEXTS), kernel) for kernel in TIERS]
    assert all(found == answers[0] for found in answers)
    for text, found, one in zip(TEXTS, answers[0], expected(store, TEXTS), strict=True):
        schemeless = text in ("example.com/a", "//example.com/a")
        if one is None and not schemeless:
            assert found.status in (UNKNOWN, MALFORMED), text
        else:
            assert found == (one or answers[0][0]), text


DOTTED = {
    "/x/../a/y": False, "/a/../z": True, "/a/..": True, "/./a": False, "/%2e%2E/a": False, "/x/%2e./a?/../": False,
    "/z?/../a": True, "/.a": True, "/x/.../a": True, "/x/y/../../a/b": True, "/a-b/./c": False,
    "/long-before-what-is-to-be-found/../a": False, "/z#/../a": True, "/z%20/../a": False, "//../a": False,
}  # fmt: skip
"""Whether paths may be fetched, which clients ask for without their dot segments (WHATWG URL, path state)."""


@pytest.mark.parametrize("kernel", TIERS)
def test_dot_segments_go_around_no_rule(kernel):
    store, urls = Memory(ROBOTS), [f"https://example.com{path}" for path in DOTTED]
    found = judged(store, pa.array(urls), kernel)
    assert found == expected(store, urls)
    assert dict(zip(DOTTED, (one.access is Effect.PERMIT for one in found), strict=True)) == DOTTED


def test_octets_that_are_no_text_have_the_same_answer_in_every_tier():
    store = Memory(ROBOTS)
    answers = [judged(store, pa.array(OCTETS, pa.binary()), kernel) for kernel in TIERS]
    assert all(found == answers[0] for found in answers)
    for kind in (pa.large_binary(), pa.binary_view()):
        assert [judged(store, pa.array(OCTETS, kind), kernel) for kernel in TIERS] == answers
    assert answers[0][: len(TEXTS)] == judged(store, pa.array(TEXTS), None)
    assert [outcome.effect for outcome in answers[0][len(TEXTS) :]] == [Effect.DENY] * 4
    # The first is forbidden by its rule, octet by octet; the second by "/a".
    assert [outcome.reason for outcome in answers[0][len(TEXTS) :]][:2] == ["robots.group.disallow"] * 2


EVERY_OCTET = b"User-agent: *\n" + b"".join(b"Disallow: /d/%%%02X/\n" % octet for octet in range(0, 256, 2))
PLACES = (
    b"https://example.com/d/@/", b"https://example.com/d/@/and-so-on-until-it-is-longer-than-a-few-words/and-then-some",
    b"https://example.com/d/2/@", b"https://example.com/@d/2/", b"@https://example.com/d/2/", b"https://example@.com/d/2/",
    b"https://example.com/d/2@/", b"https://example.com/d/2/what-is-behind-a-rule-counts-for-nothing-unless@it-is-dropped",
)  # fmt: skip


def test_any_octet_anywhere_has_the_answer_of_the_engine_in_every_tier():
    store = Memory({"https://example.com": EVERY_OCTET})
    urls = [place.replace(b"@", bytes([octet])) for octet in range(256) for place in PLACES]
    answers = [judged(store, pa.array(urls, pa.binary()), kernel) for kernel in TIERS]
    told = expected(store, [url.decode("utf-8", "surrogateescape") for url in urls])
    for url, one, *found in zip(urls, told, *answers, strict=True):
        assert all(other == found[0] for other in found), url
        assert found[0].status in (UNKNOWN, MALFORMED) if one is None else found[0] == one, url
    assert {outcome.effect for outcome in answers[0]} >= {Effect.PERMIT, Effect.DENY}


@pytest.mark.parametrize("kernel", TIERS)
@pytest.mark.parametrize("wide", [False, True])
def test_a_column_of_strings_that_are_no_text_is_judged_as_the_octets_it_holds(kernel, wide):
    octets = pa.array(OCTETS, pa.large_binary() if wide else pa.binary())
    strings = pa.Array.from_buffers(pa.large_string() if wide else pa.string(), len(octets), octets.buffers())
    store = Memory(ROBOTS)
    wanted = judged(store, octets, kernel)
    assert judged(store, strings, kernel) == wanted
    assert judged(store, strings.dictionary_encode(), kernel) == wanted
    # A judge goes on as it was after such a column, whichever row of it is the first that is no text.
    judge = Judge(store, [Reading("own", shipped("eu-gpai"), retroactive=False)], Identity(TOKEN), AsOf(), kernel)
    for column in (strings[:3], strings[-4:], strings[3:6], strings[-1:], strings, strings[-3:-1], strings):
        numbers = judge.judge(column).numbers[0].tolist()
        assert [judge.outcomes.all[number] for number in numbers] == judged(store, column, kernel)


@pytest.mark.parametrize("kernel", TIERS)
def test_a_character_that_is_cut_in_two_by_the_end_of_a_row_is_no_character(kernel):
    octets = pa.array([b"https://example.com/caf\xc3", b"\xa9", b"https://example.com/a"], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), len(octets), octets.buffers())
    assert judged(Memory(ROBOTS), strings, kernel) == judged(Memory(ROBOTS), octets, kernel)


@pytest.mark.parametrize("kernel", TIERS)
def test_the_type_of_a_column_and_where_it_is_cut_change_no_answer(kernel):
    store = Memory(ROBOTS)
    whole = pa.array(TEXTS)
    wanted = judged(store, whole, kernel)
    views = whole.cast(pa.string_view())
    for column in (
        whole.cast(pa.large_string()),
        whole.dictionary_encode(),
        views,
        pa.chunked_array([whole[:5], whole[5:]]),
    ):
        assert judged(store, column, kernel) == wanted
    for column in (whole, whole.cast(pa.large_string()), whole.dictionary_encode()):
        assert judged(store, column[3:9], kernel) == wanted[3:9]
    assert judged(store, pa.array(OCTETS, pa.binary())[2:5], kernel) == wanted[2:5]


@pytest.mark.parametrize("kernel", TIERS)
def test_a_url_of_ten_megabytes_is_a_row_that_names_no_origin(kernel):
    column = pa.array(["https://example.com/" + "a" * 10_000_000, "https://example.com/a"])
    assert [outcome.status for outcome in judged(Memory(ROBOTS), column, kernel)] == [MALFORMED, "known"]


@pytest.mark.slow
@pytest.mark.parametrize("kernel", TIERS)
def test_a_column_of_more_than_two_gibibytes_is_judged_to_its_end(kernel):
    # A few long texts many times over, so that the test needs the memory of one column and not of three.
    long = pa.array(["https://example.com/x/" + "y" * 60_000])
    chunks = [long.take(pa.array([0] * 9_000)) for _ in range(4)] + [pa.array(["https://example.com/a"])]
    found = judged(Memory(ROBOTS), pa.chunked_array(chunks), kernel, rounds=1)
    assert len(found) == 36_001
    assert {outcome.access for outcome in found[:-1]} == {Effect.PERMIT}
    assert found[-1].access is Effect.DENY


def compare_with_corpus(step, urls_each):
    """Files of the corpus, each asked about some of its URLs by every tier, the engine's compiled form and Protego."""
    if not CORPUS.is_dir():
        pytest.skip("the acceptance corpus is not beside this checkout")
    bodies = pq.read_table(CORPUS / "robots" / "robots.parquet", columns=["body"])["body"].to_pylist()[::step]
    real = pq.read_table(CORPUS / "urls" / "urls.parquet", columns=["url"])["url"].to_pylist()
    paths = cycle(urlsplit(url)._replace(scheme="", netloc="").geturl() for url in real if "[" not in url)
    policy, identity = shipped("eu-gpai"), Identity(TOKEN)
    for first in range(0, len(bodies), 500):
        some = {f"https://s{number}.example": body for number, body in enumerate(bodies[first : first + 500])}
        store = Memory(some)
        urls = [
            origin + (path if path.startswith("/") else f"/{path}")
            for origin in some
            for path in (*islice(paths, urls_each), "/robots.txt")
        ]
        answers = [judged(store, pa.array(urls), kernel) for kernel in TIERS]
        for at, (origin, body) in enumerate(some.items()):
            compiled = engine.compile(store.exchanges[origin], policy, identity)
            protego = Protego.parse(body.decode("utf-8-sig", "replace"))
            each = urls_each + 1
            for row in range(at * each, at * each + each):
                wanted = outcome_of(compiled.decide(urls[row]), policy)
                assert all(found[row] == wanted for found in answers), urls[row]
                # Ours may be the stricter, in classes that tools/robots_differences.py tells; never the looser.
                assert wanted.access is not Effect.PERMIT or protego.can_fetch(urls[row], TOKEN), urls[row]
            plain = engine.decide(store.exchanges[origin], urls[at * each], policy, identity)
            assert outcome_of(plain, policy) == answers[0][at * each]


def test_a_sample_of_real_files_and_urls_has_one_answer():
    compare_with_corpus(step=137, urls_each=60)


@pytest.mark.slow
def test_all_real_files_and_all_real_urls_have_one_answer():
    compare_with_corpus(step=1, urls_each=20)
