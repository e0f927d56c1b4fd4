"""Policy files: what ships is whole, and every fault names file, line and key."""

from __future__ import annotations

from datetime import date

import pytest
from policies_for_tests import FOLDER, shipped, variant

from optout.errors import PolicyError
from optout.model import Effect, Leniency, Purpose, State
from optout.policy import Mode, SecondReading, parse, parse_agents, parse_registry

ALL = ["eu-gpai", "literal", "conservative"]


@pytest.mark.parametrize("name", ALL)
def test_shipped_policies_are_whole(name):
    policy = shipped(name)
    assert policy.name == name
    assert policy.effects[State.RESERVED] is Effect.DENY
    assert all(purpose in policy.considers[purpose] for purpose in Purpose)
    assert len(policy.digest) == len(policy.registry_digest) == 64


def test_the_letter_honours_nothing_beyond_it_and_the_default_everything():
    assert shipped("literal").honour == frozenset()
    assert shipped("eu-gpai").honour == frozenset(Leniency)
    assert shipped("eu-gpai").second_reader is SecondReading.DENY


def test_a_policy_from_before_the_audit_table_reads_as_it_did():
    old = variant("literal", ("[audit]", ""), ("nearest_capture_days = 366", ""))
    assert old.nearest_capture_days == 366
    assert variant("literal", ("nearest_capture_days = 366", "nearest_capture_days = 9")).nearest_capture_days == 9


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("named_agents", "named_agent", "unknown key"),
        ('reserved = "deny"', 'reserved = "perhaps"', "'perhaps' is not a value of"),
        ('layers = "tighten" ', "# layers ", "missing key"),
        ("robots_limit = 2_000_000", "robots_limit = 1_000", "out of range"),
        ("max_age_hours = 24", "max_age_hours = 48", "out of range"),
        ('"agent-lists",', '"agent-list",', "'agent-list' is not a value of"),
        ('ai-train = ["tdm", "ai-train"]', 'ai-train = ["tdm"]', "its own purpose is missing"),
        ('purposes = ["ai-train"]', 'purposes = "ai-train"', "a list is needed"),
        ('purposes = ["ai-train"]', "purposes = []", "no purpose in"),
        ("[crawl]", "[crawling]", "unknown table"),
        ("nearest_capture_days = 366", "nearest_capture_days = -1", "out of range"),
    ],
)
def test_faults_name_the_line_and_the_key(old, new, said):
    text = (FOLDER / "eu-gpai.toml").read_text()
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(PolicyError) as caught:
        variant("eu-gpai", (old, new))
    assert said in str(caught.value)
    assert caught.value.mend
    if said not in {"missing key", "unknown table"} and not old.startswith('"'):
        assert caught.value.place == f"line {line}"


def test_a_syntax_error_names_its_place():
    with pytest.raises(PolicyError, match="line 1"):
        variant("eu-gpai", ("# The default policy", "= broken"))


def test_an_observed_protocol_is_enforced_from_its_day():
    text = b'[x]\nstatus = "draft"\nmode = "observe"\nenforce_from = 2027-01-01\n'
    assert parse_registry(text)["x"].enforce_from == date(2027, 1, 1)
    entry = '[tdmrep]\nstatus = "candidate"\nmode = "observe"\nenforce_from = 2027-01-01\n'
    policy = parse((FOLDER / "literal.toml").read_bytes(), entry.encode(), b"")
    assert policy.in_force(date(2026, 12, 31)).mode("tdmrep") is Mode.OBSERVE
    assert policy.in_force(date(2027, 1, 1)).mode("tdmrep") is Mode.ENFORCE


def test_a_registry_date_must_be_a_date():
    with pytest.raises(PolicyError, match="effective"):
        parse_registry(b'[x]\nstatus = "draft"\nmode = "off"\neffective = "soon"\n')


def test_agents_have_the_purposes_of_their_class_unless_the_table_says_otherwise():
    agents = parse_agents(b'[A]\nclass = "training"\n[B]\nclass = "control-only"\npurposes = ["ai-input"]\n')
    assert agents["a"].purposes == {Purpose.AI_TRAIN}
    assert agents["b"].purposes == {Purpose.AI_INPUT}
    assert agents["b"].never_fetches


def test_a_protocol_that_nobody_registered_is_only_observed():
    assert shipped("eu-gpai").mode("invented") is Mode.OBSERVE
