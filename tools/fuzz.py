"""Fuzz every reader with coverage feedback: whatever the bytes, no exception and no permission from nowhere.

Needs atheris (`pip install atheris`). One reader a run, for as long as libFuzzer is told:

    python tools/fuzz.py robots-exclusion -max_total_time=600 -max_len=4096 corpus-folder/
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["optout"]):
    from optout.acquisition.files import FileReader
    from optout.model import ASSET, RESOURCE, Exchange, State
    from optout.signals import PROTOCOLS

ORIGIN = "https://example.com"
FILES = FileReader()


def exchanges(role: str, data: bytes) -> list[Exchange]:
    """The bytes as a body, for a page also as the value of every header field, and for a file what is found in it."""
    if role == ASSET:
        return list(FILES.read_bytes(f"{ORIGIN}/file", data).exchanges)
    if role != RESOURCE:
        return [Exchange(ORIGIN + (role if role.startswith("/") else "/document"), role, status=200, body=data)]
    text = data.decode("latin-1")
    fields = sorted({field for protocol in PROTOCOLS.values() for field in protocol.header_fields})
    html = (("Content-Type", "text/html"),)
    return [
        Exchange(f"{ORIGIN}/page", RESOURCE, status=200, headers=html, body=data),
        Exchange(f"{ORIGIN}/page", RESOURCE, status=200, headers=tuple((field, text) for field in fields)),
    ]


def fuzz(name: str) -> None:
    """Fuzz one protocol's reader on all of its roles."""
    protocol = PROTOCOLS[name]

    def one(data: bytes) -> None:
        for role in sorted(protocol.roles):
            for exchange in exchanges(role, data):
                reading = protocol.read(exchange)
                for statement in reading.statements:
                    permits = any(state is State.PERMITTED for _, state in statement.states)
                    assert statement.leniency is None or not permits, "a lenient reading permits"  # noqa: S101
                assert all(problem.code in protocol.problems for problem in reading.problems)  # noqa: S101

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in PROTOCOLS:
        sys.exit(f"name a protocol: {', '.join(PROTOCOLS)}")
    fuzz(sys.argv[1])
