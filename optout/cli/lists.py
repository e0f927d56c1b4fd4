"""`optout lists`: registries of reservations, sites to keep away from, works to suppress."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from optout.cli import options
from optout.cli.exit_codes import DONE, NO
from optout.cli.verdicts import printable
from optout.errors import UnreadableInput
from optout.syntax import listing
from optout.syntax.listing import Kind, Match

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from optout.acquisition.lists import Lists, Version
    from optout.model import Exchange
    from optout.syntax.list_index import Description

_STORE = Path("optout-lists")
_FAULTS_SHOWN = 20
_PLAIN_EVERY_BYTES = 64 * 1024 * 1024
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_FORMS = ("plain", "hosts", "dnsmasq", "adblock", "ut1", "csv")


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "lists",
        help="import and look into lists of opt-outs and infringing sites",
        description="Keep lists of reservations (opt-out), of sites that infringe (infringing) and of what somebody "
        "says about sites (advisory), each with its date, issuer and legal basis. Crawls and audits look into them "
        "before anything is fetched.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_import(actions.add_parser("import", help="add a version of a list", description="Add a version of a list."))
    show = actions.add_parser("show", help="what is in the store", description="Show every version of every list.")
    show.add_argument("names", nargs="*", metavar="NAME", help="only these lists")
    look = actions.add_parser(
        "look", help="what do lists say?", description="The exit code is 1 where a list reserves or forbids."
    )
    look.add_argument("subjects", nargs="+", metavar="URL|HASH", help="a URL, a host, or the SHA-256 of content")
    look.add_argument("--as-of", type=options.day, metavar="DATE", help="as the lists were then (default: today)")
    remove = actions.add_parser("remove", help="remove a list, or one version", description="Remove versions.")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--as-of", type=options.day, metavar="DATE", help="only the version of this date")
    for action, run in ((show, _show), (look, _look), (remove, _remove)):
        _add_common(action)
        action.set_defaults(run=run)


def _add_import(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--kind", required=True, choices=[str(kind) for kind in Kind], help="what it means to be on it")
    parser.add_argument("--name", required=True, help="what the list is called")
    parser.add_argument("--issuer", required=True, help="who keeps it")
    parser.add_argument("--legal-basis", required=True, metavar="TEXT", help="the ground on which it is used")
    parser.add_argument("--as-of", required=True, type=options.day, metavar="DATE", help="the date of its contents")
    parser.add_argument("--form", choices=_FORMS, help="the form of the file (default: looked at)")
    _add_common(parser)
    parser.set_defaults(run=_import)


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, default=_STORE, metavar="DIR", help="where lists are kept (default: %(default)s)"
    )
    options.add_output(parser)


def _import(arguments: Namespace) -> int:
    from optout.acquisition.list_import import Source, import_list

    source = Source(
        path=arguments.file,
        name=arguments.name,
        issuer=arguments.issuer,
        kind=Kind(arguments.kind),
        basis=arguments.legal_basis,
        as_of=arguments.as_of,
        form=arguments.form,
    )
    faults = _Faults(arguments.file)
    with _Bar(quiet=arguments.quiet) as bar:
        version = import_list(source, arguments.store, faults.note, bar.tell)
    faults.finish()
    found = version.description
    if arguments.json:
        print(json.dumps(_json(version)))
    else:
        print(f"{found.name} as of {found.as_of}: {found.entries:,} entries ({_counts(found)}), {found.form}")
        print(f"{found.faults:,} of {found.lines:,} lines could not be used; source SHA-256 {found.source}")
    return DONE


class _Faults:
    """Names the first lines that cannot be used, and counts all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def note(self, line: int, reason: str) -> None:
        """One more."""
        self._count += 1
        if self._count <= _FAULTS_SHOWN:
            print(f"optout lists: {self._path} (line {line}): {reason}", file=sys.stderr)

    def finish(self) -> None:
        """Say how many were not named."""
        if self._count > _FAULTS_SHOWN:
            print(f"optout lists: and {self._count - _FAULTS_SHOWN:,} more such lines", file=sys.stderr)


class _Bar:
    """Progress on stderr: a live bar on a terminal, plain lines otherwise, nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        console = options.error_console()
        self._plain = not quiet and not console.is_terminal
        self._told = 0
        self._live = Progress(
            TextColumn("importing"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task("importing", total=None)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def tell(self, done: int, whole: int) -> None:
        """So many bytes of so many are read."""
        self._live.update(self._task, completed=done, total=whole)
        if self._plain and done - self._told >= _PLAIN_EVERY_BYTES:
            self._told = done
            print(f"read {done:,} of {whole:,} bytes", file=sys.stderr)


def _show(arguments: Namespace) -> int:
    from optout.acquisition import lists

    found = lists.versions(arguments.store)
    names = {version.description.name for version in found}
    for name in arguments.names:
        if name not in names:
            raise UnreadableInput(f"there is no list {name} in {arguments.store}", mend="see optout lists show")
    chosen = [version for version in found if version.description.name in (arguments.names or names)]
    if arguments.json:
        for version in chosen:
            print(json.dumps(_json(version)))
        return DONE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("list", "as of", "kind", "entries", "issuer", "legal basis", "source SHA-256"):
        table.add_column(column, overflow="fold")
    for version in chosen:
        about = version.description
        texts = (about.name, str(about.as_of), about.kind, _counts(about), about.issuer, about.basis, about.source)
        table.add_row(*(Text(printable(text)) for text in texts))
    options.console().print(table)
    return DONE


def _json(version: Version) -> dict[str, object]:
    return version.description.json() | {"file": str(version.path), "bytes": version.path.stat().st_size}


def _counts(about: Description) -> str:
    counts = zip(Match, about.counts, strict=True)
    return ", ".join(f"{count:,} {match}" for match, count in counts if count)


def _look(arguments: Namespace) -> int:
    from optout.acquisition.lists import Lists

    lists = Lists.open(arguments.store, arguments.as_of or datetime.now(UTC).date())
    kinds: Counter[str] = Counter()
    for subject in arguments.subjects:
        found = [listing.parse(exchange.body) for exchange in _consult(lists, subject)]
        finds = [item for item in found if item is not None]
        kinds.update(item.kind for item in finds)
        if arguments.json:
            form = [{name: getattr(item, name) for name in listing.FIELDS} for item in finds]
            print(json.dumps({"subject": subject, "found": form}))
            continue
        for item in finds:
            print(f"{printable(subject)}: {item.kind}: {printable(item.text, 1_000)}")
        if not finds:
            print(f"{printable(subject)}: not listed")
    return NO if kinds[Kind.OPT_OUT] or kinds[Kind.INFRINGING] else DONE


def _consult(lists: Lists, subject: str) -> tuple[Exchange, ...]:
    digest = _DIGEST.fullmatch(subject)
    if digest is not None:
        return lists.consult_content(digest[1])
    return lists.consult(subject if "://" in subject else f"https://{subject}")


def _remove(arguments: Namespace) -> int:
    from optout.acquisition.list_import import remove

    for version in remove(arguments.store, arguments.name, arguments.as_of):
        removed = {"removed": str(version.path)}
        print(json.dumps(removed) if arguments.json else f"removed {version.path}")
    return DONE
