"""The report as a page, complete in itself: plots are SVG in the text, nothing is loaded and nothing runs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Figures = Mapping[str, Any]

_COLOURS = {"permit": "#2f7d4f", "review": "#c58a1b", "deny": "#b3382c", "unknown": "#7a7f87"}
_WIDTH = 680

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2024; background: #fff; margin: 2rem auto; max-width: 62rem;
  padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p.about { color: #5a6169; margin-top: 0; } p.note { color: #5a6169; max-width: 46rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #d5d9dd; padding: .3rem .6rem .3rem 0; }
td { border-bottom: 1px solid #e8ebee; padding: .25rem .6rem .25rem 0; overflow-wrap: anywhere; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.2rem 0; }
.figures div { min-width: 8rem; } .figures b { display: block; font-size: 1.6rem; font-weight: 600; }
ol.next { background: #f4f6f8; padding: .9rem 1rem .9rem 2.4rem; border-radius: 6px; }
svg { width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif; }
code { font-size: .9em; }
@media screen and (max-width: 40rem) { body { margin: 1rem auto; padding: 0 .8rem; } table { font-size: .75rem; }
  th, td { overflow-wrap: anywhere; padding-right: .3rem; } td.n, th.n { white-space: normal; } }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""


def page(figures: Figures) -> str:
    """The page of a report."""
    rows = figures["rows"]
    parts = [
        "<h1>Which rows may be used</h1>",
        _about(figures),
        _head_figures(rows, figures["origins"]),
        _stacked(rows),
        _next_steps(figures["advice"]),
        _reasons(figures["reasons"], rows),
        _protocols(figures["protocols"]),
        _purposes(figures["purposes"]),
        _time(figures["time"], figures["as_of"]),
        _own_token(figures["own_token"], rows),
        _what_if(figures["what_if"], rows),
        _domains(figures["domains"]),
        _groups("Languages", "language", figures["languages"]),
        _groups("Years of the rows", "year", figures["years"]),
        _unknown(figures["unknown_origins"]),
        _files(figures["files"]),
        _faults(figures["faults"]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit: {rows['kept']:,} of {rows['judged']:,} rows may be used</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _about(figures: Figures) -> str:
    policy = figures["policy"]
    purposes = ", ".join(policy["purposes"])
    later = "; later reservations deny too" if figures["retroactive"] else ""
    moment = {"now": "the newest state of each origin", "crawl": "the state at each row's own date"}
    return (
        f'<p class="about">For {escape(purposes)} as {escape(figures["agent"])} under the policy '
        f"<b>{escape(policy['name'])}</b> ({escape(policy['title'])}), judged by "
        f"{escape(str(moment.get(figures['as_of'], figures['as_of'])))}{later}. "
        f"Policy <code>{policy['digest'][:12]}</code>, registry <code>{policy['registry'][:12]}</code>.</p>"
    )


def _head_figures(rows: Figures, origins: Figures) -> str:
    judged = rows["judged"] or 1
    cells = [
        (f"{rows['judged']:,}", "rows judged"),
        (f"{rows['kept']:,}", f"may be used ({_percent(rows['kept'], judged)})"),
        (
            f"{judged and rows['judged'] - rows['kept']:,}",
            f"held back ({_percent(rows['judged'] - rows['kept'], judged)})",
        ),
        (f"{origins['known']:,} of {origins['all']:,}", "origins known to the store"),
    ]
    if rows["bytes"]:
        cells.append((_size(rows["kept_bytes"]), f"of {_size(rows['bytes'])} kept"))
    if rows["tokens"]:
        cells.append((f"{rows['kept_tokens']:,}", f"of {rows['tokens']:,} tokens kept"))
    return f'<div class="figures">{"".join(f"<div><b>{big}</b>{small}</div>" for big, small in cells)}</div>'


def _stacked(rows: Figures) -> str:
    """One bar: what became of all rows."""
    unknown = rows["unknown"] + rows["malformed"]
    parts = [
        ("may be used", rows["kept"], "permit"),
        ("held back for review", rows["review"], "review"),
        ("denied", rows["denied"], "deny"),
    ]
    total = sum(count for _, count, _ in parts) or 1
    at, bars, labels = 0.0, [], []
    for name, count, kind in parts:
        width = _WIDTH * count / total
        bars.append(f'<rect x="{at:.1f}" width="{width:.1f}" height="26" fill="{_COLOURS[kind]}"/>')
        at += width
        labels.append((f"{name} {_percent(count, total)}", kind))
    places = (
        f'<rect x="{20 + 225 * number}" y="36" width="10" height="10" fill="{_COLOURS[kind]}"/>'
        f'<text x="{36 + 225 * number}" y="45">{escape(text)}</text>'
        for number, (text, kind) in enumerate(labels)
    )
    note = f'<p class="note">{unknown:,} of these rows have no known origin; the policy alone decided on them.</p>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} 52" role="img" aria-label="What became of all rows">{"".join(bars)}'
        f"{''.join(places)}</svg>{note if unknown else ''}"
    )


def _bars(rows: Sequence[tuple[str, int, str]]) -> str:
    """A bar for each name, as wide as its count."""
    if not rows:
        return ""
    most = max(count for _, count, _ in rows) or 1
    height = 24
    drawn = []
    for number, (name, count, kind) in enumerate(rows):
        y = number * height
        width = max(1.0, 300 * count / most)
        label = name if len(name) <= 44 else name[:43] + "…"
        drawn.append(
            f'<text x="270" y="{y + 16}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="280" y="{y + 4}" width="{width:.1f}" height="16" fill="{_COLOURS[kind]}"/>'
            f'<text x="{288 + width:.1f}" y="{y + 16}">{count:,}</text>'
        )
    said = escape("; ".join(f"{name}: {count:,}" for name, count, _ in rows))
    box = f'viewBox="0 0 {_WIDTH} {height * len(rows) + 4}"'
    return f'<svg {box} role="img" aria-label="{said}">{"".join(drawn)}</svg>'


def _next_steps(advice: Sequence[str]) -> str:
    if not advice:
        return ""
    return f'<h2>What to do next</h2><ol class="next">{"".join(f"<li>{escape(one)}</li>" for one in advice)}</ol>'


def _reasons(reasons: Sequence[Figures], rows: Figures) -> str:
    held = [one for one in reasons if one["effect"] != "permit"]
    plot = _bars([(one["reason"], one["rows"], one["effect"]) for one in held[:12]])
    body = [
        (
            one["reason"],
            one["protocol"],
            one["effect"],
            one["rows"],
            _percent(one["rows"], rows["judged"]),
            _size(one["bytes"]),
            one["tokens"],
        )
        for one in reasons[:40]
    ]
    head = ("Reason", "Protocol", "Effect", "Rows", "Share", "Bytes", "Tokens")
    return f"<h2>Why rows are held back</h2>{plot}{_table(head, body)}"


def _protocols(protocols: Sequence[Figures]) -> str:
    if not protocols:
        return ""
    body = [(one["protocol"], one["rows"], _size(one["bytes"]), one["tokens"]) for one in protocols]
    return f"<h2>Which protocols reserved</h2>{_table(('Protocol', 'Rows held back', 'Bytes', 'Tokens'), body)}"


def _purposes(purposes: Sequence[Figures]) -> str:
    body = [
        (
            one["purpose"],
            *(one["effects"][name] for name in ("permit", "review", "deny")),
            *(one["states"][name] for name in ("reserved", "permitted", "unspecified")),
        )
        for one in purposes
    ]
    head = ("Purpose", "May be used", "Review", "Denied", "Reserved", "Permitted", "Nothing said")
    return f"<h2>By purpose</h2>{_table(head, body)}"


def _time(time: Figures, as_of: str) -> str:
    if as_of == "now":
        return (
            '<h2>Over time</h2><p class="note">Rows were judged by the newest states, captured from '
            f"{escape(str(time['earliest_signal'])[:10])} to {escape(str(time['latest_signal'])[:10])}. "
            "With <code>--as-of crawl</code> this section shows what was reserved then, since, or no longer.</p>"
        )
    kinds = [
        ("reserved then and now", time["reserved_then_and_now"], "deny"),
        ("open then, reserved since", time["reserved_since"], "review"),
        ("reserved then, open since", time["opened_since"], "unknown"),
        ("open then and now", time["open_then_and_now"], "permit"),
    ]
    gap = time["median_gap_days"]
    note = (
        f'<p class="note">Signals were captured {gap or 0} days from the row\'s date in the median, '
        f"{time['longest_gap_days'] or 0} at most; for {time['unknown_then']:,} rows no capture was near enough.</p>"
    )
    return f"<h2>Over time</h2>{_bars(kinds)}{note}"


def _own_token(own: Figures, rows: Figures) -> str:
    body = [
        ("Denied by rules that name our token", own["denied_by_name"]),
        ("Denied by rules for everybody", own["denied_with_everyone"]),
        ("On sites that refuse any AI crawler there", own["any_ai_crawler_refused"]),
        ("Kept although another AI crawler is refused", own["kept_though_another_is_refused"]),
    ]
    shown = [(name, count, _percent(count, rows["judged"])) for name, count in body]
    return f"<h2>Whom the rules name</h2>{_table(('Rows', 'Count', 'Share'), shown)}"


def _what_if(variants: Sequence[Figures], rows: Figures) -> str:
    if not variants:
        return ""
    body = [("as decided", rows["kept"], 0, 0)]
    body += [(one["name"], one["kept"], one["lost"], one["gained"]) for one in variants]
    return f"<h2>What other choices would change</h2>{_table(('Choice', 'Kept', 'Lost', 'Gained'), body)}"


def _domains(domains: Sequence[Figures]) -> str:
    body = [
        (one["domain"], one["rows"], _percent(one["kept"], one["rows"]), _size(one["bytes"]), _size(one["kept_bytes"]))
        for one in domains[:25]
    ]
    return f"<h2>Largest domains</h2>{_table(('Domain', 'Rows', 'Kept', 'Bytes', 'Bytes kept'), body)}"


def _groups(title: str, name: str, groups: Sequence[Figures]) -> str:
    if not groups:
        return ""
    body = [
        (one[name], one["rows"], _percent(one["kept"], one["rows"]), _size(one["bytes"]), one["tokens"])
        for one in groups
    ]
    return f"<h2>{title}</h2>{_table((title, 'Rows', 'Kept', 'Bytes', 'Tokens'), body)}"


def _unknown(origins: Sequence[Figures]) -> str:
    if not origins:
        return ""
    body = [(one["origin"], one["rows"]) for one in origins[:15]]
    return f"<h2>Unknown origins with the most rows</h2>{_table(('Origin', 'Rows'), body)}"


def _files(files: Sequence[Figures]) -> str:
    body = [
        (one["file"], one["rows"], one["kept"], one["unreadable"] or f"{one['faults']:,} faults" * (one["faults"] > 0))
        for one in files[:200]
    ]
    more = f'<p class="note">and {len(files) - 200:,} more files; see report.json.</p>' if len(files) > 200 else ""
    return f"<h2>Files</h2>{_table(('File', 'Rows', 'Kept', ''), body)}{more}"


def _faults(faults: Sequence[Figures]) -> str:
    if not faults:
        return ""
    body = [(one["file"], one["place"], one["what"]) for one in faults[:50]]
    return f"<h2>What could not be read</h2>{_table(('File', 'Place', 'Fault'), body)}"


def _table(head: Iterable[str], body: Sequence[tuple[object, ...]]) -> str:
    columns = list(zip(*body, strict=True))
    numeric = [all(isinstance(cell, int) or str(cell).endswith((" %", "B")) for cell in column) for column in columns]
    kinds = [' class="n"' if number else "" for number in numeric] or [""] * 9
    titles = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(head, kinds, strict=False))
    lines = "".join(
        f"<tr>{''.join(f'<td{kind}>{_cell(cell)}</td>' for cell, kind in zip(line, kinds, strict=False))}</tr>"
        for line in body
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: object) -> str:
    return (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 9999
        else escape(str(value))
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{count} B"
