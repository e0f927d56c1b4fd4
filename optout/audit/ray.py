"""Ray as the engine: a task for each file. Workers need the same paths to the dataset, the store and the output.

A machine that belongs to a cluster, or whose RAY_ADDRESS names one, uses that cluster; else Ray is started here.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from optout.audit.api import Auditor
from optout.audit.job import Input, Job
from optout.audit.local import TRIES, make
from optout.audit.resume import left
from optout.audit.shard import Manifest
from optout.audit.storage import Location
from optout.errors import UnreadableInput

_AHEAD = 4
"""Tasks for each processor that Ray is given ahead, so that a dataset of any size costs it no memory."""


class Judging:
    """The audit for Ray Data: adds to each batch of rows what may be done with them.

    `dataset.map_batches(Judging, fn_constructor_args=[auditor], batch_format="pyarrow", concurrency=4)`, where four
    actors each keep what they have compiled.
    """

    def __init__(self, auditor: Auditor) -> None:
        """Judge by the store and policy of an auditor."""
        self._auditor = auditor

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows with the columns of `optout.audit.schema.answers`; see `optout.audit.decide`."""
        return self._auditor(table)


def run(job: Job, files: Sequence[Input], directory: Location, workers: int) -> Iterator[Manifest]:
    """Make the shards that are missing; see `optout.audit.local.run`.

    Raises:
        UnreadableInput: Ray is not installed or cannot be started, or its workers die again and again.
    """
    digest, done, missing = left(job, files, directory)
    yield from done
    if missing:
        with started(workers) as ray:
            yield from _shards(ray, (job, digest, directory), missing)


def _shards(ray: Any, about: tuple[Job, str, Location], missing: Sequence[Input]) -> Iterator[Manifest]:  # noqa: ANN401
    job, digest, directory = about
    task = ray.remote(make).options(max_retries=TRIES - 1)
    items, running = deque(missing), list[Any]()
    ahead = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        while items or running:
            while items and len(running) < ahead:
                running.append(task.remote(job, digest, items.popleft(), directory))
            finished, running = ray.wait(running)
            yield from ray.get(finished)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        mend = "it may be short of memory: use fewer --workers, and run it again"
        raise UnreadableInput(f"Ray: {str(error).splitlines()[0]}", mend=mend) from error


@contextmanager
def started(workers: int) -> Iterator[Any]:
    """Ray, left as it was found.

    Args:
        workers: how many processes to use, where Ray has to be started.

    Raises:
        UnreadableInput: Ray is not installed or cannot be started.
    """
    try:
        import ray
    except ImportError as error:
        raise UnreadableInput("--engine ray: Ray is not installed", mend="pip install optout-toolkit[ray]") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        _start(ray, workers)
    except Exception as error:
        mend = "see Ray's own log; this machine may be short of memory or time"
        raise UnreadableInput(f"Ray cannot be started: {str(error).splitlines()[0]}", mend=mend) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, workers: int) -> None:  # noqa: ANN401
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(num_cpus=workers, **quiet)
    except ValueError:
        # A cluster that is there already has its own number of processors.
        ray.init(**quiet)
    except Exception:  # noqa: BLE001 - Ray raises no type of its own here
        # It gives a busy machine half a minute to start in, and has no setting for more.
        ray.shutdown()
        ray.init(num_cpus=workers, **quiet)
