"""What `optout audit` tells people on the way: how much of the data is done, and how long the rest may take."""

from __future__ import annotations

import sys
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from optout.cli import options
from optout.cli.pace import Pace, left

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optout.audit.job import Input
    from optout.audit.shard import Manifest

_LOOK_SECONDS = 0.5
_PLAIN_SECONDS = 30.0


def _size(item: Input) -> int:
    """The bytes of an input; of one that has vanished, none."""
    from optout.audit.storage import state_of

    return sum(state_of(item.path)[:1]) if item.part is None else item.part.length


class Bar:
    """Progress on stderr: a live bar on a terminal, plain lines otherwise, nothing when quiet.

    It is counted in bytes: of files that are done, and of those that processes of this machine are reading.
    """

    def __init__(self, files: Sequence[Input], *, quiet: bool) -> None:
        """Begin with nothing done."""
        console = options.error_console()
        self._sizes = {item.name: _size(item) for item in files}
        self._total, self._files, self._rows = sum(self._sizes.values()), 0, 0
        self._done = self._shown = 0
        self._told = monotonic()
        self._pace = Pace()
        self._plain = not quiet and not console.is_terminal
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task(f"auditing {len(files)} files", total=self._total)
        self._end = Event()
        self._looking = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._looking.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._looking.join()
        self._live.stop()

    def step(self, manifest: Manifest) -> None:
        """One more file is done."""
        self._files += 1
        self._rows += manifest.rows
        self._done += self._sizes.get(manifest.file, 0)
        self._show()
        if self._plain:
            self._told = monotonic()
            print(f"audited {self._text()}", file=sys.stderr)

    def _look(self) -> None:
        """Show now and then how far the reading is, though no file may be done for hours."""
        while not self._end.wait(_LOOK_SECONDS):
            self._show()
            pace = self._pace.at(self._shown)
            if self._plain and monotonic() - self._told > _PLAIN_SECONDS:
                self._told = monotonic()
                print(f"audited {self._text()}{left(self._shown, self._total, pace)}", file=sys.stderr)

    def _show(self) -> None:
        from optout.audit.reading import READING

        # What is done was under way a moment ago: for that moment it would seem to be less.
        self._shown = max(self._shown, min(self._done + READING.octets, self._total))
        self._live.update(self._task, completed=self._shown, description=self._text())

    def _text(self) -> str:
        return f"{self._files} of {len(self._sizes)} files, {self._rows:,} rows"
