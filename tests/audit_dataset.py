"""A dataset of every form with one file that cannot be read, and small helpers for audits of it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from audit_store import make, state

OPEN = "User-agent: *\nDisallow: /private\n"
SHUT = "User-agent: *\nDisallow: /\n"
PATHS = ("page", "private/x", "a?b=1")


def store(folder: Path) -> Path:
    """Two origins, one of them closed; any other is unknown."""
    return make(folder, state("https://open.example", OPEN), state("https://shut.example", SHUT))


def urls(rows: int) -> list[str]:
    """URLs of an open, a closed and an unknown origin in turn."""
    names = ("open", "shut", "unknown")
    return [f"https://{names[row % 3]}.example/{PATHS[row // 3 % 3]}" for row in range(rows)]


def record(url: str) -> bytes:
    """A record of WARC with a page."""
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><head></head></html>"
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2025-06-01T00:00:00Z\r\n"
    head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


def mixed(folder: Path, rows: int = 30) -> Path:
    """Parquet, JSON Lines, WARC and tar, in folders, and a Parquet file that is cut off."""
    (folder / "deep").mkdir(parents=True)
    pq.write_table(pa.table({"id": range(rows), "url": urls(rows)}), folder / "one.parquet")
    pq.write_table(pa.table({"url": urls(rows), "text": ["words"] * rows}), folder / "deep/two.parquet")
    lines = "".join(json.dumps({"url": url}) + "\n" for url in urls(rows))
    (folder / "lines.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    (folder / "deep/crawl.warc").write_bytes(b"".join(map(record, urls(rows))))
    with tarfile.open(folder / "samples.tar", "w") as tar:
        for row, url in enumerate(urls(rows)):
            data = json.dumps({"url": url}).encode()
            member = tarfile.TarInfo(f"{row:06}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (folder / "cut.parquet").write_bytes((folder / "one.parquet").read_bytes()[:-20])
    return folder


def snapshot(out: Path) -> dict[str, bytes]:
    """Every file of an output folder but its log, which tells times."""
    files = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith("evidence/")}
