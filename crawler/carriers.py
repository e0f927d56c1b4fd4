"""Where in a response the protocols of a policy may speak, and how much of it is kept as evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crawler.fetcher import pairs
from optout.model import RESOURCE, Exchange
from optout.policy import Mode
from optout.signals import PROTOCOLS
from optout.syntax.encoding import PRESCAN, sniff
from optout.syntax.html_head import read_head
from optout.syntax.html_search import collect, compile_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scrapy.http import Headers, Response

    from optout.policy import Policy
    from optout.protocol import PageText, Protocol


class Screen:
    """Tells at a glance whether a response can carry a signal; most cannot.

    It looks for the header fields and statuses that the protocols of a policy read, and for tags in which one of
    their words may stand. It overlooks nothing that decides; whatever it takes for a signal is read properly. Text
    is looked at only where a policy enforces it, because what is only advisory is not worth a look at every page.
    """

    def __init__(self, policy: Policy) -> None:
        protocols = tuple(_read(policy))
        self._fields = frozenset(name.title().encode("ascii") for item in protocols for name in item.header_fields)
        self._statuses = frozenset().union(*(item.statuses for item in protocols))
        self.words = frozenset().union(*(item.page_words for item in protocols))
        self._compiled = compile_words(self.words)
        enforced = (item for item in protocols if policy.mode(item.name) is Mode.ENFORCE)
        self.texts = tuple(text for item in enforced for text in item.texts)

    def finds_field(self, headers: Headers) -> bool:
        """Whether one of the header fields is there."""
        return not self._fields.isdisjoint(headers)

    def finds(self, response: Response) -> bool:
        """Whether a header field, the status, a tag or the text may be a signal."""
        if response.status in self._statuses or self.finds_field(response.headers) or self._finds_tag(response):
            return True
        return bool(self.texts) and self._finds_text(response)

    def _finds_text(self, response: Response) -> bool:
        page = exchange_of(response)
        return any(text.extent(page) for text in self.texts)

    def _finds_tag(self, response: Response) -> bool:
        body = response.body
        if not body:
            return False
        content_type = response.headers.get(b"Content-Type")
        form = sniff(body, None if content_type is None else content_type.decode("latin-1"))
        # In an encoding that hides its tags, a page is read as every reader would.
        return form.opaque or bool(self._compiled.candidates(body, collect(body)))


def exchange_of(response: Response) -> Exchange:
    """A response as the protocols read it."""
    return Exchange(
        url=response.url,
        role=RESOURCE,
        status=response.status,
        headers=pairs(response.headers),
        body=response.body,
        fetched_at=datetime.now(UTC),
    )


def excerpt(page: Exchange, words: frozenset[bytes], texts: Sequence[PageText] = ()) -> Exchange:
    """A page up to the end of its last element or text that speaks; of one that speaks only in its headers, no body.

    That is enough to repeat the decision, and no more of the work than that.
    """
    content_type = next((value for name, value in page.headers if name.lower() == "content-type"), None)
    end = read_head(page.body, content_type, words=words).end
    if end and sniff(page.body[:end], content_type) != sniff(page.body, content_type):
        # Its encoding is declared further down.
        end = PRESCAN
    end = max(end, *(text.extent(page) for text in texts)) if texts else end
    return replace(page, body=page.body[:end], truncated=page.truncated or end < len(page.body))


def _read(policy: Policy) -> Iterator[Protocol]:
    return (protocol for protocol in PROTOCOLS.values() if policy.mode(protocol.name) is not Mode.OFF)
