"""What an audit is asked, as one value that can be sent to other processes and machines."""

from __future__ import annotations

import json
import os
from collections import deque
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
from optout.audit.storage import Location, listed, location
from optout.errors import PolicyError, UnreadableInput
from optout.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from optout.audit.parts import Part

RETROACTIVE = "retroactive"
"""The name, among policies, of the first reading with later states denying too."""

EDITION = 5
"""Of what shards hold; shards of another edition are made again."""


COMPILED = "compiled"
"""The folder in the store where workers put compiled policies for each other; it may be deleted at any time."""

LONGEST_NAME = 200
"""Bytes of a shard's name; file systems allow 255, and a part that is being written needs some."""


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
        names = [one.name for one in found[1:]]
        if twice := [name for name in names if names.count(name) > 1]:
            raise PolicyError(f"two policies to compare with are called {twice[0]!r}", mend="rename one of them")
        return tuple(found)

    def judge(self) -> Judge:
        """A judge for it.

        Raises:
            PolicyError: a policy cannot be read.
            StoreError: the store cannot be opened.
        """
        store = Store.open(self.store)
        shelves = self.store / COMPILED
        return Judge(store, self.readings(), Identity(self.token), self.as_of, lists=self.in_force(), shelves=shelves)

    def in_force(self) -> Lists:
        """The lists that count on the day.

        Raises:
            UnreadableInput: there are no lists in the folder, or a file in it is none.
        """
        return Lists.none() if self.lists is None else Lists.open(self.lists, self.today)

    def digest(self) -> str:
        """What shards are named by that were made for this job and this state of the store.

        The day counts only by what is in force on it, so that an audit which outlasts midnight goes on.
        """
        columns = self.columns
        readings = [
            (one.name, one.policy.digest, one.policy.registry_digest, sorted(one.policy.modes.items()), one.retroactive)
            for one in self.readings()
        ]
        names = [columns.url, columns.html, columns.headers, columns.date, columns.tokens, columns.language]
        about = [EDITION, readings, self.token, self.as_of.text, names, store_version(self.store)]
        about += [repr(self.in_force().descriptions)]
        return sha256(json.dumps(about).encode()).hexdigest()


def store_version(store: Path) -> list[int]:
    """What changes where a store is written to."""
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

    path: Location
    name: str
    part: Part | None = None

    @property
    def file(self) -> str:
        """The name of the whole file."""
        return self.name if self.part is None else self.part.file

    @property
    def shard(self) -> str:
        """The name that its decisions have, without a suffix."""
        return shard_name(self.name)


def shard_name(name: str) -> str:
    """The name of the decisions about a file, without a suffix; short enough for a file system."""
    flat = name.replace("/", "--")
    if len(flat.encode()) <= LONGEST_NAME:
        return flat
    return f"{sha256(name.encode()).hexdigest()[:32]}-{flat[-40:]}"


def inputs(arguments: Iterable[str], passed_over: Callable[[Location], None] = lambda _: None) -> list[Input]:
    """The files that arguments name, in order: files, folders with all that is in them, globs, and URLs of the same.

    Args:
        arguments: as users give them.
        passed_over: told of each file that was found and is of no known form.

    Raises:
        UnreadableInput: one names nothing, or something of no known form.
    """
    once: dict[str, tuple[Location, str]] = {}
    for argument in arguments:
        named = _named(argument, passed_over) if argument else ()
        if not named:
            mend = "name Parquet, JSON Lines, WARC or tar files"
            raise UnreadableInput(f"{argument or 'an empty name'}: no such file", mend=mend)
        for path, name in named:
            once.setdefault(_place(path), (path, name))
    return _distinct(dict(once.values()))


def _place(path: Location) -> str:
    """What is the same for two ways of naming one file: through `..`, and through folders that are links."""
    return str(path.absolute().parent.resolve() / path.name) if isinstance(path, Path) else path.url


def _named(argument: str, passed_over: Callable[[Location], None]) -> list[tuple[Location, str]]:
    path = location(argument)
    found = [*_here(path)] if isinstance(path, Path) else listed(path.url)
    known = []
    for one, name in found:
        if format_of(one.name) is None:
            passed_over(one)
        else:
            known.append((one, name))
    if found and not known:
        raise UnreadableInput(
            f"{argument}: of no known form", mend="use .parquet, .jsonl, .warc or .tar, packed or not"
        )
    return known


def _here(path: Path) -> Iterator[tuple[Path, str]]:
    """The files that a path of this machine names, and their names relative to the folder or glob."""
    parts = path.parts
    first = next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
    base, files = path.parent, [path]
    if path.is_dir():
        base, files = path, sorted(_below(path))
    elif not path.exists() and first is not None:
        base = Path(*parts[:first])
        files = sorted(base.glob(str(Path(*parts[first:]))))
    yield from ((one, _as_text(one.relative_to(base).as_posix())) for one in files if one.is_file())


def _below(folder: Path) -> Iterator[Path]:
    """What is in a folder; links to folders are followed, but each is looked into once, by its own name if it can."""
    seen, waiting = set[Path](), deque([folder])
    while waiting:
        for name, folders, files in os.walk(waiting.popleft()):
            here = Path(name)
            if (real := here.resolve()) in seen:
                folders.clear()
                continue
            seen.add(real)
            waiting += sorted(path for one in folders if (path := here / one).is_symlink())
            yield from (here / one for one in files)


def _as_text(name: str) -> str:
    """The name of a file, which on disk is octets in whatever encoding, as text that can be written everywhere."""
    return name.encode("utf-8", "backslashreplace").decode()


def _distinct(found: dict[Location, str]) -> list[Input]:
    """Give each file a name of its own."""
    taken: set[str] = set()
    files: set[str] = set()
    folders: set[str] = set()
    result = []
    for path, name in found.items():
        free, number = name, 2
        while shard_name(free) in taken or free in folders or files & {*_folders(free)}:
            free, number = f"{number}-{name}", number + 1
        taken.add(shard_name(free))
        files.add(free)
        folders |= {*_folders(free)}
        result.append(Input(path, free))
    return result


def _folders(name: str) -> Iterator[str]:
    """The folders that a file of this name lies in."""
    return (name[:at] for at, sign in enumerate(name) if sign == "/")


def share(files: Sequence[Input], number: int, of: int) -> list[Input]:
    """Every n-th file, for a machine that does its share.

    Args:
        number: which share, from 0.
        of: how many shares there are.
    """
    return list(files[number::of])
