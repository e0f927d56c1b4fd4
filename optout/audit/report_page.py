"""The report as a page, complete in itself: plots are SVG in the text, nothing is loaded and nothing runs.

Every plot is a table: a name, a bar, and its numbers as text. So nothing overlaps whatever the names are, a screen
reader reads what others see, and a number can be copied. Names come from strangers; they are escaped, and shown apart
from their surroundings (`<bdi>`), so that a name written from right to left moves nothing else.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from optout.audit.advice import percent
from optout.audit.report_style import STYLE
from optout.audit.report_words import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Figures = Mapping[str, Any]

LONGEST = 90
"""Characters of a name that are shown; the middle of a longer one is left out."""

_FILES = 200
_FAULTS = 50

# Whoever has no pointer scrolls a table that is wider than the screen with the keys, once it can have the focus.
_WIDE = '<div class="wide" tabindex="0" role="group" aria-label="A table that may be wider than the screen">'


def page(figures: Figures) -> str:
    """The page of a report."""
    rows = figures["rows"]
    parts = [
        f"<h1>{rows['kept']:,} of {rows['judged']:,} rows may be used</h1>",
        _about(figures),
        _whole(rows),
        _next_steps(figures["advice"]),
        _reasons(figures),
        _protocols(figures),
        _purposes(figures["purposes"], rows),
        _time(figures),
        _own_token(figures["own_token"], rows),
        _what_if(figures),
        _groups(
            "Domains with the most", "domain", figures["domains"][:25], rows, "Put together by registrable domain."
        ),
        _groups("Top-level domains", "name", figures["domain_groups"][:15], rows, ""),
        _groups("Languages", "language", figures["languages"][:15], rows, ""),
        _groups("Years of the rows", "year", figures["years"], rows, ""),
        _unknown(figures),
        _files(figures["files"]),
        _faults(figures["faults"]),
        _repeat(figures),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Audit: {rows['kept']:,} of {rows['judged']:,} rows may be used</title>"
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _about(figures: Figures) -> str:
    policy = figures["policy"]
    purposes = ", ".join(policy["purposes"])
    later = " Later reservations deny too." if figures["retroactive"] else ""
    moments = {"now": "the newest state of each origin", "crawl": "the state of each origin at the row's own date"}
    moment = moments.get(figures["as_of"], f"the state of each origin at {figures['as_of']}")
    return (
        f'<p class="about">For {escape(purposes)} as {_text(figures["agent"])}, under the policy '
        f"<b>{_text(policy['name'])}</b> ({_text(policy['title'])}), judged by {_text(moment)}.{later}</p>"
    )


def _whole(rows: Figures) -> str:
    """What became of all rows: one bar, and what its colours are."""
    refused = rows["refused"] + rows["unreadable"]
    unknown = rows["judged"] - rows["kept"] - rows["review"] - refused
    parts = [
        ("may be used", rows["kept"], "kept"),
        ("a person has to decide", rows["review"], "review"),
        ("reserved, or refused for what could not be read", refused, "denied"),
        ("of origins or URLs that nothing is known about", max(0, unknown), "unknown"),
    ]
    legend = "".join(
        f"<li>{_key(kind)}<b>{count:,}</b> {name} <span>{percent(count, rows['judged'])}</span></li>"
        for name, count, kind in parts
        if count
    )
    sizes = ""
    if rows["bytes"]:
        sizes += f"<li><b>{_size(rows['kept_bytes'])}</b> of {_size(rows['bytes'])} kept</li>"
    if rows["tokens"]:
        share = percent(rows["kept_tokens"], rows["tokens"])
        sizes += f"<li><b>{rows['kept_tokens']:,}</b> of {rows['tokens']:,} tokens kept <span>{share}</span></li>"
    said = "; ".join(f"{count:,} {name}" for name, count, _ in parts if count)
    bar = _bar([(count, kind) for _, count, kind in parts], rows["judged"], said)
    return f'<div class="whole">{bar}<ul class="legend">{legend}{sizes}</ul></div>'


def _key(kind: str) -> str:
    square = f'<rect class="{kind}" width="10" height="10"/>'
    return f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true">{square}</svg>'


def _bar(parts: Iterable[tuple[int, str]], most: int, said: str) -> str:
    """A bar of stretches, on a scale on which `most` is the whole width."""
    at, drawn = 0.0, []
    for count, kind in parts:
        width = 100 * count / most if most else 0.0
        # What is there can be seen, however little it is.
        width = max(width, 0.4) if count else 0.0
        drawn.append(f'<rect class="{kind}" x="{at:.2f}" width="{width:.2f}" height="10"/>' if width else "")
        at += width
    return (
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{escape(said)}">'
        f"{''.join(drawn)}</svg>"
    )


def _next_steps(advice: Sequence[Figures]) -> str:
    steps = "".join(
        f"<li>{_text(one['text'], 600)}{_command(one['command'])}</li>" for one in advice
    )  # fmt: skip
    return f'<section class="next"><h2>What to do next</h2><ol>{steps}</ol></section>'


def _command(command: str) -> str:
    return f"<pre><code>{escape(command)}</code></pre>" if command else ""


def _reasons(figures: Figures) -> str:
    held = [one for one in figures["reasons"] if one["effect"] != "permit"]
    if not held:
        return "<h2>Why rows are held back</h2><p>No row is.</p>"
    most = max(one["rows"] for one in held)
    body = []
    for one in held[:25]:
        kind = "review" if one["effect"] == "review" else "unknown" if _is_unknown(one["reason"]) else "denied"
        name = f"<code>{_text(one['reason'])}</code><small>{escape(explained(one['reason']))}</small>"
        body.append((name, _bar([(one["rows"], kind)], most, f"{one['rows']:,} rows"), one))
    more = f'<p class="note">and {len(held) - 25:,} more reasons; see report.json.</p>' if len(held) > 25 else ""
    return f"<h2>Why rows are held back</h2>{_plot('Reason', body, figures['rows'], ofwhat='held')}{more}"


def _is_unknown(reason: str) -> bool:
    return reason.startswith(("origin.unknown", "url."))


def _protocols(figures: Figures) -> str:
    found = figures["protocols"]
    if not found:
        return ""
    most = max(one["rows"] for one in found)
    body = [
        (f"<code>{_text(one['protocol'])}</code>", _bar([(one["rows"], "denied")], most, f"{one['rows']:,} rows"), one)
        for one in found
    ]
    return f"<h2>Which protocols reserved</h2>{_plot('Protocol', body, figures['rows'], ofwhat='held')}"


def _plot(title: str, body: Sequence[tuple[str, str, Figures]], rows: Figures, *, ofwhat: str) -> str:
    """Names, bars and numbers; bytes and tokens where the dataset told them."""
    heads = [title, "", "Rows", "Share"]
    if ofwhat == "kept":
        heads = [title, "", "Rows", "Kept"]
    heads += ["Bytes kept" if ofwhat == "kept" else "Bytes"] if rows["bytes"] else []
    heads += ["Tokens kept" if ofwhat == "kept" else "Tokens"] if rows["tokens"] else []
    lines = []
    for name, bar, one in body:
        share = percent(one["kept"], one["rows"]) if ofwhat == "kept" else percent(one["rows"], rows["judged"])
        cells = [f"{one['rows']:,}", share]
        lost = 0 if ofwhat == "kept" else 1
        cells += [_size(one["kept_bytes"] if not lost else one["bytes"])] if rows["bytes"] else []
        cells += [f"{one['kept_tokens'] if not lost else one['tokens']:,}"] if rows["tokens"] else []
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        lines.append(f'<tr><th scope="row">{name}</th><td class="plot">{bar}</td>{numbers}</tr>')
    titles = "".join(f'<th scope="col"{" class=n" if at > 1 else ""}>{head}</th>' for at, head in enumerate(heads))
    return f"{_WIDE}<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _purposes(purposes: Sequence[Figures], rows: Figures) -> str:
    body = []
    for one in purposes:
        effects, states = one["effects"], one["states"]
        said = f"{effects['permit']:,} may be used, {effects['review']:,} in review, {effects['deny']:,} denied"
        unknown = one["denied_unknown"]
        parts = [(effects["permit"], "kept"), (effects["review"], "review")]
        parts += [(effects["deny"] - unknown, "denied"), (unknown, "unknown")]
        numbers = (effects["permit"], effects["review"], effects["deny"], states["reserved"], states["permitted"])
        body.append((f"<code>{_text(one['purpose'])}</code>", _bar(parts, rows["judged"], said), *numbers))
    heads = ("Purpose", "", "May be used", "Review", "Denied", "Said: reserved", "Said: permitted")
    return f"<h2>By purpose</h2>{_table(heads, body)}"


def _time(figures: Figures) -> str:
    time = figures["time"]
    earliest, latest = str(time["earliest_signal"] or "")[:10], str(time["latest_signal"] or "")[:10]
    if figures["as_of"] == "now":
        seen = f"captured from {earliest} to {latest}" if earliest else "of which there is none"
        return (
            f'<h2>Over time</h2><p class="note">Rows were judged by the newest states, {seen}. With '
            "<code>--as-of crawl</code> or a date this section shows what was reserved then, since, or no longer.</p>"
        )
    kinds = [
        ("reserved then, and still", time["reserved_then_and_now"], "denied"),
        ("open then, reserved since", time["reserved_since"], "review"),
        ("reserved then, opened since", time["opened_since"], "kept"),
        ("open then, and now", time["open_then_and_now"], "kept"),
        ("unknown then: no capture is near enough", time["unknown_then"], "unknown"),
    ]
    most = max(count for _, count, _ in kinds) or 1
    body = [
        (name, _bar([(count, kind)], most, f"{count:,} rows"), count, percent(count, figures["rows"]["judged"]))
        for name, count, kind in kinds
    ]
    return f"<h2>Then, since, and now</h2>{_table(('State of the origin', '', 'Rows', 'Share'), body)}{_gaps(figures)}"


def _gaps(figures: Figures) -> str:
    """How far captures lie from the dates that they speak for."""
    time, spans = figures["time"], figures["time"]["gaps"]
    most = max((one["rows"] for one in spans), default=0)
    if figures["as_of"] != "crawl" or not most:
        return ""
    body = [
        (
            f"{one['from']} to {one['to']}" if one["to"] is not None else f"{one['from']} and more",
            _bar([(one["rows"], "plain")], most, f"{one['rows']:,} rows"),
            one["rows"],
        )
        for one in spans
    ]
    note = (
        '<p class="note">Days between a row and the capture that it was judged by: '
        f"{time['median_gap_days'] or 0:,} in "
        f"the median, {time['longest_gap_days'] or 0:,} at most. The policy looks no further than "
        f"{figures['policy']['nearest_capture_days']:,} (<code>nearest_capture_days</code>).</p>"
    )
    return f"{note}{_table(('Days', '', 'Rows'), body)}"


def _own_token(own: Figures, rows: Figures) -> str:
    """Our own token beside any AI crawler: what is kept is one question, who else is refused is another."""
    body = [
        (
            "no AI crawler is refused there",
            own["kept_and_nobody_is_refused"],
            own["held_back_though_nobody_is_refused"],
        ),
        (
            "some AI crawler is refused there",
            own["kept_though_another_is_refused"],
            own["held_back_and_another_is_refused"],
        ),
    ]
    note = (
        f'<p class="note">Of the rows that are refused, {own["denied_by_name"]:,} are by rules that name our token and '
        f"{own['denied_with_everyone']:,} by rules for everybody. {own['any_ai_crawler_refused']:,} rows "
        f"({percent(own['any_ai_crawler_refused'], rows['judged'])}) are where any AI crawler is refused, whoever it "
        "is.</p>"
    )
    heads = ("Rows of known origins", "Kept for us", "Held back from us")
    return f"<h2>Our token, and any AI crawler</h2>{note}{_table(heads, body)}"


def _what_if(figures: Figures) -> str:
    variants, rows = figures["what_if"], figures["rows"]
    if not variants:
        return ""
    decided = {"name": f"{figures['policy']['name']} (as decided)", "lost": 0, "gained": 0, **rows}
    body = []
    for one in (decided, *variants):
        bar = _bar([(one["kept"], "kept")], rows["judged"], f"{one['kept']:,} rows kept")
        cells: tuple[object, ...] = (one["kept"], _change(-one["lost"]), _change(one["gained"]), one["review"])
        cells += (_size(one["kept_bytes"]),) if rows["bytes"] else ()
        cells += (one["kept_tokens"],) if rows["tokens"] else ()
        body.append((_text(one["name"]), bar, *cells))
    heads = ["Choice", "", "Rows kept", "Lost", "Gained", "In review"]
    heads += ["Bytes kept"] if rows["bytes"] else []
    heads += ["Tokens kept"] if rows["tokens"] else []
    return f"<h2>What other choices would change</h2>{_table(heads, body)}"


def _change(count: int) -> str:
    return f"{count:+,}".replace("-", "−") if count else "0"


def _groups(title: str, name: str, groups: Sequence[Figures], rows: Figures, note: str) -> str:
    """Kept, in review, refused and unknown, by something that rows have."""
    if not groups:
        return ""
    most = max(one["rows"] for one in groups)
    by = "tokens" if rows["tokens"] else "bytes" if rows["bytes"] else "rows"
    body = []
    for one in groups:
        denied = one["rows"] - one["kept"] - one["review"] - one["unknown"]
        parts = [
            (one["kept"], "kept"), (one["review"], "review"), (max(0, denied), "denied"), (one["unknown"], "unknown")
        ]  # fmt: skip
        said = f"{one['kept']:,} kept, {one['review']:,} in review, {denied:,} denied, {one['unknown']:,} unknown"
        body.append((_text(one[name]), _bar(parts, most, said), one))
    title = f"{title} {by}" if name == "domain" else title
    about = f'<p class="note">{note}</p>' if note else ""
    return f"<h2>{title}</h2>{about}{_plot(name.replace('name', 'domain').capitalize(), body, rows, ofwhat='kept')}"


def _unknown(figures: Figures) -> str:
    origins = figures["unknown_origins"]
    if not origins:
        return ""
    most = origins[0]["rows"]
    body = [
        (_text(one["origin"]), _bar([(one["rows"], "unknown")], most, f"{one['rows']:,} rows"), one["rows"])
        for one in origins[:15]
    ]
    steps = "".join(
        f"<li>the first {one['origins']:,}: {one['rows']:,} rows "
        f"({percent(one['rows'], figures['rows']['unknown'])} of the unknown)</li>"
        for one in figures["unknown_settled"]
    )
    worth = f"<p>What harvesting settles, those with the most rows first:</p><ul>{steps}</ul>" if steps else ""
    note = (
        f'<p class="note">All {figures["unknown_origin_count"]:,} of them are in <code>unknown-origins.txt</code> '
        "beside this page, ready for <code>optout harvest</code>.</p>"
    )
    return f"<h2>Origins that nothing is known about</h2>{note}{worth}{_table(('Origin', '', 'Rows'), body)}"


def _files(files: Sequence[Figures]) -> str:
    """The files, those with something wrong first."""
    ordered = sorted(files, key=lambda one: (one["unreadable"] is None, one["faults"] == 0))
    body = [
        (
            _text(one["file"]), one["rows"], one["kept"],
            _text(one["unreadable"], 300) if one["unreadable"] else _faulty(one["faults"]),
        )
        for one in ordered[:_FILES]
    ]  # fmt: skip
    more = (
        f'<p class="note">and {len(files) - _FILES:,} more files; see report.json.</p>' if len(files) > _FILES else ""
    )
    return f"<h2>Files</h2>{_table(('File', 'Rows', 'Kept', 'What was wrong'), body)}{more}"


def _faulty(count: int) -> str:
    return f"{count:,} place{'' if count == 1 else 's'} could not be read" if count else ""


def _faults(faults: Sequence[Figures]) -> str:
    if not faults:
        return ""
    body = [(_text(one["file"]), _text(one["place"]), _text(one["what"], 300)) for one in faults[:_FAULTS]]
    more = f'<p class="note">The first {_FAULTS}; report.json has more.</p>' if len(faults) > _FAULTS else ""
    return f"<h2>What could not be read</h2>{more}{_table(('File', 'Place', 'Fault'), body)}"


def _repeat(figures: Figures) -> str:
    policy = figures["policy"]
    return (
        '<h2>How to check this</h2><p class="note">The folder <code>evidence/</code> holds a signed log with the hash '
        "of every file that was read and written here, of the policy "
        f"(<code>{escape(policy['digest'][:16])}</code>), of the registry of protocols "
        f"(<code>{escape(policy['registry'][:16])}</code>) and of the states of origins that were used. This judges "
        f"every row again:</p>{_command('optout evidence verify OUT --store STORE')}"
    )


def _table(heads: Sequence[str], body: Sequence[tuple[object, ...]]) -> str:
    """A table of cells that are HTML already; a column of numbers stands to the right."""
    columns = list(zip(*body, strict=True))
    numeric = [all(isinstance(cell, int) or _is_number(cell) for cell in column) for column in columns]
    kinds = [
        ' class="n"' if number else ' class="plot"' if not head else ""
        for head, number in zip(heads, numeric, strict=True)
    ]
    titles = "".join(f'<th scope="col"{kind}>{escape(head)}</th>' for head, kind in zip(heads, kinds, strict=True))
    lines = []
    for first, *rest in body:
        cells = "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{_cell(first)}</th>{cells}</tr>')
    return f"{_WIDE}<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _is_number(cell: object) -> bool:
    return isinstance(cell, str) and cell[:1] in "0123456789+−<>" and cell[-1:] in "0123456789B%"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: object, longest: int = LONGEST) -> str:
    """A stranger's text: whole characters that can be seen, apart from what stands around it, and not too long."""
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in str(value))
    if len(text) > longest:
        half = longest // 2 - 1
        text = f"{text[:half]} … {text[-half:]}"
    return f"<bdi>{escape(text)}</bdi>"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{count} B"
