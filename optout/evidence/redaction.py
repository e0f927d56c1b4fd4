"""Erasing: single rows or their URLs, and whole segments when their time is up. The log says what, when and why.

The plain text goes and so does the salt, so nobody can tell from the remaining hash what the row said, not even by
trying all URLs there are. The hash stays, and with it the root hash, the log, and the proof of every other row. Of the
archive go the records on which no other row rests (`optout.evidence.erasure`). What a crash may have left lying about,
temporary files, torn frames, a journal that has been sealed, goes as well.

Order makes it safe: the changed file is prepared; the entry that announces it is logged and signed; only then are
the salts destroyed and the file put in its place. Whoever opens the log after a crash finishes what was announced.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import erasure, segment
from optout.evidence.entries import ERASURE, PURGE, REDACTION, SEGMENT, parse
from optout.evidence.erasure import Gone
from optout.evidence.files import PRIVATE_FILE, disk_errors, sync_directory, write_durably
from optout.evidence.log import BusyError
from optout.evidence.publisher import Publisher
from optout.evidence.rows import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout

RETENTION = timedelta(days=3653)
"""How long segments are kept by default: ten years, in which claims may be brought. Hashes are kept for ever."""


def redact(
    layout: Layout,
    store: KeyStore,
    origin: str,
    chosen: Iterable[tuple[str, int]],
    *,
    scope: str,
    basis: str,
    now: datetime,
) -> int:
    """Erase rows or their URLs.

    Args:
        layout: where everything is.
        store: keeps the salts.
        origin: the log's name.
        chosen: segment files and places of rows.
        scope: `row` for whole rows, `url` for their URLs.
        basis: the legal basis, which everybody who reads the log will see; it must not name what is erased.
        now: the time.

    Returns:
        How many rows were changed.

    Raises:
        EvidenceError: a row is not in the signed log, another process writes it, or the disk refuses.
    """
    if scope not in {"row", "url"}:
        raise EvidenceError(f"{scope!r} cannot be redacted", mend="redact a `row` or its `url`")
    if not basis.strip():
        raise EvidenceError("a redaction needs a legal basis", mend="say on what ground the data is erased")
    places: dict[str, set[int]] = {}
    for file, at in chosen:
        places.setdefault(file, set()).add(at)
    said = {"basis": basis, "t": microseconds(now)}
    with _Writing(layout, store, origin) as publisher, erasure.held(layout):
        for file, rows in sorted(places.items()):
            publisher.append(_announced(layout, store, file, rows, scope) | said)
        nothing: set[int] = set()
        gone = {file: Gone(rows, nothing) if scope == "row" else Gone(nothing, rows) for file, rows in places.items()}
        for entry in erasure.prepare(layout, store, gone):
            publisher.append(entry | said)
        publisher.sign(int(now.timestamp()))
        finish(layout, store, publisher.index.redactions)
    return sum(map(len, places.values()))


def purge(
    layout: Layout, store: KeyStore, origin: str, *, basis: str, now: datetime, retention: timedelta = RETENTION
) -> list[str]:
    """Remove the segments whose newest row is older than the retention allows; their hashes stay in the log.

    Args:
        layout: where everything is.
        store: keeps the salts.
        origin: the log's name.
        basis: the retention rule, for the log.
        now: the time.
        retention: how long rows are kept.

    Returns:
        The files that were removed.

    Raises:
        EvidenceError: another process writes the log, or the disk refuses.
    """
    said = {"basis": basis, "t": microseconds(now)}
    with _Writing(layout, store, origin) as publisher, erasure.held(layout):
        gone = {entry["file"] for entry in publisher.index.redactions if entry["v"] == PURGE}
        limit = microseconds(now - retention)
        due = {
            entry["file"]: Gone(set(range(entry["rows"])), set())
            for entry in _segments(publisher)
            if entry["t_max"] < limit and entry["file"] not in gone
        }
        for file in due:
            publisher.append({"v": PURGE, "file": file} | said)
        for entry in erasure.prepare(layout, store, due):
            publisher.append(entry | said)
        if due:
            publisher.sign(int(now.timestamp()))
        finish(layout, store, publisher.index.redactions)
    return list(due)


def finish(layout: Layout, store: KeyStore, announced: Sequence[Mapping[str, Any]]) -> None:
    """Carry out what the signed log announces and a crash has left undone. Only the log's writer may.

    Args:
        layout: where everything is.
        store: keeps the salts.
        announced: the redactions and purges in the signed log, in order.

    Raises:
        EvidenceError: the disk refuses.
    """
    with disk_errors(layout.segments):
        for change in announced:
            if change["v"] == ERASURE:
                erasure.carry_out(layout, store, change)
                continue
            path = layout.segments / change["file"]
            if change["v"] == PURGE:
                store.forget_salts(change["file"])
                path.unlink(missing_ok=True)
                continue
            staged = store.directory / "staged" / change["after"]
            if staged.exists():
                _destroy_salts(store, change, segment.read(staged).num_rows)
                staged.chmod(0o644)
                staged.replace(path)
                sync_directory(layout.segments)
        for left in (store.directory / "staged").glob("*"):
            left.unlink()
    _sweep(layout, store, {str(change["file"]) for change in announced if change["v"] != ERASURE})


def _sweep(layout: Layout, store: KeyStore, files: set[str]) -> None:
    """Remove what crashes have left lying about: it may hold what has been erased, or the seed of its salts.

    The rows of a segment that is in the signed log are not needed in a journal any more. A torn frame was never
    acknowledged. A temporary file of another process that is just being written is left to it.
    """
    with disk_errors(layout.directory):
        for file in files:
            stem = file.removesuffix(".parquet")
            (layout.directory / f"{stem}.jsonl.zst").unlink(missing_ok=True)
            for place, name in ((layout.segments, file), (store.salts_path(file).parent, f"{stem}.json")):
                for left in place.glob(f".{name}.*.part"):
                    left.unlink(missing_ok=True)
        for left in layout.directory.glob("*.torn") if files else ():
            left.unlink(missing_ok=True)


class _Writing:
    """The log, opened for writing by this process alone."""

    def __init__(self, layout: Layout, store: KeyStore, origin: str) -> None:
        self._layout, self._store = layout, store
        self._publisher = Publisher(layout, store, origin)

    def __enter__(self) -> Publisher:
        if not self._publisher.acquire():
            raise BusyError("another process writes the log", mend="wait until it ends")
        self._publisher.take_up()
        finish(self._layout, self._store, self._publisher.index.redactions)
        return self._publisher

    def __exit__(self, *exception: object) -> None:
        self._publisher.close()


def _announced(layout: Layout, store: KeyStore, file: str, rows: set[int], scope: str) -> dict[str, Any]:
    """Prepare the changed file, and give the entry that announces it."""
    path, known = layout.segments / file, store.salts(file)
    if known is None or not path.exists():
        raise EvidenceError(f"{file} or its salts are not here")
    table = segment.read(path)
    if not rows or min(rows) < 0 or max(rows) >= table.num_rows:
        raise EvidenceError(f"{file} has {table.num_rows} rows", place=f"rows {sorted(rows)}")
    leaves = segment.derive(table, known)
    whole = rows if scope == "row" else set()
    urls = {at: kept for at in rows - whole if (kept := segment.url_commitment(table, known, at)) is not None}
    data = segment.file_bytes(segment.redacted(table, leaves, whole, urls))
    after = sha256(data).hexdigest()
    with disk_errors(store.directory):
        (store.directory / "staged").mkdir(exist_ok=True, mode=0o700)
    write_durably(store.directory / "staged" / after, data, PRIVATE_FILE)
    before = sha256(path.read_bytes()).hexdigest()
    return {
        "v": REDACTION, "file": file, "rows": sorted(whole), "urls": sorted(urls), "before": before, "after": after,
    }  # fmt: skip


def _destroy_salts(store: KeyStore, change: Mapping[str, Any], rows: int) -> None:
    known = store.salts(change["file"])
    if known is not None:
        numbers = [n for at in change["rows"] for n in (2 * at, 2 * at + 1)] + [2 * at + 1 for at in change["urls"]]
        store.keep_salts(change["file"], known.without(numbers).cut(rows))


def _segments(publisher: Publisher) -> list[dict[str, Any]]:
    """The manifests in the log."""
    if publisher.writer is None:
        return []
    entries = publisher.writer.entries()
    return [entry for entry in map(parse, entries) if entry["v"] == SEGMENT]
