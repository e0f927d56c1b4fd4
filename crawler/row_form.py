"""Rows of the log that differ in a few fields only, written at the cost of those fields.

A crawl logs thousands of rows on the same verdict. Their canonical form is cut once at the places where they differ;
each row then is the pieces with its own values between them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson

from optout.evidence.canonical import encode, encode_checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optout.evidence.canonical import JSON

    Line = Callable[[int], bytes]

_OWN = ("fetch", "seq", "stage", "t", "url")
"""The fields in which rows of one form differ, in their canonical order."""


class RowForm:
    """The canonical form of rows that share all fields but `fetch`, `seq`, `stage`, `t` and `url`."""

    __slots__ = ("_pieces",)

    def __init__(self, shared: Mapping[str, JSON]) -> None:
        """Cut the form.

        Raises:
            EvidenceError: a shared field is outside the canonical profile.
        """
        pieces, piece = [], b"{"
        for name in sorted({*shared, *_OWN}):
            piece += (b"" if piece == b"{" else b",") + encode(name) + b":"
            if name in shared:
                piece += encode(shared[name])
            else:
                pieces.append(piece)
                piece = b""
        self._pieces = (*pieces, piece + b"}")

    def line(self, fetch: Mapping[str, JSON], stage: str, t: int, url: str) -> Line:
        """What gives the row's canonical bytes once its sequence number is known.

        Args:
            fetch: what became of the request: text, truth values and small numbers by name.
            stage: when it was decided.
            t: in microseconds since 1970 UTC.
            url: what was decided on.
        """
        return partial(self._filled, fetch, stage, t, url)

    def _filled(self, fetch: Mapping[str, JSON], stage: str, t: int, url: str, seq: int) -> bytes:
        a, b, c, d, e, f = self._pieces
        written = encode_checked(fetch)
        return b"".join((a, written, b, b"%d" % seq, c, b'"%s"' % stage.encode(), d, b"%d" % t, e, _text(url), f))


def _text(text: str) -> bytes:
    """A text in JSON; what no JSON can hold, a stranger's lone surrogate, must not keep its row out of the log."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return orjson.dumps(text.encode("utf-8", "replace").decode())
