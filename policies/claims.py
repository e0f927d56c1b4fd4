"""Every sentence about behaviour that a document may contain, and what has to be true for it.

A rule looks at one verified log and at the policies that were in force there. It gives a claim that is *shown* (policy
and log bear it out), *configured* (the policy says so and the log has no case of it) or *contradicted* (the log has a
row that says otherwise). Documents print shown claims as fact, configured ones as intent, contradicted ones as a fault.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from optout.evidence.report import Outcome
from optout.identity import Identity, MalformedToken
from optout.model import Effect
from optout.policy import LayerRule, Mode, NamedAgents, Prose, SecondReading
from optout.signals import PROTOCOLS, http_access
from policies.document import Paragraph, Source, SourceKind
from policies.evidence_facts import KEPT, ROBOTS, LogFacts, Observed, Rows, total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from optout.policy import Policy

INFRINGING = "list.infringing"
PROTOCOL = "protocol."
"""With what the names of claims on protocols begin."""

_REPLAY_STEP = 12
_REFUSALS = ", ".join(map(str, sorted(http_access.REFUSALS)[:-1])) + f" or {max(http_access.REFUSALS)}"


class Standing(StrEnum):
    """How far a claim is borne out."""

    SHOWN = "shown"
    CONFIGURED = "configured"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence about behaviour.

    Attributes:
        name: names it for other documents and for tests, such as `robots.followed`.
        measure: the measure of the Copyright Chapter that it belongs to.
        standing: how far it is borne out.
        text: the sentence; for a contradicted claim, what the log has against it.
        sources: policy key with digest, and log rows with root hash.
        log: the name of the log.
        subject: the protocol that it speaks of, in words; empty where it speaks of none.
    """

    name: str
    measure: str
    standing: Standing
    text: str
    sources: tuple[Source, ...]
    log: str
    subject: str = ""

    @property
    def paragraph(self) -> Paragraph:
        """The claim as a document prints it."""
        return Paragraph(self.text, self.sources)


def claims(observed: Observed) -> tuple[Claim, ...]:
    """Every claim on every log that holds, in the order of the measures."""
    found = (claim for log in observed.sound if _complete(log) for rule in RULES for claim in rule(log))
    return tuple(sorted(found, key=lambda claim: (claim.measure, claim.log)))


def _complete(log: LogFacts) -> bool:
    """Whether the text of every policy that decisions name is there."""
    return bool(log.regimes) and {(row.policy, row.registry) for row in log.decisions} <= log.policies.keys()


def _everywhere(log: LogFacts, condition: Callable[[Policy], bool]) -> bool:
    return all(condition(regime.policy) for regime in log.regimes)


def _keys(log: LogFacts, key: str) -> tuple[Source, ...]:
    digests = dict.fromkeys(regime.policy.digest for regime in log.regimes)
    return tuple(Source(SourceKind.POLICY, key, digest) for digest in digests)


def _modes(log: LogFacts, protocol: str) -> tuple[Source, ...]:
    pairs = dict.fromkeys((regime.policy.registry_digest, regime.policy.mode(protocol)) for regime in log.regimes)
    return tuple(Source(SourceKind.POLICY, f"{protocol} mode = {mode}", digest) for digest, mode in pairs)


def _enforced(log: LogFacts, protocol: str) -> bool:
    return _everywhere(log, lambda policy: policy.mode(protocol) is Mode.ENFORCE)


def _replayed(log: LogFacts) -> bool:
    """Whether deciding again gave the same decisions, so that what the policy says is what was done."""
    return any(step.number == _REPLAY_STEP and step.outcome is Outcome.HOLDS for step in log.verification.steps)


def _asked(log: LogFacts) -> tuple[Rows, ...]:
    """Decisions that could rest on what a site says: of a listed site nothing is asked."""
    return tuple(row for row in log.decisions if row.reason != INFRINGING)


def _one(log: LogFacts, name: str, standing: Standing, text: str, sources: Sequence[Source]) -> Iterator[Claim]:
    yield Claim(name, MEASURES[name], standing, text, tuple(sources), log.origin)


def _by_policy(log: LogFacts, name: str, text: str, key: str) -> Iterator[Claim]:
    """A claim on how decisions are made: deciding again under the policy shows that it was followed."""
    standing = Standing.SHOWN if _replayed(log) else Standing.CONFIGURED
    yield from _one(log, name, standing, text, (*_keys(log, key), log.pointer(log.decisions, "decided again")))


def robots_followed(log: LogFacts) -> Iterator[Claim]:
    """RFC 9309 is enforced, and no decision was made without robots.txt."""
    if not _enforced(log, "robots-exclusion") or not _asked(log):
        return
    without = [row for row in _asked(log) if row.coverage.get(ROBOTS, "not-consulted") == "not-consulted"]
    sources = _modes(log, "robots-exclusion")
    if without:
        text = f"{total(without)} decisions were made without looking at robots.txt."
        pointer = log.pointer(without, "coverage of /robots.txt")
        yield from _one(log, "robots.followed", Standing.CONTRADICTED, text, (*sources, pointer))
        return
    text = (
        f"The crawler reads and follows robots.txt as RFC 9309 has it: it was looked at for each of the "
        f"{total(_asked(log))} decisions on record."
    )
    yield from _one(log, "robots.followed", Standing.SHOWN, text, (*sources, log.pointer(_asked(log))))


def robots_refusals(log: LogFacts) -> Iterator[Claim]:
    """Rules of robots.txt led to refusals."""
    rows = [row for row in log.decisions if row.reason.startswith("robots.") and row.effect == "deny"]
    if _enforced(log, "robots-exclusion") and rows:
        text = f"Requests or pages that were refused because of robots.txt: {total(rows)}."
        sources = (*_modes(log, "robots-exclusion"), log.pointer(rows, "reason robots.*"))
        yield from _one(log, "robots.refused", Standing.SHOWN, text, sources)


def robots_unreachable(log: LogFacts) -> Iterator[Claim]:
    """RFC 9309 section 2.3.1.4: an unreachable robots.txt is a complete disallow."""
    if not _enforced(log, "robots-exclusion"):
        return
    rows = [row for row in log.decisions if row.coverage.get(ROBOTS) == "unreachable"]
    wrong = [row for row in rows if row.effect == "permit" or row.fetched]
    sources = (*_modes(log, "robots-exclusion"), log.pointer(wrong or rows, "robots.txt unreachable"))
    if wrong:
        text = f"{total(wrong)} pages were permitted though robots.txt could not be reached."
        yield from _one(log, "robots.unreachable", Standing.CONTRADICTED, text, sources)
    elif rows:
        text = f"Where robots.txt cannot be reached, nothing is fetched. Cases on record: {total(rows)}."
        yield from _one(log, "robots.unreachable", Standing.SHOWN, text, sources)
    else:
        text = "Where robots.txt cannot be reached, nothing is fetched. The log has no case of it."
        yield from _one(log, "robots.unreachable", Standing.CONFIGURED, text, sources)


def refused_not_fetched(log: LogFacts) -> Iterator[Claim]:
    """What was refused before the request was not requested."""
    rows = [row for row in log.decisions if row.stage == "request" and row.effect != "permit"]
    wrong = [row for row in rows if row.fetched]
    sources = (*_keys(log, "crawl.purposes"), log.pointer(wrong or rows, "stage request"))
    if wrong:
        text = f"{total(wrong)} pages were fetched though they had been refused before the request."
        yield from _one(log, "access.not-fetched", Standing.CONTRADICTED, text, sources)
    elif rows:
        text = f"None of the {total(rows)} pages that were refused before the request was fetched."
        yield from _one(log, "access.not-fetched", Standing.SHOWN, text, sources)


def access_refusals(log: LogFacts) -> Iterator[Claim]:
    """Answers that refuse access, by a subscription or a demand of law, are final."""
    if not _enforced(log, "http-access"):
        return
    rows = [row for row in log.decisions if row.reason in http_access.REFUSALS.values()]
    wrong = [row for row in rows if row.effect == "permit"]
    sources = (*_modes(log, "http-access"), log.pointer(wrong or rows, "reason http.*"))
    if wrong:
        text = f"{total(wrong)} pages were permitted though the server had refused access."
        yield from _one(log, "access.final", Standing.CONTRADICTED, text, sources)
    elif rows:
        text = f"An answer of {_REFUSALS} is taken as a refusal. Cases on record: {total(rows)}."
        yield from _one(log, "access.final", Standing.SHOWN, text, sources)
    else:
        text = f"An answer of {_REFUSALS} is taken as a refusal. The log has no case of it."
        yield from _one(log, "access.final", Standing.CONFIGURED, text, sources)


def kept_with_permission(log: LogFacts) -> Iterator[Claim]:
    """Nothing was kept that had not been permitted after it had been read."""
    rows = [row for row in log.rows if row.kind == KEPT]
    sources = (*_keys(log, "decide"), log.pointer(rows, "kept"))
    if log.kept_without_permission:
        text = f"{log.kept_without_permission} pages were kept without a decision that permits it."
        yield from _one(log, "kept.permitted", Standing.CONTRADICTED, text, sources)
    elif rows:
        text = f"Each of the {total(rows)} pages that were kept had been permitted after its content was read."
        yield from _one(log, "kept.permitted", Standing.SHOWN, text, sources)


def identity_shown(log: LogFacts) -> Iterator[Claim]:
    """The crawler gives its name in every request and does not pose as a browser."""
    if not log.identities or {row.identity for row in log.decisions} - log.identities.keys():
        return
    try:
        said = [Identity(form.get("product_token", ""), form.get("user_agent", "")) for form in log.identities.values()]
    except MalformedToken:
        return
    digests = tuple(Source(SourceKind.LOG, "document identity", digest) for digest in log.identities)
    sources = (*_keys(log, "crawl"), *digests, log.pointer(log.decisions, "identity"))
    if any(identity.poses_as_browser for identity in said):
        text = "A User-Agent header in use does not name the crawler, or has the form of a browser's."
        yield from _one(log, "identity.open", Standing.CONTRADICTED, text, sources)
    else:
        names = ", ".join(f"{identity.token} (User-Agent: {identity.header})" for identity in said)
        text = f"The crawler is configured to name itself in every request and not to pose as a browser: {names}."
        yield from _one(log, "identity.open", Standing.SHOWN, text, sources)


def lists_in_force(log: LogFacts) -> Iterator[Claim]:
    """Sites on lists of infringing sites are left out; lists of opt-outs and advice are none of these."""
    if not log.infringing or not _enforced(log, "blocklist"):
        return
    rows = [row for row in log.decisions if row.reason == INFRINGING]
    wrong = [row for row in rows if row.effect == "permit" or row.fetched]
    sources = (*_modes(log, "blocklist"), log.pointer(wrong or rows, f"reason {INFRINGING}"))
    if wrong:
        text = f"{total(wrong)} pages of listed sites were permitted or fetched."
        yield from _one(log, "lists.excluded", Standing.CONTRADICTED, text, sources)
        return
    names = ", ".join(sorted(str(entry.get("name", "unnamed")) for entry in log.infringing))
    text = f"Lists were consulted before sites were ({names}); {total(rows)} requests to listed sites were refused."
    yield from _one(log, "lists.excluded", Standing.SHOWN if rows else Standing.CONFIGURED, text, sources)


def protocols_enforced(log: LogFacts) -> Iterator[Claim]:
    """One claim for each enforced protocol, with its refusals."""
    for name, protocol in PROTOCOLS.items():
        if name in {"robots-exclusion", "http-access", "blocklist"} or not _enforced(log, name):
            continue
        rows = [row for row in log.decisions if name in row.protocols and row.effect == "deny"]
        sources = (*_modes(log, name), log.pointer(rows, f"signals of {name}"))
        title = f"{protocol.title} ({name})"
        if rows:
            text = (
                f"Reservations by {title} are read and enforced; decisions that refused because of them: {total(rows)}."
            )
        else:
            text = f"Reservations by {title} are to be enforced. The log has no refusal because of one."
        standing = Standing.SHOWN if rows else Standing.CONFIGURED
        yield Claim(f"{PROTOCOL}{name}", "1.3", standing, text, sources, log.origin, title)


def purposes(log: LogFacts) -> Iterator[Claim]:
    """What the crawl is for, as each row says."""
    stated = {" ".join(regime.policy.crawl_purposes) for regime in log.regimes}
    named = {row.purpose for row in log.decisions}
    if stated == named:
        text = f"The crawl is for: {', '.join(sorted(stated))}. A page is kept only where none of these is refused."
        yield from _by_policy(log, "purposes", text, "crawl.purposes")


def precedence(log: LogFacts) -> Iterator[Claim]:
    """Signals closer to the work only add."""
    if _everywhere(log, lambda policy: policy.layers is LayerRule.TIGHTEN):
        text = "Where signals differ, the most restrictive counts: a header or page can add to what its site reserves."
        yield from _by_policy(log, "precedence", text, 'reading.layers = "tighten"')


def second_reading(log: LogFacts) -> Iterator[Claim]:
    """An independent reader of robots.txt has a veto."""
    if _everywhere(log, lambda policy: policy.second_reader is SecondReading.DENY):
        text = "robots.txt is read by two independent readers; where either forbids, the page is refused."
        yield from _by_policy(log, "second-reader", text, 'reading.second_reader = "deny"')


def prose(log: LogFacts) -> Iterator[Claim]:
    """What terms in natural language do."""
    texts = {
        Prose.ADVISORY: "Terms in natural language do not decide; where they are found they are shown to a person.",
        Prose.RESERVE: "A reservation in terms in natural language counts like one in a protocol.",
        Prose.IGNORE: "Terms in natural language are not read.",
    }
    modes = {Mode.OBSERVE: Prose.ADVISORY, Mode.ENFORCE: Prose.RESERVE, Mode.OFF: Prose.IGNORE}
    found = {modes[regime.policy.mode("terms-of-service")] for regime in log.regimes}
    if len(found) == 1:
        (word,) = found
        key = f'reading.prose = "{word}"'
        yield from _one(log, "prose", Standing.CONFIGURED, texts[word], (*_keys(log, key), log.pointer(log.decisions)))


def other_agents(log: LogFacts) -> Iterator[Claim]:
    """What rules for other AI crawlers do."""
    texts = {
        NamedAgents.IGNORE: "Rules that name other AI crawlers have no effect on this one.",
        NamedAgents.REPORT: "Rules that name other AI crawlers are recorded; they do not decide for this one.",
        NamedAgents.RESERVE: "Rules that name other AI crawlers count for this one too.",
    }
    found = {regime.policy.named_agents for regime in log.regimes}
    if len(found) == 1:
        (word,) = found
        yield from _by_policy(log, "other-agents", texts[word], f'reading.named_agents = "{word}"')


def reuse(log: LogFacts) -> Iterator[Claim]:
    """How long signals may be reused. The log does not time it row by row, so it stays a matter of configuration."""
    hours = {regime.policy.max_age_hours for regime in log.regimes}
    text = f"What a site has said is fetched again after {max(hours)} hours at the latest."
    sources = (*_keys(log, f"crawl.max_age_hours = {max(hours)}"), log.pointer(log.decisions))
    yield from _one(log, "reuse", Standing.CONFIGURED, text, sources)


def repeatable(log: LogFacts) -> Iterator[Claim]:
    """Deciding again from the archive gives what the log says."""
    if _replayed(log):
        (step,) = (step for step in log.verification.steps if step.number == _REPLAY_STEP)
        text = f"Decisions can be checked: {step.checked} were made again from archived answers, with the same result."
        yield from _one(log, "repeatable", Standing.SHOWN, text, (*_keys(log, "name"), log.pointer(log.decisions)))


def verified(log: LogFacts) -> Iterator[Claim]:
    """The log is whole: what verification checked, and what there was nothing of."""
    steps = log.verification.steps
    holding = sum(step.outcome is Outcome.HOLDS for step in steps)
    nothing = sum(step.outcome is Outcome.NOTHING for step in steps)
    text = (
        f"The log of decisions is chained by hashes, signed, and verifies: of {len(steps)} checks {holding} hold and "
        f"{nothing} had nothing to check."
    )
    if log.size:
        yield from _one(log, "log.verified", Standing.SHOWN, text, (*_keys(log, "name"), log.pointer(log.rows)))


def unclear(log: LogFacts) -> Iterator[Claim]:
    """What becomes of what cannot be learnt. Absent, unreachable, unreadable and not looked at are four things."""
    found = {
        (regime.policy.unreachable, regime.policy.unreadable, regime.policy.unknown, regime.policy.not_consulted)
        for regime in log.regimes
    }
    if len(found) == 1:
        ((unreachable, unreadable, unknown, unseen),) = found
        permitted = [row for row in log.decisions if row.effect == "permit" and _unseen(row)]
        cautious = Effect.PERMIT not in (unreachable, unreadable, unknown) and not permitted
        beginning = "What is unclear is not taken for consent" if cautious else "What is unclear is decided so"
        text = (
            f"{beginning}: a signal file that cannot be reached, {unreachable}; metadata that cannot be read, "
            f"{unreadable}; a site of which nothing is known, {unknown}; a file other than robots.txt that was not "
            f"looked at, {unseen}. Permissions on record without a look at every such file: {total(permitted)}."
        )
        yield from _by_policy(log, "unclear.cautious" if cautious else "unclear", text, _UNCLEAR)


_UNCLEAR = "decide.unreachable, decide.unreadable, decide.unknown, decide.not_consulted"


def _unseen(row: Rows) -> bool:
    return "not-consulted" in row.coverage.values()


def registry_dated(log: LogFacts) -> Iterator[Claim]:
    """Protocols are data, with a legal status, a mode, and a day from which a mode changes."""
    for registry in dict.fromkeys(regime.policy.registry_digest for regime in log.regimes):
        policy = next(regime.policy for regime in log.regimes if regime.policy.registry_digest == registry)
        modes = Counter(policy.mode(name) for name in policy.registry)
        told = ", ".join(f"{modes[mode]} {word}" for mode, word in _MODES.items() if modes[mode])
        later = sorted(entry.name for entry in policy.registry.values() if entry.enforce_from is not None)
        plan = f" With a day from which they are enforced: {', '.join(later)}." if later else ""
        text = (
            f"A dated registry gives each of {len(policy.registry)} protocols a legal status and a mode: {told}.{plan}"
        )
        sources = (Source(SourceKind.POLICY, "protocols.toml", registry), log.pointer(log.decisions, "registry"))
        yield from _one(log, "registry.dated", Standing.SHOWN, text, sources)


_MODES: Mapping[Mode, str] = {
    Mode.ENFORCE: "to be enforced", Mode.OBSERVE: "to be observed", Mode.OFF: "not to be read",
}  # fmt: skip

MEASURES: Mapping[str, str] = {
    "access.final": "1.2", "access.not-fetched": "1.2", "identity.open": "1.2", "lists.excluded": "1.2",
    "robots.followed": "1.3", "robots.refused": "1.3", "robots.unreachable": "1.3", "kept.permitted": "1.3",
    "purposes": "1.3", "precedence": "1.3", "second-reader": "1.3", "prose": "1.3", "other-agents": "1.3",
    "reuse": "1.3", "repeatable": "1.1", "log.verified": "1.1",
    "registry.dated": "1.3", "unclear": "1.3", "unclear.cautious": "1.3",
}  # fmt: skip
"""The measure that each claim belongs to; claims on protocols belong to 1.3."""

RULES: tuple[Callable[[LogFacts], Iterator[Claim]], ...] = (
    verified, repeatable, refused_not_fetched, access_refusals, identity_shown, lists_in_force, robots_followed,
    robots_refusals, robots_unreachable, registry_dated, protocols_enforced, precedence, unclear, second_reading, prose,
    other_agents, purposes, kept_with_permission, reuse,
)  # fmt: skip
"""Every rule, in the order in which documents print the claims of a measure."""
