"""Single changes to an evidence directory, drawn at random, each undone after it has been looked at."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import evidence_samples as samples
import pyarrow as pa
from evidence_samples import ORIGIN, begin, decide, later

from optout.evidence import checkpoint as checkpoints
from optout.evidence import entries, salts, segment, tlog
from optout.evidence import note as notes
from optout.evidence.canonical import encode
from optout.evidence.countersign import keep
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.log import LogWriter
from optout.evidence.note import Algorithm, Note, SignerKey
from optout.evidence.report import Report
from optout.evidence.sealing import put_pending
from optout.evidence.verify import verify

WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)
NOT_EVIDENCE = (".lock", "witnesses.json")


class Sample:
    """Evidence with everything in it: three segments, a journal, an archive, cosigned checkpoints."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.layout = Layout(samples.small(directory / "crawl"))
        policy = self.layout.policy.read_text().replace("quorum none", f"witness w1 {WITNESS.verifier.text}\nquorum w1")
        self.layout.policy.write_text(policy)
        self._cosign(262)
        self.earlier = directory / "earlier"
        shutil.copytree(self.layout.directory, self.earlier)
        log = begin(directory / "crawl", node="n3", at=300)
        decide(log, 5, 6, at=301)
        log.checkpoint(later(302))
        self._cosign(304)
        decide(log, 6, 4, at=305)
        log.checkpoint(later(306))
        decide(log, 7, 4, at=307)
        log.release()
        self.known = self.layout.checkpoint.read_bytes()
        self.files = sorted(
            path for path in (directory / "crawl").rglob("*") if path.is_file() and not path.name.endswith(NOT_EVIDENCE)
        )

    def verify(self) -> Report:
        return verify(self.layout.directory, known=[self.known], now=later(1000))

    def _cosign(self, at: float) -> None:
        """What `countersign` does when the witness answers."""
        signed = self.layout.checkpoint.read_bytes()
        found = checkpoints.parse(notes.parse(signed).text)
        keep(self.layout, signed, [checkpoints.sign(found, WITNESS, int(later(at).timestamp()))])
        entry = {
            "v": entries.COUNTERSIGNED,
            "size": found.size,
            "witnesses": [WITNESS.name],
            "tokens": [],
            "t": int(at),
        }
        put_pending(self.layout, f"countersigned-{found.size}", entry)


@contextmanager
def replaced(path: Path, data: bytes | None) -> Iterator[str]:
    """The file with other content, or gone; give its name."""
    before = path.read_bytes()
    mode = path.stat().st_mode
    path.unlink() if data is None else path.write_bytes(data)
    try:
        yield path.stem if path.parent.name == "salts" else path.name
    finally:
        path.write_bytes(before)
        path.chmod(mode)


@contextmanager
def flipped_bit(sample: Sample, draw: random.Random) -> Iterator[str]:
    path = draw.choice(sample.files)
    data = bytearray(path.read_bytes() or b"\0")
    at = draw.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    with replaced(path, bytes(data)) as name:
        yield name


@contextmanager
def deleted_file(sample: Sample, draw: random.Random) -> Iterator[str]:
    # A partial tile that a later one has taken the place of may be deleted (C2SP tlog-tiles).
    newest = max(int(path.name) for path in sample.files if path.parent.name == "000.p")
    path = draw.choice([path for path in sample.files if path.parent.name != "000.p" or int(path.name) == newest])
    with replaced(path, None) as name:
        yield name


@contextmanager
def truncated_file(sample: Sample, draw: random.Random) -> Iterator[str]:
    path = draw.choice([path for path in sample.files if path.stat().st_size])
    with replaced(path, path.read_bytes()[: draw.randrange(path.stat().st_size)]) as name:
        yield name


def _segment(sample: Sample, draw: random.Random) -> tuple[Path, pa.Table]:
    path = draw.choice(sorted(sample.layout.segments.iterdir()))
    return path, segment.read(path)


@contextmanager
def deleted_row(sample: Sample, draw: random.Random) -> Iterator[str]:
    path, table = _segment(sample, draw)
    at = draw.randrange(table.num_rows)
    left = pa.concat_tables([table.slice(0, at), table.slice(at + 1)])
    with replaced(path, segment.file_bytes(left)) as name:
        yield name


@contextmanager
def swapped_rows(sample: Sample, draw: random.Random) -> Iterator[str]:
    path, table = _segment(sample, draw)
    order = list(range(table.num_rows))
    one, other = draw.sample(order, 2)
    order[one], order[other] = order[other], order[one]
    with replaced(path, segment.file_bytes(table.take(order))) as name:
        yield name


@contextmanager
def changed_row(sample: Sample, draw: random.Random) -> Iterator[str]:
    path, table = _segment(sample, draw)
    at, field = draw.randrange(table.num_rows), draw.choice(["effect", "reason", "url", "t", "coverage", "exchanges"])
    rows = [dict(row) for row in segment.rows_of(table)]
    rows[at][field] = rows[at][field] + 1 if field == "t" else {"x": 1} if field == "coverage" else "permit me"
    changed = segment.table_of(rows).select([name for name in segment.SCHEMA.names if name in table.column_names[:-3]])
    changed = changed.append_column("mark", table.column("mark"))
    with replaced(path, segment.file_bytes(segment.completed(changed))) as name:
        yield name


@contextmanager
def replaced_salt(sample: Sample, draw: random.Random) -> Iterator[str]:
    path = draw.choice(sorted((sample.layout.private / "salts").iterdir()))
    rows = segment.read(sample.layout.segments / f"{path.stem}.parquet").num_rows
    with replaced(path, encode(salts.whole(draw.randbytes(16), rows).json)) as name:
        yield name


@contextmanager
def swapped_neighbours(sample: Sample, draw: random.Random) -> Iterator[str]:
    """Two entries of the log that stand side by side change places."""
    path = draw.choice([path for path in sample.files if "entries" in path.parts])
    found = list(tlog.bundle_entries(path.read_bytes()))
    at = draw.randrange(len(found) - 1)
    found[at], found[at + 1] = found[at + 1], found[at]
    with replaced(path, tlog.bundle_bytes(found)) as name:
        yield name


@contextmanager
def rolled_back_log(sample: Sample, draw: random.Random) -> Iterator[str]:
    """The whole directory as it was earlier, the signer's memory too; only the verifier remembers."""
    with _exchanged(sample, sample.earlier):
        yield "checkpoint"


@contextmanager
def forked_log(sample: Sample, draw: random.Random) -> Iterator[str]:
    """Another history from the earlier state, signed with the same keys."""
    fork = sample.directory / "fork"
    shutil.copytree(sample.earlier, fork)
    layout = Layout(fork)
    try:
        with LogWriter(layout, KeyStore(layout.private), ORIGIN) as writer:
            for number in range(draw.randrange(1, 6)):
                writer.append(entries.heartbeat(draw.randrange(1000) + number))
            writer.checkpoint(int(later(500).timestamp()))
        with _exchanged(sample, fork):
            yield "checkpoint"
    finally:
        shutil.rmtree(fork)


@contextmanager
def _exchanged(sample: Sample, other: Path) -> Iterator[None]:
    aside = sample.directory / "aside"
    sample.layout.directory.rename(aside)
    shutil.copytree(other, sample.layout.directory)
    try:
        yield
    finally:
        shutil.rmtree(sample.layout.directory)
        aside.rename(sample.layout.directory)


@contextmanager
def back_dated_witness(sample: Sample, draw: random.Random) -> Iterator[str]:
    path = max(sample.layout.checkpoints.iterdir(), key=lambda path: int(path.name))
    found = notes.parse(path.read_bytes())
    own = tuple(line for line in found.signatures if line.name != WITNESS.name)
    at = int(later(-draw.randrange(1000, 10**6)).timestamp())
    line = checkpoints.sign(checkpoints.parse(found.text), WITNESS, at)
    with replaced(path, Note(found.text, own).signed(line).bytes) as name:
        yield name


KINDS: tuple[tuple[Callable, int], ...] = (
    (flipped_bit, 50), (deleted_file, 6), (truncated_file, 12), (deleted_row, 6), (swapped_rows, 6), (changed_row, 8),
    (replaced_salt, 4), (swapped_neighbours, 3), (rolled_back_log, 1), (forked_log, 1), (back_dated_witness, 3),
)  # fmt: skip
"""Every kind of change, with how often it is drawn."""


def tamper(sample: Sample, count: int, seed: int) -> dict[str, int]:
    """Make so many single changes, one after the other, and fail at the first that is not noticed or not named."""
    draw = random.Random(seed)
    kinds, weights = zip(*KINDS, strict=True)
    made: dict[str, int] = {}
    for number in range(count):
        kind = draw.choices(kinds, weights)[0]
        with kind(sample, draw) as name:
            report = sample.verify()
            what = f"change {number} of seed {seed}, {kind.__name__} of {name}"
            assert not report.valid, f"{what} went unseen:\n{report.text}"
            said = [str(fault) for fault in report.faults] + [gap for step in report.steps for gap in step.gaps]
            assert any(name in line for line in said), f"{what} is not named:\n{report.text}"
            if name.endswith(".parquet") and kind is not deleted_file:
                places = [fault.place for fault in report.faults if name in fault.file]
                assert any("row" in place for place in places), f"{what} has no row:\n{report.text}"
        made[kind.__name__] = made.get(kind.__name__, 0) + 1
    return made
