"""The commands of `optout evidence`, as people type them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import evidence_samples as samples
import pytest

from optout.cli import main
from optout.evidence.note import Algorithm, SignerKey

URL = "https://site-2.example/p/0"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli") / "crawl"
    samples.small(directory)
    return directory


@pytest.fixture
def crawl(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "crawl"))


def evidence(*arguments: object) -> int:
    return main(["evidence", *map(str, arguments)])


@pytest.mark.parametrize("part", ["", "evidence"])
def test_verify_prints_numbered_steps(crawl: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = evidence("verify", crawl / part, "--key", crawl / "evidence" / "policy.txt")
    text = capsys.readouterr().out
    assert " 12. Reading and deciding again" in text
    assert "fails" not in text
    assert code == 3  # The sample's policy is no policy, so nothing can be decided again.


def test_verify_says_no_to_a_changed_log(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((crawl / "evidence" / "segments").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    assert evidence("verify", crawl, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["outcome"] == "fails"
    assert any(path.name in fault["file"] for step in said["steps"] for fault in step["faults"])


def test_a_proof_is_made_and_verified(crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, policy = tmp_path / "bundle.json", crawl / "evidence" / "policy.txt"
    assert evidence("prove", crawl, "--url", URL, "--out", out) == 0
    assert evidence("verify", out, "--key", policy) == 0
    assert evidence("verify", out, "--json") == 3
    changed = json.loads(out.read_text())
    changed["row"]["effect"] = "permit"
    out.write_text(json.dumps(changed))
    assert evidence("verify", out, "--key", policy) == 1
    out.write_text("nothing")
    assert evidence("verify", out) == 2
    assert evidence("prove", crawl, "--url", "https://nobody.example/") == 2
    assert "no sealed decision" in capsys.readouterr().err


def test_an_export_is_made_and_verified(crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "export.json"
    assert evidence("export", crawl, "--host", "site-2.example", "--out", out) == 0
    assert "4 decisions" in capsys.readouterr().err
    assert evidence("verify", out, "--key", crawl / "evidence" / "policy.txt") == 0


def test_show_and_query(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence("show", crawl) == 0
    assert "sealed rows    22" in capsys.readouterr().out
    assert evidence("show", crawl, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sealed rows"] == 22
    assert evidence("query", crawl, "--host", "site-2.example", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert json.loads(lines[0])["coverage"] == {"/.well-known/tdmrep.json": "unavailable", "/robots.txt": "retrieved"}
    assert evidence("query", crawl, "--by", "effect") == 0
    assert capsys.readouterr().out == "permit  13  0\ndeny  9  9\n"
    assert evidence("query", crawl, "--sql", "select 1 as n") == 0


def test_a_proof_shows_that_the_log_only_grew(crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that the reader kept: without a proof for it the answer is incomplete, with one it is valid."""
    policy, out = crawl / "evidence" / "policy.txt", tmp_path / "proof.json"
    kept, strange = tmp_path / "kept", tmp_path / "strange"
    kept.write_bytes((crawl / "evidence" / "checkpoint").read_bytes())
    strange.write_bytes((samples.small(tmp_path / "other") / "checkpoint").read_bytes())
    log = samples.begin(crawl, node="n3", at=300)
    samples.decide(log, 5, 6, at=301)
    log.close(samples.later(400))
    for known, proved, expected in ((kept, [], 3), (kept, ["--known", kept], 0), (strange, ["--known", kept], 1)):
        assert evidence("prove", crawl, "--url", "https://site-5.example/p/0", *proved, "--out", out) == 0
        assert evidence("verify", out, "--key", policy, "--known", known) == expected
    assert evidence("export", crawl, "--host", "site-5.example", "--out", out) == 0
    assert evidence("verify", out, "--key", policy, "--known", kept) == 0
    assert evidence("verify", out, "--key", policy, "--known", strange) == 1
    capsys.readouterr()
    assert evidence("verify", crawl, "--known", kept) == 3
    assert "fails" not in capsys.readouterr().out


def test_a_witness_is_brought_by_its_key_or_its_policy_line(
    crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = SignerKey("witness.example/w", Algorithm.COSIGNATURE_ED25519, b"7" * 32).verifier.text
    (tmp_path / "witness.txt").write_text(f"witness w {key}\nquorum w\n")
    for given in (key, tmp_path / "witness.txt"):
        assert evidence("verify", crawl, "--witness", given) == 3
        assert "the witness witness.example/w has cosigned nothing" in capsys.readouterr().out


def test_a_loss_is_declared(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = samples.begin(crawl, node="n3", at=300)
    samples.decide(log, 5, 6, at=301)
    log.release()
    next((crawl / "evidence").glob("n3-*.zst")).unlink()
    assert evidence("verify", crawl) == 1
    assert evidence("gap", crawl, "--node", "n3", "--reason", "the disk broke", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"lost": 6}
    assert evidence("gap", crawl, "--node", "n3", "--reason", "again") == 2
    assert evidence("gap", crawl, "--node", "nobody", "--reason", "again") == 2


def test_what_a_site_said(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence("show", crawl, "--origin", "https://site-2.example", "--as-of", "2026-06-02", "--json") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(item["path"], item["before"]["status"]) for item in said] == [
        ("/robots.txt", 200), ("/.well-known/tdmrep.json", 404),
    ]  # fmt: skip
    assert evidence("show", crawl, "--origin", "https://nobody.example") == 3


def test_upkeep(crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence("checkpoint", crawl) == 0
    assert capsys.readouterr().out.startswith(samples.ORIGIN)
    assert evidence("redact", crawl, "--url", URL, "--basis", "Art. 17 GDPR") == 0
    assert evidence("redact", crawl, "--url", URL, "--basis", "Art. 17 GDPR") == 2
    assert (
        evidence("redact", crawl, "--host", "site-3.example", "--scope", "url", "--basis", "Art. 17 GDPR", "--json")
        == 0
    )
    assert evidence("purge", crawl) == 0
    assert evidence("rotate", crawl) == 0
    assert evidence("keygen", tmp_path / "next", "--origin", "evidence.example/2027", "--after", crawl, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["origin"] == "evidence.example/2027"
    assert evidence("keygen", tmp_path / "next") == 2
    capsys.readouterr()
    assert evidence("verify", crawl) == 3
    assert "fails" not in capsys.readouterr().out
    assert evidence("verify", tmp_path / "next") == 0


def test_waiting_rows_are_sealed_from_outside(crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = samples.begin(crawl, node="n3", at=300)
    samples.decide(log, 5, 6, at=301)
    assert evidence("checkpoint", crawl) == 0
    assert "in use" in capsys.readouterr().err
    log.release()
    assert evidence("checkpoint", crawl) == 0
    assert evidence("show", crawl, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["not sealed"] == 0


def test_a_witness_serves_and_is_asked(crawl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = crawl / "evidence" / "policy.txt"
    command = [
        sys.executable, "-c", "from optout.cli import main; main()", "evidence", "witness", "--serve",
        "--dir", str(tmp_path / "w"), "--name", "w.example", "--log", str(policy), "--port", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as witness:
        key = witness.stdout.readline().strip()
        url = witness.stderr.readline().split()[-1]
        policy.write_text(policy.read_text().replace("quorum none", f"witness w {key} {url}\nquorum w"))
        assert evidence("checkpoint", crawl) == 0
        witness.kill()
    assert "cosigned by w.example" in capsys.readouterr().err
    assert evidence("checkpoint", crawl) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_nothing_there_is_a_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence("verify", tmp_path) == 2
    assert "holds no evidence" in capsys.readouterr().err
