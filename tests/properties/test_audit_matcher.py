"""The audit's matcher and its doubts about the second reader mean what the engine's tables and Protego mean."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped
from protego._utils import _quote_path

from optout import engine
from optout.acquisition.history import OriginState
from optout.audit.flat import flatten
from optout.audit.judge import KERNEL, AsOf, Judge, Reading
from optout.audit.matcher import Matcher
from optout.audit.outcomes import outcome_of
from optout.audit.second import their_form
from optout.identity import Identity
from optout.model import Exchange
from optout.syntax.patterns import Pattern, PatternTable
from optout.urls import match_target, normalise_target

_PIECES = st.sampled_from(["/", "a", "b", "ab", "*", "**", "$", "%41", "%3F", "?", "é", "3F", "=", "robots.txt"])
_PATTERNS = st.lists(_PIECES, max_size=5).map(lambda parts: "/" + "".join(parts)) | st.just("*") | st.just("/")
_TABLES = st.lists(st.lists(_PATTERNS, max_size=6), min_size=1, max_size=4)
_TARGETS = st.lists(st.sampled_from(["/", "a", "b", "ab", "?", "=", "%20", "robots.txt"]), max_size=6)


@given(_TABLES, st.lists(_TARGETS, min_size=1, max_size=8))
def test_the_matcher_answers_for_every_table_as_the_table_itself_does(tables, targets):
    patterns = [[Pattern(text) for text in table] for table in tables]
    matcher = Matcher([[pattern.normal for pattern in table] for table in patterns])
    flat = KERNEL and KERNEL.Matcher(flatten(matcher))
    asked = ["/" + "".join(parts) for parts in targets]
    together = matcher.match_lines("\n".join(asked), len(asked))
    for target, number in zip(asked, together, strict=True):
        expected = tuple(PatternTable(table).first(target) for table in patterns)
        assert matcher.keys[matcher.match(target)] == expected
        assert matcher.keys[number] == expected
        if KERNEL is not None:
            assert flat.key(flat.match(target)) == expected


@given(_TABLES)
def test_a_constant_matcher_gives_one_answer_but_for_robots_txt(tables):
    matcher = Matcher([[Pattern(text).normal for text in table] for table in tables])
    if matcher.constant:
        for target in ("/", "/a", "/ab?b", "/%20"):
            assert matcher.match(target) == matcher.widest


class OneOrigin:
    """A store that knows one origin."""

    def __init__(self, exchanges):
        self.exchanges = exchanges

    def state(self, origin, as_of):
        if origin != "https://example.com":
            return None
        return OriginState(self.exchanges, datetime(2026, 1, 1, tzinfo=UTC), None, unchanged=False, content_key="one")


_RULES = st.lists(
    st.tuples(st.sampled_from(["Allow", "Disallow", "disalow"]), _PATTERNS | st.sampled_from(["a", "/a%3Fb", "/*3F"])),
    max_size=6,
)
_GROUPS = st.lists(
    st.tuples(st.sampled_from(["*", "ExampleBot", "GPTBot", "CCBot", "Example"]), _RULES), min_size=1, max_size=3
)
_URLS = st.lists(
    st.lists(
        st.sampled_from(
            ["/", "a", "b", "?", "=", "%3F", "%3f", "%41", "%20", "é", "#", "*", "$", "%E9", "%", " ", "3F"]
        ),
        max_size=5,
    ).map(lambda parts: "https://example.com/" + "".join(parts))
    | st.sampled_from(
        ["https://example.com", "https://example.com/robots.txt", "https://example.com?a", " https://example.com/a\n"]
    ),
    min_size=1,
    max_size=8,
)


# All that a target can hold, at both ends of the order of signs and around what stands for a rule's end.
_SIGNS = st.text(st.sampled_from("!/ab~}$*"), max_size=4)


@given(st.lists(_SIGNS, max_size=6), st.lists(_SIGNS, min_size=1, max_size=8))
def test_the_first_and_the_last_signs_of_ascii_change_no_answer(rules, targets):
    patterns = [Pattern("/" + rule) for rule in rules]
    matcher = Matcher([[pattern.normal for pattern in patterns]])
    asked = [normalise_target("/" + target) for target in targets]
    expected = [PatternTable(patterns).first(target) for target in asked]
    assert [matcher.keys[number] for number in matcher.match_lines("\n".join(asked), len(asked))] == [
        (rank,) for rank in expected
    ]
    assert [matcher.keys[matcher.match(target)] for target in asked] == [(rank,) for rank in expected]


@given(
    st.lists(st.sampled_from(["a", "%3D", "=", "?", "%C3%A9", "é", "%25", "!\"&'()+,:;<>@[\\]^`{|}~-._"]), max_size=6)
)
def test_the_form_of_the_second_reader_is_the_one_that_it_makes(parts):
    url = "https://example.com/" + "".join(parts)
    assert their_form(match_target(url), url) == _quote_path(url).replace("%3D", "=")


@given(_GROUPS, _URLS, st.sampled_from(["eu-gpai", "literal", "conservative"]))
def test_judging_a_column_is_deciding_on_each_url(groups, urls, name):
    text = "\n".join(
        line
        for agent, rules in groups
        for line in (f"User-agent: {agent}", *(f"{kind}: {path}" for kind, path in rules))
    )
    exchanges = (Exchange("https://example.com/robots.txt", "/robots.txt", 200, (), text.encode()),)
    policy, identity = shipped(name), Identity("ExampleBot")
    expected = [outcome_of(engine.decide(exchanges, url, policy, identity), policy) for url in urls]
    for kernel in {None, KERNEL}:
        judge = Judge(OneOrigin(exchanges), [Reading("own", policy, retroactive=False)], identity, AsOf(), kernel)
        for _ in range(2):
            judged = judge.judge(pa.array(urls))
            assert [judge.outcomes.all[number] for number in judged.numbers[0]] == expected


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_flat_form_is_refused_or_harmless(junk, place, byte):
    if KERNEL is None:
        return
    whole = flatten(Matcher([["/a*b", "/c$", "/"], ["/x*y$"]]))
    broken = bytearray(whole)
    broken[place % len(whole)] = byte
    for data in (junk, bytes(broken), whole[: place % len(whole)]):
        with suppress(ValueError):
            matcher = KERNEL.Matcher(data)
            for target in ("/", "/ab", "/c", "/xzy"):
                matcher.key(matcher.match(target))
