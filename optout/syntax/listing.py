"""What a look-up in an imported list found, as the small document that decisions rest on and that evidence keeps."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum


class Kind(StrEnum):
    """What it means to stand on a list."""

    OPT_OUT = "opt-out"
    """Rightsholders have reserved text and data mining there."""

    INFRINGING = "infringing"
    """Courts or authorities hold it to infringe copyright persistently (Code of Practice, Measure 1.2)."""

    ADVISORY = "advisory"
    """Somebody says so, whom nobody has to believe: evidence that never decides."""

    @property
    def role(self) -> str:
        """The role of exchanges that report a find in such a list."""
        return f"list:{self}"


class Match(StrEnum):
    """How an entry was found."""

    HOST = "host"
    """The host itself and no other."""

    DOMAIN = "domain"
    """The host or one that it is a subdomain of."""

    URL = "url"
    """The URL, or one above it: entries end at a `/`, `?` or `&` of the URL, or with it."""

    CONTENT = "content"
    """The SHA-256 of the content, wherever it was found."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One find.

    Attributes:
        name: the list.
        issuer: who keeps it.
        kind: what it means to stand on it.
        basis: the legal basis on which it is used.
        as_of: its date, as YYYY-MM-DD.
        source: the SHA-256 of the file that it was imported from, in hexadecimal.
        match: how the entry was found.
        entry: the entry, in its normal form.
    """

    name: str
    issuer: str
    kind: str
    basis: str
    as_of: str
    source: str
    match: str
    entry: str

    @property
    def text(self) -> str:
        """The find in one line, with issuer and basis."""
        return f"{self.entry} is on {self.name} of {self.issuer}, as of {self.as_of} (basis: {self.basis})"

    @property
    def body(self) -> bytes:
        """The document, always in the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode("ascii")


FIELDS = tuple(field.name for field in fields(Listing))
"""The names of what a find tells, in order."""


def parse(body: bytes) -> Listing | None:
    """The find that a document reports; None where it is not such a document."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        return None
    return Listing(**found) if all(isinstance(value, str) for value in found.values()) else None
