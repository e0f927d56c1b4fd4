"""What `optout harvest` tells people on the way: progress, what could not be used, and tables."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Self

from rich import box
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from optout.cli import options
from optout.cli.pace import Pace, left

_LISTED_FAULTS = 50
_PLAIN_SECONDS = 10.0


def table(*columns: str) -> Table:
    """An empty table."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    return made


class Faults:
    """Tells of what could not be used, up to a number that somebody would read."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, line: str) -> None:
        """Tell of one."""
        self._count += 1
        if self._count <= _LISTED_FAULTS:
            print(f"optout harvest: {line}", file=sys.stderr)

    def close(self) -> None:
        """Tell how many were not listed."""
        if self._count > _LISTED_FAULTS:
            print(f"optout harvest: and {self._count - _LISTED_FAULTS:,} more", file=sys.stderr)


class Track:
    """Progress on stderr: a live bar on a terminal, a line now and then otherwise, nothing when quiet."""

    def __init__(self, verb: str, noun: str, total: int | None, *, quiet: bool) -> None:
        """Begin; `total` is in the unit of `at` in `show`."""
        console = options.error_console()
        self._verb, self._noun, self._total = verb, noun, total
        self._plain = not quiet and not console.is_terminal
        self._told = monotonic()
        self._pace, self._way = Pace(), Pace()
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task(verb, total=total)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, count: int, more: str, at: int | None = None) -> None:
        """So much is done.

        Args:
            count: of what is counted.
            more: what else to say.
            at: how far that is on the way to the total, if the total is not in the same unit.
        """
        place = count if at is None else at
        pace, way = self._pace.at(count), self._way.at(place)
        line = f"{self._verb} {count:,} {self._noun}, {pace:,.0f} a second, {more}"
        self._live.update(self._task, completed=place, description=line)
        if self._plain and monotonic() - self._told > _PLAIN_SECONDS:
            self._told = monotonic()
            print(f"{line}{left(place, self._total, way)}", file=sys.stderr)
