"""CDXJ index lines: `key timestamp {json}`, sorted, as pywb and the web archives read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from optout.errors import MalformedUrl
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optout.urls import Origin


class Entry(NamedTuple):
    """One capture: the sort key of its URL, its time as `YYYYMMDDhhmmss`, and what else is known."""

    key: str
    timestamp: str
    fields: Mapping[str, Any]

    @property
    def line(self) -> bytes:
        """The index line, with its line feed."""
        return f"{self.key} {self.timestamp} ".encode() + orjson.dumps(self.fields, option=orjson.OPT_SORT_KEYS) + b"\n"


def parse(line: bytes) -> Entry:
    """Read an index line.

    Raises:
        ValueError: it is not `key timestamp {json}`.
    """
    key, timestamp, fields = line.split(b" ", 2)
    value = orjson.loads(fields)
    if not isinstance(value, dict) or not timestamp.isdigit():
        raise ValueError("not an index line")
    return Entry(key.decode(), timestamp.decode(), value)


def timestamp(moment: datetime) -> str:
    """The 14 digits by which web archives name a moment (UTC)."""
    return moment.strftime("%Y%m%d%H%M%S")


def host_key(origin: Origin) -> str:
    """The host in SURT form, widest label first, so that a domain and its subdomains sort together.

    `https://blog.example.org:8443` becomes `org,example,blog:8443)/`. Addresses are not turned round.
    """
    port = "" if origin.port is None else f":{origin.port}"
    return f"{_turned(origin.host)}{port})/"


def sort_key(url: str) -> str:
    """The sort key of a URL as web archives form it: host turned round without `www`, path and query in lower case.

    A URL without an origin is its own key: an archive holds what a server sent a crawler to, sense or not.
    """
    try:
        origin = origin_of(url)
    except MalformedUrl:
        return url
    split = urlsplit(url)
    host = origin.host.removeprefix("www.") if origin.host.count(".") > 1 else origin.host
    query = f"?{'&'.join(sorted(split.query.split('&')))}" if split.query else ""
    return f"{host_key(origin._replace(host=host))[:-1]}{split.path or '/'}{query}".lower()


def _turned(host: str) -> str:
    if ":" in host or host.replace(".", "").isdigit():
        return host
    return ",".join(reversed(host.split(".")))
