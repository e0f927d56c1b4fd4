"""Facts: every gap named, every fault with its place, and an interview that writes what can be read."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import pytest
from document_samples import FULL_FACTS

from policies import facts
from policies.copyright_policy import copyright_policy
from policies.document import Fields, Missing
from policies.evidence_facts import Observed
from policies.interview import interview


def test_of_an_empty_file_everything_is_missing():
    empty = facts.parse(b"")
    named = {missing.fact for missing in empty.missing}
    assert {"provider.name", "models", "crawlers", "datasets", "owners.measure_1_3", "policy.effective"} <= named
    assert isinstance(empty.get("provider.name"), Missing)
    assert all(missing.ask for missing in empty.missing)


def test_a_full_file_lacks_nothing():
    assert facts.parse(FULL_FACTS.encode()).missing == ()


@pytest.mark.parametrize("line", [line for line in FULL_FACTS.splitlines() if "=" in line])
def test_each_line_left_out_is_named(line):
    key = line.split(" ")[0]
    left = facts.parse(FULL_FACTS.replace(f"\n{line}\n", "\n", 1).encode()).missing
    assert [missing.fact.rpartition(".")[2] for missing in left] == [key]


def test_none_is_an_answer_and_silence_is_not():
    assert facts.parse(b"crawlers = []").crawlers == ()
    assert facts.parse(b"").crawlers is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("colour = 1", "colour"),
        ("[provider]\nnam = 'x'", "provider.nam"),
        ("[provider]\nname = ''", "provider.name"),
        ("[provider]\nname = 3", "provider.name"),
        ("[provider]\nsme = 'yes'", "provider.sme"),
        ("provider = 3", "provider"),
        ("models = 3", "models"),
        ("[[models]]\nplaced_on_market = '2026-01-01'", "models[0].placed_on_market"),
        ("[[models]]\nplaced_on_market = 2026-01-01T00:00:00Z", "models[0].placed_on_market"),
        ("[[models]]\ntraining_flop = -1", "models[0].training_flop"),
        ("[[models]]\ntraining_flop = nan", "models[0].training_flop"),
        ("[[models]]\ntraining_flop = inf", "models[0].training_flop"),
        ("[[models]]\ntraining_flop = true", "models[0].training_flop"),
        ("[[models]]\n[[models]]\ngenerates = ['smell']", "models[1].generates"),
        ("[[models]]\nlatest_acquisition = '13/2026'", "models[0].latest_acquisition"),
        ("[[datasets]]\nkind = 'stolen'", "datasets[0].kind"),
        ("[[datasets]]\nretention_days = 1.5", "datasets[0].retention_days"),
    ],
)
def test_a_fault_has_its_place_and_a_mend(text, place):
    with pytest.raises(facts.FactsError) as caught:
        facts.parse(text.encode())
    assert caught.value.place == place
    assert caught.value.mend


@pytest.mark.parametrize("data", [b"\xff", b"[provider", b"a = "])
def test_what_is_no_toml_is_refused(data):
    with pytest.raises(facts.FactsError):
        facts.parse(data)


def test_a_missing_file_is_an_error_with_a_mend(tmp_path):
    with pytest.raises(facts.FactsError, match="document init"):
        facts.read(tmp_path / "provider.toml")


def test_an_interview_without_answers_gives_an_empty_file():
    text = interview(lambda _: "", lambda _: None)
    assert facts.parse(text.encode()).missing == facts.parse(b"").missing


def answer(question):
    """A proper answer to any question of the form."""
    kinds = (
        facts.Provider, facts.Model, facts.Crawler, facts.Dataset, facts.Contact, facts.Owners, facts.Change,
        facts.PolicyFacts, facts.SummaryFacts, facts.Declarations, facts.Review,
    )  # fmt: skip
    if "How many (0 for none)?" in question:
        return "2"
    (how,) = {
        item.metadata["parse"].__name__ for kind in kinds for item in fields(kind)
        if item.metadata["ask"] == question
    }  # fmt: skip
    return {
        "_text": 'a "quoted"\x7f = [text]', "_flag": "yes", "_day": "2026-11-01", "_number": "3e24", "_whole": "7",
        "_words": "English, French", "_modalities": "text, image", "_month": "10/2026", "_kind": "public",
        "_basis": "art-4", "_contents": "web pages",
    }[how]  # fmt: skip


def test_an_interview_with_every_answer_lacks_nothing():
    text = interview(answer, lambda _: None)
    found = facts.parse(text.encode())
    assert found.missing == ()
    assert found.provider.name == 'a "quoted"\x7f = [text]'
    assert found.models is not None
    assert [model.languages for model in found.models] == [("English", "French")] * 2
    assert found.policy.changes is not None


def test_an_interview_gives_up_on_answers_that_cannot_stand():
    told = []
    text = interview(lambda question: "7 of them" if "How many" in question or "SME" in question else "", told.append)
    assert len(told) > 1
    assert facts.parse(text.encode()).models is None


def test_a_mark_of_byte_order_before_the_facts_is_none_of_them():
    assert facts.parse(b'\xef\xbb\xbf[provider]\nname = "A"\n').provider.name == "A"


def test_a_time_where_a_day_belongs_is_shown_as_it_was_written():
    with pytest.raises(facts.FactsError, match=r"2026-11-01T00:00:00\+00:00 cannot stand in"):
        facts.parse(b"[policy]\neffective = 2026-11-01T00:00:00Z\n")


@pytest.mark.parametrize(("days", "said"), [(0, "0 days"), (1, "1 day"), (14, "14 days")])
def test_days_are_counted_in_words(days, said):
    document = copyright_policy(facts.parse(f"[contact]\nanswer_days = {days}\n".encode()), Observed())
    assert said in [value for block in document.blocks if isinstance(block, Fields) for _, value in block.rows]


def test_what_is_said_of_the_past_and_lies_ahead_is_named():
    said = facts.parse(
        b'[summary]\nupdated = 2026-12-01\n[[models]]\nlatest_acquisition = "11/2026"\n'
        b'[[models]]\nlatest_acquisition = "01/2027"\n'
    )
    late = [key for key, _ in facts.ahead_of(said, date(2026, 11, 30))]
    assert late == ["summary.updated", "models[1].latest_acquisition"]
    assert not list(facts.ahead_of(said, date(2027, 1, 1)))
