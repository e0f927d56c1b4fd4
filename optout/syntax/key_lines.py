"""`Key: value` lines with indented blocks, as in draft-car-ai-txt-wellknown section 2.2 and a dozen dialects of ai.txt.

A line that names an opening key begins a block, and the indented lines below it belong to it; blank lines and comments
do not end a block, a line without indentation does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from optout.syntax import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT = re.compile(r"(?:^|(?<=\s))#")
_MARKS = " \t-\"'`"


class Field(NamedTuple):
    """One `key: value` line.

    Attributes:
        name: in lower case, `_` and spaces as `-`, without list marks and quotes around it.
        value: without comment and white space around it.
        line: where it stands and how it is written.
        block: the value of the line that opened its block; None outside of any.
        loose: whether it stands right behind a block's opening line, but without indentation.
    """

    name: str
    value: str
    line: plain_text.Line
    block: str | None = None
    loose: bool = False


def cut(body: bytes, limit: int, opener: str) -> tuple[Field, ...]:
    """The fields of the first `limit` bytes of a text.

    Args:
        body: the text.
        limit: how many bytes to read.
        opener: the name of the key that opens a block.
    """
    return tuple(_fields(body, limit, opener))


def _fields(body: bytes, limit: int, opener: str) -> Iterator[Field]:
    block: str | None = None
    loose = False
    for line in plain_text.lines(body, limit):
        content = _COMMENT.split(line.text, maxsplit=1)[0]
        head, colon, rest = content.partition(":")
        if not content.strip():
            loose = loose and bool(line.text)
            continue
        name, value = head.strip(_MARKS).lower().replace("_", "-").replace(" ", "-"), rest.strip()
        if not line.indent:
            block = value if colon and name == opener else None
        if colon:
            yield Field(name, value, line, block, loose and not line.indent and block is None)
        loose = (block is not None and name == opener) or (loose and block is None)
