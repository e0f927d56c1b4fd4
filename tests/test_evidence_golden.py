"""Old evidence verifies for ever: the golden log of every release, with the code of this one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from optout.evidence import bundle, standalone
from optout.evidence.layout import Layout
from optout.evidence.note import parse_verifier
from optout.evidence.query import Filter, Rows
from optout.evidence.verify import STEPS, verify

GOLDEN = sorted((Path(__file__).parent / "golden").glob("evidence-*.tar.gz"))
NOW = datetime(2027, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=GOLDEN, ids=lambda path: path.name.removesuffix(".tar.gz"))
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("golden")
    with tarfile.open(request.param) as archive:
        archive.extractall(place, filter="tar")
    for path in (place / "crawl/evidence/private").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return place


def expected(golden: Path) -> dict:
    return json.loads((golden / "expected.json").read_bytes())


def test_there_is_a_golden_log() -> None:
    assert GOLDEN


@pytest.mark.parametrize("keys", ["first_keys", "keys"])
def test_the_log_verifies(golden: Path, keys: str) -> None:
    said = expected(golden)
    report = verify(
        golden / "crawl",
        trusted=[parse_verifier(key) for key in said[keys]],
        known=[said["checkpoint"].encode()],
        authorities=[said["authority"].encode()],
        now=NOW,
    )
    assert report.valid, report.text
    assert report.steps[7].checked == said["rows"]["sealed"]
    assert report.steps[4].checked >= 2


@pytest.mark.parametrize("name", ["proof.json", "export.json"])
def test_what_was_handed_over_verifies(golden: Path, name: str) -> None:
    said = expected(golden)
    checked = standalone.check((golden / name).read_bytes(), said["keys"], [said["authority"].encode()])
    if name == "proof.json":
        checked = standalone.check((golden / name).read_bytes(), said["first_keys"], [said["authority"].encode()])
    assert checked.code == standalone.VALID, checked.text


def test_new_proofs_can_be_made_from_it(golden: Path) -> None:
    layout, said = Layout(golden / "crawl/evidence"), expected(golden)
    made = {
        standalone.VALID: bundle.prove_url(layout, "https://site-5.example/p/3"),
        # A row that was erased stands beside those of this host, and may have been about it.
        standalone.INCOMPLETE: bundle.export(layout, "example,site-1)/"),
    }
    for code, value in made.items():
        checked = standalone.check(json.dumps(value).encode(), said["keys"], [said["authority"].encode()])
        assert checked.code == code, checked.text
        assert not any(step.wrong for step in checked.steps)


def test_it_can_be_asked(golden: Path) -> None:
    rows = expected(golden)["rows"]
    with Rows(Layout(golden / "crawl/evidence")) as asked:
        found = len(list(asked.decisions(Filter(), 1000)))
    assert found == rows["sealed"] + rows["waiting"] - 1  # One row was erased.


def test_the_standalone_verifier_runs_alone(golden: Path, tmp_path: Path) -> None:
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(standalone.__file__).read_bytes())
    authority = tmp_path / "authority.pem"
    authority.write_text(expected(golden)["authority"])
    command = [sys.executable, "-I", str(alone), str(golden / "proof.json"), "--authority", str(authority)]
    keys = [part for key in expected(golden)["first_keys"] for part in ("--key", key)]
    result = subprocess.run([*command, *keys], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_documented_steps_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[1] / "docs" / "reference" / "evidence.md").read_text()
    listed = [line.split(". ", 1)[1] for line in text.splitlines() if re.match(r"[0-9]+\. ", line)]
    assert listed == [name for name, _ in STEPS]
