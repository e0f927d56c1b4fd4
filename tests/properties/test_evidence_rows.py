"""Whatever a row holds within the canonical profile, it keeps its bytes through JSON, Parquet and back."""

from __future__ import annotations

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from optout.errors import EvidenceError
from optout.evidence import segment
from optout.evidence.canonical import decode, encode
from optout.evidence.rows import FIELDS, Kind
from optout.evidence.salts import from_json, whole
from optout.evidence.tlog import Tree

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)


def _field(kind: Kind) -> st.SearchStrategy:
    fitting = {Kind.TEXT: TEXT, Kind.INTEGER: NUMBERS, Kind.JSON: VALUES}[kind]
    return st.one_of(fitting, VALUES)


NAMED = {name: _field(kind) for name, kind in FIELDS.items() if name not in {"seq", "host", "url"}}
ROWS = st.builds(
    lambda known, other, host, url: {**other, **known, "host": host, **({"url": url} if url is not None else {})},
    st.fixed_dictionaries({}, optional=NAMED),
    st.dictionaries(KEYS.filter(lambda key: key not in {*FIELDS, "url_c"}), VALUES, max_size=2),
    TEXT,
    st.none() | TEXT,
)  # fmt: skip


@given(VALUES)
@settings(max_examples=60)
def test_our_canonical_form_is_that_of_rfc_8785(value: object) -> None:
    assert encode(value) == rfc8785.dumps(value)
    assert decode(encode(value)) == value


@given(
    st.floats()
    | st.integers(min_value=2**53)
    | st.binary()
    | st.dictionaries(TEXT.filter(lambda t: not t.isascii()), st.none(), min_size=1)
)
def test_what_json_libraries_write_differently_is_refused(value: object) -> None:
    with pytest.raises(EvidenceError):
        encode({"nested": [value]})


@given(st.lists(ROWS, min_size=1, max_size=4))
@settings(max_examples=25)
def test_a_sealed_row_is_the_canonical_form_of_what_was_logged(rows: list[dict]) -> None:
    rows = [{**row, "seq": number} for number, row in enumerate(rows)]
    salts = whole(b"0" * 16, len(rows))
    sealed = segment.sealed(segment.table_of(rows), salts)
    lines = segment.preimages(sealed.table, salts.first(2 * len(rows))[1::2])
    by_seq = {row["seq"]: row for row in rows}
    for at, (line, back) in enumerate(zip(lines, segment.rows_of(sealed.table), strict=True)):
        logged = by_seq[back["seq"]]
        expected = {name: value for name, value in logged.items() if name != "url"}
        if "url" in logged:
            expected["url_c"] = segment.commitment(logged["url"], salts.salt(2 * at + 1)).hex()
        assert line == rfc8785.dumps(expected)
        assert back == logged
        assert sealed.leaves[at] == segment.row_leaf(salts.salt(2 * at), line, logged["host"])
    assert Tree(sealed.leaves).root == sealed.tree.root
    assert [row["host"] for row in segment.rows_of(sealed.table)] == sorted(row["host"] for row in rows)


@given(st.lists(ROWS, min_size=1, max_size=4))
@settings(max_examples=10)
def test_a_segment_reads_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    path = tmp_path_factory.mktemp("segment") / "n-0.parquet"
    salts = whole(b"1" * 16, len(rows))
    sealed = segment.sealed(segment.table_of([{**row, "seq": number} for number, row in enumerate(rows)]), salts)
    path.write_bytes(segment.file_bytes(sealed.table))
    table = segment.read(path)
    assert segment.derive(table, salts) == list(sealed.leaves)
    assert list(segment.rows_of(table)) == list(segment.rows_of(sealed.table))
    assert list(segment.row_faults(table, sealed.leaves, 0)) == []


@given(st.integers(1, 70), st.data())
def test_a_destroyed_salt_cannot_be_derived_and_all_others_can(rows: int, data: st.DataObject) -> None:
    salts = whole(b"2" * 16, rows)
    every = salts.first(2 * rows)
    gone = data.draw(st.sets(st.integers(0, 2 * rows - 1), max_size=5))
    left = from_json(orjson.loads(orjson.dumps(salts.without(gone).json)))
    assert left.first(2 * rows) == [None if number in gone else salt for number, salt in enumerate(every)]
    assert [left.salt(number) for number in range(2 * rows)] == left.first(2 * rows)
    assert len(set(every)) == 2 * rows
