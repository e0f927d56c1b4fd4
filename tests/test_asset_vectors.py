"""What parts of files say: every vector of every protocol that reads them, through the engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policies_for_tests import shipped

from optout import engine
from optout.identity import Identity
from optout.model import ASSET, Availability, Exchange, Purpose, State
from optout.signals import PROTOCOLS

FOLDER = Path(__file__).parent / "vectors"
NAMES = sorted(name for name, protocol in PROTOCOLS.items() if ASSET in protocol.roles)
US = Identity("ExampleTrainBot")


def load(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name.replace('-', '_')}.json").read_text(encoding="utf-8"))


VECTORS = [pytest.param(name, vector, id=vector["id"]) for name in NAMES for vector in load(name)]


def part(given: dict) -> Exchange:
    fields = [("slot", given["slot"]), ("where", "here"), ("offset", "7")]
    fields.append(("asset-type", given.get("asset_type", "image/jpeg")))
    fields += [("doubtful", "1")] if given.get("doubtful") else []
    status = None if "fault" in given else 200
    return Exchange("work", ASSET, status, tuple(fields), given["packet"].encode(), error=given.get("fault"))


def decide(vector: dict, policy: str):
    return engine.decide([part(vector["input"])], "file:///work", shipped(policy), US)


@pytest.mark.parametrize("policy", ["literal", "conservative", "eu-gpai"])
@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_vector(name, vector, policy):
    verdict = decide(vector, policy)
    want = vector["expect"] if policy == "literal" else vector.get("expect_conservative", vector["expect"])
    assert {str(purpose): str(verdict.states[purpose]) for purpose in Purpose} == want, vector["why"]
    assert {problem.code for problem in verdict.problems} == set(vector.get("problems", [])), vector["why"]
    unreadable = verdict.coverage.of(ASSET) is Availability.UNREACHABLE
    assert unreadable is vector["input"].get("unreadable", False), vector["why"]
    if "conditions" in vector:
        assert all([list(pair) for pair in signal.conditions] == vector["conditions"] for signal in verdict.signals)


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_problems_are_declared_and_places_name_the_file(name, vector):
    reading = PROTOCOLS[name].read(part(vector["input"]))
    assert {problem.code for problem in reading.problems} <= set(PROTOCOLS[name].problems)
    assert all(found.place.resource == "work" for found in (*reading.problems, *reading.statements))


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_a_part_that_cannot_be_read_never_permits(name, vector):
    broken = {**vector, "input": {**vector["input"], "fault": "damaged"}}
    assert State.PERMITTED not in decide(broken, "literal").states.values()


@pytest.mark.parametrize(("name", "vector"), [item for item in VECTORS if item.values[0] != "c2pa"])
def test_a_doubtful_part_never_permits_what_it_does_not_state_alone(name, vector):
    doubtful = {**vector, "input": {**vector["input"], "doubtful": True}}
    states = decide(doubtful, "literal").states
    if name not in {"onix", "tdm-ai"}:
        assert State.PERMITTED not in states.values()


def test_ids_are_unique_and_every_vector_names_its_bug():
    found = [vector for name in NAMES for vector in load(name)]
    assert len({vector["id"] for vector in found}) == len(found)
    assert all(vector["why"] for vector in found)
