"""The demonstration keeps its promises; its exit code says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from optout.cli.demo import flip_one_byte


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    program = [sys.executable, "-c", "import sys; from optout.cli import main; sys.exit(main())"]
    run = subprocess.run(
        [*program, "demo", "--out", str(folder), "--quiet"], capture_output=True, text=True, timeout=120, check=False
    )
    return run, folder


def test_it_succeeds_and_says_what_it_found(demo):
    run, _ = demo
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 pages were asked for before their site's signals" in run.stdout
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("newspaper.test", "content-signal.reserved"),
        ("newspaper.test", "robots.group.disallow"),
        ("blog.test", "robots-directives.noai"),
        ("broken.test", "robots.unreachable"),
        ("publisher.test", "tdmrep.file.reserved"),
        ("gallery.test", "tdmrep.header.reserved"),
        ("gallery.test", "pdf.tdm-reservation"),
        ("licensed.test", "rsl.not-listed"),
        ("members.test", "robots.unauthorised"),
        ("open.test", "robots.group.disallow"),
        ("stopped.test", "robots.unreachable"),
    ],
)
def test_each_site_is_refused_for_its_own_reason(demo, host, reason):
    report = json.loads((demo[1] / "report.json").read_text())
    text = json.dumps({origin: found for origin, found in report["origins"].items() if host in origin})
    assert reason in text


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    program = [sys.executable, "-c", "import sys; from optout.cli import main; sys.exit(main())"]
    run = subprocess.run(
        [*program, "demo", "--out", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_flipped_bit_changes_one_byte(tmp_path):
    (tmp_path / "a.parquet").write_bytes(bytes(10))
    place = flip_one_byte(tmp_path)
    assert place == "byte 5 of a.parquet"
    assert (tmp_path / "a.parquet").read_bytes() == bytes(5) + b"\x01" + bytes(4)
