"""A document as Markdown, HTML, Word, JSON or CSV. The same document gives the same bytes.

Everything in a document may come from a stranger. Each form therefore escapes every text in its own way: nothing can
become a tag, a link, a line of a table or a formula.
"""

from __future__ import annotations

import csv
import io
import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from optout.errors import OptoutError
from policies.document import (
    Address,
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
    Table,
    Ticks,
    Value,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_OWN_FORM = re.compile(r"(\.oscal|\.oscal-catalog|(\.[0-9]{1,4})?\.croissant)\.json\Z", re.IGNORECASE)
"""Forms of JSON that only some documents have; asking another for one is an error."""

SOURCES = "Sources"
_TOP = 2
"""The level of the headings that a table of contents lists."""

_WORD = 24
"""A cell with one word of at most so many characters is not broken at its hyphens."""

_FROM_A_LOG = "crawler-page as .atom, gap-analysis as .oscal.json and output-safeguards as .jsonl need --evidence"

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&#!])")
_LINE_BEGINS = re.compile(r"\A(\s*\d*)([-+=.)])(?=[\s=-]|\Z)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


class RenderError(OptoutError):
    """A document has no such form."""


def render(document: Document, suffix: str) -> bytes:
    """The bytes of a document.

    Args:
        suffix: `.md`, `.html`, `.docx`, `.json`, `.csv`, or one of the document's own forms.

    Raises:
        RenderError: there is no such form, or the document has no table for `.csv`.
    """
    own = document.forms.get(suffix.lower())
    if callable(own):
        return b"".join(own())
    if own is not None:
        return own if isinstance(own, bytes) else _json_bytes(own)
    found = FORMS.get(suffix.lower())
    if found is None:
        forms = ", ".join((*FORMS, *document.forms))
        more = f"; {_FROM_A_LOG}" if suffix.lower() in {".atom", ".oscal.json", ".jsonl"} else ""
        raise RenderError(f"no form {suffix!r}", mend=f"end the file's name with one of: {forms}{more}")
    return found(document)


def pieces(document: Document, suffix: str) -> Iterator[bytes]:
    """As `render`, a piece at a time where a form may be more than memory holds."""
    own = document.forms.get(suffix.lower())
    if callable(own):
        yield from own()
    else:
        yield render(document, suffix)


class Citations:
    """The numbers under which a document's sources stand at its end, so that its text stays readable."""

    def __init__(self, document: Document) -> None:
        self.sources = document.sources
        self._numbers = {source: number for number, source in enumerate(self.sources, start=1)}

    def of(self, sources: Sequence[Source]) -> tuple[tuple[int, int], ...]:
        """The numbers of some sources as runs, each with its first and last number."""
        runs: list[tuple[int, int]] = []
        for number in sorted({self._numbers[source] for source in sources}):
            if runs and runs[-1][1] == number - 1:
                runs[-1] = (runs[-1][0], number)
            else:
                runs.append((number, number))
        return tuple(runs)

    def text(self, sources: Sequence[Source]) -> str:
        """The numbers as text: `[1, 3-5]`, or nothing where there is no source."""
        runs = (str(first) if first == last else f"{first}-{last}" for first, last in self.of(sources))
        return f"[{', '.join(runs)}]" if sources else ""


def markdown(document: Document) -> bytes:
    """CommonMark with tables."""
    cited = Citations(document)
    parts = [f"# {_md(document.title)}"]
    if document.dated:
        parts.append(f"As of {_md(document.dated)}")
    parts += [_MARKDOWN[type(block)](block, cited) for block in document.blocks]
    parts += _md_sources(cited)
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _md(text: object) -> str:
    """A text in which Markdown finds nothing to do."""
    return _LINE_BEGINS.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", visible(text)))


def _md_value(value: Value) -> str:
    return f"**{_md(value)}**" if isinstance(value, Missing) else _md(value)


def _md_cited(sources: Sequence[Source], cited: Citations) -> str:
    return f" {cited.text(sources)}" if sources else ""


def _md_sources(cited: Citations) -> Iterator[str]:
    if cited.sources:
        yield f"## {SOURCES}"
        yield "\n".join(f"{number}. {_md(source.whole)}" for number, source in enumerate(cited.sources, start=1))


def _md_paragraph(block: Paragraph, cited: Citations) -> str:
    return _md_value(block.text) + _md_cited(block.sources, cited)


def _md_bullets(block: Bullets, cited: Citations) -> str:
    return "\n".join(f"- {_md_paragraph(item, cited)}" for item in block.items)


def _md_table(block: Table, cited: Citations) -> str:
    lines = [f"**{_md(block.caption)}**{_md_cited(block.sources, cited)}", ""]
    lines.append("| " + " | ".join(_md(column) for column in block.columns) + " |")
    lines.append("|" + " --- |" * len(block.columns))
    lines += ["| " + " | ".join(_md_value(cell) for cell in row) + " |" for row in block.rows]
    return "\n".join(lines)


def _md_fields(block: Fields, cited: Citations) -> str:
    lines = [f"- {_md(label)}: {_md_value(value)}" for label, value in block.rows]
    return "\n".join(lines) + _md_cited(block.sources, cited)


def _md_ticks(block: Ticks, cited: Citations) -> str:
    boxes = " ".join(f"{box} {_md(option)}" for box, option in block.boxes)
    missing = f" {_md_value(block.chosen)}" if isinstance(block.chosen, Missing) else ""
    return f"{_md(block.label)} {boxes}{missing}{_md_cited(block.sources, cited)}"


def _md_code(block: Code, _: Citations) -> str:
    """The fence is longer than any run of backticks inside, so that the text cannot end it."""
    text = "\n".join(visible(line) for line in block.text.splitlines())
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_md(block.caption)}\n\n{fence}\n{text}\n{fence}"


_MARKDOWN: Mapping[type[Any], Callable[[Any, Citations], str]] = {
    Heading: lambda block, _: f"{'#' * block.level} {_md(block.text)}",
    Paragraph: _md_paragraph,
    Bullets: _md_bullets,
    Fields: _md_fields,
    Ticks: _md_ticks,
    Table: _md_table,
    Link: lambda block, _: f"{_md(block.text)}: {_md(block.address)}",
    Code: _md_code,
    Figure: lambda block, _: f"*{_md(block.caption)}*: {_md(block.alt)}",
    Missing: lambda block, _: _md_value(block),
}


def html(document: Document) -> bytes:
    """One self-contained page: no script, nothing to load, ready for print."""
    environment = Environment(
        loader=PackageLoader("policies", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["visible"] = visible
    environment.filters["lines"] = lambda text: "\n".join(visible(line) for line in text.splitlines())
    environment.filters["drawn"] = Markup  # a figure's SVG is our own, see `policies.document.Figure`
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    environment.tests["word"] = lambda value: isinstance(value, str) and len(value) <= _WORD and " " not in value
    environment.tests["choice"] = lambda value: isinstance(value, StrEnum)
    environment.tests["address"] = lambda value: isinstance(value, Address) and value.safe
    template = environment.get_template("document.html")
    blocks = [(type(block).__name__, block, f"part-{number}") for number, block in enumerate(document.blocks, start=1)]
    heads = ((block, place) for _, block, place in blocks if isinstance(block, Heading))
    contents = [(head.text, place) for head, place in heads if head.level == _TOP]
    return template.render(
        document=document, blocks=blocks, contents=contents, cited=Citations(document), title_of_sources=SOURCES
    ).encode()


def json_text(document: Document) -> bytes:
    """The document's own data where it has any, and all its blocks and sources."""
    whole = {
        "name": document.name, "title": document.title, "dated": document.dated, "language": document.language,
        "data": document.data, "missing": [_plain(fact) for fact in document.missing],
        "blocks": [_plain(block) for block in document.blocks],
    }  # fmt: skip
    return _json_bytes(whole)


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return f"{text}\n".encode(errors="backslashreplace")


def suffix_of(name: str) -> str:
    """The suffix of a file's name that says in which form a document goes into it."""
    own = _OWN_FORM.search(name)
    return own[0].lower() if own else Path(name).suffix


def _plain(part: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(part, tuple):
        return [_plain(inner) for inner in part]
    names = getattr(part, "__dataclass_fields__", None)
    if names is None:
        return part
    return {"type": type(part).__name__} | {name: _plain(getattr(part, name)) for name in names}


def csv_text(document: Document) -> bytes:
    """The document's list, with every cell that a spreadsheet would run as a formula made text.

    Raises:
        RenderError: the document has no list.
    """
    table = document.tables.get(document.csv)
    if table is None:
        first = f"name evidence that {document.csv} can be listed from, or " if document.csv else ""
        raise RenderError(f"{document.name} has no list for .csv", mend=f"{first}use .md, .html, .docx or .json")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerows([[harmless(cell) for cell in row] for row in (table.columns, *table.rows)])
    return file.getvalue().encode(errors="backslashreplace")


def harmless(cell: Value) -> str | int:
    """A cell that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    if isinstance(cell, int):
        return cell
    text = visible(cell)
    return f"'{text}" if str(cell).lstrip(" ").startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def docx(document: Document) -> bytes:
    """A Word document; loaded only where it is asked for."""
    from policies.render_docx import docx as make  # noqa: PLC0415 - python-docx is slow to load

    return make(document)


FORMS: Mapping[str, Callable[[Document], bytes]] = {
    ".md": markdown,
    ".html": html,
    ".docx": docx,
    ".json": json_text,
    ".csv": csv_text,
}
"""Suffix and form."""
