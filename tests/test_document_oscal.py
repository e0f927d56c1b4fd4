"""OSCAL: what other people's readers take, with the same identifiers for the same evidence."""

from __future__ import annotations

import json
import re
from base64 import b64decode

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
    names = [f"{item.name.lower()}-obj" for item in requirements()]
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


def test_every_identifier_leads_into_the_catalogue():
    said = results(made())
    (attached,) = (one for one in said["back-matter"]["resources"] if "base64" in one)
    groups = json.loads(b64decode(attached["base64"]["value"]))["catalog"]["groups"]
    controls = {control["id"]: control for group in groups for control in group["controls"]}
    objectives = {part["id"] for control in controls.values() for part in control["parts"]}
    selections = said["results"][0]["reviewed-controls"]["control-selections"]
    assert {one["control-id"] for part in selections for one in part["include-controls"]} == controls.keys()
    assert {item["target"]["target-id"] for item in said["results"][0]["findings"]} <= objectives
    assert len(controls) == len(requirements())
    resources = {f"#{one['uuid']}" for one in said["back-matter"]["resources"]}
    assert said["import-ap"]["href"] in resources


def test_trestle_reads_the_catalogue(tmp_path):
    reader = pytest.importorskip("trestle.oscal.catalog", reason="needs the extra interop")
    path = tmp_path / "catalog.json"
    path.write_bytes(render(gap_analysis(facts.parse(b""), observed()), suffix_of("requirements.oscal-catalog.json")))
    read = reader.Catalog.oscal_read(path)
    assert sum(len(group.controls) for group in read.groups) == len(requirements())


def test_trestle_reads_it(tmp_path):
    ar = pytest.importorskip("trestle.oscal.assessment_results", reason="needs the extra interop")
    path = tmp_path / "gaps.json"
    path.write_bytes(made())
    read = ar.AssessmentResults.oscal_read(path)
    assert len(read.results[0].findings) == len(requirements())
