"""The evidence of an audit: its log names every file by its hash, and the decisions can be repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_store import MAY, make, state

from optout.acquisition.history import Store
from optout.audit import parts, sealing
from optout.audit.repeat import Repetition
from optout.audit.store_digest import Until, digest_of_states
from optout.cli import main
from optout.errors import EvidenceError
from optout.evidence import entries
from optout.evidence.checkpoint import parse as parse_checkpoint
from optout.evidence.files import file_hash
from optout.evidence.layout import Layout
from optout.evidence.ledger import TableLog
from optout.evidence.log import LogReader
from optout.evidence.note import parse as parse_note
from optout.evidence.replay import documents_in
from optout.evidence.report import Outcome, Report
from optout.evidence.verify import verify

OPEN = "User-agent: *\nDisallow: /private\n"
SHUT = "User-agent: *\nDisallow: /\n"
URLS = [
    "https://open.example/page", "https://open.example/private/x", "https://shut.example/page",
    "https://unknown.example/", None, "not a url",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(
        tmp_path_factory.mktemp("store"), state("https://open.example", OPEN), state("https://shut.example", SHUT)
    )


def dataset(folder: Path, files: int = 3, rows: int = 60) -> Path:
    folder.mkdir()
    for number in range(files):
        pq.write_table(pa.table({"url": URLS * (rows // len(URLS))}), folder / f"{number}.parquet")
    return folder


def audit(data, store, out, *arguments, code: int = 0):
    command = ["audit", str(data), "--store", str(store), "--out", str(out), "--quiet", "--workers", "1"]
    assert main([*command, *map(str, arguments)]) == code


def logged(out: Path, kind: str = entries.SHARD) -> list[dict]:
    layout = Layout(out / "evidence")
    size = parse_checkpoint(parse_note(layout.checkpoint.read_bytes()).text).size
    found = [entries.parse(data) for _, data in LogReader(layout, size).entries()]
    return [entry for entry in found if entry["v"] == kind]


def repeated(out: Path, store: Path) -> Report:
    return verify(out, repeat=Repetition(store, documents_in(out / "evidence/documents")))


def test_the_log_names_inputs_and_outputs_by_their_hashes(store, tmp_path):
    data = dataset(tmp_path / "in")
    audit(data, store, tmp_path / "out", "--what-if", "literal,retroactive")
    report = repeated(tmp_path / "out", store)
    assert report.outcome is Outcome.HOLDS, report.text
    assert report.steps[13].checked == 180
    shards = logged(tmp_path / "out")
    assert [(entry["file"], entry["rows"], entry["kept"]) for entry in shards] == [
        (f"{number}.parquet", 60, 10) for number in range(3)
    ]
    said = subprocess.run(["sha256sum", data / "0.parquet"], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == shards[0]["input_sha256"]
    (asked,) = logged(tmp_path / "out", entries.AUDIT)
    assert {one["name"] for one in asked["compared"]} == {"literal", "retroactive"}
    assert asked["store"]["origins"] == 2


def test_an_audit_that_is_run_again_logs_nothing_twice(store, tmp_path):
    data = dataset(tmp_path / "in")
    for _ in range(3):
        audit(data, store, tmp_path / "out")
    assert len(logged(tmp_path / "out")) == 3
    assert len(logged(tmp_path / "out", entries.AUDIT)) == len(logged(tmp_path / "out", entries.DOCUMENT)) // 3 == 1
    audit(data, store, tmp_path / "out", "--policy", "literal")
    assert len(logged(tmp_path / "out")) == 6
    assert repeated(tmp_path / "out", store).valid


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(folder: Path) -> None:
    (folder / "2.parquet.parquet").replace(folder / "1.parquet.parquet")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda out: flip(out / "decisions/1.parquet.parquet"), "decisions/1.parquet.parquet"),
        (lambda out: flip(out / "kept/2.parquet"), "kept/2.parquet"),
        (lambda out: (out / "kept/2.parquet").unlink(), "kept/2.parquet"),
        (lambda out: swap(out / "decisions"), "decisions/1.parquet.parquet"),
        (lambda out: (out / "report.json").write_text("{}"), "report.json"),
    ],
)
def test_whatever_is_changed_beside_the_log_is_named(store, tmp_path, harm, named):
    audit(dataset(tmp_path / "in"), store, tmp_path / "out")
    harm(tmp_path / "out")
    report = verify(tmp_path / "out")
    assert report.outcome is Outcome.FAILS
    assert named in {fault.file for fault in report.faults}


def test_a_file_that_nobody_logged_cannot_be_checked(store, tmp_path):
    audit(dataset(tmp_path / "in"), store, tmp_path / "out")
    (tmp_path / "out/decisions/more.parquet").write_bytes((tmp_path / "out/decisions/0.parquet.parquet").read_bytes())
    assert verify(tmp_path / "out").outcome is Outcome.INCOMPLETE


def test_decisions_that_were_never_made_do_not_come_out_again(store, tmp_path):
    """An auditor who writes what he likes can log its hash; judging again shows it."""
    audit(dataset(tmp_path / "in", files=1), store, tmp_path / "out")
    path = tmp_path / "out/decisions/0.parquet.parquet"
    table = pq.read_table(path)
    effects = ["permit" if row == 2 else effect for row, effect in enumerate(table["effect"].to_pylist())]
    place = table.column_names.index("effect")
    pq.write_table(table.set_column(place, "effect", pa.array(effects)), path)
    manifest = json.loads((tmp_path / "out/shards/0.parquet.json").read_text())
    manifest["outputs"]["decisions/0.parquet.parquet"] = file_hash(path)
    (tmp_path / "out/shards/0.parquet.json").write_text(json.dumps(manifest))
    audit(tmp_path / "in", store, tmp_path / "out")
    report = repeated(tmp_path / "out", store)
    assert [step.number for step in report.steps if step.faults] == [14], report.text
    assert report.faults[0].place == "row 2"


def test_a_store_that_has_grown_is_read_as_it_was_and_another_store_is_told(store, tmp_path):
    own = make(tmp_path / "store", state("https://open.example", OPEN), state("https://shut.example", SHUT))
    data = dataset(tmp_path / "in")
    audit(data, own, tmp_path / "out")
    before = digest_of_states(Store.open(own))
    assert before.digest == digest_of_states(Store.open(store)).digest
    make(own, state("https://open.example", SHUT, MAY + timedelta(days=200)))
    assert digest_of_states(Store.open(own)).digest != before.digest
    assert repeated(tmp_path / "out", own).outcome is Outcome.HOLDS
    make(own, state("https://open.example", SHUT, MAY - timedelta(days=200)))
    report = repeated(tmp_path / "out", own)
    assert report.outcome is Outcome.INCOMPLETE
    assert "other states" in report.text


def test_a_visit_that_went_on_counts_as_far_as_it_had_come(tmp_path):
    exchanges = state("https://a.example", OPEN)
    later = state("https://a.example", None, MAY + timedelta(minutes=5))[1:2]
    own = make(tmp_path / "store", exchanges, later)
    with Store.open(own) as opened:
        past = Until(opened, MAY + timedelta(minutes=1))
        (seen,) = past.states("https://a.example")
        assert seen.captured_at == MAY
        assert past.state("https://a.example", None) == past.state(
            "https://a.example", datetime(2030, 1, 1, tzinfo=UTC)
        )


def test_rows_that_were_judged_by_content_are_said_not_to_be_repeated(store, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"url": "https://open.example/a", "html": "<html></html>"}\n')
    audit(path, store, tmp_path / "out")
    report = repeated(tmp_path / "out", store)
    assert report.outcome is Outcome.INCOMPLETE
    assert "judged by their content" in report.text


COMMAND = [sys.executable, "-c", "from optout.cli import main; import sys; sys.exit(main(sys.argv[1:]))", "audit"]


def test_kills_at_any_moment_leave_one_log_without_duplicates(store, tmp_path):
    data = dataset(tmp_path / "in", files=12, rows=6000)
    whole = tmp_path / "whole"
    started = time.monotonic()
    audit(data, store, whole)
    length = time.monotonic() - started
    chance = random.Random(31)
    out = tmp_path / "out"
    for _ in range(4):
        process = subprocess.Popen(
            [*COMMAND, str(data), "--store", str(store), "--out", str(out), "--quiet", "--workers", "1"],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(0.4 + chance.random() * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
    audit(data, store, out)
    shards = logged(out)
    assert sorted(entry["shard"] for entry in shards) == sorted(f"{number}.parquet" for number in range(12))
    assert {entry["decisions_sha256"] for entry in shards} == {entry["decisions_sha256"] for entry in logged(whole)}
    report = repeated(out, store)
    assert report.outcome is Outcome.HOLDS, report.text


def test_workers_end_when_the_process_that_began_them_is_killed(store, tmp_path):
    data = dataset(tmp_path / "in", files=40, rows=6000)
    command = [*COMMAND, str(data), "--store", str(store), "--out", str(tmp_path / "out"), "--quiet", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list((tmp_path / "out/shards").glob("*.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    for _ in range(200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers are still there")


def test_machines_that_share_an_output_share_its_log(store, tmp_path):
    data = dataset(tmp_path / "in", files=5)
    for share in ("0/2", "1/2"):
        audit(data, store, tmp_path / "out", "--shard", share)
    assert len(logged(tmp_path / "out")) == 5
    assert verify(tmp_path / "out").valid


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "SMALLEST", 1)
    monkeypatch.setattr(parts, "PART_ROWS", 20)


def test_a_large_file_is_audited_in_parts_that_are_the_whole(store, tmp_path, small_parts):
    path = tmp_path / "big.parquet"
    pq.write_table(pa.table({"id": range(60), "url": URLS * 10}), path, row_group_size=7)
    audit(path, store, tmp_path / "out")
    shards = sorted((tmp_path / "out/decisions").iterdir())
    assert [pq.read_metadata(shard).num_rows for shard in shards] == [21, 21, 18]
    rows = [row for shard in shards for row in pq.read_table(shard).to_pylist()]
    assert [(row["file"], row["row"], row["url"]) for row in rows] == [
        ("big.parquet", number, url) for number, url in enumerate(URLS * 10)
    ]
    kept = pq.read_table(tmp_path / "out/kept/big.parquet")
    assert kept["id"].to_pylist() == [row["row"] for row in rows if row["kept"]]
    spans = sorted((entry["start"], entry["length"]) for entry in logged(tmp_path / "out"))
    assert [start for start, _ in spans] == [0, *(start + length for start, length in spans[:-1])]
    assert sum(length for _, length in spans) == path.stat().st_size
    assert repeated(tmp_path / "out", store).valid


def test_a_file_that_has_grown_into_parts_leaves_nothing_of_its_whole(store, tmp_path, small_parts, monkeypatch):
    path = tmp_path / "big.parquet"
    for rows, shards in ((12, 1), (60, 3), (42, 2), (12, 1)):
        pq.write_table(pa.table({"url": (URLS * 10)[:rows]}), path, row_group_size=7)
        audit(path, store, tmp_path / "out")
        assert len(list((tmp_path / "out/decisions").iterdir())) == shards
        assert len(list((tmp_path / "out/shards").iterdir())) == shards
        kept = tmp_path / "out/kept/big.parquet"
        assert pq.read_table(kept).num_rows == rows // 6
        assert repeated(tmp_path / "out", store).valid, (rows, repeated(tmp_path / "out", store).text)


def test_rows_of_an_audit_are_sealed_proved_and_erased_one_by_one(store, tmp_path, capsys):
    audit(dataset(tmp_path / "in", files=2, rows=600), store, tmp_path / "out")
    out = str(tmp_path / "out")
    capsys.readouterr()
    for _ in range(2):
        assert main(["evidence", "seal", out, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"shards": 2, "rows": 1200}
    segments = logged(tmp_path / "out", entries.SEGMENT)
    assert [entry["rows"] for entry in segments] == [600, 600]
    assert segments[0]["counts"] == {"deny": 500, "permit": 100}
    report = repeated(tmp_path / "out", store)
    assert report.outcome is Outcome.HOLDS, report.text
    bundle = tmp_path / "bundle.json"
    capsys.readouterr()
    assert main(["evidence", "prove", out, "--url", URLS[2], "--out", str(bundle)]) == 0
    assert "the newest of 200 decisions about the URL" in capsys.readouterr().err
    shown = json.loads(bundle.read_text())
    assert (shown["row"]["effect"], shown["row"]["reason"]) == ("deny", "robots.group.disallow")
    assert shown["row"]["states"]["ai-train"] == "reserved"
    assert main(["evidence", "verify", str(bundle), "--quiet"]) in {0, 3}
    assert "open.example" not in bundle.read_text()
    assert main(["evidence", "redact", out, "--url", URLS[2], "--basis", "Art. 17 GDPR", "--quiet"]) == 0
    assert repeated(tmp_path / "out", store).outcome is not Outcome.FAILS


def test_sealing_that_was_cut_short_goes_on(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "ROWS", 100)
    audit(dataset(tmp_path / "in", files=1, rows=600), store, tmp_path / "out")
    real, calls = TableLog.append, []

    def append(self, table):
        calls.append(table.num_rows)
        if len(calls) == 3:
            raise EvidenceError("no more")
        return real(self, table)

    monkeypatch.setattr(TableLog, "append", append)
    with pytest.raises(EvidenceError, match="no more"):
        list(sealing.seal(tmp_path / "out", MAY))
    assert list(sealing.seal(tmp_path / "out", MAY)) == [("0.parquet", 600)]
    assert [entry["first_seq"] for entry in logged(tmp_path / "out", entries.SEGMENT)] == [0, 100, 200, 300, 400, 500]
    assert verify(tmp_path / "out").outcome is Outcome.HOLDS


def test_a_shard_that_is_not_as_it_was_logged_is_not_sealed(store, tmp_path):
    audit(dataset(tmp_path / "in", files=1), store, tmp_path / "out")
    flip(tmp_path / "out/decisions/0.parquet.parquet")
    with pytest.raises(EvidenceError, match="not the shard that was logged"):
        list(sealing.seal(tmp_path / "out", MAY))


def test_rows_that_were_sealed_otherwise_than_they_were_decided_are_told(store, tmp_path, monkeypatch):
    audit(dataset(tmp_path / "in", files=1), store, tmp_path / "out")
    real = sealing._rows

    def lying(table, asked, purposes):
        rows = real(table, asked, purposes)
        allowed = pa.array(["permit"] * rows.num_rows).dictionary_encode()
        return rows.set_column(rows.column_names.index("effect"), "effect", allowed)

    monkeypatch.setattr(sealing, "_rows", lying)
    list(sealing.seal(tmp_path / "out", MAY))
    report = verify(tmp_path / "out")
    assert [step.number for step in report.steps if step.faults] == [13]
