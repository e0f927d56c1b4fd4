"""Finding rows: by URL or host, in sealed segments, without reading all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optout.evidence.rows import KEPT, host_of
from optout.evidence.spilling import named, spilling

if TYPE_CHECKING:
    from pathlib import Path

    from optout.evidence.layout import Layout


@dataclass(frozen=True, slots=True)
class Found:
    """Where a row is: the segment's file and the place of its leaf, and when it was decided in microseconds.

    Attributes:
        is_note: whether it is no decision, but a note that content was kept.
    """

    file: str
    at: int
    t: int
    is_note: bool = False


def by_url(layout: Layout, url: str) -> list[Found]:
    """The rows about a URL: decisions before notes that it was kept, and the newest first."""
    return _found(layout.segments, "host = ? and url = ?", [host_of(url), url])


def by_host(layout: Layout, host: str) -> list[Found]:
    """The rows about a host in SURT form, the newest first."""
    return _found(layout.segments, "host = ?", [host])


def _found(directory: Path, where: str, values: list[str]) -> list[Found]:
    files = named(sorted(directory.glob("*.parquet")))
    if not files:
        return []
    with spilling() as connection:
        rows = connection.execute(
            f"select filename, file_row_number, t, coalesce(stage, '') = '{KEPT}' "  # noqa: S608 - of constants only
            "from read_parquet(?, filename=true, file_row_number=true, hive_partitioning=false) "
            f"where {where} order by 4, t desc, seq desc",
            [files, *values],
        ).fetchall()
    return [Found(name.rsplit("/", 1)[-1], int(at), int(t or 0), is_note) for name, at, t, is_note in rows]
