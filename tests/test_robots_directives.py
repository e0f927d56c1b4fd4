"""Robots directives beyond what vectors can say: places, the policies' switches, images, hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped

from optout import engine
from optout.identity import Identity
from optout.model import EVERYONE, Exchange, Layer, Leniency, Place, Purpose, State, Strength
from optout.signals import robots_directives
from optout.signals.robots_directives import MEANING, is_image, parse_directives

URL = "https://example.com/a"


def read(*headers, body=b"", url=URL, **how):
    return robots_directives.read(Exchange(url, status=200, headers=headers, body=body, **how))


def meta(content, name="robots"):
    return f'<html><head><meta name="{name}" content="{content}"></head></html>'.encode()


def test_a_field_knows_where_it_stands_and_how_it_was_written():
    (statement,) = read(("x-robots-tag", "ExampleBot: NoAI")).statements
    assert statement.place == Place("headers", field="X-Robots-Tag")
    assert statement.value == "ExampleBot: NoAI"
    assert statement.agents == ("examplebot",)
    assert (statement.layer, statement.reason) == (Layer.HEADER, "robots-directives.noai")


def test_an_element_knows_its_byte():
    body = meta("noai")
    (statement,) = read(body=body).statements
    assert statement.place == Place("page", offset=body.index(b"<meta"), field="meta robots")
    assert statement.layer is Layer.PAGE


def test_old_directives_are_stronger_than_young_conventions():
    strengths = {
        statement.reason: statement.strength for statement in read(("X-Robots-Tag", "noai, noindex")).statements
    }
    assert strengths == {
        "robots-directives.noai": Strength.CONVENTION,
        "robots-directives.noindex": Strength.INDUSTRY,
    }


@pytest.mark.parametrize(("directive", "agent"), MEANING)
def test_the_table_of_meanings_is_what_is_read(directive, agent):
    statements = read(("X-Robots-Tag", directive), ("Content-Type", "image/png")).statements
    purposes = {purpose for s in statements if s.agents == (agent,) for purpose, _ in s.states}
    assert purposes == set(MEANING[directive, agent])
    assert all(state is State.RESERVED for s in statements for _, state in s.states)


@pytest.mark.parametrize(("policy", "expected"), [("conservative", State.UNSPECIFIED), ("eu-gpai", State.RESERVED)])
def test_an_element_in_the_body_counts_only_where_the_policy_says_so(policy, expected):
    page = Exchange(URL, status=200, body=b'<body><p>a</p><meta name="robots" content="noai"></body>')
    verdict = engine.decide([page], URL, shipped(policy), Identity("ExampleBot"))
    assert verdict.states[Purpose.AI_TRAIN] is expected


def test_a_weaker_directive_of_a_wider_reading_lifts_nothing():
    body = b'<head><meta name="robots" content="noarchive"></head><body><p>a</p><meta name="robots" content="nocache">'
    letter = [s for s in read(body=body).statements if s.agents == ("bingbot",) and s.leniency is None]
    assert {purpose for s in letter for purpose, _ in s.states} == {Purpose.AI_TRAIN, Purpose.AI_INPUT}


@pytest.mark.parametrize(
    ("url", "kind", "expected"),
    [
        ("https://example.com/a.jpg", None, True),
        ("https://example.com/a.jpg?w=1", None, True),
        ("https://example.com/a.JPEG", "application/octet-stream", True),
        ("https://example.com/a", "image/svg+xml", True),
        ("https://example.com/a.jpg", "text/html", False),
        ("https://example.com/jpg", None, False),
        ("https://example.com/?f=a.jpg", None, False),
        ("https://[broken/a.jpg", None, False),
    ],
)
def test_an_image_is_known_by_type_and_else_by_url(url, kind, expected):
    headers = (("Content-Type", kind),) if kind else ()
    assert is_image(Exchange(url, status=200, headers=headers)) is expected


def test_an_image_is_known_by_where_it_was_redirected_to():
    assert is_image(Exchange(URL, status=200, redirects=("https://cdn.example.com/a.png",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("noai", [(EVERYONE, "noai")]),
        ("a: noai, noindex, b: noml", [("a", "noai"), ("a", "noindex"), ("b", "noml")]),
        ("a: b: noai", [("b", "noai")]),
        ("max-snippet: 50", [(EVERYONE, "max-snippet:50")]),
        ("unavailable_after: 2027-01-01T15:00:00", [(EVERYONE, "unavailable_after:2027-01-01t15:00:00")]),
        ("15:00", [(EVERYONE, "15:00")]),
        ("robots: noai", [(EVERYONE, "noai")]),
        ("*: noai", [(EVERYONE, "noai")]),
        ("", [(EVERYONE, "")]),
    ],
)
def test_agents_scope_what_follows_and_values_scope_nothing(text, expected):
    assert [(agent, name) for agent, name, clean in parse_directives(text) if clean] == expected


@pytest.mark.parametrize(
    ("headers", "leniency"),
    [
        ((("X-Robots-Tag", "noindex noai"),), Leniency.MALFORMED_RESERVATIONS),
        ((("Robots-Tag", "noai"),), Leniency.MALFORMED_RESERVATIONS),
        ((("Robots-Tag", "GPTBot; noai;;"),), Leniency.MALFORMED_RESERVATIONS),
    ],
)
def test_a_wider_reading_is_marked_as_one(headers, leniency):
    assert {statement.leniency for statement in read(*headers).statements} == {leniency}


def test_saying_it_again_adds_nothing():
    many = b"<head>" + b'<meta name="robots" content="noarchive, nocache">' * 2_000 + b"</head>"
    assert len(read(body=many).statements) == 2
    assert len(read(("X-Robots-Tag", "noai, noai"), ("X-Robots-Tag", "NOAI")).statements) == 1
    assert len(read(("X-Robots-Tag", "noai"), body=meta("noai")).statements) == 2, "header and page are two layers"


def test_problems_are_bounded():
    many = b"<head></head><body>" + b'<p><meta name="robots" content="noai">' * 200
    assert len(read(body=many).problems) == robots_directives.MAX_PROBLEMS


def test_a_line_of_many_agents_ends_with_the_last():
    assert read(("X-Robots-Tag", "a:" * 50_000 + "b: noai")).statements[0].agents == ("b",)


def test_a_response_that_never_came_says_nothing():
    assert robots_directives.read(Exchange(URL, error="timeout")) == robots_directives.SILENCE
    assert robots_directives.read(Exchange(URL)) == robots_directives.SILENCE


@given(st.text(max_size=80), st.sampled_from(["X-Robots-Tag", "Robots-Tag"]))
def test_nothing_raises_and_nothing_permits(text, field):
    reading = read((field, text), body=meta(text.replace('"', "")))
    assert all(state is State.RESERVED for s in reading.statements for _, state in s.states)


def test_real_heads(shared):
    """The heads of newspapers that carry noai, some of them late in a long head."""
    found = {}
    for path in sorted((shared / "corpus" / "html_heads").glob("*.html")):
        reading = read(body=path.read_bytes())
        found[path.name.split("__")[0]] = {
            s.reason.split(".")[1] for s in reading.statements if s.agents == (EVERYONE,)
        }
    assert "noai" in found["rollingstone.com"]
    assert "noai" not in found["reuters.com"]
