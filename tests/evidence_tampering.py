"""Single changes to an evidence directory, drawn at random, each undone after it has been looked at."""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import evidence_samples as samples
import pyarrow as pa
from evidence_samples import ORIGIN, begin, decide, later
from test_evidence_countersign import Authority

from optout.evidence import checkpoint as checkpoints
from optout.evidence import entries, loss, redaction, rotation, salts, segment, timestamp, tlog
from optout.evidence import note as notes
from optout.evidence.canonical import encode
from optout.evidence.countersign import keep
from optout.evidence.files import write_durably
from optout.evidence.find import by_host, by_url
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.log import LogWriter
from optout.evidence.note import Algorithm, Note, SignerKey
from optout.evidence.report import Report
from optout.evidence.sealing import put_pending
from optout.evidence.verify import verify

WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE_ED25519, b"3" * 32)
NOW = datetime(2100, 1, 1, tzinfo=UTC)
NOT_EVIDENCE = (".lock", "witnesses.json")


class Sample:
    """Evidence with everything in it that a log can hold, as it stands while a process is at work on it.

    Segments of four nodes, one of them with an erased row and an erased URL, one removed; a journal; archives that are
    sealed, growing, and written anew; full and partial tiles; new keys beside old ones; checkpoints that a witness
    cosigned and an authority timestamped; a declared loss; manifests that the log has not taken up yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        live = directory / "live"
        self.layout = Layout(samples.small(live))
        self.authority = Authority(directory / "authority")
        policy = self.layout.policy.read_text().replace("quorum none", f"witness w1 {WITNESS.verifier.text}\nquorum w1")
        self.layout.policy.write_text(policy)
        self._countersign(262)
        shutil.copytree(self.layout.directory, directory / "earlier")
        self._erase()
        self._grow()
        rotation.rotate(self.layout, self._store, ORIGIN, later(295))
        log = begin(live, node="n3", at=300)
        decide(log, 5, 6, at=301)
        log.checkpoint(later(302))
        self._countersign(304)
        decide(log, 6, 4, at=305)
        log.checkpoint(later(306))
        decide(log, 7, 4, at=307)
        waiting = begin(live, node="n4", at=308)
        decide(waiting, 8, 3, at=309)
        waiting.close(later(310))
        shutil.copytree(live, directory / "crawl")
        log.release()
        self.authority.close()
        self.layout = Layout(directory / "crawl" / "evidence")
        self.earlier = directory / "earlier"
        self.known = self.layout.checkpoint.read_bytes()
        self.files = sorted(
            path for path in (directory / "crawl").rglob("*") if path.is_file() and not path.name.endswith(NOT_EVIDENCE)
        )

    def verify(self) -> Report:
        authorities = [self.authority.certificate]
        return verify(self.layout.directory, known=[self.known], authorities=authorities, now=NOW)

    @property
    def _store(self) -> KeyStore:
        return KeyStore(self.layout.private)

    def _erase(self) -> None:
        for url, scope in (("https://site-1.example/p/0", "row"), ("https://site-1.example/q/1", "url")):
            chosen = [(found.file, found.at) for found in by_url(self.layout, url)]
            redaction.redact(self.layout, self._store, ORIGIN, chosen, scope=scope, basis="Art. 17", now=later(270))
        gone = [(found.file, found.at) for found in by_host(self.layout, "example,site-4)/")]
        redaction.redact(self.layout, self._store, ORIGIN, gone, scope="row", basis="Art. 17", now=later(280))
        redaction.purge(
            self.layout, self._store, ORIGIN, basis="a minute", now=later(131), retention=later(60) - later(0)
        )

    def _grow(self) -> None:
        """A declared loss, and so many entries that tiles become full."""
        log = begin(self.layout.directory.parent, node="n2", at=285)
        decide(log, 9, 2, at=286)
        next(self.layout.directory.glob("n2-*.jsonl.zst")).unlink()
        log.release()
        loss.declare(self.layout, self._store, ORIGIN, "n2", reason="a disk was lost", now=later(290))
        begin(self.layout.directory.parent, node="n2", at=290).close(later(290))
        with LogWriter(self.layout, self._store, ORIGIN) as writer:
            for number in range(250):
                writer.append(entries.heartbeat(int(later(291).timestamp()) * 1_000_000 + number))
            writer.checkpoint(int(later(292).timestamp()))

    def _countersign(self, at: float) -> None:
        """What `countersign` does when the witness and the authority answer."""
        signed = self.layout.checkpoint.read_bytes()
        found = checkpoints.parse(notes.parse(signed).text)
        keep(self.layout, signed, [checkpoints.sign(found, WITNESS, int(later(at).timestamp()))])
        token = timestamp.request(self.authority.url, timestamp.stamped(signed))
        write_durably(self.layout.timestamps / f"{found.size}.0.tsr", token)
        entry = {
            "v": entries.COUNTERSIGNED,
            "size": found.size,
            "witnesses": [WITNESS.name],
            "tokens": [sha256(token).hexdigest()],
            "t": int(later(at).timestamp()) * 1_000_000,
        }
        put_pending(self.layout, f"countersigned-{found.size}", entry)

    def blamed(self, path: Path) -> tuple[set[str], str]:
        """The files that a report may name for a change to this one, and what the place must speak of."""
        name = path.relative_to(self.layout.directory.parent).as_posix().removeprefix("evidence/")
        also = {
            # Whether the salts or the rows are the changed ones, nobody can tell.
            "salts": f"segments/{path.stem}.parquet",
            "signals": name.removesuffix(".head") if path.suffix == ".head" else f"signals/{path.stem}.warc.gz.head",
            "timestamps": f"{name.split('.')[0]}.*.tsr",
            "evidence": "checkpoint" if path.name == "evidence.json" else name,
        }
        if path.parent.name == "pending" and not path.exists():
            also["pending"] = f"segments/{path.stem.removeprefix('segment-')}"
        accepted = {name, also.get(path.parent.name, name)}
        places = {".json": "row" if path.parent.name == "salts" else "", ".parquet": "row", ".zst": "frame|row"}
        if path.exists():
            places |= {".gz": "byte", ".cdxj": "line"}
        return accepted, "hash|entr" if name.startswith("tile/") and path.exists() else places.get(path.suffix, "")


@contextmanager
def replaced(path: Path, data: bytes | None) -> Iterator[Path]:
    """The file with other content, or gone; give its name."""
    before = path.read_bytes()
    mode = path.stat().st_mode
    path.unlink() if data is None else path.write_bytes(data)
    try:
        yield path
    finally:
        path.write_bytes(before)
        path.chmod(mode)


@contextmanager
def flipped_bit(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path = draw.choice(sample.files)
    data = bytearray(path.read_bytes() or b"\0")
    at = draw.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    with replaced(path, bytes(data)) as changed:
        yield changed


@contextmanager
def deleted_file(sample: Sample, draw: random.Random) -> Iterator[Path]:
    # A partial tile that a later one has taken the place of may be deleted (C2SP tlog-tiles).
    path = draw.choice([path for path in sample.files if not _is_superseded(path)])
    with replaced(path, None) as changed:
        yield changed


def _is_superseded(path: Path) -> bool:
    """Whether a longer tile stands beside a partial one, or its writer says the same again."""
    if path.name.startswith("archive-"):
        return True
    partial = path.parent.name.endswith(".p")
    return partial and any(int(other.name) > int(path.name) for other in path.parent.iterdir())


@contextmanager
def truncated_file(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path = draw.choice([path for path in sample.files if path.stat().st_size])
    with replaced(path, path.read_bytes()[: draw.randrange(path.stat().st_size)]) as changed:
        yield changed


def _segment(sample: Sample, draw: random.Random, *, whole: bool = False) -> tuple[Path, pa.Table]:
    """A segment; one of which nothing has been erased, if that is asked."""
    tables = {path: segment.read(path) for path in sorted(sample.layout.segments.iterdir())}
    erased = {
        path
        for path, table in tables.items()
        if any(table.column(name).null_count < table.num_rows for name in ("leaf", "url_c"))
    }
    path = draw.choice([path for path in tables if not whole or path not in erased])
    return path, tables[path]


@contextmanager
def deleted_row(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path, table = _segment(sample, draw)
    at = draw.randrange(table.num_rows)
    left = pa.concat_tables([table.slice(0, at), table.slice(at + 1)])
    with replaced(path, segment.file_bytes(left)) as changed:
        yield changed


@contextmanager
def swapped_rows(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path, table = _segment(sample, draw)
    order = list(range(table.num_rows))
    one, other = draw.sample(order, 2)
    order[one], order[other] = order[other], order[one]
    with replaced(path, segment.file_bytes(table.take(order))) as changed:
        yield changed


@contextmanager
def changed_row(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path, table = _segment(sample, draw, whole=True)
    at, field = draw.randrange(table.num_rows), draw.choice(["effect", "reason", "url", "t", "coverage", "exchanges"])
    rows = [dict(row) for row in segment.rows_of(table)]
    rows[at][field] = rows[at][field] + 1 if field == "t" else {"x": 1} if field == "coverage" else "permit me"
    changed = segment.table_of(rows).select([name for name in segment.SCHEMA.names if name in table.column_names[:-3]])
    changed = changed.append_column("mark", table.column("mark"))
    with replaced(path, segment.file_bytes(segment.completed(changed))) as changed:
        yield changed


@contextmanager
def replaced_salt(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path = draw.choice([path for path in sample.files if path.parent.name == "salts"])
    rows = segment.read(sample.layout.segments / f"{path.stem}.parquet").num_rows
    with replaced(path, encode(salts.whole(draw.randbytes(16), rows).json)) as changed:
        yield changed


@contextmanager
def swapped_neighbours(sample: Sample, draw: random.Random) -> Iterator[Path]:
    """Two entries of the log that stand side by side change places."""
    path = draw.choice([path for path in sample.files if "entries" in path.parts and path.name != "1"])
    found = list(tlog.bundle_entries(path.read_bytes()))
    at = draw.randrange(len(found) - 1)
    found[at], found[at + 1] = found[at + 1], found[at]
    with replaced(path, tlog.bundle_bytes(found)) as changed:
        yield changed


@contextmanager
def rolled_back_log(sample: Sample, draw: random.Random) -> Iterator[Path]:
    """The whole directory as it was earlier, the signer's memory too; only the verifier remembers."""
    with _exchanged(sample, sample.earlier):
        yield sample.layout.checkpoint


@contextmanager
def forked_log(sample: Sample, draw: random.Random) -> Iterator[Path]:
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
            yield sample.layout.checkpoint
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
def back_dated_witness(sample: Sample, draw: random.Random) -> Iterator[Path]:
    path = max(sample.layout.checkpoints.iterdir(), key=lambda path: int(path.name))
    found = notes.parse(path.read_bytes())
    own = tuple(line for line in found.signatures if line.name != WITNESS.name)
    at = int(later(-draw.randrange(1000, 10**6)).timestamp())
    line = checkpoints.sign(checkpoints.parse(found.text), WITNESS, at)
    with replaced(path, Note(found.text, own).signed(line).bytes) as changed:
        yield changed


KINDS: tuple[tuple[Callable, int], ...] = (
    (flipped_bit, 50), (deleted_file, 6), (truncated_file, 12), (deleted_row, 6), (swapped_rows, 6), (changed_row, 8),
    (replaced_salt, 4), (swapped_neighbours, 3), (rolled_back_log, 1), (forked_log, 1), (back_dated_witness, 3),
)  # fmt: skip
"""Every kind of change, with how often it is drawn."""


def tamper(sample: Sample, count: int, seed: int) -> Counter[str]:
    """Make so many single changes one after the other; fail at the first that is not seen, or not named with its place.

    Gives how often each kind of change was made, and how often each kind of file was changed.
    """
    draw = random.Random(seed)
    kinds, weights = zip(*KINDS, strict=True)
    made: Counter[str] = Counter()
    for number in range(count):
        kind = draw.choices(kinds, weights)[0]
        with kind(sample, draw) as path:
            report = sample.verify()
            _hold(sample, report, path, f"change {number} of seed {seed}, {kind.__name__} of {path}")
        made.update([kind.__name__, _kind_of(sample, path)])
    return made


def _hold(sample: Sample, report: Report, path: Path, what: str) -> None:
    assert not report.valid, f"{what} went unseen:\n{report.text}"
    accepted, places = sample.blamed(path)
    # Whether a head or its journal is the changed one, nobody can tell either; the fault then speaks of both.
    found = [fault for fault in report.faults if fault.file in accepted or path.name in fault.what]
    # What no longer says whose it is, or may not have been made yet, is told as what could not be checked, not blamed.
    about = (*accepted, f"signals/{path.stem.removeprefix('archive-')}:")
    told = [gap for step in report.steps for gap in step.gaps if gap.startswith(about)]
    assert found or told, f"{what} is not named:\n{report.text}"
    spoken = [fault.place for fault in found if any(word in fault.place for word in places.split("|"))]
    assert spoken or told, f"{what} has no place:\n{report.text}"


def _kind_of(sample: Sample, path: Path) -> str:
    """What kind of file it is, for the count: digits and names do not matter."""
    name = path.relative_to(sample.layout.directory.parent).as_posix()
    return "/".join(re.sub(r"[0-9a-f]{64}|[0-9]+", "#", part) for part in name.split("/"))
