"""Every vector of every protocol, through the same path as `optout check --cases`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from policies_for_tests import shipped

from optout.assess import assess
from optout.cli import cases
from optout.identity import Identity
from optout.model import Effect, Purpose

FOLDER = Path(__file__).parent / "vectors"
SHARED = Path(__file__).parents[2] / "shared" / "vectors" / "location.json"


def is_case(vector: dict) -> bool:
    return {"id", "input", "expect"} <= set(vector) and "url" in vector["input"]


def load(path: Path) -> list[dict]:
    vectors = json.loads(path.read_text(encoding="utf-8"))
    return [vector for vector in vectors if is_case(vector)] if isinstance(vectors, list) else []


VECTORS = [(path.stem, vector) for path in sorted(FOLDER.glob("*.json")) for vector in load(path)]
PUBLIC = [("public", vector) for vector in load(SHARED)] if SHARED.exists() else []


def answer(vector: dict, policy: str):
    given = vector["input"]
    identity = Identity(given.get("user_agent", "ExampleTrainBot"))
    return asyncio.run(assess(given["url"], shipped(policy), identity, cases.fetcher(given), refused_too=True)).verdict


@pytest.mark.parametrize("policy", ["literal", "conservative"])
@pytest.mark.parametrize(
    ("source", "vector"), VECTORS + PUBLIC, ids=[f"{source}:{vector['id']}" for source, vector in VECTORS + PUBLIC]
)
def test_vector(source, vector, policy):
    verdict = answer(vector, policy)
    want = vector.get("expect_conservative", vector["expect"]) if policy == "conservative" else vector["expect"]
    have = {str(purpose): str(verdict.states[purpose]) for purpose in Purpose}
    have["crawl"] = "allow" if verdict.access is Effect.PERMIT else "disallow"
    assert {key: have[key] for key in want} == want, vector["why"]
    if "advisory" in vector:
        assert {str(purpose) for purpose in verdict.advisory} == set(vector["advisory"]), vector["why"]
    if "problems" in vector:
        assert set(vector["problems"]) <= {problem.code for problem in verdict.problems}, vector["why"]


def test_ids_are_unique_and_every_vector_names_its_bug():
    ids = [vector["id"] for _, vector in VECTORS]
    assert len(ids) == len(set(ids))
    assert all(vector.get("why") for _, vector in VECTORS)
