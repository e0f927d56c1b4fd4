"""The journal keeps what it acknowledged, refuses what no crash explains, and stops when the disk does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from optout.errors import EvidenceError
from optout.evidence import journal as module
from optout.evidence.journal import Damage, Journal, JournalError, Place, rows, scan


def _row(number: int) -> dict[str, object]:
    return {"v": 1, "host": f"example,site-{number})/", "fetch": {"done": False}}


def _hosts(directory: Path) -> list[str]:
    return [row["host"] for _, row in rows(directory, node="n1")]


def test_append_is_readable_with_zstdcat_and_numbered(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        assert journal.append([_row(0), _row(1)]) == 1
        assert journal.append([_row(2)]) == 2
    with (tmp_path / "n1-000000000000000.jsonl.zst").open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    assert text.count(b"\n") == 3
    assert [place for place, _ in rows(tmp_path, node="n1")] == [
        Place("n1-000000000000000.jsonl.zst", 0, 0),
        Place("n1-000000000000000.jsonl.zst", 0, 1),
        Place("n1-000000000000000.jsonl.zst", 1, 0),
    ]


def test_add_is_not_durable_before_commit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, node="n1")
    assert journal.add(_row(0)) == 0
    assert journal.pending == 1
    assert _hosts(tmp_path) == []
    assert journal.commit() == 0
    assert journal.pending == 0
    assert len(_hosts(tmp_path)) == 1
    journal.close()


def test_files_never_exceed_their_rows_and_the_chain_runs_on(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1", rows_per_file=3) as journal:
        journal.append([_row(i) for i in range(8)])
        assert [path.name for path in journal.ended_files()] == [
            "n1-000000000000000.jsonl.zst",
            "n1-000000000000003.jsonl.zst",
        ]
    with Journal(tmp_path, node="n1", rows_per_file=3) as journal:
        assert journal.open_rows == 2
        journal.append([_row(8), _row(9)])
    assert [row["seq"] for _, row in rows(tmp_path, node="n1")] == list(range(10))


def test_two_nodes_share_a_directory(tmp_path: Path) -> None:
    with Journal(tmp_path, node="a") as one, Journal(tmp_path, node="a-1") as two:
        one.append([_row(0)])
        two.append([_row(1)])
    assert [row["node"] for _, row in rows(tmp_path, node="a")] == ["a"]
    assert [row["node"] for _, row in rows(tmp_path, node="a-1")] == ["a-1"]


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1"), pytest.raises(JournalError, match=f"process {os.getpid()}"):
        Journal(tmp_path, node="n1")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_a_node_name_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError):
        Journal(tmp_path, node=name)


@pytest.mark.parametrize("value", [1.5, 2**53, {"é": 1}, b"bytes", {1: 2}, "\ud800"])
def test_a_row_outside_the_profile_is_refused_before_it_takes_a_number(tmp_path: Path, value: object) -> None:
    with Journal(tmp_path, node="n1") as journal:
        with pytest.raises(EvidenceError):
            journal.add({"v": value})  # type: ignore[dict-item]
        assert journal.add({"v": 1}) == 0


def test_every_cut_of_the_last_frame_keeps_the_frames_before(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        journal.append([_row(0), _row(1)])
        kept = journal.files()[0].stat().st_size
        head = (tmp_path / "n1.head").read_bytes()
        journal.append([_row(2)])
    path = tmp_path / "n1-000000000000000.jsonl.zst"
    whole = path.read_bytes()
    for cut in range(kept + 1, len(whole)):
        path.write_bytes(whole[:cut])
        (tmp_path / "n1.head").write_bytes(head)
        with Journal(tmp_path, node="n1") as journal:
            assert journal.tip.next_seq == 2
            journal.append([_row(7)])
        assert _hosts(tmp_path)[2:] == ["example,site-7)/"]


def test_a_cut_first_frame_leaves_an_empty_journal(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        journal.append([_row(0)])
    path = tmp_path / "n1-000000000000000.jsonl.zst"
    path.write_bytes(path.read_bytes()[:20])
    (tmp_path / "n1.head").unlink()
    with Journal(tmp_path, node="n1") as journal:
        assert journal.append([_row(3)]) == 0
    assert _hosts(tmp_path) == ["example,site-3)/"]
    assert [torn.name for torn in tmp_path.glob("*.torn")] == ["n1-000000000000000.jsonl.0.torn"]


def test_acknowledged_rows_cut_off_are_missed_and_nothing_is_removed(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        journal.append([_row(0)])
        journal.append([_row(1)])
    path = tmp_path / "n1-000000000000000.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    with pytest.raises(JournalError, match="its head says 2"):
        Journal(tmp_path, node="n1")
    assert path.read_bytes() == before


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        journal.append([_row(0)])
        journal.append([_row(1)])
        tip = journal.tip
    path = tmp_path / "n1-000000000000000.jsonl.zst"
    whole = path.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        frames, damage = scan(path, module.Tip(0, module.GENESIS))
        assert damage is not None, position
        assert not frames or frames[-1].after != tip


def test_damage_in_the_middle_is_refused_and_named(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        for number in range(3):
            journal.append([_row(number)])
    path = tmp_path / "n1-000000000000000.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[150] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match=r"n1-000000000000000.jsonl.zst is damaged \(frame 0"):
        Journal(tmp_path, node="n1")
    with pytest.raises(JournalError):
        list(rows(tmp_path, node="n1"))


def test_a_row_with_a_foreign_number_is_found(tmp_path: Path) -> None:
    with Journal(tmp_path, node="n1") as journal:
        journal._buffer.append(b'{"seq":7}')
        journal._next += 1
        journal.commit()
    found = list(module.check(tmp_path / "n1-000000000000000.jsonl.zst", None))
    assert isinstance(found[-1], Damage)
    assert "row 0" in found[-1].what


def test_a_full_disk_stops_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, node="n1")
    journal.append([_row(0)])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(EvidenceError, match="No space left on device"):
        journal.append([_row(1)])
    monkeypatch.undo()
    with pytest.raises(JournalError, match="stopped after an error"):
        journal.add(_row(2))
    journal.close()


def test_a_journal_in_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EvidenceError, match="cannot write evidence"):
        Journal(tmp_path / "file", node="n1")


_CRASH = """
import sys
from pathlib import Path
from optout.evidence.journal import Journal
journal = Journal(Path(sys.argv[1]), node="n1", rows_per_file=50)
while True:
    print(journal.append([{"v": 1, "text": "x" * 200}] * 3), flush=True)
"""


def _killed_writer(directory: Path, acknowledged: int) -> int:
    """Kill a writer some time after it has acknowledged a row; give the last row that it acknowledged."""
    last = -1
    with subprocess.Popen([sys.executable, "-c", _CRASH, str(directory)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.endswith("\n"):
                last = int(line)
            if last >= acknowledged:
                process.kill()
    return last


def test_a_killed_writer_loses_no_acknowledged_row(tmp_path: Path) -> None:
    acknowledged = 0
    for _ in range(5):
        acknowledged = _killed_writer(tmp_path, acknowledged + 60)
        with Journal(tmp_path, node="n1", rows_per_file=50) as journal:
            assert journal.tip.next_seq > acknowledged
        assert [row["seq"] for _, row in rows(tmp_path, node="n1")] == list(range(journal.tip.next_seq))
