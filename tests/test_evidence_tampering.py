"""Whatever is changed in an evidence directory, verification says so and names the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from evidence_tampering import KINDS, Sample, tamper


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Sample(tmp_path_factory.mktemp("tampering"))
    report = made.verify()
    assert not report.faults, report.text
    assert report.valid, report.text
    return made


def test_untouched_evidence_is_valid_before_and_after(sample: Sample) -> None:
    tamper(sample, 5, seed=0)
    assert sample.verify().valid


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS], ids=lambda kind: kind.__name__)
def test_each_kind_of_change_is_seen(sample: Sample, kind) -> None:
    import random  # noqa: PLC0415 - here only

    for seed in range(3):
        with kind(sample, random.Random(seed)) as name:
            assert not sample.verify().valid, name


def test_random_changes_are_seen_and_named(sample: Sample) -> None:
    tamper(sample, 40, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_random_changes_are_seen_and_named(tmp_path: Path, seed: int) -> None:
    made = tamper(Sample(tmp_path), 1000, seed=seed + 100)
    assert made.keys() >= {kind.__name__ for kind, _ in KINDS}
