"""What is handed over: the proof of one decision, and all decisions about a host with proof that none is missing.

Both are JSON files that hold everything their check needs except trust: the reader brings the log's public key.
`optout/evidence/standalone.py` checks them without any of this code.

A *bundle* has the row with its salts, the proof that it is in its segment, the segment's manifest, the proof that
the manifest is in the log (C2SP tlog-proof with the signed checkpoint), timestamp tokens over that checkpoint, and
the archived records that the decision rests on.

An *export* has the signed checkpoint, every entry of the log, and for every segment the stretch of rows about the
host with its two neighbours. Of a neighbour only the host is shown. Because segments are sorted by host, neighbours
on either side of the host prove that nothing was left out; where a segment has no row about the host, two rows that
stand side by side around its place prove that.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import segment, tlog
from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.checkpoint import Proof
from optout.evidence.checkpoint import parse as parse_checkpoint
from optout.evidence.entries import PURGE, SEGMENT
from optout.evidence.entries import parse as parse_entry
from optout.evidence.find import by_url
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import read_description
from optout.evidence.log import LogReader
from optout.evidence.note import parse as parse_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from optout.evidence.find import Found
    from optout.evidence.layout import Layout
    from optout.evidence.salts import Salts

BUNDLE, EXPORT = "evidence/bundle/1", "evidence/export/1"


def prove(layout: Layout, found: Found, known: Sequence[bytes] = ()) -> dict[str, Any]:
    """The bundle that proves one row.

    Args:
        layout: where everything is.
        found: the row.
        known: signed checkpoints that the reader kept from earlier; the bundle shows that they are of this history.

    Raises:
        EvidenceError: the row is redacted, not in the signed log yet, or something it needs is missing.
    """
    opened = _Segment(layout, found.file)
    row, salt, url_salt = opened.disclosed(found.at)
    index, manifest, data = _manifest(layout, found.file)
    signed = _checkpoint_with(layout, index)
    size = parse_checkpoint(parse_note(signed).text).size
    reader = LogReader(layout, size)
    bundle: dict[str, Any] = {
        "v": BUNDLE,
        "row": row,
        "salt": salt.hex(),
        "index": found.at,
        "proof": _base64(tlog.inclusion_proof(found.at, opened.table.num_rows, opened.tree.node)),
        "manifest": manifest,
        "log_proof": Proof(index, reader.inclusion(index), signed).text,
        "policy": layout.policy.read_text(),
        "timestamps": [b64encode(path.read_bytes()).decode() for path in _tokens(layout, size)],
        "records": _records(layout, [row]),
        "consistency": [_consistency(layout, size, data) for data in known],
    }
    url = opened.url(found.at)
    if url is not None and url_salt is not None:
        bundle |= {"url": url, "url_salt": url_salt.hex()}
    if tlog.leaf_hash(data) != reader.nodes(0, index):
        raise EvidenceError(f"the manifest of {found.file} is not the one in the log")
    return bundle


def prove_url(layout: Layout, url: str, known: Sequence[bytes] = ()) -> dict[str, Any]:
    """The bundle of the newest decision about a URL; `known` as for `prove`.

    Raises:
        EvidenceError: there is none that has been sealed, or it cannot be proved.
    """
    found = by_url(layout, url)
    if not found:
        mend = "rows that are still in the journal are sealed by `optout evidence checkpoint`"
        raise EvidenceError(f"no sealed decision about {url}", mend=mend)
    return prove(layout, found[0], known)


def _consistency(layout: Layout, size: int, known: bytes) -> dict[str, Any]:
    """That the smaller of two states of the log is the beginning of the larger one."""
    other = parse_checkpoint(parse_note(known).text).size
    old, new = sorted([size, other])
    return {"old": old, "new": new, "hashes": _base64(LogReader(layout, new).consistency(old))}


def export(layout: Layout, host: str) -> dict[str, Any]:
    """All decisions about a host, with proof that no other is in the signed log.

    Args:
        layout: where everything is.
        host: in SURT form, such as `org,example)/`.

    Raises:
        EvidenceError: something that it needs is missing.
    """
    signed = layout.checkpoint.read_bytes()
    reader = LogReader(layout, parse_checkpoint(parse_note(signed).text).size)
    entries = [data.decode() for _, data in reader.entries()]
    parsed = [parse_entry(text.encode()) for text in entries]
    purged = {entry["file"] for entry in parsed if entry["v"] == PURGE}
    stretches = {
        entry["file"]: _stretch(_Segment(layout, entry["file"]), host)
        for entry in parsed
        if entry["v"] == SEGMENT and entry["file"] not in purged
    }
    rows = [item["row"] for stretch in stretches.values() for item in stretch["items"] if "row" in item]
    return {
        "v": EXPORT,
        "host": host,
        "checkpoint": signed.decode(),
        "policy": layout.policy.read_text(),
        "entries": entries,
        "segments": stretches,
        "records": _records(layout, rows),
    }


class _Segment:
    """A segment with its salts and tree, for showing some of its rows."""

    def __init__(self, layout: Layout, file: str) -> None:
        known = KeyStore(layout.private).salts(file)
        if known is None:
            mend = "the private directory holds them"
            raise EvidenceError(f"the salts of {file} are not here", mend=mend)
        self.file = file
        self.salts: Salts = known
        self.table: pa.Table = segment.read(layout.segments / file)
        self._secrets = known.first(2 * self.table.num_rows)
        self.leaves = segment.derive(self.table, known)
        self.tree = tlog.Tree(self.leaves)
        self._lines = segment.preimages(self.table, self._secrets[1::2])

    def disclosed(self, at: int) -> tuple[dict[str, Any], bytes, bytes | None]:
        """A row as it was hashed, its salt, and its URL's."""
        salt = self._secrets[2 * at]
        if salt is None or self.table.column("leaf")[at].is_valid:
            raise EvidenceError(f"row {at} of {self.file} has been redacted")
        return segment.parsed(self._lines[at]), salt, self._secrets[2 * at + 1]

    def url(self, at: int) -> str | None:
        """The URL of a row; None where it has none any more."""
        value = self.table.column("url")[at].as_py()
        return None if value is None else str(value)

    def inner(self, at: int) -> bytes:
        """What hides a row behind its host."""
        return segment.inner_hash(self._secrets[2 * at] or b"", self._lines[at])


def _stretch(opened: _Segment, host: str) -> dict[str, Any]:
    """The rows about a host with their neighbours, and the proof that they stand side by side."""
    hosts = opened.table.column("host").to_pylist()
    first, end = _bounds(hosts, host)
    items = [_item(opened, at, hosts[at], host) for at in range(first, end)]
    proof = tlog.range_proof(first, end, len(hosts), opened.tree.node)
    return {"first": first, "items": items, "proof": _base64(proof)}


def _bounds(hosts: list[str | None], host: str) -> tuple[int, int]:
    """From the last row that shows a smaller host to the first that shows a larger one; redacted rows show none."""
    smaller = [at for at, found in enumerate(hosts) if found is not None and found < host]
    larger = [at for at, found in enumerate(hosts) if found is not None and found > host]
    return (smaller[-1] if smaller else 0), (larger[0] + 1 if larger else len(hosts))


def _item(opened: _Segment, at: int, found: str | None, host: str) -> dict[str, Any]:
    if found is None:
        return {"leaf": opened.leaves[at].hex()}
    if found != host:
        return {"host": found, "inner": opened.inner(at).hex()}
    row, salt, url_salt = opened.disclosed(at)
    item: dict[str, Any] = {"row": row, "salt": salt.hex()}
    url = opened.url(at)
    if url is not None and url_salt is not None:
        item |= {"url": url, "url_salt": url_salt.hex()}
    return item


def _manifest(layout: Layout, file: str) -> tuple[int, dict[str, Any], bytes]:
    """A segment's manifest in the signed log: its index, what it says, and its bytes."""
    if layout.checkpoint.exists():
        reader = LogReader(layout, parse_checkpoint(parse_note(layout.checkpoint.read_bytes()).text).size)
        for index, data in reader.entries():
            if file.encode() in data and SEGMENT.encode() in data:
                entry = parse_entry(data)
                if entry["file"] == file:
                    return index, entry, data
    raise EvidenceError(f"{file} is not in the signed log yet", mend="run `optout evidence checkpoint`")


def _checkpoint_with(layout: Layout, index: int) -> bytes:
    """The first checkpoint with an entry that somebody else put their name to, or else the newest."""
    sizes = sorted(int(path.name) for path in layout.checkpoints.glob("[0-9]*"))
    for size in sizes:
        if size > index:
            return (layout.checkpoints / str(size)).read_bytes()
    return layout.checkpoint.read_bytes()


def _tokens(layout: Layout, size: int) -> list[Path]:
    return sorted(layout.timestamps.glob(f"{size}.*.tsr"))


def _records(layout: Layout, rows: Iterable[dict[str, Any]]) -> list[str]:
    """The archived records that rows rest on, as they stand in their files, in base64."""
    description = read_description(layout)
    directory = layout.directory / (description.archive if description else "../signals")
    if not directory.exists():
        return []
    reader = ArchiveReader(directory)
    return [b64encode(data).decode() for data in dict.fromkeys(_raw(reader, rows))]


def _raw(reader: ArchiveReader, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        named = row.get("exchanges")
        if isinstance(named, str) and named:
            yield reader.raw_list(named)
            for item in reader.listed(named):
                yield from reader.raw_exchange(item["rec"])
        fetched = row.get("fetch")
        # A page's record goes with the URL of its row.
        if isinstance(fetched, dict) and isinstance(fetched.get("rec"), str) and fetched["rec"] in reader:
            yield from reader.raw_exchange(fetched["rec"])


def _base64(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(item).decode() for item in hashes]
