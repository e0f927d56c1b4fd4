"""When the second reader of robots.txt need not be asked.

The engine asks an independent parser, Protego, about every URL that our own reader allows; that costs more than all
the rest. For nearly every rule of Protego's it can be shown once that it cannot forbid what we allow. Let a `Disallow`
of Protego's be a refusal of ours too, and let every allowance of ours that outweighs it outweigh it with Protego as
well. If Protego forbids a URL by it, no allowance matches that weighs as much; then ours refuses the URL too, because
an allowance of ours that saved it would have saved it there.

Rules for which that does not hold become doubts: patterns that match whatever the rule may match. Protego alone can
forbid only URLs that a doubt matches, and URLs that the two readers do not write in the same way. Of these it is asked
about those that one of its refusals matches as it writes them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from protego import Protego
from protego._utils import _quote_path

from optout.engine import ROBOTS_ROLE
from optout.engine.precedence import pattern_of
from optout.model import Availability
from optout.signals.robots_exclusion import PROTOCOL, _second_reading
from optout.syntax.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.engine import Ranked
    from optout.model import Exchange

    Weights = dict[str, int]

# A run that begins with a hexadecimal digit could be found inside an escape of Protego's, at most two digits of it.
_MISALIGNED = re.compile(r"\*[0-9A-F]{1,2}")
# A sign of percent that begins no escape in a rule is found at the beginning of every escape of Protego's.
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})[0-9A-Fa-f]?")
# Escapes that both readers keep: of what no URL holds as it is, and of octets beyond ASCII.
_KEPT = r"(?:[01][0-9A-F]|2[02F]|3[CE]|5[CE]|60|7[BCDF]|[89A-F][0-9A-F])"
# Escapes of ASCII that Protego reads as the character and we do not.
_READ_DIFFERENTLY = re.compile(rf"%(?!{_KEPT}|2[45A])..?")
# What stands in the rule of one reader alone; Protego is asked about every URL that holds it.
_APART = re.compile(r"%2[45A]")
_NOT_KEPT = re.compile(f"%(?!{_KEPT})")
_BEYOND_ASCII = re.compile(r"%[89A-F][0-9A-F](?:%[89A-F][0-9A-F])*")


class Reader(NamedTuple):
    """Protego with the rules for one token alone, because it copies the rules for every agent that a file names."""

    parsed: Protego
    token: str

    def forbids(self, url: str) -> bool:
        """Whether it forbids a URL; one that it cannot take apart is not forbidden, as in the engine."""
        try:
            return not self.parsed.can_fetch(url, self.token)
        except ValueError:
            return False


class Doubts(NamedTuple):
    """When the second reader has to be asked about a URL that we allow.

    Attributes:
        never: it forbids nothing at all.
        patterns: it may have to be asked about URLs that one of these matches, beside those that are read differently.
        readers: whom to ask.
        refusals: its own, in its own form; it has to be asked where one of them matches `their_form`.
    """

    never: bool
    patterns: tuple[Pattern, ...] = ()
    readers: tuple[Reader, ...] = ()
    refusals: tuple[str, ...] = ()


def _only(rules: Any, token: str) -> Reader:  # noqa: ANN401 - a type that Protego keeps to itself
    parsed = Protego()
    parsed._user_agents = {token: rules}  # noqa: SLF001
    parsed._matched_rule_set = {token: rules}  # noqa: SLF001
    return Reader(parsed, token)


NONE = Doubts(never=True)


def reads_alike(target: str, url: str) -> bool:
    """Whether both readers see the same in a URL, of which `match_target` gives the target."""
    if _edged(url):
        return False
    if "%" not in target:
        return True
    return not _NOT_KEPT.search(target) and _is_utf8(target)


def _edged(url: str) -> bool:
    """Whether white space or controls stand around a URL; Protego keeps those behind it."""
    return url[:1] <= " " or url[-1:] <= " "


# What Protego writes as an escape where we leave it as it stands; its "=" stands for both of its spellings.
_ESCAPED = re.compile(r"""[!"#$&'()*+,:;<>?@[\\\]^`{|}]""")


def their_form(target: str, url: str) -> str | None:
    """The path and query of a URL as Protego compares them; None where it cannot take the URL apart.

    Args:
        target: what `match_target` gives for the URL.
        url: absolute.
    """
    if "%25" not in target and not _edged(url) and _is_utf8(target):
        return _ESCAPED.sub(lambda sign: f"%{ord(sign[0]):02X}", target.replace("%3D", "="))
    try:
        return _quote_path(url)
    except ValueError:
        return None


def _is_utf8(target: str) -> bool:
    """Whether the escapes of octets beyond ASCII in a target are those of characters."""
    try:
        for escapes in _BEYOND_ASCII.findall(target):
            bytes.fromhex(escapes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Theirs(NamedTuple):
    """What Protego read in a robots.txt for us.

    Attributes:
        refusals: the greatest weight of each.
        allowances: the same.
        reader: to ask; None where no rule is for us.
    """

    refusals: Weights
    allowances: Weights
    reader: Reader | None


def their_readings(exchanges: Iterable[Exchange], token: str) -> tuple[Theirs, ...]:
    """What Protego read, which is the same under every policy.

    Args:
        exchanges: of the origin; only that of robots.txt is looked at.
        token: our product token.
    """
    return tuple(
        _theirs(exchange.body, token)
        for exchange in exchanges
        if exchange.role == ROBOTS_ROLE and exchange.availability is Availability.RETRIEVED
    )


def _theirs(body: bytes, token: str) -> Theirs:
    reading = _second_reading(body, token)
    rules = reading._parsed._get_matching_rule_set(token) if reading is not None else None  # noqa: SLF001
    found = rules._rules if rules is not None else []  # noqa: SLF001
    refusals = _weights((rule.value._pattern, rule.value.priority) for rule in found if rule.field == "disallow")  # noqa: SLF001
    allowances = _weights((rule.value._pattern, rule.value.priority) for rule in found if rule.field == "allow")  # noqa: SLF001
    return Theirs(refusals, allowances, _only(rules, token) if found else None)


def doubts_about(readings: Iterable[Theirs], ranked: Iterable[Ranked]) -> Doubts:
    """Compare what Protego read with what we read.

    Args:
        readings: what it read.
        ranked: the statements that address us, in their order.
    """
    found = [_compare(theirs, ranked) for theirs in readings]
    patterns = tuple(pattern for doubts in found for pattern in doubts.patterns)
    readers = tuple(reader for doubts in found for reader in doubts.readers)
    refusals = tuple(form for doubts in found for form in doubts.refusals)
    return Doubts(all(doubts.never for doubts in found), patterns, readers, refusals)


def _compare(theirs: Theirs, ranked: Iterable[Ranked]) -> Doubts:
    every = tuple(theirs.refusals)
    readers = () if theirs.reader is None else (theirs.reader,)
    refusals = {
        form: weight for form, weight in theirs.refusals.items() if form[:1] in "/*" and not _APART.search(form)
    }
    if not refusals:
        return Doubts(not every, (), readers, every)
    orders = [order for order in ranked if order.bounds[0].protocol is PROTOCOL and not order.bounds[0].advisory]
    unproved: list[list[str]] = [_unproved(refusals, theirs.allowances, order) for order in orders] or [list(refusals)]
    fewest: list[str] = min(unproved, key=lambda forms: (len(forms), forms))
    return Doubts(never=False, patterns=tuple(map(_whatever, fewest)), readers=readers, refusals=every)


def _weights(patterns: Iterable[tuple[str, int]]) -> Weights:
    """The greatest weight of each pattern."""
    weights: Weights = {}
    for text, weight in patterns:
        form = re.sub(r"\*+", "*", text) if "**" in text else text
        weights[form] = max(weights.get(form, 0), weight)
    return weights


def _unproved(refusals: Weights, allowances: Weights, order: Ranked) -> list[str]:
    """The refusals of theirs that may forbid what we allow."""
    ours, saving = _ours(order)
    proved: list[tuple[int, int, str]] = []
    doubtful: list[str] = []
    for form, weight in refusals.items():
        if form in ours and not _MISALIGNED.search(form):
            proved.append((ours[form], weight, form))
        else:
            doubtful.append(form)
    return doubtful + _outweighed(proved, [(octets, allowances.get(form, -1)) for form, octets in saving])


def _ours(order: Ranked) -> tuple[Weights, Sequence[tuple[str, int]]]:
    """Our refusals and allowances as Protego would write them, with our weights.

    A pattern that Protego would read differently matches no URL that both see alike.
    """
    refusing: Weights = {}
    saving: list[tuple[str, int]] = []
    for bound in order.bounds:
        pattern = pattern_of(bound.statement.pattern)
        form = pattern.normal
        if not _WRITTEN_ALIKE(form):
            if _READ_DIFFERENTLY.search(form) or _APART.search(form):
                continue
            form = _quoted(form)
        if bound.statement.refuses_access:
            refusing[form] = max(refusing.get(form, 0), pattern.octets)
        elif form != f"{ROBOTS_ROLE}$":
            saving.append((form, pattern.octets))
    return refusing, saving


# A pattern that both write in the same way.
_WRITTEN_ALIKE = re.compile(r"[A-Za-z0-9_.~/=*-]*\$?").fullmatch


@lru_cache(maxsize=65_536)
def _quoted(normal: str) -> str:
    anchor = "$" if normal.endswith("$") else ""
    return quote(normal.removesuffix("$"), safe="/%*=") + anchor


def _outweighed(refusals: Sequence[tuple[int, int, str]], saving: Sequence[tuple[int, int]]) -> list[str]:
    """The refusals that an allowance outweighs here and not there.

    Args:
        refusals: our weight, theirs, and the pattern.
        saving: our weight and theirs, which is -1 where they do not have it.
    """
    if not saving:
        return []
    found = []
    weakest, at = float("inf"), 0
    allowances = sorted(saving, reverse=True)
    for octets, weight, form in sorted(refusals, reverse=True):
        while at < len(allowances) and allowances[at][0] >= octets:
            weakest = min(weakest, allowances[at][1])
            at += 1
        if weakest < weight:
            found.append(form)
    return found


def _whatever(form: str) -> Pattern:
    """A pattern of ours that matches every target that a pattern of theirs may match.

    What they write as an escape may stand in the target as it is; and where a run may begin inside an escape, its
    first digits are left open.
    """
    anchor = "$" if form.endswith("$") else ""
    text = _MISALIGNED.sub("*", _STRAY.sub("*", form.removesuffix("$")))
    return Pattern(re.sub(rf"%(?!{_KEPT})..", "*", text) + anchor)
