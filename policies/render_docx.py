"""A document in Word's form. Text goes into text runs only, so no field, link or macro can come of it."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from docx import Document as Word
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Length, Pt

from policies.document import (
    Bullets,
    Code,
    Fields,
    Figure,
    Heading,
    Link,
    Missing,
    Paragraph,
    Source,
    Table,
    Ticks,
    Value,
    visible,
)
from policies.render import SOURCES, Citations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docx.document import Document as WordDocument
    from docx.table import Table as WordTable
    from docx.text.paragraph import Paragraph as WordParagraph

    from policies.document import Document

_STAMP = (1980, 1, 1, 0, 0, 0)
_UNDATED = datetime(1980, 1, 1, tzinfo=UTC)


def docx(document: Document) -> bytes:
    """The bytes of a .docx: every part under a fixed time, so that the same document gives the same bytes."""
    word = Word()
    _describe(word, document)
    _style(word, document.language)
    word.add_heading(visible(document.title), 0)
    if document.dated:
        word.add_paragraph(f"As of {document.dated}")
    cited = Citations(document)
    for block in document.blocks:
        _BLOCKS[type(block)](word, block, cited)
    _list_of_sources(word, cited)
    file = io.BytesIO()
    word.save(file)
    return _with_fixed_times(file.getvalue())


def _describe(word: WordDocument, document: Document) -> None:
    about = word.core_properties
    moment = datetime.fromisoformat(document.dated).replace(tzinfo=UTC) if document.dated else _UNDATED
    about.title, about.author, about.language = visible(document.title, 200), "optout", document.language
    about.created = about.modified = moment
    about.comments = ""


def _style(word: WordDocument, language: str) -> None:
    """A4 with margins, and the language that readers aloud and spelling go by."""
    for section in word.sections:
        section.page_width, section.page_height = Cm(21), Cm(29.7)
        section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Cm(2.2)
    word.styles["Normal"].font.size, word.styles["Normal"].font.name = Pt(10), "Arial"
    word.styles["Caption"].font.size = Pt(10)
    word.styles["Caption"].paragraph_format.keep_with_next = True
    for said in word.styles.element.iter(qn("w:lang")):
        said.set(qn("w:val"), language)


def _with_fixed_times(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as found, zipfile.ZipFile(file, "w") as made:
        for name in found.namelist():
            made.writestr(zipfile.ZipInfo(name, _STAMP), found.read(name), zipfile.ZIP_DEFLATED, 6)
    return file.getvalue()


def _value(line: WordParagraph, value: Value) -> None:
    run = line.add_run(visible(value))
    run.bold = True if isinstance(value, Missing) else None


def _cite(line: WordParagraph, sources: Sequence[Source], cited: Citations) -> None:
    if sources:
        line.add_run(cited.text(sources)).font.superscript = True


def _list_of_sources(word: WordDocument, cited: Citations) -> None:
    if cited.sources:
        word.add_heading(SOURCES, 1)
    for number, source in enumerate(cited.sources, start=1):
        word.add_paragraph().add_run(f"[{number}] {visible(source.whole)}").font.size = Pt(8)


def _paragraph(word: WordDocument, block: Paragraph, cited: Citations, style: str | None = None) -> None:
    line = word.add_paragraph(style=style)
    _value(line, block.text)
    _cite(line, block.sources, cited)


def _bullets(word: WordDocument, block: Bullets, cited: Citations) -> None:
    for item in block.items:
        _paragraph(word, item, cited, "List Bullet")


def _fields(word: WordDocument, block: Fields, cited: Citations) -> None:
    line = None
    for label, value in block.rows:
        line = word.add_paragraph()
        line.paragraph_format.space_after = Pt(2)
        line.add_run(f"{visible(label)}: ").bold = True
        _value(line, value)
    if line is not None:
        _cite(line, block.sources, cited)
        line.paragraph_format.space_after = Pt(10)


def _ticks(word: WordDocument, block: Ticks, cited: Citations) -> None:
    line = word.add_paragraph()
    line.add_run(visible(block.label)).bold = True
    for box, option in block.boxes:
        line.add_run(f" {box} {visible(option)}")
    if isinstance(block.chosen, Missing):
        line.add_run(" ")
        _value(line, block.chosen)
    _cite(line, block.sources, cited)


def _table(word: WordDocument, block: Table, cited: Citations) -> None:
    line = word.add_paragraph(visible(block.caption), style="Caption")
    _cite(line, block.sources, cited)
    table = word.add_table(rows=1, cols=len(block.columns), style="Table Grid")
    table.autofit = False
    widths = _widths(block)
    for grid, width in zip(table.columns, widths, strict=True):
        grid.width = width
    for cell, column, width in zip(table.rows[0].cells, block.columns, widths, strict=True):
        cell.paragraphs[0].add_run(visible(column)).bold = True
        cell.width = width
    for row in block.rows:
        for cell, value, width in zip(table.add_row().cells, row, widths, strict=True):
            _value(cell.paragraphs[0], value)
            cell.width = width
    _accessible(table, visible(block.caption, 200))
    word.add_paragraph()


def _widths(block: Table) -> list[Length]:
    """Columns as wide as what stands in them asks for, within bounds, on the width of the page."""
    heads = [max(map(len, column.split())) for column in block.columns]
    cells = [max((len(visible(row[number])) for row in block.rows), default=1) for number in range(len(heads))]
    shares = [min(max(head + 2, cell, 6), _BROAD) for head, cell in zip(heads, cells, strict=True)]
    return [Cm(_TEXT * share / sum(shares)) for share in shares]


_TEXT, _BROAD = 16.6, 40
"""The width of the text in centimetres, and the most characters that a column is made wide for."""


def _accessible(table: WordTable, caption: str) -> None:
    """Mark the head, repeat it on each page, say what the table shows, and keep each row on one page."""
    for row in table.rows:
        row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))  # noqa: SLF001 - python-docx has no name for it
    table.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))  # noqa: SLF001 - nor for this
    said = OxmlElement("w:tblCaption")
    said.set(qn("w:val"), caption)
    table._tbl.tblPr.append(said)  # noqa: SLF001 - nor for this


def _code(word: WordDocument, block: Code, _: Citations) -> None:
    word.add_paragraph(visible(block.caption))
    for line in block.text.splitlines():
        word.add_paragraph(style="No Spacing").add_run(visible(line)).font.name = "Courier New"


_BLOCKS: Mapping[type[Any], Callable[[WordDocument, Any, Citations], object]] = {
    Heading: lambda word, block, _: word.add_heading(visible(block.text), min(block.level, 9) - 1),
    Paragraph: _paragraph,
    Bullets: _bullets,
    Fields: _fields,
    Ticks: _ticks,
    Table: _table,
    Link: lambda word, block, _: word.add_paragraph(f"{visible(block.text)}: {visible(block.address)}"),
    Code: _code,
    Figure: lambda word, block, _: word.add_paragraph(f"{visible(block.caption)}: {visible(block.alt)}"),
    Missing: lambda word, block, _: _value(word.add_paragraph(), block),
}
