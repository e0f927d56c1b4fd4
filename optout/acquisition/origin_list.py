"""The list of origins to harvest: hosts, origins or URLs, one a line, read one at a time however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.errors import MalformedUrl
from optout.urls import origin_of, registrable_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.urls import Origin

_SCHEMES = ("https", "http")
_LONGEST_LINE = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the list.

    Attributes:
        origins: what it means, in the order of trying; a bare host means https, and http where nothing answers.
        domain: whose they are, for politeness.
    """

    origins: tuple[Origin, ...]
    domain: str

    @property
    def key(self) -> str:
        """The text of the first origin."""
        return self.origins[0].text


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that names no origin: its number and why."""

    number: int
    why: str


def read(lines: Iterable[bytes]) -> Iterator[Target | BadLine]:
    """Read a list; empty lines and lines that begin with `#` mean nothing."""
    for number, line in enumerate(lines, start=1):
        text = line[:_LONGEST_LINE].decode("utf-8", "surrogateescape").strip("\ufeff \t\r\n")
        if text and not text.startswith("#"):
            try:
                yield target(text)
            except MalformedUrl as error:
                yield BadLine(number, str(error))


def target(text: str) -> Target:
    """What a line means.

    Raises:
        MalformedUrl: it names no origin, or one of another scheme than http and https.
    """
    urls = (text,) if "://" in text else tuple(f"{scheme}://{text}" for scheme in _SCHEMES)
    origins = tuple(origin_of(url) for url in urls)
    if origins[0].scheme not in _SCHEMES:
        raise MalformedUrl(f"cannot harvest {origins[0].scheme}:", mend="name a host, or an http or https URL")
    return Target(origins, registrable_domain(origins[0].host))
