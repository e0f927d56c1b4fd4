"""Getting others to put their name to the newest checkpoint: witnesses and timestamp authorities.

It works on the published checkpoint and beside a running crawl. What comes back is kept in `checkpoints/` and
`timestamps/`. Between two countersigned checkpoints the operator could still rewrite the log unnoticed; how far
they lie apart is therefore part of what the evidence is worth.
"""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence import note as notes
from optout.evidence import timestamp, trust, witness
from optout.evidence.checkpoint import parse
from optout.evidence.entries import countersigned
from optout.evidence.files import disk_errors, write_durably
from optout.evidence.log import LogReader
from optout.evidence.rows import microseconds
from optout.evidence.sealing import put_pending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout

_MEMORY = "witnesses.json"


@dataclass(slots=True)
class Countersigned:
    """What came of it.

    Attributes:
        size: of the checkpoint.
        witnesses: the names of those that cosigned.
        tokens: the SHA-256 digests of the timestamp tokens that were obtained.
        problems: who did not, and why.
    """

    size: int
    witnesses: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def countersign(layout: Layout, store: KeyStore, now: datetime, authorities: Sequence[str] = ()) -> Countersigned:
    """Ask the witnesses of the policy file, and the given authorities, and leave an entry for the log about it.

    Args:
        layout: where everything is.
        store: remembers what each witness has seen.
        now: the time.
        authorities: addresses of timestamp authorities.

    Raises:
        ForkError: a witness knows another history of this log.
        EvidenceError: nothing has been signed yet, another process is asking, or the disk refuses.
    """
    if not layout.checkpoint.exists():
        raise EvidenceError(f"{layout.directory} has no checkpoint yet", mend="run `optout evidence checkpoint`")
    signed = layout.checkpoint.read_bytes()
    size = parse(notes.parse(signed).text).size
    result = Countersigned(size)
    with disk_errors(store.directory), (store.directory / "countersign.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise EvidenceError("another process is asking the witnesses", mend="wait for it") from fault
        _ask_witnesses(layout, store, signed, result)
        _ask_authorities(layout, signed, authorities, result)
    if result.witnesses or result.tokens:
        entry = countersigned(size, microseconds(now), result.witnesses, result.tokens)
        put_pending(layout, f"countersigned-{size}-{entry['t']}", entry)
    return result


def keep(layout: Layout, signed: bytes, lines: Sequence[notes.Signature] = ()) -> None:
    """Keep a checkpoint with cosignatures, beside those that it has already."""
    found = notes.parse(signed)
    path = layout.checkpoints / str(parse(found.text).size)
    if path.exists():
        before = notes.parse(path.read_bytes())
        if before.text != found.text:
            raise EvidenceError(f"{path} is another checkpoint of this size")
        found = before.signed(*found.signatures)
    write_durably(path, found.signed(*lines).bytes)


def _ask_witnesses(layout: Layout, store: KeyStore, signed: bytes, result: Countersigned) -> None:
    seen = store.read_json(_MEMORY)
    reader = LogReader(layout, result.size)
    for one in trust.parse(layout.policy.read_bytes()).witnesses.values():
        if one.url is None:
            continue
        try:
            lines = witness.ask(one.url, one.key, signed, reader, min(int(seen.get(one.key.name, 0)), result.size))
        except witness.ForkError:
            raise
        except EvidenceError as fault:
            result.problems.append(str(fault))
            continue
        keep(layout, signed, lines)
        seen[one.key.name] = result.size
        store.write_json(_MEMORY, seen)
        result.witnesses.append(one.key.name)


def _ask_authorities(layout: Layout, signed: bytes, authorities: Sequence[str], result: Countersigned) -> None:
    data = timestamp.stamped(signed)
    for url in authorities:
        try:
            token = timestamp.request(url, data)
        except EvidenceError as fault:
            result.problems.append(str(fault))
            continue
        keep(layout, signed)
        number = len(list(layout.timestamps.glob(f"{result.size}.*.tsr")))
        write_durably(layout.timestamps / f"{result.size}.{number}.tsr", token)
        result.tokens.append(sha256(token).hexdigest())
