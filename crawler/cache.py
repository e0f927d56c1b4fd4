"""Scrapy's HTTP cache, holding back what has not been inspected yet: a cache is a copy as well.

Scrapy stores a response as soon as it has arrived, before anybody has read what the page says about itself. Here it
is stored when the guard has let the response on, and a denied one never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.utils.misc import load_object

from crawler.guard import guard_of

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings


class InspectedStorage:
    """A cache storage around another one; `make` gives the class."""

    storage: ClassVar[object]

    def __init__(self, settings: BaseSettings) -> None:
        # Storages have no common base class in Scrapy, so nothing narrower is known.
        factory: Any = load_object(self.storage)  # type: ignore[arg-type]
        self._inner = factory(settings)

    def open_spider(self, spider: Spider) -> None:
        """Open the storage."""
        self._inner.open_spider(spider)

    def close_spider(self, spider: Spider) -> None:
        """Close the storage."""
        self._inner.close_spider(spider)

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """A stored response; the guard has admitted the request, and inspects the response again."""
        found: Response | None = self._inner.retrieve_response(spider, request)
        return found

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Store a response once it has been inspected; redirects, which nobody reads, at once."""
        if 300 <= response.status < 400:
            self._inner.store_response(spider, request, response)
        else:
            guard_of(spider.crawler).when_permitted(
                request, lambda same: self._inner.store_response(spider, same, response)
            )


def make(storage: object) -> type[InspectedStorage]:
    """The storage class around the one that a project has chosen."""
    return type("InspectedStorage", (InspectedStorage,), {"storage": storage})


def is_made(storage: object) -> bool:
    """Whether a storage holds back already."""
    return isinstance(storage, type) and issubclass(storage, InspectedStorage)
