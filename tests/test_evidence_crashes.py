"""kill -9 at any moment: in the journal, while sealing, in tiles, at the checkpoint, with the witness."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from evidence_samples import begin, decide, later

from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence import trust
from optout.evidence.countersign import keep
from optout.evidence.entries import COUNTERSIGNED
from optout.evidence.files import write_durably
from optout.evidence.layout import Layout
from optout.evidence.log import LogReader
from optout.evidence.note import Algorithm, SignerKey
from optout.evidence.sealing import put_pending
from optout.evidence.verify import verify
from optout.evidence.witness import Witness

WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)


def crawl(directory: Path, start: int, said: Connection) -> None:
    """Crawl for ever: log, seal, sign and have it cosigned, saying after each commit how many rows are safe."""
    log = begin(directory, at=start * 1000, rows_per_segment=7)
    layout, at = Layout(directory / "evidence"), start * 1000.0
    policy, line = layout.policy.read_text(), f"witness w1 {WITNESS.verifier.text}\n"
    if line not in policy:
        write_durably(layout.policy, (policy + line).encode())
    site = start * 100
    while True:
        decide(log, site, 5, at=at)
        said.send(log.journal.tip.next_seq)
        site, at = site + 1, at + 61
        log.tick(later(at))
        cosign(layout, directory / "witness", at)


def cosign(layout: Layout, memory: Path, at: float) -> None:
    """What `countersign` does, with the witness in the same process."""
    signed = layout.checkpoint.read_bytes()
    head = checkpoints.parse(notes.parse(signed).text)
    one = Witness(memory, WITNESS, trust.parse(layout.policy.read_bytes()).logs)
    reader = LogReader(layout, head.size)
    asked = one.add_checkpoint(checkpoints.format_request(0, (), signed), int(later(at).timestamp()))
    if asked.status == 409:
        seen = int(asked.body)
        assert seen <= head.size, "the witness has seen more than the log holds"
        request = checkpoints.format_request(seen, reader.consistency(seen), signed)
        asked = one.add_checkpoint(request, int(later(at).timestamp()))
    assert asked.status == 200, asked
    keep(layout, signed, notes.parse_signatures(asked.body.decode()))
    entry = {"v": COUNTERSIGNED, "size": head.size, "witnesses": [WITNESS.name], "tokens": [], "t": int(at)}
    put_pending(layout, f"countersigned-{head.size}", entry)


@pytest.fixture(autouse=True)
def _modules_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that forks our crawls imports everything once; Python 3.11 does not tell it where modules are."""
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parent}")


def killed(directory: Path, start: int, patience: float) -> int:
    """Start a crawl, kill it so many seconds after its first commit, and give how many rows it had acknowledged."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evidence_samples", __name__])
    heard, said = context.Pipe(duplex=False)
    process = context.Process(target=crawl, args=(directory, start, said))
    process.start()
    said.close()
    acknowledged = heard.recv()
    time.sleep(patience)
    process.kill()
    process.join()
    try:
        while True:
            acknowledged = heard.recv()
    except EOFError:
        heard.close()
        process.close()
        return acknowledged


def survive(directory: Path, crashes: int, seed: int) -> None:
    draw = random.Random(seed)
    for number in range(crashes):
        acknowledged = killed(directory, number, draw.uniform(0, 0.15))
        report = verify(directory, now=later(10**9))
        assert not report.faults, f"crash {number} of seed {seed}:\n{report.text}"
        sealed, waiting = report.steps[7].checked, report.steps[8].checked
        assert sealed + waiting >= acknowledged, f"crash {number} of seed {seed}: {acknowledged} were acknowledged"
    log = begin(directory, at=10**8)
    log.close(later(10**8 + 100))
    report = verify(directory, now=later(10**9))
    assert report.valid, report.text


def test_two_dozen_crashes(tmp_path: Path) -> None:
    survive(tmp_path, 24, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_crashes(tmp_path: Path, seed: int) -> None:
    survive(tmp_path, 100, seed=seed + 100)
