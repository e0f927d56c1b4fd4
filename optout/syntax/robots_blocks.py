"""Which records of a robots.txt stand apart from the group above them, and which from all groups.

RFC 9309 ends a group only at the next `User-agent` line, so a `License` line at the foot of a file would belong to
whichever crawler was named last. Publishers mean the site: they set such a line apart by an empty line, or put it
beside `Sitemap`, which belongs to no group (RFC 9309 section 2.2.4).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.syntax.robots_records import Group, RobotsFile

SITEMAP = "sitemap"

# Both begin with one literal character, for which the search is quick, so every line needs a line break before it. A
# sitemap is a URL of plain characters up to the end of its line, so that no reader can see another line inside it.
_SITEMAPS = re.compile(
    rb"\n([ \t]*[Ss][Ii][Tt][Ee][Mm][Aa][Pp][ \t]*:[ \t]*)[Hh][Tt][Tt][Pp][!-\"$-~]*(?=[ \t\r]*(?:\n|\Z))"
)
_COMMENTS = re.compile(rb"\n[ \t]*#[^\r\n]*")


def without_sitemaps(body: bytes) -> bytes:
    """A robots.txt without the URLs of its sitemaps.

    They belong to no group and must not interfere with the rules (RFC 9309 section 2.2.4), so files that differ in
    nothing else refuse the same paths to the same crawlers, by rules on the same lines.
    """
    return _SITEMAPS.sub(rb"\n\1", b"\n" + body)[1:]


def without_comments(body: bytes) -> bytes:
    """A robots.txt without the text of the lines that are comments; a site named there means nothing to any reader."""
    return _COMMENTS.sub(b"\n", b"\n" + body)[1:]


def set_apart(file: RobotsFile, body: bytes) -> frozenset[int]:
    """The lines, counted from 1, of the records that stand apart from their group.

    Such a record follows the last rule and the last agent of its group, with an empty line or a `Sitemap` between.

    Args:
        file: as cut.
        body: the bytes it was cut from.
    """
    empty = {number for number, line in enumerate(body.splitlines(), 1) if not line.strip()}
    return frozenset(line for group in file.groups for line in _foot(group, empty))


def _foot(group: Group, empty: set[int]) -> Iterator[int]:
    last = max([line.line for line in group.agents] + [rule.line for rule in group.rules])
    apart = False
    for record in group.others:
        if record.line < last:
            continue
        apart = apart or record.field == SITEMAP or any(line in empty for line in range(last + 1, record.line))
        last = record.line
        if apart:
            yield record.line
