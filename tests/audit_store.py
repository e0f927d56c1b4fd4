"""Small stores for tests of the audit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from policies_for_tests import shipped

from optout.acquisition.history import Store
from optout.engine import required_paths
from optout.model import Exchange

MAY = datetime(2025, 5, 1, tzinfo=UTC)


def state(origin: str, robots: str | bytes | None, at: datetime = MAY, tdmrep: str | None = None) -> list[Exchange]:
    """What one visit to an origin saw; files that are not given do not exist."""
    bodies = {"/robots.txt": robots, "/.well-known/tdmrep.json": tdmrep}
    found = []
    for path in required_paths(shipped("eu-gpai")):
        body = bodies.get(path)
        data = body.encode() if isinstance(body, str) else body or b""
        found.append(Exchange(origin + path, path, 404 if body is None else 200, (), data, fetched_at=at))
    return found


def make(folder: Path, *visits: list[Exchange]) -> Path:
    """A store that holds some visits."""
    with Store.open(folder, create=True) as store:
        for visit in visits:
            store.put(visit)
    return folder
