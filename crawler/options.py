"""What a Scrapy project may set, and what follows from it.

| setting | meaning | default |
|---|---|---|
| `OPTOUT_POLICY` | a policy that ships with the product, or a TOML file | `eu-gpai` |
| `OPTOUT_TOKEN` | the product token that rules are addressed to | what `ROBOTSTXT_USER_AGENT` or `USER_AGENT` names |
| `OPTOUT_DIR` | where `evidence/` (the log) and `signals/` (WARC) are written | `optout-evidence` |
| `OPTOUT_NODE` | the name of this writer; processes that share a directory need different ones | the spider's name |
| `OPTOUT_SIGNAL_TIMEOUT` | seconds that one signal file may take, at most `DOWNLOAD_TIMEOUT` | 30 |
| `OPTOUT_ORIGINS_CACHED` | origins whose signals are kept in memory | 10000 |
| `OPTOUT_LISTS` | a directory of lists that `optout lists import` has made | none |
| `OPTOUT_STORE` | where signals are shared: a folder or the URL of a server, or a list of these, nearest first | none |
| `OPTOUT_HASH_BODIES` | whether the log names the SHA-256 of every page that was fetched | False |

Everything that can change a verdict is in the policy file and in the lists, which the log names by their digests, and
nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from optout.acquisition import policy_files
from optout.acquisition.fetcher import Limits
from optout.acquisition.lists import Lists
from optout.errors import UnreadableInput
from optout.identity import Identity

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from optout.policy import Policy

NAMES = frozenset(
    {
        "OPTOUT_POLICY",
        "OPTOUT_TOKEN",
        "OPTOUT_DIR",
        "OPTOUT_NODE",
        "OPTOUT_SIGNAL_TIMEOUT",
        "OPTOUT_ORIGINS_CACHED",
        "OPTOUT_HASH_BODIES",
        "OPTOUT_LISTS",
        "OPTOUT_STORE",
    }
)
"""Every setting of ours; another one that begins with `OPTOUT_` is a misspelling."""

DEFAULT_DIRECTORY = "optout-evidence"
DEFAULT_ORIGINS_CACHED = 10_000

# A product of a User-Agent, alone or named inside the comment that pretends to be Mozilla.
_PRODUCT = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)(?:/|\s|\Z)")
_COMPATIBLE = re.compile(r"\bcompatible;\s*([A-Za-z_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of one crawl, checked.

    Attributes:
        policy: the policy in force on the day the crawl began.
        policy_texts: the policy, registry and agent texts that it was made from.
        identity: who we are to rules and in requests.
        directory: where evidence and signals are written.
        node: the writer's name in the log and the archive.
        limits: what one signal file may cost.
        origins_cached: how many origins' signals are kept in memory.
        hash_bodies: whether rows name the digest of every page that was fetched.
        lists: the lists in force on the day the crawl began.
        stores: addresses of the stores that share what is seen of origins, nearest first.
    """

    policy: Policy
    policy_texts: tuple[bytes, bytes, bytes]
    identity: Identity
    directory: Path
    node: str
    limits: Limits
    origins_cached: int
    hash_bodies: bool
    lists: Lists
    stores: tuple[str, ...]


def read(settings: BaseSettings, crawler: Crawler) -> Options:
    """Read and check the settings of a crawl.

    Args:
        settings: those of the crawl, perhaps not in their last form yet.
        crawler: names the spider, if it has a name.

    Raises:
        OptoutError: a setting of ours cannot be used; the error names it.
    """
    name = settings.get("OPTOUT_POLICY", policy_files.DEFAULT)
    today = datetime.now(UTC).date()
    policy = policy_files.load(name, as_of=today)
    store = settings.get("OPTOUT_LISTS")
    return Options(
        policy=policy,
        policy_texts=policy_files.texts(name),
        identity=Identity(product_token(settings), settings.get("USER_AGENT") or ""),
        directory=Path(settings.get("OPTOUT_DIR") or DEFAULT_DIRECTORY),
        node=settings.get("OPTOUT_NODE") or _node(getattr(crawler.spider or crawler.spidercls, "name", None) or ""),
        limits=_limits(settings, policy),
        origins_cached=_whole(settings, "OPTOUT_ORIGINS_CACHED", DEFAULT_ORIGINS_CACHED),
        hash_bodies=settings.getbool("OPTOUT_HASH_BODIES"),
        lists=Lists.open(Path(store), today) if store else Lists.none(),
        stores=_stores(settings.get("OPTOUT_STORE")),
    )


def _stores(value: object) -> tuple[str, ...]:
    """The addresses in a setting, which is one of them, or a list. None of them is split: some have commas in them."""
    found = (value,) if isinstance(value, str | Path) else value or ()
    if not isinstance(found, list | tuple) or not all(isinstance(item, str | Path) for item in found):
        raise UnreadableInput(f"OPTOUT_STORE = {value!r}", mend="set an address, or a list of addresses")
    return tuple(str(address) for address in found if str(address))


def _node(spider_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", spider_name).lstrip("._-") or "crawl"


def product_token(settings: BaseSettings) -> str:
    """The product token: the one that is set, else the product that the User-Agent names (RFC 9309 section 2.2.1).

    Raises:
        UnreadableInput: the settings name no product.
    """
    if token := settings.get("OPTOUT_TOKEN"):
        return str(token)
    agent = str(settings.get("ROBOTSTXT_USER_AGENT") or settings.get("USER_AGENT") or "")
    found = _COMPATIBLE.search(agent) or _PRODUCT.match(agent)
    if found is None:
        raise UnreadableInput(f"no product token in the User-Agent {agent!r}", mend="set OPTOUT_TOKEN = 'YourBot'")
    return found[1]


def _limits(settings: BaseSettings, policy: Policy) -> Limits:
    standard = Limits()
    seconds = float(_whole(settings, "OPTOUT_SIGNAL_TIMEOUT", int(standard.seconds)))
    patience = settings.getfloat("DOWNLOAD_TIMEOUT") or seconds
    return Limits(seconds=min(seconds, patience), max_bytes=max(standard.max_bytes, policy.robots_limit))


def _whole(settings: BaseSettings, name: str, default: int) -> int:
    value = settings.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise UnreadableInput(f"{name} = {value!r}", mend="set a whole number of at least 1")
    return number
