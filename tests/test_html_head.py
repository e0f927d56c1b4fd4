"""What is read from a page: structure, hiding places, attributes, encodings, cost."""

import json
import re
import sys
from pathlib import Path

import pytest

from optout.syntax import encoding, html_head, html_search, html_tokens
from optout.syntax.html_head import DEFAULT_WORDS, InlineScript, Link, Meta, read_head
from optout.syntax.html_search import compile_words, openings
from optout.syntax.html_tokens import tokens

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "vectors/html_head.json").read_text(encoding="utf-8"))
SHARED = HERE.parents[1] / "shared"
META = b'<meta name="robots" content="noai">'
UNCOUNTED = frozenset(("base", "language", "encoding"))


def as_bytes(vector):
    return vector["html"].encode(vector.get("write_as", "utf-8"))


def as_data(head):
    def meta(item):
        whole = [item.name, item.content, item.in_head, item.parent, item.attribute]
        usual = [None, None, None, "head" if item.in_head else "body", "name"]
        while whole[-1] == usual[-1] and len(whole) > 3:
            whole.pop()
            usual.pop()
        return whole

    return {
        "metas": [meta(item) for item in head.metas],
        "links": [[list(item.rel), item.type, item.href, item.in_head, item.parent] for item in head.links],
        "scripts": [[item.type, item.text, item.in_head, item.parent] for item in head.scripts],
        "problems": [fault.code for fault in head.problems],
        "base": head.base_href,
        "language": head.language,
        "encoding": head.encoding,
    }


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_vector(vector):
    found = as_data(read_head(as_bytes(vector), vector.get("content_type")))
    expected = {"metas": [], "links": [], "scripts": [], "problems": []} | vector["expect"]
    assert {key: value for key, value in found.items() if key in expected or key not in UNCOUNTED} == expected


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_offsets_point_at_the_tags_in_the_original_bytes(vector):
    body = as_bytes(vector)
    head = read_head(body, vector.get("content_type"))
    codec = vector.get("write_as", "utf-8")
    for name, items in {"meta": head.metas, "link": head.links, "script": head.scripts}.items():
        for item in items:
            assert body[item.offset :].decode(codec, "replace").lower().startswith(f"<{name}")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_what_is_skipped_early_is_left_out_later_too(vector):
    body = as_bytes(vector)
    everything = read_everything(body, vector.get("content_type"))
    found = read_head(body, vector.get("content_type"))
    assert (found.metas, found.links, found.scripts) == (everything.metas, everything.links, everything.scripts)


def read_everything(body, content_type, words=DEFAULT_WORDS):
    page = html_head._open(html_head._Key(body, content_type, len(body)))
    reader = html_head._Reader(page, compile_words(words), openings(page.data))
    for token in tokens(page.data, page.start):
        reader.feed(token)
    return reader.head(())


def test_vectors_have_one_id_and_one_reason_each():
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)
    assert all(vector["why"].endswith((".", ">")) for vector in VECTORS)


def test_head_ended_early_names_the_byte_that_ended_it():
    page = b"<head><title>t</title> oops" + META + b"</head>"
    assert read_head(page).problems == (html_head.Fault("html.head-ended-early", page.index(b"oops")),)


def test_truncation_is_reported_and_nothing_after_the_limit_is_read():
    page = b"<head>" + META + b" " * 100 + META
    head = read_head(page, limit=60)
    assert [meta.offset for meta in head.metas] == [6]
    assert head.problems == (html_head.Fault("html.truncated", 60),)
    assert read_head(page, limit=len(page)).problems == ()


def test_words_are_the_callers():
    page = b'<meta name="ccbot" content="nofollow"><meta name="robots" content="noai">'
    assert read_head(page, words=frozenset((b"ccbot",))).metas == (Meta("ccbot", "nofollow", 0),)
    assert read_head(page, words=frozenset()).metas == ()


def test_words_that_share_a_beginning_are_all_found():
    words = frozenset((b"no", b"noai", b"noarchive", b"tdm"))
    for word in words:
        assert read_head(b"<meta name=x content=" + word + b">", words=words).metas


def test_a_tag_late_in_a_large_head_is_found():
    filler = b"<script>" + b"if (a < b && b > c) { x('<p>') }\n" * 6000 + b"</script>"
    page = b"<html><head>" + filler + META + b"</head><body>" + b"<p>x</p>" * 1000
    (meta,) = read_head(page).metas
    assert meta.in_head
    assert meta.offset == 12 + len(filler) > 190_000


def test_utf16_offsets_count_surrogate_pairs_as_four_bytes():
    page = "\ufeff<title>\U0001f600é</title>".encode("utf-16-le")
    assert read_head(page + META.decode().encode("utf-16-le")).metas[0].offset == len(page)


def test_deep_nesting_is_bounded():
    head = read_head(b"<body>" + b"<div>" * 2000 + META + b"</div>" * 5)
    assert head.metas == (Meta("robots", "noai", 6 + 2000 * 5, in_head=False, parent="div"),)


def test_defaults_of_the_elements_are_those_of_the_head():
    assert (Link((), None, "", 0).parent, InlineScript("t", "", 0).in_head) == ("head", True)


def test_labels_are_those_of_the_encoding_standard():
    labels = pytest.importorskip("webencodings.labels", reason="html5lib's table of labels is not installed")
    assert {label: encoding.lookup(label) for label in labels.LABELS} == labels.LABELS


def test_every_encoding_decodes():
    for name in set(encoding._LABELS.values()):
        assert encoding.decode(b"<\x00a\xff\x80", name) is not None
        assert encoding.encoded_length("ab", name) >= 2


HOSTILE = {
    "angle": b"<",
    "comment": b"<!--",
    "meta": b"<meta ",
    "quote": b'<meta x="',
    "apostrophe": b"<meta x='",
    "template": b"<template>",
    "end tag": b"</template>",
    "attribute": b"a",
    "attributes": b"a=b ",
    "script": b"<script><!--<script>",
    "title": b"<title></",
    "div": b"<div></p>",
    "svg": b"<svg><![CDATA[",
    "reference": b"&#110;",
    "dash": b"<!--->-",
    "equals": b"<a =",
}


def steps(body):
    """How many Python and C functions are called: the work that does not happen inside one pattern match."""
    count = 0

    def profile(*_):
        nonlocal count
        count += 1

    sys.setprofile(profile)
    try:
        read_head(body)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("opening", [b'<meta name="robots" content="', META], ids=["in a value", "after a tag"])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_steps_grow_no_faster_than_the_page(unit, opening):
    small, large = (steps(opening + unit * (size // len(unit)) + b'">' + META) for size in (8_192, 32_768))
    assert large <= 4.5 * small + 200


def greedy_repetitions(parsed):
    """The repetitions of a parsed pattern that may give back what they took, more than one character of it."""
    for operator, argument in parsed:
        if str(operator) in {"MAX_REPEAT", "MIN_REPEAT"} and argument[1] > 1:
            yield argument
        for part in argument if isinstance(argument, (tuple, list)) else ():
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, re._parser.SubPattern):
                    yield from greedy_repetitions(inner)


def test_every_repetition_in_the_patterns_of_a_page_is_possessive():
    """What happens inside a pattern match is linear because no repetition that may be long ever gives back."""
    places = [vars(html_head), vars(html_search), vars(html_tokens), html_tokens._RAW_END]
    patterns = [value for place in places for value in place.values() if isinstance(value, re.Pattern)]
    assert len(patterns) > 12
    for pattern in patterns:
        assert not list(greedy_repetitions(re._parser.parse(pattern.pattern))), pattern.pattern
    assert list(greedy_repetitions(re._parser.parse("(?:a|(b+))")))


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_no_faster_than_the_page(unit):
    import time  # noqa: PLC0415

    def seconds(size):
        body = META + unit * (size // len(unit)) + META
        start = time.process_time()
        read_head(body, limit=len(body))
        return time.process_time() - start

    assert seconds(8 << 20) < 24 * min(seconds(1 << 20) for _ in range(3)) + 0.5


def corpus_pages():
    folder = SHARED / "corpus/html_heads"
    if not folder.exists():
        pytest.skip("the corpus of real page heads is not here")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.html"))}


def test_real_pages_with_a_reservation_all_show_it():
    pages = corpus_pages()
    words = DEFAULT_WORDS | {b"ccbot", b"ai-"}
    silent = {name for name, body in pages.items() if not read_head(body, "text/html", words=words).metas}
    assert len(pages) > 15
    assert silent == set()
