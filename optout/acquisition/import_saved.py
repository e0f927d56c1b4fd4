"""Captures from signal files that somebody saved one by one, each under the name of its host.

`wget` and other mirrors leave such folders: `HOST/robots.txt`, `HOST:PORT/.well-known/tdmrep.json`, and with
`--protocol-directories` also `http/HOST/robots.txt`. Without a scheme it was https. A file counts as an answer of 200
at the time when it was last changed; `wget` sets that to what the server said, unless it is told
`--no-use-server-timestamps`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from optout.acquisition import coding
from optout.acquisition.imports import Fault, role_of
from optout.errors import MalformedUrl
from optout.model import Exchange
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LARGEST = 16_000_000
_SCHEMES = frozenset({"http", "https"})
_LOCAL = "localhost"


class Reader:
    """Reads saved signal files.

    Attributes:
        at: how far the reader is in its file, in octets.
    """

    def __init__(self, roles: Sequence[str]) -> None:
        """Take files that end with these well-known paths."""
        self._roles = roles
        self.at = 0

    def read(self, path: Path) -> Iterator[tuple[Exchange, ...] | Fault]:
        """Read one file."""
        role = role_of(path, self._roles)
        origin = None if role is None else _origin(path, role)
        if role is None or origin is None:
            yield Fault(str(path), "", "it does not stand under the name of its host (HOST/robots.txt)")
            return
        saved_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        with path.open("rb") as file:
            body = file.read(_LARGEST + 1)
        try:
            body, cut = coding.bare(body[:_LARGEST], _LARGEST, is_cut=len(body) > _LARGEST)
        except coding.CodingError as error:
            yield Fault(str(path), "", str(error))
            return
        yield (Exchange(origin + role, role, status=200, body=body, fetched_at=saved_at, truncated=cut),)


def _origin(path: Path, role: str) -> str | None:
    """The origin that the folders above a file name."""
    above = path.absolute().as_posix()[: -len(role)].split("/")
    host = above[-1]
    scheme = above[-2] if len(above) > 1 and above[-2] in _SCHEMES else "https"
    if "." not in host and host.partition(":")[0] != _LOCAL:
        return None
    try:
        return origin_of(f"{scheme}://{host}").text
    except MalformedUrl:
        return None
