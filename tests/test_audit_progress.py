"""How far an audit is, of files too that are read for hours."""

from __future__ import annotations

import gzip
import io
import tarfile
from datetime import date
from threading import Event, Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_store import make, state

from optout.audit import local
from optout.audit.formats import Columns, format_of
from optout.audit.job import Job, inputs
from optout.audit.reading import READING
from optout.audit.shard import Manifest
from optout.cli import audit_progress

ROWS = 200_000
URL = "https://open.example/a/page/with/a/path/that/is/rather/long"


def lines(path):
    path.write_bytes(b'{"url": "%s"}\n' % URL.encode() * ROWS)


def packed(path):
    path.write_bytes(gzip.compress(b"".join(b'{"url": "%s/%d"}\n' % (URL.encode(), row) for row in range(ROWS)), 1))


def table(path):
    pq.write_table(pa.table({"url": [f"{URL}/{row}" for row in range(ROWS)]}), path, row_group_size=ROWS // 4)


def records(path):
    record = f"WARC/1.1\r\nWARC-Type: resource\r\nWARC-Target-URI: {URL}\r\nContent-Length: 2000\r\n\r\n"
    path.write_bytes((record.encode() + b"x" * 2000 + b"\r\n\r\n") * 36_000)


def members(path):
    with tarfile.open(path, "w") as tar:
        for number in range(66_000):
            data = b'{"url": "%s"}' % URL.encode()
            about = tarfile.TarInfo(f"{number}.json")
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))


FORMS = {"a.jsonl": lines, "a.jsonl.gz": packed, "a.parquet": table, "a.warc": records, "a.tar": members}


@pytest.mark.parametrize("name", FORMS)
def test_reading_is_counted_while_it_goes_on(name, tmp_path):
    path = tmp_path / name
    FORMS[name](path)
    with READING.under_way():
        seen = [READING.octets for _ in format_of(name).read(path, Columns(), lambda *_: None)]
    assert len(seen) > 1
    assert 0 < seen[0] < path.stat().st_size, "nothing was seen before the end"
    assert sorted(seen) == seen
    assert READING.octets == 0


def test_the_processes_of_a_pool_count_together(tmp_path):
    for number in range(3):
        lines(tmp_path / f"{number}.jsonl")
    store = make(tmp_path / "store", state("https://open.example", None))
    job = Job(store, "eu-gpai", "OptOutBot", date(2026, 11, 23))
    seen, end = set(), Event()

    def watch():
        while not end.wait(0.005):
            seen.add(READING.octets)

    watching = Thread(target=watch)
    watching.start()
    made = local.run(job, inputs([str(tmp_path / "*.jsonl")]), tmp_path / "out", 2)
    assert [manifest.rows for manifest in made] == [ROWS] * 3
    end.set()
    watching.join()
    assert max(seen) > 0
    assert READING.octets == 0, "what is done is not under way"


def test_without_a_terminal_a_line_tells_now_and_then_how_far_the_reading_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit_progress, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(audit_progress, "_PLAIN_SECONDS", 0.05)
    (tmp_path / "a.jsonl").write_bytes(b"x" * 1_000)
    (tmp_path / "b.jsonl").write_bytes(b"x" * 3_000)
    said = ""
    with READING.under_way(), audit_progress.Bar(inputs([str(tmp_path)]), quiet=False) as bar:
        bar.step(Manifest("a.jsonl", "", [], rows=7))
        READING.add(1_500)
        while "audited 1 of 2 files, 7 rows, 62% done, about 0:00:0" not in said:
            said += capsys.readouterr().err
    assert "audited 1 of 2 files, 7 rows\n" in said
