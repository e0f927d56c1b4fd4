"""The Scrapy add-on: opt-outs are decided on before, during and after every fetch.

One line in a project's settings switches it on:

    ADDONS = {"crawler.addon.OptOutAddon": 100}

`crawler.options` lists what else may be set. The add-on takes the place of Scrapy's robots middleware, whether or
not `ROBOTSTXT_OBEY` is set, and stands around every download handler. Where several add-ons are used, it should
come last, because one that exchanges a download handler later would take the gate away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware

from crawler import gate, options
from crawler.guard import LOCAL, Guard
from crawler.middlewares import Entrance, Inspection, SpiderDoor
from crawler.misfits import misfits
from optout.errors import OptoutError

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

BEHIND_DECOMPRESSION = 585
"""Between Scrapy's decompression (590) and its following of meta refresh (580)."""

NEXT_TO_ENGINE = 10

_ROBOTS_PLACE = 100


class OptOutAddon:
    """Puts the guard into a project, and holds it."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._guard: Guard | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the add-on of a crawl."""
        return cls(crawler)

    def update_settings(self, settings: BaseSettings) -> None:
        """Write the components into the settings, at add-on priority.

        Raises:
            OptoutError: a setting of ours cannot be used.
        """
        options.read(settings, self._crawler.spidercls.name)
        _replace_robots_middleware(settings)
        settings.setdefault_in_component_priority_dict("DOWNLOADER_MIDDLEWARES", Inspection, BEHIND_DECOMPRESSION)
        settings.setdefault_in_component_priority_dict("SPIDER_MIDDLEWARES", SpiderDoor, NEXT_TO_ENGINE)
        _put_gates(settings)

    @property
    def guard(self) -> Guard:
        """The guard of this crawl, made when the first component asks for it.

        Raises:
            OptoutError: a setting of ours cannot be used, or the evidence cannot be written.
        """
        if self._guard is None:
            settings = self._crawler.settings
            misfits(settings)
            self._guard = Guard(self._crawler, options.read(settings, self._crawler.spidercls.name))
        return self._guard


def guard_of(crawler: Crawler) -> Guard:
    """The guard of a crawl.

    Raises:
        OptoutError: the add-on is not switched on, so that nothing would be guarded.
    """
    addon = crawler.get_addon(OptOutAddon)
    if addon is None:
        raise OptoutError("the add-on is not switched on", mend='add "crawler.addon.OptOutAddon" to ADDONS')
    return addon.guard


def _replace_robots_middleware(settings: BaseSettings) -> None:
    name = "DOWNLOADER_MIDDLEWARES"
    try:
        settings.replace_in_component_priority_dict(name, RobotsTxtMiddleware, Entrance)
    except KeyError:
        settings.setdefault_in_component_priority_dict(name, Entrance, _ROBOTS_PLACE)
    settings.set_in_component_priority_dict(name, RobotsTxtMiddleware, None)


def _put_gates(settings: BaseSettings) -> None:
    """Stand around every handler, the project's own or Scrapy's, whatever priority it was set with.

    Without a reactor Scrapy writes its choice of handlers with a project's priority, and after the add-ons have
    spoken; a gate must outrank that.
    """
    handlers = settings["DOWNLOAD_HANDLERS"]
    for scheme in {*settings["DOWNLOAD_HANDLERS_BASE"], *handlers}:
        own = handlers.get(scheme)
        switched_off = scheme in handlers and own is None
        if f"{scheme}:" not in LOCAL and not switched_off and not gate.is_gate(own):
            handlers.set(scheme, gate.make(scheme, own), "cmdline")
