"""The forms that datasets have: for each a reader of rows and a writer of those that are kept."""

from __future__ import annotations

from optout.audit.formats.base import Batch, Columns, Fault, Format
from optout.audit.formats.lines import LinesFormat
from optout.audit.formats.table import ParquetFormat
from optout.audit.formats.tar import TarFormat
from optout.audit.formats.warc import WarcFormat

FORMATS: tuple[Format, ...] = (ParquetFormat(), LinesFormat(), WarcFormat(), TarFormat())


def format_of(name: str) -> Format | None:
    """The form of a file by its name; None where it is none of ours."""
    lowered = name.lower()
    return next((form for form in FORMATS if lowered.endswith(form.suffixes)), None)


__all__ = ["FORMATS", "Batch", "Columns", "Fault", "Format", "format_of"]
