"""What earlier audits have left in an output folder, of this machine or in an object store."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import orjson

from optout.audit.shard import FOLDERS
from optout.audit.storage import names_in, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optout.audit.job import Input
    from optout.audit.storage import Location


def clear(directory: Location, files: Sequence[Input]) -> int:
    """Remove what earlier audits made here of anything else: other files, and files that were cut otherwise.

    Whoever takes what is in `kept/` must find there what this audit keeps, and nothing besides.

    Returns:
        how many shards are gone.

    Raises:
        UnreadableInput: the file system that is written to does not let us look or remove.
    """
    wanted, kept = {f"{item.shard}.json" for item in files}, {item.name for item in files}
    others = [name for name in names_in(directory / "shards") if name.endswith(".json") and name not in wanted]
    for name in others:
        for folder, output in _outputs(directory / "shards" / name):
            if folder != "kept" or output not in kept:
                _remove(directory / folder, output)
        # The manifest last, so that who is interrupted goes on with it.
        remove(directory / "shards" / name)
    names = {item.file for item in files}
    for name in names_in(directory / "kept"):
        if name not in kept and (name in names or _PART_NAME.sub("", name) in names):
            _remove(directory / "kept", name)
    if isinstance(directory, Path):
        _make_room(directory / "kept", kept)
    return len(others)


_PART_NAME = re.compile(r"/part-[0-9]{5,}\.parquet\Z")


def _outputs(manifest: Location) -> list[tuple[str, str]]:
    """The files that a manifest names, by folder and name; none that is not where audits write."""
    try:
        named = list(orjson.loads(manifest.read_bytes())["outputs"] or {})
    except (ValueError, TypeError, KeyError):
        return []
    pairs = (name.partition("/") for name in named)
    return [(folder, name) for folder, _, name in pairs if folder in FOLDERS and ".." not in name.split("/")]


def _remove(folder: Location, name: str) -> None:
    """Remove a file, and the folders that it leaves empty where file systems have any."""
    remove(folder / name)
    if isinstance(folder, Path):
        for parent in PurePosixPath(name).parents[:-1]:
            with suppress(OSError):
                (folder / parent).rmdir()


def _make_room(kept: Path, names: Iterable[str]) -> None:
    """Make room where a folder of kept rows becomes a file of them."""
    for name in names:
        if (kept / name).is_dir():
            shutil.rmtree(kept / name)
