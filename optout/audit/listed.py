"""What lists say about the rows of a batch: registries of opt-outs, infringing sites, suppressed works.

A find is an exchange that counts beside what the row's page says, so that decisions on listed rows are the engine's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from optout.audit.locate import NOWHERE
from optout.model import RESOURCE
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.acquisition.lists import Lists
    from optout.audit.locate import Located
    from optout.model import Exchange

    Pages = Mapping[int, Sequence[Exchange]]

ORIGINS_KEPT = 200_000


class Listed:
    """Looks rows up in lists, each origin once."""

    def __init__(self, lists: Lists) -> None:
        """Use lists that are open."""
        self._lists = lists
        self._none = not lists.descriptions
        self._host = lru_cache(maxsize=ORIGINS_KEPT)(lambda origin: lists.consult_host(origin_of(origin)))

    def add(self, located: Located, pages: Pages) -> Pages:
        """The pages of rows, and what lists say about them, their URLs and their hosts."""
        if self._none:
            return pages
        found: dict[int, Sequence[Exchange]] = dict(pages)
        for row in np.flatnonzero(located.codes != NOWHERE).tolist():
            own = pages.get(row, ())
            finds = (
                *self._host(located.origins[located.codes[row]]),
                *self._lists.consult_url(located.url(row)),
                *self._content(own),
            )
            if finds:
                found[row] = (*own, *finds)
        return found

    def _content(self, page: Sequence[Exchange]) -> tuple[Exchange, ...]:
        bodies = (item.body for item in page if item.role == RESOURCE and item.body)
        return tuple(find for body in bodies for find in self._lists.consult_body(body))
