"""`optout harvest`: fetch and keep the signals of many origins, with their dates."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from optout.acquisition import origin_list
from optout.acquisition.client import Slots, open_fetcher
from optout.acquisition.fetcher import Limits
from optout.acquisition.harvest import Ears, Harvest, Pace, Tally
from optout.acquisition.stores import open_store
from optout.acquisition.visit import Patience, Visitor
from optout.cli import options
from optout.cli.exit_codes import DONE, USAGE
from optout.cli.harvest_import import bring_in
from optout.cli.harvest_progress import Faults, Track, table
from optout.cli.harvest_show import show
from optout.cli.verdicts import printable
from optout.engine import required_paths
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from optout.acquisition.captures import StoreError
    from optout.acquisition.history import Store
    from optout.acquisition.origin_list import BadLine
    from optout.policy import Policy

_SNIFFED = 16


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "harvest",
        help="fetch and keep the signals of many origins",
        description="Fetch robots.txt, tdmrep.json and the other signal files of many origins and keep them with their "
        "dates, or bring in what others have captured. Running it again goes on where it stopped. The exit code is 2 "
        "where a line or a file could not be used; all others were.",
    )
    parser.add_argument(
        "origins",
        nargs="?",
        metavar="ORIGINS.txt",
        help="hosts, origins or URLs, one a line, or -; may lie at a URL such as s3://...",
    )
    parser.add_argument(
        "--store",
        required=True,
        metavar="DIR|URL",
        help="where the dated states are kept: a folder, or redis://... or postgresql://... for several machines",
    )
    parser.add_argument(
        "--import",
        dest="imports",
        nargs="+",
        metavar="FILE",
        help="bring in WARC and Parquet files, saved files (HOST/robots.txt), folders of these, or another store",
    )
    parser.add_argument("--show", metavar="ORIGIN", help="list what an origin said when")
    parser.add_argument(
        "--refresh", action="store_true", help="visit every origin, and read every file of an import, once more"
    )
    parser.add_argument(
        "--max-age",
        type=options.hours,
        metavar="HOURS",
        help="visit again what is older (default: what the policy says)",
    )
    count = options.number
    parser.add_argument("--concurrency", type=count, default=500, metavar="N", help="visits at a time (%(default)s)")
    parser.add_argument(
        "--per-domain", type=count, default=2, metavar="N", help="of one registrable domain (default: %(default)s)"
    )
    parser.add_argument(
        "--per-address", type=count, default=16, metavar="N", help="requests to one address (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=options.seconds, default=20.0, metavar="SECONDS", help="per file (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="also connect to loopback and private addresses (for tests)"
    )
    options.add_policy(parser)
    options.add_identity(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Show, import, harvest, or import and then harvest."""
    if arguments.show is not None:
        return show(arguments)
    if arguments.origins is None and not arguments.imports:
        raise UnreadableInput("nothing to do", mend="name a list of origins, --import FILE, or --show ORIGIN")
    policy = options.policy(arguments)
    codes = [bring_in(arguments, policy)] if arguments.imports else []
    codes += [_harvest(arguments, policy)] if arguments.origins is not None else []
    return max(codes)


# Harvesting.


def _harvest(arguments: Namespace, policy: Policy) -> int:
    faults = Faults()
    with _list(arguments.origins) as lines, open_store(arguments.store, create=True) as store:
        total = _count(lines, arguments.origins)
        with (
            Track("harvested", "origins", total, quiet=arguments.quiet) as progress,
            asyncio.Runner(loop_factory=_loop_factory()) as runner,
        ):
            tally = runner.run(_run(arguments, policy, store, lines, _ears(arguments, progress, faults)))
        faults.close()
        _print_tally(tally, store, arguments)
    return USAGE if tally.bad else DONE


def _count(lines: BinaryIO, source: str) -> int:
    """How many lines of a list mean something."""
    begin = lines.read(_SNIFFED)
    lines.seek(0)
    if found := origin_list.unreadable(begin):
        raise UnreadableInput(f"{source}: is {found[0]}", mend=found[1])
    total = origin_list.count(lines)
    lines.seek(0)
    return total


def _ears(arguments: Namespace, progress: Track, faults: Faults) -> Ears:
    warned: list[StoreError] = []

    def tell(tally: Tally) -> None:
        progress.show(tally.targets + tally.bad, f"{tally.origins['unreachable']:,} unreachable")

    def complain(bad: BadLine) -> None:
        faults.add(f"{printable(arguments.origins)}: line {bad.number}: {bad.why}")

    def warn(fault: StoreError) -> None:
        if not warned:
            faults.add(f"{fault}; going on as long as what has been seen can wait")
        warned.append(fault)

    return Ears(tell, complain, warn)


async def _run(arguments: Namespace, policy: Policy, store: Store, lines: BinaryIO, ears: Ears) -> Tally:
    # One byte more than is read shows the reader that there was more.
    limits = Limits(arguments.timeout, policy.robots_limit + 1, allow_private=arguments.allow_private)
    pace = Pace(arguments.concurrency, arguments.per_domain)
    hours = 0.0 if arguments.refresh else policy.max_age_hours if arguments.max_age is None else arguments.max_age
    since = datetime.now(UTC) - timedelta(hours=hours)
    async with open_fetcher(options.identity(arguments), limits, Slots(arguments.per_address)) as fetcher:
        visitor = Visitor(policy, fetcher, Patience())
        return await Harvest(store, visitor, required_paths(policy), pace, since).run(lines, ears)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _list(source: str) -> Iterator[BinaryIO]:
    """The list; a pipe is taken down first, because waiting for it would hold up the visits."""
    from optout.audit.storage import location, near

    if source.lower().startswith(("http://", "https://")):
        mend = f"write it into a file, or: echo {source} | optout harvest -"
        raise UnreadableInput(f"{source}: is no list", mend=mend)
    try:
        with (
            near(location(source)) as path,
            open(0 if source == "-" else path, "rb", closefd=source != "-") as file,
        ):
            if file.seekable():
                yield file
                return
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(file, copy)
                copy.seek(0)
                yield copy
    except OSError as error:
        raise UnreadableInput(f"{source}: {error.strerror}", mend="name a readable file, or -") from error


def _print_tally(tally: Tally, store: Store, arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps({"store": store.backend.name, "harvested": tally.figures()}))
        return
    listing = table("harvested", "count")
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
        listing.add_row(name, f"{count:,}")
    options.console().print(listing)
