"""What an audit found: figures from the decision shards, as JSON for machines and as a page for people."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import orjson

from optout.audit.figures import UNKNOWN_FILE, gather
from optout.audit.report_page import page
from optout.audit.shard import Place
from optout.audit.storage import near_folder, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optout.audit.figures import Figures
    from optout.audit.job import Job
    from optout.audit.shard import Manifest
    from optout.audit.storage import Location


def write_report(job: Job, manifests: Sequence[Manifest], directory: Location) -> Figures:
    """Write `report.json`, `report.html` and `unknown-origins.txt`, and give the figures."""
    place = Place(directory)
    names = [place.path_of(place.decisions(one.file)) for one in manifests if one.rows]
    with near_folder(directory, names) as folder, TemporaryDirectory(prefix="optout-") as scratch:
        unknown = Path(scratch) / UNKNOWN_FILE
        figures = gather(job, manifests, folder, unknown, is_remote=not isinstance(directory, Path))
        write(directory / UNKNOWN_FILE, unknown.read_bytes())
    write(directory / "report.json", orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    write(directory / "report.html", page(figures).encode())
    return figures
