"""Renderings: hostile text stays text, the same document gives the same bytes, nothing missing is hidden."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from document_samples import FULL_FACTS
from docx import Document as Word

from policies import facts
from policies.applicability import applicability
from policies.copyright_policy import copyright_policy, public_summary
from policies.datasets import datasets
from policies.document import (
    LONGEST,
    Bullets,
    Code,
    Document,
    Fields,
    Figure,
    Heading,
    Link,
    Missing,
    Paragraph,
    Source,
    SourceKind,
    Table,
    Ticks,
    visible,
)
from policies.evidence_facts import Observed
from policies.gap_analysis import gap_analysis
from policies.render import FORMS, RenderError, render

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1+1",
    " =1+1",
    "\u202eexe.elpmaxe",
    "a\x00b\x1b[31mc\ufffe\ud800",
    "xn--80ak6aa92e.example",
    "аpple.example",
    "| a | b |\n| --- | --- |",
    "[text](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "```\n# out",
    "---",
    "{ DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe }",
    "a" * 100_000,
]


def document(text):
    """A document with a text in every place that a stranger could reach."""
    source = Source(SourceKind.LOG, text, "ab" * 32)
    table = Table(text, (text, "n"), ((text, 3), (Missing(text, text), 4)), name="t")
    return Document(
        "sample", text,
        (
            Heading(text), Paragraph(text, (source,)), Bullets((Paragraph(text),)), Fields(((text, text),), (source,)),
            Ticks(text, (text, "No"), (text,)), table,
            Link(text, text), Code(text, text), Figure("plot", "<svg xmlns='http://www.w3.org/2000/svg'></svg>", text),
            Missing("a.key", text),
        ),
        {"value": "x"}, "2026-11-23", "t",
    )  # fmt: skip


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))


def tags(text):
    parser = Tags()
    parser.feed(render(document(text), ".html").decode())
    return parser.seen


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_markup(text):
    assert tags(text) == tags("harmless")


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "JaVaScRiPt:x"])
def test_only_web_and_mail_addresses_become_links(address):
    page = render(Document("x", "x", (Link("x", address),)), ".html").decode()
    assert "<a " not in page
    assert "<a " in render(Document("x", "x", (Link("x", "https://example.org/"),)), ".html").decode()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_cell_is_a_formula(text):
    lines = list(csv.reader(io.StringIO(render(document(text), ".csv").decode(), newline="")))
    assert len(lines) == 3
    assert all(len(line) == 2 for line in lines)
    assert all(not cell.lstrip().startswith(("=", "+", "-", "@")) for line in lines for cell in line)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_word_gets_text_runs_only(text):
    data = render(document(text), ".docx")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        body = file.read("word/document.xml").decode()
        names = file.namelist()
    assert not any(word in body for word in ("instrText", "fldChar", "fldSimple", "w:hyperlink", "<w:object"))
    assert not any("vba" in name.lower() or "embeddings" in name for name in names)
    assert visible(text, 200).strip()[:20] in "\n".join(line.text for line in Word(io.BytesIO(data)).paragraphs)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_has_the_same_lines_whatever_the_text(text):
    plain = Document("x", "x", (Paragraph(text), Heading("h"), Table("t", ("a",), ((text,),))))
    lines = render(plain, ".md").decode().splitlines()
    usual = render(Document("x", "x", (Paragraph("a"), Heading("h"), Table("t", ("a",), (("a",),)))), ".md")
    assert len(lines) == len(usual.decode().splitlines())
    assert not lines[2].startswith(("<", "!", "[", "|", "```", "---", "#", "==", "+ ", "- "))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_json_can_be_read(text):
    assert json.loads(render(document(text), ".json"))["data"] == {"value": "x"}


def test_code_cannot_end_its_fence():
    page = render(Document("x", "x", (Code("c", "```\n````\n# heading"),)), ".md").decode()
    assert "`````\n```\n````\n# heading\n`````" in page


@pytest.mark.parametrize("suffix", FORMS)
def test_the_same_document_gives_the_same_bytes(suffix):
    assert render(document("x"), suffix) == render(document("x"), suffix)


@pytest.mark.parametrize("suffix", [".md", ".html", ".docx", ".json"])
def test_what_is_missing_is_shown(suffix):
    data = render(Document("x", "x", (Fields((("Name", Missing("provider.name", "Which name?")),)),)), suffix)
    if suffix == ".docx":
        data = "\n".join(line.text for line in Word(io.BytesIO(data)).paragraphs).encode()
    assert b"Which name?" in data
    assert b"provider.name" in data


def test_missing_is_found_everywhere_and_once():
    gap = Missing("k", "q")
    found = Document(
        "x", "x", (gap, Paragraph(gap), Bullets((Paragraph(gap),)), Table("t", ("a",), ((gap,),)), Ticks("q", (), gap))
    )
    assert found.missing == (gap,)


def test_nothing_stays_hidden_and_nothing_is_endless():
    assert visible("a\u202eb\u200bc\x00") == "a\\u202eb\\u200bc\\u0000"
    assert visible("a\nb") == "a b"
    assert visible("äöü 漢字 ☒") == "äöü 漢字 ☒"
    assert len(visible("a" * 1_000_000)) < LONGEST + 60


def test_a_form_that_is_not_there_is_an_error():
    with pytest.raises(RenderError, match="html"):
        render(document("x"), ".pdf")
    with pytest.raises(RenderError):
        render(Document("x", "x", ()), ".csv")


def test_the_page_needs_nothing_else():
    page = render(document("x"), ".html").decode()
    assert '<html lang="en">' in page
    assert not any(word in page for word in ("<script", "<link", "@import", "url(", " src="))
    assert page.count("<h1>") == 1
    assert "<th scope=" in page
    assert "<caption id=" in page
    assert "@media print" in page


@pytest.mark.parametrize("make", [copyright_policy, public_summary, gap_analysis, applicability, datasets])
def test_no_document_skips_a_level_of_headings(make):
    page = render(make(facts.parse(FULL_FACTS.encode()), Observed()), ".html").decode()
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
