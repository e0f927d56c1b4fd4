"""One model for every document: blocks of plain text, each with the sources that it rests on.

A document is data. `policies.render` makes Markdown, HTML, Word, JSON and CSV of it, and the tests read it. Text is
always plain: markup in it, whoever wrote it, is shown as it stands. A fact that nobody has given stands in the
document as `Missing`, where its value would stand.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LONGEST = 4000
"""A text with more characters is cut, and says so: a stranger's host name must not become a book."""

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


class SourceKind(StrEnum):
    """What a statement rests on."""

    POLICY = "policy"
    LOG = "log"
    AUDIT = "audit"
    FACTS = "facts"
    LAW = "law"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a reader can check a statement.

    Attributes:
        kind: policy file, log, audit, provider facts or law.
        place: the key, the rows, the article.
        digest: SHA-256 of the policy, root hash of the log and so on; empty for law.
    """

    kind: SourceKind
    place: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.digest[:16]}: {self.place}" if self.digest else f"{self.kind}: {self.place}"

    @property
    def whole(self) -> str:
        """It with the whole digest, for the list of sources."""
        return f"{self.kind}: {self.place}{f' (SHA-256 {self.digest})' if self.digest else ''}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that has not been given, or that the evidence does not show.

    Attributes:
        fact: its key in the facts file, or the name of the evidence.
        ask: what would have to be said, as a question or an instruction.
    """

    fact: str
    ask: str

    def __str__(self) -> str:
        return f"Missing: {self.ask} ({self.fact})"


class Address(str):
    """A value that is an address as a whole. It becomes a link only where it is http, https or mailto."""

    __slots__ = ()

    @property
    def safe(self) -> bool:
        """Whether the address may be followed."""
        return self.lower().startswith(("https://", "http://", "mailto:"))


Value: TypeAlias = "str | int | Missing"


def in_days(count: int | Missing) -> str | Missing:
    """A number of days in words, or what is missing."""
    return count if isinstance(count, Missing) else f"{count} day{'' if count == 1 else 's'}"


Form: TypeAlias = "Mapping[str, Any] | bytes | Callable[[], Iterator[bytes]]"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the document's title, so blocks begin at 2."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph with the sources that bear it."""

    text: Value
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of paragraphs."""

    items: tuple[Paragraph, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """Labels and values, as on a form."""

    rows: tuple[tuple[str, Value], ...]
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticks:
    """A question of a form with its boxes; `chosen` None where nobody has answered.

    Attributes:
        label: the question.
        options: every box.
        chosen: the ticked ones, or what is missing.
    """

    label: str
    options: tuple[str, ...]
    chosen: tuple[str, ...] | Missing
    sources: tuple[Source, ...] = ()

    @property
    def boxes(self) -> tuple[tuple[str, str], ...]:
        """Each option with its box."""
        chosen = () if isinstance(self.chosen, Missing) else self.chosen
        return tuple(("☒" if option in chosen else "☐", option) for option in self.options)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: what it shows.
        columns: the heads of its columns.
        rows: its cells; a whole number is set to the right.
        name: names it for `.csv`.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    sources: tuple[Source, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A line with an address. It becomes a link only where the address is http, https or mailto."""

    text: str
    address: str

    @property
    def safe(self) -> bool:
        """Whether the address may be followed."""
        return Address(self.address).safe


@dataclass(frozen=True, slots=True)
class Code:
    """Text that is to be taken over letter by letter, such as a robots.txt."""

    caption: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot of our own making, as SVG, with what it shows in words.

    Attributes:
        caption: its caption.
        svg: trusted markup: it must be made by our code, with every stranger's text escaped.
        alt: what a reader who cannot see it must know.
    """

    caption: str
    svg: str
    alt: str


Block: TypeAlias = "Heading | Paragraph | Bullets | Fields | Ticks | Table | Link | Code | Figure | Missing"


@dataclass(frozen=True, slots=True)
class Document:
    """A document.

    Attributes:
        name: the command's name for it, such as `copyright-policy`.
        title: its title.
        blocks: its content.
        data: the same for machines, where a form has its own (plain JSON values).
        dated: the day it speaks of, ISO 8601; empty where it has none. Never the day of rendering.
        csv: the name of the table that `.csv` writes.
        language: BCP 47.
        forms: what other formats make of it, by suffix such as `.oscal.json`: JSON, the bytes themselves, or what gives
            them piece by piece, where they may be more than memory holds.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    dated: str = ""
    csv: str = ""
    language: str = "en"
    forms: Mapping[str, Form] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Every missing fact once, in the order of the document."""
        return tuple(dict.fromkeys(found for block in self.blocks for found in _missing(block)))

    @property
    def tables(self) -> Mapping[str, Table]:
        """The named tables."""
        return {block.name: block for block in self.blocks if isinstance(block, Table) and block.name}

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source once, in the order of the document."""
        return tuple(dict.fromkeys(source for block in self.blocks for source in _sources(block)))


def visible(text: object, longest: int = LONGEST) -> str:
    """A text in which nothing is hidden: controls and marks of direction are spelt out, and length has an end.

    A host name with a right-to-left override would otherwise turn the line that it stands in.
    """
    whole = str(text)
    shown = "".join(_shown(character) for character in whole[:longest])
    return shown if len(whole) <= longest else f"{shown}… ({len(whole)} characters in all)"


def _shown(character: str) -> str:
    if character in "\n\t\r":
        return " "
    return f"\\u{ord(character):04x}" if unicodedata.category(character) in _HIDDEN else character


def _missing(part: object) -> Iterator[Missing]:
    if isinstance(part, Missing):
        yield part
    else:
        for inner in _parts(part):
            yield from _missing(inner)


def _sources(part: object) -> Iterator[Source]:
    if isinstance(part, Source):
        yield part
    else:
        for inner in _parts(part):
            yield from _sources(inner)


def _parts(part: object) -> Iterable[object]:
    if isinstance(part, tuple):
        return part
    if is_dataclass(part):
        return (getattr(part, name.name) for name in fields(part))
    return ()
