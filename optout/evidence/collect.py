"""Nodes on other machines: their sealed segments and archives come to the one directory whose log is signed.

A node that does not sign writes journal, segments, salts, archives and manifests as every node does, into a directory
of its own. Collecting copies what the manifests name, checks it, leaves the manifests where the log's writer takes
them up, and only then moves them out of the node's way. How the node's directory comes to this machine (a mount, rsync,
a bucket) is not the log's business; collecting again is harmless.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import segment, warc
from optout.evidence.entries import ARCHIVE, DOCUMENT, SEGMENT
from optout.evidence.files import disk_errors, write_durably
from optout.evidence.journal import Tip, head_bytes
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import read_description
from optout.evidence.publisher import pending
from optout.evidence.sealing import put_pending
from optout.evidence.tlog import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from optout.evidence.layout import Layout


def collect(node: Layout, target: Layout) -> int:
    """Bring what a node has sealed to the log; give the number of manifests.

    Args:
        node: the node's directory.
        target: the directory with the log.

    Raises:
        EvidenceError: they are of different logs, something is damaged, or the disk refuses.
    """
    theirs, ours = read_description(node), read_description(target)
    if theirs is None or ours is None or theirs.origin != ours.origin:
        raise EvidenceError(f"{node.directory} is not a node of the log in {target.directory}")
    archives = (node.directory / theirs.archive, target.directory / ours.archive)
    count = 0
    for path, entry in pending(node):
        match entry["v"]:
            case v if v == SEGMENT:
                _bring_segment(node, target, entry)
            case v if v == DOCUMENT:
                _bring_documents(node, target, entry)
            case v if v == ARCHIVE:
                _bring_archive(*archives, entry)
        put_pending(target, path.stem, entry)
        _put_away(node, path)
        count += 1
    return count


def _bring_segment(node: Layout, target: Layout, entry: dict[str, Any]) -> None:
    source, name = node.segments / entry["file"], str(entry["file"])
    data = _read(source, entry["file_sha256"])
    _refuse_another(target.segments / name, entry["file_sha256"])
    salts = KeyStore(node.private).salts(name)
    if salts is None:
        raise EvidenceError(f"the salts of {source} are missing")
    if Tree(segment.derive(segment.read(source), salts)).root.hex() != entry["rows_root"]:
        raise EvidenceError(f"{source} does not have the root hash of its manifest")
    KeyStore(target.private).keep_salts(name, salts)
    write_durably(target.segments / name, data)
    if "chain" in entry:
        tip = Tip(entry["first_seq"] + entry["rows"], bytes.fromhex(entry["chain"]))
        write_durably(target.directory / f"{entry['node']}.head", head_bytes(tip))


def _bring_documents(node: Layout, target: Layout, entry: dict[str, Any]) -> None:
    for part in entry["parts"]:
        write_durably(target.documents / part, _read(node.documents / part, part))


def _bring_archive(source: Path, target: Path, entry: dict[str, Any]) -> None:
    path = target / entry["name"]
    _refuse_another(path, entry["sha256"])
    write_durably(path, _read(source / entry["name"], entry["sha256"]))
    if not entry["clean"]:
        write_durably(warc.unclean_path(path), b"")
    write_durably(warc.index_path(path), warc.index_path(source / entry["name"]).read_bytes())


def _refuse_another(path: Path, digest: str) -> None:
    """A node brings its own rows and records, and never others in the place of what is here."""
    if path.exists() and sha256(path.read_bytes()).hexdigest() != digest:
        raise EvidenceError(f"there is another {path} already", mend="give each node its own name")


def _read(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise EvidenceError(f"{path} cannot be read", place=fault.strerror) from fault
    if sha256(data).hexdigest() != digest:
        raise EvidenceError(f"{path} does not have the hash of its manifest")
    return data


def _put_away(node: Layout, path: Path) -> None:
    """Move a manifest out of the way; the node still needs it to know how far it has sealed."""
    with disk_errors(node.collected):
        node.collected.mkdir(exist_ok=True)
        path.rename(node.collected / path.name)
