"""The comments of a robots.txt as a person reads them: lines that follow each other as one text (RFC 9309 section 2.2).

Everything behind a `#` is a comment. No rule is in one, but many publishers write there what they reserve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORNAMENT = "#*-=_~ \t"


class Comment(NamedTuple):
    """Comment lines without an empty one or a record between them.

    Attributes:
        text: as it is read, white space collapsed.
        line: of its first line, counted from 1.
        offset: of the first byte of that line.
        end: the offset behind its last line.
    """

    text: str
    line: int
    offset: int
    end: int


def comments(body: bytes) -> Iterator[Comment]:
    """The comments in order; one behind a record stands by itself. Undecodable bytes become U+FFFD."""
    run: list[str] = []
    first = (0, 0)
    offset = 0
    for number, line in enumerate(body.splitlines(keepends=True), 1):
        content, _, written = line.partition(b"#")
        text = written.decode("utf-8", "replace").strip(_ORNAMENT + "\r\n")
        alone = not content.strip(b" \t\xef\xbb\xbf")
        if run and not (text and alone):
            yield Comment(" ".join(run), *first, offset)
            run = []
        if text:
            first = first if run else (number, offset)
            run.append(" ".join(text.split()))
        offset += len(line)
        if run and not alone:
            yield Comment(" ".join(run), *first, offset)
            run = []
    if run:
        yield Comment(" ".join(run), *first, offset)
