"""Completeness: every sentence about behaviour, in every document, moves with the configuration, the log or the audit.

The cases are data. Each is the whole evidence with one thing changed: a key of the policy, the mode of one protocol,
one group of rows, the lists, the identity, what verification found, a figure of the audit. A sentence that is the same
in all of them would be a sentence that nothing bears.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from document_samples import FULL_FACTS, LOOKED, a_log, a_policy, kept, refusal, rows

from optout.evidence.report import Report, Step
from optout.signals import PROTOCOLS
from policies import facts
from policies.applicability import applicability
from policies.claims import MEASURES, PROTOCOL, RULES, claims
from policies.copyright_policy import copyright_policy, public_summary
from policies.datasets import datasets
from policies.document import Bullets, Document, Fields, Paragraph, Source, SourceKind, Table, Ticks
from policies.evidence_facts import AuditFacts, LogFacts, Observed, Record
from policies.gap_analysis import gap_analysis
from policies.training_summary import training_summary

BEHAVIOUR = {SourceKind.POLICY, SourceKind.LOG, SourceKind.AUDIT}
LIST = ({"name": "court-list", "kind": "infringing", "issuer": "a court", "basis": "a ruling", "as_of": "2026-11-01"},)
LOST = {**LOOKED, "/robots.txt": "unreachable"}
GIVEN = FULL_FACTS.replace(
    "datasets = []",
    'datasets = [{name = "Open Corpus", kind = "public", description = "d", licence = "l", url = "https://a.example/", '
    'version = "1", selection = "all", modalities = ["text"], large = true, legal_basis = "art-4", retention_days = 9, '
    'audit = "audit-1"}]',
)
FIGURES = {
    "rows": {"judged": 10, "kept": 6, "denied": 3, "review": 1},
    "policy": {"name": "eu-gpai", "digest": "d" * 64},
}
DOCUMENTS: dict[str, Callable[[facts.Facts, Observed], Document]] = {
    "copyright-policy": copyright_policy, "public-summary": public_summary, "training-summary": training_summary,
    "gap-analysis": gap_analysis, "datasets": datasets, "applicability": applicability,
}  # fmt: skip

KEYS = [
    ('layers = "tighten"', 'layers = "supersede"'),
    ('second_reader = "deny"', 'second_reader = "record"'),
    ('purposes = ["ai-train"]', 'purposes = ["search"]'),
    ('named_agents = "report"', 'named_agents = "reserve"'),
    ('named_agents = "report"', 'named_agents = "ignore"'),
    ('prose = "advisory"', 'prose = "reserve"'),
    ('prose = "advisory"', 'prose = "ignore"'),
    ("max_age_hours = 24", "max_age_hours = 6"),
    ('unreadable = "deny"', 'unreadable = "permit"'),
    ('unreachable = "review"', 'unreachable = "deny"'),
    ('name = "eu-gpai"', 'name = "another"'),
]


def evidence(policy, *extra, **changed) -> LogFacts:
    """A log with a case of everything that a document may speak of."""
    groups = (
        rows(policy), kept(policy), refusal(policy, "robots.group.disallow", protocols=frozenset({"robots-exclusion"})),
        refusal(policy, "robots.unreachable", coverage=LOST), refusal(policy, "http.access-refused", stage="headers"),
        refusal(policy, "list.infringing", coverage={}),
        *(refusal(policy, f"{name}.x", stage="page", protocols=frozenset({name})) for name in sorted(PROTOCOLS)),
        rows(policy, kind="complaint", stage="", effect="", reason="", agent="", coverage={}, count=2),
    )  # fmt: skip
    record = Record("copyright-policy", "e" * 64, datetime(2026, 11, 1, tzinfo=UTC))
    usual = {"lists": LIST, "records": (record,), "size": 5} | changed
    return a_log(policy, *groups, *extra, **usual)


def audited(**changed: object) -> AuditFacts:
    return AuditFacts("audit-1", FIGURES | changed, "cd" * 32)


def _logs() -> Iterator[tuple[str, LogFacts]]:
    """The whole log, and the log with one thing changed."""
    usual = a_policy()
    whole = evidence(usual)
    yield "whole", whole
    for old, new in KEYS:
        yield f"policy: {new}", evidence(a_policy((old, new)))
    for name in sorted(PROTOCOLS):
        if name != "terms-of-service":
            observing = a_policy(("[crawl]", f'[protocols]\n{name} = "observe"\n\n[crawl]'))
            yield f"policy: {name} = observe", evidence(observing)
    yield "registry: a day to come", evidence(a_policy(registry=(('[tdmrep]\nstatus = "candidate"\nmode = "enforce"',
        '[tdmrep]\nstatus = "candidate"\nmode = "observe"\nenforce_from = 2030-01-01'),)))  # fmt: skip
    for number, row in enumerate(whole.rows):
        without = (*whole.rows[:number], *whole.rows[number + 1 :])
        yield f"log: without {row.kind} {row.reason}", replace(whole, rows=without)
        more = replace(row, count=row.count + 7, end=row.end + timedelta(days=40))
        yield f"log: more of {row.kind} {row.reason}", replace(whole, rows=(*without, more))
    yield "log: no robots.txt", evidence(usual, rows(usual, coverage={}, count=1))
    yield "log: permitted though unreachable", evidence(usual, rows(usual, coverage=LOST))
    yield "log: fetched though refused", evidence(usual, refusal(usual, "tdmrep.file.reserved", fetched=True))
    yield "log: permitted though refused", evidence(usual, rows(usual, reason="http.access-refused"))
    yield "log: a listed site fetched", evidence(usual, refusal(usual, "list.infringing", coverage={}, fetched=True))
    yield "log: kept without permission", evidence(usual, kept_without_permission=2)
    yield "log: no lists", evidence(usual, lists=())
    yield "log: another list", evidence(usual, lists=({**LIST[0], "name": "second"},))
    posing = {"1" * 64: {"product_token": "ExampleBot", "user_agent": "Mozilla/5.0 Chrome/120"}}
    yield "log: a browser's name", evidence(usual, identities=posing)
    yield "log: not decided again", evidence(usual, verification=Report("log", [Step(12, "replay")]))
    yield "log: no record", evidence(usual, records=())
    yield "log: nothing signed", evidence(usual, size=0)
    yield "log: another name", evidence(usual, origin="evidence.invalid/other")


@cache
def cases() -> dict[str, Observed]:
    found = {name: Observed((log,), (audited(),)) for name, log in _logs()}
    whole = found["whole"]
    found["audit: other rows"] = replace(
        whole, audits=(audited(rows={"judged": 9, "kept": 4, "denied": 4, "review": 1}),)
    )
    found["audit: none"] = replace(whole, audits=())
    return found


def statements(document: Document) -> dict[str, tuple[Source, ...]]:
    """Every sentence, row and value of a document that a policy, a log or an audit bears."""
    found: dict[str, tuple[Source, ...]] = {}
    for block in document.blocks:
        found |= {text: sources for text, sources in _said(block) if BEHAVIOUR & {source.kind for source in sources}}
    return found


def _said(block: object) -> Iterator[tuple[str, tuple[Source, ...]]]:
    if isinstance(block, Paragraph):
        yield str(block.text), block.sources
    elif isinstance(block, Bullets):
        yield from ((str(item.text), item.sources) for item in block.items)
    elif isinstance(block, Fields):
        yield from ((f"{label}: {value}", block.sources) for label, value in block.rows)
    elif isinstance(block, Table):
        yield from ((f"{block.caption}: {row}", block.sources) for row in block.rows)
    elif isinstance(block, Ticks):
        yield f"{block.label}: {block.chosen}", block.sources


@cache
def made(name: str) -> dict[str, Document]:
    given = facts.parse(GIVEN.encode())
    return {case: DOCUMENTS[name](given, seen) for case, seen in cases().items()}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_statement_of_a_document_moves_with_what_bears_it(name):
    documents = made(name)
    said = {case: statements(document) for case, document in documents.items()}
    unmoved = [text for text in said["whole"] if all(text in other for other in said.values())]
    fixed = [text for text in unmoved if not FIXED.match(text)]
    assert fixed == []


FIXED = re.compile(
    # What a requirement asks for is law and not behaviour, though its checks stand beside it with their pointers.
    r"(Status|Source|Control|Evidence asked for|Checks|Mend): "
    # The boxes of the form: a crawl in the log ticks yes; without any log they are asked for.
    r"|Crawlers used by the provider or on its behalf\?: \('Yes',\)"
)


def test_the_boxes_of_the_form_need_a_log():
    given = facts.parse(GIVEN.encode())
    label = "Crawlers used by the provider or on its behalf?"
    ticks = {
        block.label: block.chosen for block in training_summary(given, Observed()).blocks if isinstance(block, Ticks)
    }
    assert ticks[label] == ("No",)


def test_the_checks_of_the_gap_analysis_move():
    """Every requirement with a check on policy, log or audit has another status, or other reasons, in some case."""
    found = {case: document.data["findings"] for case, document in made("gap-analysis").items()}
    found["nothing"] = gap_analysis(facts.parse(GIVEN.encode()), Observed()).data["findings"]
    still = []
    for number, finding in enumerate(found["whole"]):
        checked = any(source.split(" ")[0] in {"policy", "log", "audit"} for source in finding["sources"])
        if checked and all(other[number]["reasons"] == finding["reasons"] for other in found.values()):
            still.append(finding["id"])
    assert still == []


UNSOURCED = {
    "Shown by the policy in force and the log:",
    "Configured; the log cannot show it or has no case of it:",
    "The log has this against the policy:",
    "Policy and log bear out no statement on this.",
    "The provider declares:",
    "robots.txt:",
    "Other opt-out protocols:",
    "Identification, and sites that are left out:",
    "Access that a server refuses: passwords, paywalls and legal demands:",
    (
        "Measures implemented before model training to respect reservations before and during data collection, with "
        "the opt-out protocols and solutions honoured:"
    ),
    (
        "Answers follow from the facts that the provider has given. They are no legal advice; the thresholds are "
        "indications of the Commission's guidelines, which do not bind courts."
    ),
}
"""Every paragraph without a source: none of them says what a crawler does."""


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_paragraph_without_a_source_says_nothing_about_behaviour(name):
    for document in made(name).values():
        for block in document.blocks:
            if isinstance(block, Paragraph) and not block.sources:
                assert str(block.text) in UNSOURCED
            if isinstance(block, Bullets):
                assert all(item.sources or str(item.text) in UNSOURCED for item in block.items)


def templates() -> list[tuple[str, str]]:
    """Every sentence that the rules can say, as a pattern: what stands in `text`, or in a table of texts."""
    found = []
    for rule in RULES:
        tree = ast.parse(inspect.getsource(rule))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in {"text", "texts"}:
                values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
                found += [(rule.__name__, _pattern(value)) for value in values]
    return found


def _pattern(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in parts)


@cache
def sentences() -> dict[str, frozenset[str]]:
    return {case: frozenset(claim.text for claim in claims(seen)) for case, seen in cases().items()}


@pytest.mark.parametrize(("rule", "pattern"), templates())
def test_every_sentence_of_every_rule_is_said_in_one_case_and_not_in_another(rule, pattern):
    matching = {
        case: frozenset(text for text in said if re.fullmatch(pattern, text)) for case, said in sentences().items()
    }
    assert any(matching.values()), f"no case makes {rule} say it"
    assert len(set(matching.values())) > 1, f"{rule} says the same in every case"


@pytest.mark.parametrize("name", [*sorted(MEASURES), *sorted(f"{PROTOCOL}{name}" for name in PROTOCOLS)])
def test_every_claim_moves_with_the_policy_and_with_the_log(name):
    """Configuration and log each make it change or vanish; what only one of them can change is named here."""
    if name.removeprefix(PROTOCOL) in {"robots-exclusion", "http-access", "blocklist", "terms-of-service"}:
        pytest.skip("it has claims of its own")
    found = {
        case: frozenset((claim.standing, claim.text) for claim in claims(seen) if claim.name == name)
        for case, seen in cases().items()
    }
    assert any(found.values())
    moved = {case.split(":")[0] for case, said in found.items() if said != found["whole"]}
    assert moved >= ({"policy", "log"} - EXCEPTIONS.get(name, set()))


EXCEPTIONS = {
    # The policy file does not say whether the archive is whole, the log is signed, or who is on a list.
    "repeatable": {"policy"},
    "log.verified": {"policy"},
    "kept.permitted": {"policy"},
    "access.not-fetched": {"policy"},
    "identity.open": {"policy"},
    # Neither can be seen in rows: the policy in force is all that bears them, and they are never more than configured.
    "prose": {"log"},
    "reuse": {"log"},
    # The whole evidence is of a cautious policy; tests/test_document_truth.py has the log of another.
    "unclear": {"log"},
    # The registry in force is what it speaks of.
    "registry.dated": {"log"},
}
"""What cannot move a claim, and why."""
