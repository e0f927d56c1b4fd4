"""Directories and files that somebody made in order to harm whoever verifies them: an answer, in bounded memory."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import evidence_samples as samples
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from evidence_samples import later
from hypothesis import given
from hypothesis import strategies as st

from optout.cli import main
from optout.errors import EvidenceError
from optout.evidence import bundle, checks_files, entries, journal, note, standalone, tlog, trust
from optout.evidence import checkpoint as checkpoints
from optout.evidence.canonical import decode
from optout.evidence.layout import Layout
from optout.evidence.verify import verify

FILE = "n1-000000000000000"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.small(tmp_path_factory.mktemp("hostile") / "crawl").parent


@pytest.fixture
def layout(original: Path, tmp_path: Path) -> Layout:
    return Layout(Path(shutil.copytree(original, tmp_path / "crawl")) / "evidence")


def faults(layout: Layout) -> list[str]:
    report = verify(layout.directory, now=later(1000))
    assert report.outcome == "fails"
    return [str(fault) for fault in report.faults]


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def _huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("harm", [_link, _pipe, _socket, _huge])
@pytest.mark.parametrize(
    "name",
    [
        "checkpoint", "evidence.json", "policy.txt", "tile/entries/000.p/8", f"segments/{FILE}.parquet",
        f"private/salts/{FILE}.json", "n1.head", "private/signed.json", "../signals/n1-000000.warc.gz",
        "../signals/n1-000000.cdxj",
    ],
)  # fmt: skip
def test_what_is_no_ordinary_file_is_not_opened(layout: Layout, harm: Callable[[Path], None], name: str) -> None:
    harm((layout.directory / name).resolve())
    found = faults(layout)
    assert any(Path(name).name in fault and "nothing else has been looked at" in fault for fault in found), found


def test_a_directory_that_leads_elsewhere_is_not_entered(layout: Layout) -> None:
    shutil.rmtree(layout.segments)
    layout.segments.symlink_to("/")
    assert any(fault.startswith("segments: ") for fault in faults(layout))


def test_there_is_an_end_to_files(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_files, "MOST_FILES", 100)
    for number in range(200):
        (layout.directory / f"n{number}.head").write_bytes(b"")
    assert "there are more than 100 files here" in faults(layout)[-1]


def test_the_archive_is_beside_the_log(layout: Layout) -> None:
    layout.description.write_bytes(layout.description.read_bytes().replace(b"../signals", b"/etc/ssl"))
    assert any("evidence.json archive" in fault for fault in faults(layout))


_NO_BYTES = b'{"sha256":"%s","size":0}\n' % sha256(b"").hexdigest().encode()


@pytest.mark.parametrize("head", [b"", _NO_BYTES])
def test_a_file_that_was_only_begun_when_its_writer_died_is_not_missed(layout: Layout, head: bytes) -> None:
    (layout.directory.parent / "signals" / "n1-000007.warc.gz.head").write_bytes(head)
    assert not verify(layout.directory, now=later(1000)).faults


@pytest.mark.parametrize("head", [_NO_BYTES[:-1], _NO_BYTES.replace(b":0", b":5"), b"?"])
def test_a_file_that_a_head_says_something_about_is_missed(layout: Layout, head: bytes) -> None:
    (layout.directory.parent / "signals" / "n1-000007.warc.gz.head").write_bytes(head)
    assert any("n1-000007.warc.gz" in fault for fault in faults(layout))


@pytest.mark.parametrize(
    ("said", "told"), [(b"}\n", b"}"), (b"}\n", b"}\n\n"), (b"{", b'{"a":1,'), (b'{"', b'{ "')], ids=str
)
def test_what_a_directory_says_of_itself_is_what_was_written(layout: Layout, said: bytes, told: bytes) -> None:
    layout.description.write_bytes(layout.description.read_bytes().replace(said, told, 1))
    assert any("evidence.json" in fault and "damaged" in fault for fault in faults(layout))


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "n1-0.parquet", "..", "n1-000000000000000.parquet\n"]
)
def test_names_in_entries_stay_in_their_directory(name: str) -> None:
    said = {"v": entries.PURGE, "file": name, "basis": "x", "t": 1}
    with pytest.raises(ValueError, match="file is not what it must be"):
        entries.parse(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    archive = {"v": entries.ARCHIVE, "name": name, "sha256": "0" * 64, "bytes": 1, "clean": True, "t": 1}
    with pytest.raises(ValueError, match="name is not what it must be"):
        entries.parse(json.dumps(archive, sort_keys=True, separators=(",", ":")).encode())


def _parquet_bomb(path: Path) -> None:
    """A few hundred bytes that say they are many gigabytes of one address, in every row a little longer."""
    table = pa.table({"url": ["a" * 1_000_000 + str(number % 10) for number in range(300)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding={"url": "DELTA_BYTE_ARRAY"})


def _many_rows(path: Path) -> None:
    pq.write_table(pa.table({"v": pa.nulls(5_000_000, pa.int64())}), path, compression="zstd")


def _gzip_bomb(path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    with path.open("wb") as file:
        file.writelines(packer.compress(bytes(1 << 24)) for _ in range(20))
        file.write(packer.flush())


def _zstd_bomb(path: Path) -> None:
    body = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(bytes(1 << 29))
    tip = journal.Tip(9, bytes(32))
    path.write_bytes(journal._front(tip, 1, len(body), journal._chain(tip, 1, body).chain) + body)


BOMBS = {
    f"segments/{FILE}.parquet": _parquet_bomb, "segments/n1-000000000000009.parquet": _many_rows,
    "../signals/n1-000000.warc.gz": _gzip_bomb, "n1-000000000000015.jsonl.zst": _zstd_bomb,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_without_end_is_not_unpacked(layout: Layout, name: str) -> None:
    """In a process of its own with a gigabyte of memory, because its peak is what counts."""
    BOMBS[name](layout.directory / name)
    script = (
        "import resource, sys; from pathlib import Path; from optout.evidence.verify import verify\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "report = verify(Path(sys.argv[1]))\n"
        "print(report.text); sys.exit(0 if report.faults else 1)"
    )
    command = [sys.executable, "-c", script, str(layout.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert Path(name).name in done.stdout
    assert not done.stderr


def test_the_command_bounds_its_memory_and_lets_go_of_the_bound(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    _parquet_bomb(layout.segments / f"{FILE}.parquet")
    assert main(["evidence", "verify", str(layout.directory)]) == 1
    assert FILE in capsys.readouterr().out
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_nested_json_is_no_way_in() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    for data in (deep, b"[" * 1000 + b"]" * 1000, b"[" * 100_000):
        with pytest.raises(ValueError, match=r".+"):
            decode(data)
    with pytest.raises(standalone.Wrong):
        standalone.check(b"[" * 100_000, [], [])


def test_a_terminal_is_not_steered_by_a_file_name(layout: Layout) -> None:
    (layout.directory / "\x1b[2Jgone\u202e").write_bytes(b"")
    text = verify(layout.directory).text
    assert "gone" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


# Bytes that are anything.


PARSERS: tuple[Callable[[bytes], object], ...] = (
    note.parse, checkpoints.parse_proof, checkpoints.parse_request, tlog.bundle_entries, entries.parse,
    entries.parse_waiting, trust.parse, lambda data: checkpoints.open_note(data, ()),
    lambda data: note.parse_verifier(data.decode("latin-1")), lambda data: checkpoints.parse(data.decode("latin-1")),
)  # fmt: skip
PIECES = st.sampled_from([
    b"\n", b"\n\n", b"\xe2\x80\x94 ", b"example.org/log", b"0", b"9" * 30, b"-1", b"AAAA", b"A" * 43 + b"=", b"old ",
    b"index ", b"c2sp.org/tlog-proof@v1", b"log ", b"witness ", b"group ", b"quorum ", b"+", b" ", b"{", b"}", b'"v":',
    b'"evidence/heartbeat/1"', b"\xff", b"\0", b"\x00\x01a",
])  # fmt: skip


@given(data=st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=30).map(b"".join)))
def test_parsers_give_an_answer_or_say_what_is_wrong(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except (ValueError, EvidenceError):
            continue


@pytest.fixture(scope="module")
def handed_over(original: Path) -> dict[str, bytes]:
    place = Layout(original / "evidence")
    made = {
        "proof": bundle.prove_url(place, "https://site-2.example/p/0"),
        "export": bundle.export(place, "example,site-2)/"),
    }
    return {name: json.dumps(value).encode() for name, value in made.items()}


STRANGE = (
    None, True, -1, 0, 10**30, 1.5, float("nan"), "", "\x1b[31m", "\ud800", "A" * 1000, [], [[]], {}, {"v": {}},
    "9" * 5000, {"rec": [], "body": 0},
)  # fmt: skip


def _mutated(value: object, draw: random.Random) -> object:
    """The same with one thing in it exchanged, left out or doubled."""
    holders = [holder for holder in _holders(value) if len(holder)]
    holder = draw.choice(holders)
    key = draw.choice(sorted(holder, key=str)) if isinstance(holder, dict) else draw.randrange(len(holder))
    match draw.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(holder[key])
        case 2 if isinstance(holder[key], str) and holder[key]:
            at = draw.randrange(len(holder[key]))
            holder[key] = holder[key][:at] + draw.choice("\0\n+ =A{9\u2014") + holder[key][at + 1 :]
        case _:
            holder[key] = draw.choice(STRANGE)
    return value


def _holders(value: object) -> list:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for item in inner for holder in _holders(item))]


def fuzz_standalone(data: bytes, keys: list[str], rounds: int, seed: int) -> int:
    """Give the standalone verifier so many hostile files; count those that it found nothing wrong with."""
    draw, accepted = random.Random(seed), 0
    for _ in range(rounds):
        value = json.loads(data)
        for _ in range(draw.randrange(1, 4)):
            value = _mutated(value, draw)
        try:
            checked = standalone.check(json.dumps(value).encode(), keys, [])
        except standalone.Wrong:
            continue
        assert checked.text.isprintable() or "\n" in checked.text
        accepted += checked.code == standalone.VALID
    return accepted


@pytest.mark.parametrize("name", ["proof", "export"])
def test_the_standalone_verifier_answers_whatever_it_is_given(
    original: Path, handed_over: dict[str, bytes], name: str
) -> None:
    keys = [key.text for key in trust.parse((original / "evidence" / "policy.txt").read_bytes()).logs]
    accepted = fuzz_standalone(handed_over[name], keys, 300, seed=5)
    # What is not evidence may change: the policy file beside a key that was brought, and doubled records.
    assert accepted < 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_standalone_verifier_answers_for_long(original: Path, handed_over: dict[str, bytes], seed: int) -> None:
    keys = [key.text for key in trust.parse((original / "evidence" / "policy.txt").read_bytes()).logs]
    for data in handed_over.values():
        fuzz_standalone(data, keys, 5_000, seed)


@given(data=st.binary(max_size=400))
def test_the_standalone_verifier_answers_any_bytes(data: bytes) -> None:
    with pytest.raises(standalone.Wrong):
        standalone.check(data, [], [])


def test_a_record_that_unpacks_without_end_is_refused(handed_over: dict[str, bytes]) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    packed = b"".join([*(packer.compress(bytes(1 << 24)) for _ in range(20)), packer.flush()])
    value = json.loads(handed_over["proof"])
    value["records"] = [note.b64encode(packed).decode()]
    checked = standalone.check(json.dumps(value).encode(), [], [])
    assert "endless" in checked.text


@pytest.mark.parametrize(
    "arguments", [["--key", "x"], ["--key", "a+b+"], ["--key", "a+00000000+AQ=="], ["--witness", "+++"]]
)
def test_a_key_that_is_none_is_said_to_be_none(
    tmp_path: Path, arguments: list[str], handed_over: dict[str, bytes]
) -> None:
    (tmp_path / "proof.json").write_bytes(handed_over["proof"])
    command = [sys.executable, "-I", standalone.__file__, str(tmp_path / "proof.json"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (standalone.UNREADABLE, "")
    assert "Traceback" not in done.stderr
