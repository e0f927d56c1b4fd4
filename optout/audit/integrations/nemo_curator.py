"""A stage for NeMo Curator: takes batches of documents with a column of URLs, and gives those that may be used."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import DocumentBatch

from optout.audit.api import Auditor, kept_here


@dataclass
class OptOutStage(ProcessingStage[DocumentBatch, DocumentBatch]):  # type: ignore[misc] # of a library without types
    """Drops documents that may not be used.

    Attributes:
        auditor: the store and policy; its store lies at the same path on every machine.
        filtering: whether to drop them; otherwise all stay, with the columns of `optout.audit.schema.answers`.
    """

    auditor: Auditor
    filtering: bool = True
    name = "optout"
    resources = Resources(cpus=1.0)

    def inputs(self) -> tuple[list[str], list[str]]:
        """What has to be there."""
        return ["data"], [self.auditor.columns.url]

    def outputs(self) -> tuple[list[str], list[str]]:
        """What is there afterwards."""
        return ["data"], [] if self.filtering else ["effect", "reason"]

    def process(self, task: DocumentBatch) -> DocumentBatch:
        """Judge a batch.

        Raises:
            UnreadableInput: there is no column of URLs.
            StoreError: the store cannot be opened.
        """
        data = task.data
        table = data if isinstance(data, pa.Table) else pa.Table.from_pandas(data, preserve_index=False)
        answers = kept_here(self.auditor)(table)
        return replace(task, data=table.filter(answers["kept"]) if self.filtering else answers)
