"""Reading C2PA manifest stores in a process of their own, with a time limit.

The reader is native code that parses whatever a stranger sends. In its own process it can crash, hang or swell without
harm: the process is ended and the file's answer is that its manifest could not be read.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from optout.syntax.located import Fault

TIME_LIMIT = 10.0
"""Seconds for one file; a deep manifest takes a twentieth of one."""

# Run as a file of its own, the worker starts without the rest of the library and without anybody's PYTHONPATH.
_COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("c2pa_worker.py")))
_MAX_ANSWER = 8 * 1024 * 1024
_FORMATS = dict.fromkeys(
    ("application/zip", "application/webpub+zip", "application/audiobook+zip", "application/divina+zip"), "zip"
)
"""Names that the library has for media types it knows by others."""


@dataclass(frozen=True, slots=True)
class ManifestReport:
    """What became of reading one manifest store.

    Attributes:
        report: the store's active manifest, manifests and validation as JSON; None where there is no store.
        fault: why it could not be read, None where it could.
        where: for a store that is kept elsewhere, its URL.
        valid: whether the store was found valid, which includes that the file is as it was when it was signed.
    """

    report: bytes | None = None
    fault: Fault | None = None
    where: str = ""
    valid: bool = False

    @property
    def restricts(self) -> bool:
        """Whether the store may hold a restriction, so that the file contradicts itself where it permits elsewhere."""
        return self.report is not None and (b'"notAllowed"' in self.report or b'"constrained"' in self.report)


class ManifestReader:
    """Starts the process when it is first needed, and a new one after each that had to be ended."""

    def __init__(self, *, seconds: float = TIME_LIMIT) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def cpu_seconds(self) -> float:
        """CPU seconds that the process has used so far (Linux); 0 where none is running."""
        if self._process is None:
            return 0.0
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def read_path(self, name: str, media_type: str, manifest: bytes = b"") -> ManifestReport:
        """Read the store in a file, or the one that was kept beside it.

        Args:
            name: the path of the file.
            media_type: by its first bytes.
            manifest: the store's bytes where it stands beside the file.
        """
        return self._ask({"path": str(Path(name).absolute()), "file_bytes": 0}, media_type, manifest, b"")

    def read_bytes(self, data: bytes, media_type: str) -> ManifestReport:
        """Read the store in a file's bytes."""
        return self._ask({"path": None, "file_bytes": len(data)}, media_type, b"", data)

    def _ask(self, request: dict[str, Any], media_type: str, manifest: bytes, data: bytes) -> ManifestReport:
        named = _FORMATS.get(media_type, media_type)
        line = json.dumps({**request, "media_type": named, "manifest_bytes": len(manifest)}).encode() + b"\n"
        try:
            process = self._running()
            return _as_report(self._exchange(process, line + manifest + data))
        except TimeoutError:
            self.close()
            return ManifestReport(fault=Fault.TIMEOUT)
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            # The process is gone, or answers nonsense: the library crashed on this file.
            self.close()
            return ManifestReport(fault=Fault.DAMAGED)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"HOME": "/", "LC_ALL": "C.UTF-8"},
                bufsize=0,
            )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> Any:  # noqa: ANN401 - checked where read
        """Send a request and wait for the line that answers it.

        Raises:
            TimeoutError: it took longer than the limit.
            EOFError: the process ended.
        """
        requests, answers = cast("IO[bytes]", process.stdin).fileno(), cast("IO[bytes]", process.stdout).fileno()
        deadline = time.monotonic() + self._seconds
        left, answer = memoryview(request), bytearray()
        os.set_blocking(requests, False)
        with selectors.DefaultSelector() as selector:
            selector.register(requests, selectors.EVENT_WRITE)
            selector.register(answers, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                ready = selector.select(max(deadline - time.monotonic(), 0))
                if not ready:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fd == answers:
                        answer += _some(answers, len(answer))
                        continue
                    left = left[os.write(requests, left[:65_536]) :]
                    if not left:
                        selector.unregister(requests)
        return json.loads(answer)


def _some(descriptor: int, so_far: int) -> bytes:
    data = os.read(descriptor, 65_536)
    if not data or so_far > _MAX_ANSWER:
        raise EOFError
    return data


def _as_report(answer: Any) -> ManifestReport:  # noqa: ANN401 - from another process
    if answer["fault"] is not None:
        return ManifestReport(fault=Fault(answer["fault"]), where=str(answer.get("where", "")))
    if answer["report"] is None:
        return ManifestReport()
    valid = answer["report"]["validation_state"] in {"Valid", "Trusted"}
    return ManifestReport(json.dumps(answer["report"], sort_keys=True).encode(), valid=valid)
