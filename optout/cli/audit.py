"""`optout audit`: which rows of a dataset may be used?"""

from __future__ import annotations

import json
import os
import shlex
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optout.cli import options
from optout.cli.audit_progress import Bar
from optout.cli.exit_codes import DONE, USAGE
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Sequence

    from optout.audit.job import Input, Job
    from optout.audit.judge import AsOf
    from optout.audit.shard import Manifest
    from optout.audit.storage import Location


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "audit",
        help="which rows of a dataset may be used?",
        description="Judge every row of Parquet, JSON Lines (.gz, .zst), WARC and WebDataset (.tar) files by what "
        "their origins said. The store of signals is filled by `optout harvest`. OUT gets decisions/, kept/, "
        "evidence/ (the log of what was read and decided), report.html and report.json, and unknown-origins.txt, which "
        "`optout harvest` takes next. A run that was interrupted goes on where it stopped. The exit code is 2 where "
        "some input could not be read.",
    )
    parser.add_argument(
        "data",
        nargs="*",
        metavar="DATA",
        help="a file, a folder with all that is in it, a glob, or a URL of one (s3://, gs://, hf://)",
    )
    parser.add_argument("--store", metavar="DIR", help="the store of origins' signals, on this machine")
    parser.add_argument("--out", metavar="OUT", help="the folder to write to, or its URL")
    parser.add_argument("--lists", type=Path, metavar="DIR", help="also look into these lists (optout lists)")
    _add_columns(parser)
    parser.add_argument(
        "--as-of",
        metavar="DATE|crawl|now",
        default="now",
        help="which dated state of an origin counts: that of a day, of each row's own date, or the newest "
        "(default: %(default)s)",
    )
    parser.add_argument("--retroactive", action="store_true", help="deny where any later state reserves")
    parser.add_argument(
        "--what-if",
        metavar="NAMES",
        default="",
        help="policies to compare with, and `retroactive`, with commas between",
    )
    parser.add_argument("--engine", choices=["local", "ray", "spark"], default="local", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="do only every N-th file, from the I-th, 0 being the first; the share that ends last writes the report",
    )
    parser.add_argument(
        "--diff",
        nargs=2,
        metavar=("OUT1", "OUT2"),
        help="write what changed between two audits to removals.parquet in OUT, or here",
    )
    parser.add_argument(
        "--as",
        dest="token",
        metavar="TOKEN",
        default=options.DEFAULT_TOKEN,
        help="product token (default: %(default)s)",
    )
    options.add_policy(parser)
    options.add_output(parser)
    parser.set_defaults(run=run)


def _add_columns(parser: ArgumentParser) -> None:
    for name in ("url", "html", "headers", "date", "language"):
        parser.add_argument(f"--{name}-column", metavar="NAME", help=f"(default: {name}, where there is such a column)")
    parser.add_argument("--tokens-column", metavar="NAME", help="a column that counts tokens, for the report")


def run(arguments: Namespace) -> int:
    """Audit a dataset, or compare two audits."""
    if arguments.diff:
        first, second = arguments.diff
        return _diff(first, second, arguments.out or ".", as_json=arguments.json)
    for name, value in (("DATA", arguments.data), ("--store DIR", arguments.store), ("--out OUT", arguments.out)):
        if not value:
            raise UnreadableInput(f"no {name} given", mend="write optout audit DATA... --store DIR --out OUT")
    if arguments.workers < 1:
        raise UnreadableInput(f"--workers {arguments.workers} is no number of processes", mend="write 1 or more")
    return _audit(arguments)


def _diff(first: str, second: str, out: str, *, as_json: bool) -> int:
    """Write `removals.parquet`: rows to remove, rows to add, rows judged otherwise, and those of one audit only."""
    from optout.audit.diff import compare
    from optout.audit.disk import writing
    from optout.audit.storage import location, near_decisions, on_this_machine

    folder = on_this_machine(out, "--out")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / "removals.parquet"
    with near_decisions(location(first)) as before, near_decisions(location(second)) as after:
        counted = compare(before, after, target)
    if as_json:
        print(json.dumps({"file": str(target), **counted}))
        return DONE
    for name, text in _CHANGES.items():
        if name.startswith("only-") and name not in counted:
            continue
        options.console().print(f"{counted.get(name, 0):>12,}  {text}", markup=False)
    options.console().print(f"see {target}", markup=False, soft_wrap=True)
    return DONE


_CHANGES = {
    "remove": "rows to remove",
    "add": "rows to add",
    "changed": "rows with another reason or effect only",
    "only-before": "rows that only OUT1 has: OUT2 decided nothing about them (other data, or files with other names)",
    "only-after": "rows that only OUT2 has: OUT1 decided nothing about them",
}


def _tell_tier() -> None:
    """Say that the audit will be slow, where it will be."""
    from optout.audit.judge import KERNEL

    if KERNEL is None:
        lacking = "its compiled part was not built, or by another edition of optout"
        print(f"optout audit: {lacking}; pure Python gives the same answers, some six times as slowly", file=sys.stderr)


def _audit(arguments: Namespace) -> int:
    from optout.audit import parts
    from optout.audit.job import COMPILED, inputs, share
    from optout.audit.resume import whole
    from optout.audit.shelf import clear_unused
    from optout.audit.storage import is_any_below, location

    if not arguments.quiet:
        _tell_tier()
    job, directory = _job(arguments), location(arguments.out)
    job.judge()
    clear_unused(job.store / COMPILED, datetime.now(UTC).timestamp())
    strange: list[Location] = []
    own = _own(directory, job.store)
    files = parts.cut(_others(inputs(arguments.data, strange.append), own))
    _tell_strange([one for one in strange if not is_any_below(one, (directory, job.store))])
    mine = share(files, *_share(arguments.shard)) if arguments.shard else files
    with _Record(job, files, directory) as record:
        manifests = _made(arguments, job, mine, directory, record)
        faults = USAGE if any(manifest.faults for manifest in manifests) else DONE
        if arguments.shard:
            # Who is the last finds the shards of all others, and writes the report for them.
            everything = whole(job, files, directory)
            if everything is None:
                _tell_share(manifests, len(files), as_json=arguments.json)
                return faults
            manifests = everything
        report = record.finish(manifests)
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _summarise(report, directory)
    return faults


def _made(arguments: Namespace, job: Job, mine: list[Input], directory: Location, record: _Record) -> list[Manifest]:
    """Have an engine make shards, and tell how it goes."""
    manifests: list[Manifest] = []
    with Bar(mine, quiet=arguments.quiet) as bar:
        for manifest in _engine(arguments.engine)(job, mine, directory, arguments.workers):
            manifests.append(manifest)
            record.add(manifest)
            bar.step(manifest)
            _complain(manifest)
    return manifests


class _Record:
    """The evidence log and the report of an audit."""

    def __init__(self, job: Job, files: Sequence[Input], directory: Location) -> None:
        from optout.audit.log import AuditLog
        from optout.audit.log_home import home_of

        self._job, self._files, self._directory = job, {item.name: item for item in files}, directory
        self._home, self._finished = home_of(directory, job.store), False
        self._log = AuditLog(self._home, job, job.digest(), datetime.now(UTC))

    def __enter__(self) -> Self:
        from optout.audit.clearing import clear
        from optout.audit.disk import writing

        files = list(self._files.values())
        with writing(self._directory):
            gone = clear(self._directory, files)
        if gone:
            shards = "1 shard" if gone == 1 else f"{gone} shards"
            print(f"optout audit: removed {shards} of what is not in DATA any more from OUT", file=sys.stderr)
        self._log.drop_others(files)
        return self

    def __exit__(self, *error: object) -> None:
        from optout.audit.log_home import publish

        self._log.__exit__(*error)
        if self._finished and not isinstance(self._directory, Path):
            publish(self._home, self._directory)

    def add(self, manifest: Manifest) -> None:
        """Log what was made of an input."""
        self._log.add(manifest, self._files[manifest.file], datetime.now(UTC))

    def finish(self, manifests: list[Manifest]) -> dict[str, Any]:
        """Write the report, and log it with every shard that other processes have made."""
        from optout.audit.disk import writing
        from optout.audit.report import write_report

        order = {name: number for number, name in enumerate(self._files)}
        manifests.sort(key=lambda manifest: order[manifest.file])
        with writing(self._directory):
            report = write_report(self._job, manifests, self._directory)
        for manifest in manifests:
            self.add(manifest)
        digest = sha256((self._directory / "report.json").read_bytes()).hexdigest()
        self._log.report(report["rows"]["judged"], report["rows"]["kept"], digest, datetime.now(UTC))
        self._finished = True
        return report


def _tell_share(manifests: list[Manifest], files: int, *, as_json: bool) -> None:
    """What a share has done, where others are still to be done."""
    rows, kept = sum(one.rows for one in manifests), sum(one.kept for one in manifests)
    if as_json:
        print(json.dumps({"files": len(manifests), "of": files, "rows": rows, "kept": kept, "report": None}))
    else:
        text = (
            f"{len(manifests)} of {files} files: {rows:,} rows judged, {kept:,} kept; the last share writes the report"
        )
        options.console().print(text, markup=False)


def _own(directory: Location, store: Path) -> tuple[Location, ...]:
    """The folders of an audit's own making, which may lie in the folder that it reads."""
    from optout.audit.job import COMPILED
    from optout.audit.log_home import FOLDER

    return directory, store / COMPILED, store / FOLDER


def _others(files: list[Input], own: tuple[Location, ...]) -> list[Input]:
    """The files that are not of an audit's own making.

    Raises:
        UnreadableInput: all of them are.
    """
    from optout.audit.storage import is_any_below

    found = [item for item in files if not is_any_below(item.path, own)]
    if not found:
        mend = "name another --out, so that nothing of it is written over"
        raise UnreadableInput(f"{files[0].path} and all else in DATA is in {own[0]}", mend=mend)
    return found


_NAMED = 3
_MARKERS = ("_", ".")
"""What the names of files begin with that hold no data, as engines and people hold it: `_SUCCESS`, `.gitattributes`."""


def _tell_strange(files: list[Location]) -> None:
    """Say which files are of no known form, or rows would seem to have been judged that nobody has looked at."""
    names = [one.name for one in files if not one.name.startswith(_MARKERS)]
    if names:
        count = "1 file" if len(names) == 1 else f"{len(names):,} files"
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        listed = _plain(", ".join(names[:_NAMED]))
        print(f"optout audit: {count} of no known form in DATA: not judged, not kept: {listed}{more}", file=sys.stderr)


def _job(arguments: Namespace) -> Job:
    from optout.audit.formats import Columns
    from optout.audit.job import Job
    from optout.audit.storage import on_this_machine

    given = {
        name: getattr(arguments, f"{name}_column")
        for name in ("url", "html", "headers", "date", "tokens", "language")
        if getattr(arguments, f"{name}_column") is not None
    }
    return Job(
        store=on_this_machine(arguments.store, "--store"),
        policy=arguments.policy,
        token=arguments.token,
        today=datetime.now(UTC).date(),
        as_of=_as_of(arguments.as_of),
        retroactive=arguments.retroactive,
        what_if=tuple(dict.fromkeys(filter(None, map(str.strip, arguments.what_if.split(","))))),
        lists=arguments.lists,
        columns=Columns(**given, named=frozenset(given.values())),
    )


def _as_of(text: str) -> AsOf:
    from optout.audit.dates import moment_of
    from optout.audit.judge import AsOf, When

    if text in {When.CRAWL, When.NOW}:
        return AsOf(When(text))
    moment = moment_of(text)
    if moment is None:
        raise UnreadableInput(f"--as-of {text!r} is no date", mend="write 2026-11-23, crawl or now")
    return AsOf(When.DATE, moment)


def _share(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and int(number) < int(of):
        return int(number), int(of)
    raise UnreadableInput(f"--shard {text!r} is no share", mend="write 0/4 for the first of four")


def _engine(name: str) -> Any:  # noqa: ANN401 - a module's function
    from importlib import import_module

    return import_module(f"optout.audit.{name}").run


def _complain(manifest: Manifest) -> None:
    if manifest.unreadable:
        print(f"optout audit: {_plain(manifest.unreadable)}", file=sys.stderr)
    elif manifest.faults:
        first = manifest.listed[0]
        more = f" and {manifest.faults - 1} more" if manifest.faults > 1 else ""
        said = _plain(f"{manifest.file}: {first['place']}: {first['what']}")
        print(f"optout audit: {said}{more}", file=sys.stderr)


def _plain(text: str) -> str:
    """A stranger's text without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


_SHOWN = 8
"""How many reasons the summary shows."""


def _summarise(report: dict[str, Any], directory: Location) -> None:
    """The answer, why, and what to do next."""
    from optout.audit.advice import percent
    from optout.audit.report_words import explained

    rows, console = report["rows"], options.console()
    share = percent(rows["kept"], rows["judged"])
    console.print(f"{rows['kept']:,} of {rows['judged']:,} rows may be used ({share})", markup=False, highlight=False)
    for reason in report["reasons"][:_SHOWN]:
        line = f"{reason['rows']:>14,}  {reason['effect']:<6}  {_plain(reason['reason'])}"
        words = explained(reason["reason"])
        console.print(f"{line}: {words}" if words else line, markup=False, highlight=False, soft_wrap=True)
    more = len(report["reasons"]) - _SHOWN
    if more > 0:
        console.print(f"{'':14}  and {more} more reasons", markup=False, highlight=False)
    console.print("\nWhat to do next:", markup=False)
    for number, step in enumerate(report["advice"], 1):
        console.print(f"{number:>2}. {_plain(step['text'])}", markup=False, highlight=False)
        if step["command"]:
            command = step["command"].replace("OUT", shlex.quote(str(directory)))
            console.print(f"    {command}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nsee {directory / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
