"""ai.txt beyond what vectors can say: places, offers, limits, and every real file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.model import Exchange, Leniency, Place, Purpose, State
from optout.signals import ai_txt
from optout.syntax import key_lines, robots_blocks, robots_txt
from optout.syntax.objection import objects_to_mining

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "ai_txt"
POLICY = "Spec-Version: 1.0\nSite-Name: X\n"


def read(body, role=ai_txt.RULES_FILE, status=200):
    data = body if isinstance(body, bytes) else body.encode()
    return ai_txt.read(Exchange(f"https://example.com{role}", role, status=status, body=data))


def policy(body):
    return read(POLICY + body, ai_txt.POLICY_FILE)


def test_a_rule_knows_where_it_stands():
    literal, wider = read("User-Agent: *\n\nDisallow: /a # all of it\n").statements
    assert literal.place == wider.place == Place("/ai.txt", 3, 15, "Disallow")
    assert (literal.leniency, wider.leniency) == (None, Leniency.WIDER_PURPOSES)
    assert literal.pattern == "/a"


def test_a_fee_is_an_offer():
    reading = policy("Training: conditional\nTraining-Fee: https://example.com/fee\nTraining-License: CC-BY-4.0\n")
    (statement,) = reading.statements
    assert statement.conditions == (("training-fee", "https://example.com/fee"), ("training-license", "CC-BY-4.0"))
    assert policy("Training: deny\nTraining-Fee: https://example.com/fee\n").statements[0].conditions == ()


def test_agents_with_a_block_are_addressed():
    reading = policy("Training: deny\nAgent: GPTBot/1.1 (ours)\n  Training: allow\n\n  Indexing: deny\nAgent: *\n")
    assert reading.addressed == {"gptbot"}
    assert [s.reason for s in reading.statements if "gptbot" in s.agents] == [
        "ai-txt.policy.allow",
        "ai-txt.policy.deny",
    ]


@pytest.mark.parametrize("status", [None, 403, 404, 503])
def test_what_did_not_arrive_says_nothing(status):
    assert not read("User-agent: *\nDisallow: /", status=status).statements


def test_a_refusal_behind_the_limit_is_not_cut_in_half():
    padding = "# " + "x" * 98 + "\n"
    body = padding * (ai_txt.MAX_BYTES // 101) + "Training: deny-nothing-at-all\n" * 40
    assert not read(body).statements


def test_many_faulty_lines_do_not_fill_the_report():
    assert len(read("Training: no\n" * 5000).problems) == 50


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("I object to scraping for AI training.", True),
        ("You are *not* permitted to train on it.", True),
        ("Keine Nutzung für Text und Data Mining; alle Rechte vorbehalten.", True),
        ("L’exploration est interdite sans autorisation.", True),
        ("Training of models without prior written consent", True),
        ("We do not object to training.", False),
        ("Nous ne faisons pas opposition à la fouille.", False),
        ("All rights reserved.", False),
        ("We train apprentices.", False),
        ("x" * 5000 + " no training permitted: forbidden", False),
    ],
)
def test_sentences_that_object(text, objects):
    assert objects_to_mining(text) is objects


def test_key_lines_keep_blocks_and_looseness():
    text = b"A: 1\nAgent: x\n\n  b_c: 2 # note\n\tD: 3\nE: 4\nAgent: y\nF: 5\n- 'g h': 6#7\nno colon\n"
    found = [(f.name, f.value, f.block, f.loose) for f in key_lines.cut(text, 1000, "agent")]
    assert found == [
        ("a", "1", None, False),
        ("agent", "x", "x", False),
        ("b-c", "2", "x", False),
        ("d", "3", "x", False),
        ("e", "4", None, False),
        ("agent", "y", "y", False),
        ("f", "5", None, True),
        ("g-h", "6#7", None, True),
    ]


def test_records_at_the_foot_stand_apart_from_their_group():
    one = b"User-agent: a\nX: in\nDisallow: /\n# note\nX: in\n\nX: out\nX: out\n"
    body = one + b"User-agent: b\nSitemap: /s\nX: out\n\nX: out\n"
    file = robots_txt.parse(body)
    records = {record.line: record.value for record in file.records if record.field == "x"}
    apart = robots_blocks.set_apart(file, body)
    assert {line for line, value in records.items() if value == "out"} == apart & set(records)


def test_a_record_before_a_rule_of_its_group_never_stands_apart():
    body = b"User-agent: a\n\nX: in\n\nDisallow: /\n"
    assert robots_blocks.set_apart(robots_txt.parse(body), body) == frozenset()


LINES = """User-agent: *|User-agent: GPTBot|Disallow: /|Allow: /a|Training: |deny|allow|conditional|Spec-Version: 1.0\
|Agent: *|  |\n|\n\n|Training-Allow: /|Training-Deny: /b*|: no|#|x: """
words = st.sampled_from(LINES.split("|"))


@given(st.binary(max_size=150) | st.lists(words, max_size=25).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_are_data_and_only_the_letter_of_the_draft_permits(body):
    for role in (ai_txt.RULES_FILE, ai_txt.POLICY_FILE):
        for statement in read(body, role).statements:
            permits = any(state is State.PERMITTED for _, state in statement.states)
            assert not permits or (role == ai_txt.POLICY_FILE and statement.leniency is None)
            assert all(purpose is not Purpose.SEARCH for purpose, _ in statement.states)
            assert not statement.refuses_access


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real files is not here")
def test_every_real_file_is_read_and_none_permits():
    readings = [
        read(path.read_bytes(), role) for path in sorted(CORPUS.glob("*")) for role in ai_txt.PROTOCOL.well_known
    ]
    assert len(readings) == 2 * 52
    states = {state for reading in readings for statement in reading.statements for _, state in statement.states}
    assert states == {State.RESERVED, State.UNSPECIFIED}
    letter = [r for r in readings[::2] if any(s.reason == "ai-txt.disallow" and not s.leniency for s in r.statements)]
    meant = [r for r in readings[::2] if any(s.leniency is Leniency.MALFORMED_RESERVATIONS for s in r.statements)]
    prose = [r for r in readings[::2] if any(s.advisory for s in r.statements)]
    assert (len(letter), len(meant), len(prose)) == (12, 10, 3)
    assert all(reading.statements or reading.problems for reading in readings), "nothing is left out in silence"
