"""Judging the rows of a decision shard again: from their URLs and dates, the store of signals and the logged policy.

Give `Repetition` to `optout.evidence.verify.verify` as `repeat`. Nothing is taken from the audit's own settings but
what its log says.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optout import policy as policies
from optout.acquisition.history import Store
from optout.audit.dates import NO_DATE, moment_of, seconds
from optout.audit.judge import AsOf, Judge, Reading, When
from optout.audit.schema import answers
from optout.audit.store_digest import Until, digest_of_states
from optout.errors import EvidenceError
from optout.evidence.checks import Differs
from optout.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from optout.policy import Policy

_ROWS = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Repetition:
    """Judges again what audits have judged."""

    def __init__(self, store: Path, document: Callable[[str], Sequence[bytes]]) -> None:
        """Judge by a store.

        Args:
            store: the folder of the store of signals.
            document: gives the texts of a logged document by its digest; see `optout.evidence.replay.documents_in`.

        Raises:
            StoreError: there is no store.
        """
        self._store = Store.open(store)
        self._document = document
        self._judges: dict[str, Judge] = {}

    def __call__(self, asked: Mapping[str, Any], shard: Path) -> int:
        """Judge the rows of a shard again; give how many.

        Raises:
            Differs: a row comes out otherwise.
            EvidenceError: the store is another, or what was logged does not suffice.
        """
        judge = self._judges.get(asked["job"])
        if judge is None:
            judge = self._judges[asked["job"]] = self._judge(asked)
        rows = 0
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(_ROWS) if file.metadata.num_rows else ():
                judged = _with_urls(batch)
                _compare(judge, judged)
                rows += judged.num_rows
        return rows

    def _judge(self, asked: Mapping[str, Any]) -> Judge:
        if asked["lists"]:
            raise EvidenceError("lists were looked into too", mend="audit the dataset again with the same lists")
        readings = list(self._readings(asked))
        # The judge asks a store for states and for nothing else.
        store = cast("Store", self._as_it_was(asked["store"]))
        return Judge(store, readings, Identity(asked["agent"]), _as_of(asked["as_of"]))

    def _as_it_was(self, logged: Mapping[str, Any]) -> Store | Until:
        """The store as the audit had it; captures that were made since do not count."""
        if digest_of_states(self._store).digest == logged["sha256"]:
            return self._store
        until = _EPOCH + timedelta(microseconds=logged["newest"])
        if digest_of_states(self._store, until).digest != logged["sha256"]:
            mend = f"give the store of {logged['captures']} captures up to {until.isoformat()} that the audit used"
            raise EvidenceError("the store holds other states than the audit used", mend=mend)
        return Until(self._store, until)

    def _readings(self, asked: Mapping[str, Any]) -> Iterator[Reading]:
        day = date.fromisoformat(asked["today"])
        registry = self._document(asked["registry"])
        own = self._policy(asked["policy"], registry, day)
        if own.registry_digest != asked["registry"]:
            raise EvidenceError("the registry that was logged is not the one that the audit names")
        yield Reading(own.name, own, asked["retroactive"])
        for one in asked["compared"]:
            yield Reading(one["name"], self._policy(one["policy"], registry, day), one["retroactive"])

    def _policy(self, digest: str, registry: Sequence[bytes], day: date) -> Policy:
        (text,) = self._document(digest)
        protocols, agents = registry
        return policies.parse(text, protocols, agents, source=f"document {digest[:16]}").in_force(day)


def _as_of(text: str) -> AsOf:
    return AsOf(When(text)) if text in {When.CRAWL, When.NOW} else AsOf(When.DATE, moment_of(text))


def _with_urls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows but for those whose URL was no text, so that the shard cannot hold it."""
    lost = pc.and_(pc.is_null(batch.column("url")), pc.is_valid(batch.column("origin")))
    return batch.filter(pc.invert(lost))


def _compare(judge: Judge, batch: pa.RecordBatch) -> None:
    """Judge a batch again, and hold every column that tells what was decided to what comes out."""
    dates = seconds(batch.column("date"))
    judged = judge.judge(_text(batch.column("url")), None if (dates == NO_DATE).all() else dates)
    for name, expected in answers(judge, judged).items():
        if name not in batch.schema.names:
            raise EvidenceError(f"the shard has no column {name}", mend="use the edition of optout that wrote it")
        found = _text(batch.column(name))
        differs = np.flatnonzero(_differs(found, _text(expected).cast(found.type)))
        if name == "kept":
            # A row may be held back although it is permitted, because it cannot be read; never the other way round.
            differs = differs[found.take(pa.array(differs)).to_numpy(zero_copy_only=False)]
        if differs.size:
            at = int(differs[0])
            row, was, now = batch.column("row")[at].as_py(), found[at].as_py(), expected[at].as_py()
            raise Differs(f"row {row}", f"{name} is {was!r}; judging again gives {now!r} ({differs.size} rows here)")


def _differs(found: pa.Array, expected: pa.Array) -> np.ndarray:
    """Where two columns differ; two nulls are the same."""
    equal = pc.fill_null(pc.equal(found, expected), pa.scalar(value=False))
    same = pc.or_(equal, pc.and_(pc.is_null(found), pc.is_null(expected)))
    different: np.ndarray = ~same.to_numpy(zero_copy_only=False)
    return different


def _text(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
