"""Cases as data: the JSON form of `optout check --cases` turned into what a web site would have answered.

What a case does not give does not exist at that origin (404).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from optout.acquisition.fetcher import MemoryFetcher
from optout.errors import UnreadableInput
from optout.model import RESOURCE, TOO_MANY_REDIRECTS, Exchange
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REDIRECTS = 5
KEYS = frozenset(
    {
        "url",
        "user_agent",
        "headers",
        "html",
        "robots_txt",
        "robots_status",
        "robots_redirects",
        "robots_txt_repeat",
        "tdmrep_json",
        "ai_txt",
        "well_known_ai_txt",
        "trust_txt",
        "rsl_xml",
        "http_status",
    }
)
_FILES = {
    "ai_txt": "/ai.txt",
    "well_known_ai_txt": "/.well-known/ai.txt",
    "trust_txt": "/trust.txt",
}


def fetcher(case: Mapping[str, Any]) -> MemoryFetcher:
    """The web site that a case describes.

    Raises:
        UnreadableInput: a key is unknown or has a value it cannot have.
        MalformedUrl: its URL names no origin.
    """
    unknown = sorted(set(case) - KEYS)
    if unknown:
        message = f"unknown input key: {', '.join(unknown)}"
        raise UnreadableInput(message, mend=f"use {', '.join(sorted(KEYS))}")
    base = origin_of(_text(case, "url")).text
    exchanges = [_page(case), _robots(case, base)]
    exchanges += [_file(base + path, path, _text(case, key)) for key, path in _FILES.items() if key in case]
    if "tdmrep_json" in case:
        given = case["tdmrep_json"]
        body = given if isinstance(given, str) else json.dumps(given)
        exchanges.append(_file(f"{base}/.well-known/tdmrep.json", "/.well-known/tdmrep.json", body))
    licences, fallback = _licences(case.get("rsl_xml", {}))
    return MemoryFetcher({exchange.url: exchange for exchange in (*exchanges, *licences)}, fallback)


def _text(case: Mapping[str, Any], key: str) -> str:
    value = case.get(key)
    if isinstance(value, str):
        return value
    message = f"{key} is not a string" if key in case else f"{key} is missing"
    raise UnreadableInput(message, mend=f'give "{key}": "…"')


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _file(url: str, role: str, text: str) -> Exchange:
    return Exchange(url, role, status=200, body=_bytes(text))


def _page(case: Mapping[str, Any]) -> Exchange:
    headers = _headers(case.get("headers", {}))
    html = case.get("html")
    if html is not None and all(name.lower() != "content-type" for name, _ in headers):
        headers += (("Content-Type", "text/html; charset=utf-8"),)
    body = _bytes(_text(case, "html")) if html is not None else b""
    return Exchange(_text(case, "url"), RESOURCE, status=_status(case, "http_status"), headers=headers, body=body)


def _headers(given: object) -> tuple[tuple[str, str], ...]:
    pairs = list(given.items()) if isinstance(given, dict) else given
    if isinstance(pairs, list) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        return tuple(
            (str(name), str(value))
            for name, values in pairs
            for value in (values if isinstance(values, list) else [values])
        )
    message = "headers is neither an object nor a list of pairs"
    raise UnreadableInput(message, mend='write {"Name": "value"} or [["Name", "value"], …]')


def _status(case: Mapping[str, Any], key: str) -> int:
    value = case.get(key, 200)
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    message = f"{key} {value!r} is not an HTTP status"
    raise UnreadableInput(message, mend="use a number from 100 to 599")


def _robots(case: Mapping[str, Any], base: str) -> Exchange:
    """The robots.txt of a case; a status, a redirect chain or a repeated line may be given instead of a text."""
    url, role = f"{base}/robots.txt", "/robots.txt"
    status = case.get("robots_status")
    if isinstance(status, str) and not status.isdigit():
        return Exchange(url, role, error=status)
    redirects = _redirects(case, url)
    if len(redirects) > MAX_REDIRECTS:
        return Exchange(url, role, redirects=redirects[:MAX_REDIRECTS], error=TOO_MANY_REDIRECTS)
    body = _repeated(case) if "robots_txt_repeat" in case else _bytes(str(case.get("robots_txt") or ""))
    given = case.get("robots_txt") is not None or "robots_txt_repeat" in case
    code = int(status) if isinstance(status, str) else status
    return Exchange(url, role, status=code or (200 if given else 404), body=body, redirects=redirects)


def _redirects(case: Mapping[str, Any], url: str) -> tuple[str, ...]:
    given = case.get("robots_redirects", 0)
    if isinstance(given, list):
        return tuple(str(target) for target in given)
    if isinstance(given, int):
        return tuple(f"{url}?hop={number}" for number in range(given))
    message = f"robots_redirects {given!r} is neither a number nor a list"
    raise UnreadableInput(message, mend="give the number of hops")


def _repeated(case: Mapping[str, Any]) -> bytes:
    given = case["robots_txt_repeat"]
    if not isinstance(given, dict) or not isinstance(given.get("times"), int):
        message = "robots_txt_repeat is not {line, times, then}"
        raise UnreadableInput(message, mend='write {"line": "…", "times": 1000, "then": "…"}')
    line = str(given.get("line", "")).rstrip("\n")
    head = str(case.get("robots_txt") or "")
    return _bytes(head + (line + "\n") * given["times"] + str(given.get("then", "")))


def _licences(given: object) -> tuple[list[Exchange], dict[str, Exchange]]:
    """Licence documents by URL, or one text for every licence URL; null is a failed fetch."""
    role = "rsl-document"
    if isinstance(given, dict):
        return [_licence(url, text) for url, text in given.items()], {}
    return [], {role: _licence("", given)}


def _licence(url: str, text: object) -> Exchange:
    if text is None:
        return Exchange(url, "rsl-document", error="failed")
    return _file(url, "rsl-document", str(text))
