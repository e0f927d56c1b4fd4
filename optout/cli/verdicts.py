"""Verdicts for machines and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from optout.engine.overall import overall
from optout.model import Effect, Purpose, Scope, State, Strength
from optout.signals import PROTOCOLS
from optout.web.forms import place_json, printable, problem_json, signal_json, verdict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from optout.model import Signal, Verdict
    from optout.policy import Policy

__all__ = [
    "place_json",
    "print_answer",
    "print_explanation",
    "print_pairs",
    "print_verdict",
    "printable",
    "problem_json",
    "signal_json",
    "verdict_json",
]

_EFFECT_STYLE = {Effect.PERMIT: "green", Effect.DENY: "bold red", Effect.REVIEW: "yellow"}
_STATE_STYLE = {State.RESERVED: "red", State.PERMITTED: "green", State.UNSPECIFIED: "dim"}
_LONGEST_CELL = 90
_LONGEST_URL = 2_000


_ANSWERS = {Effect.PERMIT: "yes", Effect.DENY: "no", Effect.REVIEW: "a person has to decide"}


def print_answer(console: Console, url: str, verdict: Verdict, purposes: Sequence[Purpose]) -> None:
    """Print the short answer: for what it is asked, whether the copy may be used, and whether it may be fetched."""
    answer = overall(verdict, purposes)
    access = "allowed" if verdict.access is Effect.PERMIT else "refused"
    console.print(Text(printable(url, _LONGEST_URL), style="bold"))
    sentence = Text(f"{', '.join(purposes)}: ").append(_ANSWERS[answer.effect], style=_EFFECT_STYLE[answer.effect])
    console.print(sentence.append(f" ({answer.reason}); access is {access}"))


def print_verdict(console: Console, verdict: Verdict, purposes: Sequence[Purpose]) -> None:
    """Print the answer per purpose, then every other signal, offers, problems and coverage."""
    console.print(_decisions(verdict, purposes))
    decisive = {signal for purpose in purposes for signal in verdict.decision(purpose).decisive}
    rest = [signal for signal in verdict.signals if signal not in decisive]
    if rest:
        console.print(_signals("Other signals", rest))
    asking = (signal for signal in verdict.signals if signal.strength is not Strength.ADVISORY)
    offers = dict.fromkeys(condition for signal in asking for condition in signal.conditions)
    if offers:
        console.print(_pairs("Offer: what the rightsholder asks in return", offers))
    if verdict.problems:
        console.print(_pairs("Problems", ((item.code, str(item.place)) for item in verdict.problems)))
    console.print(_pairs("Looked at", ((carrier, str(found)) for carrier, found in verdict.coverage.carriers)))


def _decisions(verdict: Verdict, purposes: Iterable[Purpose]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("purpose", "stated", "effect", "reason", "where", "what it says"):
        table.add_column(column, overflow="fold")
    for purpose in purposes:
        decision, state = verdict.decision(purpose), verdict.states[purpose]
        first = decision.decisive[0] if decision.decisive else None
        table.add_row(
            purpose,
            Text(state, style=_STATE_STYLE[state]),
            Text(decision.effect, style=_EFFECT_STYLE[decision.effect]),
            decision.reason,
            Text(printable(str(first.place)) if first else ""),
            Text(printable(first.value, _LONGEST_CELL) if first else ""),
        )
    return table


def _signals(title: str, signals: Iterable[Signal]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("purpose", "state", "protocol", "addressed to", "where", "what it says"):
        table.add_column(column, overflow="fold")
    for signal in signals:
        scope = signal.scope if signal.scope is not Scope.OTHER_AGENTS else "other AI crawlers"
        table.add_row(
            signal.purpose,
            Text(signal.state, style=_STATE_STYLE[signal.state]),
            f"{signal.protocol} (advisory)" if signal.advisory else signal.protocol,
            scope,
            Text(printable(str(signal.place))),
            Text(printable(signal.value, _LONGEST_CELL)),
        )
    return table


def print_pairs(console: Console, title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and texts of a stranger's under a title."""
    console.print(_pairs(title, pairs))


def _pairs(title: str, pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    for name, text in pairs:
        table.add_row(Text(f"  {printable(name)}"), Text(printable(text)))
    return table


def print_explanation(console: Console, verdict: Verdict, policy: Policy) -> None:
    """Print the specification and legal status of every protocol that bears on a verdict."""
    table = Table(title="Sources", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("protocol", "specification", "edition", "legal status", "mode"):
        table.add_column(column, overflow="fold")
    for name in sorted({signal.protocol for signal in verdict.signals}):
        protocol, entry = PROTOCOLS[name], policy.registry.get(name)
        status = entry.status if entry else "not registered"
        table.add_row(name, protocol.specification, protocol.edition, status, policy.mode(name))
    console.print(table)
