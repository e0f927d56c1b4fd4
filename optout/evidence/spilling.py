"""DuckDB with an end to its memory: what is larger goes to a folder that is gone afterwards."""

from __future__ import annotations

import glob
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MEMORY = "512MB"
"""What one connection may hold in memory."""

# Every statement says in which order it wants its rows, so none has to be kept by the way.
_CONFIG = {"threads": 2, "preserve_insertion_order": False}


def named(paths: Iterable[Path | str]) -> list[str]:
    """Paths for `read_parquet`, which would take a name with a `[` or a `*` in it for that of other files.

    Say `hive_partitioning=false` to it, too, or a folder called `date=2026` above the files becomes a column of theirs.
    """
    return [glob.escape(str(path)) for path in paths]


@contextmanager
def spilling(memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own, in memory up to a limit and beyond that on disk, where temporary files go (`TMPDIR`)."""
    with (
        TemporaryDirectory(prefix="optout-") as folder,
        duckdb.connect(config={**_CONFIG, "memory_limit": memory, "temp_directory": folder}) as connection,
    ):
        # Of a question that takes long DuckDB would draw its progress on standard output, where results belong.
        connection.execute("set enable_progress_bar = false")
        # Years and days are of UTC wherever the machine stands, or two machines would tell different figures.
        connection.execute("set global timezone = 'UTC'")
        with _interrupted():
            yield connection


@contextmanager
def _interrupted() -> Iterator[None]:
    """Let an interruption be one, which DuckDB tells as an error of a question's own."""
    try:
        yield
    except duckdb.InterruptException as fault:
        raise KeyboardInterrupt from fault
    except (RuntimeError, duckdb.Error) as fault:
        # The second where it met Python code of ours that gives rows.
        if str(fault) == "Query interrupted" or str(fault).rstrip().endswith("\nKeyboardInterrupt"):
            raise KeyboardInterrupt from fault
        raise
