"""OSCAL: what other people's readers take, with the same identifiers for the same evidence."""

from __future__ import annotations

import json
import re

import pytest
from document_samples import FULL_FACTS, a_log, a_policy, kept, observed, refusal, rows

from policies import facts
from policies.gap_analysis import gap_analysis, requirements
from policies.render import RenderError, render, suffix_of

UUID5 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def made(text=FULL_FACTS, **changed):
    usual = a_policy()
    log = a_log(usual, rows(usual), refusal(usual, "http.access-refused"), kept(usual), **changed)
    return render(gap_analysis(facts.parse(text.encode()), observed(log)), ".oscal.json")


def results(data):
    return json.loads(data)["assessment-results"]


def test_every_requirement_is_a_finding_with_its_observation():
    (result,) = results(made())["results"]
    names = [item.name.lower() for item in requirements()]
    assert [item["target"]["target-id"] for item in result["findings"]] == names
    known = {item["uuid"] for item in result["observations"]}
    related = {link["observation-uuid"] for item in result["findings"] for link in item["related-observations"]}
    assert related == known


def test_only_what_is_met_is_satisfied():
    for finding in results(made())["results"][0]["findings"]:
        met = finding["props"][0]["value"] == "met"
        assert (finding["target"]["status"]["state"] == "satisfied") is met


def test_identifiers_follow_from_what_was_assessed():
    assert made() == made()
    assert results(made())["uuid"] != results(made(root="cd" * 32))["uuid"]
    assert results(made())["uuid"] != results(made(FULL_FACTS.replace("Example AI", "Another")))["uuid"]
    found = re.findall(r'"uuid": "([^"]*)"', made().decode())
    assert len(set(found)) == len(found)
    assert all(UUID5.fullmatch(name) for name in found)


def test_without_a_log_that_holds_there_is_none():
    document = gap_analysis(facts.parse(FULL_FACTS.encode()), observed())
    with pytest.raises(RenderError):
        render(document, suffix_of("gaps.oscal.json"))
    assert suffix_of("gaps.OSCAL.json") == ".oscal.json"
    assert suffix_of("gaps.v2.json") == ".json"


def test_trestle_reads_it(tmp_path):
    ar = pytest.importorskip("trestle.oscal.assessment_results", reason="needs the extra interop")
    path = tmp_path / "gaps.json"
    path.write_bytes(made())
    read = ar.AssessmentResults.oscal_read(path)
    assert len(read.results[0].findings) == len(requirements())
