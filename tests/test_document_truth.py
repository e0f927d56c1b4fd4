"""Every sentence about behaviour changes or vanishes with the configuration or the log."""

from __future__ import annotations

import pytest
from document_samples import IDENTITY, LOOKED, a_log, a_policy, kept, observed, refusal, rows

from optout.evidence.report import Report, Step
from policies import facts
from policies.claims import MEASURES, RULES, Standing, claims
from policies.copyright_policy import copyright_policy, public_summary
from policies.document import SourceKind
from policies.render import markdown

LIST = ({"name": "court-list", "kind": "infringing", "issuer": "a court", "basis": "a ruling", "as_of": "2026-11-01"},)


def standing(log, name):
    found = [claim for claim in claims(observed(log)) if claim.name == name]
    return found[0].standing if found else None


def text(log, name):
    (found,) = (claim for claim in claims(observed(log)) if claim.name == name)
    return found.text


def off(protocol):
    """The registry with one protocol only observed."""
    return a_policy(("[crawl]", f'[protocols]\n{protocol} = "observe"\n\n[crawl]'))


def test_robots_followed_needs_enforcement():
    usual, without = a_policy(), off("robots-exclusion")
    assert standing(a_log(usual, rows(usual)), "robots.followed") is Standing.SHOWN
    assert standing(a_log(without, rows(without)), "robots.followed") is None


@pytest.mark.parametrize("coverage", [{}, {"/robots.txt": "not-consulted"}])
def test_robots_followed_turns_into_a_fault_when_one_decision_was_made_without_it(coverage):
    usual = a_policy()
    log = a_log(usual, rows(usual), rows(usual, coverage=coverage, count=1))
    assert standing(log, "robots.followed") is Standing.CONTRADICTED
    assert text(log, "robots.followed").startswith("1 decisions")


def test_of_a_listed_site_robots_is_not_asked():
    usual = a_policy()
    log = a_log(usual, rows(usual), refusal(usual, "list.infringing", coverage={}), lists=LIST)
    assert standing(log, "robots.followed") is Standing.SHOWN


def test_robots_refusals_are_counted():
    usual = a_policy()
    assert "3" in text(a_log(usual, refusal(usual, "robots.group.disallow")), "robots.refused")
    assert "8" in text(a_log(usual, refusal(usual, "robots.group.disallow", count=8)), "robots.refused")
    assert standing(a_log(usual, rows(usual)), "robots.refused") is None
    assert standing(a_log(usual, refusal(usual, "robots-directives.noai")), "robots.refused") is None


def test_unreachable_robots():
    usual = a_policy()
    lost = {**LOOKED, "/robots.txt": "unreachable"}
    shown = a_log(usual, refusal(usual, "robots.unreachable", coverage=lost))
    assert standing(shown, "robots.unreachable") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual)), "robots.unreachable") is Standing.CONFIGURED
    assert standing(a_log(usual, rows(usual, coverage=lost)), "robots.unreachable") is Standing.CONTRADICTED
    fetched = refusal(usual, "robots.unreachable", coverage=lost, fetched=True)
    assert standing(a_log(usual, fetched), "robots.unreachable") is Standing.CONTRADICTED
    without = off("robots-exclusion")
    assert standing(a_log(without, rows(without)), "robots.unreachable") is None


def test_what_was_refused_was_not_fetched():
    usual = a_policy()
    refused = refusal(usual, "tdmrep.file.reserved")
    assert standing(a_log(usual, refused), "access.not-fetched") is Standing.SHOWN
    fetched = refusal(usual, "tdmrep.file.reserved", fetched=True)
    assert standing(a_log(usual, fetched), "access.not-fetched") is Standing.CONTRADICTED
    assert standing(a_log(usual, rows(usual)), "access.not-fetched") is None


def test_refused_access_is_final():
    usual = a_policy()
    refused = refusal(usual, "http.access-refused", stage="headers")
    assert standing(a_log(usual, refused), "access.final") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual)), "access.final") is Standing.CONFIGURED
    permitted = rows(usual, reason="http.access-refused")
    assert standing(a_log(usual, permitted), "access.final") is Standing.CONTRADICTED
    without = off("http-access")
    assert standing(a_log(without, rows(without)), "access.final") is None


def test_kept_pages_were_permitted():
    usual = a_policy()
    log = a_log(usual, rows(usual), kept(usual))
    assert standing(log, "kept.permitted") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual)), "kept.permitted") is None
    worse = a_log(usual, rows(usual), kept(usual), kept_without_permission=2)
    assert standing(worse, "kept.permitted") is Standing.CONTRADICTED


def test_identity():
    usual = a_policy()
    assert standing(a_log(usual, rows(usual)), "identity.open") is Standing.SHOWN
    posing = {IDENTITY: {"product_token": "ExampleBot", "user_agent": "Mozilla/5.0 Chrome/120"}}
    assert standing(a_log(usual, rows(usual), identities=posing), "identity.open") is Standing.CONTRADICTED
    assert standing(a_log(usual, rows(usual), identities={}), "identity.open") is None


def test_lists():
    usual = a_policy()
    hit = refusal(usual, "list.infringing")
    assert standing(a_log(usual, rows(usual), hit, lists=LIST), "lists.excluded") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual), lists=LIST), "lists.excluded") is Standing.CONFIGURED
    assert standing(a_log(usual, rows(usual), hit), "lists.excluded") is None
    fetched = refusal(usual, "list.infringing", fetched=True)
    assert standing(a_log(usual, fetched, lists=LIST), "lists.excluded") is Standing.CONTRADICTED
    without = off("blocklist")
    assert standing(a_log(without, rows(without), lists=LIST), "lists.excluded") is None


def test_protocols():
    usual, without = a_policy(), off("tdmrep")
    named = frozenset({"tdmrep"})
    shown = a_log(usual, refusal(usual, "tdmrep.file.reserved", protocols=named))
    assert standing(shown, "protocol.tdmrep") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual)), "protocol.tdmrep") is Standing.CONFIGURED
    observed_only = a_log(without, refusal(without, "tdmrep.file.reserved", protocols=named))
    assert standing(observed_only, "protocol.tdmrep") is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("precedence", 'layers = "tighten"', 'layers = "supersede"'),
        ("second-reader", 'second_reader = "deny"', 'second_reader = "record"'),
        ("purposes", 'purposes = ["ai-train"]', 'purposes = ["search"]'),
    ],
)
def test_a_setting_carries_its_sentence(name, old, new):
    usual, other = a_policy(), a_policy((old, new))
    assert standing(a_log(usual, rows(usual)), name) is Standing.SHOWN
    assert standing(a_log(other, rows(other)), name) is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("other-agents", 'named_agents = "report"', 'named_agents = "reserve"'),
        ("prose", 'prose = "advisory"', 'prose = "reserve"'),
        ("reuse", "max_age_hours = 24", "max_age_hours = 6"),
        ("unclear.cautious", 'unreachable = "review"', 'unreachable = "deny"'),
    ],
)
def test_a_setting_changes_its_sentence(name, old, new):
    usual, other = a_policy(), a_policy((old, new))
    assert text(a_log(usual, rows(usual)), name) != text(a_log(other, rows(other)), name)


@pytest.mark.parametrize("name", ["precedence", "second-reader", "purposes", "other-agents"])
def test_without_decisions_made_again_a_setting_is_only_configured(name):
    usual = a_policy()
    unchecked = Report("log", [Step(12, "replay")])
    log = a_log(usual, rows(usual), verification=unchecked)
    assert standing(log, name) is Standing.CONFIGURED
    assert standing(log, "repeatable") is None
    assert standing(a_log(usual, rows(usual)), "repeatable") is Standing.SHOWN


def test_a_setting_must_hold_under_every_policy_in_force():
    usual, other = a_policy(), a_policy(('layers = "tighten"', 'layers = "supersede"'))
    both = {(one.digest, one.registry_digest): one for one in (usual, other)}
    assert standing(a_log(usual, rows(usual), rows(other), policies=both), "precedence") is None


def test_what_is_unclear_is_consent_only_where_the_policy_says_so():
    usual, lax = a_policy(), a_policy(('unreadable = "deny"', 'unreadable = "permit"'))
    assert standing(a_log(usual, rows(usual)), "unclear.cautious") is Standing.SHOWN
    assert standing(a_log(usual, rows(usual)), "unclear") is None
    assert standing(a_log(lax, rows(lax)), "unclear.cautious") is None
    assert "not taken for consent" not in text(a_log(lax, rows(lax)), "unclear")
    unchecked = a_log(lax, rows(lax), verification=Report("log", [Step(12, "replay")]))
    assert standing(unchecked, "unclear") is Standing.CONFIGURED


def test_a_permission_without_a_look_at_every_file_ends_the_word_that_nothing_unclear_is_consent():
    usual = a_policy()
    unseen = {"/robots.txt": "retrieved", "/.well-known/tdmrep.json": "not-consulted"}
    denied = rows(usual, effect="deny", coverage=unseen)
    assert standing(a_log(usual, rows(usual), denied), "unclear.cautious") is Standing.SHOWN
    log = a_log(usual, rows(usual), rows(usual, coverage=unseen, count=4))
    assert standing(log, "unclear.cautious") is None
    assert text(log, "unclear").endswith("Permissions on record without a look at every such file: 4.")


def test_what_is_said_of_the_log_follows_its_verification():
    usual = a_policy()
    fewer = Report("log", [Step(1, "step", checked=5), Step(12, "replay")])
    assert "12 hold" in text(a_log(usual, rows(usual)), "log.verified")
    assert "1 hold and 1 had nothing" in text(a_log(usual, rows(usual), verification=fewer), "log.verified")
    assert standing(a_log(usual, rows(usual), size=0), "log.verified") is None


def test_what_is_said_of_the_registry_follows_it():
    usual, observing = a_policy(), off("tdmrep")
    old = '[tdmrep]\nstatus = "candidate"\nmode = "enforce"'
    later = a_policy(registry=((old, f"{old}\nenforce_from = 2030-01-01".replace('"enforce"', '"observe"')),))
    said = [text(a_log(one, rows(one)), "registry.dated") for one in (usual, observing, later)]
    assert len(set(said)) == 3
    assert "tdmrep" in said[2]


def test_a_log_that_fails_bears_nothing():
    usual = a_policy()
    step = Step(8, "segments", checked=1)
    step.fault("segments/x.parquet", "row 3", "changed")
    log = a_log(usual, rows(usual), verification=Report("log", [step, Step(12, "replay", checked=1)]))
    assert claims(observed(log)) == ()


def test_a_log_without_its_policy_bears_nothing():
    usual = a_policy()
    assert claims(observed(a_log(usual, rows(usual), policies={}))) == ()
    lost = rows(usual, policy="0" * 64)
    assert claims(observed(a_log(usual, rows(usual), lost))) == ()


def everything():
    usual = a_policy()
    refused = refusal(usual, "tdmrep.file.reserved", protocols=frozenset({"tdmrep"}))
    return a_log(usual, rows(usual), refused, refusal(usual, "robots.group.disallow"), kept(usual), lists=LIST)


def test_every_claim_points_at_policy_and_log():
    for claim in claims(observed(everything())):
        kinds = {source.kind for source in claim.sources}
        assert {SourceKind.POLICY, SourceKind.LOG} <= kinds, claim.name
        assert all(source.digest for source in claim.sources), claim.name


def test_every_claim_has_a_test_in_this_file():
    with open(__file__, encoding="utf-8") as file:  # noqa: PTH123 - one line
        source = file.read()
    assert {name for name in MEASURES if f'"{name}"' not in source} == set()
    assert len(RULES) == len(MEASURES)  # one rule speaks for every protocol, one has two names


def test_without_evidence_documents_say_so_and_claim_nothing():
    empty = facts.parse(b"")
    for make in (copyright_policy, public_summary):
        document = make(empty, observed())
        assert any(missing.fact == "--evidence" for missing in document.missing)
        assert document.data["claims"] == []


def test_the_public_summary_has_shown_claims_only():
    document = public_summary(facts.parse(b""), observed(everything()))
    assert {claim["standing"] for claim in document.data["claims"]} == {"shown"}
    assert "fetched again after" not in markdown(document).decode()
    assert "fetched again after" in markdown(copyright_policy(facts.parse(b""), observed(everything()))).decode()


def test_an_optional_fact_is_not_missing():
    given = b"""
[[datasets]]
name = "d"
kind = "public"
legal_basis = "art-4"
retention_days = 3
"""
    found = {missing.fact for missing in copyright_policy(facts.parse(given), observed(everything())).missing}
    assert not any(fact.startswith("datasets") for fact in found)


def test_a_measure_without_a_claim_says_so():
    usual = a_policy()
    lost = a_log(usual, rows(usual), policies={})
    page = markdown(copyright_policy(facts.parse(b""), observed(lost))).decode()
    assert page.count("bear out no statement") == 3


@pytest.mark.parametrize("kind", ["opt-out", "advisory"])
def test_a_list_of_another_kind_leaves_no_infringing_site_out(kind):
    usual, other = a_policy(), ({**LIST[0], "kind": kind},)
    log = a_log(usual, rows(usual), lists=other)
    assert standing(log, "lists.excluded") is None
    policy = copyright_policy(facts.parse(b""), observed(log))
    assert "lists" in {missing.fact for missing in policy.missing}
