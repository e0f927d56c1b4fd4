"""Settings that would defeat the add-on, or that look as if they did something and do not: said once, at the start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

from crawler import options
from crawler.gate import is_gate
from optout.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

_DEFAULT_PRIORITY = 0
_STANDARD_DOWNLOADER = "scrapy.core.downloader.Downloader"
_LOCAL_SCHEMES = frozenset({"data", "file"})


def warn(settings: BaseSettings) -> None:
    """Warn about every misfit."""
    for warning in found(settings):
        logger.warning("%s", warning)


def found(settings: BaseSettings) -> Iterator[str]:
    """What does not fit, as sentences with what to do about it."""
    if settings.getbool("REMOTE_CONTROL_ENABLED"):
        yield (
            "RemoteControl listens and lets whoever holds its token run code in this process, past every decision: "
            "set REMOTE_CONTROL_ENABLED = False"
        )
    identity = Identity(options.product_token(settings), settings.get("USER_AGENT") or "")
    if identity.poses_as_browser:
        yield (
            f"The USER_AGENT {identity.header!r} does not name {identity.token}, or poses as a browser: "
            "name your crawler in it, so that rightsholders can address it"
        )
    if _is_chosen(settings, "ROBOTSTXT_OBEY") and not settings.getbool("ROBOTSTXT_OBEY"):
        yield "ROBOTSTXT_OBEY = False has no effect: the add-on decides on robots.txt under OPTOUT_POLICY"
    yield from _robots_middlewares(settings)
    yield from _ungated(settings)
    if settings["DOWNLOADER"] != _STANDARD_DOWNLOADER:
        yield f"DOWNLOADER = {settings['DOWNLOADER']!r}: one that calls no download handlers goes past the gate"
    for name in sorted(settings):
        if name.startswith("OPTOUT_") and name not in options.NAMES:
            yield f"{name} is no setting of the add-on: it knows {', '.join(sorted(options.NAMES))}"


def _is_chosen(settings: BaseSettings, name: str) -> bool:
    return (settings.getpriority(name) or 0) > _DEFAULT_PRIORITY


def _robots_middlewares(settings: BaseSettings) -> Iterator[str]:
    middlewares = settings.get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES")
    for component in middlewares:
        name = global_object_name(load_object(component))
        if "robots" in name.lower():
            yield f"{name} reads robots.txt as well: switch it off, or its requests are decided on like pages"


def _ungated(settings: BaseSettings) -> Iterator[str]:
    for scheme, handler in settings.getwithbase("DOWNLOAD_HANDLERS").items():
        if handler is not None and scheme not in _LOCAL_SCHEMES and not is_gate(handler):
            yield (
                f"The download handler for {scheme} was exchanged after the add-on put its gate there: "
                "give crawler.addon.OptOutAddon the highest number in ADDONS"
            )
