"""kill -9 at any moment: in the journal, while sealing, in tiles, at the checkpoint, with the witness."""

from __future__ import annotations

import functools
import mmap
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from evidence_samples import begin, decide, later

from optout.evidence import checkpoint as checkpoints
from optout.evidence import note as notes
from optout.evidence import sealing, trust
from optout.evidence.countersign import keep
from optout.evidence.entries import COUNTERSIGNED
from optout.evidence.files import write_durably
from optout.evidence.journal import Journal
from optout.evidence.layout import Layout
from optout.evidence.log import LogReader, LogWriter
from optout.evidence.note import Algorithm, SignerKey
from optout.evidence.sealing import put_pending
from optout.evidence.verify import verify
from optout.evidence.witness import Witness

WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)


STEPS = ("between", "journal", "seal", "tile", "checkpoint", "witness")
"""What a crawl is at when it is killed."""


def watched(at: mmap.mmap) -> None:
    """Have the process say in shared memory what it is at, whenever it begins with it and when it has ended."""

    def saying(step: int, call: Callable) -> Callable:
        @functools.wraps(call)
        def said(*arguments, **named):
            before, at[0] = at[0], step
            try:
                return call(*arguments, **named)
            finally:
                at[0] = before

        return said

    for holder, name, step in (
        (Journal, "commit", 1), (sealing, "seal_table", 2), (LogWriter, "_write_tiles", 3),
        (LogWriter, "checkpoint", 4), (sys.modules[__name__], "cosign", 5),
    ):  # fmt: skip
        setattr(holder, name, saying(step, getattr(holder, name)))


def crawl(directory: Path, start: int, said: Connection) -> None:
    """Crawl for ever: log, seal, sign and have it cosigned, saying after each commit how many rows are safe."""
    with (directory / "step").open("r+b") as file:
        watched(mmap.mmap(file.fileno(), 1))
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


def killed(directory: Path, start: int, wanted: int, patience: float) -> tuple[int, str]:
    """Start a crawl, kill it so many seconds after it is at a step; give the acknowledged rows, and where it was."""
    (directory / "step").write_bytes(b"\0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evidence_samples", __name__])
    heard, said = context.Pipe(duplex=False)
    process = context.Process(target=crawl, args=(directory, start, said))
    process.start()
    said.close()
    acknowledged, until = heard.recv(), time.monotonic() + 5
    with (directory / "step").open("rb") as file, mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ) as at:
        while at[0] != wanted and time.monotonic() < until:
            time.sleep(0.0005)
    time.sleep(patience)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the crawl ended by itself: it was refused what it wanted to sign"
    step = STEPS[(directory / "step").read_bytes()[0]]
    try:
        while True:
            acknowledged = heard.recv()
    except EOFError:
        heard.close()
        process.close()
        return acknowledged, step


def survive(directory: Path, crashes: int, seed: int) -> Counter[str]:
    """Kill so many crawls of one log; give how often they were at which step."""
    draw = random.Random(seed)
    steps: Counter[str] = Counter()
    known: list[bytes] = []
    for number in range(crashes):
        acknowledged, step = killed(directory, number, draw.randrange(1, len(STEPS)), draw.expovariate(200))
        steps[step] += 1
        # Every checkpoint that anybody could have seen must be a beginning of the log ever after.
        known = [*known[-10:], *(path.read_bytes() for path in directory.glob("evidence/checkpoint"))]
        report = verify(directory, known=known, now=later(10**9))
        assert not report.faults, f"crash {number} of seed {seed}:\n{report.text}"
        sealed, waiting = report.steps[7].checked, report.steps[8].checked
        assert sealed + waiting >= acknowledged, f"crash {number} of seed {seed}: {acknowledged} were acknowledged"
    log = begin(directory, at=10**8)
    log.close(later(10**8 + 100))
    report = verify(directory, known=known, now=later(10**9))
    assert report.valid, report.text
    return steps


def test_two_dozen_crashes(tmp_path: Path) -> None:
    survive(tmp_path, 24, seed=1)


PORTIONS = range(10)


@pytest.fixture(scope="module")
def fallen() -> Counter[str]:
    """Into which steps the crashes of all portions have fallen."""
    return Counter()


@pytest.mark.slow
@pytest.mark.parametrize("seed", PORTIONS)
def test_a_thousand_crashes(tmp_path: Path, seed: int, fallen: Counter[str]) -> None:
    fallen.update(survive(tmp_path, 100, seed=seed + 100))


@pytest.mark.slow
def test_a_thousand_crashes_fall_into_every_kind_of_step(fallen: Counter[str]) -> None:
    if sum(fallen.values()) < 100 * len(PORTIONS):
        pytest.skip("only some portions were run here")
    assert set(fallen) >= {"journal", "seal", "tile", "checkpoint", "witness"}
