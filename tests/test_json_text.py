"""The lenient reader of JSON: what it reads, where that stands, and what it calls a fault."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.syntax import json_text
from optout.syntax.json_text import Node, Object


def plain(node: Node | None):
    """The value as Python's own parser would give it."""
    match node.value if node else None:
        case Object(members):
            return {name: plain(value) for name, value in members}
        case tuple() as items:
            return [plain(item) for item in items]
        case scalar:
            return scalar


# Beyond these, readers of JSON need not agree (RFC 8259 section 6).
numbers = st.integers(1 - 2**53, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_is_read_as_json(value, indent, ascii_only):
    document = json_text.parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
    assert document.well_formed
    assert plain(document.root) == value


@given(st.binary(max_size=80) | st.text("[]{},:\"'\\/#*1ea\n ", max_size=60).map(str.encode))
def test_anything_is_read_without_an_exception_and_places_lie_inside(body):
    document = json_text.parse(body)

    def check(node: Node) -> None:
        assert 0 <= node.start <= node.end <= len(document.body)
        assert 1 <= node.line <= document.body.count(b"\n") + document.body.count(b"\r") + 1
        if isinstance(node.value, Object):
            for _, child in node.value.members:
                check(child)
        elif isinstance(node.value, tuple):
            for child in node.value:
                check(child)

    if document.root:
        check(document.root)


@given(st.text("[]{},:\"'/#1e.tru\n ", max_size=40))
def test_well_formed_means_what_pythons_parser_says(text):
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        assert not json_text.parse(text.encode()).well_formed
    else:
        assert json_text.parse(text.encode()).well_formed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2,]", [1, 2]),
        ("[1 2]", [1, 2]),
        ("[,1]", [1]),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ("{'a': 'x', b: True}", {"a": "x", "b": "True"}),
        ('{"a" 1}', {"a": 1}),
        ("/* c */ [1] // d\n# e", [1]),
        ("[1, [2, {", [1, [2, {}]]),
        ('[{"a": [1}, 2]', [{"a": [1]}, 2]),
        ('["a\nb"]', ["a\nb"]),
        ("[01, NaN, .5]", ["01", "NaN", ".5"]),
        ("[1] [2]", [1]),
        ('["\\x"]', ["\\x"]),
        ('["it is open', [""]),
    ],
)
def test_what_is_no_json_is_read_as_far_as_it_goes(text, value):
    document = json_text.parse(text.encode())
    assert plain(document.root) == value
    assert not document.well_formed


def test_repeated_names_are_kept():
    rule = json_text.parse(b'{"a": 1, "a": 2}').root.value
    assert [node.value for node in rule.all("a")] == [1, 2]
    assert rule.get("a").value == 2
    assert rule.get("b") is None


def test_places_count_bytes_and_every_kind_of_line_end():
    document = json_text.parse('["é",\r\n 1,\r 2,\n 3]'.encode())
    assert [(node.line, node.start) for node in document.root.value] == [(1, 1), (2, 9), (3, 13), (4, 17)]
    assert document.text(document.root) == '["é", 1, 2, 3]'


def test_marks_and_other_encodings():
    marked = json_text.parse(b"\xef\xbb\xbf[1]")
    assert [fault.code for fault in marked.faults] == ["bom"]
    assert marked.well_formed
    wide = json_text.parse('["é"]'.encode("utf-16"))
    assert plain(wide.root) == ["é"]
    assert not wide.well_formed
    latin = json_text.parse(b'["\xe9"]')
    assert [fault.code for fault in latin.faults] == ["encoding"]


def test_a_lone_surrogate_can_be_written_out_again():
    assert plain(json_text.parse(b'"\\ud800"').root).encode("utf-8")


def test_depth_and_length_are_bounded():
    deep = json_text.parse(b"[" * 100_000)
    assert deep.root is None
    assert deep.faults[0].code == "too-deep"
    long = json_text.parse(b'["' + b"x" * json_text.MAX_BYTES)
    assert {fault.code for fault in long.faults} == {"too-long", "unclosed"}
    assert json_text.parse(b"[" + b"9" * 5000 + b"]").root.value[0].value == float("inf")
    assert len(json_text.parse(b"{:" * 5000).faults) <= 51
