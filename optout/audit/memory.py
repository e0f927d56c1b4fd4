"""Where Arrow takes memory from while a shard is made."""

from __future__ import annotations

import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIVES_BACK = "mimalloc"


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let Arrow take memory from the C library, where that is glibc's, in place of its usual allocator.

    A shard is made batch by batch, each of which wants as much memory as the one before. Arrow's usual allocator gives
    memory back to the system when it has been free for some milliseconds, and the system clears every page that it
    hands out again: a tenth of an audit's time. Who has chosen another allocator for Arrow keeps it.
    """
    pool = pa.default_memory_pool()
    if pool.backend_name != _GIVES_BACK or platform.libc_ver()[0] != "glibc":
        yield
        return
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
