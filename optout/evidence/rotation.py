"""New keys: the log announces them under its old ones, and signs with both for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from optout.evidence import entries
from optout.evidence.countersign import keep
from optout.evidence.keystore import LogKey
from optout.evidence.log import LogWriter
from optout.evidence.rows import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from optout.evidence.keystore import KeyStore
    from optout.evidence.layout import Layout
    from optout.evidence.note import VerifierKey

OVERLAP = timedelta(days=30)
"""How long the old keys go on signing beside the new ones."""


def rotate(
    layout: Layout, store: KeyStore, origin: str, now: datetime, overlap: timedelta = OVERLAP
) -> tuple[VerifierKey, ...]:
    """Make new keys, log them under the old ones, and then sign with both; give the new public keys.

    The checkpoint that holds the announcement is kept, so that whoever trusts the old keys finds the new ones.

    Raises:
        EvidenceError: another process writes the log, or the disk refuses.
    """
    seconds, until = int(now.timestamp()), int((now + overlap).timestamp())
    with LogWriter(layout, store, origin) as writer:
        fresh = tuple(LogKey(signer) for signer in store.next_signers(origin))
        new = tuple(key.signer.verifier for key in fresh)
        announced = [entry for entry in _rotations(writer) if set(entry["new"]) == {key.text for key in new}]
        if announced:
            until = int(announced[-1]["until"])
        else:
            old = [key.signer.verifier for key in writer.keys if key.until is None]
            writer.append(entries.rotation(old, new, until, microseconds(now)))
        signed = writer.checkpoint(seconds)
        keep(layout, signed)
        # So that it shows when the kept checkpoint is taken away, and with it the way from the old keys to the new.
        writer.append(entries.countersigned(writer.size, microseconds(now)))
        retiring = tuple(key if key.until is not None else LogKey(key.signer, until) for key in writer.keys)
        writer.replace_keys((*retiring, *fresh))
        store.forget_next()
        writer.checkpoint(seconds)
    return new


def _rotations(writer: LogWriter) -> Iterator[dict[str, Any]]:
    return (entries.parse(data) for data in writer.entries() if entries.ROTATION.encode() in data)
