"""Plots as SVG of our own making. Nothing is told by colour alone, and every text that is not ours is escaped.

Each drawing has a title and a description of its own, so that it speaks where it is cut out of its document.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from policies.document import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_WIDTH, _LABEL, _ROW, _BAR = 760, 300, 22, 16
_MARK = 12
_FILLS = {"permit": "#1b5e20", "deny": "#b71c1c", "review": "#4a148c"}
_TEXT = 'font-family="sans-serif" font-size="12" fill="#111"'
MOST_PERIODS = 31
"""More days than these are put together by month, more months by year."""
_LABEL_CELLS = 44


def periods(days: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
    """Numbers by day, or by month or year where there would be too many bars.

    Args:
        days: day in ISO 8601, what is counted, and number.
    """
    lengths = (10, 7, 4)
    length = next((one for one in lengths if len({day[:one] for day in days}) <= MOST_PERIODS), lengths[-1])
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for day, counts in days.items():
        found[day[:length]].update(counts)
    return {period: dict(counts) for period, counts in sorted(found.items())}


def bars(days: Mapping[str, Mapping[str, int]], title: str = "Numbers by period") -> str:
    """Numbers by period: one bar for each thing counted, with its name and number beside it.

    Args:
        days: period, what is counted, and number.
        title: what the drawing shows.
    """
    most = max((count for counts in days.values() for count in counts.values()), default=1)
    parts: list[str] = []
    top = 0
    for day, counts in sorted(days.items()):
        parts.append(_words(0, top, day))
        for name, count in sorted(counts.items()):
            width = max(1, round((_WIDTH - 320) * count / max(most, 1)))
            fill = _FILLS.get(name, "#333")
            parts.append(_words(90, top, name))
            parts.append(f'<rect x="180" y="{top + 4}" width="{width}" height="{_BAR - 2}" fill="{fill}"/>')
            parts.append(_words(188 + width, top, f"{count:,}"))
            top += _BAR + 2
        top += 6
    said = "; ".join(f"{day}: {', '.join(f'{count:,} {name}' for name, count in sorted(counts.items()))}"
                     for day, counts in sorted(days.items()))  # fmt: skip
    return _svg(title, said, parts, top)


def timeline(
    rows: Sequence[tuple[str, Sequence[tuple[datetime, bool]]]], title: str = "Looks at files over time"
) -> str:
    """Looks at files over time: an open circle where a file was as before, a filled square where it had changed.

    Marks that would cover each other are one; where one of them is a change, it is the change.

    Args:
        rows: a label and its looks, each with whether the file had changed.
        title: what the drawing shows.
    """
    moments = [moment for _, looks in rows for moment, _ in looks]
    begin, span = min(moments), max((max(moments) - min(moments)).total_seconds(), 1.0)
    parts: list[str] = []
    for number, (label, looks) in enumerate(rows):
        top = number * _ROW
        parts.append(_words(0, top, _cut(label)))
        parts.append(f'<path d="M{_LABEL} {top + 11}H{_WIDTH - 10}" stroke="#777"/>')
        cells: dict[int, bool] = {}
        for moment, changed in looks:
            cell = round((_WIDTH - _LABEL - 2 * _MARK) * (moment - begin).total_seconds() / span) // _MARK
            cells[cell] = cells.get(cell, False) or changed
        parts += [_mark(_LABEL + cell * _MARK, top, changed=changed) for cell, changed in sorted(cells.items())]
    foot = len(rows) * _ROW
    parts += [
        _words(_LABEL, foot, f"{begin:%Y-%m-%d %H:%M}"),
        _words(_WIDTH - 10, foot, f"{max(moments):%Y-%m-%d %H:%M}", anchor="end"),
    ]
    said = "; ".join(f"{_cut(label)}: {len(looks)} looks, {sum(changed for _, changed in looks)} changes"
                     for label, looks in rows)  # fmt: skip
    return _svg(title, said, parts, foot + _ROW)


def _mark(x: int, top: int, *, changed: bool) -> str:
    if changed:
        return f'<rect x="{x}" y="{top + 5}" width="{_MARK}" height="{_MARK}" fill="#b71c1c"/>'
    return f'<circle cx="{x + 6}" cy="{top + 11}" r="5" fill="#fff" stroke="#111"/>'


def _cut(label: str) -> str:
    """A label no wider than its place; wide characters count double, and marks that pile up are left out."""
    kept, width = "", 0
    for character in visible(label, 400):
        if unicodedata.combining(character):
            continue
        width += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
        if width > _LABEL_CELLS:
            return f"{kept}…"
        kept += character
    return kept


def _words(x: int, top: int, text: str, *, anchor: str = "start") -> str:
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x}" y="{top + 15}"{end} {_TEXT}>{escape(visible(text, 100))}</text>'


def _svg(title: str, said: str, parts: Sequence[str], height: int) -> str:
    box = f'viewBox="0 0 {_WIDTH} {max(height, _ROW)}"'
    head = f"<title>{escape(visible(title, 200))}</title><desc>{escape(visible(said, 4000))}</desc>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} width="{_WIDTH}">{head}{"".join(parts)}</svg>'
