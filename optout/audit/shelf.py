"""Compiled contents on disk, so that the workers of an audit, and later audits, need not compile them again.

A shelf is a folder of segments, each written once and named by the SHA-256 of its bytes. Workers map them into memory,
so what they share is there once. A segment that is not what its name says is left aside, as is one whose matchers do
not unpack; the contents that it held are compiled as if it were not there. What is compiled depends on the policy, the
agent and this very program, so the folder is named by a digest of all of these.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

import optout
from optout.audit.outcomes import Outcome
from optout.model import Effect, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optout.identity import Identity
    from optout.policy import Policy

WORTH_A_SEGMENT = 64
"""How much news makes a segment; less is compiled again rather than leave many small files."""

KEPT_DAYS = 30
"""How long the contents of a policy, agent and program stay that nobody asks for any more."""

_MAGIC = b"optout flat policies 1\n\0"
_ALIGNED = 8


class Record(NamedTuple):
    """A content, compiled.

    Attributes:
        own: how many tables address us.
        never: whether the second reader adds nothing.
        order: names the statements of all tables in their order; numbers mean nothing in another order.
        flat: the flat form of its matcher.
        theirs: that of the second reader's refusals.
        outcomes: what combinations come to, by number.
    """

    own: int
    never: bool
    order: str
    flat: bytes | memoryview
    theirs: bytes | memoryview
    outcomes: Mapping[int, Outcome]


class Shelf:
    """The compiled contents of one policy and agent."""

    def __init__(self, folder: Path, policy: Policy, identity: Identity) -> None:
        """Look at what is there."""
        about = [policy.digest, policy.registry_digest, identity.token, _program()]
        self._folder = folder / sha256(orjson.dumps(about)).hexdigest()[:32]
        self._seen: set[str] = set()
        self._found: dict[str, tuple[memoryview, Any, list[Outcome]]] = {}
        with suppress(OSError):
            os.utime(self._folder)
        self.look()

    def look(self) -> None:
        """Map the segments that have come since."""
        for path in sorted(self._folder.glob("*.flat")):
            if path.name not in self._seen:
                self._seen.add(path.name)
                self._map(path)

    def _map(self, path: Path) -> None:
        """Take in a segment; a damaged or foreign one is left aside."""
        try:
            with path.open("rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            if sha256(data).hexdigest() != path.stem or data[: len(_MAGIC)] != _MAGIC:
                return
            size = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + _ALIGNED], "little")
            body = len(_MAGIC) + _ALIGNED
            index = orjson.loads(data[body : body + size])
            outcomes = [_outcome(told) for told in index["outcomes"]]
            rest = data[body + size :]
            self._found.update({key: (rest, entry, outcomes) for key, entry in index["contents"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return

    def get(self, key: str) -> Record | None:
        """A content, if it is there."""
        found = self._found.get(key)
        if found is None:
            return None
        data, entry, outcomes = found
        try:
            own, never, order, start, end, start_theirs, end_theirs, known = entry
            told = {int(number): outcomes[place] for number, place in known}
            return Record(int(own), bool(never), str(order), data[start:end], data[start_theirs:end_theirs], told)
        except (ValueError, TypeError, IndexError):
            return None

    def put(self, records: Mapping[str, Record]) -> None:
        """Write a segment; where nothing can be written, nothing is."""
        blobs = bytearray()
        index: dict[str, Any] = {}
        numbers: dict[Outcome, int] = {}
        for key, record in records.items():
            start = len(blobs)
            blobs += _padded(record.flat)
            middle = len(blobs)
            blobs += _padded(record.theirs)
            known = [(at, numbers.setdefault(outcome, len(numbers))) for at, outcome in record.outcomes.items()]
            ends = (start, start + len(record.flat), middle, middle + len(record.theirs))
            index[key] = (record.own, record.never, record.order, *ends, known)
        about = orjson.dumps({"outcomes": [_told(outcome) for outcome in numbers], "contents": index})
        about += b" " * (-len(about) % _ALIGNED)
        self._write(_MAGIC + len(about).to_bytes(_ALIGNED, "little") + about + bytes(blobs))

    def _write(self, data: bytes) -> None:
        name = f"{sha256(data).hexdigest()}.flat"
        part = self._folder / f".{name}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(self._folder / name)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._seen.add(name)


def clear_unused(folder: Path, now: float) -> None:
    """Remove shelves that nobody has opened for long; who has one open still keeps what is mapped.

    Args:
        folder: of all shelves.
        now: in seconds since 1970.
    """
    with suppress(OSError):
        for shelf in folder.iterdir():
            if now - shelf.stat().st_mtime > KEPT_DAYS * 86_400:
                shutil.rmtree(shelf, ignore_errors=True)


def _padded(data: bytes | memoryview) -> bytes:
    return bytes(data) + bytes(-len(data) % _ALIGNED)


def _told(outcome: Outcome) -> list[object]:
    return [
        outcome.effects, outcome.states, outcome.effect, outcome.access, outcome.reason, outcome.protocol,
        outcome.place, outcome.scope, outcome.others, outcome.status,
    ]  # fmt: skip


def _outcome(told: list[Any]) -> Outcome:
    effects, states, effect, access, reason, protocol, place, scope, others, status = told
    return Outcome(
        tuple(map(Effect, effects)), tuple(map(State, states)), Effect(effect), Effect(access),
        str(reason), str(protocol), str(place), str(scope), bool(others), str(status),
    )  # fmt: skip


@cache
def _program() -> str:
    """What names this program: the text of all of it, the second reader's edition, and Python's."""
    digest = sha256(f"{version('protego')} {sys.version}".encode())
    for text in _texts(Path(optout.__file__).parent):
        digest.update(sha256(text).digest())
    return digest.hexdigest()


def _texts(folder: Path) -> Iterable[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*.py")))
