"""Tamper with a log, or kill the process that writes one, as often as you like, and say what was hit.

Use: python tools/torture_evidence.py tamper|crash COUNT [SEED]

It ends with an error at the first change that verification does not see, or does not name with its place, and at the
first crash after which an acknowledged row is missing or the log does not verify as a continuation of what it was.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "tests")]
sys.path[:0] = PATHS
# The server that forks the crawls that are killed finds its modules there.
os.environ["PYTHONPATH"] = ":".join(PATHS)

import evidence_tampering  # noqa: E402 - where it is has been said above
import test_evidence_crashes  # noqa: E402 - as above

PORTION = 50
"""So many at a time are drawn from one seed, so that what went wrong can be repeated without all that came before."""


def main() -> int:
    """Do as the command line says."""
    if len(sys.argv) not in {3, 4} or sys.argv[1] not in {"tamper", "crash"} or not sys.argv[2].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    what, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 1
    begun, hit, done = time.monotonic(), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        sample = evidence_tampering.Sample(Path(name)) if what == "tamper" else None
        while done < count:
            part = min(PORTION, count - done)
            if sample is not None:
                hit += evidence_tampering.tamper(sample, part, seed + done)
            else:
                (Path(name) / str(done)).mkdir()
                hit += test_evidence_crashes.survive(Path(name) / str(done), part, seed + done)
            done += part
            print(f"{done} of {count}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    for kind, times in sorted(hit.items()):
        print(f"{times:7} {kind}")
    print(f"{what}: {count} times from seed {seed} in {time.monotonic() - begun:.0f} s; every one was survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
