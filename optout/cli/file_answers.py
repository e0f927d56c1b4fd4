"""Answers of `optout inspect`, one file at a time, in this process or in many."""

from __future__ import annotations

import atexit
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.files import FileReader
from optout.cli import options
from optout.cli.verdicts import problem_json, signal_json
from optout.errors import UnreadableInput
from optout.identity import Identity
from optout.model import ASSET, Availability, Purpose, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optout.model import Exchange, Verdict

Answer = dict[str, Any]

BATCH = 64
"""Files that a process is given at once."""

FEW = 256
"""Up to so many files are answered here, because starting processes would take longer."""


class Inspector:
    """Reads files and applies a policy to what they carry."""

    def __init__(self, policy: str, as_of: date, reader: FileReader) -> None:
        self._reader = reader
        self._origin = engine.compile((), policy_files.load(policy, as_of=as_of), Identity(options.DEFAULT_TOKEN))

    def answer(self, name: str) -> Answer:
        """The answer for one file; one that cannot be opened gets `error` in place of the rest."""
        try:
            found = self._reader.read_path(Path(name))
        except UnreadableInput as error:
            return {"file": name, "error": str(error)}
        if not found.exchanges:
            return _silent(name, found.media_type)
        return _spoken(name, found.media_type, self._verdict(name, found.exchanges))

    def _verdict(self, name: str, exchanges: Sequence[Exchange]) -> Verdict:
        return self._origin.decide(Path(name).absolute().as_uri(), exchanges)


def _silent(name: str, media_type: str) -> Answer:
    states = dict.fromkeys(Purpose, State.UNSPECIFIED)
    return {
        "file": name,
        "media_type": media_type,
        "states": states,
        "signals": [],
        "problems": [],
        "unreadable": False,
    }


def _spoken(name: str, media_type: str, verdict: Verdict) -> Answer:
    return {
        "file": name,
        "media_type": media_type,
        "states": {purpose: verdict.states[purpose] for purpose in Purpose},
        "signals": [signal_json(signal) for signal in verdict.signals],
        "problems": [problem_json(problem) for problem in verdict.problems],
        "unreadable": verdict.coverage.of(ASSET) is Availability.UNREACHABLE,
    }


def answers(names: Iterable[str], policy: str, as_of: date, workers: int) -> Iterator[Answer]:
    """Answer for files in order, in one process or in many.

    Args:
        names: the files.
        policy: the name or path of the policy.
        as_of: the day on which the policy is to be read.
        workers: how many processes to use at most.

    Raises:
        UnreadableInput: a process was ended from outside, for lack of memory say.
    """
    todo = iter(names)
    first = list(islice(todo, FEW))
    if workers <= 1 or len(first) < FEW:
        with FileReader() as reader:
            inspector = Inspector(policy, as_of, reader)
            yield from (inspector.answer(name) for chunk in (first, todo) for name in chunk)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            started = (pool.submit(_run, batch, policy, as_of) for batch in _batches(first, todo))
            yield from _in_order(started, ahead=3 * workers)
    except BrokenProcessPool as error:
        raise UnreadableInput("a process was ended from outside", mend="use fewer --workers") from error


def _batches(*sources: Iterable[str]) -> Iterator[list[str]]:
    chained = (name for source in sources for name in source)
    while batch := list(islice(chained, BATCH)):
        yield batch


def _in_order(started: Iterator[Future[list[Answer]]], ahead: int) -> Iterator[Answer]:
    """Keep so many batches started ahead of the one that is waited for, and no more."""
    running = deque(islice(started, ahead))
    while running:
        yield from running.popleft().result()
        running.extend(islice(started, 1))


@lru_cache(maxsize=1)
def _inspector(policy: str, as_of: date) -> Inspector:
    """This process's own inspector; it is made once and its helper process ends with it."""
    reader = FileReader()
    atexit.register(reader.close)
    return Inspector(policy, as_of, reader)


def _run(batch: list[str], policy: str, as_of: date) -> list[Answer]:
    inspector = _inspector(policy, as_of)
    return [inspector.answer(name) for name in batch]
