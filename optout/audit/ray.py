"""Ray as the engine: a task for each file. Workers need the same paths to the dataset, the store and the output."""

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
        UnreadableInput: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise UnreadableInput("--engine ray: Ray is not installed", mend="pip install optout-toolkit[ray]") from error
    digest, place = job.digest(), Place(directory)
    found = [(item, shard.made(place, item, digest)) for item in files]
    yield from (manifest for _, manifest in found if manifest is not None)
    missing = [item for item, manifest in found if manifest is None]
    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    task = ray.remote(make)
    waiting = [task.remote(job, digest, item, directory) for item in missing]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)
