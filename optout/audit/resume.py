"""What is left to do of an audit: the same question for every engine, on every machine, at every start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optout.audit import shard
from optout.audit.shard import FOLDERS, Place
from optout.audit.storage import sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optout.audit.job import Input, Job
    from optout.audit.shard import Manifest
    from optout.audit.storage import Location

_AT_A_TIME = 16
"""Manifests that are asked for at the same time, because an object store answers late."""


class Left(NamedTuple):
    """What is done of some inputs, and what is not.

    Attributes:
        digest: of the job.
        done: the manifests of the shards that are there.
        missing: the inputs whose shards are not.
    """

    digest: str
    done: list[Manifest]
    missing: list[Input]


def left(job: Job, files: Sequence[Input], directory: Location) -> Left:
    """Look which shards are there, and clear away what an interrupted run has left of the others.

    Raises:
        PolicyError: a policy cannot be read.
        UnreadableInput: the file system that is written to does not let us look.
    """
    place, digest = Place(directory), job.digest()
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = list(threads.map(lambda item: shard.made(place, item, digest), files))
    missing = [item for item, manifest in zip(files, found, strict=True) if manifest is None]
    if isinstance(directory, Path):
        targets = [where for item in files for where in place.files(item.name)]
        for folder in FOLDERS:
            sweep(directory / folder, targets)
    return Left(digest, [manifest for manifest in found if manifest is not None], missing)


def whole(job: Job, files: Sequence[Input], directory: Location) -> list[Manifest] | None:
    """The manifests of all inputs, readable or not; None where one was not gone through yet.

    Raises:
        PolicyError: a policy cannot be read.
        UnreadableInput: the file system that is written to does not let us look.
    """
    place, digest = Place(directory), job.digest()
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = list(threads.map(lambda item: shard.attempted(place, item, digest), files))
    known = [manifest for manifest in found if manifest is not None]
    return known if len(known) == len(files) else None
