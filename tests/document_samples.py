"""What documents are made from, in small: logs and facts whose every part a test can change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from optout import policy
from optout.acquisition import policy_files
from optout.evidence.report import Report, Step
from policies.evidence_facts import LogFacts, Observed, Rows

MORNING = datetime(2026, 11, 23, 7, tzinfo=UTC)
LOOKED = {"/robots.txt": "retrieved", "/ai.txt": "unavailable"}
IDENTITY = "1" * 64

FULL_FACTS = """
crawlers = []
datasets = []

[provider]
name = "Example AI"
address = "1 Example Street, Exampleton"
email = "info@example.org"
established_in_eu = true
sme = true
signatory = true

[contact]
email = "rights@example.org"
answer_days = 14

[owners]
measure_1_1 = "Legal"
measure_1_2 = "Crawling"
measure_1_3 = "Crawling"
measure_1_4 = "Research"
measure_1_5 = "Legal"

[policy]
version = "1.0"
effective = 2026-11-01
approved_by = "The board"
changes = []

[summary]
version = "1.0"
updated = 2026-11-01
url = "https://example.org/summary"
updates = "https://example.org/news"
machine_readable = "https://example.org/summary.json"
changes = []

[declared]
output_safeguards = "a filter"
terms_prohibition = "section 4 of the terms"
illegal_content = "hash lists"
user_data = "none"
synthetic_data = "none"
other_data = "none"

[[models]]
name = "Example"
version = "2"
placed_on_market = 2026-01-15
training_flop = 3e24
generates = ["text"]
narrow_task = false
modalities = ["text"]
content_types = "web pages"
latest_acquisition = "10/2026"
continued_training = false
languages = ["English"]
base_model = "none"
licence = "proprietary"
licence_is_free = false
weights_public = false
architecture_public = false
usage_public = true
monetised = true
"""


def a_policy(*changes: tuple[str, str], registry: tuple[tuple[str, str], ...] = ()) -> policy.Policy:
    """The default policy with some of its text changed."""
    text, listed, agents = (data.decode() for data in policy_files.texts("eu-gpai"))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    for old, new in registry:
        assert old in listed
        listed = listed.replace(old, new)
    return policy.parse(text.encode(), listed.encode(), agents.encode())


def rows(found: policy.Policy, **changed: object) -> Rows:
    """Ten permitted pages, but for what is changed."""
    usual = Rows(
        node="pages", kind="decision", stage="page", effect="permit", access="permit", reason="no-reservation",
        purpose="ai-train", agent="ExampleBot", policy=found.digest, registry=found.registry_digest,
        identity=IDENTITY, protocols=frozenset(), coverage=LOOKED, fetched=True, count=10, first=0, last=20,
        begin=MORNING, end=MORNING + timedelta(hours=1),
    )  # fmt: skip
    return replace(usual, **changed)


def refusal(found: policy.Policy, reason: str, **changed: object) -> Rows:
    """Three requests that were refused, but for what is changed."""
    usual = rows(found, stage="request", effect="deny", reason=reason, fetched=False, count=3)
    return replace(usual, **changed)


def kept(found: policy.Policy) -> Rows:
    """Ten pages that were kept."""
    return rows(found, kind="kept", stage="kept", effect="", access="", reason="", policy="", registry="", identity="")


def a_log(found: policy.Policy, *groups: Rows, **changed: object) -> LogFacts:
    """A log that verifies."""
    steps = [Step(number, f"step {number}", checked=5) for number in range(1, 13)]
    usual = LogFacts(
        origin="evidence.invalid/log", size=5, root="ab" * 32, rows=groups,
        policies={(found.digest, found.registry_digest): found},
        identities={IDENTITY: {"product_token": "ExampleBot", "user_agent": "ExampleBot/1.0"}}, lists=(),
        verification=Report("log", steps), kept_without_permission=0,
    )  # fmt: skip
    return replace(usual, **changed)


def observed(*logs: LogFacts) -> Observed:
    return Observed(tuple(logs))
