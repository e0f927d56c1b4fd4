"""The forms of published lists: each line's meaning, and what is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.acquisition import list_forms
from optout.acquisition.list_forms import FORMS, Entry, Fault, sniff, table
from optout.acquisition.list_import import Source, import_list
from optout.errors import UnreadableInput
from optout.syntax.listing import Kind, Match

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "blocklists"
H, D, U, C = Match.HOST, Match.DOMAIN, Match.URL, Match.CONTENT
DIGEST = "AB" * 32


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        ("plain", "example.com", [(D, "example.com")]),
        ("plain", "  Example.COM.  # a note", [(D, "example.com")]),
        ("plain", "*.example.com", [(D, "example.com")]),
        ("plain", ".example.com", [(D, "example.com")]),
        ("plain", "x.se", [(H, "x.se")]),
        ("plain", "https://example.com", [(H, "example.com")]),
        ("plain", "https://example.com/", [(H, "example.com")]),
        ("plain", "https://www.Example.com/A/?q", [(U, "example.com/A/?q")]),
        ("plain", "angelfire.com/un/x/", [(U, "angelfire.com/un/x")]),
        ("plain", "192.0.2.1", [(H, "192.0.2.1")]),
        ("plain", "[2001:db8::1]", [(H, "2001:db8::1")]),
        ("plain", "2001:DB8:0::1", [(H, "2001:db8::1")]),
        ("plain", DIGEST, [(C, DIGEST.lower())]),
        ("plain", f"sha256:{DIGEST}", [(C, DIGEST.lower())]),
        ("plain", "# example.com", []),
        ("plain", "! example.com", []),
        ("plain", "", []),
        ("hosts", "0.0.0.0 example.com", [(H, "example.com")]),
        ("hosts", "127.0.0.1\ta.example.com b.example.com # both", [(H, "a.example.com"), (H, "b.example.com")]),
        ("hosts", "::1 localhost ip6-localhost", []),
        ("hosts", "0.0.0.0 0.0.0.0", []),
        ("hosts", "127.0.0.1 localhost.localdomain", []),
        ("dnsmasq", "local=/example.com/", [(D, "example.com")]),
        ("dnsmasq", "address=/.example.com/0.0.0.0", [(D, "example.com")]),
        ("dnsmasq", "server=/a.com/b.com/", [(D, "a.com"), (D, "b.com")]),
        ("dnsmasq", "# local=/example.com/", []),
        ("adblock", "||example.com^", [(D, "example.com")]),
        ("adblock", "||*.example.com^", [(D, "example.com")]),
        ("adblock", "||example.com^$important", [(D, "example.com")]),
        ("adblock", "||example.com^$document,all", [(D, "example.com")]),
        ("adblock", "||example.com/path/", [(U, "example.com/path")]),
        ("adblock", "|https://example.com/path|", [(U, "example.com/path")]),
        ("adblock", "||192.0.2.1^", [(H, "192.0.2.1")]),
        ("adblock", "! Title: x", []),
        ("adblock", "[Adblock Plus 2.0]", []),
        ("ut1", "109.238.9.3/torrent", [(U, "109.238.9.3/torrent")]),
    ],
)
def test_a_line_means(form, line, expected):
    assert list(FORMS[form](line)) == [Entry(*entry) for entry in expected]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("plain", "com"),
        ("plain", "two words"),
        ("plain", "\0"),
        ("plain", "exa mple.com/x"),
        ("plain", "-"),
        ("plain", "1.2.3"),
        ("plain", "a" * 64_000 + "."),
        ("plain", "x" * 300 + ".com"),
        ("plain", "example.com/" + "a/" * 80),
        ("plain", "http://"),
        ("hosts", "example.com"),
        ("dnsmasq", "cache-size=100"),
        ("adblock", "@@||example.com^"),
        ("adblock", "||example.com^$third-party"),
        ("adblock", "||exa*le.com^"),
        ("adblock", "example.com##.ad"),
        ("adblock", "/banner/"),
        ("adblock", "||a.com^|b"),
    ],
)
def test_a_line_that_names_no_site_is_a_fault(form, line):
    assert [type(item) for item in FORMS[form](line)] == [Fault]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("name,domain,since", "A,example.com,2020", (D, "example.com")),
        ("Host;why", "example.com;x", (H, "example.com")),
        ("url\tnote", '"https://example.com/a"\tx', (U, "example.com/a")),
        ("id,SHA256", f"1,{DIGEST}", (C, DIGEST.lower())),
        ("site", "example.com", (D, "example.com")),
        ("host,x", "https://example.com/,1", (H, "example.com")),
    ],
)
def test_a_table_is_read_by_its_column(header, row, expected):
    assert list(table(header)(row)) == [Entry(*expected)]


def test_a_table_without_a_known_column_is_none():
    assert table("a,b,c") is None


@pytest.mark.parametrize("row", ["x", "", ",,", "\0,\0", '"unclosed'])
def test_a_row_that_is_too_short_is_no_error(row):
    assert not any(isinstance(item, Entry) for item in table("a,domain")(row))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("# x\nexample.com\nexample.org/a\n", "plain"),
        ("127.0.0.1 localhost\n0.0.0.0 example.com\n", "hosts"),
        ("local=/example.com/\n", "dnsmasq"),
        ("! Title\n||example.com^\n", "adblock"),
        ("domain,reason\nexample.com,x\n", "csv"),
        ("host\nexample.com\n", "csv"),
    ],
)
def test_the_form_is_seen_from_the_first_lines(text, form):
    assert sniff(text.splitlines(), "x") == form


@pytest.mark.parametrize("text", ["", "# only\n", "\0\1\2", "<html><body>404</body></html>"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(UnreadableInput, match="none of the forms"):
        sniff(text.splitlines(), "x")


@given(st.sampled_from(sorted(FORMS)), st.text(max_size=80))
def test_no_line_raises_and_every_entry_is_in_its_normal_form(form, line):
    for item in FORMS[form](line):
        if isinstance(item, Entry) and item.match in {Match.HOST, Match.DOMAIN} and ":" not in item.text:
            again = [found.text for found in list_forms.plain(item.text) if isinstance(found, Entry)]
            assert again == [item.text]


def imported(tmp_path, data: bytes, form=None):
    path, faults = tmp_path / "list", []
    path.write_bytes(data)
    source = Source(path, "n", "i", Kind.ADVISORY, "b", date(2026, 1, 1), form)
    version = import_list(source, tmp_path / "store", lambda *fault: faults.append(fault), lambda *_: None)
    return version.description, faults


def test_bad_lines_are_named_counted_and_passed_over(tmp_path):
    about, faults = imported(tmp_path, b"a.com\nbad line\n\nb.com\nworse,line\nc.com", "plain")
    assert (about.entries, about.faults, about.lines) == (3, 2, 6)
    assert [line for line, _ in faults] == [2, 5]


def test_odd_bytes_are_data(tmp_path):
    data = b"\xef\xbb\xbfa.com\r\n\xff\xfe\r\n" + b"x." * 200_000 + b"trick.com\r\nb.com\r\n"
    about, faults = imported(tmp_path, data, "plain")
    assert about.entries == 2
    assert [line for line, _ in faults] == [2, 3]


@pytest.mark.skipif(not CORPUS.exists(), reason="the acceptance corpus does not lie beside the checkout")
@pytest.mark.parametrize(
    ("file", "form", "entries"),
    [
        ("blocklistproject/piracy-ags.txt", "adblock", 2_154),
        ("blocklistproject/piracy-nl.txt", "plain", 2_154),
        ("blocklistproject/piracy.txt", "hosts", 2_154),
        ("ut1/warez/domains", "plain", 1_546),
        ("ut1/warez/urls", "plain", 15),
    ],
)
def test_lists_in_use_are_read_whole(tmp_path, file, form, entries):
    about, faults = imported(tmp_path, (CORPUS / file).read_bytes())
    assert (about.form, about.entries, faults) == (form, entries, [])
