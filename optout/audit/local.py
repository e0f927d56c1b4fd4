"""The default engine: processes of this machine, a shard at a time each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from optout.audit import shard
from optout.audit.job import Input, Job
from optout.audit.judge import Judge
from optout.audit.shard import Manifest, Place
from optout.errors import UnreadableInput


def run(job: Job, files: Sequence[Input], directory: Path, workers: int) -> Iterator[Manifest]:
    """Make the shards that are missing; give each manifest when its shard is done.

    Args:
        job: what is asked.
        files: the inputs.
        directory: where to write.
        workers: how many processes to use.

    Raises:
        UnreadableInput: a process was ended from outside.
    """
    place, digest = Place(directory), job.digest()
    missing = []
    for item in files:
        manifest = shard.made(place, item, digest)
        if manifest is None:
            missing.append(item)
        else:
            yield manifest
    if workers <= 1 or len(missing) <= 1:
        yield from (make(job, digest, item, directory) for item in missing)
        return
    try:
        with ProcessPoolExecutor(min(workers, len(missing)), mp_context=get_context("spawn")) as pool:
            for future in as_completed([pool.submit(make, job, digest, item, directory) for item in missing]):
                yield future.result()
    except BrokenProcessPool as error:
        raise UnreadableInput(
            "a process was ended from outside", mend="use fewer --workers, and run it again"
        ) from error


def make(job: Job, digest: str, item: Input, directory: Path) -> Manifest:
    """Make one shard; what engines hand to their workers."""
    return shard.make(Place(directory), item, job, digest, _judge(job, digest))


@lru_cache(maxsize=1)
def _judge(job: Job, digest: str) -> Judge:
    """This process's own judge, which keeps what it has compiled; another digest is another state of the store."""
    del digest
    return job.judge()
