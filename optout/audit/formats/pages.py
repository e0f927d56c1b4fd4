"""Columns of content: pages and the header fields of their responses, as exchanges for the engine's readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import orjson

from optout.audit.formats.base import page_exchange

if TYPE_CHECKING:
    from optout.model import Exchange

Headers = tuple[tuple[str, str], ...]


def pages_of(
    urls: Iterable[object], pages: Iterable[object] | None, headers: Iterable[object] | None
) -> dict[int, tuple[Exchange, ...]]:
    """The exchange of each row that has a page or header fields."""
    nothing = _forever()
    rows = zip(urls, pages if pages is not None else nothing, headers if headers is not None else nothing, strict=False)
    return {
        row: (page_exchange(text_of(url), bytes_of(page), headers_of(fields)),)
        for row, (url, page, fields) in enumerate(rows)
        if page or fields
    }


def _forever() -> Iterable[None]:
    while True:
        yield None


def text_of(value: object) -> str:
    """A value as text, whatever it is."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value or "")


def bytes_of(value: object) -> bytes:
    """A value as bytes, whatever it is."""
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogateescape" if value.isascii() else "replace") if isinstance(value, str) else b""


def headers_of(value: object) -> Headers:
    """Header fields however a dataset writes them; what cannot be understood is no header field.

    Objects, lists of pairs, lists of objects with `name` (or `key`) and `value`, JSON of any of these, and the lines
    that a server sends, in one text or a list, are understood.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        return tuple((str(name), text) for name, texts in value.items() for text in _texts(texts))
    if isinstance(value, list | tuple):
        return tuple(pair for item in value for pair in _pair(item))
    return ()


def _from_text(text: str) -> Headers:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return headers_of(orjson.loads(text))
        except orjson.JSONDecodeError:
            return ()
    lines = (line.partition(":") for line in text.splitlines())
    return tuple((name.strip(), value.strip()) for name, colon, value in lines if colon and " " not in name.strip())


def _pair(item: object) -> Headers:
    if isinstance(item, str | bytes):
        return headers_of(item)
    if isinstance(item, list | tuple) and len(item) == 2:
        return tuple((str(item[0]), text) for text in _texts(item[1]))
    if isinstance(item, Mapping) and "value" in item and (named := item.keys() & {"name", "key"}):
        return tuple((str(item[named.pop()]), text) for text in _texts(item["value"]))
    return ()


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1")]
    return [text for one in value for text in _texts(one)] if isinstance(value, list | tuple) else [str(value)]
