"""The Scrapy add-on: opt-outs are decided on before, during and after every fetch.

One line in a project's settings switches it on:

    ADDONS = {"crawler.addon.OptOutAddon": 100}

`crawler.options` lists what else may be set. The add-on takes the place of Scrapy's robots middleware, whether or
not `ROBOTSTXT_OBEY` is set, and stands around every download handler. Where several add-ons are used, it should
come last, because one that exchanges a download handler later would take the gate away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.settings import SETTINGS_PRIORITIES

from crawler import cache, gate, options
from crawler.guard import LOCAL, GuardHolder
from crawler.middlewares import Entrance, Inspection, ItemDoor, SpiderDoor

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

BEHIND_DECOMPRESSION = 585
"""Between Scrapy's decompression (590) and its following of meta refresh (580)."""

NEXT_TO_ENGINE = 10

BEFORE_ALL_PIPELINES = -1_000

_ROBOTS_PLACE = 100
_PRIORITY = SETTINGS_PRIORITIES["addon"]


class OptOutAddon(GuardHolder):
    """Puts the guard into a project, and holds it."""

    def update_settings(self, settings: BaseSettings) -> None:
        """Write the components into the settings, at add-on priority.

        Raises:
            OptoutError: a setting of ours cannot be used.
        """
        options.read(settings, self.crawler)
        _replace_robots_middleware(settings)
        settings.setdefault_in_component_priority_dict("DOWNLOADER_MIDDLEWARES", Inspection, BEHIND_DECOMPRESSION)
        settings.setdefault_in_component_priority_dict("SPIDER_MIDDLEWARES", SpiderDoor, NEXT_TO_ENGINE)
        settings.setdefault_in_component_priority_dict("ITEM_PIPELINES", ItemDoor, BEFORE_ALL_PIPELINES)
        _put_gates(settings)
        _hold_back_cache(settings)


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


def _hold_back_cache(settings: BaseSettings) -> None:
    name = "HTTPCACHE_STORAGE"
    if not cache.is_made(settings[name]):
        settings.set(name, cache.make(settings[name]), max(settings.getpriority(name) or 0, _PRIORITY))
