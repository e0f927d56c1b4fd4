"""The audit as a library."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from optout.audit.formats import Columns
from optout.audit.formats.table import batch_of, check
from optout.audit.job import Job, store_version
from optout.audit.judge import AsOf
from optout.audit.schema import answers

if TYPE_CHECKING:
    from optout.audit.judge import Judge


@dataclass(frozen=True)
class Auditor:
    """Judges tables against a store; keep one, because it keeps what it has compiled.

    Attributes:
        store: the folder that `optout harvest` fills.
        today: the day on which the policy is read.
        policy: a name or the path of a policy file.
        token: the product token that rules are addressed to.
        as_of: which dated state of an origin counts.
        retroactive: whether later states deny too.
        columns: the names of the columns.
    """

    store: Path
    today: date
    policy: str = "eu-gpai"
    token: str = "OptOutBot"
    as_of: AsOf = field(default_factory=AsOf)
    retroactive: bool = False
    columns: Columns = field(default_factory=Columns)

    @cached_property
    def judge(self) -> Judge:
        """What judges; opened at the first question, so that an auditor can be sent to other processes."""
        job = Job(self.store, self.policy, self.token, self.today, self.as_of, self.retroactive, columns=self.columns)
        return job.judge()

    def __getstate__(self) -> dict[str, object]:
        """Everything but what was opened."""
        return {name: value for name, value in vars(self).items() if name != "judge"}

    def batch(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Judge a batch: its columns, and those of `optout.audit.schema.answers`.

        Raises:
            UnreadableInput: a column is missing.
            StoreError: the store cannot be opened.
        """
        check(rows.schema, self.columns, "the table")
        taken = batch_of(rows, self.columns)
        judged = self.judge.judge(taken.urls, taken.dates, taken.pages)
        added = answers(self.judge, judged)
        kept = [
            (field, column) for field, column in zip(rows.schema, rows.columns, strict=True) if field.name not in added
        ]
        plain = {name: column.cast(pa.string()) if _coded(column) else column for name, column in added.items()}
        told = [(pa.field(name, column.type), column) for name, column in plain.items()]
        fields, columns = zip(*kept, *told, strict=True)
        # What others keep in a schema, such as the index of pandas, stays in it.
        return pa.RecordBatch.from_arrays(list(columns), schema=pa.schema(fields, rows.schema.metadata))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Judge a table; fit for `map` of Hugging Face datasets in Arrow form."""
        batches = [self.batch(rows) for rows in table.to_batches()]
        return pa.Table.from_batches(batches) if batches else self._empty(table)

    def _empty(self, table: pa.Table) -> pa.Table:
        rows = pa.RecordBatch.from_arrays([pa.array([], kind) for kind in table.schema.types], schema=table.schema)
        return pa.Table.from_batches([self.batch(rows)])


def decide(table: pa.Table, auditor: Auditor) -> pa.Table:
    """Add to a table what may be done with each row and why; rows and their order stay as they are.

    Args:
        table: with a column of URLs.
        auditor: the store and policy to judge by.

    Raises:
        UnreadableInput: a column is missing.
        StoreError: the store cannot be opened.
    """
    return auditor(table)


def kept_here(auditor: Auditor) -> Auditor:
    """One auditor of a process for all that are equal to it, because engines send a fresh copy with each task."""
    return _kept_here(auditor, tuple(store_version(auditor.store)))


@lru_cache(maxsize=4)
def _kept_here(auditor: Auditor, version: tuple[int, ...]) -> Auditor:
    del version
    return auditor


def _coded(column: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(column.type))
