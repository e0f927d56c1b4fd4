"""The default engine: processes of this machine, a shard at a time each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import active_children, get_context, parent_process
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING

from optout.audit import shard
from optout.audit.job import Input, Job
from optout.audit.judge import Judge
from optout.audit.reading import READING
from optout.audit.resume import left
from optout.audit.shard import Manifest, Place
from optout.audit.storage import Location
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

TRIES = 4
"""How often a shard may end the process that makes it, as in the other engines."""


def run(job: Job, files: Sequence[Input], directory: Location, workers: int) -> Iterator[Manifest]:
    """Make the shards that are missing; give each manifest when its shard is done.

    Args:
        job: what is asked.
        files: the inputs.
        directory: where to write.
        workers: how many processes to use.

    Raises:
        UnreadableInput: processes are ended from outside, again and again.
    """
    digest, done, missing = left(job, files, directory)
    yield from done
    READING.share(None)
    if workers <= 1 or len(missing) <= 1:
        yield from (make(job, digest, item, directory) for item in missing)
        return
    waiting, tries = dict.fromkeys(missing), 0
    while waiting:
        tries += 1
        try:
            for item, manifest in _pool(job, digest, list(waiting), directory, workers):
                tries = 0
                del waiting[item]
                yield manifest
        except BrokenProcessPool as error:
            if tries == TRIES:
                mend = "it may be short of memory: use fewer --workers, and run it again"
                raise UnreadableInput("a process was ended from outside", mend=mend) from error


def _pool(
    job: Job, digest: str, items: Sequence[Input], directory: Location, workers: int
) -> Iterator[tuple[Input, Manifest]]:
    context, others = get_context("spawn"), {*active_children()}
    counter = context.Value("q", 0)
    READING.share(counter)
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer=_begin, initargs=(counter,)) as pool:
        try:
            with _uninterrupted():
                futures = {pool.submit(make, job, digest, item, directory): item for item in items}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except (KeyboardInterrupt, GeneratorExit):
            # Nor for what was begun, which may take minutes and is made again as a whole.
            with _uninterrupted():
                for child in {*active_children()} - others:
                    child.terminate()
                pool.shutdown(cancel_futures=True)
            raise
        finally:
            # Who is interrupted does not wait for all that was not begun.
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Begin or end processes, and let an interruption wait; they hear of it only when they can end without a word.

    They have the mask of the thread that begins them. That alone would not make it wait, because a signal that one
    thread masks goes to another one, of which numeric libraries have some.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _begin(counter: Synchronized[int]) -> None:
    """Count with the others, and do not outlive the process that hands out the work.

    Nobody else would ever end this one, or use what it has.
    """
    READING.share(counter)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def make(job: Job, digest: str, item: Input, directory: Location) -> Manifest:
    """Make one shard; what engines hand to their workers."""
    judge = _judge(job, digest)
    manifest = shard.make(Place(directory), item, job, digest, judge)
    judge.shelve()
    return manifest


@lru_cache(maxsize=1)
def _judge(job: Job, digest: str) -> Judge:
    """This process's own judge, which keeps what it has compiled; another digest is another state of the store."""
    del digest
    return job.judge()
