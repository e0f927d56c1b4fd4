import numpy as np
import pyarrow as pa
import pytest

from optout.audit import locate as locate_module
from optout.audit.judge import KERNEL
from optout.audit.locate import NOWHERE, Locator
from optout.urls import match_target, origin_of


@pytest.fixture(params=[None, KERNEL], ids=["python", "compiled"])
def locate(request):
    """Locate as one of the tiers does."""
    if request.param is None and request.param_index:
        pytest.skip("no compiled tier on this machine")
    return lambda column: Locator(request.param).locate(column)


def target(located, row):
    """What path rules are compared with in a row, by way of what the tier keeps of it."""
    if located.odd[row]:
        return match_target(located.url(row))
    if located.starts is not None:
        return located.urls[row].as_py().encode()[located.starts[row] :].decode()
    return located.lines(np.array([row]), np.array([0, 1]))[0]


ORDINARY = [
    "https://example.com/a/b?c",
    "http://EXAMPLE.com:80/",
    "https://example.com:8443/x#y",
    "https://user:secret@example.com/p",
    "https://bücher.example/straße",
    "https://example.com?query",
    "https://example.com#fragment",
    "https://example.com",
    "  https://example.com/edge ",
    "https://exa\nmple.com/broken\tline",
    "https://example.com/%7euser/%e9?*$",
    "https://[2001:db8::1]/six",
    "https://example.com./dot",
    "ftp://example.com/file",
    "https://example.com//double",
]
HOPELESS = [
    "",
    " ",
    "/path",
    "mailto:someone@example.com",
    "https://",
    "https:///path",
    "http://a b/",
    "javascript:x",
    "x" * 70_000,
]


@pytest.mark.parametrize("url", ORDINARY)
def test_origin_and_target_are_those_of_the_engine(locate, url):
    located = locate(pa.array([url]))
    assert located.origins[located.codes[0]] == origin_of(url).text
    assert target(located, 0) == match_target(url)


def test_many_urls_together_are_each_of_them_alone(locate):
    located = locate(pa.array(ORDINARY * 3 + HOPELESS))
    assert [located.origins[code] for code in located.codes[: len(ORDINARY)]] == [
        origin_of(url).text for url in ORDINARY
    ]
    assert [target(located, row) for row in range(len(ORDINARY))] == [match_target(url) for url in ORDINARY]
    assert (located.codes[3 * len(ORDINARY) :] == NOWHERE).all()


@pytest.mark.parametrize("url", HOPELESS)
def test_what_names_no_origin_stays_a_row(locate, url):
    assert locate(pa.array([url])).codes.tolist() == [NOWHERE]


@pytest.mark.parametrize(
    ("url", "judged"), [("www.example.com/a", "https://www.example.com/a"), ("//example.com", "https://example.com")]
)
def test_a_url_without_a_scheme_is_taken_for_https(locate, url, judged):
    located = locate(pa.array([url]))
    assert located.origins == ["https://" + judged[8:].split("/")[0]]
    assert located.url(0) == judged
    assert target(located, 0) == match_target(judged)


def test_bytes_that_are_not_utf8_are_judged_by_their_octets(locate):
    located = locate(pa.array([b"https://example.com/\xe9", None, b"https://example.com/a"], pa.binary()))
    assert located.codes.tolist() == [0, NOWHERE, 0]
    assert [target(located, row) for row in (0, 2)] == ["/%E9", "/a"]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_type_of_text_column_is_read(locate, kind):
    located = locate(pa.chunked_array([pa.array(["https://a.example/x", None], pa.string()).cast(kind)]))
    assert located.codes.tolist() == [0, NOWHERE]


def test_numbers_in_the_url_column_are_no_urls(locate):
    assert locate(pa.array([1, 2])).codes.tolist() == [NOWHERE, NOWHERE]


def test_no_rows_are_no_rows(locate):
    assert locate(pa.array([], pa.string())).codes.tolist() == []
    assert locate(pa.array([None], pa.null())).codes.tolist() == [NOWHERE]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_the_targets_of_rows_are_put_together_as_they_are_asked_for(kind):
    long = "w" * 50
    urls = ["https://b.example/", "https://a.example/x/y?z", None, "https://a.example//", f"https://a.example/{long}"]
    located = Locator().locate(pa.array(["https://left.example/out", *urls], pa.string()).cast(kind)[1:])
    assert not located.odd[[0, 1, 3, 4]].any()
    assert located.lines(np.array([1, 4, 3, 0]), np.array([0, 3, 4])) == [f"/x/y?z\n/{long}\n//", "/"]
    assert located.lines(np.array([], int), np.array([0])) == []


def test_rows_are_cut_into_pieces_of_bounded_size(monkeypatch):
    monkeypatch.setattr(locate_module, "PIECE", 100)
    located = Locator().locate(pa.array([f"https://a.example/{'x' * length}" for length in (1, 50, 300, 0, 0, 0, 70)]))
    rows = np.array([6, 0, 5, 4, 3, 2, 1])
    pieces = located.pieces(rows)
    assert np.concatenate([rows[piece] for piece in pieces]).tolist() == rows.tolist()
    assert len(pieces) > 2
    assert all(sum(len(url) for url in located.several(rows[piece][:-1])) <= 200 for piece in pieces)
    assert located.pieces(rows[:0]) == []
