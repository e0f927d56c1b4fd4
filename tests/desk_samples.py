"""A crawl, an audit and a provider for tests of documents: the demonstration's own crawl, made once."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from optout.evidence.layout import find
from optout.evidence.query import Rows
from policies.evidence_facts import LogFacts, Observed, observe, read_log
from policies.facts import Facts, parse

PROVIDER = """
[provider]
name = "Example AI GmbH"
address = "Musterweg 1, Berlin"
email = "office@ai.example"
established_in_eu = true
sme = false
signatory = true
[contact]
email = "rights@ai.example"
form = "https://ai.example/complaint"
answer_days = 30
[owners]
measure_1_1 = "A"
measure_1_2 = "B"
measure_1_3 = "C"
measure_1_4 = "D"
measure_1_5 = "E"
[policy]
version = "1"
effective = 2026-11-01
approved_by = "Board"
url = "https://ai.example/policy"
changes = []
[summary]
version = "2"
updated = 2026-08-31
url = "https://ai.example/summary"
updates = "https://ai.example/news"
machine_readable = "https://ai.example/summary.json"
[[summary.changes]]
version = "1"
effective = 2026-02-28
what = "First"
url = "https://ai.example/summary-1"
[[summary.changes]]
version = "2"
effective = 2026-08-31
what = "New crawl"
[declared]
output_safeguards = "Filter"
terms_prohibition = "Section 4"
illegal_content = "Hash lists"
user_data = "none"
synthetic_data = "none"
other_data = "none"
[[models]]
name = "Exemplar"
version = "3.1"
placed_on_market = 2026-09-01
training_flop = 1e24
generates = ["text"]
narrow_task = false
modalities = ["text"]
text_tokens = 5000000000
content_types = "Web pages"
latest_acquisition = "11/2026"
continued_training = true
languages = ["German", "English"]
base_model = "none"
licence = "Apache-2.0"
licence_is_free = true
weights_public = true
architecture_public = true
usage_public = true
monetised = false
[[crawlers]]
token = "OptOutBot"
user_agent = "OptOutBot"
purposes = "Training of language models"
operator = "Example AI GmbH"
page = "https://ai.example/bot"
content = "Web pages"
modalities = ["text"]
legal_basis = "art-4"
retention_days = 365
barriers = "It stops."
[[datasets]]
name = "Open Corpus"
kind = "public"
version = "2026-05"
selection = "All"
description = "Web text"
modalities = ["text"]
large = true
legal_basis = "art-4"
retention_days = 365
reservations = "robots.txt"
audit = "audit-1"
"""


def provider(*changes: tuple[str, str]) -> Facts:
    """Facts, with texts of the file replaced."""
    text = PROVIDER
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse(text.encode())


@cache
def crawl() -> Path:
    """The demonstration's crawl."""
    parent = Path(tempfile.mkdtemp(prefix="desk-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    command = [sys.executable, "-c", "import sys; from optout.cli import main; sys.exit(main())", "demo", "--out"]
    subprocess.run([*command, str(parent / "crawl")], check=True, capture_output=True, timeout=120)
    return parent / "crawl"


@cache
def log() -> LogFacts:
    return read_log(crawl())


def observed() -> Observed:
    return Observed((log(),))


def kept() -> int:
    """How many pages the log has as kept."""
    return sum(row.count for row in log().rows if row.kind == "kept")


def decided(prefix: str) -> int:
    """How many decisions the log has on URLs that begin so."""
    with Rows(find(crawl())) as rows:
        return sum(row["url"].startswith(prefix) for row in rows.sql("select url from rows where effect is not null"))


def audit(directory: Path, *rows: tuple[str, bool, int | None]) -> Observed:
    """An audit with decisions on URLs: kept or not, and bytes."""
    (directory / "decisions").mkdir(parents=True)
    kept = [kept for _, kept, _ in rows]
    table = pa.table({
        "file": ["part"] * len(rows), "row": list(range(len(rows))), "url": [url for url, _, _ in rows],
        "origin": ["/".join(url.split("/")[:3]) for url, _, _ in rows], "kept": kept,
        "bytes": pa.array([size for _, _, size in rows], pa.int64()),
    })  # fmt: skip
    pq.write_table(table, directory / "decisions" / "part.parquet")
    figures = {
        "rows": {"judged": len(rows), "kept": sum(kept), "denied": len(rows) - sum(kept), "review": 0},
        "policy": {"digest": "d" * 64},
    }
    (directory / "report.json").write_bytes(orjson.dumps(figures))
    return observe((), [directory])
