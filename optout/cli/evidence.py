"""`optout evidence`: whether a log holds, what is in it, and what of it is handed to others."""

from __future__ import annotations

import json
import os
import resource
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.cli import evidence_upkeep, options
from optout.cli.exit_codes import DONE, NO, UNDECIDED
from optout.errors import EvidenceError
from optout.web.forms import row_json

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Iterable, Iterator

    from optout.evidence.checks import Repeat, Replay
    from optout.evidence.layout import Layout
    from optout.evidence.past import Capture
    from optout.evidence.report import Report

SIGNALS = ("/robots.txt", "/.well-known/tdmrep.json", "/ai.txt", "/.well-known/ai.txt", "/trust.txt")
"""What is looked up of an origin in the past."""


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "evidence",
        help="verify, prove, export and redact the log",
        description="The evidence log of a crawl or audit: verify it, prove single decisions from it, hand parts on.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_verify(actions)
    _add_prove(actions)
    _add_export(actions)
    _add_show(actions)
    _add_query(actions)
    evidence_upkeep.add_parsers(actions)


def _add_verify(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("verify", help="check a log, a proof or an export, as a numbered list of steps")
    parser.add_argument("subject", type=Path, metavar="DIR|BUNDLE", help="an evidence directory, a proof or an export")
    parser.add_argument(
        "--key", action="append", default=[], metavar="VKEY|FILE", help="the log's public key, as you know it"
    )
    parser.add_argument(
        "--known",
        action="append",
        default=[],
        type=Path,
        metavar="CHECKPOINT",
        help="a checkpoint from earlier or a witness",
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="VKEY|FILE", help="a witness that must have cosigned"
    )
    parser.add_argument(
        "--authority", action="append", default=[], type=Path, metavar="PEM", help="a trusted timestamp authority"
    )
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="judge the rows of an audit again by this store of origins' signals"
    )
    options.add_output(parser)
    parser.set_defaults(run=run_verify)


def _add_prove(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("prove", help="prove the newest decision about a URL, in one small file")
    _add_directory(parser)
    parser.add_argument("--url", required=True, metavar="URL")
    parser.add_argument(
        "--known",
        action="append",
        default=[],
        type=Path,
        metavar="CHECKPOINT",
        help="a checkpoint that the reader kept: prove as well that the log only grew since",
    )
    _add_out(parser)
    parser.set_defaults(run=run_prove)


def _add_export(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("export", help="all decisions about a host, with proof that none is missing")
    _add_directory(parser)
    parser.add_argument("--host", required=True, metavar="HOST", help="such as blog.example.org")
    _add_out(parser)
    parser.set_defaults(run=run_export)


def _add_show(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("show", help="what the log holds; with --origin, what a site said on a day")
    _add_directory(parser)
    parser.add_argument(
        "--origin", metavar="ORIGIN", help="look up a site's signals instead, such as https://example.org"
    )
    parser.add_argument(
        "--as-of", type=_moment, metavar="DATE", help="the day, or an ISO time with zone (default: now)"
    )
    parser.add_argument(
        "--captures",
        action="append",
        default=[],
        type=Path,
        metavar="FILE|DIR",
        help="also look into CDX, CDXJ or WARC files",
    )
    options.add_output(parser)
    parser.set_defaults(run=run_show)


def _add_query(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("query", help="decisions by host, URL, reason, effect and day, also of a running crawl")
    _add_directory(parser)
    parser.add_argument("--host", metavar="HOST")
    parser.add_argument("--url", metavar="URL")
    parser.add_argument("--reason", metavar="CODE", help="a reason code; * stands for anything")
    parser.add_argument("--effect", choices=("permit", "deny", "review"))
    parser.add_argument("--since", type=options.day, metavar="DAY", help="first day (UTC)")
    parser.add_argument("--until", type=options.day, metavar="DAY", help="last day (UTC)")
    parser.add_argument(
        "--by", metavar="FIELD", help="count by host, reason, effect, purpose, day, node, agent or policy"
    )
    parser.add_argument("--sql", metavar="STATEMENT", help="ask the view `rows` in SQL instead")
    parser.add_argument(
        "--limit", type=options.number, default=100, metavar="N", help="at most so many lines (default: %(default)s)"
    )
    options.add_output(parser)
    parser.set_defaults(run=run_query)


def _add_directory(parser: ArgumentParser) -> None:
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="an evidence directory, or a crawl's that holds one"
    )


def _add_out(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: stdout)")
    options.add_output(parser)


def run_verify(arguments: Namespace) -> int:
    """Verify; 0 valid, 1 invalid, 3 not everything could be checked."""
    if arguments.subject.is_file():
        return _verify_file(arguments)
    from optout.evidence.layout import find
    from optout.evidence.verify import verify

    with _bounded_memory():
        report = verify(
            arguments.subject,
            trusted=public_keys(arguments.key),
            witnesses=public_keys(arguments.witness, "witness"),
            known=[_read(path) for path in arguments.known],
            authorities=[_read(path) for path in arguments.authority],
            replay=_replay(find(arguments.subject)),
            repeat=_repeat(find(arguments.subject), arguments.store),
            now=datetime.now(UTC),
        )
    print(json.dumps(report.json) if arguments.json else report.text)
    return exit_code(report)


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Take no more memory than half of what this machine has, or 4 GiB.

    Half a kilobyte of Parquet can say that it holds a gigabyte of one address. A file like that then fails to be read,
    with its name, and the machine goes on.
    """
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    wanted = [limit for limit in (max(half, 4 << 30), before, most) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(wanted), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def exit_code(report: Report) -> int:
    """The exit code that a report stands for."""
    from optout.evidence.report import Outcome

    if report.valid:
        return DONE
    return NO if report.outcome is Outcome.FAILS else UNDECIDED


def run_prove(arguments: Namespace) -> int:
    """Write the proof of a decision."""
    from optout.evidence import bundle
    from optout.evidence.find import by_url
    from optout.evidence.layout import find

    known, place = [_read(path) for path in arguments.known], find(arguments.directory)
    _write(bundle.prove_url(place, arguments.url, known), arguments)
    count = sum(not found.is_note for found in by_url(place, arguments.url))
    if count > 1:
        _say(
            arguments, f"this is the newest of {count:,} decisions about the URL; evidence export proves all of a host"
        )
    return DONE


def run_export(arguments: Namespace) -> int:
    """Write all decisions about a host."""
    from optout.evidence import bundle
    from optout.evidence.layout import find
    from optout.evidence.query import surt
    from optout.evidence.rows import KEPT

    exported = bundle.export(find(arguments.directory), surt(arguments.host))
    _write(exported, arguments)
    rows = [item["row"] for stretch in exported["segments"].values() for item in stretch["items"] if "row" in item]
    count = sum(row.get("stage") != KEPT for row in rows)
    _say(arguments, f"{count} decisions about {arguments.host}")
    return DONE


def run_show(arguments: Namespace) -> int:
    """Say what a log holds, or what a site said."""
    from optout.evidence.layout import find

    place = find(arguments.directory)
    return _show_past(place, arguments) if arguments.origin else _show_log(place, arguments)


def run_query(arguments: Namespace) -> int:
    """Answer from the rows."""
    from optout.evidence.layout import find
    from optout.evidence.query import Filter, Rows

    chosen = Filter(arguments.host, arguments.url, arguments.reason, arguments.effect, arguments.since, arguments.until)
    with Rows(find(arguments.directory)) as rows:
        if arguments.sql:
            _print_rows(rows.sql(arguments.sql), arguments)
        elif arguments.by:
            _print_rows(rows.counts(chosen, arguments.by, arguments.limit), arguments)
        else:
            _print_rows(rows.decisions(chosen, arguments.limit), arguments)
    return DONE


def _verify_file(arguments: Namespace) -> int:
    from optout.evidence import standalone

    try:
        checked = standalone.check(
            _read(arguments.subject),
            [key.text for key in public_keys(arguments.key)],
            [_read(path) for path in arguments.authority],
            [key.text for key in public_keys(arguments.witness, "witness")],
            [_read(path) for path in arguments.known],
        )
    except (standalone.Wrong, ValueError) as fault:
        raise EvidenceError(f"{arguments.subject} cannot be checked", place=str(fault)) from fault
    if arguments.json:
        print(json.dumps({"subject": str(arguments.subject), "outcome": checked.outcome, "steps": checked.json}))
    else:
        print(checked.text)
    return int(checked.code)


def _replay(place: Layout) -> Replay:
    from optout.evidence.replay import Redecision, documents_in

    return Redecision(documents_in(place.documents))


def _repeat(place: Layout, store: Path | None) -> Repeat | None:
    from optout.audit.repeat import Repetition
    from optout.evidence.replay import documents_in

    return None if store is None else Repetition(store, documents_in(place.documents))


def _show_log(place: Layout, arguments: Namespace) -> int:
    from optout.evidence.summary import summary

    said = summary(place)
    if arguments.json:
        print(json.dumps(said))
    else:
        for name, value in said.items():
            lines = value if isinstance(value, list) else [value]
            for line in lines:
                print(f"{name:14} {line}")
    return DONE


def _show_past(place: Layout, arguments: Namespace) -> int:
    from optout.evidence.layout import read_description
    from optout.evidence.past import as_of, captures_of

    moment = arguments.as_of or datetime.now(UTC)
    description = read_description(place)
    own = [(place.directory / description.archive).resolve()] if description else []
    sources = [path for path in own if path.exists()] + arguments.captures
    found = False
    for path in SIGNALS:
        interval = as_of(captures_of(arguments.origin.rstrip("/") + path, sources), moment)
        if interval.before is None and interval.after is None:
            continue
        found = True
        said = {
            "path": path,
            "before": _capture(interval.before),
            "after": _capture(interval.after),
            "same": interval.unchanged,
        }
        print(json.dumps(said) if arguments.json else _past_line(said))
    if not found:
        _say(arguments, f"nobody looked at {arguments.origin}, as far as these files know")
    return DONE if found else UNDECIDED


def _capture(capture: Capture | None) -> dict[str, Any] | None:
    if capture is None:
        return None
    return {
        "at": capture.at.isoformat(), "status": capture.status, "sha1": capture.digest, "source": capture.source,
        "record": capture.record,
    }  # fmt: skip


def _past_line(said: dict[str, Any]) -> str:
    def words(capture: dict[str, Any] | None) -> str:
        return f"{capture['at']} {capture['status']} {capture['sha1'] or '-'}" if capture else "never"

    between = {True: "the same", False: "changed in between", None: "unknown in between"}[said["same"]]
    return f"{said['path']}: before {words(said['before'])}; after {words(said['after'])}; {between}"


def public_keys(given: Iterable[str], kind: str = "log") -> list[Any]:
    """Public keys, written out or in files; of a policy file those of its logs, or of its witnesses."""
    from optout.evidence.note import parse_verifier

    found = []
    for text in given:
        lines = [text] if "+" in text else _read(Path(text)).decode("utf-8", "replace").splitlines()
        for line in lines:
            words = line.split()
            if words[:1] == [kind]:
                found.append(parse_verifier(words[1 if kind == "log" else 2]))
            elif len(words) == 1 and "+" in line:
                found.append(parse_verifier(line))
    if given and not found:
        raise EvidenceError(f"{', '.join(given)} holds no public key")
    return found


def _print_rows(rows: Iterable[dict[str, Any]], arguments: Namespace) -> None:
    for row in rows:
        if arguments.json:
            print(json.dumps(row_json(row)))
        else:
            plain = _told(row) if row.keys() >= {"decided_at", "stage", "effect", "reason", "url"} else row.values()
            print("  ".join(item.isoformat() if isinstance(item, datetime) else str(item) for item in plain))


def _told(row: dict[str, Any]) -> Iterable[Any]:
    """What of a row is told to people; one that decides nothing has its stage in the place of effect and reason."""
    what = (row["effect"], row["reason"]) if row["effect"] else (row["stage"] or "-",)
    return (row["decided_at"], *what, row["url"] or "-")


def _write(value: dict[str, Any], arguments: Namespace) -> None:
    text = json.dumps(value, indent=None if arguments.json else 1) + "\n"
    if arguments.out is None:
        sys.stdout.write(text)
        return
    try:
        arguments.out.write_text(text)
    except OSError as fault:
        raise EvidenceError(f"{arguments.out} cannot be written", place=fault.strerror) from fault
    _say(arguments, f"{arguments.out}: {len(text.encode()):,} bytes")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise EvidenceError(f"{path} cannot be read", place=fault.strerror) from fault


def _say(arguments: Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text, file=sys.stderr)


def _moment(text: str) -> datetime:
    """The end of a day, or a moment."""
    try:
        found = datetime.fromisoformat(f"{text}T23:59:59.999999+00:00" if len(text) == 10 else text)
    except ValueError:
        raise ArgumentTypeError(f"{text[:40]!r} is neither a day, as 2026-11-27, nor an ISO time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
