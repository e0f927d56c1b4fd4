"""What an audit is asked, as one value that can be sent to other processes and machines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.acquisition.lists import Lists
from optout.acquisition.store_file import FILE_NAME
from optout.audit.formats import Columns, format_of
from optout.audit.judge import AsOf, Judge, Reading
from optout.errors import UnreadableInput
from optout.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from optout.audit.parts import Part

RETROACTIVE = "retroactive"
"""The name, among policies, of the first reading with later states denying too."""

EDITION = 2
"""Of what shards hold; shards of another edition are made again."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that decides what comes out of an audit, beside the inputs.

    Attributes:
        store: the folder of dated origin states.
        policy: name or path of the policy that decides.
        token: our product token.
        as_of: which dated state of an origin counts.
        retroactive: whether later states deny too.
        lists: the folder of lists of opt-outs, infringing sites and works, if any.
        what_if: further policies, and `RETROACTIVE`, to compare with.
        columns: of the inputs.
        today: the day on which policies are read.
    """

    store: Path
    policy: str
    token: str
    today: date
    as_of: AsOf = field(default_factory=AsOf)
    retroactive: bool = False
    what_if: tuple[str, ...] = ()
    lists: Path | None = None
    columns: Columns = field(default_factory=Columns)

    def readings(self) -> tuple[Reading, ...]:
        """The ways of judging, the deciding one first.

        Raises:
            PolicyError: a policy cannot be read.
        """
        own = policy_files.load(self.policy, as_of=self.today)
        found = [Reading(own.name, own, self.retroactive)]
        for name in self.what_if:
            if name == RETROACTIVE:
                found.append(Reading(name, own, retroactive=True))
            else:
                policy = policy_files.load(name, as_of=self.today)
                found.append(Reading(policy.name, policy, self.retroactive))
        return tuple(found)

    def judge(self) -> Judge:
        """A judge for it.

        Raises:
            PolicyError: a policy cannot be read.
            StoreError: the store cannot be opened.
        """
        store = Store.open(self.store)
        return Judge(store, self.readings(), Identity(self.token), self.as_of, lists=self.in_force())

    def in_force(self) -> Lists:
        """The lists that count on the day.

        Raises:
            UnreadableInput: there are no lists in the folder, or a file in it is none.
        """
        return Lists.none() if self.lists is None else Lists.open(self.lists, self.today)

    def digest(self) -> str:
        """What shards are named by that were made for this job and this state of the store.

        The day counts by what is in force on it, so that an audit may go on past midnight.
        """
        columns = self.columns
        readings = [
            (
                reading.name, reading.policy.digest, reading.policy.registry_digest,
                sorted(reading.policy.modes.items()), reading.retroactive,
            )
            for reading in self.readings()
        ]  # fmt: skip
        names = [columns.url, columns.html, columns.headers, columns.date, columns.tokens, columns.language]
        about = [EDITION, readings, self.token, self.as_of.text, names, _version(self.store)]
        about += [repr(self.in_force().descriptions)]
        return sha256(json.dumps(about).encode()).hexdigest()


def _version(store: Path) -> list[int]:
    """What changes where the store is written to."""
    found = []
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        path = store / name
        stat = path.stat() if path.exists() else None
        found += [stat.st_size, stat.st_mtime_ns] if stat is not None and stat.st_size else [0]
    return found


@dataclass(frozen=True, slots=True)
class Input:
    """One file of a dataset.

    Attributes:
        path: where it is.
        name: its name in the output: relative to the folder that was given.
        part: which part of the file it is, where the file is large; see `optout.audit.parts`.
    """

    path: Path
    name: str
    part: Part | None = None

    @property
    def file(self) -> str:
        """The name of the whole file."""
        return self.name if self.part is None else self.part.file

    @property
    def shard(self) -> str:
        """The name that its decisions have, without a suffix."""
        return self.name.replace("/", "--")


def inputs(arguments: Iterable[str]) -> list[Input]:
    """The files that arguments name, in order: files, folders with all that is in them, and globs.

    Raises:
        UnreadableInput: one names nothing, or something of no known form.
    """
    found: dict[Path, str] = {}
    for argument in arguments:
        before = len(found)
        for path, name in _named(argument):
            found.setdefault(path, name)
        if len(found) == before and not any(True for _ in _named(argument)):
            raise UnreadableInput(f"{argument}: no such file", mend="name Parquet, JSON Lines, WARC or tar files")
    return _distinct(found)


def _named(argument: str) -> Iterator[tuple[Path, str]]:
    path = Path(argument)
    if path.is_dir():
        files = (one for one in sorted(path.rglob("*")) if one.is_file())
        yield from ((one, one.relative_to(path).as_posix()) for one in files if format_of(one.name) is not None)
    elif path.exists():
        if format_of(path.name) is None:
            raise UnreadableInput(
                f"{argument}: of no known form", mend="use .parquet, .jsonl, .warc or .tar, packed or not"
            )
        yield path, path.name
    else:
        parts = path.parts
        fixed = next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
        if fixed is not None:
            base = Path(*parts[:fixed])
            files = (one for one in sorted(base.glob(str(Path(*parts[fixed:])))) if one.is_file())
            yield from ((one, one.relative_to(base).as_posix()) for one in files if format_of(one.name) is not None)


def _distinct(found: dict[Path, str]) -> list[Input]:
    """Give each file a name of its own."""
    taken: set[str] = set()
    result = []
    for path, name in found.items():
        free, number = name, 2
        while free.replace("/", "--") in taken:
            free, number = f"{number}-{name}", number + 1
        taken.add(free.replace("/", "--"))
        result.append(Input(path, free))
    return result


def share(files: Sequence[Input], number: int, of: int) -> list[Input]:
    """Every n-th file, for a machine that does its share.

    Args:
        number: which share, from 0.
        of: how many shares there are.
    """
    return list(files[number::of])
