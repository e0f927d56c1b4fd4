"""Every document in every form: stable bytes, no invented fact, and nothing that a hostile file can do."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from dataclasses import fields, replace
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import desk_samples as desk
import pytest
from docx import Document as Word

from optout.cli import main
from optout.cli.document import documents
from policies import facts
from policies.document import Missing
from policies.evidence_facts import Observed
from policies.render import FORMS, render

NAMES = sorted(documents())
HOSTILE = "<script>alert(1)</script>=cmd|'/C calc'!A0\u202e](javascript:alert(1))|\n# x\r\n\x00{{7*7}}"
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


@cache
def document(name, kind="full"):
    given = {"full": desk.provider, "empty": lambda: facts.parse(b""), "hostile": hostile}[kind]()
    return documents()[name](given, Observed() if kind == "empty" else desk.observed())


def hostile():
    """The full facts with every text replaced, at whatever depth."""
    return _spoilt(desk.provider())


def _spoilt(holder):
    changed = {}
    for item in fields(holder):
        value = getattr(holder, item.name)
        if "table" in item.metadata:
            changed[item.name] = _spoilt(value)
        elif "each" in item.metadata and value:
            changed[item.name] = tuple(_spoilt(each) for each in value)
        elif item.metadata.get("parse") is facts._text:
            changed[item.name] = HOSTILE if value else value
    return replace(holder, **changed)


def suffixes(name, kind="full"):
    made = document(name, kind)
    return [suffix for suffix in FORMS if suffix != ".csv" or made.csv in made.tables] + sorted(made.forms)


@pytest.mark.parametrize("kind", ["full", "empty", "hostile"])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_facts_give_the_same_bytes_in_every_form(name, kind):
    again = documents()[name]
    given = {"full": desk.provider, "empty": lambda: facts.parse(b""), "hostile": hostile}[kind]()
    second = again(given, Observed() if kind == "empty" else desk.observed())
    for suffix in suffixes(name, kind):
        assert render(document(name, kind), suffix) == render(second, suffix), suffix


@pytest.mark.parametrize("name", NAMES)
def test_of_empty_facts_every_form_says_what_is_missing(name):
    made = document(name, "empty")
    assert made.missing
    pages = {suffix: render(made, suffix) for suffix in (".md", ".html", ".json", ".docx")}
    pages[".docx"] = words(pages[".docx"]).encode()
    for gap in made.missing:
        for suffix, page in pages.items():
            key = gap.fact.replace("_", "\\_").replace("[", "\\[").replace("]", "\\]") if suffix == ".md" else gap.fact
            assert key.encode() in page, (suffix, gap.fact)


@pytest.mark.parametrize("suffix", [".md", ".html", ".docx", ".json"])
@pytest.mark.parametrize("name", NAMES)
def test_strict_fails_with_the_list_and_writes_nothing(name, suffix, tmp_path, capsys):
    empty, out = tmp_path / "provider.toml", tmp_path / f"out{suffix}"
    empty.write_bytes(b"")
    assert main(["document", name, "--facts", str(empty), "--out", str(out), "--strict"]) == 1
    assert not out.exists()
    said = capsys.readouterr().err
    assert all(gap.fact in said for gap in document(name, "empty").missing)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_of_empty_facts_names_no_provider_and_claims_nothing(name):
    made = document(name, "empty")
    page = render(made, ".md").decode()
    assert "Example" not in page.replace("Example: ", "")
    assert not any(source.kind in {"policy", "log", "audit"} for source in made.sources)


def words(data: bytes) -> str:
    word = Word(io.BytesIO(data))
    cells = [cell.text for table in word.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(line.text for line in word.paragraphs), *cells])


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_of_facts_does_nothing_in_html(name):
    page = render(document(name, "hostile"), ".html").decode()
    parser = _Tags()
    parser.feed(page)
    assert not {"script", "img", "iframe", "object", "form", "base", "link"} & {tag for tag, _ in parser.tags}
    for _, attributes in parser.tags:
        assert not any(key.startswith("on") for key in attributes)
        assert (attributes.get("href") or "#").startswith(("#", "https://", "http://", "mailto:"))
    assert "\u202e" not in page
    assert "\x00" not in page


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_of_facts_does_nothing_in_the_other_forms(name):
    made = document(name, "hostile")
    for suffix in suffixes(name, "hostile"):
        data = render(made, suffix)
        if suffix == ".docx":
            assert not re.search(rb"instrText|fldSimple|w:hyperlink|w:object", _body(data))
        elif suffix.endswith(".json"):
            assert "\u202e" not in data.decode() or suffix == ".json"
            json.loads(data)
        elif suffix == ".csv":
            lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
            assert all(not cell.lstrip().startswith(("=", "+", "-", "@", "|")) for line in lines for cell in line)
        elif suffix == ".md":
            page = data.decode()
            assert "\u202e" not in page
            assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(javascript", page)


def _body(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return file.read("word/document.xml")


@pytest.mark.parametrize("name", NAMES)
def test_word_can_be_read_aloud(name):
    """Headings without a gap, a head that repeats and a caption for each table, and a language."""
    data = render(document(name), ".docx")
    word = Word(io.BytesIO(data))
    levels = [int(line.style.name[-1]) for line in word.paragraphs if line.style.name.startswith("Heading")]
    assert all(later <= earlier + 1 for earlier, later in zip([0, *levels], levels, strict=False))
    root = ET.fromstring(_body(data))  # noqa: S314 - our own output
    for table in root.iter(f"{W}tbl"):
        assert table.find(f"{W}tblPr/{W}tblCaption").get(f"{W}val")
        assert table.find(f"{W}tr/{W}trPr/{W}tblHeader") is not None
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert f'w:val="{document(name).language}"'.encode() in file.read("word/styles.xml")
    assert word.core_properties.language == document(name).language


def test_a_giant_host_name_is_cut():
    giant = replace(desk.provider(), provider=replace(desk.provider().provider, name="a" * 1_000_000))
    for suffix in (".md", ".html", ".docx"):
        assert len(render(documents()["public-summary"](giant, desk.observed()), suffix)) < 200_000


def test_nothing_missing_is_hidden_in_json():
    said = json.loads(render(document("training-summary", "empty"), ".json"))
    assert len(said["missing"]) == len(document("training-summary", "empty").missing)
    assert all(isinstance(gap, Missing) for gap in document("training-summary", "empty").missing)
