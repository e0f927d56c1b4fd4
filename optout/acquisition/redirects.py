"""Following redirects of which only the redirect was captured, where the target was captured as well.

Archives such as Common Crawl's hold a redirect and its target as two captures. The capture of the target that is
nearest in time to the redirect counts, if it is within `REDIRECT_WINDOW`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from optout.acquisition.captures import REDIRECT_NOT_FOLLOWED, Row, headers_of, redirects_of, url_of
from optout.errors import MalformedUrl
from optout.urls import origin_of, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

REDIRECT_WINDOW = timedelta(days=7)
"""How far apart the captures of a redirect and of its target may be for the one to be followed to the other."""

_WINDOW = REDIRECT_WINDOW // timedelta(microseconds=1)
_HOPS = 5


def followed(origin: str, redirect: Row, rows_of: Callable[[str], list[Row]]) -> Row | None:
    """What stands in the place of a redirect once it has been followed; None where it leads nowhere.

    Args:
        origin: whose capture it is.
        redirect: the capture of the redirect.
        rows_of: gives the captures of an origin.
    """
    url, hops = url_of(origin, redirect), list(redirects_of(redirect))
    found: Row | None = redirect
    try:
        while found is not None and found.error == REDIRECT_NOT_FOLLOWED and len(hops) < _HOPS:
            url = resolve(url, _location(found))
            hops.append(url)
            found = _nearest(redirect, url, rows_of)
    except MalformedUrl:
        return None
    if found is None or found.error == REDIRECT_NOT_FOLLOWED:
        return None
    hops += redirects_of(found)
    return found._replace(role=redirect.role, url=redirect.url, at=redirect.at, redirects=json.dumps(hops))


def _location(row: Row) -> str:
    return next((value for name, value in headers_of(row.headers) if name.lower() == "location"), "")


def _nearest(redirect: Row, url: str, rows_of: Callable[[str], list[Row]]) -> Row | None:
    """The capture of a well-known file that is nearest in time to a redirect to it."""
    owner = origin_of(url).text
    if url != owner + redirect.role:
        return None
    near = [row for row in rows_of(owner) if row.file == (redirect.role, "") and abs(row.at - redirect.at) <= _WINDOW]
    return min(near, key=lambda row: abs(row.at - redirect.at), default=None)
