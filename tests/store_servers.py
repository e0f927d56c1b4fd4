"""Real servers for shared stores, on free ports of this machine and in folders that are gone afterwards."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

try:
    import asyncpg
    import redis
except ImportError:
    # The tests are skipped then.
    asyncpg = redis = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SECONDS = 20


@dataclass
class Server:
    """One server. `stop` kills it as a power cut would, `start` brings it back with what it had written."""

    address: str
    port: int
    command: list[str]
    folder: Path
    ready: Callable[[], bool] = field(default=lambda: True)
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        log.close()
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.05)
                continue
            if self.ready():
                return
            time.sleep(0.05)
        pytest.fail(f"{self.command[0]} did not start: {(self.folder / 'server.log').read_text()[-500:]}")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that another user can get into; pytest's own are closed to everybody else."""
    path = Path(tempfile.mkdtemp(prefix="optout-store-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def redis_server() -> Iterator[Server]:
    """Run Valkey where it is installed, else Redis; every write is on the disk before it is acknowledged."""
    if redis is None:
        pytest.skip("the extra redis is not installed")
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("neither valkey-server nor redis-server is installed (tools/apt-packages.txt)")
    port = _free_port()
    with _folder() as folder:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *durable]
        server = Server(f"redis://127.0.0.1:{port}/0", port, command, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Run Postgres, as another user where we are root, because it refuses to run as root."""
    if asyncpg is None:
        pytest.skip("the extra postgres is not installed")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []
    found = shutil.which("postgres")
    if not programs and found is None:
        pytest.skip("postgresql is not installed (tools/apt-packages.txt)")
    bin_folder = programs[-1] if programs else Path(str(found)).resolve().parent
    port = _free_port()
    with _folder() as folder:
        user = _unprivileged(folder)
        data = folder / "data"
        subprocess.run(
            [*user, bin_folder / "initdb", "-D", data, "-A", "trust", "-U", "optout", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "shared_buffers=16MB", "-c", "autovacuum=off"]
        command = [*user, str(bin_folder / "postgres"), "-D", str(data), *options]
        address = f"postgresql://optout@127.0.0.1:{port}/postgres"
        server = Server(address, port, command, folder, lambda: _answers(address))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _unprivileged(folder: Path) -> list[str]:
    """What to begin a command with, so that root's rights are left behind."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def ask_postgres(address: str, *statements: str) -> None:
    """Run statements as somebody else would."""

    async def run() -> None:
        connection = await asyncpg.connect(address)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def wipe(address: str) -> None:
    """Make a server forget every store."""
    if address.startswith("redis"):
        with redis.Redis.from_url(address) as client:
            client.flushall()
    else:
        ask_postgres(address, "DROP SCHEMA IF EXISTS optout CASCADE")


def _answers(address: str) -> bool:
    try:
        ask_postgres(address, "SELECT 1")
    except (asyncpg.PostgresError, OSError):
        return False
    return True
