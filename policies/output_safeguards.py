"""Measure 1.4 as far as data can serve it: passages for memorisation tests, near duplicates, a clause and a notice.

The toolkit sees data and no model. So this document says what the provider declares, offers texts to be taken over,
and exports what a test needs; it never says that a model does not reproduce anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import content_sizes, passages
from policies.document import Block, Code, Document, Fields, Heading, Missing, Paragraph, Source, SourceKind, Table
from policies.standings import crawls_nothing, no_crawler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.evidence_facts import Observed
    from policies.facts import Facts, Model
    from policies.passages import Page, Passages

NAME, _TITLE, _DUPLICATES = "output-safeguards", "Infringing outputs: texts and test data", "near-duplicates"
_NO_PAGES = Missing("--evidence", "Name a crawl with kept pages, whose passages can be exported")
_MEASURE = Source(SourceKind.LAW, "Code of Practice, Copyright Chapter, Measure 1.4")
_CLAUSE = (
    "You must not use the model, or let others use it, to infringe copyright or related rights. In particular you must "
    "not use it to produce or to distribute works of others, or parts of them, without the permission that the law "
    "asks for."
)
_NOTICE = (
    "Uses of this model that infringe copyright or related rights are prohibited. Its output may resemble works of "
    "others; whoever uses the output must make sure that the use is permitted."
)


def output_safeguards(facts: Facts, observed: Observed) -> Document:
    """The document; its `.jsonl` form holds the passages of kept pages."""
    blocks = [*_declared(facts), *_texts(facts), Heading("Data for tests of memorisation")]
    if not observed.sound:
        blocks.append(no_crawler(facts) if crawls_nothing(facts, observed) else _NO_PAGES)
        return Document(NAME, _TITLE, tuple(blocks), {"pages": 0}, observed.dated, _DUPLICATES)
    with passages.gathered(_pages(observed)) as found:
        sums = found.sums
        blocks += _data(observed, found) if sums.pages else [_NO_PAGES]
    forms = {".jsonl": lambda: _lines(observed)} if sums.pages else {}
    data = {"pages": sums.pages, "with_passages": sums.with_passages, "hashes": sums.hashes}
    return Document(NAME, _TITLE, tuple(blocks), data, observed.dated, _DUPLICATES, forms=forms)


def _lines(observed: Observed) -> Iterator[bytes]:
    """The export, made anew from the pages whenever it is written, because it may be larger than any memory."""
    with passages.gathered(_pages(observed)) as found:
        yield from found.lines()


def _declared(facts: Facts) -> Iterator[Block]:
    yield Paragraph(
        "Technical safeguards are the provider's to describe; what follows is declared, not shown.", (_MEASURE,)
    )
    rows = (
        ("Technical safeguards, as declared", facts.get("declared.output_safeguards")),
        ("Where the terms of use prohibit infringing uses, as declared", facts.get("declared.terms_prohibition")),
    )
    yield Fields(rows, (facts.pointer("declared"),))


def _texts(facts: Facts) -> Iterator[Block]:
    yield Heading("Texts to be taken over")
    yield Code("Clause for terms of use, a proposal to be checked by counsel", _CLAUSE)
    if facts.models is None:
        yield facts.get("models")
    free = [model for model in facts.models or () if model.licence_is_free]
    if free:
        names = ", ".join(model.label for model in free)
        yield Code(f"Notice for the documentation of models under a free licence: {names}", _NOTICE)
    for number, model in enumerate(facts.models or ()):
        yield from _unsaid(model, number)


def _unsaid(model: Model, number: int) -> Iterator[Block]:
    if model.licence_is_free is None:
        ask = "Is it released under a free licence? Then its documentation needs a notice"
        yield Missing(f"models[{number}].licence_is_free", ask)


def _pages(observed: Observed) -> Iterator[Page]:
    """Kept pages that the logs have as kept."""
    for log in observed.sound:
        for url, body, kind in content_sizes.kept_pages(log):
            yield passages.page(url, body, kind)


def _data(observed: Observed, found: Passages) -> Iterator[Block]:
    sources = tuple(log.pointer([row for row in log.rows if row.kind == "kept"], "kept") for log in observed.sound)
    sums = found.sums
    yield Paragraph(
        f"Kept pages: {sums.pages}; with passages of {passages.WORDS} words: {sums.with_passages}; hashes in the "
        f"export (.jsonl): {sums.hashes}. A hash is the first 16 hexadecimal digits of the SHA-256 of a passage's "
        "words in lower case, joined by spaces; those that end in 0 are exported, and of each page the smallest.",
        sources,
    )
    count, pairs = found.near_duplicates()
    if pairs:
        heads = ("Page", "Page", "Same hashes, percent")
        yield Table("Near duplicates among kept pages", heads, tuple(pairs), sources, _DUPLICATES)
        yield Paragraph(
            "Each page was compared with the first page that shares one of the smallest fifth of its hashes, and with "
            f"the one before it. Pairs found: {count}; listed: {len(pairs)}.",
            sources,
        )
    else:
        yield Paragraph(
            f"No two kept pages were found that share {passages.NEAR:.0%} of their exported hashes.", sources
        )


DOCUMENTS = {NAME: output_safeguards}
