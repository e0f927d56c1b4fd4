"""Further programs that are not ours, where they are installed."""

from __future__ import annotations

from pathlib import Path

import evidence_samples as samples
import pytest


def test_sigstore_s_parser_reads_our_checkpoint(tmp_path: Path) -> None:
    parser = pytest.importorskip("sigstore._internal.rekor.checkpoint", reason="sigstore is not installed")
    text = (samples.small(tmp_path) / "checkpoint").read_text()
    read = parser.SignedCheckpoint.from_text(text)
    origin, size, _ = text.split("\n", 2)
    assert (read.checkpoint.origin, read.checkpoint.log_size) == (origin, int(size))
    assert {signature.name for signature in read.signed_note.signatures} == {samples.ORIGIN}
