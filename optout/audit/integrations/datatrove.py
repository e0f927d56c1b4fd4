"""A filter block for datatrove.

It stands after a reader. Documents carry their URL, and the date of their crawl where that counts, in their metadata;
the text of a document is its page where it comes from `WarcReader` and no extractor has changed it yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from datatrove.pipeline.filters.base_filter import BaseFilter

from optout.audit.api import kept_here

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.writers.disk_base import DiskWriter

    from optout.audit.api import Auditor

BATCH = 1_000
"""Documents that are judged together."""

Verdict = bool | tuple[bool, str]


class OptOutFilter(BaseFilter):  # type: ignore[misc] # of a library without types
    """Drops documents that may not be used, with the reason for statistics and the exclusion writer."""

    name = "© - opt-outs"

    def __init__(
        self,
        auditor: Auditor,
        *,
        text_is_page: bool = False,
        exclusion_writer: DiskWriter | None = None,
        batch_size: int = BATCH,
    ) -> None:
        """Judge documents by a store and policy.

        Args:
            auditor: the store and policy; its store lies at the same path wherever tasks run.
            text_is_page: whether the text of a document is the HTML of its page, which is then read for signals.
            exclusion_writer: takes what is dropped.
            batch_size: how many documents are judged together.
        """
        super().__init__(exclusion_writer, batch_size)
        self.auditor, self.text_is_page = auditor, text_is_page

    def filter(self, doc: Document) -> Verdict:
        """True for a document that may be used; else false and why not."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[Verdict]:
        """What `filter` gives, for each document.

        Raises:
            StoreError: the store cannot be opened.
        """
        answers = kept_here(self.auditor).batch(self._rows(batch))
        reasons = answers.column("reason").to_pylist()
        kept = answers.column("kept").to_pylist()
        return [may or (False, reason) for may, reason in zip(kept, reasons, strict=True)]

    def _rows(self, batch: list[Document]) -> pa.RecordBatch:
        columns = self.auditor.columns
        told = {name: [_text(doc.metadata.get(name)) for doc in batch] for name in (columns.url, columns.date)}
        if self.text_is_page:
            told[columns.html] = [doc.text for doc in batch]
        return pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in told.items()})


def _text(value: object) -> str | None:
    return None if value is None else str(value)
