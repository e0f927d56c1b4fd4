"""Damaging files at random, by a seed: what a transfer, a disk or an editor may do to them, and what nobody would."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.files import FileReader
from optout.identity import Identity
from optout.model import Purpose, State

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "tests" / "assets", ROOT.parent / "shared" / "assets")
LARGEST = 300_000
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\xff\xff\0\0")

Mutation = Callable[[random.Random, bytes, bytes], bytes]


def flip(rng: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, length = rng.randrange(len(data)), rng.randint(1, 64)
    return data[:at] + rng.randbytes(length) + data[at + length :]


def extreme(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(EXTREMES) + data[at + 4 :]


def delete(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 2000) :]


def repeat(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, length = rng.randrange(len(data)), rng.randint(1, 2000)
    return data[: at + length] + data[at:]


def insert(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 200)) + data[at:]


def truncate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def blank(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, length = rng.randrange(len(data)), rng.randint(1, 4096)
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (flip, flip, overwrite, extreme, delete, repeat, insert, truncate, blank)
"""Splicing two files is apart: it can join a permission of one to the rest of another."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A damaged file, with what it was."""

    name: str
    kind: str
    original: bytes
    data: bytes


def samples(folders: tuple[Path, ...] = FOLDERS) -> dict[str, bytes]:
    """Every sample of a list of expectations, by name."""
    found = {}
    for folder in folders:
        if (folder / "expected.json").exists():
            for entry in json.loads((folder / "expected.json").read_text(encoding="utf-8")):
                data = (folder / entry["file"]).read_bytes()
                if len(data) <= LARGEST:
                    found[entry["file"]] = data
    return found


def mutants(files: Mapping[str, bytes], count: int, seed: int) -> Iterator[Mutant]:
    """Damaged files, the same for the same seed; each sample gets its turn."""
    rng = random.Random(seed)
    names = sorted(files)
    for number in range(count):
        name = names[number % len(names)]
        mutation = splice if number % 20 == 19 else rng.choice(MUTATIONS)
        data = mutation(rng, files[name], files[rng.choice(names)])
        yield Mutant(name, mutation.__name__, files[name], data)


class Judge:
    """Answers for bytes under the policy `literal`."""

    def __init__(self, reader: FileReader) -> None:
        self._reader = reader
        policy = policy_files.load("literal", as_of=date(2026, 11, 23))
        self._origin = engine.compile((), policy, Identity("ExampleTrainBot"))

    def states(self, data: bytes) -> Mapping[Purpose, State]:
        """What a file says, per purpose."""
        return self._origin.decide("file:///work", self._reader.read_bytes("work", data).exchanges).states


def opened(before: Mapping[Purpose, State], after: Mapping[Purpose, State]) -> list[Purpose]:
    """Purposes that damage has turned from reserved to permitted."""
    return [purpose for purpose in Purpose if before[purpose] is State.RESERVED and after[purpose] is State.PERMITTED]


def is_sound_again(mutant: Mutant) -> bool:
    """Whether the damage left a sound file that says something else.

    That is so where the one digit 1 of a reservation became a 0, and where a PDF was cut at the end of an older
    revision. No reader can tell such a file from one that was meant so.
    """
    pairs = zip(mutant.original, mutant.data, strict=False)
    rewritten = len(mutant.original) == len(mutant.data) and (ord("1"), ord("0")) in pairs
    return rewritten or (mutant.kind == "truncate" and mutant.data.rstrip().endswith(b"%%EOF"))
