"""WARC records for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(url, status="200 OK", body=b"User-agent: *\nDisallow: /\n", headers=(), kind="response"):
    """One WARC record with an HTTP message in it."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain", *(f"{name}: {value}" for name, value in headers)]
    block = "\r\n".join([*lines, "", ""]).encode() + body
    head = [
        "WARC/1.0", f"WARC-Type: {kind}", f"WARC-Target-URI: {url}", f"WARC-Date: {NOON:%Y-%m-%dT%H:%M:%SZ}",
        f"WARC-Record-ID: <urn:uuid:{uuid4()}>", f"Content-Type: application/http; msgtype={kind}",
        f"Content-Length: {len(block)}", "", "",
    ]  # fmt: skip
    return "\r\n".join(head).encode() + block + b"\r\n\r\n"
