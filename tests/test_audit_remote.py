"""Datasets and outputs in an object store: a real S3 server on this machine, and what goes wrong with one."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing, contextmanager
from io import BytesIO

import audit_dataset
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optout.audit import parts
from optout.audit.storage import Remote, listed, location
from optout.cli import main

NEEDED = "needs the extras remote and interop: make test EXTRAS=interop"


@pytest.fixture(scope="module")
def server():
    """An S3 server on a port of this machine."""
    threaded = pytest.importorskip("moto.moto_server.threaded_moto_server", reason=NEEDED)
    running = threaded.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server, monkeypatch):
    """A client of its own, with an empty bucket; our commands find the server by the usual variables."""
    s3fs = pytest.importorskip("s3fs", reason=NEEDED)
    names = {"AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (names | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = s3fs.S3FileSystem(use_listings_cache=False)
    if client.exists("bucket"):
        client.rm("bucket", recursive=True)
    client.mkdir("bucket")
    return client


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return audit_dataset.store(tmp_path_factory.mktemp("store"))


def audit(store, out, *data, workers=1):
    words = ["audit", *data, "--store", store, "--out", out, "--workers", workers, "--quiet"]
    return main([str(word) for word in words])


def test_data_and_output_in_a_bucket_give_the_same_bytes(store, s3, tmp_path, capsys):
    data = audit_dataset.mixed(tmp_path / "in")
    s3.put(f"{data}/", "bucket/in/", recursive=True)
    assert audit(store, tmp_path / "local", data) == 2
    capsys.readouterr()
    assert audit(store, "s3://bucket/out", "s3://bucket/in") == 2
    said = capsys.readouterr().err
    assert "s3://bucket/in/cut.parquet: " in said
    assert str(tmp_path.parents[2]) not in said
    s3.get("bucket/out/", f"{tmp_path}/remote/", recursive=True)
    local, remote = (audit_dataset.snapshot(tmp_path / name) for name in ("local", "remote"))
    written = {name for name in local if name.startswith(("decisions/", "kept/"))}
    assert {name: remote[name] for name in written} == {name: local[name] for name in written}
    reports = [json.loads(one["report.json"]) for one in (local, remote)]
    verifying = [report["advice"].pop()["command"] for report in reports]
    assert verifying == [f"optout evidence verify {name} --store STORE" for name in ("OUT", "COPY")]
    for report in reports:
        del report["faults"]
        for file in report["files"]:
            file["unreadable"] = file["unreadable"] is not None
    assert reports[0] == reports[1]
    assert remote.keys() == local.keys()


def test_origins_that_nobody_knows_are_harvested_from_the_bucket(s3, tmp_path, capsys):
    store, server = tmp_path / "store", tmp_path / "saved"
    (server / "open.example").mkdir(parents=True)
    (server / "open.example" / "robots.txt").write_bytes(b"User-agent: *\nAllow: /\n")
    assert main(["harvest", "--store", str(store), "--import", str(server)]) == 0
    s3.pipe_file("bucket/in/a.jsonl", b'{"url": "http://127.0.0.1:9/page"}\n')
    assert audit(store, "s3://bucket/out", "s3://bucket/in/*.jsonl") == 0
    capsys.readouterr()
    assert main(["harvest", "s3://bucket/out/unknown-origins.txt", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["harvested"]["origins"] == {"unreachable": 1}
    assert main(["harvest", "s3://bucket/out/no-such.txt", "--store", str(store)]) == 2
    assert "s3://bucket/out/no-such.txt: no such object or bucket" in capsys.readouterr().err


def test_an_output_in_the_folder_that_is_read_is_not_read(store, s3):
    s3.pipe_file("bucket/a.jsonl", b'{"url": "https://open.example/page"}\n')
    for _ in range(2):
        assert audit(store, "s3://bucket/out/", "s3://bucket") == 0
        assert json.loads(s3.cat_file("bucket/out/report.json"))["rows"]["judged"] == 1
    assert audit(store, "s3://bucket/out", "s3://bucket/out/kept") == 2


def test_names_of_objects_may_be_what_no_file_s_may(store, s3, tmp_path):
    names = ["a::b.jsonl", "a?.jsonl", "b[1].jsonl", f"{'n' * 300}.jsonl", "../up.jsonl"]
    for name in names:
        s3.pipe_file(f"bucket/in/{name}", b'{"url": "https://open.example/page"}\n')
    s3.pipe_file("bucket/in/folder.jsonl/", b"")
    for out in (tmp_path / "out", "s3://bucket/out"):
        assert audit(store, out, "s3://bucket/in") == 0
    assert len(list((tmp_path / "out/decisions").iterdir())) == len(names)
    assert len(s3.find("bucket/out/kept")) == len(names)
    assert audit(store, tmp_path / "one", "s3://bucket/in/b[1].jsonl") == 0


@pytest.fixture
def own(tmp_path):
    """A store that no other test audits with; the log of an output in a bucket lies with it."""
    return audit_dataset.store(tmp_path / "own")


def there(s3):
    """Every object of the log of the output."""
    return {name.removeprefix("bucket/out/"): s3.cat_file(name) for name in s3.find("bucket/out")}


def verified(s3, folder, store):
    """Whether a copy of the output folder is in order, as who knows nothing else finds."""
    for name, data in there(s3).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return main(["evidence", "verify", str(folder), "--store", str(store)])


def test_the_log_of_an_output_in_a_bucket_is_there_without_its_keys(own, s3, tmp_path, capsys):
    s3.pipe_file("bucket/in/a.jsonl", b'{"url": "https://open.example/page"}\n')
    assert audit(own, "s3://bucket/out", "s3://bucket/in/*.jsonl") == 0
    s3.pipe_file("bucket/in/b.jsonl", b'{"url": "https://shut.example/page"}\n')
    assert audit(own, "s3://bucket/out", "s3://bucket/in/*.jsonl") == 0
    assert verified(s3, tmp_path / "copy", own) == 0
    assert not any("private" in name for name in there(s3))
    s3.pipe_file("bucket/out/kept/b.jsonl", b'{"url": "https://shut.example/page"}\n')
    capsys.readouterr()
    assert verified(s3, tmp_path / "another", own) == 1
    assert "kept/b.jsonl" in capsys.readouterr().out


def test_a_file_that_has_grown_into_parts_leaves_nothing_of_its_whole_there(own, s3, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "SMALLEST", 1)
    monkeypatch.setattr(parts, "PART_ROWS", 20)
    path, urls = tmp_path / "big.parquet", ["https://open.example/page", "https://shut.example/page"] * 30
    s3.pipe_file("bucket/out/kept/bigger.parquet/part-00000.parquet", b"of another dataset")
    for rows, shards in ((12, 1), (60, 3), (42, 2), (12, 1)):
        pq.write_table(pa.table({"url": urls[:rows]}), path, row_group_size=7)
        assert audit(own, "s3://bucket/out", path) == 0
        found = there(s3)
        kept = [data for name, data in found.items() if name.startswith("kept/big.parquet")]
        assert sum(pq.read_table(BytesIO(data)).num_rows for data in kept) == rows // 2
        assert sum(name.startswith("decisions/") for name in found) == len(kept) == shards
        assert "kept/bigger.parquet/part-00000.parquet" in found
    s3.rm("bucket/out/kept/bigger.parquet/part-00000.parquet")
    assert verified(s3, tmp_path / "copy", own) == 0


def test_the_log_of_another_machine_is_left_as_it_is(own, s3, tmp_path, capsys):
    s3.pipe_file("bucket/in/a.jsonl", b'{"url": "https://open.example/page"}\n')
    assert audit(own, "s3://bucket/out", "s3://bucket/in") == 0
    before = {name: data for name, data in there(s3).items() if name.startswith("evidence/")}
    elsewhere = audit_dataset.store(tmp_path / "elsewhere")
    assert audit(elsewhere, "s3://bucket/out", "s3://bucket/in") != 0
    assert "s3://bucket/out/evidence is the log of an audit from another machine" in capsys.readouterr().err
    assert before.items() <= there(s3).items()


def test_a_second_run_reads_only_what_has_changed(store, s3, monkeypatch):
    for name in "abc":
        s3.pipe_file(f"bucket/in/{name}.jsonl", b'{"url": "https://open.example/page"}\n')
    assert audit(store, "s3://bucket/out", "s3://bucket/in/*.jsonl") == 0
    fetched = []
    fetch = Remote.fetch
    monkeypatch.setattr(Remote, "fetch", lambda self, target: (fetched.append(self.name), fetch(self, target))[1])
    # Of the same size: only the state that the server tells shows that it is another.
    s3.pipe_file("bucket/in/b.jsonl", b'{"url": "https://shut.example/page"}\n')
    s3.rm_file("bucket/out/shards/c.jsonl.json")
    assert audit(store, "s3://bucket/out", "s3://bucket/in/*.jsonl") == 0
    assert sorted(name for name in fetched if name.endswith(".jsonl")) == ["b.jsonl", "c.jsonl"]
    assert s3.cat_file("bucket/out/kept/b.jsonl") == b""
    report = json.loads(s3.cat_file("bucket/out/report.json"))
    assert (report["rows"]["judged"], report["rows"]["kept"]) == (3, 2)


def test_audits_in_buckets_are_compared(store, s3, tmp_path, capsys):
    s3.pipe_file("bucket/in/a.jsonl", b'{"url": "https://open.example/page"}\n')
    assert audit(store, "s3://bucket/before", "s3://bucket/in") == 0
    closed = audit_dataset.make(tmp_path / "closed", audit_dataset.state("https://open.example", audit_dataset.SHUT))
    assert audit(closed, "s3://bucket/after", "s3://bucket/in") == 0
    capsys.readouterr()
    compared = ["audit", "--diff", "s3://bucket/before", "s3://bucket/after", "--out", str(tmp_path), "--json"]
    assert main(compared) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / "removals.parquet"), "remove": 1}


def test_workers_fetch_and_put_for_themselves(store, s3):
    for name in "ab":
        s3.pipe_file(f"bucket/in/{name}.jsonl", b'{"url": "https://open.example/page"}\n' * 10)
    assert audit(store, "s3://bucket/out", "s3://bucket/in", workers=2) == 0
    assert json.loads(s3.cat_file("bucket/out/report.json"))["rows"]["kept"] == 20


def test_an_object_that_changes_while_it_is_read_is_not_judged(store, s3, monkeypatch, capsys):
    s3.pipe_file("bucket/in/a.jsonl", b'{"url": "https://open.example/page"}\n')
    fetch = Remote.fetch

    def late(self, target):
        s3.pipe_file("bucket/in/a.jsonl", b'{"url": "https://shut.example/page"}\n')
        fetch(self, target)

    monkeypatch.setattr(Remote, "fetch", late)
    assert audit(store, "s3://bucket/out", "s3://bucket/in") == 2
    assert "s3://bucket/in/a.jsonl: has changed since it was listed" in capsys.readouterr().err
    assert not s3.exists("bucket/out/kept/a.jsonl")


def test_names_of_objects_lead_nowhere(s3):
    s3.pipe_file("bucket/in/../../up.jsonl", b"{}")
    s3.pipe_file("bucket/in//double.jsonl", b"{}")
    assert sorted(name for _, name in listed("s3://bucket/in")) == ["_/_/up.jsonl", "_/double.jsonl"]


@pytest.mark.parametrize(
    ("data", "out", "said"),
    [
        ("s3://nowhere/in", "out", "s3://nowhere/in: no such object or bucket: name one that is there"),
        ("s3://bucket/none/*.parquet", "out", "s3://bucket/none/*.parquet: no such file"),
        ("s3://bucket/in/notes.txt", "out", "of no known form"),
        ("s3://bucket/in/a.jsonl", "s3://nowhere/out", "cannot write to s3://nowhere/out"),
        ("nosuch://x/y", "out", "nosuch://x/y: "),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(store, s3, tmp_path, capsys, data, out, said):
    out = out if "://" in out else tmp_path / out
    s3.pipe({"bucket/in/a.jsonl": b'{"url": "https://open.example/page"}\n', "bucket/in/notes.txt": b"x"})
    assert audit(store, out, data) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "no evidence log" not in line]
    assert len(lines) == 1
    assert said in lines[0]


def test_a_store_has_to_be_on_this_machine(tmp_path, capsys):
    assert audit("s3://bucket/store", tmp_path / "out", tmp_path) == 2
    assert "--store s3://bucket/store: has to be a folder of this machine: copy it here" in capsys.readouterr().err


@contextmanager
def refusing(answer):
    """A server that answers every request with these bytes and goes away; without any it only goes away."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with closing(connection):
                    connection.recv(65_536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
)
HALF = (
    b'HTTP/1.1 200 OK\r\nETag: "a"\r\nLast-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n'
    b'Content-Length: 99\r\n\r\n{"url": '
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(FORBIDDEN % (len(DENIED), DENIED), "access is denied"), (b"", "a.jsonl: "), (HALF, "a.jsonl: ")],
    ids=["denied", "gone", "cut off"],
)
def test_a_server_that_refuses_or_goes_away(store, s3, tmp_path, capsys, answer, said):
    with refusing(answer) as address, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        type(s3).clear_instance_cache()
        monkeypatch.setattr(type(s3), "retries", 1)
        assert audit(store, tmp_path / "out", "s3://bucket/in/a.jsonl") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_file_url_is_a_path(store, tmp_path):
    (tmp_path / "a b.jsonl").write_text('{"url": "https://open.example/page"}\n')
    assert location(f"file://{tmp_path}/a%20b.jsonl") == tmp_path / "a b.jsonl"
    assert audit(store, f"file://{tmp_path}/out", f"file://{tmp_path}/*.jsonl") == 0
    assert (tmp_path / "out/kept/a b.jsonl").exists()
