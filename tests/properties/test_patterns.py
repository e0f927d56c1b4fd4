"""What holds for every pattern, table and target."""

import re

from hypothesis import given
from hypothesis import strategies as st

from optout.syntax.patterns import NO_MATCH, Pattern, PatternTable, normalise, specificity_order
from optout.urls import normalise_octets, normalise_target

PARTS = st.sampled_from(["/", "a", "b", "*", "$", "%", "%61", "%2F", "%2f", "é", "?", " "])
TEXTS = st.lists(PARTS, max_size=9).map("".join)
ANYTHING = st.text(max_size=30)
TARGETS = TEXTS.map("/".__add__).map(normalise_target)
PATTERNS = st.builds(Pattern, st.one_of(TEXTS, TEXTS.map("/".__add__)))


def naive(patterns: list[Pattern], target: str) -> int:
    return next((index for index, pattern in enumerate(patterns) if pattern.matches(target)), NO_MATCH)


def by_definition(pattern: str, target: str) -> bool:
    """The language of RFC 9309 section 2.2.3 by recursion on its definition, which is slow and plainly right."""
    if not pattern:
        return True
    if pattern == "$":
        return not target
    if pattern[0] == "*":
        return any(by_definition(pattern[1:], target[at:]) for at in range(len(target) + 1))
    return target[:1] == pattern[0] and by_definition(pattern[1:], target[1:])


@given(PATTERNS, TARGETS)
def test_a_match_is_what_the_definition_says(pattern, target):
    assert pattern.matches(target) == by_definition(pattern.normal, target)


@given(st.lists(PATTERNS, max_size=20), TARGETS)
def test_a_table_gives_what_a_scan_gives(patterns, target):
    assert PatternTable(patterns).first(target) == naive(patterns, target)


@given(st.lists(st.builds("/*{}*{}".format, st.text("abc", min_size=1, max_size=6), TEXTS), max_size=150), TEXTS)
def test_a_table_of_many_wildcards_gives_what_a_scan_gives_however_often_it_is_asked(texts, rest):
    patterns = [Pattern(text) for text in texts]
    table = PatternTable(patterns)
    target = normalise_target("/abcabbacca" + rest)
    want = naive(patterns, target)
    assert {table.first(target) for _ in range(40)} == {want}


@given(st.lists(PATTERNS, min_size=1, max_size=60), TARGETS)
def test_filing_changes_no_answer(patterns, target):
    table = PatternTable(patterns)
    for bucket in table._buckets:
        bucket._file()
    assert table.first(target) == naive(patterns, target)


ESCAPED = st.lists(st.sampled_from([*"0123456789ABCDEFabcdef", "%", "%", "%", "g", "~", "é", " "]), max_size=12)


def octets_by_definition(text: str) -> bytes:
    """The octets that a text stands for, each in its normal form, found one after the other."""
    if not text:
        return b""
    escape = re.match("%([0-9A-Fa-f]{2})", text)
    octets = bytes.fromhex(escape[1]) if escape else text[0].encode()
    unreserved = re.fullmatch(b"[A-Za-z0-9._~-]", octets)
    reserved = not escape and re.fullmatch(b"[!-~]", octets) and octets != b"%"
    shown = octets if unreserved or reserved else "".join(f"%{octet:02X}" for octet in octets).encode()
    return shown + octets_by_definition(text[3 if escape else 1 :])


@given(ESCAPED.map("".join))
def test_the_normal_form_is_that_of_each_octet(text):
    assert normalise_octets(text).encode() == octets_by_definition(text)


def test_every_escape_has_its_normal_form():
    for octet in range(256):
        for digits in (f"{octet:02x}", f"{octet:02X}", f"{octet:02X}".swapcase()):
            for text in (f"a%{digits}b", f"é%{digits}é"):
                assert normalise_octets(text).encode() == octets_by_definition(text)


@given(ANYTHING)
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)
    assert normalise_octets(normalise_octets(text)) == normalise_octets(text)
    assert normalise_target(normalise_target(text)) == normalise_target(text)


@given(ANYTHING)
def test_the_normal_form_is_printable_ascii_without_spaces(text):
    assert all("!" <= char <= "~" for char in normalise(text))


@given(st.text(st.characters(exclude_characters="*$", exclude_categories=["Cs"]), max_size=20))
def test_a_path_matches_the_pattern_that_spells_it(text):
    assert Pattern("/" + text).matches(normalise_target("/" + text))
    assert Pattern("/" + text + "$").matches(normalise_target("/" + text))


@given(ANYTHING)
def test_a_target_written_literally_matches_itself(text):
    target = normalise_target("/" + text)
    assert Pattern(target + "$").matches(target)


@given(st.lists(PATTERNS, max_size=12), st.data())
def test_the_order_of_specificity_never_puts_a_shorter_pattern_first(table, data):
    tie = data.draw(st.lists(st.integers(0, 1), min_size=len(table), max_size=len(table)))
    order = specificity_order(table, tie)
    assert sorted(order) == list(range(len(table)))
    keys = [(-table[index].octets, tie[index], index) for index in order]
    assert keys == sorted(keys)
