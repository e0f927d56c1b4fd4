"""Datasets: declared facts, audits that belong to them, and Croissant that other readers take."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from document_samples import observed

from policies import facts
from policies.datasets import datasets
from policies.document import Missing
from policies.evidence_facts import AuditFacts, Observed
from policies.render import RenderError, markdown, render

ONE = b"""
[[datasets]]
name = "Example corpus"
kind = "public"
url = "https://example.org/corpus"
version = "2026-10"
selection = "English pages"
description = "Pages of the web"
modalities = ["text"]
large = true
legal_basis = "art-4"
licence = "https://creativecommons.org/licenses/by/4.0/"
retention_days = 365
audit = "audited"
"""

FIGURES = {
    "policy": {"name": "eu-gpai", "digest": "ab" * 32},
    "rows": {"judged": 100, "kept": 60, "denied": 30, "unknown": 10},
}
AUDIT = AuditFacts("audited", FIGURES, "cd" * 32)


def made(audits=(AUDIT,), text=ONE):
    return datasets(facts.parse(text), Observed((), tuple(audits)))


def test_an_audit_belongs_to_the_dataset_that_names_it():
    assert made().missing == ()
    assert "| Kept | 60 |" in markdown(made()).decode()
    other = made([replace(AUDIT, name="another")])
    assert [missing.fact for missing in other.missing] == ["datasets[0].audit"]
    assert "60" not in markdown(other).decode()


def test_what_was_kept_follows_the_audit():
    card = json.loads(render(made(), ".croissant.json"))
    assert "60 of 100 rows were kept" in card["rai:dataPreprocessingProtocol"][0]
    fewer = replace(AUDIT, figures={**FIGURES, "rows": {"judged": 100, "kept": 5}})
    assert "5 of 100 rows" in json.loads(render(made([fewer]), ".croissant.json"))["rai:dataPreprocessingProtocol"][0]
    assert "rai:dataPreprocessingProtocol" not in json.loads(render(made([]), ".croissant.json"))


def test_silence_and_none_differ():
    assert isinstance(datasets(facts.parse(b""), observed()).blocks[0], Missing)
    assert datasets(facts.parse(b"datasets = []"), observed()).missing == ()


@pytest.mark.parametrize("line", [b"name", b"url", b"description", b"licence"])
def test_croissant_is_not_made_without_what_it_demands(line):
    kept = b"\n".join(text for text in ONE.split(b"\n") if not text.startswith(line))
    with pytest.raises(RenderError):
        render(made(text=kept), ".croissant.json")


def test_croissant_describes_one_dataset():
    with pytest.raises(RenderError):
        render(made(text=ONE + ONE), ".croissant.json")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which it uses
def test_mlcroissant_reads_it(tmp_path):
    mlc = pytest.importorskip("mlcroissant", reason="needs the extra interop")
    path = tmp_path / "card.json"
    path.write_bytes(render(made(), ".croissant.json"))
    assert mlc.Dataset(jsonld=str(path)).metadata.name == "Example corpus"
