"""A crawl's evidence from the first row to the signed log, through crashes, with several writers."""

from __future__ import annotations

import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import evidence_samples as samples
import pyarrow as pa
import pytest
from evidence_samples import begin, decide, later

from optout.errors import EvidenceError
from optout.evidence import journal as journals
from optout.evidence import loss, sealing
from optout.evidence.collect import collect
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.ledger import EvidenceLog, TableLog
from optout.evidence.report import Report
from optout.evidence.rows import decision_row
from optout.evidence.segment import table_of
from optout.evidence.verify import verify
from optout.model import Exchange


def assert_valid(report: Report) -> None:
    assert report.valid, report.text


def step(report: Report, number: int):
    return report.steps[number - 1]


def rows_checked(report: Report) -> int:
    return step(report, 8).checked + step(report, 9).checked - 1


def test_a_small_crawl_verifies(tmp_path: Path) -> None:
    samples.small(tmp_path)
    report = verify(tmp_path, now=later(300))
    assert_valid(report)
    assert step(report, 8).checked == 22
    assert len(list((tmp_path / "evidence" / "segments").iterdir())) == 3
    assert not list((tmp_path / "evidence").glob("*.jsonl.zst"))
    assert not list((tmp_path / "evidence" / "pending").iterdir())


def test_a_running_crawl_verifies_with_its_journal(tmp_path: Path) -> None:
    log = begin(tmp_path)
    decide(log, 1, 5)
    log.tick(later(61))
    decide(log, 2, 4)
    report = verify(tmp_path, now=later(100))
    assert_valid(report)
    assert rows_checked(report) == 9
    log.close(later(120))


def test_rows_are_sealed_when_there_are_enough(tmp_path: Path) -> None:
    log = begin(tmp_path, rows_per_segment=4)
    decide(log, 1, 9)
    log.tick(later(1))
    assert {path.name for path in (tmp_path / "evidence" / "segments").iterdir()} >= {
        "n1-000000000000000.parquet",
        "n1-000000000000004.parquet",
    }
    log.close(later(2))
    assert_valid(verify(tmp_path))


def test_the_log_beats_when_nothing_happens(tmp_path: Path) -> None:
    log = begin(tmp_path)
    log.tick(later(61))
    size = (tmp_path / "evidence" / "checkpoint").read_text().split("\n")[1]
    log.tick(later(600))
    assert (tmp_path / "evidence" / "checkpoint").read_text().split("\n")[1] == size
    log.tick(later(61 + 3601))
    assert (tmp_path / "evidence" / "checkpoint").read_text().split("\n")[1] == str(int(size) + 1)
    log.close(later(4000))
    assert_valid(verify(tmp_path))


def test_several_processes_share_a_log(tmp_path: Path) -> None:
    first = begin(tmp_path)
    second = begin(tmp_path, node="n2")
    for round_ in range(3):
        decide(first, 10 + round_, 3)
        decide(second, 20 + round_, 3)
        first.tick(later(61 + 61 * round_))
        second.tick(later(61 + 61 * round_))
    first.close(later(300))
    decide(second, 30, 2)
    second.close(later(310))
    report = verify(tmp_path, now=later(400))
    assert_valid(report)
    assert step(report, 8).checked == 20


def test_a_node_whose_writer_is_elsewhere_leaves_its_manifests(tmp_path: Path) -> None:
    first = begin(tmp_path)
    second = begin(tmp_path, node="n2")
    decide(second, 1, 3)
    second.close(later(10))
    assert [path.name for path in (tmp_path / "evidence" / "pending").glob("segment-*")] == [
        "segment-n2-000000000000000.parquet.json"
    ]
    first.close(later(20))
    report = verify(tmp_path)
    assert_valid(report)
    assert step(report, 8).checked == 3


def test_a_second_process_under_one_name_is_refused(tmp_path: Path) -> None:
    log = begin(tmp_path)
    with pytest.raises(EvidenceError, match="in use"):
        begin(tmp_path)
    log.close(later(1))


def test_a_log_keeps_its_name(tmp_path: Path) -> None:
    samples.small(tmp_path)
    with pytest.raises(EvidenceError, match="cannot become"):
        EvidenceLog(tmp_path / "evidence", node="n1", now=later(0), origin="other")
    with pytest.raises(EvidenceError, match="cannot name"):
        EvidenceLog(tmp_path / "new", node="n1", now=later(0), origin="with space")


def test_a_row_without_url_has_no_host(tmp_path: Path) -> None:
    log = begin(tmp_path)
    log.add({"v": 1, "kind": "note", "text": "anything", "list": [1, None, {"a": True}], "purpose": None, "agent": 7})
    log.add({"v": 1, "url": "not a url"})
    log.close(later(1))
    report = verify(tmp_path)
    assert step(report, 8).checked == 2
    assert not report.faults


def test_tables_are_sealed_directly(tmp_path: Path) -> None:
    rows = [
        decision_row(
            url=f"https://s{i % 7}.example/{i}", decided_at=later(i), stage="audit", agent="A", purpose="ai-train",
            effect="permit", reason="silence", policy="", registry="", identity="", exchanges="",
        ) | {"seq": i}
        for i in range(100)
    ]  # fmt: skip
    log = TableLog(tmp_path, node="audit-1", now=later(0))
    table = table_of(rows).drop_columns(["seq"])
    assert log.append(table) == 0
    assert log.append(pa.concat_tables([table] * 2)) == 100
    with pytest.raises(EvidenceError, match="in use"):
        TableLog(tmp_path, node="audit-1", now=later(0))
    log.close(later(1))
    report = verify(tmp_path)
    assert not report.faults
    assert step(report, 8).checked == 300
    again = TableLog(tmp_path, node="audit-1", now=later(2))
    assert again.next_seq == 300
    again.close(later(3))


def test_a_disk_that_refuses_stops_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = begin(tmp_path)
    decide(log, 1, 3)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journals.os, "fsync", full)
    with pytest.raises(EvidenceError, match="No space left"):
        decide(log, 2, 3)
    monkeypatch.undo()
    with pytest.raises(EvidenceError, match="stopped after an error"):
        log.add({"v": 1})
    with pytest.raises(EvidenceError, match="stopped after an error"):
        log.commit()
    with pytest.raises(EvidenceError):
        log.close(later(100))
    log = begin(tmp_path)
    log.close(later(200))
    assert_valid(verify(tmp_path))


class Power(BaseException):
    """The machine stops here."""


def _run(directory: Path) -> int:
    """A crawl with everything that writes; give how many rows were acknowledged."""
    done = 0
    log = begin(directory, rows_per_segment=4)
    try:
        for site in range(3):
            decide(log, site, 3, at=site)
            done += 3
            log.tick(later(61 * site + 61))
        log.close(later(400))
    finally:
        log.release()
    return done


def test_a_crash_at_every_rename_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of the moments at which a file gets its name, the machine stops; afterwards the log goes on."""
    replace = Path.replace
    countdown = [0]

    def stopping(self: Path, target: Path) -> Path:
        countdown[0] -= 1
        if countdown[0] < 0:
            raise Power
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stopping)
    stop, finished = 0, False
    while not finished:
        directory = tmp_path / str(stop)
        countdown[0] = stop
        try:
            _run(directory)
            finished = True
        except Power:
            countdown[0] = 10**9
        countdown[0] = 10**9
        before = verify(directory, now=later(900)) if (directory / "evidence" / "evidence.json").exists() else None
        log = begin(directory, at=500, rows_per_segment=4)
        decide(log, 9, 2, at=501)
        log.close(later(600))
        report = verify(directory, now=later(900))
        assert not report.faults, f"stopped at {stop}: {report.text}\n{before and before.text}"
        seqs = rows_checked(report)
        assert seqs >= 2
        stop += 1
    assert stop > 30


def test_a_node_elsewhere_is_collected(tmp_path: Path) -> None:
    """A node that does not sign keeps its directory on another machine; nothing is lost and nothing comes twice."""
    main = begin(tmp_path / "main")
    there = tmp_path / "there"
    for round_ in range(2):
        node = EvidenceLog(there / "evidence", node="far", now=later(round_), origin=samples.ORIGIN, signs=False)
        decide(node, round_, 4, at=round_)
        node.close(later(61 * round_ + 61))
        assert not (there / "evidence" / "checkpoint").exists()
        assert collect(Layout(there / "evidence"), Layout(tmp_path / "main" / "evidence")) == 5 - 3 * round_
    decide(main, 9, 3)
    main.close(later(300))
    report = verify(tmp_path / "main", now=later(400))
    assert_valid(report)
    assert step(report, 8).checked == 11
    other = begin(tmp_path / "other")
    other.close(later(1))
    with pytest.raises(EvidenceError, match="not a node"):
        collect(Layout(there / "evidence"), Layout(tmp_path / "nowhere"))


def test_a_node_s_damage_is_not_collected(tmp_path: Path) -> None:
    begin(tmp_path / "main").close(later(1))
    node = EvidenceLog(tmp_path / "there" / "evidence", node="far", now=later(0), origin=samples.ORIGIN, signs=False)
    decide(node, 1, 4)
    node.close(later(61))
    path = next((tmp_path / "there" / "evidence" / "segments").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(EvidenceError, match="hash of its manifest"):
        collect(Layout(tmp_path / "there" / "evidence"), Layout(tmp_path / "main" / "evidence"))


def test_a_node_does_not_bring_rows_in_the_place_of_others(tmp_path: Path) -> None:
    main = begin(tmp_path / "main", node="far")
    decide(main, 1, 4)
    main.close(later(61))
    node = EvidenceLog(tmp_path / "there" / "evidence", node="far", now=later(0), origin=samples.ORIGIN, signs=False)
    decide(node, 2, 4)
    node.close(later(61))
    with pytest.raises(EvidenceError, match=r"another .* already"):
        collect(Layout(tmp_path / "there" / "evidence"), Layout(tmp_path / "main" / "evidence"))
    assert_valid(verify(tmp_path / "main"))


def test_sealing_can_go_on_beside_the_crawl(tmp_path: Path) -> None:
    log = begin(tmp_path)
    decide(log, 1, 5)
    log.tick_soon(later(61))
    log.tick_soon(later(61))
    decide(log, 2, 5)
    log.close(later(62))
    report = verify(tmp_path)
    assert_valid(report)
    assert step(report, 8).checked == 10


def test_a_fault_beside_the_crawl_is_told_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = begin(tmp_path)
    monkeypatch.setattr(log, "tick", lambda now: (_ for _ in ()).throw(EvidenceError("no disk")))
    log.tick_soon(later(61))
    log._ticking.exception()
    for refused in (lambda: log.tick_soon(later(62)), log.commit, lambda: decide(log, 1, 1)):
        with pytest.raises(EvidenceError, match="no disk"):
            refused()
    log.release()


def test_whatever_goes_wrong_beside_the_crawl_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in the other thread is no reason to go on unlogged either."""
    log = begin(tmp_path)
    monkeypatch.setattr(log, "tick", lambda now: 1 // 0)
    log.tick_soon(later(61))
    log._ticking.exception()
    with pytest.raises(EvidenceError, match="sealing failed: ZeroDivisionError"):
        log.commit()
    log.release()


def test_rows_go_on_being_durable_while_a_segment_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing waits for nobody and nobody for it: commits are answered while it has been stopped half-way."""
    log = begin(tmp_path)
    decide(log, 1, 5)
    begun, go_on = threading.Event(), threading.Event()
    seal = sealing.seal_table

    def slow(*arguments: object, **named: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return seal(*arguments, **named)

    monkeypatch.setattr(sealing, "seal_table", slow)
    log.tick_soon(later(61))
    assert begun.wait(60)
    for site in range(2, 6):
        log.add(journal_row(site))
        assert log.commit() == 3 + site
    go_on.set()
    log.close(later(62))
    report = verify(tmp_path)
    assert not report.faults, report.text
    assert step(report, 8).checked == 9


def journal_row(site: int) -> dict:
    return {"v": 1, "kind": "note", "url": f"https://site-{site}.example/", "effect": "permit", "t": 0}


# Disks that refuse: real ones.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield place
    subprocess.run(["mount", "-o", "remount,rw", str(place)], capture_output=True, check=False)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_log_and_loses_nothing(small_disk: Path) -> None:
    log = begin(small_disk)
    decide(log, 1, 3)
    acknowledged = log.journal.tip.next_seq
    refusal = None
    while refusal is None:
        log.add(journal_row(1) | {"noise": secrets.token_hex(8000)})
        try:
            acknowledged = log.commit() + 1
        except EvidenceError as fault:
            refusal = str(fault)
    assert "No space left on device" in refusal
    assert "free or repair the disk" in refusal
    with pytest.raises(EvidenceError, match="stopped after an error"):
        log.commit()
    with pytest.raises(EvidenceError):
        log.close(later(70))
    stopped = verify(small_disk)
    assert not stopped.faults, stopped.text
    assert step(stopped, 8).checked + step(stopped, 9).checked >= acknowledged
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    log = begin(small_disk, at=100)
    decide(log, 2, 3, at=101)
    log.close(later(200))
    report = verify(small_disk, now=later(300))
    assert not report.faults, report.text
    assert step(report, 8).checked == acknowledged + 3


def test_no_row_is_written_whose_exchanges_the_disk_has_refused(small_disk: Path) -> None:
    log = begin(small_disk)
    decide(log, 1, 3)
    acknowledged = log.journal.tip.next_seq
    noise = {f"/{number}": secrets.token_bytes(100_000) for number in range(30)}
    for path, body in noise.items():
        log.write(Exchange(f"https://site-2.example{path}", "resource", 200, body=body, fetched_at=samples.NOW))
        log.add(journal_row(2))
    with pytest.raises(EvidenceError, match="No space left on device"):
        log.commit()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    log.release()
    log = begin(small_disk, at=100)
    assert log.journal.tip.next_seq == acknowledged
    log.close(later(200))
    assert_valid(verify(small_disk, now=later(300)))


def test_a_disk_that_fills_up_while_sealing_loses_nothing(small_disk: Path) -> None:
    log = begin(small_disk)
    for number in range(60):
        log.add(journal_row(number) | {"noise": secrets.token_hex(8000)})
    acknowledged = log.commit() + 1
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk / 'ballast'}"], capture_output=True, check=False)
    with pytest.raises(EvidenceError, match="No space left on device"):
        log.tick(later(61))
    log.release()
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    log = begin(small_disk, at=100)
    log.close(later(200))
    report = verify(small_disk, now=later(300))
    assert not report.faults, report.text
    assert step(report, 8).checked == acknowledged


def test_a_read_only_disk_is_refused_at_once(small_disk: Path) -> None:
    begin(small_disk).close(later(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EvidenceError, match=r"Read-only file system.*nothing may go on unlogged"):
        begin(small_disk, at=100)


def test_a_disk_that_becomes_read_only_stops_the_log(small_disk: Path) -> None:
    log = begin(small_disk)
    decide(log, 1, 3)
    log.checkpoint(later(5))
    subprocess.run(["mount", "-o", "remount,ro,force", str(small_disk)], capture_output=True, check=False)
    if subprocess.run(["touch", str(small_disk / "probe")], capture_output=True, check=False).returncode == 0:
        log.release()
        pytest.skip("a file system with open files cannot be made read-only here")
    with pytest.raises(EvidenceError, match="Read-only file system"):
        decide(log, 2, 3)
    log.release()


# A loss that is declared.


def declared(directory: Path) -> int:
    layout = Layout(directory / "evidence")
    return loss.declare(layout, KeyStore(layout.private), samples.ORIGIN, "n1", reason="the disk broke", now=later(90))


@pytest.mark.parametrize("damage", ["gone", "cut", "overwritten"])
def test_a_loss_can_be_declared_and_the_log_goes_on(tmp_path: Path, damage: str) -> None:
    log = begin(tmp_path)
    for site in range(1, 5):
        decide(log, site, 3)
    log.release()
    (journal,) = (tmp_path / "evidence").glob("*.zst")
    data = bytearray(journal.read_bytes())
    if damage == "gone":
        journal.unlink()
    else:
        data[len(data) // 2] ^= 1
        journal.write_bytes(data if damage == "overwritten" else data[: len(data) * 3 // 5])
    with pytest.raises(EvidenceError, match=r"missing|damaged"):
        begin(tmp_path, at=80)
    lost = declared(tmp_path)
    assert lost == 12 if damage == "gone" else lost in {3, 6, 9}
    with pytest.raises(EvidenceError, match="no row"):
        declared(tmp_path)
    log = begin(tmp_path, at=100)
    decide(log, 9, 2, at=101)
    log.close(later(200))
    report = verify(tmp_path, now=later(300))
    assert not report.faults, report.text
    assert step(report, 8).checked == 12 - lost + 2
    assert f"{lost} rows of n1" in report.text
