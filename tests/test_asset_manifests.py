"""The process that reads manifest stores: offline, bounded in time, and expendable."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from optout.acquisition import manifests
from optout.acquisition.c2pa_worker import SETTINGS
from optout.acquisition.manifests import ManifestReader, ManifestReport
from optout.syntax.located import Fault
from tools import asset_builders as make

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "tests" / "assets"
SIGNED = (ASSETS / "c2pa_all.jpg").read_bytes()


@pytest.fixture
def reader():
    with ManifestReader() as found:
        yield found


def program(tmp_path: Path, monkeypatch, source: str) -> None:
    """Put another program in the place of the worker."""
    path = tmp_path / "worker.py"
    path.write_text(source)
    monkeypatch.setattr(manifests, "_COMMAND", (sys.executable, "-I", str(path)))


def test_a_store_by_path_and_by_bytes(reader):
    by_path = reader.read_path(str(ASSETS / "c2pa_all.jpg"), "image/jpeg")
    by_bytes = reader.read_bytes(SIGNED, "image/jpeg")
    assert by_path == by_bytes
    assert by_path.valid
    assert json.loads(by_path.report or b"")["validation_state"] == "Valid"


def test_a_file_without_a_store_has_neither_report_nor_fault(reader):
    assert reader.read_bytes((ASSETS / "png_late.png").read_bytes(), "image/png") == ManifestReport()


def test_the_store_beside_a_file(reader):
    store = (ASSETS / "c2pa_sidecar.c2pa").read_bytes()
    assert reader.read_path(str(ASSETS / "c2pa_sidecar.jpg"), "image/jpeg", store).valid


def test_a_report_is_small_and_without_what_passed(reader):
    report = reader.read_bytes(SIGNED, "image/jpeg").report or b""
    assert len(report) < 2_000
    assert b"hashedURI.match" not in report


def test_an_edit_makes_a_store_invalid(reader):
    report = reader.read_path(str(ASSETS / "c2pa_tampered.jpg"), "image/jpeg")
    assert not report.valid
    assert b"assertion.dataHash.mismatch" in (report.report or b"")


def test_a_broken_store_is_a_fault(reader):
    assert reader.read_bytes(SIGNED.replace(b"jumdc2ma", b"jumdc2ma")[:400], "image/jpeg").fault is Fault.DAMAGED


def test_a_process_that_hangs_is_ended_and_the_next_one_answers(tmp_path, monkeypatch):
    with ManifestReader(seconds=0.3) as reader:
        with monkeypatch.context() as patch:
            program(tmp_path, patch, "import time\ntime.sleep(60)\n")
            assert reader.read_bytes(SIGNED, "image/jpeg") == ManifestReport(fault=Fault.TIMEOUT)
        reader._seconds = 30
        assert reader.read_bytes(SIGNED, "image/jpeg").valid


def test_a_process_that_crashes_is_replaced(tmp_path, monkeypatch):
    with ManifestReader() as reader:
        with monkeypatch.context() as patch:
            program(tmp_path, patch, "import os, sys\nsys.stdin.buffer.readline()\nos.abort()\n")
            assert reader.read_bytes(SIGNED, "image/jpeg") == ManifestReport(fault=Fault.DAMAGED)
        assert reader.read_bytes(SIGNED, "image/jpeg").valid


@pytest.mark.parametrize("answer", ["nonsense", "[]", '{"fault": "nonsense"}', '{"report": 1}'])
def test_an_answer_that_is_none_is_a_fault(tmp_path, monkeypatch, answer):
    program(tmp_path, monkeypatch, f"import sys\nsys.stdin.buffer.readline()\nprint({answer!r}, flush=True)\ninput()\n")
    with ManifestReader() as reader:
        assert reader.read_bytes(b"x", "image/jpeg").fault is Fault.DAMAGED


def test_the_library_is_told_to_stay_offline():
    assert SETTINGS["core"]["allowed_network_hosts"] == []
    assert SETTINGS["verify"] == {"remote_manifest_fetch": False, "ocsp_fetch": False}


REMOTE = make.xmp('dcterms:provenance="https://manifests.example/store.c2pa"', {"dcterms": "http://purl.org/dc/terms/"})


@pytest.fixture(scope="session")
def tempting(tmp_path_factory) -> Path:
    """A folder of files that name hosts: remote manifests, decentralised identities, policies, schemas."""
    folder = tmp_path_factory.mktemp("tempting")
    remote = make.jpeg_xmp(make.picture("JPEG"), REMOTE)
    identity = {"label": "cawg.identity", "data": {"signer_payload": {"sig_type": "cawg.identity_claims_aggregation"}}}
    linked = make.jpeg_xmp(make.picture("JPEG"), make.tdm("1", policy="https://policies.example/1"))
    doctype = make.svg("").replace(b"<svg", b'<!DOCTYPE svg SYSTEM "https://dtd.example/svg.dtd"><svg')
    (folder / "remote.jpg").write_bytes(remote)
    (folder / "signed.jpg").write_bytes(
        make.signed("image/jpeg", remote, make.assertion({"data_mining": "allowed"}), identity)
    )
    (folder / "linked.jpg").write_bytes(linked)
    (folder / "doctype.svg").write_bytes(doctype.replace(b"<metadata>", b"<metadata><!-- DataMining -->"))
    shared = ROOT.parent / "shared" / "assets" / "third-party" / "c2pa-rs" / "adobe_connected_identities.jpg"
    if shared.exists():
        shutil.copy(shared, folder)
    return folder


def traced(trace: Path, *command: str) -> tuple[str, str]:
    """Run a command under strace; return its output and its system calls of the network, helpers included."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    options = ["-f", "-qq", "-s", "4096", "-e", "trace=%network,execve", "-o", str(trace)]
    done = subprocess.run(["strace", *options, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    calls = trace.read_text() if trace.exists() else ""
    if "execve" not in calls:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:200]}")
    return done.stdout, calls


def test_no_system_call_reaches_for_the_network(tempting, tmp_path):
    program = "from optout.cli import main; import sys; sys.exit(main())"
    out, calls = traced(tmp_path / "trace", sys.executable, "-c", program, "inspect", "--json", str(tempting))
    lines = [json.loads(line) for line in out.splitlines()]
    signed = next(line for line in lines if line["file"].endswith("signed.jpg"))
    assert signed["signals"], "the manifest was read"
    assert "c2pa_worker" in calls, "and in its own process, whose calls are traced"
    reached = re.compile(r"socket\(|connect\(|sendto\(|sendmsg\(")
    assert [line for line in calls.splitlines() if reached.search(line)] == []


def test_the_trace_would_show_a_connection(tmp_path):
    _, calls = traced(
        tmp_path / "trace", sys.executable, "-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    )
    assert "AF_INET" in calls
