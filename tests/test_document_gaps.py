"""Applicability and gap analysis: each answer follows from facts, and nothing unknown is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from document_samples import FULL_FACTS, a_log, a_policy, kept, observed, refusal, rows

from optout.evidence.report import Report, Step
from policies import facts
from policies.applicability import (
    applicability,
    duties_hold,
    is_general_purpose,
    is_modifier_provider,
    is_systemic,
    open_source,
)
from policies.claims import MEASURES
from policies.copyright_policy import copyright_policy, public_summary
from policies.crawler_page import crawler_page
from policies.document import Missing, Paragraph, Table
from policies.evidence_facts import Record
from policies.facts import Model, Review
from policies.gap_analysis import Status, findings, gap_analysis, overdue, requirements, watched
from policies.output_safeguards import output_safeguards
from policies.training_summary import training_summary

GPAI = Model(training_flop=2e23, generates=("text",), narrow_task=False, base_model="none")


def status(name, found, seen):
    return next(item.status for item in findings(found, seen) if item.requirement.name == name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"training_flop": 1e23}, False),
        ({"training_flop": None}, None),
        ({"generates": None}, None),
        ({"generates": ("other",)}, False),
        ({"generates": ()}, False),
        ({"narrow_task": True}, False),
        ({"narrow_task": None}, None),
        ({"training_flop": 1e20, "generates": None}, False),
    ],
)
def test_general_purpose(changes, expected):
    assert is_general_purpose(replace(GPAI, **changes)) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"base_model": None}, None),
        ({"base_model": "B"}, None),
        ({"base_model": "B", "modification_flop": 1e23, "base_training_flop": 2.9e23}, True),
        ({"base_model": "B", "modification_flop": 1e23, "base_training_flop": 3.1e23}, False),
        ({"base_model": "B", "modification_flop": 1e23, "base_training_flop": 0.0}, None),
    ],
)
def test_one_third_rule(changes, expected):
    model = replace(GPAI, **changes)
    assert is_modifier_provider(model) is expected
    assert duties_hold(model) is (True if changes == {} else expected)


@pytest.mark.parametrize(("flop", "expected"), [(None, None), (1e25, False), (1.1e25, True)])
def test_systemic_risk(flop, expected):
    assert is_systemic(Model(training_flop=flop)) is expected


def test_open_source_needs_every_condition():
    names = ("licence_is_free", "weights_public", "architecture_public", "usage_public")
    free = Model(**dict.fromkeys(names, True), monetised=False)
    assert open_source(free) is True
    assert all(open_source(replace(free, **{name: False})) is False for name in names)
    assert all(open_source(replace(free, **{name: None})) is None for name in names)
    assert open_source(replace(free, monetised=True)) is False
    assert open_source(replace(free, monetised=None)) is None


def answer(model, question):
    document = applicability(replace(facts.parse(b""), models=(model,)), observed())
    table = next(block for block in document.blocks if isinstance(block, Table))
    return next(row[1] for row in table.rows if question in str(row[0]))


def test_dates():
    assert answer(replace(GPAI, placed_on_market=date(2025, 8, 1)), "From when") == "2027-08-02"
    assert answer(replace(GPAI, placed_on_market=date(2025, 8, 2)), "From when") == "2025-08-02"
    assert isinstance(answer(GPAI, "From when"), Missing)
    assert answer(replace(GPAI, placed_on_market=date(2026, 1, 1), narrow_task=True), "From when") == "Never"
    assert answer(replace(GPAI, placed_on_market=date(2026, 1, 1), narrow_task=None), "From when") == "Unknown"


def test_the_exemption_ends_with_a_systemic_risk():
    free = replace(
        GPAI, licence_is_free=True, weights_public=True, architecture_public=True, usage_public=True, monetised=False
    )
    assert answer(free, "exemption") == "Yes"
    assert answer(replace(free, training_flop=2e25), "exemption") == "No"


FREE = {
    "licence_is_free": True, "weights_public": True, "architecture_public": True, "usage_public": True,
    "monetised": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("established", "models", "expected"),
    [
        (True, (GPAI,), "No"),
        (False, (replace(GPAI, **FREE),), "No"),
        (False, (replace(GPAI, **FREE), replace(GPAI, **{**FREE, "monetised": True})), "Yes"),
        (False, (replace(GPAI, **{**FREE, "training_flop": 2e25}),), "Yes"),
        (False, (replace(GPAI, **{**FREE, "training_flop": None}),), "Unknown"),
        (False, (GPAI,), "Unknown"),
        (False, (replace(GPAI, narrow_task=True, monetised=True),), "No"),
        (
            False,
            (replace(GPAI, base_model="B", modification_flop=1e22, base_training_flop=1e24, monetised=True),),
            "No",
        ),
        (False, (replace(GPAI, base_model="B", monetised=True),), "Unknown"),
        (False, (), "Unknown"),
    ],
)
def test_a_representative_is_needed_outside_the_union_but_for_free_models(established, models, expected):
    provider = facts.Provider(established_in_eu=established)
    document = applicability(replace(facts.parse(b""), provider=provider, models=models), observed())
    tables = [block for block in document.blocks if isinstance(block, Table)]
    assert next(row[1] for row in tables[-1].rows if "representative" in str(row[0])) == expected


def test_a_narrow_model_presents_no_systemic_risk_whatever_its_compute():
    assert answer(replace(GPAI, training_flop=2e25), "systemic") == "Yes"
    assert answer(replace(GPAI, training_flop=2e25, narrow_task=True), "systemic") == "No"


def test_systemic_risk_is_presumed_of_no_model_that_may_not_be_general_purpose():
    unsaid = answer(replace(GPAI, training_flop=2e25, narrow_task=None), "systemic")
    assert isinstance(unsaid, Missing)
    assert unsaid.fact == "models[0].narrow_task"


def test_where_no_duty_holds_there_is_nothing_to_be_exempt_from():
    assert answer(replace(GPAI, **FREE, narrow_task=True), "exemption") == "Not applicable"


def test_what_would_answer_whether_a_modifier_has_duties_is_named():
    unsaid = answer(replace(GPAI, base_model="B", base_training_flop=1e24), "policy and a public summary")
    assert isinstance(unsaid, Missing)
    assert unsaid.fact == "models[0].modification_flop"


def test_a_model_of_which_nothing_is_known_has_no_answer():
    document = applicability(replace(facts.parse(b""), models=(Model(),)), observed())
    (table, _) = (block for block in document.blocks if isinstance(block, Table))
    assert all(isinstance(row[1], Missing) for row in table.rows)


ONLY_CRAWLING = {item.name for item in requirements() if item.crawling}


def test_who_declares_that_nothing_is_crawled_is_not_asked_for_what_binds_crawlers():
    found = findings(facts.parse(b"crawlers = []"), observed())
    assert {item.requirement.name for item in found if item.status is Status.NOT_APPLICABLE} == ONLY_CRAWLING
    document = gap_analysis(facts.parse(b"crawlers = []"), observed())
    mends = next(block for block in document.blocks if isinstance(block, Table) and block.caption == "Mends")
    assert ONLY_CRAWLING.isdisjoint(row[0] for row in mends.rows)
    assert ONLY_CRAWLING.isdisjoint(item["id"] for item in document.data["findings"] if item["mend"])


def test_a_log_ends_the_word_that_nothing_is_crawled():
    usual = a_policy()
    found = findings(facts.parse(b"crawlers = []"), observed(a_log(usual, rows(usual))))
    assert Status.NOT_APPLICABLE not in {item.status for item in found}


def test_no_model_is_said_to_be_none():
    document = applicability(facts.parse(b"models = []"), observed())
    assert any("declares no model" in str(block.text) for block in document.blocks if isinstance(block, Paragraph))


@pytest.mark.parametrize("make", [copyright_policy, public_summary, training_summary, crawler_page, output_safeguards])
def test_without_a_crawler_no_document_asks_for_its_log(make):
    asked = {missing.fact for missing in make(facts.parse(b"crawlers = []"), observed()).missing}
    assert asked.isdisjoint({"--evidence", "lists"})
    assert "--evidence" in {missing.fact for missing in make(facts.parse(b""), observed()).missing}


def test_the_log_of_complaints_says_nothing_of_crawlers():
    usual = a_policy()
    complaints = a_log(usual, rows(usual, kind="complaint", policy="", registry="", identity=""), policies={})
    found = findings(facts.parse(b"crawlers = []"), observed(complaints))
    assert {item.requirement.name for item in found if item.status is Status.NOT_APPLICABLE} == ONLY_CRAWLING
    step = Step(1, "step")
    step.fault("segment", "row 1", "it is broken")
    broken = replace(complaints, verification=Report("log", [step]))
    found = findings(facts.parse(b"crawlers = []"), observed(broken))
    assert Status.NOT_APPLICABLE not in {item.status for item in found}


def test_a_policy_beside_a_log_asks_why_no_crawler_is_declared():
    usual = a_policy()
    document = copyright_policy(facts.parse(b"crawlers = []"), observed(a_log(usual, rows(usual))))
    assert any(one.fact == "crawlers" and "which one is true" in one.ask for one in document.missing)


def test_of_nothing_everything_is_not_evidenced():
    assert {item.status for item in findings(facts.parse(b""), observed())} == {Status.NOT_EVIDENCED}


def full():
    usual = a_policy()
    refused = refusal(usual, "http.access-refused")
    lost = refusal(usual, "robots.unreachable", coverage={"/robots.txt": "unreachable"})
    return usual, (rows(usual), refused, lost, kept(usual))


def test_a_requirement_is_met_by_claims_and_facts():
    usual, groups = full()
    seen, given = observed(a_log(usual, *groups)), facts.parse(FULL_FACTS.encode())
    assert status("CC-1-2a", given, seen) is Status.MET
    assert status("CC-1-3-1a", given, seen) is Status.MET
    assert status("AIA-53-1c", given, seen) is Status.MET
    assert status("AIA-53-1c", facts.parse(b""), seen) is Status.PARTLY
    assert status("CC-1-1b", given, observed()) is Status.MET


def test_a_declaration_alone_never_meets():
    given = facts.parse(FULL_FACTS.encode())
    assert status("CC-1-4a", given, observed()) is Status.PARTLY
    assert status("CC-1-5b", given, observed()) is Status.PARTLY


def test_what_the_log_contradicts_or_lacks_is_not_met():
    usual, groups = full()
    seen = observed(a_log(usual, *groups, rows(usual, coverage={})))
    assert status("CC-1-3-1a", facts.parse(b""), seen) is Status.NOT_MET
    assert status("CC-1-2b", facts.parse(b""), seen) is Status.NOT_MET


def test_one_log_of_two_is_not_enough():
    usual, groups = full()
    good, bad = a_log(usual, *groups), a_log(usual, rows(usual, coverage={}), origin="evidence.invalid/second")
    assert status("CC-1-3-1a", facts.parse(b""), observed(good)) is Status.MET
    assert status("CC-1-3-1a", facts.parse(b""), observed(good, bad)) is Status.NOT_MET


def test_requirements_are_complete_and_name_what_exists():
    found = requirements()
    assert len({item.name for item in found}) == len(found)
    blank = facts.parse(b"")
    for item in found:
        assert all((item.title, item.source, item.control, item.evidence, item.mend)), item.name
        for name in item.claims:
            assert name in MEASURES or name.startswith("protocol."), name
        for key in (*item.facts, *item.declared):
            blank.get(key.partition("[].")[0])
    text = " ".join(item.source for item in found)
    for source in ("Measure 1.1", "Measure 1.2", "Measure 1.3", "Measure 1.4", "Measure 1.5", "Art. 53(1)(c)",
                   "Art. 53(1)(d)", "Art. 53(2)", "Art. 51", "Art. 52", "Art. 101", "Art. 3", "Art. 4(2)", "Art. 7",
                   "2016/679", "2023/2854"):  # fmt: skip
        assert source in text


def test_the_watch_list_warns():
    assert overdue(date(2026, 11, 23)) == ()
    assert [item.name for item in overdue(date(2026, 12, 18))] == ["bgh"]
    assert len(overdue(date(2030, 1, 1))) == len(watched())


def test_who_has_not_signed_compares():
    given = facts.parse(FULL_FACTS.replace("signatory = true", "signatory = false").encode())
    assert "has not signed" in gap_analysis(given, observed()).blocks[0].text
    assert "has signed" in gap_analysis(facts.parse(FULL_FACTS.encode()), observed()).blocks[0].text


def test_a_version_on_record_counts_and_names_its_digest():
    usual, groups = full()
    given = facts.parse(FULL_FACTS.encode())
    without = a_log(usual, *groups)
    record = Record("copyright-policy", "e" * 64, datetime(2026, 11, 2, tzinfo=UTC))
    held = replace(without, records=(record,))
    assert status("CC-1-1a", given, observed(without)) is Status.PARTLY
    assert status("CC-1-1a", given, observed(held)) is Status.MET
    finding = next(item for item in findings(given, observed(held)) if item.requirement.name == "CC-1-1a")
    assert any("e" * 64 in source.place for source in finding.sources)


def test_rows_of_the_register_show_that_complaints_are_handled():
    usual, groups = full()
    given = facts.parse(FULL_FACTS.encode())
    steps = rows(usual, kind="complaint", stage="", effect="", reason="", count=2)
    register = a_log(usual, steps, origin="evidence.invalid/complaints")
    both = observed(a_log(usual, *groups), register)
    reasons = next(item.reasons for item in findings(given, both) if item.requirement.name == "CC-1-5b")
    assert "rows of the kind complaint: 2" in reasons
    # The number of days stays the provider's word, so more than partly it cannot be.
    assert status("CC-1-5b", given, both) is Status.PARTLY


def test_a_policy_that_takes_silence_of_the_broken_for_consent_is_not_cautious():
    usual, groups = full()
    lax = a_policy(('unreadable = "deny"', 'unreadable = "permit"'))
    assert status("CC-1-3-precedence", facts.parse(b""), observed(a_log(usual, *groups))) is Status.MET
    assert status("CC-1-3-precedence", facts.parse(b""), observed(a_log(lax, rows(lax)))) is Status.NOT_MET


def test_a_review_ends_a_warning_only_when_it_came_after_the_day():
    late = date(2026, 12, 20)
    assert [item.name for item in overdue(late)] == ["bgh"]
    assert overdue(late, (Review("bgh", date(2026, 12, 18), "no change"),)) == ()
    assert len(overdue(late, (Review("bgh", date(2026, 12, 1), "too early"),))) == 1
    assert len(overdue(late, (Review("bgh", date(2027, 1, 1), "not yet done"),))) == 1
    given = facts.parse(b'[[reviews]]\nwatch = "novel"\non = 2026-12-18\noutcome = "x"\n')
    assert any(missing.fact == "reviews[0].watch" for missing in gap_analysis(given, observed()).missing)


@pytest.mark.parametrize(
    "control",
    [
        "CC-1-1a", "CC-1-1b", "CC-1-1c", "CC-1-2a", "CC-1-2b", "CC-1-3-1a", "CC-1-3-1a-successors", "CC-1-3-1b",
        "CC-1-3-1b-registry", "CC-1-3-precedence", "CC-1-3-prose", "CC-1-3-scope", "CC-1-3-2", "CC-1-3-3", "CC-1-3-4",
        "CC-1-3-5", "CC-1-4a", "CC-1-4b", "CC-1-4b-notice", "CC-1-5a", "CC-1-5b", "AIA-51", "AIA-52", "AIA-53-1c",
        "AIA-53-1d", "AIA-53-2", "AIA-101", "DS-3", "DS-4", "DS-4-1", "DS-4-2", "DS-4-3", "DS-7", "OP-time",
        "OP-mirror", "OP-integrity", "OP-truth", "OP-watch", "TS-1-3", "TS-2-1", "TS-2-3", "TS-2-3-domains", "TS-3-1",
        "TS-updates", "GDPR-6", "GDPR-13-14", "GDPR-30", "DATA-ACT",
    ],
)  # fmt: skip
def test_no_control_is_lost(control):
    assert control in {item.name for item in requirements()}


def test_what_is_not_met_is_to_be_done_first():
    usual, groups = full()
    tables = gap_analysis(facts.parse(FULL_FACTS.encode()), observed(a_log(usual, *groups))).tables
    order = [row[1] for row in tables["mends"].rows]
    assert order == sorted(order, key=[Status.NOT_MET, Status.PARTLY, Status.NOT_EVIDENCED].index)
    counted = {row[0]: row[2] for row in tables["counts"].rows}
    assert sum(counted.values()) == len(requirements())
    assert len(order) == len(requirements()) - counted[Status.MET]
