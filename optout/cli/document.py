"""`optout document`: the papers that the law asks for, from facts, logs and audits."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from optout.cli import options
from optout.cli.exit_codes import DONE, NO
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Callable, Mapping, Sized

    from policies.document import Document
    from policies.evidence_facts import Observed
    from policies.facts import Facts

INIT = "init"
DEFAULT_FACTS = Path("provider.toml")


def documents() -> Mapping[str, Callable[[Facts, Observed], Document]]:
    """Every document by name: what the modules of `policies` offer as their `DOCUMENTS`."""
    import policies

    found: dict[str, Callable[[Facts, Observed], Document]] = {}
    for module in iter_modules(policies.__path__):
        found |= getattr(import_module(f"policies.{module.name}"), "DOCUMENTS", {})
    return dict(sorted(found.items()))


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "document",
        help="copyright policy, summaries, gap analysis, from facts and evidence",
        description="Render a document from the provider's facts and from what logs and audits show. "
        "A statement about behaviour stands in it only where both the policy in force and the log bear it out; "
        "a missing fact is printed as missing. `optout document init` asks for the facts and writes --facts.",
        epilog="Exit codes: 0 written, 1 with --strict: facts are missing, 2 wrong usage or unreadable input.",
    )
    parser.add_argument("name", metavar="NAME", help="init, or a document; `optout document list` prints their names")
    parser.add_argument(
        "--facts", type=Path, default=DEFAULT_FACTS, metavar="FILE", help="provider facts (default: %(default)s)"
    )
    parser.add_argument(
        "--evidence", type=Path, action="append", default=[], metavar="DIR", help="a crawl's directory; may be repeated"
    )
    parser.add_argument(
        "--audit", type=Path, action="append", default=[], metavar="OUT", help="an audit's output; may be repeated"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".md, .html, .docx, .json, .csv; crawler page: .atom; gap analysis: .oscal.json; datasets: .croissant.json"
        " (default: Markdown to stdout)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="put the written file on record in the log of this directory"
    )
    parser.add_argument(
        "--previous",
        type=Path,
        metavar="FILE",
        help="training-summary: the version before (.json), to say what differs",
    )
    parser.add_argument("--host", metavar="HOST", help="evidence-report: only this site, with its subdomains")
    parser.add_argument("--since", type=options.day, metavar="DAY", help="evidence-report: first day (UTC)")
    parser.add_argument("--until", type=options.day, metavar="DAY", help="evidence-report: last day (UTC)")
    parser.add_argument("--strict", action="store_true", help="fail with the list when a fact is missing")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Render a document, or make the facts file.

    Raises:
        UnreadableInput: there is no document of that name, or the facts file exists already.
        OptoutError: facts or evidence cannot be read.
    """
    if arguments.record and not arguments.out:
        raise UnreadableInput("--record needs --out", mend="name the file that is to be put on record")
    if arguments.name == INIT:
        return _init(arguments.facts)
    known = documents()
    if arguments.name == "list":
        print("\n".join(known))
        return DONE
    if arguments.name not in known:
        names = ", ".join((INIT, *known))
        raise UnreadableInput(f"there is no document {arguments.name!r}", mend=f"name one of {names}")
    return _write(_make(known[arguments.name], arguments), arguments)


def _make(make: Callable[[Facts, Observed], Document], arguments: Namespace) -> Document:
    from optout.evidence.query import surt
    from policies.evidence_facts import Scope, observe, read_previous
    from policies.facts import read

    if arguments.host is not None:
        surt(arguments.host)
    if arguments.since and arguments.until and arguments.since > arguments.until:
        raise UnreadableInput("--since is a later day than --until", mend="name the earlier day in --since")
    observed = observe(arguments.evidence, arguments.audit, now=datetime.now(UTC))
    observed = replace(
        observed,
        scope=Scope(arguments.host, arguments.since, arguments.until),
        previous=read_previous(arguments.previous) if arguments.previous else None,
    )
    for log in observed.logs:
        if not log.holds:
            print(f"optout document: the log {log.origin} does not verify and bears no statement", file=sys.stderr)
    facts = read(arguments.facts)
    _warn_of_what_is_overdue(facts)
    if arguments.name == "training-summary":
        _warn_of_an_old_day(facts, observed)
    return make(facts, observed)


def _write(document: Document, arguments: Namespace) -> int:
    from policies.render import pieces, render, suffix_of

    missing = document.missing
    if arguments.strict and missing:
        print(f"optout document: {_counted(missing)}:", file=sys.stderr)
        for fact in missing:
            print(f"  {fact.fact}: {fact.ask}", file=sys.stderr)
        return NO
    if arguments.out is None:
        sys.stdout.write(render(document, ".md").decode())
        return DONE
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        written = pieces(document, suffix_of(arguments.out.name))
        first = next(written, b"")  # A form that there is not must leave the file as it was.
        with arguments.out.open("wb") as file:
            file.write(first)
            file.writelines(written)
    except OSError as error:
        raise UnreadableInput(f"{arguments.out} cannot be written: {error.strerror or error}") from error
    if arguments.record:
        print(f"on record: {_record(document.name, arguments.out.read_bytes(), arguments.record)}", file=sys.stderr)
    if missing:
        print(f"optout document: {_counted(missing)}; the document says so where it stands", file=sys.stderr)
    return DONE


def _record(name: str, data: bytes, directory: Path) -> str:
    """Log a document as in force from now on; the log keeps its bytes and names them by their SHA-256."""
    from optout.evidence.layout import find
    from optout.evidence.ledger import EvidenceLog

    place = find(directory).directory
    log = EvidenceLog(place, node="documents", now=datetime.now(UTC))
    try:
        return log.document(name, [data], datetime.now(UTC))
    finally:
        log.close(datetime.now(UTC))


def _warn_of_an_old_day(facts: Facts, observed: Observed) -> None:
    """A summary that says it was last updated before what it tells of happened would be a new version."""
    updated = facts.summary.updated
    if updated and observed.dated > updated.isoformat():
        print(
            f"optout document: summary.updated is {updated}, and a log has decisions of {observed.dated}: date the "
            "summary anew, and list the change in summary.changes",
            file=sys.stderr,
        )


def _warn_of_what_is_overdue(facts: Facts) -> None:
    """The law moves, and a summary grows old; only the command knows which day it is."""
    from policies.facts import ahead_of
    from policies.gap_analysis import overdue
    from policies.summary_head import next_update

    today = datetime.now(UTC).date()
    for item in overdue(today, facts.reviews or ()):
        print(
            f"optout document: look again, due {item.due}, and record it in [[reviews]]: {item.what}", file=sys.stderr
        )
    due = next_update(facts)
    if isinstance(due, date) and due < today:
        print(f"optout document: the training-content summary was to be updated by {due}", file=sys.stderr)
    for key, said in ahead_of(facts, today):
        print(f"optout document: {key} is {said}, and today is {today}: which one is true?", file=sys.stderr)


def _init(path: Path) -> int:
    from policies.interview import interview

    if path.exists():
        raise UnreadableInput(f"{path} exists already", mend="edit it, or name another file with --facts")
    text = interview(_ask, lambda remark: print(remark, file=sys.stderr))
    path.write_text(text, encoding="utf-8")
    print(path)
    return DONE


def _ask(question: str) -> str:
    """Ask on stderr, so that stdout is the result; the end of the input answers everything that is left."""
    print(question, end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def _counted(missing: Sized) -> str:
    return "1 fact is missing" if len(missing) == 1 else f"{len(missing)} facts are missing"
