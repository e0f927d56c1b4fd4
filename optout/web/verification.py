"""Verifying the log beside the service, in a process of its own: it takes long, and it must not slow answers down."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optout.errors import OptoutError
from optout.evidence.layout import find
from optout.evidence.replay import Redecision, documents_in
from optout.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

AGAIN_SECONDS = 600.0
"""A result that is older is renewed when somebody looks at it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification said, and when it began.

    Attributes:
        begun_at: what was written later was not looked at.
        outcome: as `optout evidence verify` says it.
        steps: number, name, outcome and count of each step.
    """

    begun_at: datetime
    outcome: str
    steps: Sequence[dict[str, Any]]


class Verification:
    """Keeps the newest result of verifying a directory."""

    def __init__(self, directory: Path) -> None:
        """Verify this directory, when told to."""
        self.result: Verified | None = None
        self._directory = directory
        self._task: asyncio.Task[None] | None = None
        self._begun = 0.0

    @property
    def running(self) -> bool:
        """Whether a verification is under way."""
        return self._task is not None and not self._task.done()

    def renew(self) -> None:
        """Begin to verify where the result is missing or old."""
        old = self._task is None or time.monotonic() - self._begun > AGAIN_SECONDS
        if old and not self.running:
            self._begun = time.monotonic()
            self._task = asyncio.create_task(self._run())

    async def wait(self) -> None:
        """Wait until the verification that is under way has ended."""
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Stop verifying."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        begun_at = datetime.now(UTC)
        try:
            output = await self._report()
        except OSError:
            output = b""
        self.result = _result(begun_at, output)

    async def _report(self) -> bytes:
        # A session of its own keeps the terminal's Ctrl-C away from it; the service ends it.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "optout.web.verification", str(self._directory)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output


def _result(begun_at: datetime, output: bytes) -> Verified:
    try:
        said = json.loads(output)
    except ValueError:
        return Verified(begun_at, "the verification broke off; run optout evidence verify", ())
    return Verified(begun_at, said["outcome"], said["steps"])


def main() -> int:
    """Verify the directory that the command line names, and print the report as JSON."""
    directory = Path(sys.argv[1])
    try:
        replay = Redecision(documents_in(find(directory).documents))
        said = verify(directory, replay=replay, now=datetime.now(UTC)).json
    except OptoutError as error:
        said = {"outcome": str(error), "steps": []}
    sys.stdout.write(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
