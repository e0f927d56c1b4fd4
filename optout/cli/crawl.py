"""`optout crawl`: keep the pages of some sites that may be kept, with the evidence of every decision."""

from __future__ import annotations

import gc
import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from optout.cli import options
from optout.cli.exit_codes import DONE, INTERRUPTED, UNDECIDED
from optout.cli.verdicts import printable
from optout.errors import EvidenceError, OptoutError, UnreadableInput

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Mapping

    from scrapy.crawler import Crawler
    from scrapy.settings import Settings
    from twisted.python.failure import Failure

    from crawler.report import Report

_LOG = "crawl.log"
_EVERY_SECONDS = 0.5
_PLAIN_EVERY_SECONDS = 10.0
_ORIGINS_SHOWN = 40
_WHEN = {"request": "before the request", "headers": "after the headers", "page": "after the body"}


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "crawl",
        help="crawl sites, deciding before every fetch",
        description="Follow links within the sites of the seeds. No page is requested before its origin's signals have "
        "been decided on. DIR gets pages/ (WARC of what was kept), signals/ (WARC of every signal file), evidence/ "
        "(the log), report.json and crawl.log. The same command goes on where it was interrupted.",
    )
    parser.add_argument("seeds", nargs="+", metavar="SEED", help="a URL or host to begin with")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where everything is written")
    parser.add_argument("--max-pages", metavar="N", help="stop when N pages have been kept")
    parser.add_argument("--depth", type=int, default=0, metavar="N", help="follow links N deep (default: no limit)")
    parser.add_argument(
        "--lists", type=Path, metavar="DIR", help="look into these lists (optout lists) before fetching"
    )
    parser.add_argument(
        "--store",
        action="append",
        metavar="DIR|URL",
        help="share what is seen of origins: a folder, redis://... or postgresql://...; may be repeated, nearest first",
    )
    _add_pace(parser)
    options.add_policy(parser)
    options.add_identity(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def _add_pace(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="between two requests to a host, at least (default: paced by the host's own latency)",
    )


def run(arguments: Namespace) -> int:
    """Crawl, and report."""
    options.policy(arguments)
    options.identity(arguments)
    _hold_to_bounds(arguments)
    # A full disk takes no log lines either, and `logging` would print a traceback for each.
    logging.raiseExceptions = False
    try:
        reason = crawl(arguments)
    except OSError as fault:
        message = f"{arguments.out}: {fault.strerror or fault}"
        raise UnreadableInput(message, mend="free or repair the disk, or name another folder") from fault
    return _finish(arguments, reason)


def _hold_to_bounds(arguments: Namespace) -> None:
    """Refuse numbers that mean nothing, before anything is written.

    Raises:
        UnreadableInput: a depth or a delay is none.
    """
    if arguments.depth < 0:
        raise UnreadableInput(f"--depth {arguments.depth}", mend="give a whole number of at least 1, or 0 for no limit")
    if not 0 <= arguments.delay < math.inf:
        raise UnreadableInput(f"--delay {arguments.delay}", mend="give seconds, 0 or more")


def _settings(arguments: Namespace) -> Settings:
    from scrapy.settings import Settings

    settings = Settings()
    settings.setmodule("crawler.settings", priority="project")
    identity = options.identity(arguments)
    chosen = {
        "OPTOUT_POLICY": arguments.policy,
        "OPTOUT_TOKEN": identity.token,
        "OPTOUT_DIR": str(arguments.out),
        "OPTOUT_LISTS": str(arguments.lists) if arguments.lists else None,
        "OPTOUT_STORE": arguments.store,
        "USER_AGENT": identity.header,
        "JOBDIR": str(arguments.out / "job"),
        "DEPTH_LIMIT": arguments.depth,
        "DOWNLOAD_DELAY": arguments.delay,
        "LOG_FILE": str(arguments.out / _LOG),
    }
    settings.setdict(chosen, priority="cmdline")
    if identity.contact:
        settings["DEFAULT_REQUEST_HEADERS"].set("From", identity.contact, "cmdline")
    return settings


def crawl(arguments: Namespace) -> str:
    """Run the spider and give the reason for which it ended.

    Raises:
        OptoutError: it could not begin, or its evidence could not be written.
    """
    from scrapy import signals
    from scrapy.crawler import CrawlerProcess

    from crawler.guard import UNWRITABLE
    from crawler.spiders.pages import PagesSpider

    # What is wrong with the arguments must show before anything is written.
    PagesSpider(seeds=arguments.seeds, max_pages=arguments.max_pages)
    arguments.out.mkdir(parents=True, exist_ok=True)
    process = CrawlerProcess(_settings(arguments))
    crawler = process.create_crawler(PagesSpider)
    crawler.signals.connect(_spare_collector, signal=signals.spider_opened)
    failures: list[Failure] = []
    process.crawl(crawler, seeds=arguments.seeds, max_pages=arguments.max_pages).addErrback(failures.append)
    if not arguments.quiet:
        _Progress(crawler)
    process.start()
    if failures:
        fault = failures[0].value
        raise fault if isinstance(fault, OptoutError) else OptoutError(f"the crawl failed: {fault!r}")
    reason = str(crawler.stats.get_value("finish_reason"))
    if reason == UNWRITABLE:
        raise EvidenceError(
            "the crawl was stopped", place=f"{arguments.out / _LOG} says why", mend="free or repair the disk"
        )
    return reason


def _spare_collector() -> None:
    """What is imported now stays; walking it at every full collection would take an eighth of the crawl's time."""
    gc.freeze()


class _Progress:
    """Tells on stderr how far the crawl is: a live bar on a terminal, now and then a plain line elsewhere."""

    def __init__(self, crawler: Crawler) -> None:
        from scrapy import signals

        self._crawler = crawler
        self._console = options.error_console()
        columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True) if self._console.is_terminal else None
        self._told_at = time.monotonic()
        crawler.signals.connect(self._begin, signal=signals.spider_opened, weak=False)
        crawler.signals.connect(self._end, signal=signals.spider_closed, weak=False)

    def _begin(self) -> None:
        from scrapy.utils.asyncio import create_looping_call

        self._calls = create_looping_call(self._tell)
        self._calls.start(_EVERY_SECONDS, now=False)
        if self._bar is not None:
            self._task = self._bar.add_task("beginning", total=None)
            self._bar.start()

    def _end(self) -> None:
        self._calls.stop()
        if self._bar is not None:
            self._bar.stop()

    def _tell(self) -> None:
        done, waiting = _done(self._crawler), _waiting(self._crawler)
        line = progress_line(self._crawler.stats.get_stats(), waiting)
        if self._bar is not None:
            self._bar.update(self._task, description=line, completed=done, total=done + waiting)
        elif time.monotonic() - self._told_at >= _PLAIN_EVERY_SECONDS:
            self._told_at = time.monotonic()
            self._console.print(line, markup=False)


def _done(crawler: Crawler) -> int:
    return int(crawler.stats.get_value("optout/pages/kept", 0) + crawler.stats.get_value("optout/effect/deny", 0))


def _waiting(crawler: Crawler) -> int:
    from crawler.frontier import Frontier

    scheduler = crawler.engine.scheduler
    return scheduler.waiting() if isinstance(scheduler, Frontier) else 0


def progress_line(stats: Mapping[str, Any], waiting: int) -> str:
    """One line about a running crawl, from Scrapy's statistics."""
    origins = stats.get("optout/origins/consulted", 0) + stats.get("optout/origins/unreachable", 0)
    refused = stats.get("optout/effect/deny", 0) + stats.get("optout/effect/review", 0)
    return (
        f"{stats.get('optout/pages/kept', 0)} kept, {refused} refused, {waiting} waiting, {origins} origins looked at"
    )


def read_report(arguments: Namespace) -> Report:
    """What the crawl has done until now, by its evidence; the crawl itself wrote the same to `report.json`."""
    from crawler import report
    from crawler.spiders.pages import PagesSpider

    return report.read(arguments.out, PagesSpider.name)


def _finish(arguments: Namespace, reason: str) -> int:
    """Show the report, and say how the crawl ended."""
    from crawler.report import COMPLETE, REPORT

    if arguments.json:
        print(json.dumps(json.loads((arguments.out / REPORT).read_bytes()), ensure_ascii=False))
    else:
        _print(read_report(arguments), arguments.out)
    if reason in COMPLETE:
        return DONE
    print(f"optout crawl: ended early ({reason}); run it again to go on", file=sys.stderr)
    return INTERRUPTED if reason == "shutdown" else UNDECIDED


def _print(found: Report, directory: Path) -> None:
    console = options.console()
    total = found.total
    console.print(
        f"{total.kept} pages kept of {total.asked} URLs decided on; everything is in {directory}", markup=False
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("origin", "kept", "refused", "when", "why"):
        table.add_column(column, overflow="fold")
    for origin, tally in sorted(found.origins.items(), key=lambda item: -item[1].asked)[:_ORIGINS_SHOWN]:
        table.add_row(Text(printable(origin)), str(tally.kept), "", "", "")
        for (stage, effect, reason), count in tally.refused.most_common():
            table.add_row("", "", str(count), _WHEN[stage], Text(f"{effect}: {printable(reason)}"))
    console.print(table)
    if len(found.origins) > _ORIGINS_SHOWN:
        console.print(f"and {len(found.origins) - _ORIGINS_SHOWN} more origins in report.json", markup=False)
