"""What a protocol owes the project before it counts as one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from policies_for_tests import shipped

from optout.model import State
from optout.protocol import Registry
from optout.signals import PROTOCOLS

VECTORS = Path(__file__).parent / "vectors"
BY_FILE = {name.replace("-", "_"): protocol for name, protocol in PROTOCOLS.items()}


def vectors(name: str) -> list[dict]:
    path = VECTORS / f"{name.replace('-', '_')}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_has_a_name_a_specification_and_an_edition(name):
    protocol = PROTOCOLS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert protocol.specification.startswith("https://")
    assert protocol.edition
    assert protocol.carriers
    assert all(sentence.endswith(".") for sentence in protocol.problems.values())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_is_registered_with_status_and_mode(name):
    assert name in shipped("eu-gpai").registry


def test_nothing_is_registered_that_does_not_exist():
    assert set(shipped("eu-gpai").registry) <= set(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_has_a_vector_that_reserves(name):
    if all(isinstance(carrier, Registry) for carrier in PROTOCOLS[name].carriers):
        pytest.skip("a list is made by its import, see test_lists.py")
    found = vectors(name)
    assert found, f"no tests/vectors/{name.replace('-', '_')}.json"
    assert any(State.RESERVED in json.dumps(vector.get("expect", {})) or vector.get("advisory") for vector in found)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_declared_problem_has_a_vector(name):
    if all(isinstance(carrier, Registry) for carrier in PROTOCOLS[name].carriers):
        pytest.skip("a list is made by its import, see test_lists.py")
    shown = {code for vector in vectors(name) for code in vector.get("problems", [])}
    assert set(PROTOCOLS[name].problems) - shown == set()
