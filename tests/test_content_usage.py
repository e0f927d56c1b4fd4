"""AIPREF preferences beyond what vectors can say: places, reasons, readings, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.model import EVERYONE, Exchange, Layer, Leniency, Place, Purpose, State
from optout.signals import content_usage
from optout.signals.content_usage import LABELS, NEIGHBOURS, RETIRED_LABELS, parse_preference, split_path

TRAIN, INPUT, SEARCH = Purpose.AI_TRAIN, Purpose.AI_INPUT, Purpose.SEARCH


def header(*values, status=200):
    fields = tuple(("Content-Usage", value) for value in values)
    return content_usage.read(Exchange("https://example.com/a", status=status, headers=fields))


def robots(body, **how):
    return content_usage.read(Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=body, **how))


def test_a_rule_knows_where_it_stands_and_how_it_was_written():
    (statement,) = robots(b"User-agent: *\n content-usage: /a/ train-ai=n # why\n").statements
    assert statement.place == Place("/robots.txt", 2, 14, "Content-Usage")
    assert statement.value == "content-usage: /a/ train-ai=n # why"
    assert statement.pattern == "/a/"
    assert statement.agents == {EVERYONE}


def test_what_is_disallowed_and_what_is_allowed_have_reasons_of_their_own():
    refused, granted = header("train-ai=n, search=y").statements
    assert (refused.reason, refused.states) == ("content-usage.disallowed", ((TRAIN, State.RESERVED),))
    assert (granted.reason, granted.states) == ("content-usage.allowed", ((SEARCH, State.PERMITTED),))
    assert refused.layer is Layer.HEADER
    assert refused.place == Place("headers", field="Content-Usage")


def test_a_header_that_states_nothing_is_no_statement_and_a_rule_is_one():
    assert header("foo=n").statements == ()
    (statement,) = robots(b"User-agent: *\nContent-Usage: /a/ foo=n\n").statements
    assert (statement.reason, statement.states) == ("content-usage.unknown", ())


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_header_speaks_whatever_the_status(status):
    assert header("train-ai=n", status=status).statements


def test_tokens_with_a_group_are_addressed_although_it_states_nothing():
    reading = robots(b"User-agent: *\nContent-Usage: train-ai=n\n\nUser-agent: A\nAllow: /\n")
    assert reading.addressed == {"a"}


@pytest.mark.parametrize("label", sorted(RETIRED_LABELS))
def test_every_retired_label_reserves_under_its_own_reading_only(label):
    preference = parse_preference(f"{label}=n")
    assert preference.reserved == ()
    assert preference.meant == tuple((purpose, Leniency.RETIRED_LABELS) for purpose in RETIRED_LABELS[label])


def test_no_label_is_current_and_retired_or_foreign_at_once():
    assert not set(LABELS) & (set(RETIRED_LABELS) | set(NEIGHBOURS))


def test_a_broken_dictionary_may_hold_refusals_of_both_kinds():
    statements = header("Train-AI=n, Bots = no, ai-use=y").statements
    assert {statement.leniency for statement in statements} == {
        Leniency.MALFORMED_RESERVATIONS,
        Leniency.RETIRED_LABELS,
    }


def test_a_list_of_agents_gets_refusals_and_what_hides_them():
    body = b"User-agent: A, B\nContent-Usage: train-ai=n, search=y\nContent-Usage: /x train-ai=y\n"
    listed = [statement for statement in robots(body).statements if statement.leniency is Leniency.AGENT_LISTS]
    assert [statement.states for statement in listed] == [((TRAIN, State.RESERVED),), (), ()]
    assert all(statement.agents == {"b"} for statement in listed)


def test_a_line_that_was_cut_is_not_read():
    body = b"User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a search=n"
    assert len(robots(body).statements) == 2
    assert len(robots(body, truncated=True).statements) == 1


def test_a_file_of_faults_lists_fifty():
    body = b"User-agent: *\n" + b"Content-Usage: Train-AI=n\n" * 200
    assert len(robots(body).problems) == content_usage.MAX_PROBLEMS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("train-ai=n", (None, "train-ai=n")),
        ("/a train-ai=n", ("/a", "train-ai=n")),
        ("/a \t train-ai=n, search=y", ("/a", "train-ai=n, search=y")),
        ("/a", ("/a", "")),
        ("/a\u00a0train-ai=n", ("/a\u00a0train-ai=n", "")),
        ("*.pdf train-ai=n", (None, "*.pdf train-ai=n")),
        ("", (None, "")),
    ],
)
def test_the_path_ends_at_the_first_space_or_tab(value, expected):
    assert split_path(value) == expected


@given(st.text(st.sampled_from("train-ai=nysearch,;?01() \"'*.A"), max_size=40))
def test_what_no_dictionary_says_is_never_a_permission(text):
    preference = parse_preference(text)
    if preference.permitted:
        assert "content-usage.malformed" not in preference.problems
        assert "=y" in text


@given(st.text(max_size=60))
def test_nothing_raises(text):
    parse_preference(text)
    header(text)
    robots(b"User-agent: *\nContent-Usage: " + text.encode())
