"""The steps about files as such: what lies in the directory, and the documents that were logged.

A directory that somebody hands over may be made to harm whoever looks into it. So before anything is opened, every
name is looked at without following it: only regular files and directories, under names that a log has, of sizes that
such files can have, and not endlessly many. Where that does not hold, nothing else is read.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.errors import EvidenceError
from optout.evidence import layout, trust
from optout.evidence.entries import DOCUMENT, SEGMENT
from optout.evidence.publisher import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.evidence.checks import Evidence
    from optout.evidence.report import Step

MOST_FILES = 500_000
"""A log of a hundred thousand segments, years of countersigned checkpoints and all, has fewer files than this."""

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_NODE = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TILE = r"(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?"
_KINDS = tuple(
    (re.compile(pattern), limit)
    for pattern, limit in (
        (r"evidence\.json", 64 * _KIB), ("checkpoint", 64 * _KIB), (r"policy\.txt", _MIB),
        ("checkpoints/[0-9]{1,18}", 64 * _KIB), (r"timestamps/[0-9]{1,18}\.[0-9]{1,9}\.tsr", _MIB),
        (rf"tile/([0-9]|[1-5][0-9]|6[0-3])/{_TILE}", 8 * _KIB), (f"tile/entries/{_TILE}", 17 * _MIB),
        ("documents/[0-9a-f]{64}", 64 * _MIB), (rf"segments/{_NODE}-[0-9]{{15}}\.parquet", _GIB),
        (r"(pending|collected)/[^/]+\.json", 72 * _KIB), (r"private/salts/[^/]+\.json", 16 * _MIB),
        (r"private/(log|next)\.keys", 64 * _KIB), (r"private/(signed|witnesses)\.json", _MIB),
        (r"private/[^/]+\.lock", 64 * _KIB), ("private/(staged|unsigned)/[^/]+", _GIB),
        (rf"{_NODE}-[0-9]{{15}}\.jsonl\.zst", 4 * _GIB), (rf"{_NODE}\.head", 64 * _KIB), (rf"{_NODE}\.lock", 64 * _KIB),
        (rf"{_NODE}-[0-9]{{15}}\.jsonl\.[0-9]+\.torn", 4 * _GIB), (r"(.*/)?\.[^/]+\.part", 4 * _GIB),
    )
)  # fmt: skip
"""The files of a log, and the most bytes that one can have."""

_ARCHIVED = ((".warc.gz", 64 * _GIB), (".cdxj", 16 * _GIB), (".warc.gz.head", 64 * _KIB), (".warc.gz.unclean", 0))
"""The files of an archive that are read; others may lie beside them, and are left alone."""


def structure(evidence: Evidence, step: Step) -> None:
    """The files that say what this is can be read, and no file is here that should not be."""
    evidence.sound = _walk(evidence, step)
    if not evidence.sound:
        return
    try:
        evidence.description = layout.read_description(evidence.layout)
        if evidence.description is None:
            step.fault("evidence.json", "", "the file is missing; this is a journal without a log")
    except EvidenceError as fault:
        step.fault("evidence.json", fault.place or "", fault.message)
    try:
        evidence.policy = trust.parse(evidence.layout.policy.read_bytes(), "policy.txt")
    except FileNotFoundError:
        step.fault("policy.txt", "", "the file is missing")
    except EvidenceError as fault:
        step.fault("policy.txt", fault.place or "", fault.mend or fault.message)
    if evidence.description is not None and Path(evidence.description.archive).is_absolute():
        step.fault("evidence.json", "archive", "it names a place on somebody's machine, not one relative to this file")
        evidence.sound = False
    evidence.sound = _archive_is_sound(evidence, step) and evidence.sound
    for directory in (evidence.layout.collected, evidence.layout.pending):
        found, faults = waiting(directory)
        evidence.waiting += [entry for _, entry in found]
        for path, what in faults:
            step.fault(evidence.name(path), "", what)


def documents(evidence: Evidence, step: Step) -> None:
    """Every document that was logged is here, and every digest that rows name was logged."""
    logged: dict[str, set[str]] = {}
    named: set[str] = set()
    waits = [(-1, entry) for entry in evidence.waiting if entry["v"] == DOCUMENT]
    for index, entry in chain(evidence.of_type(DOCUMENT), waits):
        step.checked += 1
        logged.setdefault(entry["kind"], set()).add(entry["digest"])
        named.update(entry["parts"])
        _check_document(evidence, step, index, entry)
    if evidence.reader is None:
        step.gap("the tiles do not hold")
        return
    for path in evidence.layout.documents.glob("*"):
        if path.name not in named and not path.name.startswith("."):
            step.fault(f"documents/{path.name}", "", "nobody logged this document")
    for index, entry in evidence.of_type(SEGMENT):
        for kind in ("policy", "identity", "registry"):
            for digest in set(entry[kind]) - logged.get(kind, set()):
                step.gap(f"the {kind} {digest} that {entry['file']} names (entry {index}) was not logged")


def _walk(evidence: Evidence, step: Step) -> bool:
    """Look at every name below the directory; give whether all of them can be opened without harm."""
    before = step.checked
    sound = True
    for item in _below(evidence.layout.directory):
        step.checked += 1
        if step.checked - before > MOST_FILES:
            step.fault("", "", f"there are more than {MOST_FILES:,} files here; nothing else has been looked at")
            return False
        name = os.path.relpath(item.path, evidence.layout.directory)
        limit = next((most for pattern, most in _KINDS if pattern.fullmatch(name)), None)
        if limit is None:
            step.fault(name, "", "this file does not belong to an evidence log")
        sound = _can_be_opened(step, name, item, limit) and sound
    return sound


def _archive_is_sound(evidence: Evidence, step: Step) -> bool:
    directory, sound = evidence.archive, True
    if directory is None or not directory.is_dir():
        return True
    with os.scandir(directory) as items:
        for item in items:
            limit = next((most for end, most in _ARCHIVED if item.name.endswith(end)), None)
            if limit is not None:
                sound = _can_be_opened(step, f"signals/{item.name}", item, limit) and sound
    return sound


def _can_be_opened(step: Step, name: str, item: os.DirEntry[str], limit: int | None) -> bool:
    found = item.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        step.fault(name, "", "this is not a regular file; it may lead anywhere, so nothing else has been looked at")
    elif limit is not None and found.st_size > limit:
        what = f"{found.st_size:,} bytes, where such a file has at most {limit:,}; nothing else has been looked at"
        step.fault(name, "", what)
    else:
        return True
    return False


def _below(directory: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a directory but directories, without following links."""
    left = [str(directory)]
    while left:
        with os.scandir(left.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    left.append(item.path)
                else:
                    yield item


def _check_document(evidence: Evidence, step: Step, index: int, entry: dict[str, Any]) -> None:
    for part in entry["parts"]:
        path = evidence.layout.documents / part
        if not path.exists() or sha256(path.read_bytes()).hexdigest() != part:
            step.fault(f"documents/{part}", f"entry {index}", f"the {entry['kind']} is missing or changed")
    if len(entry["parts"]) == 1 and entry["digest"] != entry["parts"][0]:
        step.fault(evidence.bundle_of(index), f"entry {index}", "the digest is not that of its one part")
