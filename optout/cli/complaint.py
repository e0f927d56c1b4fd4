"""`optout complaint`: the register of rightsholders' complaints (Code of Practice, Measure 1.5)."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.cli import options
from optout.cli.exit_codes import DONE, NO
from optout.cli.verdicts import printable
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from policies.complaint_record import Record
    from policies.complaint_register import Register
    from policies.complaints import Complaint

_STORE = Path("optout-complaints")
_ROLES = ("rightsholder", "representative", "collective-management-organisation")
_GROUNDS = ("manifestly-unfounded", "identical", "permitted", "not-used", "other")
_STATES = {"uphold": "upheld", "reject": "rejected", "ask": "asked"}
_HITS_SHOWN = 20


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "complaint",
        help="the register of rightsholders' complaints",
        description="Take complaints in, find what they are about in logs and audits, decide, and prove removals. "
        "Every step stands in the register's own log, which `optout evidence verify` checks.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_add(actions)
    listed = actions.add_parser("list", help="complaints, with what is due; exit code 1 where one is overdue")
    show = actions.add_parser("show", help="one complaint, its steps, and what is known of its works")
    show.add_argument("number", type=options.number, metavar="N")
    show.add_argument("--reply", action="store_true", help="print the draft of an answer instead")
    _add_search(show, "search these now, and remember what is found")
    _add_decide(actions)
    _add_export(actions)
    report = actions.add_parser("report", help="the evidence report on what a complaint is about")
    report.add_argument("number", type=options.number, metavar="N")
    report.add_argument("--facts", type=Path, default=Path("provider.toml"), metavar="FILE", help="provider facts")
    report.add_argument("--out", type=Path, required=True, metavar="FILE", help=".md, .html, .docx, .json or .csv")
    _add_search(report, "report from these")
    _add_proof(actions)
    schema = actions.add_parser("schema", help="the form of a complaint, as JSON Schema")
    schema.set_defaults(run=_schema)
    for action, run in ((listed, _list), (show, _show), (report, _report)):
        _add_common(action)
        action.set_defaults(run=run)


def _add_add(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("add", help="take a complaint in, from a form, an e-mail or the options below")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a form (.toml, .json) or an e-mail (.eml)")
    parser.add_argument("--name", default="", help="who complains")
    parser.add_argument("--contact", default="", help="where the answer goes")
    parser.add_argument("--role", choices=_ROLES)
    parser.add_argument("--represents", default="", metavar="NAME", help="for whom they speak")
    parser.add_argument("--work", action="append", default=[], metavar="TITLE", help="a work; may be repeated")
    parser.add_argument("--claim", default="", metavar="TEXT", help="what has happened")
    parser.add_argument(
        "--subject", action="append", default=[], metavar="WHERE", help="a domain, URL, SHA-256 or post:IDENTIFIER"
    )
    parser.add_argument("--answers", type=options.number, metavar="N", help="this answers questions about complaint N")
    parser.add_argument(
        "--answer-days", type=options.days, default=30, metavar="DAYS",
        help="answer within so many days, the contact.answer_days that you publish (default: %(default)s)",
    )  # fmt: skip
    _add_search(parser, "search these at once")
    _add_common(parser)
    parser.set_defaults(run=_add)


def _add_decide(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser(
        "decide",
        help="uphold, reject, ask, or prove the removal",
        description="`removed` is proven: every kept page under --evidence and every decision of --audit is read, "
        "each file is hashed, and one item that the complaint is about refuses it.",
    )
    parser.add_argument("number", type=options.number, metavar="N")
    parser.add_argument("outcome", choices=(*_STATES, "removed"))
    parser.add_argument("--by", required=True, metavar="NAME", help="who decides")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, as the complainant may read it")
    parser.add_argument("--ground", choices=_GROUNDS, help="of a rejection")
    parser.add_argument("--same-as", type=options.number, metavar="N", help="the complaint that it repeats")
    _add_search(parser, "with removed: what must hold nothing of it any more")
    parser.add_argument(
        "--deleted", action="append", default=[], metavar="NAME",
        help="with removed: a log, an audit or an input file, by its name in what was found, that is declared to be "
        "deleted as a whole",
    )  # fmt: skip
    _add_common(parser)
    parser.set_defaults(run=_decide)


def _add_export(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser(
        "export",
        help="upheld complaints as a list of opt-outs, and what is to be removed",
        description="Writes opt-outs.txt, which `optout lists import` takes, and removals.jsonl: every row and page "
        "that searches have found. Neither names a complainant.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--issuer", default="complaints register", metavar="NAME", help="who keeps the list")
    _add_common(parser)
    parser.set_defaults(run=_export)


def _add_proof(actions: _SubParsersAction[Any]) -> None:
    proof = actions.add_parser("proof", help="the proof of a removal, as one file that names no complainant")
    proof.add_argument("number", type=options.number, metavar="N")
    proof.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write (.json)")
    _add_common(proof)
    proof.set_defaults(run=_proof)
    verify = actions.add_parser(
        "verify",
        help="check the proof of a removal, as a numbered list of steps",
        description="Needs neither the register nor its log. Exit codes: 0 valid, 1 invalid, 3 nothing is wrong, and "
        "not everything was checked: without --key nobody knows whose log it is, without --audit and --evidence the "
        "files are not looked at.",
    )
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument("--key", action="append", default=[], metavar="VKEY|FILE", help="the log's key, as you know it")
    _add_search(verify, "whose files are hashed again")
    options.add_output(verify)
    verify.set_defaults(run=_verify)


def _add_search(parser: ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--evidence", type=Path, action="append", default=[], metavar="DIR", help=f"a crawl's directory: {what}"
    )
    parser.add_argument(
        "--audit", type=Path, action="append", default=[], metavar="OUT", help=f"an audit's output: {what}"
    )


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--register", type=Path, default=_STORE, metavar="DIR", help="where the register is (default: %(default)s)"
    )
    options.add_output(parser)


def _schema(_: Namespace) -> int:
    from policies.complaints import SCHEMA

    print(json.dumps(SCHEMA, indent=2))
    return DONE


def _add(arguments: Namespace) -> int:
    from policies.complaint_register import Register

    complaint = _given(arguments)
    now = datetime.now(UTC)
    with Register(arguments.register) as register:
        register.settle(now)
        if arguments.answers is not None:
            number, new = arguments.answers, True
            register.answer(number, complaint, now)
        else:
            number, new = register.add(complaint, now, arguments.answer_days)
        _search(register, number, arguments)
        record = register.record(number)
        if not arguments.json and not new:
            print(f"complaint {number} came with this very file already", file=sys.stderr)
        _print(register, record, arguments)
    return DONE


def _given(arguments: Namespace) -> Complaint:
    from policies.complaints import of_form, read

    if arguments.file is not None:
        return read(arguments.file)
    form = {
        "name": arguments.name, "contact": arguments.contact, "represents": arguments.represents,
        "works": arguments.work, "claim": arguments.claim, "subjects": arguments.subject,
    }  # fmt: skip
    if arguments.role:
        form["role"] = arguments.role
    if not any(form.values()):
        raise UnreadableInput("there is nothing to complain of", mend="name a FILE, or write --claim and --subject")
    text = json.dumps([form, arguments.answers], sort_keys=True)
    return of_form(form, "the command", sha256(text.encode()).hexdigest())


def _opened(arguments: Namespace) -> Register:
    """The register as it is, with whatever an interrupted command has left unlogged."""
    from policies.complaint_register import Register

    register = Register(arguments.register, create=False)
    try:
        register.settle(datetime.now(UTC))
    except BaseException:
        register.close()
        raise
    return register


def _search(register: Register, number: int, arguments: Namespace) -> None:
    from policies.complaint_removal import kept_files
    from policies.complaint_search import search

    if not arguments.evidence and not arguments.audit:
        return
    subjects = register.record(number).complaint.subjects
    hits = search(subjects, arguments.evidence, arguments.audit)
    places = [str(path) for path in (*arguments.evidence, *arguments.audit)]
    register.found(
        number, hits, places, datetime.now(UTC), lambda found: kept_files(found, arguments.evidence, arguments.audit)
    )


def _list(arguments: Namespace) -> int:
    now = datetime.now(UTC)
    late = False
    with _opened(arguments) as register:
        for record in register.records():
            overdue = record.overdue(now)
            late = late or overdue
            if arguments.json:
                print(json.dumps(_json(record, now)))
            else:
                when = _when(record, overdue=overdue)
                who, about = printable(record.complaint.name[:60]), len(record.complaint.subjects)
                many = "" if about == 1 else "s"
                print(f"{record.number:5}  {record.state:9}  {when}  {who}, {about:,} subject{many}")
    return NO if late else DONE


def _when(record: Record, *, overdue: bool) -> str:
    """When an answer is due, or since when there is one."""
    decided = [step.at for step in record.steps if step.what == record.state]
    if record.state not in ("received", "asked") and decided:
        return f"since {decided[-1]:%Y-%m-%d}"
    return f"OVERDUE since {record.due:%Y-%m-%d}" if overdue else f"due {record.due:%Y-%m-%d}"


def _show(arguments: Namespace) -> int:
    from policies.complaint_replies import draft

    with _opened(arguments) as register:
        _search(register, arguments.number, arguments)
        record = register.record(arguments.number)
        if arguments.reply:
            print(draft(record), end="")
        else:
            _print(register, record, arguments)
        return DONE if register.holds(arguments.number) else NO


def _report(arguments: Namespace) -> int:
    from policies.evidence_facts import Scope, observe
    from policies.evidence_report import evidence_report
    from policies.facts import read
    from policies.render import render

    with _opened(arguments) as register:
        subjects = register.record(arguments.number).complaint.subjects
    observed = observe(arguments.evidence, arguments.audit, now=datetime.now(UTC))
    scope = Scope(subjects=subjects, title=f"what complaint {arguments.number} is about")
    document = evidence_report(read(arguments.facts), replace(observed, scope=scope))
    _write(arguments.out, render(document, arguments.out.suffix))
    return DONE


def _print(register: Register, record: Record, arguments: Namespace) -> None:
    holds = register.holds(record.number)
    if arguments.json:
        print(json.dumps({**_json(record, datetime.now(UTC)), "holds": holds}))
        return
    complaint = record.complaint
    print(f"complaint {record.number}: {record.state}, received {record.received:%Y-%m-%d}, due {record.due:%Y-%m-%d}")
    print(f"from {printable(complaint.name[:200])} <{printable(complaint.contact[:200])}>")
    for subject in complaint.subjects:
        print(f"about {subject.kind} {printable(subject.text[:300])}")
    for question in complaint.lacks:
        print(f"missing: {question}")
    for word in complaint.unread:
        print(f"not understood: {printable(word[:200])}")
    for step in record.steps:
        place = f"row {step.seq} of the register's log" if step.seq >= 0 else "not in the register's log yet"
        print(f"{step.at:%Y-%m-%d %H:%M:%S} {step.what}, {place}")
    logged, rows, kept = record.found
    if record.searched:
        print(f"found {logged:,} rows of logs and {rows:,} rows of datasets; {kept:,} of them were kept")
    for hit in islice(register.hits(record.number), _HITS_SHOWN):
        where = printable(f"{hit.place} {hit.source}, {hit.item}")
        print(f"  {where}: {printable(hit.effect or 'kept')} {printable(hit.reason)} {printable(hit.url)}")
    print(f"the steps are{'' if holds else ' NOT'} those that the log has")


def _json(record: Record, now: datetime) -> dict[str, Any]:
    complaint, (logged, rows, kept) = record.complaint, record.found
    return {
        "number": record.number, "state": record.state, "received": record.received.isoformat(),
        "due": record.due.isoformat(), "overdue": record.overdue(now), "name": complaint.name,
        "contact": complaint.contact, "role": complaint.role, "represents": complaint.represents,
        "works": complaint.works, "claim": complaint.claim,
        "subjects": [{"kind": kind, "text": text} for kind, text in complaint.subjects],
        "not_understood": complaint.unread, "missing": complaint.lacks, "searched": record.searched,
        "found": {"log_rows": logged, "dataset_rows": rows, "kept": kept},
        "steps": [
            {"at": step.at.isoformat(), "what": step.what, "row": step.seq, "said": step.said}
            for step in record.steps
        ],
    }  # fmt: skip


def _decide(arguments: Namespace) -> int:
    from policies.complaint_record import Decision
    from policies.complaint_removal import look_again
    from policies.complaint_replies import draft
    from policies.complaints import Ground, State

    now = datetime.now(UTC)
    with _opened(arguments) as register:
        if arguments.outcome == "removed":
            record, found = register.record(arguments.number), register.hits(arguments.number)
            removal = look_again(record, found, arguments.evidence, arguments.audit, arguments.deleted)
            register.remove(arguments.number, arguments.by, removal, now)
        else:
            ground = Ground(arguments.ground) if arguments.ground else None
            state = State(_STATES[arguments.outcome])
            decision = Decision(state, arguments.by, arguments.reason, ground, arguments.same_as)
            register.decide(arguments.number, decision, now)
        record = register.record(arguments.number)
        if arguments.json:
            print(json.dumps({**_json(record, now), "reply": draft(record)}))
        else:
            print(draft(record), end="")
    return DONE


def _proof(arguments: Namespace) -> int:
    from policies.complaint_proof import prove

    with _opened(arguments) as register:
        proof = prove(register, arguments.number)
    _write(arguments.out, json.dumps(proof, indent=1, sort_keys=True).encode() + b"\n")
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), "gone": len(proof["gone"])}))
    return DONE


def _verify(arguments: Namespace) -> int:
    from optout.cli.evidence import exit_code, public_keys
    from policies.complaint_proof import check

    try:
        data = arguments.file.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{arguments.file} cannot be read: {error.strerror or error}") from error
    keys = [key.text for key in public_keys(arguments.key)]
    report = check(data, arguments.file.name, keys=keys, crawls=arguments.evidence, audits=arguments.audit)
    print(json.dumps(report.json) if arguments.json else report.text)
    return exit_code(report)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UnreadableInput(f"{path} cannot be written: {error.strerror or error}") from error


def _export(arguments: Namespace) -> int:
    from policies.complaint_replies import opt_outs, removals

    with _opened(arguments) as register:
        reserved = list(register.reservations())
        try:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "opt-outs.txt").write_text(opt_outs(reserved, arguments.issuer), encoding="utf-8")
            with (arguments.out / "removals.jsonl").open("w", encoding="utf-8") as file:
                for record, _ in reserved:
                    file.writelines(removals(record, register.hits(record.number)))
        except OSError as error:
            raise UnreadableInput(f"{arguments.out} cannot be written: {error.strerror or error}") from error
    if arguments.json:
        print(json.dumps({"complaints": [record.number for record, _ in reserved], "out": str(arguments.out)}))
    elif reserved:
        day = max(record.steps[-1].at for record, _ in reserved).date()
        path = str(arguments.out / "opt-outs.txt")
        command = [
            "optout", "lists", "import", path, "--kind", "opt-out", "--name", "complaints",
            "--issuer", printable(arguments.issuer), "--legal-basis", "upheld complaints (Measure 1.5)",
            "--as-of", str(day),
        ]  # fmt: skip
        print(shlex.join(command))
    else:
        print("no complaint is upheld, so the list is empty", file=sys.stderr)
    return DONE
