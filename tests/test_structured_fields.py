"""Structured fields: strictness, types, and the salvage of what is malformed."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.syntax.structured_fields import (
    MAX_BYTES,
    Bare,
    Dictionary,
    FieldList,
    InnerList,
    Item,
    Kind,
    Malformed,
    parse_dictionary,
    parse_list,
    salvage,
)

N = Item(Kind.TOKEN, "n")
Y = Item(Kind.TOKEN, "y")
YES = Bare(Kind.BOOLEAN, value=True)


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        ("", ()),
        ("train-ai=n", (("train-ai", N),)),
        (b" \ttrain-ai=n\t ", (("train-ai", N),)),
        ("train-ai=n,\tsearch=y", (("train-ai", N), ("search", Y))),
        ("train-ai=y, search=y, train-ai=n", (("train-ai", N), ("search", Y))),
        ("a", (("a", Item(Kind.BOOLEAN, value=True)),)),
        ("a=?0", (("a", Item(Kind.BOOLEAN, value=False)),)),
        ('a="n"', (("a", Item(Kind.STRING, "n")),)),
        ("a=1", (("a", Item(Kind.INTEGER, 1)),)),
        ("a=-1.50", (("a", Item(Kind.DECIMAL, Decimal("-1.50"))),)),
        ("a=:bg==:", (("a", Item(Kind.BYTES, b"n")),)),
        ("a=@-1", (("a", Item(Kind.DATE, -1)),)),
        ('a=%"%c3%a9"', (("a", Item(Kind.DISPLAY_STRING, "é")),)),
        ("a=(n y;q);x", (("a", InnerList((N, Item(Kind.TOKEN, "y", (("q", YES),))), (("x", YES),))),)),
        ("a=n;exceptions=cc-cr", (("a", Item(Kind.TOKEN, "n", (("exceptions", Bare(Kind.TOKEN, "cc-cr")),))),)),
        ("a=n;q=1;q=2", (("a", Item(Kind.TOKEN, "n", (("q", Bare(Kind.INTEGER, 2)),))),)),
    ],
)  # fmt: skip
def test_dictionary(raw, members):
    parsed = parse_dictionary(raw)
    assert isinstance(parsed, Dictionary)
    assert parsed.members == members


def test_true_is_no_integer_and_one_no_boolean():
    """Python holds True == 1; the kind keeps them apart."""
    assert parse_dictionary("a").get("a") != parse_dictionary("a=1").get("a")
    assert parse_dictionary('a="n"').get("a") != parse_dictionary("a=n").get("a")


def test_is_token():
    assert N.is_token("n")
    assert not N.is_token("N")
    assert not Item(Kind.STRING, "n").is_token("n")


def test_duplicates_are_named_for_each_repetition():
    assert parse_dictionary("a=1, b, a=2, a=3").duplicates == ("a", "a")
    assert parse_dictionary("a=1;q;q, b").duplicates == ()


def test_get_finds_nothing_under_another_case():
    assert parse_dictionary("a=n").get("A") is None


@pytest.mark.parametrize(
    ("raw", "offset"),
    [
        ("Train-AI=n", 0),
        ("  Train-AI=n", 2),
        ("train-ai=n, Search=y", 12),
        ("train-ai = n", 9),
        ("train-ai=n,", 11),
        ("*.pdf train-ai=n", 6),
        ("a=", 2),
        ("a=é", 2),
        (b"a=n\xff", 3),
        ("a=n\ud800", 3),
        ("a=@99999999999999", 17),
        ('a="\\x"', 4),
        ("a=n b=y", 4),
        ("a=(n", 4),
        (b"a=" + b"n" * MAX_BYTES, MAX_BYTES),
    ],
)
def test_malformed_dictionary(raw, offset):
    parsed = parse_dictionary(raw)
    assert isinstance(parsed, Malformed)
    assert (parsed.offset, bool(parsed.reason)) == (offset, True)


def test_robots_tag_list():
    """`Robots-Tag` of draft-illyes-repext-03: agents are the items, rules their parameters."""
    parsed = parse_list("*;nosnippet, ExampleBot;noindex;max-age=3, GPTBot")
    assert parsed == FieldList((
        Item(Kind.TOKEN, "*", (("nosnippet", YES),)),
        Item(Kind.TOKEN, "ExampleBot", (("noindex", YES), ("max-age", Bare(Kind.INTEGER, 3)))),
        Item(Kind.TOKEN, "GPTBot"),
    ))  # fmt: skip


@pytest.mark.parametrize("raw", ["a,", "a b", "a;", ", a", "max-snippet:0;A"])
def test_malformed_list(raw):
    assert isinstance(parse_list(raw), Malformed)


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        ("Train-AI=n", [("train-ai", "n")]),
        ("train-ai=?0", [("train-ai", "?0")]),
        ('train-ai=y, train-ai, search=n, search="n"', [("train-ai", "y"), ("search", "n"), ("search", "n")]),
        ("train-ai = n", [("train-ai", "n")]),
        ("*.pdf train-ai=n", [("train-ai", "n")]),
        ("train-ai: No; x", [("train-ai", "No")]),
        ("train-ai=“n”", [("train-ai", "n")]),
        ("train-ai='n', search=y", [("train-ai", "n"), ("search", "y")]),
        ('a="x, b=n"', [("a", "x, b=n")]),
        ('a="n', [("a", "n")]),
        ("a=", [("a", "")]),
        ("a=(n)", [("a", "(n)")]),
        (b"\xff a=n", [("a", "n")]),
        ("n", []),
        ("", []),
        ("ai_train=n\tai.use=n", [("ai_train", "n"), ("ai.use", "n")]),
    ],
)
def test_salvage(raw, pairs):
    assert list(salvage(raw)) == pairs


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), st.text(alphabet='abn=,;?01" ():@%*-.é\t', max_size=60)))
def test_nothing_raises(raw):
    for parsed in (parse_dictionary(raw), parse_list(raw)):
        size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
        assert not isinstance(parsed, Malformed) or 0 <= parsed.offset <= size
    salvage(raw)


keys = st.from_regex(r"\A[a-z*][a-z0-9_.*-]{0,8}\Z")
tokens = st.from_regex(r"\A[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,8}\Z")


@given(st.dictionaries(keys, tokens, max_size=6))
def test_salvage_finds_what_the_strict_reader_finds(pairs):
    """The lenient reading is no other reading: of a well-formed field of plain tokens it gives the same."""
    raw = ", ".join(f"{key}={value}" for key, value in pairs.items())
    strict = parse_dictionary(raw)
    assert [(key, item.value) for key, item in strict.members] == list(pairs.items())
    quoted = [(key, value.strip("'")) for key, value in pairs.items()]
    assert list(salvage(raw)) == quoted


@pytest.mark.parametrize("unit", ["a", "a ", "a=", '"', 'a="', "=", " ", "-", "a;", "'", "a:"])
def test_salvage_reads_a_hostile_megabyte(unit):
    """Ends at all: with a pattern that gives back, each of these takes hours."""
    assert isinstance(salvage(unit * (1_000_000 // len(unit))), tuple)


def test_values_can_be_written_to_the_log():
    item = parse_dictionary("a=n").get("a")
    assert json.dumps([item.kind, item.value]) == '["token", "n"]'
