"""Writing shards: each file whole or not at all, and errors that tell a bad input from a bad output."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import zstandard

from optout.errors import OptoutError, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from optout.audit.storage import Location

_Item = TypeVar("_Item")

_STRANGERS_BYTES = (
    OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, RuntimeError, MemoryError, zlib.error,
    zstandard.ZstdError, pa.ArrowException,
)  # fmt: skip
"""What libraries raise over bytes that they cannot read; a list, so that mistakes of ours in judging still show."""


class OutputError(OptoutError):
    """Where results go cannot be written to: full, read-only, or not ours."""


def read_on(source: Path, items: Iterable[_Item]) -> Iterator[_Item]:
    """Give what a reader gives, and name the input in whatever error it ends with.

    Raises:
        UnreadableInput: it cannot be read on.
    """
    iterator = iter(items)
    count = 0
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except OptoutError:
            raise
        except _STRANGERS_BYTES as error:
            what = str(getattr(error, "strerror", None) or error).splitlines() or [repr(error)]
            place = f"after {count} batches" if count else None
            raise UnreadableInput(
                f"{source}: {what[0][:300]}", place=place, mend="repair or replace the file"
            ) from error
        yield item
        count += 1


@contextmanager
def writing(directory: Location, source: Path | None = None) -> Iterator[None]:
    """Say of what is written inside that the output failed, unless the error names the input.

    Raises:
        OutputError: the disk refuses.
        UnreadableInput: the input does.
    """
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error).splitlines()[0]
        if source is not None and error.filename is not None and str(error.filename) == str(source):
            raise UnreadableInput(f"{source}: {what}", mend="name a readable file") from error
        mend = "free or repair the disk, or name another --out; run it again to go on"
        raise OutputError(f"cannot write to {directory}: {what}", mend=mend) from error
