"""The whole way of a complaint over real crawls and audits, and what is left of it when a command is killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_store import make, state
from origin_simulator import Simulator

from optout.cli import main
from optout.evidence import segment
from optout.evidence.report import Outcome
from optout.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = "User-agent: *\nAllow: /"

MAIN = """
import os, signal, sys
from optout.cli import main
from optout.evidence.ledger import EvidenceLog
from policies.complaint_log import StepLog

add, take = EvidenceLog.add, StepLog.take

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def add_and_die(self, row):
    add(self, row)
    self.journal.commit()
    die()

def take_and_die(*given, **named):
    take(*given, **named)
    die()

when = sys.argv.pop(1)
if when == "registered":
    StepLog.take = die
elif when == "logged, not sealed":
    EvidenceLog.add = add_and_die
elif when == "logged, number not noted":
    StepLog.take = take_and_die
sys.exit(main(sys.argv[1:]))
"""


def run(*arguments: object, when: str = "never") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", MAIN, when, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def steps_in_log(register: Path) -> list[str]:
    """The steps that the register's log has, in order."""
    paths = sorted((register / "evidence" / "segments").glob("*.parquet"))
    rows = [row for path in paths for row in segment.rows_of(segment.read(path))]
    return [row["step"] for row in sorted(rows, key=lambda row: row["seq"])]


class TestKilled:
    @pytest.mark.parametrize(
        ("step", "when"),
        [
            ("received", "registered"),
            ("received", "logged, not sealed"),
            ("upheld", "logged, not sealed"),
            ("upheld", "logged, number not noted"),
        ],
    )
    def test_a_step_is_neither_lost_nor_doubled(self, tmp_path, capsys, when, step):
        register = tmp_path / "register"
        add = ["complaint", "add", "--name", "Ada", "--claim", "Mine", "--subject", "a.example", "--register", register]
        uphold = ["complaint", "decide", 1, "uphold", "--by", "Bo", "--reason", "Hers.", "--register", register]
        if step == "upheld":
            assert main(list(map(str, add))) == 0
        killed = run(*(add if step == "received" else uphold), when=when)
        assert killed.returncode == -signal.SIGKILL
        for command in (add, uphold, uphold):
            assert main(list(map(str, command))) == 0
        assert steps_in_log(register) == ["received", "upheld"]
        capsys.readouterr()
        assert main(["complaint", "show", "1", "--json", "--register", str(register)]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [one["row"] for one in said["steps"]] == [0, 1]
        assert said["holds"]
        assert verify(register / "evidence").outcome is not Outcome.FAILS

    def test_two_commands_at_once_take_turns(self, tmp_path):
        common = ["--register", str(tmp_path / "r")]
        commands = [
            [sys.executable, "-c", MAIN, "never", "complaint", "add", "--claim", "x", "--subject", f"{name}.example"]
            for name in ("one", "two", "three")
        ]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        running = [
            subprocess.Popen([*command, *common], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
            for command in commands
        ]
        for process in running:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        assert steps_in_log(tmp_path / "r") == ["received"] * 3
        assert main(["complaint", "show", "3", *common]) == 0


class TestWholeWay:
    @pytest.fixture
    def simulator(self) -> Iterator[Simulator]:
        with Simulator() as running:
            yield running

    def test_an_upheld_complaint_is_honoured_by_crawls_and_audits_and_the_removal_can_be_proved(
        self, simulator, tmp_path, capsys
    ):
        taken, other = (simulator.origin(OPEN, host=f"127.0.0.{number}") for number in (8, 9))
        urls = [taken.page("/work"), other.page("/free")]
        store = make(tmp_path / "store", *(state(origin.url, OPEN) for origin in (taken, other)))
        pq.write_table(pa.table({"url": urls, "text": ["hers", "free"]}), tmp_path / "data.parquet")
        audit = ["audit", tmp_path / "data.parquet", "--store", store, "--quiet", "--workers", 1, "--out"]
        register, lists = ["--register", tmp_path / "register"], tmp_path / "lists"

        def optout(*arguments: object) -> str:
            assert main(list(map(str, arguments))) == 0
            return capsys.readouterr().out

        # A crawl and an audit take the work.
        assert run("crawl", *urls, "--out", tmp_path / "crawl-1", "--quiet").returncode == 0
        optout(*audit, tmp_path / "audit-1")
        assert pq.read_table(tmp_path / "audit-1" / "kept" / "data.parquet")["url"].to_pylist() == urls

        # The complaint finds both copies, and the files that hold them.
        places = ["--evidence", tmp_path / "crawl-1", "--audit", tmp_path / "audit-1"]
        claim = ["--name", "Ada Lovelace", "--claim", "Mine.", "--subject", f"{taken.url}/work"]
        said = json.loads(optout("complaint", "add", *claim, *places, "--json", *register))
        assert said["found"]["kept"] == 2
        before = {file["file"]: file["sha256"] for file in said["steps"][-1]["said"]["kept_files"]}
        assert set(before) == {"crawl-1/pages/pages-000000.warc.gz", "audit-1/kept/data.parquet"}
        assert before["audit-1/kept/data.parquet"] == digest(tmp_path / "audit-1" / "kept" / "data.parquet")

        # Upheld, it is a list that the next crawl and the next audit follow.
        optout("complaint", "decide", 1, "uphold", "--by", "Bo", "--reason", "It is hers.", *register)
        command = shlex.split(optout("complaint", "export", "--out", tmp_path / "export", *register))
        optout(*command[1:], "--store", lists, "--quiet")
        asked = taken.asked("/work")
        assert run("crawl", *urls, "--out", tmp_path / "crawl-2", "--lists", lists, "--quiet").returncode == 0
        assert taken.asked("/work") == asked == 1
        assert other.asked("/free") == 2
        optout(*audit, tmp_path / "audit-2", "--lists", lists)
        assert pq.read_table(tmp_path / "audit-2" / "kept" / "data.parquet")["url"].to_pylist() == urls[1:]
        for crawl in ("crawl-1", "crawl-2"):
            assert verify(tmp_path / crawl).outcome is not Outcome.FAILS

        # The removal is proven once the old crawl is declared gone; the proof shows each file, and a change of one.
        removed = ["complaint", "decide", 1, "removed", "--by", "Bo", "--evidence", tmp_path / "crawl-2"]
        removed += ["--audit", tmp_path / "audit-2", *register]
        assert main(list(map(str, removed))) == 2
        log = json.loads((tmp_path / "crawl-1" / "evidence" / "evidence.json").read_text())["origin"]
        assert log in capsys.readouterr().err
        optout(*removed, "--deleted", log)
        proof = tmp_path / "proof.json"
        optout("complaint", "proof", 1, "--out", proof, *register)
        key = (tmp_path / "register" / "evidence" / "policy.txt", "--key")[::-1]
        check = ["complaint", "verify", proof, *key, "--json"]
        there = ["--evidence", tmp_path / "crawl-2", "--audit", tmp_path / "audit-2"]
        assert json.loads(optout(*check, *there))["outcome"] == "holds"
        found = json.loads(proof.read_text())
        assert [line["url"] for line in found["gone"]] == [urls[0]] * 2
        assert "Lovelace" not in proof.read_text()
        assert verify(tmp_path / "register" / "evidence").outcome is not Outcome.FAILS

        assert main(list(map(str, check))) == 3
        kept = tmp_path / "audit-2" / "kept" / "data.parquet"
        kept.write_bytes(kept.read_bytes() + b" ")
        assert main(list(map(str, [*check, *there]))) == 1
        capsys.readouterr()
        check_changes(tmp_path, found)


def check_changes(folder: Path, found: dict) -> None:
    """No part of a proof can be another one."""
    for path, value in [
        (("step", "said", "by"), "Eve"),
        (("gone", 0, "url"), "https://x.example/"),
        (("evidence", "salt"), "0" * 32),
        (("evidence", "row", "complaint"), 2),
    ]:
        assert main(["complaint", "verify", str(changed(folder, found, path, value))]) == 1, path
    assert main(["complaint", "verify", str(changed(folder, found, ("v",), "2"))]) == 2


def changed(folder: Path, found: dict, path: tuple, value: object) -> Path:
    """The proof with one value changed."""
    copy = json.loads(json.dumps(found))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    target = folder / "changed.json"
    target.write_text(json.dumps(copy))
    return target


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_the_guide_runs_from_its_first_command_to_its_last(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "complaints.md").read_text(encoding="utf-8")
    ours = f"{shlex.quote(sys.executable)} -c 'import sys; from optout.cli import main; sys.exit(main())'"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    lines = re.findall(r"^\$ (.+)$", page, flags=re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        command = re.sub(r"^optout ", f"{ours.replace(chr(92), chr(92) * 2)} ", line)
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, env=environment,
                              timeout=180, check=False)  # fmt: skip
        assert done.returncode == 0, (line, done.stdout[-1500:], done.stderr[-1500:])
