"""`optout lint`: what do a site's signals mean, what is wrong with them, and how is it mended?"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from optout.acquisition import policy_files
from optout.acquisition.client import open_fetcher
from optout.acquisition.fetcher import Limits
from optout.cli import lint_site, options
from optout.cli.exit_codes import DONE, NO, USAGE
from optout.cli.lint_findings import Finding, Kind, Look, Meaning, findings, meanings
from optout.cli.verdicts import place_json, printable
from optout.errors import OptoutError, UnreadableInput
from optout.model import Place, Purpose, State

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterator, Sequence

    from optout.cli.lint_site import Site
    from optout.policy import Policy

_LITERAL = "literal"
_KIND_STYLE = {
    Kind.MALFORMED: "bold red",
    Kind.CONTRADICTORY: "bold red",
    Kind.WITHOUT_EFFECT: "yellow",
    Kind.INCOMPLETE: "yellow",
    Kind.NOTE: "dim",
}
_STATE_STYLE = {State.RESERVED: "red", State.PERMITTED: "green", State.UNSPECIFIED: "dim"}
_BY_GOODWILL = "*"


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "lint",
        help="what do a site's signals mean, and what is wrong with them?",
        description="Tell a publisher what the signals of a site mean, per purpose and crawler, what in them is "
        "malformed, contradictory or without effect, and how to mend it. A target is a URL, a file (robots.txt, "
        "tdmrep.json, ai.txt, trust.txt, an RSL licence, an HTML page) or a folder of such files; files named "
        "together are read as one site. The exit code is 0 where nothing is wrong and 1 where something is.",
    )
    parser.add_argument("targets", nargs="+", metavar="URL|FILE|FOLDER", help="what to look at")
    parser.add_argument(
        "--allow-private", action="store_true", help="also connect to loopback and private addresses (for tests)"
    )
    parser.add_argument(
        "--timeout", type=options.seconds, default=Limits().seconds, metavar="SECONDS", help="per fetch"
    )
    options.add_policy(parser)
    options.add_identity(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Look at every target and tell what was found."""
    policy = options.policy(arguments)
    literal = policy_files.load(_LITERAL, as_of=datetime.now(UTC).date())
    code = DONE
    for site in _sites(arguments, policy):
        if isinstance(site, OptoutError):
            print(f"optout lint: {site}", file=sys.stderr)
            code = USAGE
            continue
        look = Look(site, policy, literal)
        found = findings(look)
        _show(arguments, site, meanings(look), found)
        if code == DONE and any(finding.kind is not Kind.NOTE for finding in found):
            code = NO
    return code


def _sites(arguments: Namespace, policy: Policy) -> Iterator[Site | OptoutError]:
    """The sites that the targets stand for; an error where one cannot be looked at."""
    loose = [Path(target) for target in arguments.targets if Path(target).is_file()]
    folders = [Path(target) for target in arguments.targets if Path(target).is_dir()]
    local = {str(path) for path in (*loose, *folders)}
    names = [target for target in arguments.targets if str(Path(target)) not in local]
    for name, paths in [(", ".join(map(str, loose)), loose)] * bool(loose) + [
        (str(path), lint_site.folder(path)) for path in folders
    ]:
        try:
            yield from _on_disk(name, paths, policy)
        except OptoutError as error:
            yield error
    yield from asyncio.run(_live(arguments, names, policy)) if names else ()


def _on_disk(name: str, paths: Sequence[Path], policy: Policy) -> list[Site]:
    if not paths:
        message = f"{name}: no file here that says anything about reservations"
        raise UnreadableInput(message, mend="name a folder with robots.txt, tdmrep.json, pages, …")
    return lint_site.from_files(name, paths, policy)


async def _live(arguments: Namespace, names: Sequence[str], policy: Policy) -> list[Site | OptoutError]:
    identity = options.identity(arguments)
    limits = Limits(seconds=arguments.timeout, allow_private=arguments.allow_private)
    found: list[Site | OptoutError] = []
    async with open_fetcher(identity, limits) as fetcher:
        for name in names:
            try:
                found.append(await lint_site.from_web(_url(name), policy, identity, fetcher))
            except OptoutError as error:
                found.append(error)
    return found


def _url(name: str) -> str:
    """What people type: a bare host means https, and a name with a slash or suffix of a file that is not there none."""
    if "://" in name:
        return name
    if Path(name).suffix in (".txt", ".json", ".xml", ".html", ".htm") or name.startswith((".", "/")):
        message = f"{name}: no such file"
        raise UnreadableInput(message, mend="name a URL, a readable file or a folder")
    return f"https://{name}"


# Showing it.


def _show(arguments: Namespace, site: Site, said: list[Meaning], found: list[Finding]) -> None:
    if arguments.json:
        print(json.dumps(_json(arguments, site, said, found), ensure_ascii=False))
        return
    console = options.console()
    console.print(Text(printable(site.name, 2_000), style="bold"))
    console.print(_meaning_table(said))
    if any(meaning.letter != meaning.cautious for meaning in said):
        console.print(f"{_BY_GOODWILL} not by the letter: only a crawler that follows the evident wish reads it so")
    if site.refused:
        console.print(f"The page was not looked at, because {arguments.token} may not fetch it.", markup=False)
    console.print(_findings_table(found) if found else "Nothing to mend.")


def _json(arguments: Namespace, site: Site, said: list[Meaning], found: list[Finding]) -> dict[str, Any]:
    return {
        "site": site.name,
        "url": site.url if site.live else None,
        "policy": arguments.policy,
        "page_refused": site.refused,
        "meaning": [
            {
                "agents": list(meaning.agents),
                "fetch": meaning.fetch,
                "by_letter": dict(meaning.letter),
                "cautiously": dict(meaning.cautious),
            }
            for meaning in said
        ],
        "findings": [
            {
                "kind": finding.kind,
                "code": finding.code,
                "place": place_json(finding.place),
                "says": finding.says,
                "mend": finding.mend,
            }
            for finding in found
        ],
    }


def _meaning_table(said: list[Meaning]) -> Table:
    table = Table(title="What it says", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("to", "fetch", *Purpose):
        table.add_column(column, overflow="fold")
    for meaning in said:
        fetch = {True: "allowed", False: "refused", None: "-"}[meaning.fetch]
        letter, cautious = dict(meaning.letter), dict(meaning.cautious)
        cells = [_state(letter[purpose], cautious[purpose]) for purpose in Purpose]
        table.add_row(", ".join(meaning.agents), fetch, *cells)
    return table


def _state(letter: State, cautious: State) -> Text:
    mark = "" if letter is cautious else _BY_GOODWILL
    return Text(f"{cautious}{mark}", style=_STATE_STYLE[cautious])


def _findings_table(found: list[Finding]) -> Table:
    table = Table(title="What to look at", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("kind", "where", "what", "mend"):
        table.add_column(column, overflow="fold")
    for finding in found:
        where, says, mend = (Text(printable(text, 400)) for text in (_where(finding.place), finding.says, finding.mend))
        table.add_row(Text(finding.kind, style=_KIND_STYLE[finding.kind]), where, says, mend)
    return table


def _where(place: Place) -> str:
    """A place without the site that local files are only taken to belong to."""
    return str(place).removeprefix(f"{lint_site.PLACEHOLDER}/")
