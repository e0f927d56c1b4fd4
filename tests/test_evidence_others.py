"""Further programs that are not ours, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import evidence_samples as samples
import pytest

from optout.evidence import warc


def test_sigstore_s_parser_reads_our_checkpoint(tmp_path: Path) -> None:
    parser = pytest.importorskip("sigstore._internal.rekor.checkpoint", reason="sigstore is not installed")
    text = (samples.small(tmp_path) / "checkpoint").read_text()
    read = parser.SignedCheckpoint.from_text(text)
    origin, size, _ = text.split("\n", 2)
    assert (read.checkpoint.origin, read.checkpoint.log_size) == (origin, int(size))
    assert {signature.name for signature in read.signed_note.signatures} == {samples.ORIGIN}


def test_pywb_indexes_our_archive(tmp_path: Path) -> None:
    """Another archive's program, where it is installed; nothing of ours needs it."""
    manager = shutil.which("wb-manager")
    if manager is None:
        pytest.skip("pywb is not installed")
    samples.small(tmp_path / "crawl")
    files = warc.archive_files(tmp_path / "crawl" / "signals")
    for arguments in (["init", "ours"], ["add", "ours", *map(str, files)]):
        subprocess.run([manager, *arguments], cwd=tmp_path, check=True, capture_output=True)
    (index,) = (tmp_path / "collections" / "ours" / "indexes").glob("*.cdxj")
    theirs = {tuple(line.split(" ")[:2]) for line in index.read_text().splitlines()}
    own = {(entry.key, entry.timestamp) for path in files for entry in warc.read_index(path)}
    assert {pair for pair in own if pair[0].endswith("robots.txt")} <= theirs
