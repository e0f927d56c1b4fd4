"""`optout harvest`: fetch and keep the signals of many origins, with their dates."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from optout.acquisition.client import Slots, open_fetcher
from optout.acquisition.fetcher import Limits
from optout.acquisition.harvest import Harvest, Pace, Tally
from optout.acquisition.history import Store
from optout.acquisition.visit import Patience, Visitor
from optout.cli import options
from optout.cli.exit_codes import DONE, NO, USAGE
from optout.cli.verdicts import printable
from optout.engine import required_paths
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from optout.acquisition.history import Capture, OriginState
    from optout.acquisition.origin_list import BadLine
    from optout.policy import Policy

_LISTED_FAULTS = 50
_PUT_AT_ONCE = 2_000
_PLAIN_SECONDS = 10.0


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "harvest",
        help="fetch and keep the signals of many origins",
        description="Fetch robots.txt, tdmrep.json and the other signal files of many origins and keep them with their "
        "dates, or bring in what others have captured. Running it again goes on where it stopped. The exit code is 2 "
        "where a line or a file could not be used; all others were.",
    )
    parser.add_argument("origins", nargs="?", metavar="ORIGINS.txt", help="hosts, origins or URLs, one a line, or -")
    parser.add_argument("--store", required=True, metavar="DIR", help="where the dated states are kept")
    parser.add_argument(
        "--import",
        dest="imports",
        nargs="+",
        metavar="FILE",
        help="bring in WARC and Parquet files, or folders of them",
    )
    parser.add_argument("--show", metavar="ORIGIN", help="list what an origin said when")
    parser.add_argument(
        "--refresh", action="store_true", help="visit every origin again, however young its signals are"
    )
    parser.add_argument(
        "--max-age", type=float, metavar="HOURS", help="visit again what is older (default: what the policy says)"
    )
    parser.add_argument("--concurrency", type=_count, default=500, metavar="N", help="visits at a time (%(default)s)")
    parser.add_argument(
        "--per-domain", type=_count, default=2, metavar="N", help="of one registrable domain (default: %(default)s)"
    )
    parser.add_argument(
        "--per-address", type=_count, default=16, metavar="N", help="requests to one address (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="per file (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="also connect to loopback and private addresses (for tests)"
    )
    options.add_policy(parser)
    options.add_identity(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(text)
    return int(text)


def run(arguments: Namespace) -> int:
    """Show, import, harvest, or import and then harvest."""
    if arguments.show is not None:
        return _show(arguments)
    if arguments.origins is None and not arguments.imports:
        raise UnreadableInput("nothing to do", mend="name a list of origins, --import FILE, or --show ORIGIN")
    policy = options.policy(arguments)
    codes = [_import(arguments, policy)] if arguments.imports else []
    codes += [_harvest(arguments, policy)] if arguments.origins is not None else []
    return max(codes)


# Harvesting.


def _harvest(arguments: Namespace, policy: Policy) -> int:
    with _list(arguments.origins) as lines, Store.open(Path(arguments.store), create=True) as store:
        total = sum(1 for line in lines if line.strip())
        lines.seek(0)
        with _Progress("harvested", "origins", total, quiet=arguments.quiet) as progress:
            faults = _Faults()
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                tally = runner.run(_run(arguments, policy, store, lines, progress, faults))
    faults.close()
    _print_tally(tally, arguments)
    return USAGE if tally.bad else DONE


async def _run(
    arguments: Namespace, policy: Policy, store: Store, lines: BinaryIO, progress: _Progress, faults: _Faults
) -> Tally:
    # One byte more than is read shows the reader that there was more.
    limits = Limits(arguments.timeout, policy.robots_limit + 1, allow_private=arguments.allow_private)
    pace = Pace(arguments.concurrency, arguments.per_domain)
    hours = 0.0 if arguments.refresh else policy.max_age_hours if arguments.max_age is None else arguments.max_age
    since = datetime.now(UTC) - timedelta(hours=hours)
    async with open_fetcher(options.identity(arguments), limits, Slots(arguments.per_address)) as fetcher:
        harvest = Harvest(store, Visitor(policy, fetcher, Patience()), required_paths(policy), pace, since)

        def tell(tally: Tally) -> None:
            progress.show(tally.targets + tally.bad, f"{tally.origins['unreachable']:,} unreachable")

        def complain(bad: BadLine) -> None:
            faults.add(f"{printable(arguments.origins)}: line {bad.number}: {bad.why}")

        return await harvest.run(lines, tell, complain)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _list(source: str) -> Iterator[BinaryIO]:
    """The list; a pipe is taken down first, because waiting for it would hold up the visits."""
    try:
        with open(0 if source == "-" else source, "rb", closefd=source != "-") as file:
            if file.seekable():
                yield file
                return
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(file, copy)
                copy.seek(0)
                yield copy
    except OSError as error:
        raise UnreadableInput(f"{source}: {error.strerror}", mend="name a readable file, or -") from error


def _print_tally(tally: Tally, arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps({"store": arguments.store, "harvested": tally.figures()}))
        return
    table = _table("harvested", "count")
    rows = {
        "lines": tally.targets + tally.bad,
        "  in the store already, or repeated": tally.fresh,
        "  no origin": tally.bad,
        "origins reached": tally.origins["reached"],
        "origins unreachable": tally.origins["unreachable"],
        **{f"files {name}": count for name, count in sorted(tally.files.items())},
        **{f"  {name}": count for name, count in tally.errors.most_common()},
        "documents pointed to": tally.documents,
        "octets": tally.octets,
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    options.console().print(table)


# Importing.


def _import(arguments: Namespace, policy: Policy) -> int:
    from optout.acquisition import imports

    counts: Counter[str] = Counter()
    faults = _Faults()
    paths = [Path(name) for name in arguments.imports]
    with (
        Store.open(Path(arguments.store), create=True) as store,
        _Progress("imported", "captures", None, quiet=arguments.quiet) as progress,
    ):
        waiting: list[Any] = []
        for found in imports.read(paths, required_paths(policy)):
            if isinstance(found, imports.Fault):
                counts["faults"] += 1
                faults.add(printable(str(found), 1_000))
                continue
            waiting += found
            counts["captures"] += len(found)
            if len(waiting) >= _PUT_AT_ONCE:
                store.put(waiting)
                waiting.clear()
                progress.show(counts["captures"], f"{counts['faults']:,} faults")
        store.put(waiting)
        counts["redirects followed"] = store.follow_redirects()
    faults.close()
    if arguments.json:
        print(json.dumps({"store": arguments.store, "imported": dict(counts)}))
    else:
        table = _table("imported", "count")
        for name in ("captures", "redirects followed", "faults"):
            table.add_row(name, f"{counts[name]:,}")
        options.console().print(table)
    return USAGE if counts["faults"] else DONE


# Showing.


def _show(arguments: Namespace) -> int:
    from optout.acquisition.origin_list import target

    with Store.open(Path(arguments.store)) as store:
        found = [origin.text for origin in target(arguments.show).origins if store.history(origin.text)]
        for origin in found:
            _show_origin(origin, store, arguments)
    if not found:
        print(f"optout harvest: the store knows nothing about {printable(arguments.show)}", file=sys.stderr)
    return DONE if found else NO


def _show_origin(origin: str, store: Store, arguments: Namespace) -> None:
    captures = {(capture.role, capture.url, capture.fetched_at): capture for capture in store.history(origin)}
    states = store.states(origin)
    listed = [_dated(state, captures) for state in states]
    changes = [list(listed[0]), *(_changed(one, two) for one, two in pairwise(listed))]
    if arguments.json:
        for state, files, changed in zip(states, listed, changes, strict=True):
            print(json.dumps(_state_json(origin, state, files, changed)))
        return
    table = _table(origin, "file that changed", "answer", "SHA-256 of the body")
    for state, files, changed in zip(states, listed, changes, strict=True):
        when = f"{state.captured_at:%Y-%m-%d %H:%M:%S}Z"
        for name in changed:
            table.add_row(when, *_cells(name, files[name]))
            when = ""
        if not changed:
            table.add_row(when, "nothing changed", "", "")
    options.console().print(table)


def _dated(state: OriginState, captures: dict[Any, Capture]) -> dict[str, Capture]:
    """The captures of a state by what people call the file."""
    found = (captures[exchange.role, exchange.url, exchange.fetched_at] for exchange in state.exchanges)
    return {capture.role if capture.role.startswith("/") else capture.url: capture for capture in found}


def _changed(before: dict[str, Capture], after: dict[str, Capture]) -> list[str]:
    """The files that are not as they were."""
    return [name for name, capture in after.items() if name not in before or _said(before[name]) != _said(capture)]


def _said(capture: Capture) -> tuple[object, ...]:
    return capture.status, capture.error, capture.digest, capture.redirects


def _cells(name: str, capture: Capture) -> tuple[str, str, str]:
    answer = capture.error or str(capture.status)
    return printable(name), answer, capture.digest[:16] if capture.status and capture.status < 300 else ""


def _state_json(origin: str, state: OriginState, files: dict[str, Capture], changed: list[str]) -> dict[str, Any]:
    return {
        "origin": origin,
        "captured_at": state.captured_at.isoformat(),
        "until": None if state.next_at is None else state.next_at.isoformat(),
        "content_key": state.content_key,
        "changed": changed,
        "files": [
            {
                "file": name,
                "url": capture.url,
                "fetched_at": capture.fetched_at.isoformat(),
                "status": capture.status,
                "error": capture.error,
                "sha256": capture.digest,
                "redirects": capture.redirects,
                "truncated": capture.truncated,
            }
            for name, capture in files.items()
        ],
    }


# What people see on the way.


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    return table


class _Faults:
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


class _Progress:
    """Progress on stderr: a live bar on a terminal, a line now and then otherwise, nothing when quiet."""

    def __init__(self, verb: str, noun: str, total: int | None, *, quiet: bool) -> None:
        console = options.error_console()
        self._verb, self._noun, self._total = verb, noun, total
        self._begun = self._told = datetime.now(UTC)
        self._plain = not quiet and not console.is_terminal
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

    def show(self, done: int, more: str) -> None:
        """So much is done."""
        now = datetime.now(UTC)
        rate = max(done, 1) / max((now - self._begun).total_seconds(), 0.001)
        line = f"{self._verb} {done:,} {self._noun}, {rate:,.0f} a second, {more}"
        self._live.update(self._task, completed=done, description=line)
        if self._plain and (now - self._told).total_seconds() > _PLAIN_SECONDS:
            self._told = now
            left = "" if not self._total else f", about {timedelta(seconds=round((self._total - done) / rate))} left"
            print(f"{line}{left}", file=sys.stderr)
