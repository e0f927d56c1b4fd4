"""`optout inspect`: what do files carry?"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from optout.cli import options
from optout.cli.exit_codes import DONE, UNDECIDED, USAGE
from optout.cli.file_answers import Setup, answers
from optout.cli.verdicts import printable
from optout.errors import UnreadableInput
from optout.model import Purpose, State

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import TextIO

    from optout.cli.file_answers import Answer

_STYLES = {State.RESERVED: "red", State.PERMITTED: "green", State.UNSPECIFIED: "dim"}
_SHORT = {State.RESERVED: "reserved", State.PERMITTED: "permitted", State.UNSPECIFIED: "-"}
_PLAIN_EVERY = 10_000


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="what do files carry?",
        description="Read the rights metadata inside files: IPTC/PLUS and TDMRep in XMP, PDF and EPUB, C2PA manifests, "
        "ONIX, NewsML, Readium manifests, HTML. Nothing is fetched. The exit code is 3 where metadata exists that "
        "could not be read, and 2 where a file could not be opened.",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="a file, or a folder with all that is in it")
    parser.add_argument(
        "--out", metavar="FILE", help="append JSON lines here; files that have a line are not read again"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--declarations",
        metavar="FILE",
        default="",
        help="TDM·AI declarations, one JSON object a line, to be matched by ISCC (needs the extra iscc)",
    )
    options.add_policy(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Inspect files and folders."""
    names = list(_files(arguments.paths))
    done = _answered(arguments.out) if arguments.out else set()
    todo = [name for name in names if name not in done]
    tally: Counter[str] = Counter()
    with _sink(arguments.out) as sink, _Bar(len(todo), quiet=arguments.quiet) as bar:
        table = _table() if sink is None and not arguments.json else None
        setup = Setup(arguments.policy, datetime.now(UTC).date(), arguments.declarations)
        for answer in answers(todo, setup, arguments.workers):
            bar.step()
            tally.update(_counts(answer))
            if "error" in answer:
                print(f"optout inspect: {answer['error']}", file=sys.stderr)
            if table is None:
                print(json.dumps(answer), file=sink or sys.stdout)
            elif _is_worth_a_row(answer, len(todo)):
                _add_row(table, answer)
    if table is not None:
        options.console().print(table)
        options.console().print(_summary(tally))
    return USAGE if tally["error"] else UNDECIDED if tally["unreadable"] else DONE


def _files(paths: Iterable[str]) -> Iterator[str]:
    """The files that the arguments name, folders entered in order of name; links to folders are not followed."""
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        for folder, folders, files in os.walk(path):
            folders.sort()
            yield from (str(Path(folder) / name) for name in sorted(files) if (Path(folder) / name).is_file())


def _answered(out: str) -> set[str]:
    """The files that an earlier run has answered; a last line that was cut short is taken off."""
    try:
        data = Path(out).read_bytes()
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise UnreadableInput(f"{out}: {error.strerror}", mend="name a file for --out") from error
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        Path(out).write_bytes(whole)
    try:
        return {json.loads(line)["file"] for line in whole.splitlines()}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableInput(f"{out} holds something else than answers", mend="name another file for --out") from error


def _sink(out: str | None) -> AbstractContextManager[TextIO | None]:
    if out is None:
        return nullcontext()
    try:
        return Path(out).open("a", encoding="utf-8")
    except OSError as error:
        raise UnreadableInput(f"{out}: {error.strerror}", mend="name a file for --out") from error


def _counts(answer: Answer) -> list[str]:
    """Under which headings of the summary a file counts."""
    if "error" in answer:
        return ["files", "error"]
    states = set(answer["states"].values())
    found = [str(state) for state in (State.RESERVED, State.PERMITTED) if state in states]
    return ["files", *found[:1], *(["unreadable"] if answer["unreadable"] else [])]


def _is_worth_a_row(answer: Answer, files: int) -> bool:
    """Of many files only those are listed that say something."""
    speaks = answer.get("signals") or answer.get("problems")
    return "error" not in answer and (files <= 50 or bool(speaks))


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold", ratio=1)
    for purpose in Purpose:
        table.add_column(purpose, no_wrap=True)
    return table


def _add_row(table: Table, answer: Answer) -> None:
    """A file's name and states; under the name what it is, what it says and what is wrong with it."""
    states = (Text(_SHORT[answer["states"][purpose]], style=_STYLES[answer["states"][purpose]]) for purpose in Purpose)
    said = dict.fromkeys(f"{signal['protocol']}: {signal['value']}" for signal in answer["signals"])
    problems = dict.fromkeys(f"problem: {problem['code']}" for problem in answer["problems"])
    cell = Text(printable(answer["file"], 1_000), style="bold")
    cell.append(f"\n{answer['media_type']}", style="not bold dim")
    for line in said:
        cell.append(f"\n  {printable(line)}", style="not bold")
    for line in problems:
        cell.append(f"\n  {printable(line)}", style="not bold yellow")
    table.add_row(cell, *states)


def _summary(tally: Counter[str]) -> str:
    parts = (f"{tally[name]:,} {name}" for name in ("reserved", "permitted", "unreadable") if tally[name])
    files = f"{tally['files']:,} file{'' if tally['files'] == 1 else 's'}"
    return f"{files}: {', '.join(parts) or 'nothing stated'}"


class _Bar:
    """Progress on stderr: a live bar on a terminal, plain lines otherwise, nothing when quiet."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        console = options.error_console()
        self._total, self._done = total, 0
        self._plain = not quiet and not console.is_terminal
        self._live = Progress(
            TextColumn("inspecting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task("inspecting", total=total)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def step(self) -> None:
        """One more file is answered."""
        self._done += 1
        self._live.advance(self._task)
        if self._plain and self._done % _PLAIN_EVERY == 0:
            print(f"inspected {self._done:,} of {self._total:,} files", file=sys.stderr)
