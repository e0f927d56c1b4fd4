"""Claims as documents print them: under the name of how far they are borne out, with what is alike put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from policies.claims import PROTOCOL, Claim, Standing
from policies.document import Block, Bullets, Paragraph, Source, SourceKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from policies.evidence_facts import Observed
    from policies.facts import Facts

HEADS: Mapping[Standing, str] = {
    Standing.SHOWN: "Shown by the policy in force and the log:",
    Standing.CONFIGURED: "Configured; the log cannot show it or has no case of it:",
    Standing.CONTRADICTED: "The log has this against the policy:",
}
LABELS: Mapping[Standing, str] = {
    Standing.SHOWN: "Shown",
    Standing.CONFIGURED: "Configured",
    Standing.CONTRADICTED: "Contradicted by the log",
}


def crawls_nothing(facts: Facts, observed: Observed) -> bool:
    """Whether the provider declares that no crawler collects for it, and no log may say otherwise.

    A log that holds and has no decisions, as that of the complaints, says nothing of crawlers.
    """
    return facts.crawlers == () and all(log.holds and not log.decisions for log in observed.logs)


def no_crawler(facts: Facts) -> Paragraph:
    """What stands where a crawler's behaviour would, so that nobody is asked for a log that cannot be."""
    text = "The provider declares that no crawler is run by it or for it, so there is no behaviour of one to show."
    return Paragraph(text, (facts.pointer("crawlers = []"),))


def standings(found: Iterable[Claim]) -> Iterator[Block]:
    """Claims in three groups: shown, only configured, contradicted by the log."""
    listed = gathered(found)
    for standing, head in HEADS.items():
        items = tuple(claim.paragraph for claim in listed if claim.standing is standing)
        if items:
            yield Paragraph(head)
            yield Bullets(items)


def labelled(found: Iterable[Claim]) -> Bullets:
    """Claims as one list, each with its standing before it."""
    listed = gathered(found)
    return Bullets(tuple(Paragraph(f"{LABELS[one.standing]}: {one.text}", one.sources) for one in listed))


def gathered(found: Iterable[Claim]) -> tuple[Claim, ...]:
    """The claims, with the protocols that a log has no case of put into one sentence, in the last one's place."""
    listed = tuple(found)
    silent: dict[str, list[Claim]] = {}
    for claim in listed:
        if _silent(claim):
            silent.setdefault(claim.log, []).append(claim)
    lasts = {claims[-1]: claims for claims in silent.values()}
    return tuple(
        _together(lasts[claim]) if claim in lasts else claim for claim in listed if claim in lasts or not _silent(claim)
    )


def _silent(claim: Claim) -> bool:
    return claim.name.startswith(PROTOCOL) and claim.standing is Standing.CONFIGURED


def _together(silent: Sequence[Claim]) -> Claim:
    names = "; ".join(claim.subject for claim in silent)
    text = f"Reservations by these are to be enforced; the log has no refusal because of one: {names}."
    return replace(silent[0], text=text, sources=tuple(_sources(silent)))


def _sources(silent: Sequence[Claim]) -> Iterator[Source]:
    """One pointer to each registry, and one to the log, in place of those of each protocol."""
    yield from dict.fromkeys(
        Source(source.kind, "mode = enforce of these protocols", source.digest)
        for claim in silent
        for source in claim.sources
        if source.kind is SourceKind.POLICY
    )
    yield from dict.fromkeys(
        Source(source.kind, f"{claim.log}, no row with signals of these protocols", source.digest)
        for claim in silent
        for source in claim.sources
        if source.kind is SourceKind.LOG
    )
