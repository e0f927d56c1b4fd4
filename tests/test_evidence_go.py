"""A second opinion: Go's own packages accept our checkpoints, tiles and entries, and refuse changed ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from optout.evidence import entries, trust
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.log import LogWriter
from optout.evidence.note import Algorithm

PACKAGES = Path("/usr/share/gocode")
SOURCE = Path(__file__).parent / "go" / "verify.go"


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None or not (PACKAGES / "src/golang.org/x/mod/sumdb/tlog").exists():
        pytest.skip("needs go and Go's x/mod (apt-get install golang-go golang-golang-x-mod-dev)")
    built = tmp_path_factory.mktemp("go") / "verify"
    settings = {"GO111MODULE": "off", "GOPATH": str(PACKAGES), "GOCACHE": str(built.parent / "cache")}
    subprocess.run(["go", "build", "-o", str(built), str(SOURCE)], check=True, env=os.environ | settings)
    return built


def grown(directory: Path, *counts: int) -> list[Path]:
    """A log that grew in steps; give its checkpoints."""
    layout, kept = Layout(directory), []
    with LogWriter(layout, KeyStore(layout.private), "evidence.example/log") as writer:
        for count in counts:
            for _ in range(count):
                writer.append(entries.heartbeat(writer.size))
            kept.append(directory / f"kept-{writer.size}")
            kept[-1].write_bytes(writer.checkpoint(1_795_349_704))
    return kept


def vkey(directory: Path) -> str:
    logs = trust.parse((directory / "policy.txt").read_bytes()).logs
    return next(key.text for key in logs if key.algorithm is Algorithm.ED25519)


def run(verifier: Path, directory: Path, *old: Path) -> subprocess.CompletedProcess[str]:
    command = [str(verifier), vkey(directory), str(directory), *map(str, old)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("counts", [(1,), (15, 16), (255, 1, 1), (256, 300), (1, 2, 600)])
def test_go_accepts_our_log(verifier: Path, tmp_path: Path, counts: tuple[int, ...]) -> None:
    kept = grown(tmp_path, *counts)
    for old in kept:
        result = run(verifier, tmp_path, old)
        assert result.returncode == 0, result.stderr
        assert f"{sum(counts)} entries" in result.stdout


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000.p/31", "tile/entries/000.p/31", "kept-15"])
def test_go_refuses_a_changed_file(verifier: Path, tmp_path: Path, name: str) -> None:
    old, _ = grown(tmp_path, 15, 16)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[45] ^= 1
    path.write_bytes(data)
    assert run(verifier, tmp_path, old).returncode == 1


def test_go_refuses_another_log_of_the_same_name(verifier: Path, tmp_path: Path) -> None:
    old, _ = grown(tmp_path / "one", 15, 16)
    grown(tmp_path / "two", 31)
    result = run(verifier, tmp_path / "two", old)
    assert result.returncode == 1
    assert "kept-15" in result.stderr
