"""`optout demo`: the whole product on web sites that it starts itself, with no outside network."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from optout.cli import build_parser, main, options
from optout.cli.demo_origins import Origins
from optout.cli.exit_codes import DONE, NO
from optout.errors import UnreadableInput
from optout.urls import origin_of

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterable

    from rich.console import Console

    from crawler.report import Report, Tally

_MARK = ".optout-demo"
DOCUMENTS = (
    "copyright-policy",
    "public-summary",
    "training-summary",
    "crawler-page",
    "gap-analysis",
    "evidence-report",
    "applicability",
)
_SIGNAL_FILES = ("/robots.txt", "/ai.txt", "/trust.txt", "/.well-known/")
_STAGES = {"request": "before the request", "headers": "after the headers", "page": "after the body"}


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "demo",
        help="the whole product on sites that it starts on this machine",
        description="Start small web sites on this machine, crawl them under the add-on, show what was fetched, what "
        "was not and why, verify the evidence, and show that one changed byte is found. Nothing leaves the machine.",
    )
    parser.add_argument("--out", type=Path, default=Path("optout-demo"), metavar="DIR", help="default: %(default)s")
    options.add_policy(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Run the demonstration; the exit code is 1 if any of its promises is broken."""
    console = options.console()
    _fresh(arguments.out)
    with Origins() as origins:
        _introduce(console, origins)
        report = _crawl(arguments, origins)
    held = _show_crawl(console, report, origins)
    held &= _show_order(console, origins)
    held &= _show_evidence(console, arguments.out)
    held &= _show_documents(console, arguments.out)
    console.print(
        f"\nEverything is in {arguments.out}/: pages, signals, evidence, documents and report.json.", markup=False
    )
    return DONE if held else NO


def _fresh(directory: Path) -> None:
    """Begin in an empty folder; only a folder that an earlier demonstration made is emptied.

    Raises:
        UnreadableInput: the folder holds something else.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
        raise UnreadableInput(
            f"{directory} is not empty and no earlier demonstration made it", mend="name another --out"
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / _MARK).write_text("made by optout demo\n", encoding="utf-8")


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def _introduce(console: Console, origins: Origins) -> None:
    _heading(console, f"1. {len(origins.hosts)} web sites are started on this machine")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("host", "site", "what it says"):
        table.add_column(column, overflow="fold")
    for host, site in origins.sites.items():
        table.add_row(host, site.title, site.wish)
    table.add_row("stopped.test", "The stopped server", "nobody answers there at all")
    console.print(table)


def _crawl(arguments: Namespace, origins: Origins) -> Report:
    """Crawl through the real add-on; the host names resolve to this machine for this process only."""
    from scrapy.resolver import dnscache

    from optout.cli import crawl

    options.error_console().print("\n[bold]2. They are crawled under the add-on[/bold]")
    for host in origins.hosts:
        dnscache[host] = "127.0.0.1"
    quiet = ["--quiet"] if arguments.quiet else []
    asked = ["crawl", *origins.seeds, "--out", str(arguments.out), "--policy", arguments.policy, *quiet]
    options_of_crawl = build_parser(["crawl"]).parse_args(asked)
    crawl.crawl(options_of_crawl)
    return crawl.read_report(options_of_crawl)


def _show_crawl(console: Console, found: Report, origins: Origins) -> bool:
    """What was kept and what was not, per site; true if nothing reserved was kept and something open was."""
    _heading(console, "3. What was kept, what was not, and why")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("host", "kept", "not kept", "decided", "why"):
        table.add_column(column, overflow="fold")
    for host in origins.hosts:
        _rows(table, host, _tally(found, host))
    console.print(table)
    return found.total.kept > 0 and bool(found.total.refused)


def _tally(found: Report, host: str) -> Tally | None:
    return next((tally for origin, tally in found.origins.items() if origin_of(origin).host == host), None)


def _rows(table: Table, host: str, tally: Tally | None) -> None:
    if tally is None:
        table.add_row(host, "0", "", "", "nothing was asked")
        return
    refusals: Iterable[tuple[tuple[str, str, str], int]] = tally.refused.most_common()
    first = True
    for (stage, effect, reason), count in refusals:
        why = Text(f"{effect}: {reason}", style="red" if effect == "deny" else "yellow")
        table.add_row(host if first else "", str(tally.kept) if first else "", str(count), _STAGES[stage], why)
        first = False
    if first:
        table.add_row(host, str(tally.kept), "0", "", Text("nothing is reserved", style="green"))


def _show_order(console: Console, origins: Origins) -> bool:
    """Ask the servers' own record whether a page was ever requested before robots.txt of its host."""
    seen: set[str] = set()
    early = []
    for host, path in origins.requests:
        if path == "/robots.txt":
            seen.add(host)
        elif host not in seen and not path.startswith(_SIGNAL_FILES):
            early.append((host, path))
    pages = sum(not path.startswith(_SIGNAL_FILES) for _, path in origins.requests)
    _heading(console, "4. The servers' own record of requests")
    console.print(
        f"{len(origins.requests)} requests, {pages} of them for pages; "
        f"{len(early)} pages were asked for before their site's signals"
    )
    return not early


def _show_evidence(console: Console, directory: Path) -> bool:
    """Verify the log, then a copy with one byte flipped; true if the first holds and the second does not."""
    _heading(console, "5. The evidence is verified")
    whole = main(["evidence", "verify", str(directory / "evidence")])
    _heading(console, "6. One byte is flipped in a copy, and the copy is verified")
    copy = directory / "evidence-tampered"
    shutil.copytree(directory / "evidence", copy)
    place = flip_one_byte(copy)
    console.print(f"flipped: {place}", markup=False)
    tampered = main(["evidence", "verify", str(copy)])
    return whole == DONE and tampered == NO


def _show_documents(console: Console, directory: Path) -> bool:
    """Make the documents that the law asks for from the crawl's own evidence, and say where they are."""
    _heading(console, "7. The compliance officer's documents are made from this evidence")
    folder = directory / "documents"
    folder.mkdir()
    facts = folder / "provider.toml"
    facts.write_bytes(files("optout.cli").joinpath("data", "demo_provider.toml").read_bytes())
    made = [_made(name, directory, facts) for name in DOCUMENTS]
    for name, held in zip(DOCUMENTS, made, strict=True):
        console.print(f"  {folder / name}.html" + ("" if held else ": not made"), markup=False)
    return all(made)


def _made(name: str, directory: Path, facts: Path) -> bool:
    asked = ["--facts", str(facts), "--evidence", str(directory), "--out", str(facts.with_name(f"{name}.html"))]
    return main(["document", name, *asked]) == DONE


def flip_one_byte(directory: Path) -> str:
    """Flip one bit in the middle of the largest file of decisions, and say where."""
    victim = max(directory.rglob("*.parquet"), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    victim.write_bytes(bytes(data))
    return f"byte {middle} of {victim.relative_to(directory)}"
