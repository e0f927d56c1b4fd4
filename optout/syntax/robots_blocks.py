"""Which records of a robots.txt stand apart from the group above them.

RFC 9309 ends a group only at the next `User-agent` line, so a `License` line at the foot of a file would belong to
whichever crawler was named last. Publishers mean the site: they set such a line apart by an empty line, or put it
beside `Sitemap`, which belongs to no group (RFC 9309 section 2.2.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.syntax.robots_records import Group, RobotsFile

SITEMAP = "sitemap"


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
