"""What all formats have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optout.model import RESOURCE, Exchange

ROWS = 65_536
"""How many rows a batch has at most."""

BATCH_BYTES = 1 << 26
"""How many bytes of content a batch holds at most, but for one row that is larger."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that are looked at; a name that was not given may be missing in the data.

    Attributes:
        url: must be there.
        html: the page.
        headers: the header fields of its response: a struct, map, list of pairs, or JSON text.
        date: when the row was collected.
        tokens: a count, for the report; None for none.
        language: for the report.
        named: which of them the user has named, and must be there.
    """

    url: str = "url"
    html: str = "html"
    headers: str = "headers"
    date: str = "date"
    tokens: str | None = None
    language: str = "language"
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in an input that cannot be read: where, and what is wrong."""

    file: str
    place: str
    what: str


Report = Callable[[str, str], None]
"""Takes the place and nature of a fault."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of an input.

    Attributes:
        urls: of strings or bytes.
        raw: what the writer needs to keep a row; its form is the format's own.
        dates: in seconds since 1970, or None.
        pages: for rows with content, the exchanges of it.
        sizes: bytes of each row, or None.
        tokens: counts, or None.
        languages: or None.
        refused: rows that must not be kept whatever is decided, such as members with a hostile name.
    """

    urls: pa.Array
    raw: object
    dates: np.ndarray | None = None
    pages: Mapping[int, Sequence[Exchange]] = field(default_factory=dict)
    sizes: np.ndarray | None = None
    tokens: pa.Array | None = None
    languages: pa.Array | None = None
    refused: frozenset[int] = frozenset()


class Writer(Protocol):
    """Writes the rows that are kept."""

    def keep(self, batch: Batch, kept: np.ndarray) -> None:
        """Write the rows of a batch for which `kept` is true."""


class Format(Protocol):
    """A form that a dataset may have."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the names of its files end."""

    def read(self, path: Path, columns: Columns, fault: Report) -> Iterator[Batch]:
        """Give the rows of a file in order, a batch at a time.

        Raises:
            UnreadableInput: nothing of it can be read.
        """

    def writer(self, source: Path, target: Path) -> AbstractContextManager[Writer]:
        """Write a file of the same form as the source."""


MOST_TOKENS = 1 << 40
"""No row has as many; a larger number is no count, and sums of such would not fit in 64 bits."""


def counts(column: pa.Array) -> pa.Array | None:
    """Counts of whatever numeric type, null where there is none: NaN, which some write for it, is none either.

    Args:
        column: numbers, or texts of them; fractions are cut off.

    Returns:
        whole numbers of 64 bits; None where the column holds no numbers.
    """
    try:
        sizes = column.cast(pa.float64(), safe=False)
        whole = column.cast(pa.int64(), safe=False)
    except pa.ArrowException:
        return None
    is_count = pc.and_(pc.greater_equal(sizes, 0.0), pc.less(sizes, float(MOST_TOKENS)))
    return pc.if_else(is_count, whole, pa.scalar(None, pa.int64()))


def page_exchange(url: str, html: bytes, headers: tuple[tuple[str, str], ...], status: int = 200) -> Exchange:
    """The exchange of a page that a dataset holds."""
    return Exchange(url, role=RESOURCE, status=status, headers=headers, body=html)
