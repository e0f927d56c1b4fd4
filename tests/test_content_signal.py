"""Content Signals beyond what vectors can say: places, strength, readings, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.model import EVERYONE, Exchange, Layer, Leniency, Place, Purpose, State, Strength
from optout.signals import content_signal
from optout.signals.content_signal import parse_signals

TRAIN, INPUT, SEARCH = Purpose.AI_TRAIN, Purpose.AI_INPUT, Purpose.SEARCH


def header(*values):
    fields = tuple(("content-signal", value) for value in values)
    return content_signal.read(Exchange("https://example.com/a", status=200, headers=fields))


def robots(body, **how):
    return content_signal.read(Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=body, **how))


def test_a_line_knows_where_it_stands_and_how_it_was_written():
    (statement,) = robots(b"User-agent: *\nContent-signal: /a ai-train=no # why\n").statements
    assert statement.place == Place("/robots.txt", 2, 14, "Content-Signal")
    assert statement.value == "Content-signal: /a ai-train=no # why"
    assert (statement.reason, statement.pattern) == ("content-signal.reserved", "/a")
    assert statement.strength is Strength.INDUSTRY
    assert statement.agents == {EVERYONE}


def test_a_header_is_a_convention_of_the_response_and_never_permits():
    (statement,) = header("ai-train=no, search=yes").statements
    assert (statement.layer, statement.strength) == (Layer.HEADER, Strength.CONVENTION)
    assert statement.states == ((TRAIN, State.RESERVED),)


def test_the_path_of_a_header_limits_nothing():
    (statement,) = header("/elsewhere ai-train=no").statements
    assert statement.pattern is None


def test_each_state_has_a_reason_of_its_own():
    body = b"User-agent: *\nContent-Signal: ai-train=no, search=yes, ai_input=n, use=immediate\n"
    assert [(statement.reason, statement.leniency) for statement in robots(body).statements] == [
        ("content-signal.reserved", None),
        ("content-signal.permitted", None),
        ("content-signal.malformed", Leniency.MALFORMED_RESERVATIONS),
    ]


def test_the_beta_adds_only_what_the_line_does_not_say():
    assert parse_signals("use=immediate").drafted == (TRAIN, SEARCH)
    assert parse_signals("use=immediate, ai-train=no").drafted == (SEARCH,)
    assert parse_signals("use=immediate, ai-train=no, search=yes").drafted == ()
    assert parse_signals("USE = Reference").drafted == (TRAIN,)


def test_tokens_with_a_group_are_addressed_although_it_has_no_line():
    reading = robots(b"User-agent: *\nContent-Signal: ai-train=no\n\nUser-agent: A\nAllow: /\n")
    assert reading.addressed == {"a"}


def test_a_list_of_agents_gets_refusals_only():
    body = b"User-agent: A, B\nContent-Signal: ai-train=no, search=yes\n"
    listed = [statement for statement in robots(body).statements if statement.agents == {"b"}]
    assert [(statement.states, statement.leniency) for statement in listed] == [
        (((TRAIN, State.RESERVED),), Leniency.AGENT_LISTS)
    ]


def test_a_line_that_was_cut_is_not_read():
    body = b"User-agent: *\nContent-Signal: ai-train=no\nContent-Signal: search=no"
    assert len(robots(body).statements) == 2
    assert len(robots(body, truncated=True).statements) == 1


def test_a_file_of_faults_lists_fifty():
    body = b"User-agent: *\n" + b"Content-Signal: ai-train=maybe\n" * 200
    assert len(robots(body).problems) == content_signal.MAX_PROBLEMS


@pytest.mark.parametrize("value", ["ai-train", "ai-train=", "=no", ",", "", "/a", "/a ,", "ai-train==no"])
def test_half_a_pair_states_nothing_by_the_letter(value):
    signals = parse_signals(value)
    assert (signals.reserved, signals.permitted) == ((), ())


@given(st.text(st.sampled_from("ai-train=noyes,searchput/; \t"), max_size=40))
def test_a_purpose_is_in_one_state(text):
    signals = parse_signals(text)
    stated = [*set(signals.reserved), *set(signals.permitted), *set(signals.meant)]
    assert len(stated) == len(set(stated))


@given(st.text(max_size=60))
def test_nothing_raises(text):
    parse_signals(text)
    header(text)
    robots(b"User-agent: *\nContent-Signal: " + text.encode())
