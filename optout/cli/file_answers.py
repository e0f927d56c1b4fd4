"""Answers of `optout inspect`, one file at a time, in this process or in many."""

from __future__ import annotations

import atexit
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.declarations import Declarations
from optout.acquisition.files import FileReader
from optout.cli import options
from optout.cli.verdicts import place_json, problem_json, signal_json
from optout.errors import UnreadableInput
from optout.identity import Identity
from optout.model import ASSET, SILENCE, Availability, Purpose, State
from optout.policy import Mode
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from optout.acquisition.files import FileParts
    from optout.model import Problem, Reading, Signal, Verdict

Answer = dict[str, Any]

BATCH = 64
"""Files that a process is given at once."""

_KEPT = 4096

FEW = 256
"""Up to so many files are answered here, because starting processes would take longer."""


class Inspector:
    """Reads files and applies a policy to what they carry.

    What a file's statements come to does not depend on where they stand. Verdicts are therefore kept by what was
    stated, so that the thousandth picture with the same statement costs its reading only.
    """

    def __init__(self, policy: str, as_of: date, reader: FileReader) -> None:
        self._reader = reader
        loaded = policy_files.load(policy, as_of=as_of)
        self._protocols = [
            protocol
            for protocol in PROTOCOLS.values()
            if ASSET in protocol.roles and loaded.mode(protocol.name) is not Mode.OFF
        ]
        self._origin = engine.compile((), loaded, Identity(options.DEFAULT_TOKEN))
        self._known: dict[str, _Outcome] = {}

    def answer(self, name: str) -> Answer:
        """The answer for one file; one that cannot be opened gets `error` in place of the rest."""
        try:
            found = self._reader.read_path(name)
        except UnreadableInput as error:
            return {"file": name, "error": str(error)}
        if not found.exchanges:
            return _answer(name, found.media_type, _SILENT, (), ())
        if any(exchange.role != ASSET for exchange in found.exchanges):
            return self.decided(name, found)
        reads = self._reads(found)
        key = "\n".join(map(_stated, reads))
        outcome = self._known.get(key)
        if outcome is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            outcome = self._known[key] = _outcome(reads, self._verdict(name, found))
        problems = (problem for _, reading in reads for problem in reading.problems)
        return _answer(name, found.media_type, outcome, outcome.signals(reads), problems)

    def _reads(self, found: FileParts) -> list[tuple[str, Reading]]:
        """What each protocol reads in each part, silence left out."""
        return [
            (protocol.name, reading)
            for exchange in found.exchanges
            for protocol in self._protocols
            if (reading := protocol.read(exchange)) is not SILENCE
        ]

    def decided(self, name: str, found: FileParts) -> Answer:
        """The answer for a file by way of the engine alone."""
        verdict = self._verdict(name, found)
        unreadable = verdict.coverage.of(ASSET) is Availability.UNREACHABLE
        outcome = _Outcome(verdict.states, (), unreadable)
        signals = map(signal_json, verdict.signals)
        return _answer(name, found.media_type, outcome, signals, verdict.problems)

    def _verdict(self, name: str, found: FileParts) -> Verdict:
        return self._origin.decide(Path(name).absolute().as_uri(), found.exchanges)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the statements of a file come to.

    Attributes:
        states: per purpose.
        pattern: the signals in order, each as the number of the reading, of the statement in it, itself, and the
            form of it that answers have.
        unreadable: whether metadata exists that could not be read.
    """

    states: Mapping[Purpose, State]
    pattern: tuple[tuple[int, int, Signal, Answer], ...]
    unreadable: bool

    def signals(self, reads: Sequence[tuple[str, Reading]]) -> Iterator[Answer]:
        """The same signals where they stand in this file."""
        for number, statement_number, signal, form in self.pattern:
            said = reads[number][1].statements[statement_number]
            if said.conditions or signal.conditions:
                yield signal_json(signal._replace(place=said.place, value=said.value, conditions=said.conditions))
            else:
                yield {**form, "place": place_json(said.place), "value": said.value}


_SILENT = _Outcome(dict.fromkeys(Purpose, State.UNSPECIFIED), (), unreadable=False)


def _stated(read: tuple[str, Reading]) -> str:
    """Everything of a reading that bears on a verdict, as one word: all but places, raw values and conditions.

    A word, because hashing a few dozen enumeration members takes longer than reading the file.
    """
    protocol, reading = read
    words = [protocol, "" if reading.valid else "invalid"]
    for said in reading.statements:
        words += [said.reason, said.strength, said.leniency or "", "advisory" if said.advisory else ""]
        words += [purpose + state for purpose, state in said.states]
    return " ".join(words)


def _outcome(reads: Sequence[tuple[str, Reading]], verdict: Verdict) -> _Outcome:
    places = {
        (protocol, said.place, said.value, purpose): (number, statement_number)
        for number, (protocol, reading) in enumerate(reads)
        for statement_number, said in enumerate(reading.statements)
        for purpose, _ in said.states
    }
    pattern = [
        (*places[signal.protocol, signal.place, signal.value, signal.purpose], signal, signal_json(signal))
        for signal in verdict.signals
    ]
    unreadable = verdict.coverage.of(ASSET) is Availability.UNREACHABLE
    return _Outcome(verdict.states, tuple(pattern), unreadable)


def _answer(
    name: str, media_type: str, outcome: _Outcome, signals: Iterable[Answer], problems: Iterable[Problem]
) -> Answer:
    return {
        "file": name,
        "media_type": media_type,
        "states": dict(outcome.states),
        "signals": list(signals),
        "problems": [problem_json(problem) for problem in dict.fromkeys(problems)],
        "unreadable": outcome.unreadable,
    }


@dataclass(frozen=True, slots=True)
class Setup:
    """What every process needs to answer.

    Attributes:
        policy: the name or path of the policy.
        as_of: the day on which the policy is to be read.
        declarations: the path of declarations about works; empty for none.
    """

    policy: str
    as_of: date
    declarations: str = ""

    def reader(self) -> FileReader:
        """A reader of files that knows the declarations.

        Raises:
            UnreadableInput: they cannot be read.
        """
        return FileReader(declarations=Declarations.read(self.declarations) if self.declarations else None)


def answers(names: Iterable[str], setup: Setup, workers: int) -> Iterator[Answer]:
    """Answer for files in order, in one process or in many.

    Args:
        names: the files.
        setup: policy, day and declarations.
        workers: how many processes to use at most.

    Raises:
        UnreadableInput: a process was ended from outside, for lack of memory say.
    """
    todo = iter(names)
    first = list(islice(todo, FEW))
    if workers <= 1 or len(first) < FEW:
        with setup.reader() as reader:
            inspector = Inspector(setup.policy, setup.as_of, reader)
            yield from (inspector.answer(name) for chunk in (first, todo) for name in chunk)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            started = (pool.submit(_run, batch, setup) for batch in _batches(first, todo))
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
def _inspector(setup: Setup) -> Inspector:
    """This process's own inspector; it is made once and its helper process ends with it."""
    reader = setup.reader()
    atexit.register(reader.close)
    return Inspector(setup.policy, setup.as_of, reader)


def _run(batch: list[str], setup: Setup) -> list[Answer]:
    inspector = _inspector(setup)
    return [inspector.answer(name) for name in batch]
