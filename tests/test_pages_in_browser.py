"""Every page that the product makes, as a person meets it: accessible, in light and dark, on a phone and on paper."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import audit_store
import desk_samples as desk
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import AXE, CHROMIUM, Browser

from optout.cli import main
from optout.cli.document import documents
from policies import facts
from policies.evidence_facts import Observed
from policies.render import render

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not AXE.exists(), reason="needs Chromium and axe-core: make test FULL=1"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each document from a full and from an empty file of facts, and the report of an audit."""
    folder = tmp_path_factory.mktemp("pages")
    seen = desk.audit(folder / "audit-1", ("https://a.example/", True, 9), ("https://b.example/", False, 1))
    observed = Observed((desk.log(),), seen.audits)
    for name, make in documents().items():
        for kind, given in (("full", desk.provider()), ("empty", facts.parse(b""))):
            shown = observed if kind == "full" else Observed()
            (folder / f"{name}-{kind}.html").write_bytes(render(make(given, shown), ".html"))
    _audit(folder)
    return folder


def _audit(folder: Path) -> None:
    origins = [f"https://site-{number}.example" for number in range(8)]
    robots = ["User-agent: *\nDisallow: /\n", "User-agent: *\nAllow: /\n"]
    states = [audit_store.state(origin, robots[number % 2]) for number, origin in enumerate(origins[:-1])]
    store = audit_store.make(folder / "store", *states)
    pq.write_table(pa.table({"url": [f"{origin}/page" for origin in origins]}), folder / "rows.parquet")
    main(["audit", str(folder / "rows.parquet"), "--store", str(store), "--out", str(folder / "out"), "--quiet"])
    shutil.copy(folder / "out" / "report.html", folder / "audit-report.html")


NAMES = [f"{name}-{kind}" for name in documents() for kind in ("full", "empty")] + ["audit-report"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_no_violation_of_wcag(browser, pages, name, dark):
    browser.open((pages / f"{name}.html").as_uri(), dark=dark)
    assert browser.violations() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_phone_needs_no_scrolling_to_the_side(browser, pages, name):
    browser.open((pages / f"{name}.html").as_uri(), width=360)
    assert browser.overflow() <= 0
    assert browser.violations() == []


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")
@pytest.mark.parametrize("name", NAMES)
def test_paper_shows_every_word_of_every_table(browser, pages, name, tmp_path):
    browser.open((pages / f"{name}.html").as_uri())
    words = browser.value("Array.from(document.querySelectorAll('td, th'), cell => cell.innerText)")
    (tmp_path / "page.pdf").write_bytes(browser.print())
    text = subprocess.run(["pdftotext", "-raw", tmp_path / "page.pdf", "-"], capture_output=True, check=True).stdout
    assert [word for word in words if _letters(word)[:12] not in _letters(text.decode())] == []


def _letters(text: str) -> str:
    """A text without spaces and hyphens, which stand elsewhere once a line has been broken."""
    return re.sub(r"[\s-]", "", text)


def test_the_pages_of_the_service(browser):
    command = [sys.executable, "-c", "from optout.cli import main; main()", "serve", "--evidence", str(desk.crawl())]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            address = next(word for line in server.stdout for word in line.split() if word.startswith("http://"))
            for dark in (False, True):
                browser.open(address, dark=dark)
                assert browser.violations() == []
            browser.open(address, width=360)
            assert browser.overflow() <= 0
        finally:
            server.kill()
