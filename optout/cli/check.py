"""`optout check`: what may we do with a URL, and why?"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from optout.acquisition.client import open_fetcher
from optout.acquisition.fetcher import Limits
from optout.assess import assess
from optout.cli import cases, options
from optout.cli.exit_codes import DONE, USAGE, of_effects
from optout.cli.verdicts import print_answer, print_explanation, print_pairs, print_verdict, printable, verdict_json
from optout.errors import OptoutError, UnreadableInput
from optout.identity import Identity
from optout.model import Purpose
from optout.web.forms import assessment_json, policy_offers

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterator, Sequence

    from optout.assess import Assessment
    from optout.policy import Policy


def add_parser(subparsers: _SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "check",
        help="what may we do with a URL, and why?",
        description="Look at every reservation signal of a URL and answer per purpose, with reasons. "
        "The exit code answers for the purposes that --purpose names, or else for those the policy crawls for.",
    )
    parser.add_argument("urls", nargs="*", metavar="URL", help="a URL to look at on the live web")
    parser.add_argument("--cases", metavar="FILE|-", help="answer cases, one JSON object a line, without any network")
    parser.add_argument(
        "--purpose", action="append", choices=[*Purpose], metavar="NAME", help="limit the answer to this purpose"
    )
    parser.add_argument("--explain", action="store_true", help="add the specification and legal status of each signal")
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
    """Check URLs on the live web, or cases."""
    policy = options.policy(arguments)
    if arguments.cases is not None:
        return _run_cases(arguments, policy)
    if not arguments.urls:
        message = "no URL given"
        raise UnreadableInput(message, mend="name a URL, or give --cases FILE")
    return asyncio.run(_run_live(arguments, policy))


def _purposes(arguments: Namespace) -> tuple[Purpose, ...]:
    chosen = arguments.purpose or [*Purpose]
    return tuple(purpose for purpose in Purpose if purpose in chosen)


def _judged(arguments: Namespace, policy: Policy) -> tuple[Purpose, ...]:
    """The purposes that the exit code answers for."""
    return _purposes(arguments) if arguments.purpose else policy.crawl_purposes


async def _run_live(arguments: Namespace, policy: Policy) -> int:
    identity = options.identity(arguments)
    limits = Limits(seconds=arguments.timeout, allow_private=arguments.allow_private)
    codes = []
    async with open_fetcher(identity, limits) as fetcher:
        for url in arguments.urls:
            try:
                assessment = await assess(_with_scheme(url), policy, identity, fetcher)
            except OptoutError as error:
                print(f"optout check: {printable(url)}: {error}", file=sys.stderr)
                codes.append(USAGE)
                continue
            _show(arguments, policy, assessment)
            judged = _judged(arguments, policy)
            codes.append(of_effects(assessment.verdict.decision(purpose).effect for purpose in judged))
    return max(codes, key=_worst, default=DONE)


def _worst(code: int) -> int:
    """Unusable input outweighs a no, which outweighs undecided."""
    return (DONE, 3, 1, USAGE).index(code)


def _with_scheme(url: str) -> str:
    """What people type: a bare host means https."""
    return url if "://" in url else f"https://{url}"


def _show(arguments: Namespace, policy: Policy, assessment: Assessment) -> None:
    purposes = _purposes(arguments)
    if arguments.json:
        print(json.dumps(assessment_json(assessment, policy, arguments.token, purposes), ensure_ascii=False))
        return
    console = options.console()
    print_answer(console, assessment.url, assessment.verdict, _judged(arguments, policy))
    console.print(f"as {arguments.token}, under the policy {policy.name}", markup=False)
    for step in assessment.then:
        console.print(f"leads to {printable(step.url)}", markup=False)
    print_verdict(console, assessment.verdict, purposes)
    for url, offer in policy_offers(assessment):
        print_pairs(console, f"Offer of {printable(url)}", offer)
    if arguments.explain:
        print_explanation(console, assessment.verdict, policy)


def _run_cases(arguments: Namespace, policy: Policy) -> int:
    """Answer every case in order; a bad line is answered with its error and spoils only the exit code."""
    code = DONE
    for number, line in enumerate(_lines(arguments.cases), start=1):
        if not line.strip():
            continue
        try:
            answer = asyncio.run(_answer(line, number, policy, _purposes(arguments)))
        except OptoutError as error:
            answer, code = {"id": _id(line), "error": f"line {number}: {error}"}, USAGE
        print(json.dumps(answer, ensure_ascii=True))
    return code


def _lines(source: str) -> Iterator[bytes]:
    if source == "-":
        yield from sys.stdin.buffer
        return
    try:
        with open(source, "rb") as file:  # noqa: PTH123 - a name may also be a pipe
            yield from file
    except OSError as error:
        message = f"{source}: {error.strerror}"
        raise UnreadableInput(message, mend="name a readable file, or - for standard input") from error


def _parsed(line: bytes) -> Any:  # noqa: ANN401 - whatever a stranger wrote
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        message = f"not JSON: {error}"
        raise UnreadableInput(message, mend="write one JSON object a line") from error


def _id(line: bytes) -> object:
    try:
        case = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return case.get("id") if isinstance(case, dict) else None


async def _answer(line: bytes, number: int, policy: Policy, purposes: Sequence[Purpose]) -> dict[str, Any]:
    case = _parsed(line)
    if not isinstance(case, dict) or not isinstance(case.get("input"), dict):
        message = f"case {number} is not an object with an input"
        raise UnreadableInput(message, mend='write {"id": …, "input": {…}}')
    given = case["input"]
    identity = Identity(str(given.get("user_agent", options.DEFAULT_TOKEN)))
    site = cases.fetcher(given)
    assessment = await assess(given["url"], policy, identity, site, refused_too=True)
    return {"id": case.get("id")} | verdict_json(assessment.verdict, purposes)
