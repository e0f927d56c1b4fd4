"""The signer never signs a smaller tree or a fork, whatever crash or restored copy came before."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from optout.errors import EvidenceError
from optout.evidence import checkpoint as checkpoints
from optout.evidence import entries, note, tlog
from optout.evidence.keystore import KeyStore, TreeHead
from optout.evidence.layout import Layout
from optout.evidence.log import LogReader, LogWriter

ORIGIN = "evidence.example/crawl-decisions/2026"
AT = 1_795_349_704


def opened(directory: Path) -> LogWriter:
    layout = Layout(directory)
    return LogWriter(layout, KeyStore(layout.private), ORIGIN)


def grow(writer: LogWriter, count: int) -> bytes:
    for _ in range(count):
        writer.append(entries.heartbeat(writer.size))
    return writer.checkpoint(AT)


def head_of(directory: Path) -> TreeHead:
    trusted = [key.signer.verifier for key in KeyStore(directory / "private").log_keys()]
    found = checkpoints.open_note((directory / "checkpoint").read_bytes(), trusted)
    assert len(found.signers) == len(trusted)
    return TreeHead(found.checkpoint.size, found.checkpoint.root)


def expected(size: int) -> TreeHead:
    leaves = [tlog.leaf_hash(b'{"t":%d,"v":"evidence/heartbeat/1"}' % number) for number in range(size)]
    return TreeHead(size, tlog.Tree(leaves).root)


def test_a_log_grows_over_several_openings(tmp_path: Path) -> None:
    size = 0
    for count in (1, 0, 3, 251, 1, 1, 256, 40):
        with opened(tmp_path) as writer:
            grow(writer, count)
        size += count
        assert head_of(tmp_path) == expected(size)
    reader = LogReader(Layout(tmp_path), size)
    for index, data in reader.entries():
        assert tlog.check_inclusion(index, size, tlog.leaf_hash(data), reader.inclusion(index), expected(size).root)
    assert not list(tmp_path.glob("tile/0/000.p")) and not list(tmp_path.glob("tile/entries/001.p"))  # noqa: PT018


def test_private_files_are_private(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "private").iterdir()}
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700
    assert modes["log.keys"] == modes["signed.json"] == 0o600
    (tmp_path / "private" / "log.keys").chmod(0o640)
    with pytest.raises(EvidenceError, match="others can read"):
        opened(tmp_path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(EvidenceError, match="another process"):
        opened(tmp_path)


def test_what_is_no_entry_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        for wrong in ({}, {"v": "evidence/other/1"}, {"v": entries.HEARTBEAT}, {"v": entries.HEARTBEAT, "t": "1"}):
            with pytest.raises(EvidenceError):
                writer.append(wrong)
        with pytest.raises(EvidenceError, match="bytes"):
            writer.append(entries.gap("n1", 0, 1, "x" * 65_536, 1))
        assert writer.size == 0


def test_a_rolled_back_directory_is_refused_when_the_signer_remembers(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 5)
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("private", "copy"))
    with opened(tmp_path) as writer:
        grow(writer, 5)
    for name in ("tile", "checkpoint"):
        target = tmp_path / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        (tmp_path / "copy" / name).rename(target)
    with pytest.raises(EvidenceError):
        opened(tmp_path)


def test_a_restored_private_directory_learns_from_the_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 5)
        old = (tmp_path / "private" / "signed.json").read_bytes()
        grow(writer, 5)
    (tmp_path / "private" / "signed.json").write_bytes(old)
    with opened(tmp_path) as writer:
        assert writer.head == expected(10)
        grow(writer, 1)
    assert head_of(tmp_path) == expected(11)


def test_a_changed_tile_is_not_signed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 5)
    tile = tmp_path / "tile/0/000.p/5"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    with pytest.raises(EvidenceError, match="not the one that was signed"):
        opened(tmp_path)


def test_a_tile_that_changes_while_the_log_is_open_is_not_signed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 300)
        before = (tmp_path / "checkpoint").read_bytes()
        tile = tmp_path / "tile/1/000.p/1"
        tile.write_bytes(bytes(32))
        with pytest.raises(EvidenceError, match="nothing is signed"):
            grow(writer, 1)
    assert (tmp_path / "checkpoint").read_bytes() == before


@pytest.mark.parametrize("lost", ["log.keys", "signed.json"])
def test_a_log_without_its_memory_or_keys_is_not_begun_anew(tmp_path: Path, lost: str) -> None:
    with opened(tmp_path) as writer:
        grow(writer, 3)
    (tmp_path / "private" / lost).unlink()
    if lost == "signed.json":
        (tmp_path / "checkpoint").unlink()
    with pytest.raises(EvidenceError):
        opened(tmp_path)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
        grow(one, 3)
        grow(two, 2)
    (tmp_path / "one" / "checkpoint").write_bytes((tmp_path / "two" / "checkpoint").read_bytes())
    with pytest.raises(note.MalformedNote):
        opened(tmp_path / "one")


class Power(BaseException):
    """The machine stops here."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the machine stop at the n-th time that a file is put in its place; `countdown[0]` says n."""
    countdown = [10**9]
    replace = Path.replace

    def stopping(self: Path, target: Path) -> Path:
        countdown[0] -= 1
        if countdown[0] < 0:
            raise Power
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stopping)
    yield countdown
    countdown[0] = 10**9


@pytest.mark.parametrize("start", [0, 1, 254, 255, 256])
def test_a_crash_at_every_write_leaves_a_log_that_goes_on(tmp_path: Path, failing: list[int], start: int) -> None:
    """After each crash the log holds what was signed and no less, and other entries may follow in its place."""
    for stop in range(40):
        directory = tmp_path / str(stop)
        if start:
            with opened(directory) as writer:
                grow(writer, start)
        failing[0] = stop
        finished = False
        try:
            with opened(directory) as writer:
                grow(writer, 3)
                finished = True
        except Power:
            pass
        failing[0] = 10**9
        known = KeyStore(directory / "private").signed()
        with opened(directory) as writer:
            assert writer.head.size in {start, start + 3}
            if known and known.size == start + 3:
                assert writer.head == expected(start + 3)
            writer.append(entries.gap("n1", 0, 1, "another entry than before the crash", 0))
            writer.checkpoint(AT)
            size, root = writer.head
        reader = LogReader(Layout(directory), size)
        assert reader.root() == root
        assert tlog.Tree([tlog.leaf_hash(data) for _, data in reader.entries()]).root == root
        assert reader.root_of(start) == expected(start).root
        if finished:
            return
    pytest.fail("the crash never came late enough")
