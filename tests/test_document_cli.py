"""The command, on a real crawl of the demonstration's own sites."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from document_samples import FULL_FACTS

from optout.cli import main
from policies.claims import claims
from policies.evidence_facts import AuditFault, Observed, read_audit, read_log
from policies.gap_analysis import watched
from policies.render import FORMS


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """A crawl of the demonstration's sites, in a process of its own, because Twisted runs once."""
    out = tmp_path_factory.mktemp("crawl") / "demo"
    command = [sys.executable, "-c", "from optout.cli import main; main()", "demo", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env={**os.environ, "NO_COLOR": "1"})
    if not (out / "evidence" / "checkpoint").exists():
        pytest.skip(f"the demonstration did not crawl: {done.stderr.decode()[-300:]}")
    return out


@pytest.fixture
def facts_file(tmp_path):
    path = tmp_path / "provider.toml"
    path.write_text(FULL_FACTS, encoding="utf-8")
    return path


def document(name, *options):
    return main(["document", name, *map(str, options)])


def test_the_log_says_what_the_crawl_did(crawl):
    log = read_log(crawl)
    assert log.holds
    assert len(log.root) == 64
    assert [regime.policy.name for regime in log.regimes] == ["eu-gpai"]
    assert log.tokens == ("OptOutBot",)
    assert log.kept_without_permission == 0
    assert sum(row.count for row in log.decisions) == 34
    assert {"robots.unreachable", "robots.group.disallow"} <= {row.reason for row in log.decisions}


@pytest.mark.parametrize("name", ["applicability", "copyright-policy", "gap-analysis", "public-summary"])
def test_every_document_has_every_form_and_stable_bytes(name, crawl, facts_file, tmp_path):
    for suffix in FORMS:
        if suffix == ".csv":
            continue
        made = []
        for number in (1, 2):
            out = tmp_path / f"{number}{suffix}"
            assert document(name, "--facts", facts_file, "--evidence", crawl, "--out", out) == 0
            made.append(out.read_bytes())
        assert made[0] == made[1]
        assert made[0]


def test_a_damaged_log_bears_no_statement(crawl, facts_file, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(crawl / "evidence", copy / "evidence")
    shutil.copytree(crawl / "signals", copy / "signals")
    (segment,) = (copy / "evidence" / "segments").glob("*.parquet")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    out, told = tmp_path / "policy.json", io.StringIO()
    with redirect_stderr(told):
        assert document("copyright-policy", "--facts", facts_file, "--evidence", copy, "--out", out) == 0
    assert json.loads(out.read_text())["data"]["claims"] == []
    assert "does not verify" in told.getvalue()


@pytest.mark.parametrize("text", ["{broken", "[]", "3", '{"/robots.txt": []}'])
@pytest.mark.parametrize("column", ["coverage", "signals"])
def test_a_row_that_was_rewritten_is_shown_as_nothing(crawl, tmp_path, column, text):
    copy = tmp_path / "copy"
    shutil.copytree(crawl / "evidence", copy / "evidence")
    shutil.copytree(crawl / "signals", copy / "signals")
    (segment,) = (copy / "evidence" / "segments").glob("*.parquet")
    table = pq.read_table(segment)
    spoilt = pa.array([text] * table.num_rows, table.schema.field(column).type)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, spoilt), segment)
    log = read_log(copy)
    assert not log.holds
    assert claims(Observed((log,))) == ()


def test_a_policy_version_is_put_on_record(crawl, facts_file, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(crawl / "evidence", copy / "evidence")
    shutil.copytree(crawl / "signals", copy / "signals")
    out = tmp_path / "policy.md"
    before = read_log(copy)
    assert document("copyright-policy", "--facts", facts_file, "--evidence", copy, "--out", out, "--record", copy) == 0
    after = read_log(copy)
    assert after.holds
    assert after.size == before.size + 1
    digest = sha256(out.read_bytes()).hexdigest()
    assert (copy / "evidence" / "documents" / digest).read_bytes() == out.read_bytes()
    assert document("copyright-policy", "--facts", facts_file, "--record", copy) == 2


def test_what_is_overdue_is_said(facts_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("policies.gap_analysis.overdue", lambda *_: watched()[:1])
    assert document("applicability", "--facts", facts_file, "--out", tmp_path / "x.md") == 0
    assert watched()[0].what in capsys.readouterr().err


def test_strict_fails_with_the_list(tmp_path, capsys):
    empty = tmp_path / "provider.toml"
    empty.write_bytes(b"")
    out = tmp_path / "policy.md"
    assert document("copyright-policy", "--facts", empty, "--out", out, "--strict") == 1
    assert not out.exists()
    told = capsys.readouterr().err
    assert "provider.name" in told
    assert "owners.measure_1_3" in told


def test_strict_passes_where_nothing_is_missing(crawl, facts_file, tmp_path):
    out = tmp_path / "policy.md"
    assert document("public-summary", "--facts", facts_file, "--evidence", crawl, "--out", out, "--strict") == 0
    assert "Missing" not in out.read_text()


def test_errors_name_the_mend(tmp_path, capsys, facts_file):
    assert document("novel", "--facts", facts_file) == 2
    assert "copyright-policy" in capsys.readouterr().err
    assert document("applicability", "--facts", tmp_path / "none.toml") == 2
    assert "document init" in capsys.readouterr().err
    assert document("applicability", "--facts", facts_file, "--out", tmp_path / "x.pdf") == 2
    assert document("applicability", "--facts", facts_file, "--evidence", tmp_path) == 2
    assert document("applicability", "--facts", facts_file, "--audit", tmp_path) == 2


def test_a_form_that_needs_a_log_says_so(tmp_path, capsys, facts_file):
    assert document("crawler-page", "--facts", facts_file, "--out", tmp_path / "feed.atom") == 2
    assert "crawler-page as .atom" in capsys.readouterr().err
    assert document("training-summary", "--facts", facts_file, "--out", tmp_path / "list.csv") == 2
    assert "evidence that domains can be listed from" in capsys.readouterr().err
    assert list(tmp_path.glob("*.csv")) == []


def test_a_log_that_is_named_twice_counts_once(tmp_path, facts_file, crawl):
    made = []
    for number, more in enumerate(([], [crawl], [crawl / "evidence"], [crawl / "evidence" / ".."])):
        made.append(tmp_path / f"{number}.md")
        named = [word for directory in (*more, crawl) for word in ("--evidence", directory)]
        assert document("training-summary", "--facts", facts_file, *named, "--out", made[-1]) == 0
    assert len({path.read_bytes() for path in made}) == 1


def test_two_copies_of_a_log_are_refused(tmp_path, capsys, facts_file, crawl):
    shutil.copytree(crawl, tmp_path / "copy")
    named = ("--evidence", crawl, "--evidence", tmp_path / "copy")
    assert document("copyright-policy", "--facts", facts_file, *named) == 2
    assert "named twice" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["", "https://newspaper.test/", "*.newspaper.test"])
def test_a_report_on_what_is_no_host_is_refused(capsys, facts_file, crawl, host):
    assert document("evidence-report", "--facts", facts_file, "--evidence", crawl, "--host", host) == 2
    assert "is no host" in capsys.readouterr().err


def test_a_summary_that_is_older_than_what_it_tells_is_warned_of(tmp_path, capsys, crawl):
    for day, warned in (("2020-01-01", True), ("9999-12-31", False)):
        (tmp_path / "facts.toml").write_text(f"[summary]\nupdated = {day}\n")
        facts = ("--facts", tmp_path / "facts.toml", "--evidence", crawl)
        assert document("training-summary", *facts, "--out", tmp_path / "summary.md") == 0
        assert ("date the summary anew" in capsys.readouterr().err) is warned


def test_days_in_the_wrong_order_are_refused(tmp_path, capsys, facts_file, crawl):
    days = ("--since", "2026-12-01", "--until", "2026-11-01")
    assert document("evidence-report", "--facts", facts_file, "--evidence", crawl, *days) == 2
    assert "--since" in capsys.readouterr().err


def test_init_writes_what_can_be_read_and_overwrites_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "provider.toml"
    monkeypatch.setattr("sys.stdin", io.StringIO("0\n\n0\nExample AI\n"))
    assert document("init", "--facts", path) == 0
    text = path.read_text(encoding="utf-8")
    assert 'name = "Example AI"' in text
    assert document("init", "--facts", path) == 2
    assert path.read_text(encoding="utf-8") == text


def test_an_audit_that_cannot_be_read_is_an_error(tmp_path):
    for data in (b"", b"[]", b"\xff"):
        (tmp_path / "report.json").write_bytes(data)
        with pytest.raises(AuditFault):
            read_audit(Path(tmp_path))
    (tmp_path / "report.json").write_bytes(b'{"rows": {"judged": 3, "kept": 1}}')
    assert read_audit(tmp_path).rows == {"judged": 3, "kept": 1}
