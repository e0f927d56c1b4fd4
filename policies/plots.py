"""Plots as SVG of our own making. Nothing is told by colour alone, and every text that is not ours is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from policies.document import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_WIDTH, _LABEL, _ROW = 760, 300, 22
_FILLS = {"permit": "#1b5e20", "deny": "#b71c1c", "review": "#4a148c"}
_TEXT = 'font-family="sans-serif" font-size="12" fill="#111"'


def bars(days: Mapping[str, Mapping[str, int]]) -> str:
    """Decisions a day: one bar for each answer, with its number beside it.

    Args:
        days: day, answer and number.
    """
    most = max((count for counts in days.values() for count in counts.values()), default=1)
    parts: list[str] = []
    top = 0
    for day, counts in sorted(days.items()):
        for effect, count in sorted(counts.items()):
            width = max(1, round((_WIDTH - 320) * count / most))
            fill = _FILLS.get(effect, "#333")
            parts.append(_words(0, top, f"{day} {effect}"))
            parts.append(f'<rect x="180" y="{top + 4}" width="{width}" height="14" fill="{fill}"/>')
            parts.append(_words(190 + width, top, f"{count:,}"))
            top += _ROW
    return _svg(parts, top)


def timeline(rows: Sequence[tuple[str, Sequence[tuple[datetime, bool]]]]) -> str:
    """Looks at files over time: an open circle where a file was as before, a filled square where it had changed.

    Args:
        rows: a label and its looks, each with whether the file had changed.
    """
    moments = [moment for _, looks in rows for moment, _ in looks]
    begin, span = min(moments), max((max(moments) - min(moments)).total_seconds(), 1.0)
    parts: list[str] = []
    for number, (label, looks) in enumerate(rows):
        top = number * _ROW
        parts.append(_words(0, top, label if len(label) <= 44 else f"{label[:43]}…"))
        parts.append(f'<path d="M{_LABEL} {top + 11}H{_WIDTH - 10}" stroke="#777"/>')
        for moment, changed in looks:
            x = _LABEL + round((_WIDTH - _LABEL - 20) * (moment - begin).total_seconds() / span)
            parts.append(_mark(x, top, changed=changed))
    foot = len(rows) * _ROW
    parts += [
        _words(_LABEL, foot, f"{begin:%Y-%m-%d %H:%M}"),
        _words(_WIDTH - 130, foot, f"{max(moments):%Y-%m-%d %H:%M}"),
    ]
    return _svg(parts, foot + _ROW)


def _mark(x: int, top: int, *, changed: bool) -> str:
    if changed:
        return f'<rect x="{x}" y="{top + 5}" width="12" height="12" fill="#b71c1c"/>'
    return f'<circle cx="{x + 6}" cy="{top + 11}" r="5" fill="#fff" stroke="#111"/>'


def _words(x: int, top: int, text: str) -> str:
    return f'<text x="{x}" y="{top + 15}" {_TEXT}>{escape(visible(text, 100))}</text>'


def _svg(parts: Sequence[str], height: int) -> str:
    box = f'viewBox="0 0 {_WIDTH} {max(height, _ROW)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} width="{_WIDTH}">{"".join(parts)}</svg>'
