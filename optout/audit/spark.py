"""Spark as the engine: an RDD of files. Workers need the same paths to the dataset, the store and the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from optout.audit import shard
from optout.audit.job import Input, Job
from optout.audit.local import make
from optout.audit.shard import Manifest, Place
from optout.errors import UnreadableInput


def run(job: Job, files: Sequence[Input], directory: Path, workers: int) -> Iterator[Manifest]:
    """Make the shards that are missing; see `optout.audit.local.run`.

    Raises:
        UnreadableInput: PySpark is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        mend = "pip install optout-toolkit[spark], and have Java"
        raise UnreadableInput("--engine spark: PySpark is not installed", mend=mend) from error
    digest, place = job.digest(), Place(directory)
    found = [(item, shard.made(place, item, digest)) for item in files]
    yield from (manifest for _, manifest in found if manifest is not None)
    missing = [item for item, manifest in found if manifest is None]
    if missing:
        builder = SparkSession.builder.appName("optout audit").config("spark.ui.enabled", "false")
        session = (builder if SparkSession.getActiveSession() else builder.master(f"local[{workers}]")).getOrCreate()
        context = session.sparkContext
        shards = context.parallelize(missing, len(missing)).map(lambda item: make(job, digest, item, directory))
        yield from shards.toLocalIterator(prefetchPartitions=True)
