"""`optout evidence`: what the log holds, and whether it holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.cli import options
from optout.cli.exit_codes import DONE, NO, UNDECIDED

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from optout.evidence.report import Report


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "evidence",
        help="verify, prove, export and redact the log",
        description="The evidence log of a crawl or audit: verify it, prove single decisions from it, hand parts on.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_verify(actions)


def _add_verify(actions: _SubParsersAction[Any]) -> None:
    parser = actions.add_parser("verify", help="check everything, as a numbered list of steps")
    parser.add_argument("subject", type=Path, metavar="DIR|BUNDLE", help="an evidence directory, or a proof bundle")
    options.add_output(parser)
    parser.set_defaults(run=run_verify)


def run_verify(arguments: Namespace) -> int:
    """Verify an evidence directory; 0 valid, 1 invalid, 3 not everything could be checked."""
    from optout.evidence.layout import find
    from optout.evidence.replay import Redecision, documents_in
    from optout.evidence.verify import verify

    directory = arguments.subject
    replay = Redecision(documents_in(find(directory).documents))
    report = verify(directory, replay=replay, now=datetime.now(UTC))
    _print(report, arguments)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """The exit code that a report stands for."""
    from optout.evidence.report import Outcome

    if report.valid:
        return DONE
    return NO if report.outcome is Outcome.FAILS else UNDECIDED


def _print(report: Report, arguments: Namespace) -> None:
    print(json.dumps(report.json) if arguments.json else report.text)
