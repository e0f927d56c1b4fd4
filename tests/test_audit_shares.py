"""One dataset in shares, as an array of jobs does it: together they are one audit, with one report."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date

import audit_dataset
import pytest
from policies_for_tests import FOLDER

from optout.audit.job import Job
from optout.cli import main

CODE = "from optout.cli import main; import sys; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return audit_dataset.store(tmp_path_factory.mktemp("store"))


def words(store, out, data, *more):
    return [str(word) for word in ("audit", data, "--store", store, "--out", out, "--workers", 1, "--quiet", *more)]


def test_shares_that_run_side_by_side_give_what_one_run_gives(store, tmp_path):
    data = audit_dataset.mixed(tmp_path / "in")
    assert main(words(store, tmp_path / "whole", data)) == 2
    shares = [words(store, tmp_path / "shared", data, "--shard", f"{share}/3", "--json") for share in range(3)]
    processes = [subprocess.Popen([sys.executable, "-c", CODE, *one], stdout=subprocess.PIPE) for one in shares]
    told = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
    # The one that has the file which is cut off says so; the others do not.
    assert sorted(process.returncode for process in processes) == [0, 0, 2]
    assert audit_dataset.snapshot(tmp_path / "shared") == audit_dataset.snapshot(tmp_path / "whole")
    assert any("policy" in one for one in told), "nobody wrote the report"
    assert main(["evidence", "verify", str(tmp_path / "shared/evidence")]) == 0


def test_a_share_that_was_lost_is_made_up_for_without_judging_the_others_again(store, tmp_path, capsys):
    data = audit_dataset.mixed(tmp_path / "in")
    (data / "cut.parquet").unlink()
    out = tmp_path / "out"
    for share in (0, 2):
        assert main(words(store, out, data, "--shard", f"{share}/3")) == 0
        assert "the last share writes the report" in capsys.readouterr().out
    assert not (out / "report.json").exists()
    done = {path: path.stat().st_mtime_ns for path in out.glob("shards/*.json")}
    assert main(words(store, out, data)) == 0
    assert json.loads((out / "report.json").read_text())["rows"]["judged"] == 150
    assert len(list(out.glob("shards/*.json"))) == 5
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_more_shares_than_files_do_nothing_and_do_it_well(store, tmp_path, capsys):
    data = tmp_path / "one.jsonl"
    data.write_text('{"url": "https://open.example/page"}\n')
    assert main(words(store, tmp_path / "out", data, "--shard", "7/9", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {"files": 0, "of": 1, "rows": 0, "kept": 0, "report": None}
    assert main(words(store, tmp_path / "out", data, "--shard", "0/9", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["judged"] == 1


def test_an_audit_outlasts_midnight_unless_the_policy_changes_then(store, tmp_path):
    for name in ("eu-gpai.toml", "protocols.toml", "agents.toml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    registry = tmp_path / "protocols.toml"
    days = [date(2026, 11, 26), date(2026, 11, 27)]
    policy = str(tmp_path / "own.toml")
    (tmp_path / "eu-gpai.toml").rename(policy)
    assert len({Job(store, policy, "Bot", day).digest() for day in days}) == 1
    text = registry.read_text()
    at = text.index("\n", text.index("[terms-of-service]"))
    registry.write_text(f"{text[:at]}\nenforce_from = 2026-11-27{text[at:]}")
    assert len({Job(store, policy, "Bot", day).digest() for day in days}) == 2
