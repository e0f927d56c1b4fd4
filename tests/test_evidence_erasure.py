"""What has been erased is nowhere any more, and what is left still holds."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import evidence_samples as samples
import pytest
import zstandard
from evidence_samples import ORIGIN, begin, decide, later, robots

from optout.errors import EvidenceError
from optout.evidence import bundle, redaction, segment, standalone, trust, warc
from optout.evidence.find import by_host, by_url
from optout.evidence.journal import Journal
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.rows import decision_row
from optout.evidence.verify import verify
from optout.model import Exchange

URL = "https://site-2.example/secret/medical-record"
HOST = "example,site-2)/"
BASIS = "Art. 17(1)(b) GDPR"


def page(url: str, body: bytes = b"<meta name=robots content=noai>") -> Exchange:
    return Exchange(url=url, role="page", status=200, body=body, fetched_at=later(1))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Two sites with the same robots.txt, and two pages with the same body, so that records refer to each other."""
    log = begin(tmp_path / "crawl")
    decide(log, 2, 3)
    for url in (URL, "https://site-3.example/open"):
        record, listed = log.write(page(url)), log.write_set([robots(int(url[13]))])
        log.add(decision_row(
            url=url, decided_at=later(30), stage="page", agent="ExampleBot", purpose="ai-train", effect="deny",
            reason="robots-directives.noai", policy="", registry="", identity="", exchanges=listed,
            fetch={"done": True, "status": 200, "rec": record},
        ))  # fmt: skip
    log.close(later(61))
    return Layout(tmp_path / "crawl" / "evidence")


def store(layout: Layout) -> KeyStore:
    return KeyStore(layout.private)


def redact(layout: Layout, found: list, scope: str = "row") -> None:
    chosen = [(item.file, item.at) for item in found]
    redaction.redact(layout, store(layout), ORIGIN, chosen, scope=scope, basis=BASIS, now=later(400))


def faults(layout: Layout) -> list[str]:
    return [str(fault) for fault in verify(layout.directory, now=later(10**5)).faults]


def everything(directory: Path) -> bytes:
    """Whatever any file says, packed or not."""
    said = []
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            said += [path.name.encode(), data, _unpacked(data, path)]
    return b"\n".join(said)


def _unpacked(data: bytes, path: Path) -> bytes:
    if path.suffix == ".parquet":
        return json.dumps(list(segment.rows_of(segment.read(path)))).encode()
    if path.suffix in {".zst", ".torn"}:
        at = data.find(b"\x28\xb5\x2f\xfd")
        return zstandard.ZstdDecompressor().decompressobj().decompress(data[at:]) if at >= 0 else b""
    found = b""
    while data[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(zlib.MAX_WBITS + 16)
        found += member.decompress(data)
        data = member.unused_data
    return found


@pytest.mark.parametrize("scope", ["row", "url"])
def test_an_erased_page_is_nowhere_any_more(layout: Layout, scope: str) -> None:
    other = "https://site-3.example/open"
    before = bundle.prove_url(layout, other)
    assert URL.encode() in everything(layout.directory.parent)
    redact(layout, by_url(layout, URL), scope)
    assert faults(layout) == []
    assert b"medical-record" not in everything(layout.directory.parent)
    keys = [key.text for key in trust.parse(layout.policy.read_bytes()).logs]
    for proof in (before, bundle.prove_url(layout, other)):
        checked = standalone.check(json.dumps(proof).encode(), keys, [])
        assert (checked.code, checked.steps[4].checked) == (standalone.VALID, 2), checked.text


@pytest.mark.parametrize("scope", ["row", "url"])
def test_a_whole_host_can_be_erased(layout: Layout, scope: str) -> None:
    redact(layout, by_host(layout, HOST), scope)
    assert faults(layout) == []
    left = everything(layout.directory.parent)
    assert b"medical-record" not in left
    assert (b"site-2.example/robots.txt" in left) == (scope == "url")
    assert b"site-3.example/robots.txt" in left


def test_bytes_that_others_refer_to_are_given_to_them(layout: Layout) -> None:
    archive = layout.directory.parent / "signals"
    kinds = [found.record.kind for path in warc.archive_files(archive) for found in warc.iterate(path)]
    assert kinds.count("revisit") == 2
    redact(layout, by_host(layout, HOST))
    kinds = [found.record.kind for path in warc.archive_files(archive) for found in warc.iterate(path)]
    assert kinds.count("revisit") == 0
    assert kinds.count("response") == 2


def test_a_purge_takes_its_archive_along(layout: Layout) -> None:
    gone = redaction.purge(
        layout, store(layout), ORIGIN, basis="a minute", now=later(3600), retention=later(60) - later(0)
    )
    assert len(gone) == 1
    assert faults(layout) == []
    assert b"site-2.example" not in everything(layout.directory.parent)
    begin(layout.directory.parent, at=4000).close(later(4001))
    assert faults(layout) == []


def test_what_crashes_left_lying_about_goes_too(layout: Layout) -> None:
    """A temporary file with the seed of all salts, a journal that was sealed, and a torn frame of it."""
    found = by_url(layout, URL)[0]
    salts = store(layout).salts_path(found.file)
    row = segment.row_at(segment.read(layout.segments / found.file), found.at)
    with Journal(layout.directory / "elsewhere", node="n1") as journal:
        journal.append([row])
        line = journal.files()[0].read_bytes()
    shutil.rmtree(layout.directory / "elsewhere")
    left = {
        salts.with_name(f".{salts.name}.4711.part"): salts.read_bytes(),
        layout.segments / f".{found.file}.4711.part": (layout.segments / found.file).read_bytes(),
        layout.directory / f"{found.file[:-8]}.jsonl.zst": line,
        layout.directory / f"{found.file[:-8]}.jsonl.99.torn": line,
    }
    for path, data in left.items():
        path.write_bytes(data)
    seed = next(iter(store(layout).salts(found.file).seeds.values()))
    redact(layout, [found])
    assert not [path for path in left if path.exists()]
    said = everything(layout.directory.parent)
    assert seed not in said
    assert seed.hex().encode() not in said
    assert b"medical-record" not in said


def test_nothing_is_erased_while_its_archive_is_being_written(layout: Layout) -> None:
    archive = warc.SignalArchive(layout.directory.parent / "signals", prefix="n1")
    with pytest.raises(EvidenceError, match="still archiving"):
        redact(layout, by_url(layout, URL))
    archive.close()
    redact(layout, by_url(layout, URL))


class Power(BaseException):
    """The machine stops here."""


@pytest.mark.parametrize("scope", ["row", "url"])
def test_a_crash_while_erasing_leaves_it_undone_or_has_it_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    replace, countdown = Path.replace, [10**9]

    def stopping(self: Path, target: Path) -> Path:
        countdown[0] -= 1
        if countdown[0] < 0:
            raise Power
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stopping)
    stop, finished, done = 0, False, []
    while not finished:
        place = Layout(samples.small(tmp_path / str(stop)))
        countdown[0] = stop
        try:
            redact(place, by_host(place, HOST), scope)
            finished = True
        except Power:
            pass
        countdown[0] = 10**9
        begin(place.directory.parent, at=500).close(later(600))
        assert faults(place) == [], f"stopped at {stop}"
        done.append(b"site-2.example/p/" not in everything(place.directory.parent))
        stop += 1
    assert done == sorted(done)
    assert set(done) == {False, True}


def test_an_archive_that_was_written_anew_without_saying_so_is_found(layout: Layout) -> None:
    from optout.evidence import erasure  # noqa: PLC0415 - here only

    found = by_url(layout, URL)[0]
    change = erasure.prepare(layout, store(layout), {found.file: erasure.Gone({found.at}, set())})
    assert [entry["erased"] for entry in change] == [3]
    erasure.carry_out(layout, store(layout), change[0])
    assert any("signals/" in fault for fault in faults(layout))
