"""Where a column's URLs point is what each of them says alone, whatever they are made of and however they are held."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from optout.audit.judge import KERNEL
from optout.audit.locate import NOWHERE, Locator, _Finder
from optout.urls import match_target

_PIECES = st.sampled_from([
    "https:", "http:", "HTTPS:", "ftp:", "/", "//", "///", "a.example", "b.example:80", "u:p@a.example", "[::1]",
    "bücher.example", "?", "#", "%", "%41", "%c3%a9", "é", "x", "$", "*", " ", "\t", "\n", "\x7f", "~", "!", "\\", "\0",
])  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=8).map("".join)
_URLS = st.tuples(st.sampled_from(["https://a.example", "http://b.example"]), _TEXTS).map("".join)
_COLUMNS = st.lists(st.none() | _TEXTS | _URLS, min_size=1, max_size=12)
_KINDS = st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])


def alone(url):
    """The origin and the match target of one URL, or None."""
    finder = _Finder()
    number, judged = finder.alone(url)
    return None if number == NOWHERE else (finder.origins[number], match_target(judged or url))


def found(located, row):
    """The same by what is known about a column."""
    if located.codes[row] == NOWHERE:
        return None
    origin = located.origins[located.codes[row]]
    if located.odd[row] or located.parts is None:
        return origin, match_target(located.url(row))
    return origin, *located.lines(np.array([row]), np.array([0, 1]))


@given(_COLUMNS, _KINDS, st.data())
def test_every_row_is_located_as_if_it_stood_alone(urls, kind, data):
    first = data.draw(st.integers(0, len(urls) - 1))
    column = pa.array(urls, pa.string()).cast(kind)[first:]
    for kernel in {None, KERNEL}:
        located = Locator(kernel).locate(column)
        assert [found(located, row) for row in range(len(column))] == [alone(url) for url in urls[first:]]


@given(st.lists(_URLS, min_size=1, max_size=8), st.data())
def test_what_stands_beneath_a_missing_url_is_never_read(urls, data):
    whole = pa.array(urls, pa.string())
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=len(urls), max_size=len(urls))))
    _, offsets, octets = whole.buffers()
    mask = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    located = Locator().locate(pa.Array.from_buffers(pa.string(), len(urls), [mask, offsets, octets]))
    wanted = [None if gone else alone(url) for url, gone in zip(urls, missing, strict=True)]
    assert [found(located, row) for row in range(len(urls))] == wanted


def test_an_octet_makes_its_own_row_odd_wherever_the_column_is_cut_into_steps(monkeypatch):
    monkeypatch.setattr("optout.audit.locate._STEP", 16)
    signs = ["", "é", "%", "#", "$", "*", " ", "\x7f", "/.", "!", "~", "&", "/", "."]
    tails = ["x" * length + sign for sign in signs for length in range(20)]
    located = Locator().locate(pa.array([f"https://a.example/{tail}" for tail in tails])[7:])
    odd = [tail[-1:] in tuple("é%#$* \x7f") or "/." in f"/{tail}" for tail in tails[7:]]
    assert located.odd.tolist() == odd


def test_every_octet_that_a_target_does_not_hold_as_it_is_makes_its_row_odd():
    urls = [f"https://a.example/{chr(octet)}" for octet in range(128)]
    located = Locator().locate(pa.array(urls))
    for url, odd in zip(urls, located.odd.tolist(), strict=True):
        assert odd or match_target(url) == url.removeprefix("https://a.example"), url
    # Controls and the space, DEL, the four signs, and a segment that begins with a dot.
    assert located.odd.sum() == 33 + 1 + 4 + 1
