"""What every test shares: how Hypothesis searches, and where the vectors beside the checkout lie."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from store_servers import Server, postgres_server, redis_server

ROOT = Path(__file__).parents[1]

# No deadlines, because a shared machine is slow by fits. CI draws the same examples each time, so that a red run is
# about the change it ran on; a developer's machine keeps searching.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


# Who starts the tests in the background of a script has them ignore interruptions, and every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Find the folder of acceptance data beside the checkout; a test that needs it is skipped where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no acceptance data: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def redis_store() -> Iterator[Server]:
    """Run one Redis or Valkey for all tests of a worker."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_store() -> Iterator[Server]:
    """Run one Postgres for all tests of a worker."""
    with postgres_server() as server:
        yield server
