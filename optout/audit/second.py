"""When the second reader of robots.txt need not be asked.

The engine asks an independent parser, Protego, about every URL that our own reader allows; that costs more than all
the rest. For most files it can be proved once that Protego cannot forbid what we allow. Let every `Disallow` of
Protego's be a refusal of ours too, and let every one of our allowances that outweighs such a refusal outweigh it with
Protego as well. If Protego forbids a URL, its `Disallow` matches and no allowance matches that weighs as much; then
ours refuses it too, because an allowance of ours that saved it would have saved it there.

The proof compares patterns as texts, so it holds for URLs that both readers leave as they are: ASCII without escapes,
`*`, `$` and `#`. Others are asked about one by one.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

from optout.engine import ROBOTS_ROLE
from optout.engine.precedence import pattern_of
from optout.model import Availability
from optout.signals.robots_exclusion import PROTOCOL, _protego

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.engine import Ranked
    from optout.model import Exchange

    Weights = dict[str, int]

# A run that begins with a hexadecimal digit could be found inside an escape of Protego's.
_MISALIGNED = re.compile(r"\*+[0-9A-F]")
# Escapes of ASCII that Protego reads as the character and we do not; those of / % $ * are kept apart by both.
_READ_DIFFERENTLY = re.compile(r"%(?!2F|25|24|2A)[0-7][0-9A-F]")
# What no plain URL can hold once it is quoted.
_NEVER_PLAIN = re.compile(r"%(?:2F|25|24|2A|[89A-F][0-9A-F])")


class Second(Enum):
    """When the second reader has to be asked about a URL that we allow."""

    NEVER = "never"
    ODD = "about URLs that are not plain"
    ALWAYS = "always"


def when_to_ask(exchanges: Iterable[Exchange], ranked: Iterable[Ranked], token: str) -> Second:
    """Compare what Protego read with what we read.

    Args:
        exchanges: of the origin; only that of robots.txt is looked at.
        ranked: the statements that address us, in their order.
        token: our product token.
    """
    modes = [
        _compare(exchange.body, ranked, token)
        for exchange in exchanges
        if exchange.role == ROBOTS_ROLE and exchange.availability is Availability.RETRIEVED
    ]
    return max(modes, key=list(Second).index, default=Second.NEVER)


def _compare(body: bytes, ranked: Iterable[Ranked], token: str) -> Second:
    parsed = _protego(body)
    rules = parsed._get_matching_rule_set(token) if parsed is not None else None  # noqa: SLF001
    theirs = rules._rules if rules is not None else []  # noqa: SLF001
    refusals = _weights((rule.value._pattern, rule.value.priority) for rule in theirs if rule.field == "disallow")  # noqa: SLF001
    if not refusals:
        return Second.NEVER
    allowances = _weights((rule.value._pattern, rule.value.priority) for rule in theirs if rule.field == "allow")  # noqa: SLF001
    orders = [order for order in ranked if order.bounds[0].protocol is PROTOCOL and not order.bounds[0].advisory]
    proved = any(_implied(refusals, allowances, order) for order in orders)
    return Second.ODD if proved else Second.ALWAYS


def _weights(patterns: Iterable[tuple[str, int]]) -> Weights:
    """The greatest weight of each pattern."""
    weights: Weights = {}
    for text, weight in patterns:
        form = re.sub(r"\*+", "*", text)
        weights[form] = max(weights.get(form, 0), weight)
    return weights


def _implied(refusals: Weights, allowances: Weights, order: Ranked) -> bool:
    """Whether a refusal of theirs always means one of ours, for plain URLs."""
    if any(_MISALIGNED.search(form) for form in refusals):
        return False
    ours, saving = _ours(order)
    if ours is None:
        return False
    worth: list[tuple[int, int]] = []
    for form, weight in refusals.items():
        if _NEVER_PLAIN.search(form):
            continue
        if form not in ours:
            return False
        worth.append((ours[form], weight))
    return _outweighed(worth, [(octets, allowances.get(form, -1)) for form, octets in saving])


def _ours(order: Ranked) -> tuple[Weights | None, Sequence[tuple[str, int]]]:
    """Our refusals with their weights, and our allowances; None where a pattern cannot be compared."""
    refusing: Weights = {}
    saving: list[tuple[str, int]] = []
    for bound in order.bounds:
        pattern = pattern_of(bound.statement.pattern)
        if _READ_DIFFERENTLY.search(pattern.normal):
            return None, ()
        form = _quoted(pattern.normal)
        if bound.statement.refuses_access:
            refusing[form] = max(refusing.get(form, 0), pattern.octets)
        elif not _NEVER_PLAIN.search(form) and form != f"{ROBOTS_ROLE}$":
            saving.append((form, pattern.octets))
    return refusing, saving


def _quoted(normal: str) -> str:
    anchor = "$" if normal.endswith("$") else ""
    return quote(normal.removesuffix("$"), safe="/%*=") + anchor


def _outweighed(refusals: Sequence[tuple[int, int]], saving: Sequence[tuple[int, int]]) -> bool:
    """Whether each allowance of ours that outweighs a refusal here outweighs it there.

    Args:
        refusals: our weight and theirs.
        saving: our weight and theirs, which is -1 where they do not have it.
    """
    weakest, at = float("inf"), 0
    allowances = sorted(saving, reverse=True)
    for octets, weight in sorted(refusals, reverse=True):
        while at < len(allowances) and allowances[at][0] >= octets:
            weakest = min(weakest, allowances[at][1])
            at += 1
        if weakest < weight:
            return False
    return True
