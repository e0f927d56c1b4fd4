"""Terms of service and legal notices in prose: evidence of a reservation in natural language.

| What a clause forbids or reserves | tdm | ai-train | ai-input | search | confidence |
|---|---|---|---|---|---|
| text and data mining | reserved | reserved | - | - | medium |
| training of AI or of models | - | reserved | - | - | medium |
| feeding content to an AI | - | - | reserved | - | medium |
| scraping, crawling, automated collection | reserved | - | - | - | low |

Where a clause names the statute (Art. 4 of Directive (EU) 2019/790 or a national law that transposes it), confidence is
high. A clause is one sentence with an activity, a reservation or prohibition in operative words near it, and something
that the right is in. Negations, conditions, reports about others, descriptions of the law, questions and quotations
are none. The words are data: `data/prose.toml`.

What the metadata of a page says of rights (Dublin Core, schema.org) is read like its text. What a publisher writes
into the comments of a robots.txt is read in the same way and is about the whole site. That a
comment there speaks of crawling says nothing, because the file is about that; a mere ban on it is left out.

No specification exists. Recital 18 of the Directive counts terms and conditions among machine-readable means; OLG
Hamburg (5 U 104/24, 10 December 2025) and Rechtbank Amsterdam (ECLI:NL:RBAMS:2024:6563) denied effect to prose. What
it means is for the policy to say (`prose`), and a statement on a page is about that page.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from functools import lru_cache
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from optout.model import (
    SILENCE,
    Availability,
    Exchange,
    Layer,
    Place,
    Purpose,
    Reading,
    State,
    Statement,
    Strength,
)
from optout.protocol import PageText, Protocol, WellKnown
from optout.syntax import encoding, html_text, http_fields, robots_comments
from optout.syntax.byte_words import ByteWords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

MEANING: Mapping[str, tuple[Purpose, ...]] = {
    "mining": (Purpose.TDM, Purpose.AI_TRAIN),
    "training": (Purpose.AI_TRAIN,),
    "input": (Purpose.AI_INPUT,),
    "collecting": (Purpose.TDM,),
}
"""What a clause about an activity reserves, the weightiest first. Nothing flows down: prose is read as it stands."""

ROBOTS = "/robots.txt"

MARKUP = frozenset({None, "text/html", "application/xhtml+xml"})
"""Media types of pages."""

MAX_BYTES = 2 << 20
"""Bytes of a page that are read."""

MAX_STATEMENTS = 24
MAX_SENTENCES = 500
"""Sentences of a page that are looked at: those of paragraphs with an activity and a prohibition near each other."""

LONGEST_QUOTE = 400
"""Characters of a clause that are quoted."""

_LONGEST_EXPRESSION = 36
"""Characters; in quotation marks, more than these are somebody else's words."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# A list of what is forbidden may be long, and its verb stands before it.
_BYTES_BEFORE = 4_096
_BYTES_AFTER = 800
_AFTER_LAST = 4_096
_NEAR_ACTIVITY = 160
_NEAR_VERB = 420
_DATA: Mapping[str, Any] = tomllib.loads(files(__package__).joinpath("data", "prose.toml").read_text(encoding="utf-8"))
_WORDS = ByteWords(_DATA["words"])
_VERBS = ByteWords(_DATA["verbs"])
_ABBREVIATIONS = frozenset(_DATA["abbreviations"])


def read(exchange: Exchange) -> Reading:
    """Read the text of a page, or the comments of a robots.txt, that was retrieved."""
    if exchange.role == ROBOTS:
        return _collected(_in_comments(exchange), Layer.ORIGIN)
    body = _readable(exchange)
    places = _candidates(body)
    if not places:
        return SILENCE
    text, codec = body[: _extent(body, places)], _codec(exchange)
    read_as_text = chain(html_text.paragraphs(text, codec, places), html_text.notices(text, codec, places))
    return _collected((item for paragraph in read_as_text for item in _sentences(paragraph)), Layer.PAGE)


def _collected(sentences: Iterable[Sentence], layer: Layer) -> Reading:
    found: dict[str, Statement] = {}
    for clause, sentence, place in islice(sentences, MAX_SENTENCES):
        if clause is not None:
            found.setdefault(html_text.fold(sentence), _statement(clause, sentence, place, layer))
        if len(found) >= MAX_STATEMENTS:
            break
    return Reading(tuple(found.values())) if found else SILENCE


def _in_comments(exchange: Exchange) -> Iterator[Sentence]:
    """The sentences of those comments in which a candidate stands."""
    body = exchange.body[:MAX_BYTES] if exchange.availability is Availability.RETRIEVED else b""
    places = _candidates(body)
    for comment in robots_comments.comments(body) if places else ():
        index = bisect_left(places, comment.offset)
        if index < len(places) and places[index] < comment.end:
            for clause, sentence, place in _sentences(html_text.Paragraph(comment.text, comment.offset)):
                about_use = clause is not None and clause.activities != ("collecting",)
                here = place._replace(resource=ROBOTS, line=comment.line)
                yield (clause if about_use else None), sentence, here


def extent(exchange: Exchange) -> int:
    """How many bytes of a page have to be read to see every clause in it; 0 where it has none.

    A page cut there is read as the whole page is. One in UTF-16 is not cut.
    """
    body = _readable(exchange)
    found = _extent(body, _candidates(body))
    return len(exchange.body) if found and exchange.body.startswith(_UTF_16) else found


def _extent(body: bytes, places: Sequence[int]) -> int:
    return min(len(body), places[-1] + _AFTER_LAST) if places else 0


def _readable(exchange: Exchange) -> bytes:
    """The part of a page that is read, in an encoding that keeps ASCII; nothing of what is no page."""
    body = exchange.body
    if exchange.availability is not Availability.RETRIEVED or http_fields.media_type(exchange.headers) not in MARKUP:
        return b""
    if body.startswith(_UTF_16):
        return body[:MAX_BYTES].decode("utf-16", "replace").encode()
    return body if len(body) <= MAX_BYTES else body[:MAX_BYTES]


def _candidates(body: bytes) -> list[int]:
    """Where words of an activity stand with a verb near them. Most pages have no such word, and are done with."""
    places = _WORDS.places(body)
    if not places:
        return []
    verbs = [offset + verb for offset, window in _windows(body, places) for verb in _VERBS.places(window)]
    return [place for place in places if _near(place, verbs)]


def _windows(body: bytes, places: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """The surroundings of places, united where they overlap."""
    start = end = 0
    for place in places:
        if place - _BYTES_BEFORE > end:
            if end:
                yield start, body[start:end]
            start = place - _BYTES_BEFORE
        end = place + _BYTES_AFTER
    yield start, body[start:end]


def _near(place: int, verbs: Sequence[int]) -> bool:
    index = bisect_left(verbs, place - _BYTES_BEFORE)
    return index < len(verbs) and verbs[index] <= place + _BYTES_AFTER


def _codec(exchange: Exchange) -> str:
    """The encoding of what `_readable` gives."""
    if exchange.body.startswith(_UTF_16):
        return "utf-8"
    content_type = next((value for value, _ in http_fields.values(exchange.headers, "content-type")), None)
    return encoding.sniff(exchange.body, content_type).name


# From a paragraph to clauses.


class Clause(NamedTuple):
    """What a sentence reserves, in which language, and the statute that it names."""

    activities: tuple[str, ...]
    language: str
    anchor: str | None

    @property
    def states(self) -> tuple[tuple[Purpose, State], ...]:
        """The purposes named; the others are left open."""
        named = {purpose for activity in self.activities for purpose in MEANING[activity]}
        return tuple((purpose, State.RESERVED) for purpose in Purpose if purpose in named)

    @property
    def confidence(self) -> str:
        """How surely this is a reservation: high with a statute, low for a mere ban on scraping."""
        if self.anchor:
            return "high"
        return "low" if self.activities == ("collecting",) else "medium"


Sentence = tuple[Clause | None, str, Place]
"""A sentence with what it reserves, if anything, and where it stands."""


def _sentences(paragraph: html_text.Paragraph) -> Iterator[Sentence]:
    """Every sentence of a paragraph, what it reserves, and where it stands."""
    text = html_text.without_quotations(paragraph.text, _LONGEST_EXPRESSION)
    for number, sentence in enumerate(html_text.sentences(text, _ABBREVIATIONS), 1):
        clause = clause_of(f"{paragraph.introduction} {sentence}".strip())
        yield clause, sentence, Place("page", offset=paragraph.offset, field=f"sentence {number}")


def _statement(clause: Clause, sentence: str, place: Place, layer: Layer) -> Statement:
    conditions = [("language", clause.language), ("confidence", clause.confidence)]
    conditions += [("anchor", clause.anchor)] if clause.anchor else []
    return Statement(
        reason=f"terms-of-service.{clause.activities[0]}",
        place=place,
        value=sentence if len(sentence) <= LONGEST_QUOTE else f"{sentence[: LONGEST_QUOTE - 1]}…",
        states=clause.states,
        layer=layer,
        strength=Strength.ADVISORY,
        conditions=tuple(conditions),
    )


# What makes a sentence a clause.


class _Language:
    """The patterns of one language, compiled when they are first needed."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.code: str = table["code"]
        self.common = frozenset(table["common"].split())
        self.activities = {
            kind: (_one_of(given.get("alone", ())), [tuple(map(re.compile, pair)) for pair in given.get("pairs", ())])
            for kind, given in table["activity"].items()
        }
        self.forbids = _one_of(table["forbids"])
        # One by one, because what one of them matches may overlap what another has to match.
        self.harmless = [re.compile(pattern) for pattern in table["harmless"]]
        self.doubtful = [re.compile(pattern) for pattern in table["doubtful"]]
        self.foreign = _one_of(table["foreign"])
        self.general = _one_of(table["general"])
        self.others = _one_of(table["others"])
        self.speaker = _one_of(table["speaker"])
        self.context = _one_of(table["context"])

    def clause(self, sentence: str) -> tuple[str, ...]:
        """The activities that a folded sentence reserves or forbids, as far as this language tells."""
        spoken = {kind: self._spoken(kind, sentence) for kind in MEANING if kind in self.activities}
        places = [place for found in spoken.values() for place in found]
        if not places or not self._forbidden(sentence, places) or self._told(sentence):
            return ()
        return tuple(kind for kind, found in spoken.items() if found)

    def _spoken(self, kind: str, sentence: str) -> list[int]:
        """Where an activity is spoken of."""
        alone, pairs = self.activities[kind]
        found = [match.start() for match in alone.finditer(sentence)]
        for one, other in pairs:
            ends = [match.start() for match in other.finditer(sentence)]
            starts = [match.start() for match in one.finditer(sentence)]
            found += [start for start in starts if any(_together(start, end, sentence) for end in ends)]
        return found

    def _forbidden(self, sentence: str, places: Sequence[int]) -> bool:
        """Whether a verb forbids or reserves near one of these places and is not only part of something harmless."""
        patterns = self.harmless + (self.doubtful if anchor_of(sentence) is None else [])
        harmless = [match.span() for pattern in patterns for match in pattern.finditer(sentence)]
        return any(
            any(_bears_on(verb.span(), place, sentence) for place in places)
            and not any(start < verb.end() and verb.start() < end for start, end in harmless)
            for verb in self.forbids.finditer(sentence)
        )

    def _told(self, sentence: str) -> bool:
        """Whether the sentence is about others, about the law, or about nothing that a right can be in."""
        if self.foreign.search(sentence) or not self.context.search(sentence):
            return True
        if self.speaker.search(sentence):
            return False
        if self.general.search(sentence):
            return True
        return anchor_of(sentence) is None and self.others.search(sentence) is not None


def _together(one: int, other: int, sentence: str) -> bool:
    """Whether two words are near each other, with no semicolon between them."""
    return abs(one - other) <= _NEAR_ACTIVITY and ";" not in sentence[min(one, other) : max(one, other)]


def _bears_on(verb: tuple[int, int], place: int, sentence: str) -> bool:
    """Whether a verb is near an activity. One that follows it behind a semicolon is about something else."""
    if place < verb[0]:
        return verb[0] - place <= _NEAR_VERB and ";" not in sentence[place : verb[0]]
    return place - verb[0] <= _NEAR_VERB or place < verb[1]


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern for several; one that never matches for none."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


@lru_cache(maxsize=1)
def _languages() -> tuple[_Language, ...]:
    return tuple(_Language(table) for table in _DATA["languages"])


def _languages_of(folded: str) -> list[_Language]:
    """The languages that share most common words with a sentence; all of them where none shares any."""
    words = _WORD.findall(folded)
    scores = [(sum(word in language.common for word in words), language) for language in _languages()]
    highest = max(score for score, _ in scores)
    return [language for score, language in scores if score == highest]


@lru_cache(maxsize=1)
def _anchors() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((anchor["name"], re.compile(anchor["pattern"])) for anchor in _DATA["anchors"])


def anchor_of(folded: str) -> str | None:
    """The statute that a folded sentence names, national law before the Directive that it transposes."""
    named = [name for name, pattern in _anchors() if pattern.search(folded)]
    return named[-1] if named else None


def clause_of(sentence: str) -> Clause | None:
    """What a sentence reserves, or None."""
    folded = html_text.fold(sentence)
    readings = [(language.clause(folded), language.code) for language in _languages_of(folded)]
    activities, code = max(readings, key=lambda reading: len(reading[0]))
    return Clause(activities, code, anchor_of(folded)) if activities else None


_WORD = re.compile(r"[^\W\d_]++")


# Finding the page of terms.


def terms_links(exchange: Exchange) -> tuple[str, ...]:
    """The addresses of terms, legal notices and the like that a page links to, by the link's text or address.

    They are not pointers, because following them would cost a request for every page.
    """
    texts, paths = _one_of(_DATA["links"]["texts"]), _one_of(_DATA["links"]["paths"])
    body = _readable(exchange)
    found = {
        urljoin(exchange.final_url, link.address).partition("#")[0]: None
        for link in html_text.links(body, _codec(exchange))
        if texts.search(html_text.fold(link.text)) or paths.search(link.address.lower())
    }
    return tuple(url for url in found if url.startswith(("http://", "https://")))


PROTOCOL = Protocol(
    name="terms-of-service",
    title="Terms of service and legal notices in prose",
    specification="https://eur-lex.europa.eu/eli/dir/2019/790/oj#rct_18",
    edition=_DATA["edition"],
    carriers=(PageText("text", extent), WellKnown(ROBOTS)),
    read=read,
)
