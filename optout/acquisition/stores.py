"""Opening a store wherever it is, and bringing one into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from optout.acquisition.captures import Entry
from optout.acquisition.history import Lost, Store
from optout.acquisition.store_file import FILE_NAME
from optout.errors import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.acquisition.backend import Backend

_REDIS = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
_POSTGRES = frozenset({"postgresql", "postgres"})


def open_store(address: str, *, create: bool = False) -> Store:
    """Open a store, for reading unless `create` is given.

    Args:
        address: a folder, or the URL of a server: `redis://`, `rediss://`, `valkey://`, `postgresql://`.
        create: make the store where it is missing, and write.

    Raises:
        StoreError: it cannot be opened.
        UnreadableInput: nobody knows such an address, or the client library for it is not installed.
    """
    if "://" not in address:
        return Store.open(Path(address), create=create)
    return Store(_server(address, create=create))


def _server(address: str, *, create: bool) -> Backend:
    scheme, name = _named(address)
    try:
        # Each is an extra, and needed by nobody else.
        if scheme in _REDIS:
            from optout.acquisition.store_redis import RedisBackend  # noqa: PLC0415

            return RedisBackend.open(_REDIS[scheme] + address[len(scheme) :], name, create=create)
        if scheme in _POSTGRES:
            from optout.acquisition.store_postgres import PostgresBackend  # noqa: PLC0415

            return PostgresBackend.open(address, name, create=create)
    except ImportError as missing:
        extra = "redis" if scheme in _REDIS else "postgres"
        mend = f"pip install 'optout-toolkit[{extra}]'"
        raise UnreadableInput(f"{name} needs the library {missing.name}", mend=mend) from missing
    raise UnreadableInput(f"no store is known by {scheme}:", mend="name a folder, redis://... or postgresql://...")


def is_store(address: str) -> bool:
    """Whether an address names a store, by its form or by what is in the folder."""
    return "://" in address or (Path(address) / FILE_NAME).is_file()


def bring(source: Store, target: Store) -> Iterator[int | Lost]:
    """Put into one store what another one knows and it does not: every capture with its date, every body intact.

    Yields:
        after each origin, the captures that it has brought; before that, each capture that was lost in the source.
    """
    for origin in source.origins():
        entries: list[Entry] = []
        for found in source.news(origin, target.backend.rows(origin)):
            if isinstance(found, Lost):
                yield found
            else:
                entries.append(found)
        if entries:
            target.backend.write(entries)
        yield len(entries)


def _named(address: str) -> tuple[str, str]:
    """The scheme, and an address to show: no user, no password, no options."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as fault:
        raise UnreadableInput(f"a store's address cannot be read: {fault}") from fault
    return parts.scheme.lower(), f"{parts.scheme}://{host}{parts.path}"
