"""A document in Word's form. Text goes into text runs only, so no field, link or macro can come of it."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from docx import Document as Word

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docx.document import Document as WordDocument
    from docx.text.paragraph import Paragraph as WordParagraph

    from policies.document import Document

_STAMP = (1980, 1, 1, 0, 0, 0)
_UNDATED = datetime(1980, 1, 1, tzinfo=UTC)


def docx(document: Document) -> bytes:
    """The bytes of a .docx: every part under a fixed time, so that the same document gives the same bytes."""
    word = Word()
    _describe(word, document)
    word.add_heading(visible(document.title), 0)
    if document.dated:
        word.add_paragraph(f"State: {document.dated}")
    for block in document.blocks:
        _BLOCKS[type(block)](word, block)
    file = io.BytesIO()
    word.save(file)
    return _with_fixed_times(file.getvalue())


def _describe(word: WordDocument, document: Document) -> None:
    about = word.core_properties
    moment = datetime.fromisoformat(document.dated).replace(tzinfo=UTC) if document.dated else _UNDATED
    about.title, about.author, about.language = visible(document.title, 200), "optout", document.language
    about.created = about.modified = moment
    about.comments = ""


def _with_fixed_times(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as found, zipfile.ZipFile(file, "w") as made:
        for name in found.namelist():
            made.writestr(zipfile.ZipInfo(name, _STAMP), found.read(name), zipfile.ZIP_DEFLATED, 6)
    return file.getvalue()


def _value(line: WordParagraph, value: Value) -> None:
    run = line.add_run(visible(value))
    run.bold = True if isinstance(value, Missing) else None


def _sources(line: WordParagraph, sources: Sequence[Source]) -> None:
    if sources:
        line.add_run(f" [{'; '.join(visible(source) for source in sources)}]").italic = True


def _paragraph(word: WordDocument, block: Paragraph, style: str | None = None) -> None:
    line = word.add_paragraph(style=style)
    _value(line, block.text)
    _sources(line, block.sources)


def _bullets(word: WordDocument, block: Bullets) -> None:
    for item in block.items:
        _paragraph(word, item, "List Bullet")


def _fields(word: WordDocument, block: Fields) -> None:
    for label, value in block.rows:
        line = word.add_paragraph()
        line.add_run(f"{visible(label)}: ").bold = True
        _value(line, value)
    if block.sources:
        _sources(word.add_paragraph(), block.sources)


def _ticks(word: WordDocument, block: Ticks) -> None:
    line = word.add_paragraph(visible(block.label))
    for box, option in block.boxes:
        line.add_run(f" {box} {visible(option)}")
    if isinstance(block.chosen, Missing):
        line.add_run(" ")
        _value(line, block.chosen)
    _sources(line, block.sources)


def _table(word: WordDocument, block: Table) -> None:
    line = word.add_paragraph()
    line.add_run(visible(block.caption)).bold = True
    _sources(line, block.sources)
    table = word.add_table(rows=1, cols=len(block.columns), style="Table Grid")
    for cell, column in zip(table.rows[0].cells, block.columns, strict=True):
        cell.paragraphs[0].add_run(visible(column)).bold = True
    for row in block.rows:
        for cell, value in zip(table.add_row().cells, row, strict=True):
            _value(cell.paragraphs[0], value)


def _code(word: WordDocument, block: Code) -> None:
    word.add_paragraph(visible(block.caption))
    for line in block.text.splitlines():
        word.add_paragraph(style="No Spacing").add_run(visible(line)).font.name = "Courier New"


_BLOCKS: Mapping[type[Any], Callable[[WordDocument, Any], object]] = {
    Heading: lambda word, block: word.add_heading(visible(block.text), min(block.level, 9) - 1),
    Paragraph: _paragraph,
    Bullets: _bullets,
    Fields: _fields,
    Ticks: _ticks,
    Table: _table,
    Link: lambda word, block: word.add_paragraph(f"{visible(block.text)}: {visible(block.address)}"),
    Code: _code,
    Figure: lambda word, block: word.add_paragraph(f"{visible(block.caption)}: {visible(block.alt)}"),
    Missing: lambda word, block: _value(word.add_paragraph(), block),
}
