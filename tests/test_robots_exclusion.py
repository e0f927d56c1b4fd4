"""robots.txt beyond what vectors can say: places, reasons, the policies' switches, the second reader and bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped

from optout import engine
from optout.identity import Identity
from optout.model import TOO_MANY_REDIRECTS, Effect, Exchange, Leniency, Place, Problem
from optout.signals import robots_exclusion
from optout.syntax import robots_txt
from optout.urls import match_target

SUITES = Path(__file__).parents[2] / "shared" / "vectors" / "robots.jsonl"
URL = "https://example.com/robots.txt"


def robots(body=b"", status=200, **how):
    return Exchange(URL, "/robots.txt", status=status, body=body, **how)


def read(body, **how):
    return robots_exclusion.read(robots(body, **how))


def allowed(body, url, token="ExampleBot", policy="literal", **how):
    verdict = engine.decide([robots(body, **how)], url, shipped(policy), Identity(token))
    return verdict.access is Effect.PERMIT


def test_a_rule_knows_where_it_stands_and_how_it_was_written():
    refusal, silence, *_ = read(b"User-agent: *\r\n  disallow: /a # why\r\nAllow: /a/b\r\n").statements
    assert refusal.place == Place("/robots.txt", 2, 15, "Disallow")
    assert refusal.value == "disallow: /a # why"
    assert (refusal.reason, silence.reason) == ("robots.group.disallow", "robots.group.allow")
    assert (refusal.pattern, silence.pattern) == ("/a", "/a/b")
    assert refusal.refuses_access
    assert silence.states == ()


def test_tokens_with_an_empty_group_are_addressed_and_everyone_is_not():
    reading = read(b"User-agent: A\nUser-agent: *\nDisallow: /\n\nUser-agent: B\n")
    assert reading.addressed == {"a", "b"}


def test_a_refusal_by_status_names_the_status():
    (statement,) = read(b"User-agent: *\nAllow: /", status=503).statements
    assert (statement.reason, statement.value) == ("robots.unreachable", "status 503")
    (statement,) = robots_exclusion.read(Exchange(URL, "/robots.txt", error="timeout")).statements
    assert statement.value == "timeout"


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"status": 401}, Leniency.ROBOTS_UNAUTHORISED),
        ({"status": 402}, Leniency.ROBOTS_UNAUTHORISED),
        ({"status": 403}, Leniency.ROBOTS_UNAUTHORISED),
        ({"status": 429}, Leniency.ROBOTS_RATE_LIMITED),
        ({"status": 301}, Leniency.ROBOTS_REDIRECTS),
        ({"status": None, "error": TOO_MANY_REDIRECTS}, Leniency.ROBOTS_REDIRECTS),
    ],
)
def test_a_status_between_letter_and_wish_is_a_switch_of_its_own(how, word):
    (statement,) = read(b"User-agent: *\nAllow: /", **how).statements
    assert statement.leniency is word
    assert statement.refuses_access


def test_what_was_not_consulted_says_nothing():
    assert robots_exclusion.read(Exchange(URL, "/robots.txt")) == robots_exclusion.SILENCE


@pytest.mark.parametrize(("policy", "expected"), [("literal", True), ("conservative", True), ("eu-gpai", False)])
def test_a_locked_file_is_a_refusal_only_where_the_policy_says_so(policy, expected):
    assert allowed(b"", "https://example.com/a", policy=policy, status=403) is expected


def test_a_body_that_was_cut_loses_its_last_line():
    body = b"User-agent: *\nDisallow: /a\nDisallow: /b"
    assert not allowed(body, "https://example.com/bc")
    assert allowed(body, "https://example.com/bc", truncated=True)
    assert not allowed(body + b"\n", "https://example.com/bc", truncated=True)
    assert Problem("robots.truncated", Place("/robots.txt", 1, 0)) in read(body, truncated=True).problems


@pytest.mark.parametrize("body", [b"", b"\n", b"U"])
def test_a_short_body_that_was_cut_is_no_error(body):
    assert read(body, truncated=True).addressed == frozenset()


@pytest.mark.parametrize(
    ("content_range", "refuses"),
    [("bytes 0-22/100", True), ("bytes 5-27/28", True), ("bytes 0-22/*", True), ("bytes 0-22/23", False)],
)
def test_a_part_that_a_server_sends_by_itself_is_no_whole_file(content_range, refuses):
    part = {"status": 206, "headers": (("Content-Range", content_range),)}
    assert allowed(b"User-agent: *\nAllow: /\n", "https://example.com/", policy="eu-gpai", **part) is not refuses


def test_what_a_cut_file_may_still_say_is_not_lifted_by_what_it_said():
    body = b"User-agent: ExampleBot\nAllow: /\n"
    assert allowed(body, "https://example.com/a", truncated=True)
    assert not allowed(body, "https://example.com/a", policy="conservative", truncated=True)
    assert allowed(body, "https://example.com/robots.txt", policy="conservative", truncated=True)


def test_a_file_of_which_a_cut_has_left_nothing_was_cut():
    assert allowed(b"", "https://example.com/a", policy="conservative")
    assert not allowed(b"", "https://example.com/a", policy="conservative", truncated=True)
    endless = b"#" * 3_000_000
    assert not allowed(endless, "https://example.com/a", policy="conservative")
    assert allowed(endless, "https://example.com/a", policy="literal")


def test_a_repaired_rule_on_the_line_of_an_agent_binds_that_agent():
    body = b"User-agent: ExampleBot Disallow: /\nUser-agent: *\nDisallow: /x\n"
    assert not allowed(body, "https://example.com/a", policy="conservative")
    assert allowed(body, "https://example.com/a", token="OtherBot", policy="conservative")


lines = st.one_of(
    st.sampled_from(["*", "ExampleBot", "examplebot/2", "Example", "GPTBot", "", "360Spider"]).map(
        "User-agent: {}".format
    ),
    st.builds(
        "{}:{}{}".format,
        st.sampled_from(["Allow", "Disallow", "DISALLOW"]),
        st.sampled_from([" ", "", "\t"]),
        st.text(st.sampled_from("/ab*$%61#é "), max_size=6),
    ),
    st.sampled_from(["", "Crawl-delay: 1", "# x", "Sitemap: /s", "Content-Signal: search=yes", "junk"]),
)


@given(
    st.lists(lines, max_size=12).map(lambda found: "\n".join(found).encode()),
    st.text(st.sampled_from("/ab%61é$"), max_size=6).map("https://example.com/{}".format),
    st.sampled_from(["ExampleBot", "GPTBot", "360Spider"]),
)
def test_a_literal_policy_decides_as_the_rules_do(body, url, token):
    rule = robots_txt.rule_for(robots_txt.parse(body), token, match_target(url))
    assert allowed(body, url, token) is (rule is None or rule.allow)


def test_the_suites_of_six_parsers_come_out_right(shared):
    """Undisputed cases, and of the disputed ones the strict reading of the RFC."""
    wrong, compared = [], 0
    for row in map(json.loads, SUITES.read_text(encoding="utf-8").splitlines()):
        expected = row.get("verdicts", {}).get("rfc9309_strict") if row.get("disputed") else row["expect"]
        if expected is None or row.get("body_b64") or row["agent_kind"] == "ua-string" or "://" not in row["url"]:
            continue
        compared += 1
        token = row["agent"] or "AnyOtherBot"
        got = "allow" if allowed(row["body"].encode("utf-8", "surrogatepass"), row["url"], token) else "disallow"
        if got != expected:
            wrong.append(f"{row['source']} {row['id']}: {got}")
    assert wrong == []
    assert compared > 850


# The second reader.


def forbids(body, url, token="ExampleBot"):
    return robots_exclusion.second_reader(robots(body), token)(url)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", "\xef\xbb\xbf".encode()])
def test_the_second_reader_reads_past_a_byte_order_mark(mark):
    assert forbids(mark + b"User-agent: *\nDisallow: /a\n", "https://example.com/a")
    assert not forbids(mark + b"User-agent: *\nDisallow: /a\n", "https://example.com/b")


@pytest.mark.parametrize(
    ("body", "url"),
    [
        (b"\xff\xfe\x00", "https://example.com/a"),
        (b"User-agent: *\nDisallow: /\xed\xb3\xbf\n", "https://example.com/\udcff"),
        (b"User-agent: *\nDisallow: /\n", "https://[broken/a"),
        (b"User-agent: *\nDisallow: /%zz\xff\n", "https://example.com/%"),
    ],
)
def test_the_second_reader_never_raises(body, url):
    assert forbids(body, url) in (True, False)


def test_the_second_reader_is_spared_files_that_would_stop_it():
    agents = b"".join(b"User-agent: a%d\n" % number for number in range(2_000))
    rules = b"".join(b"Disallow: /%d\n" % number for number in range(2_000))
    assert not forbids(b"User-agent: *\n" + agents + rules, "https://example.com/1")
    assert not allowed(b"User-agent: *\n" + agents + rules, "https://example.com/1")


@pytest.mark.parametrize(
    "agent", ["User agent: a%d\n", "useragent a%d\n", "User-agent: a%d\x0b", "user-agent: a%d\u2028"]
)
@pytest.mark.parametrize("rule", ["Disallow: /%d\n", "Crawl-delay: %d\n", "x: %d\u2028"])
def test_the_second_reader_is_spared_what_only_it_takes_for_agents_and_rules(agent, rule, monkeypatch):
    monkeypatch.setattr(robots_exclusion.Protego, "parse", lambda _: pytest.fail("Protego was asked"))
    text = "".join(agent % number for number in range(1_500)) + "".join(rule % number for number in range(1_500))
    assert not forbids(text.encode(), "https://example.com/1")


def test_a_dissent_is_recorded_or_obeyed_as_the_policy_says():
    body = b"User-agent: Example\nDisallow: /\n"
    assert allowed(body, "https://example.com/a")
    assert not allowed(body, "https://example.com/a", policy="eu-gpai")


def test_a_file_of_many_agents_and_rules_shares_one_set_of_agents():
    agents = b"".join(b"User-agent: a%d\n" % number for number in range(500))
    rules = b"".join(b"Allow: /%d\n" % number for number in range(500))
    assert len({id(statement.agents) for statement in read(agents + rules).statements}) <= 2
