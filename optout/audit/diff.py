"""What changed between two audits of the same data, as a list of rows to remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from optout.audit.disk import writing
from optout.audit.storage import give_up, part_of, settle
from optout.errors import UnreadableInput
from optout.evidence.spilling import named, spilling

_QUERY = """
SELECT coalesce(a.file, b.file) AS file, coalesce(a.row, b.row) AS "row", coalesce(b.url, a.url) AS url,
  CASE WHEN b.file IS NULL THEN 'only-before' WHEN a.file IS NULL THEN 'only-after'
    WHEN a.kept AND NOT b.kept THEN 'remove' WHEN b.kept AND NOT a.kept THEN 'add' ELSE 'changed' END AS change,
  a.effect AS effect_before, b.effect AS effect_after, a.reason AS reason_before, b.reason AS reason_after
FROM read_parquet($1, union_by_name=true, hive_partitioning=false) a
FULL JOIN read_parquet($2, union_by_name=true, hive_partitioning=false) b
  ON a.file = b.file AND a.row = b.row AND a.url IS NOT DISTINCT FROM b.url
WHERE a.kept IS DISTINCT FROM b.kept OR a.effect IS DISTINCT FROM b.effect OR a.reason IS DISTINCT FROM b.reason
"""
# A row is the same where its file, its number and its URL are: where rows were put in or files have other names since,
# another row stands in its place, about which the first audit has decided nothing.


def compare(first: Path, second: Path, target: Path) -> dict[str, int]:
    """Write the rows that are judged otherwise by the second audit, and count them by what is to be done.

    Rows that were kept and are not any more are to be removed, and those that may be kept now to be added; of others
    only the reason or effect changed. About rows that only one of the audits has the other decided nothing.

    Args:
        first: the output folder of an audit.
        second: that of a later one.
        target: the Parquet file to write.

    Raises:
        UnreadableInput: a folder has no decisions.
        OutputError: the file cannot be written.
    """
    paths = [_decisions(folder) for folder in (first, second)]
    part = part_of(target)
    # Two audits of a billion rows are joined on the disk where memory does not hold them.
    with writing(target.parent), spilling("1GB") as connection:
        try:
            name = str(part).replace("'", "''")
            copy = f"COPY ({_QUERY} ORDER BY 4 DESC, 1, 2) TO '{name}' (FORMAT parquet, COMPRESSION zstd)"
            connection.execute(copy, paths)
            settle(part, target)
        except duckdb.IOException as error:
            raise OSError(str(error).splitlines()[0]) from error
        finally:
            give_up(part, target)
        counted: list[Any] = connection.execute(
            "SELECT change, count(*) FROM read_parquet($1) GROUP BY 1 ORDER BY 1", [named([target])]
        ).fetchall()
    return dict(counted)


def _decisions(folder: Path) -> list[str]:
    found = sorted((folder / "decisions").glob("*.parquet"))
    if not found:
        raise UnreadableInput(f"{folder} holds no decisions", mend="name the output folders of two audits")
    return named(found)
