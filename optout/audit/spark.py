"""Spark as the engine: a job for each file. Workers need the same paths to the dataset, the store and the output.

A session that the calling program or `spark-submit` has made is used as it is; else Spark is started on this machine,
with this Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from optout.audit.api import Auditor, kept_here
from optout.audit.job import Input, Job
from optout.audit.local import TRIES, make
from optout.audit.resume import left
from optout.audit.shard import Manifest
from optout.audit.storage import Location
from optout.errors import OptoutError, UnreadableInput

_MEND = "see Spark's own log; where it is short of memory, use fewer --workers, and run it again"

_HERE = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # Nothing outside this machine takes part, whatever name it has in a network.
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}

Batches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def judging(auditor: Auditor) -> Batches:
    """The audit for `mapInArrow`: adds to each batch of rows what may be done with them, see `optout.audit.decide`."""

    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map(kept_here(auditor).batch, batches)

    return judge


def judged(frame: Any, auditor: Auditor) -> Any:  # noqa: ANN401 - data frames of Spark
    """A data frame with the columns of `optout.audit.schema.answers` added, by `mapInArrow` with the right schema.

    Args:
        frame: with a column of URLs.
        auditor: the store and policy to judge by; its store lies at the same path on every machine.

    Raises:
        UnreadableInput: a column is missing.
        StoreError: the store cannot be opened.
    """
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    rows = to_arrow_schema(frame.schema).empty_table()
    return frame.mapInArrow(judging(auditor), from_arrow_schema(auditor(rows).schema, prefer_timestamp_ntz=False))


def run(job: Job, files: Sequence[Input], directory: Location, workers: int) -> Iterator[Manifest]:
    """Make the shards that are missing; see `optout.audit.local.run`.

    Raises:
        UnreadableInput: PySpark is not installed or cannot be started, or its workers die again and again.
    """
    digest, done, missing = left(job, files, directory)
    yield from done
    if missing:
        with session(workers) as spark:
            yield from _shards(spark.sparkContext, lambda item: make(job, digest, item, directory), missing)


def _shards(context: Any, task: Callable[[Input], Manifest], missing: Sequence[Input]) -> Iterator[Manifest]:  # noqa: ANN401
    """A job for each file, as many at a time as Spark has room for, because a job tells nothing before its end."""
    with ThreadPoolExecutor(context.defaultParallelism) as threads:
        ask = [threads.submit(_one, context, task, item) for item in missing]
        try:
            for future in as_completed(ask):
                yield from future.result()
        except OptoutError:
            raise
        except Exception as error:
            raise UnreadableInput(f"Spark: {_cause(error)}", mend=_MEND) from error
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _one(context: Any, task: Callable[[Input], Manifest], item: Input) -> list[Manifest]:  # noqa: ANN401
    return list(context.parallelize([item], 1).map(task).collect())


def _cause(error: Exception) -> str:
    """The line of an error that names it; Spark tells everything that happened on the way."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    ours = (line for line in lines if line.startswith("optout.errors."))
    return next(ours, lines[0] if lines else type(error).__name__)[:300]


@contextmanager
def session(workers: int) -> Iterator[Any]:
    """Spark's session, left as it was found.

    Args:
        workers: how many processes to use, where none is there yet.

    Raises:
        UnreadableInput: PySpark is not installed or cannot be started.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        mend = "pip install optout-toolkit[spark], and have Java"
        raise UnreadableInput("--engine spark: PySpark is not installed", mend=mend) from error
    builder = SparkSession.builder.appName("optout audit")
    if SparkSession.getActiveSession() is not None or "PYSPARK_GATEWAY_PORT" in os.environ:
        yield builder.getOrCreate()
        return
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        started = builder.master(f"local[{workers},{TRIES}]").config(map=_HERE).getOrCreate()
    except Exception as error:
        raise UnreadableInput(f"Spark cannot be started: {_cause(error)}", mend="is there a Java 17?") from error
    try:
        yield started
    finally:
        started.stop()
