"""The how-to about audits: what it shows is run, in its order."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from optout.cli import main

PAGE = Path(__file__).parents[1] / "docs/how-to/audit.md"


def test_the_commands_of_the_how_to_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ("/robots.txt", "/.well-known/tdmrep.json", "/ai.txt", "/.well-known/ai.txt", "/trust.txt")
    captures = {
        "url": [f"https://example.com{path}" for path in paths],
        "status": [200, *[404] * 4],
        "body": [b"User-agent: *\nDisallow: /private\n", *[b""] * 4],
        "fetched_at": pa.array([datetime(2026, 11, 1, tzinfo=UTC)] * 5, pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(captures), "captures.parquet")
    Path("data").mkdir()
    urls = ["https://example.com/page", "https://example.com/private/1", "https://other.example/"]
    pq.write_table(pa.table({"url": urls, "date": ["2026-11-02", "2026-11-02", "2026-11-02"]}), "data/rows.parquet")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in block.splitlines():
        code = main(shlex.split(line)[1:])
        # A proof that was checked without the log's key in hand is not complete.
        assert code == (3 if line.endswith("proof.json") and "verify" in line else 0), line
    assert pq.read_table("audit/kept/rows.parquet")["url"].to_pylist() == urls[:1]
    assert Path("audit/unknown-origins.txt").read_text() == "https://other.example\n"
