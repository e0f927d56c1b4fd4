"""Lists kept by others: registries of reservations, sites to keep away from, works to suppress.

A store is a directory with one folder for each list and in it one file for each version, named by its date. An
import adds a version; older ones stay until they are removed, so that a look-up can be repeated as of an earlier
date. The newest version that is not later than the date asked for is in force.

A look-up answers with exchanges, one for each find, which protocols read like anything else that was seen. No find
means no exchange: not to be listed says nothing.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from optout.errors import UnreadableInput
from optout.model import Exchange
from optout.syntax.list_index import Index, host_keys, key_of, parse_header, url_keys
from optout.syntax.listing import Match
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optout.syntax.list_index import Description
    from optout.urls import Origin

DEFAULT_STORE = Path("optout-lists")
SUFFIX = ".list"
SCHEME = "optout-list"
"""The scheme of the URLs by which exchanges name what was found: `optout-list:NAME/DATE/ENTRY`."""

_LONGEST_NAME = 200
_FINDS_KEPT = 4_096
_JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a list in a store."""

    path: Path
    description: Description


def versions(store: Path) -> list[Version]:
    """Every version of every list in a store, by name and date.

    Raises:
        UnreadableInput: there is no such store, or a file in it is not a list in our form.
    """
    return [Version(path, _described(path)) for path in _files(store)]


def version_path(store: Path, name: str, as_of: date) -> Path:
    """Where a version of a list lies.

    Raises:
        UnreadableInput: nothing can have this name.
    """
    folder = quote(name, safe=" ")
    if not name.strip() or name.startswith(".") or len(folder) > _LONGEST_NAME or not name.isprintable():
        raise UnreadableInput(f"unusable name {name!r}", mend="begin with a letter, and keep it short and printable")
    return store / folder / f"{as_of.isoformat()}{SUFFIX}"


def _files(store: Path) -> list[Path]:
    if not store.is_dir():
        raise UnreadableInput(f"there are no lists in {store}", mend="import one: optout lists import FILE")
    return sorted(store.glob(f"*/*{SUFFIX}"))


def _described(path: Path) -> Description:
    with path.open("rb") as file:
        return parse_header(_mapped(file.fileno(), path), str(path))[0]


def _mapped(handle: int, path: Path) -> mmap.mmap:
    try:
        return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    except (ValueError, OSError) as fault:
        raise UnreadableInput(f"{path} cannot be read", place=str(fault), mend="import its source again") from fault


def _in_force(store: Path, as_of: date) -> Iterator[Path]:
    """Of each list the newest version that is not later than the date."""
    newest: dict[Path, Path] = {}
    for path in _files(store):
        if path.stem <= as_of.isoformat():
            newest[path.parent] = path
    return iter(newest.values())


class Lists:
    """The lists that are in force on a date, ready for look-ups."""

    def __init__(self, indexes: Iterable[Index]) -> None:
        """Look things up in these lists."""
        self._indexes = tuple(indexes)

    @classmethod
    def open(cls, store: Path, as_of: date) -> Self:
        """Map the lists of a store that are in force on a date into memory.

        Raises:
            UnreadableInput: there is no such store, or a file in it is not a list in our form.
        """
        return cls(_open(path) for path in _in_force(store, as_of))

    @classmethod
    def none(cls) -> Self:
        """No lists at all: nothing is ever found."""
        return cls(())

    @property
    def descriptions(self) -> tuple[Description, ...]:
        """What is in force, by name."""
        return tuple(index.description for index in self._indexes)

    def consult_host(self, origin: Origin) -> tuple[Exchange, ...]:
        """What lists say about a whole origin: its host, and the domains above it."""
        if not self._indexes:
            return ()
        keys = host_keys(origin.host)
        return _exchanges([(index.description, index.host(keys)) for index in self._indexes])

    def consult_url(self, url: str) -> tuple[Exchange, ...]:
        """What lists say about a URL and what is above it, beside what they say about its host.

        Raises:
            MalformedUrl: the URL names no origin.
        """
        indexes = [index for index in self._indexes if index.has(Match.URL)]
        keys = url_keys(url) if indexes else {}
        return _exchanges([(index.description, index.one_of(Match.URL, keys)) for index in indexes])

    def consult_content(self, digest: str) -> tuple[Exchange, ...]:
        """What lists say about content with this SHA-256, given in hexadecimal."""
        indexes = [index for index in self._indexes if index.has(Match.CONTENT)]
        keys = {digest.lower(): key_of(digest.lower())} if indexes else {}
        return _exchanges([(index.description, index.one_of(Match.CONTENT, keys)) for index in indexes])

    def consult_body(self, body: bytes) -> tuple[Exchange, ...]:
        """What lists say about content, which is hashed only where a list names content at all."""
        named = any(index.has(Match.CONTENT) for index in self._indexes)
        return self.consult_content(sha256(body).hexdigest()) if named else ()

    def consult(self, url: str) -> tuple[Exchange, ...]:
        """What lists say about a URL and its host.

        Raises:
            MalformedUrl: the URL names no origin.
        """
        return self.consult_host(origin_of(url)) + self.consult_url(url)


def _open(path: Path) -> Index:
    with path.open("rb") as file:
        return Index(_mapped(file.fileno(), path), str(path))


def _exchanges(finds: Iterable[tuple[Description, list[tuple[Match, str]]]]) -> tuple[Exchange, ...]:
    found = [(description, match, entry) for description, entries in finds for match, entry in entries]
    return tuple(_exchange(description, match, entry) for description, match, entry in found) if found else ()


@lru_cache(maxsize=_FINDS_KEPT)
def _exchange(description: Description, match: Match, entry: str) -> Exchange:
    """A find as an exchange. Its time is the list's date, so that the same find is the same exchange."""
    found = description.listing(match, entry)
    return Exchange(
        url=f"{SCHEME}:{quote(found.name)}/{found.as_of}/{quote(found.entry)}",
        role=f"list:{found.kind}",
        status=200,
        headers=_JSON,
        body=found.body,
        fetched_at=datetime.combine(description.as_of, time(), UTC),
    )
