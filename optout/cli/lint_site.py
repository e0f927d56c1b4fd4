"""What `optout lint` looks at: the files of a site on disk, or the site itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optout import engine
from optout.acquisition import plan
from optout.acquisition.files import FileReader
from optout.assess import assess_on_the_way
from optout.errors import UnreadableInput
from optout.model import ASSET, RESOURCE, Effect, Exchange
from optout.signals.terms_of_service import terms_links
from optout.syntax.plain_text import is_markup
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optout.acquisition.fetcher import Fetcher
    from optout.identity import Identity
    from optout.policy import Policy

PLACEHOLDER = "https://example.org"
"""The site that local files are taken to belong to."""

MOST_TERMS = 2
"""Pages of terms that are looked at for their prose."""

LARGEST = 16 << 20
_NAMES = {
    "robots.txt": "/robots.txt",
    "tdmrep.json": "/.well-known/tdmrep.json",
    "ai.txt": "/ai.txt",
    "trust.txt": "/trust.txt",
}
_SPEAKING = frozenset({RESOURCE, ASSET})
_LICENCE = "rsl-document"
_POLICY = "tdm-policy"
_RECOGNISED = (
    (re.compile(rb"<(?:\w+:)?rsl[\s>]"), _LICENCE),
    (re.compile(rb"(?im)^\s*spec-version\s*:"), "/.well-known/ai.txt"),
    (re.compile(rb"(?im)^\s*(?:user-?agent|disallow)\s*:"), "/robots.txt"),
    (re.compile(rb"(?im)^\s*data[-_ ]?training[-_ ]?allowed"), "/trust.txt"),
    (re.compile(rb"(?i)\btdm[-_]?reservation"), "/.well-known/tdmrep.json"),
    (re.compile(rb"(?i)odrl|\"permission\""), _POLICY),
)
_SNIFFED = 65_536


@dataclass(frozen=True, slots=True)
class Site:
    """Everything at hand of one site.

    Attributes:
        name: how it was called on the command line.
        url: the page that the answer is for.
        origin: exchanges of its files, and of the documents these point to.
        page: exchanges of the page and of what stands inside it; empty where there is none.
        terms: exchanges of pages with terms.
        live: whether it was fetched.
        refused: whether the page was not looked at because it may not be fetched.
    """

    name: str
    url: str
    origin: tuple[Exchange, ...]
    page: tuple[Exchange, ...] = ()
    terms: tuple[Exchange, ...] = ()
    live: bool = False
    refused: bool = False

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All of them, terms left out."""
        return self.origin + self.page


# On disk.


def from_files(name: str, paths: Sequence[Path], policy: Policy) -> list[Site]:
    """The site that files describe, once for each page among them; what is not among them does not exist there.

    Raises:
        UnreadableInput: a file cannot be read, or it is none of the known kinds.
    """
    exchanges = [_exchange(path) for path in paths]
    origin = tuple(item for item in exchanges if item.role != RESOURCE)
    pages = [(path, item) for path, item in zip(paths, exchanges, strict=True) if item.role == RESOURCE]
    origin += tuple(_missing(origin, policy))
    if not pages:
        return [Site(name, f"{PLACEHOLDER}/", origin)]
    return [Site(str(path) if len(pages) > 1 else name, item.url, origin, _with_parts(item)) for path, item in pages]


def folder(path: Path) -> list[Path]:
    """The files of a folder that lint knows by name or by content, in order; others are passed over."""
    found = sorted(item for item in path.rglob("*") if item.is_file() and item.stat().st_size <= LARGEST)
    return [item for item in found if _role(item, _read(item)) is not None]


def _exchange(path: Path) -> Exchange:
    body = _read(path)
    role = _role(path, body)
    if role is None:
        message = f"{path}: neither robots.txt, tdmrep.json, ai.txt, trust.txt, an RSL licence nor a page"
        raise UnreadableInput(message, mend="name it as it is called on the site")
    if role == RESOURCE:
        headers = (("Content-Type", "text/html; charset=utf-8" if _is_utf8(body) else "text/html"),)
        return Exchange(f"{PLACEHOLDER}/{path.name}", RESOURCE, status=200, headers=headers, body=body)
    url = PLACEHOLDER + role if role.startswith("/") else f"{PLACEHOLDER}/{path.name}"
    return Exchange(url, role, status=200, body=body)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UnreadableInput(message, mend="name a readable file") from error


def _is_utf8(body: bytes) -> bool:
    """A file has no header that would say so."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _role(path: Path, body: bytes) -> str | None:
    """What a file is, by its name, else by its content."""
    if (role := _NAMES.get(path.name.lower())) is not None:
        return "/.well-known/ai.txt" if role == "/ai.txt" and path.parent.name == ".well-known" else role
    head = body[:_SNIFFED]
    if path.suffix.lower() in (".html", ".htm", ".xhtml"):
        return RESOURCE
    role = next((role for pattern, role in _RECOGNISED if pattern.search(head)), None)
    if role != _LICENCE and is_markup(body):
        return RESOURCE
    return role


def _missing(origin: Sequence[Exchange], policy: Policy) -> Iterator[Exchange]:
    given = {item.role for item in origin}
    for role in engine.required_paths(policy):
        if role not in given:
            yield Exchange(PLACEHOLDER + role, role, status=404)


def _with_parts(page: Exchange) -> tuple[Exchange, ...]:
    with FileReader() as reader:
        return page, *reader.read_bytes(page.url, page.body).exchanges


# On the live web.


async def from_web(url: str, policy: Policy, identity: Identity, fetcher: Fetcher) -> Site:
    """The site of a URL, or that to which it redirects, with the page and its terms as far as these may be fetched.

    Raises:
        MalformedUrl: the URL names no origin.
    """
    assessment = (await assess_on_the_way(url, policy, identity, fetcher))[-1]
    exchanges = assessment.exchanges
    page = tuple(item for item in exchanges if item.role in _SPEAKING)
    origin = tuple(item for item in exchanges if item.role not in _SPEAKING)
    site = Site(url, assessment.url, origin, page, live=True, refused=assessment.verdict.access is not Effect.PERMIT)
    terms = [await fetcher.fetch(plan.Planned(link, RESOURCE)) for link in _terms(site, policy, identity)]
    return replace(site, terms=tuple(terms))


def _terms(site: Site, policy: Policy, identity: Identity) -> list[str]:
    """Addresses of terms on the same origin that we may fetch."""
    here = origin_of(site.url)
    links = dict.fromkeys(link for page in site.page if page.role == RESOURCE for link in terms_links(page))
    ours = (link for link in links if origin_of(link) == here and link != site.url)
    allowed = (link for link in ours if engine.decide(site.origin, link, policy, identity).access is Effect.PERMIT)
    return [link for link, _ in zip(allowed, range(MOST_TERMS), strict=False)]
