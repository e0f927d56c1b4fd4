"""Header fields: looking up, joining, media types, links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.syntax.http_fields import LinkValue, charset, combined, media_type, parse_links, values

HEADERS = (
    ("X-Robots-Tag", " noai\t"),
    ("content-type", "text/html"),
    ("x-robots-tag", "GPTBot: noindex"),
    ("TDM-Reservation", "1"),
)


def test_values_keep_order_duplicates_and_place():
    assert values(HEADERS, "X-ROBOTS-TAG") == (("noai", 0), ("GPTBot: noindex", 2))
    assert values(HEADERS, "tdm") == ()


def test_combined():
    assert combined(HEADERS, "x-robots-tag") == "noai, GPTBot: noindex"
    assert combined(HEADERS, "link") is None
    assert combined((("A", ""),), "a") == ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], None),
        (["text/html"], "text/html"),
        ([" Text/HTML ; charset=x"], "text/html"),
        (["text/html", "application/xhtml+xml"], "application/xhtml+xml"),
        (["text/html", "nonsense"], "text/html"),
        (["", "text/"], None),
        (["text/html, text/plain"], None),
    ],
)
def test_media_type(fields, expected):
    assert media_type([("Content-Type", field) for field in fields]) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (None, None),
        ("text/html", None),
        ("text/html; charset=UTF-8", "utf-8"),
        ('text/html;charset="utf-8"', "utf-8"),
        ("text/html; Charset = 'koi8-r' ", "koi8-r"),
        ("text/html; charset=a; charset=b", "a"),
        ("text/html; charset=; charset=b", "b"),
        ('text/html; x="; charset=a"; charset=b', "b"),
        ('text/html; charset="a\\b', "ab"),
        ("charset=utf-8", None),
    ],
)  # fmt: skip
def test_charset(content_type, expected):
    assert charset(content_type) == expected


RSL = "application/rsl+xml"


@pytest.mark.parametrize(
    ("value", "links"),
    [
        ("", []),
        (", ,", []),
        ("<a>", [("a", (), 0, True)]),
        (
            f'<https://a.example/l.xml>; rel="license"; type="{RSL}"',
            [("https://a.example/l.xml", (("rel", "license"), ("type", RSL)), 0, True)],
        ),
        ("<a>; rel=x, <b>;rel=y", [("a", (("rel", "x"),), 0, True), ("b", (("rel", "y"),), 12, True)]),
        ("<a,b;c>; rel=x", [("a,b;c", (("rel", "x"),), 0, True)]),
        ('<a>; title="x, <y>; \\"z\\""; rel=q', [("a", (("title", 'x, <y>; "z"'), ("rel", "q")), 0, True)]),
        ("<a>;REL=x;nofollow", [("a", (("rel", "x"), ("nofollow", "")), 0, True)]),
        ("< a >", [("a", (), 0, True)]),
        ("<>; rel=x, <b>", [("", (("rel", "x"),), 0, True), ("b", (), 11, True)]),
        ("<a>; rel = x ; ; type=y", [("a", (("rel", "x"), ("type", "y")), 0, True)]),
        ("https://a.example/l; rel=license", [("https://a.example/l", (("rel", "license"),), 0, False)]),
        ("<a; rel=x", [("a; rel=x", (), 0, False)]),
        ('<a>; rel="x', [("a", (("rel", "x"),), 0, False)]),
        ('<a>; rel="x" junk; type=y, <b>', [("a", (("rel", "x"), ("type", "y")), 0, False), ("b", (), 27, True)]),
        ("<a> junk, <b>", [("a", (), 0, False), ("b", (), 10, True)]),
    ],
)
def test_links(value, links):
    assert [(link.target, link.params, link.offset, link.well_formed) for link in parse_links(value)] == links


def test_link_properties():
    (link,) = parse_links(f'<a>; rel="License  Alternate"; rel=next; type="{RSL.upper()}; q=1"')
    assert link.rel == ("license", "alternate")
    assert link.type == RSL
    assert link.param("rel") == "License  Alternate"
    assert link.param("title") is None
    assert (LinkValue("a", (), 0).rel, LinkValue("a", (), 0).type) == ((), None)


@given(st.text(alphabet='<>;,=" \\\tarel', max_size=60))
def test_links_never_raise_and_lie_in_order(value):
    offsets = [link.offset for link in parse_links(value)]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset < len(value) for offset in offsets)
    charset(value)
    media_type((("content-type", value),))


@pytest.mark.parametrize(
    "unit", ["<", "<a", "<a>;", '<a>;"', '<a>;x="', "<a>;x=\\", "a", ",", ";", " ", "=", "a b", "<a>,"]
)
def test_links_read_a_hostile_megabyte(unit):
    """Ends at all: with a pattern that gives back, some of these take hours."""
    assert isinstance(parse_links(unit * (1_000_000 // len(unit))), tuple)
    assert charset("a;" + unit * (1_000_000 // len(unit))) is None
