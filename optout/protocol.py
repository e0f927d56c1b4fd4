"""What a protocol is: its name and source, the carriers it uses, its reader, and its own precedence.

One file under `optout/signals/` declares one `Protocol`. Planner, engine, documentation and tests work from
that declaration; nothing else has to be edited to add one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from optout.model import RESOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optout.model import Exchange, Reading


@dataclass(frozen=True, slots=True)
class WellKnown:
    """A file at a fixed path of every origin, such as `/robots.txt`."""

    path: str

    @property
    def role(self) -> str:
        """The role of exchanges that carry it."""
        return self.path


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A header field of the response itself; the name is lower case."""

    name: str
    role: str = RESOURCE


@dataclass(frozen=True, slots=True)
class MetaElement:
    """An element of the page; `word` is a lower-case byte string without which the page cannot carry it."""

    name: str
    word: bytes
    role: str = RESOURCE


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of the page; `extent` says from its bytes how many of them have to be read, 0 where nothing is said."""

    name: str
    extent: Callable[[Exchange], int]
    role: str = RESOURCE


@dataclass(frozen=True, slots=True)
class ResponseStatus:
    """The status of the response itself, for each of these codes."""

    codes: frozenset[int]
    role: str = RESOURCE


@dataclass(frozen=True, slots=True)
class Linked:
    """A document that another carrier of the same protocol points to."""

    role: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """Metadata inside a file; `slot` names where, such as `XMP`, and `media_types` the files.

    `word` is a byte string without which a part cannot carry it; the empty one is in every part.
    """

    slot: str
    media_types: frozenset[str]
    role: str = RESOURCE
    word: bytes = b""


@dataclass(frozen=True, slots=True)
class Registry:
    """A list kept by somebody else, imported with its date."""

    role: str


Carrier = WellKnown | HeaderField | MetaElement | PageText | ResponseStatus | Linked | Embedded | Registry


class Precedence(StrEnum):
    """Which of several statements with path patterns counts, by each protocol's own rule."""

    MOST_OCTETS = "most octets; the more permissive of an equivalent tie"
    MOST_OCTETS_COMBINED = "most octets; equals are combined, the more restrictive winning per purpose"
    FIRST_IN_FILE = "first in file order"
    NARROWEST_PER_PURPOSE = "per purpose, the narrowest pattern that states it; the more restrictive of equals"
    ALL = "every statement that applies"


class Layers(StrEnum):
    """How statements at the origin, in headers, in the page and in the asset relate within one protocol."""

    UNITE = "all count"
    SUPERSEDE = "the closest to the work counts"


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """One way of stating a reservation; there is one value a protocol, compared by identity.

    Attributes:
        name: the identifier used in files and output, lower case with hyphens.
        title: what people call it.
        specification: where its rules are written, as a URL.
        edition: the version or date of the text that this reader follows.
        carriers: where it may stand.
        read: the pure reader of one exchange.
        problems: every problem code it may report, with a sentence that explains it.
        precedence: which of several path-scoped statements counts.
        layers: how its layers relate.
        second_reader: makes an independent reading of an exchange for a product token: a predicate that says
            whether a URL is forbidden.
    """

    name: str
    title: str
    specification: str
    edition: str
    carriers: tuple[Carrier, ...]
    read: Callable[[Exchange], Reading]
    problems: Mapping[str, str] = field(default_factory=dict)
    precedence: Precedence = Precedence.ALL
    layers: Layers = Layers.UNITE
    second_reader: Callable[[Exchange, str], Callable[[str], bool]] | None = None

    @property
    def roles(self) -> frozenset[str]:
        """The roles of the exchanges that it reads."""
        return frozenset(carrier.role for carrier in self.carriers)

    @property
    def well_known(self) -> tuple[str, ...]:
        """The paths that it asks of every origin, in order."""
        return tuple(carrier.path for carrier in self.carriers if isinstance(carrier, WellKnown))

    @property
    def header_fields(self) -> frozenset[str]:
        """The lower-case names of the response header fields that it reads."""
        return frozenset(carrier.name for carrier in self.carriers if isinstance(carrier, HeaderField))

    @property
    def page_words(self) -> frozenset[bytes]:
        """Lower-case byte strings; a page with none of them carries nothing of this protocol."""
        return frozenset(carrier.word for carrier in self.carriers if isinstance(carrier, MetaElement))

    @property
    def texts(self) -> tuple[PageText, ...]:
        """The carriers in the text of the page."""
        return tuple(carrier for carrier in self.carriers if isinstance(carrier, PageText))

    @property
    def statuses(self) -> frozenset[int]:
        """The response statuses that mean something by themselves."""
        return frozenset(
            code for carrier in self.carriers if isinstance(carrier, ResponseStatus) for code in carrier.codes
        )
