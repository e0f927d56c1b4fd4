"""The store of dated origin states: what comes out is what was there at the time, for every reader."""

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from store_servers import wipe

from optout.acquisition.history import REDIRECT_NOT_FOLLOWED, Store, StoreError
from optout.acquisition.stores import open_store
from optout.model import ASSET, RESOURCE, Availability, Exchange

ORIGIN = "https://example.com"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TYPE = (("Content-Type", "text/plain"),)


def robots(body=b"User-agent: *\nDisallow:\n", at=NOON, origin=ORIGIN, **fields):
    fields = {"status": 200, "headers": TYPE, **fields}
    return Exchange(f"{origin}/robots.txt", "/robots.txt", body=body, fetched_at=at, **fields)


def missing(path, at=NOON, origin=ORIGIN):
    return Exchange(origin + path, path, status=404, headers=TYPE, body=b"<h1>none</h1>", fetched_at=at)


@pytest.fixture(params=["file", "redis", "postgres"])
def address(request, tmp_path):
    """Where an empty store may be made, for every kind of backend."""
    if request.param == "file":
        return str(tmp_path / "store")
    server = request.getfixturevalue(f"{request.param}_store")
    wipe(server.address)
    return server.address


@pytest.fixture
def store(address):
    with open_store(address, create=True) as store:
        yield store


@pytest.fixture
def local(tmp_path):
    with Store.open(tmp_path / "store", create=True) as store:
        yield store


def bodies(state):
    return [exchange.body for exchange in state.exchanges]


def test_an_exchange_comes_back_as_it_was(store):
    store.put([robots(truncated=True, redirects=("https://www.example.com/robots.txt",))])
    (exchange,) = store.state(ORIGIN, None).exchanges
    assert exchange == robots(truncated=True, redirects=("https://www.example.com/robots.txt",))


def test_a_failure_comes_back_as_a_failure(store):
    store.put([Exchange(f"{ORIGIN}/robots.txt", "/robots.txt", error="timeout", fetched_at=NOON)])
    (exchange,) = store.state(ORIGIN, None).exchanges
    assert exchange.error == "timeout"
    assert exchange.availability is Availability.UNREACHABLE


def test_header_fields_that_only_this_answer_had_are_left_out(store):
    store.put([robots(headers=(*TYPE, ("Date", "today"), ("Content-Usage", "train-ai=n"), ("Set-Cookie", "a=b")))])
    (exchange,) = store.state(ORIGIN, None).exchanges
    assert exchange.headers == (*TYPE, ("Content-Usage", "train-ai=n"))


def test_octets_that_are_no_text_survive_in_header_fields_and_urls(store):
    document = Exchange(
        "https://example.com/\udc80", "tdm-policy", status=200, headers=(("Content-Type", "\udcff"),), fetched_at=NOON
    )
    store.put([document])
    assert store.state(ORIGIN, None).exchanges == (document,)


def test_bodies_of_errors_are_not_kept(store):
    store.put([missing("/ai.txt"), robots(b"Disallow: /", status=503)])
    assert bodies(store.state(ORIGIN, None)) == [b"", b""]


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (NOON - timedelta(microseconds=1), None),
        (NOON, [b"one"]),
        (NOON + DAY - timedelta(microseconds=1), [b"one"]),
        (NOON + DAY, [b"two"]),
        (None, [b"three"]),
    ],
)
def test_a_state_is_the_last_capture_at_or_before_its_time(store, as_of, expected):
    store.put([robots(body, NOON + number * DAY) for number, body in enumerate([b"one", b"two", b"three"])])
    state = store.state(ORIGIN, as_of)
    assert (state and bodies(state)) == expected


def test_each_file_has_its_own_last_capture(store):
    store.put([robots(b"old"), missing("/ai.txt"), robots(b"new", NOON + DAY)])
    state = store.state(ORIGIN, NOON + 2 * DAY)
    assert [(exchange.role, exchange.body) for exchange in state.exchanges] == [
        ("/robots.txt", b"new"),
        ("/ai.txt", b""),
    ]
    assert state.captured_at == NOON + DAY


def test_a_later_failure_is_not_hidden_by_an_earlier_success(store):
    store.put([robots(), robots(b"", NOON + DAY, status=None, headers=(), error="timeout")])
    assert store.state(ORIGIN, None).exchanges[0].availability is Availability.UNREACHABLE


def test_a_state_tells_until_when_it_held(store):
    store.put([robots(b"one"), robots(b"one", NOON + DAY), robots(b"two", NOON + 2 * DAY)])
    first, second, last = store.states(ORIGIN)
    assert (first.next_at, first.unchanged) == (NOON + DAY, True)
    assert (second.next_at, second.unchanged) == (NOON + 2 * DAY, False)
    assert (last.next_at, last.unchanged) == (None, False)


def test_captures_of_one_visit_are_one_dated_state(store):
    store.put([robots(), missing("/ai.txt", NOON + timedelta(seconds=2)), robots(b"new", NOON + DAY)])
    assert [len(state.exchanges) for state in store.states(ORIGIN)] == [2, 2]


def test_the_same_file_seen_twice_in_a_minute_is_two_states(store):
    store.put([robots(b"one"), robots(b"two", NOON + timedelta(seconds=30))])
    assert [bodies(state) for state in store.states(ORIGIN)] == [[b"one"], [b"two"]]


def test_what_was_first_seen_later_can_be_asked_for(store):
    store.put([robots(b"one"), missing("/ai.txt", NOON + timedelta(seconds=1)), robots(b"two", NOON + DAY)])
    state = store.first_after(ORIGIN, NOON - DAY)
    assert bodies(state) == [b"one", b""]
    assert state.next_at == NOON + DAY
    assert bodies(store.first_after(ORIGIN, NOON + timedelta(hours=1))) == [b"two", b""]
    assert store.first_after(ORIGIN, NOON + DAY) is None


def test_nothing_is_known_about_an_origin_that_was_never_seen(store):
    assert store.state("https://other.example", None) is None
    assert store.states("https://other.example") == ()
    assert store.history("https://other.example") == ()


def test_schemes_and_ports_are_origins_of_their_own(store):
    store.put(
        [robots(b"a"), robots(b"b", origin="http://example.com"), robots(b"c", origin="https://example.com:8443")]
    )
    assert list(store.origins()) == ["http://example.com", "https://example.com", "https://example.com:8443"]
    assert bodies(store.state("https://example.com:8443", None)) == [b"c"]


def test_the_same_capture_twice_is_kept_once(store):
    store.put([robots()])
    store.put([robots()])
    assert len(store.history(ORIGIN)) == 1


def test_a_body_is_on_the_disk_once(local):
    local.put(robots(b"x" * 1000, origin=f"https://{number}.example") for number in range(50))
    (count,) = local.backend._connection.execute("SELECT count(*) FROM bodies").fetchone()
    assert count == 1


def test_a_history_names_every_capture(store):
    store.put([robots(b"one"), robots(b"two", NOON + DAY)])
    first, second = store.history(ORIGIN)
    assert (first.role, first.url, first.fetched_at, first.status) == ("/robots.txt", f"{ORIGIN}/robots.txt", NOON, 200)
    assert (first.digest, second.digest) == (robots(b"one").digest, robots(b"two").digest)


def test_a_document_belongs_to_the_origin_that_points_to_it(store):
    licence = Exchange("https://rsl.example/l.xml", "rsl-document", status=200, body=b"<rsl/>", fetched_at=NOON)
    store.put([robots(), licence, robots(origin="https://other.example")])
    assert licence in store.state(ORIGIN, None).exchanges
    assert licence not in store.state("https://other.example", None).exchanges
    assert store.state("https://rsl.example", None) is None


# The key by which origins share a compiled policy.


def key(store, *exchanges):
    store.put(exchanges)
    return store.state(exchanges[0].url.removesuffix("/robots.txt"), None).content_key


def test_origins_with_the_same_content_share_a_key(store):
    one = key(store, robots(), missing("/ai.txt"))
    other = "https://other.example"
    assert one == key(store, robots(origin=other, at=NOON + DAY), missing("/ai.txt", origin=other))


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"User-agent: *\nDisallow: /\n"},
        {"status": 404},
        {"status": 500},
        {"error": "timeout", "status": None},
        {"truncated": True},
        {"headers": (("Content-Type", "text/html"),)},
        {"headers": (*TYPE, ("Content-Usage", "train-ai=n"))},
    ],
    ids=str,
)
def test_whatever_a_reader_is_given_changes_the_key(store, change):
    assert key(store, robots()) != key(store, replace(robots(origin="https://other.example"), **change))


@pytest.mark.parametrize(
    "body",
    [
        b"Disallow: https://example.com/a",
        b'{"location": "https:\\/\\/example.com\\/a"}',
        "Disallow: //x".encode("utf-16"),
    ],
)
def test_a_file_that_may_name_a_site_is_not_shared(store, body):
    assert key(store, robots(body)) != key(store, robots(body, origin="https://other.example"))


@pytest.mark.parametrize(
    "body",
    [
        "User-agent: *\nDisallow: /a\n\nSitemap: {}/sitemap.xml\nsitemap : {}/news.xml?a=b \r\n",
        "# See https://example.org/robots.html\nSitemap:{}\nUser-agent: *\nDisallow: /a\nSITEMAP: {}",
    ],
)
def test_sites_that_only_sitemaps_and_comments_name_share_a_key(store, body):
    other = "https://www.other.example"
    files = [robots(body.replace("{}", origin).encode(), origin=origin) for origin in (ORIGIN, other)]
    assert key(store, files[0]) == key(store, files[1])
    assert key(store, files[0]) != key(store, robots(files[1].body + b"\nDisallow: /b", origin=other))
    assert store.state(other, None).exchanges[0].body.endswith(b"Disallow: /b")


@pytest.mark.parametrize(
    "body",
    [
        "Sitemap: {}/\vDisallow: /",
        "Sitemap: {}/\u2028Disallow: /",
        "Sitemap: {} # here",
        "User-agent: *\nDisallow: {}/a\nSitemap: {}",
        "User-agent: *\nDisallow /a # see: {}\nSitemap: {}",
        "<!-- \nSitemap: {}\n--> <html>",
        "License: {}/l.xml\nSitemap: {}",
        "#" * 512_000 + "\nSitemap: {}",
    ],
)
def test_a_sitemap_in_which_anything_else_may_stand_is_not_shared(store, body):
    other = "https://www.other.example"
    files = [robots(body.replace("{}", origin).encode(), origin=origin) for origin in (ORIGIN, other)]
    assert key(store, files[0]) != key(store, files[1])


def test_a_date_or_tag_of_the_file_does_not_change_the_key(store):
    dated = robots(headers=(*TYPE, ("ETag", '"1"'), ("Last-Modified", "yesterday")), origin="https://other.example")
    assert key(store, robots()) == key(store, dated)


# Archives that hold a redirect and its target apart.


def redirect(to, at=NOON, origin="http://example.com"):
    return robots(b"moved", at, origin, status=301, headers=(("Location", to),))


def test_a_redirect_alone_is_unreachable_and_never_permission(store):
    store.put([redirect("https://example.com/robots.txt")])
    (exchange,) = store.state("http://example.com", None).exchanges
    assert (exchange.status, exchange.error) == (301, REDIRECT_NOT_FOLLOWED)
    assert exchange.availability is Availability.UNREACHABLE


def test_a_redirect_is_followed_to_the_nearest_capture_of_its_target(store):
    store.put([robots(b"long ago", NOON - DAY), robots(b"then", NOON + timedelta(hours=1))])
    store.put([redirect("https://example.com/robots.txt")])
    assert store.follow_redirects() == 1
    (exchange,) = store.state("http://example.com", None).exchanges
    assert (exchange.body, exchange.error, exchange.status) == (b"then", None, 200)
    assert exchange.redirects == ("https://example.com/robots.txt",)
    assert exchange.fetched_at == NOON


def test_a_chain_of_redirects_is_followed(store):
    store.put([redirect("https://example.com/robots.txt"), redirect("//www.example.com/robots.txt", origin=ORIGIN)])
    store.put([robots(b"end", origin="https://www.example.com")])
    store.follow_redirects()
    (exchange,) = store.state("http://example.com", None).exchanges
    assert exchange.body == b"end"
    assert exchange.redirects == ("https://example.com/robots.txt", "https://www.example.com/robots.txt")


@pytest.mark.parametrize(
    "to", ["https://example.com/robots.txt", "http://example.com/robots.txt", "https://", "/elsewhere", "mailto:x"]
)
def test_a_redirect_that_leads_nowhere_stays_unreachable(store, to):
    store.put([robots(b"too long ago", NOON - 30 * DAY), redirect(to)])
    assert store.follow_redirects() == 0
    assert store.state("http://example.com", None).exchanges[0].error == REDIRECT_NOT_FOLLOWED


# What must not be put, and what cannot be opened.


@pytest.mark.parametrize(
    "wrong",
    [
        replace(robots(), role=RESOURCE),
        replace(robots(), role=ASSET),
        replace(robots(), fetched_at=None),
        replace(robots(), status=None),
        robots(at=NOON.replace(tzinfo=None)),
    ],
)
def test_what_is_no_dated_signal_is_refused_with_everything_beside_it(store, wrong):
    with pytest.raises(ValueError, match=r".+"):
        store.put([robots(), wrong])
    assert list(store.origins()) == []
    store.put([robots()])
    assert bodies(store.state(ORIGIN, None)) == [robots().body]


def test_a_time_without_a_zone_is_refused(store):
    with pytest.raises(ValueError, match="no time zone"):
        store.state(ORIGIN, NOON.replace(tzinfo=None))


def test_a_folder_without_a_store_is_named(tmp_path):
    with pytest.raises(StoreError, match="holds no store"):
        Store.open(tmp_path / "none")


def test_a_file_that_is_no_store_is_named(tmp_path):
    (tmp_path / "origins.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(StoreError, match=str(tmp_path)):
        Store.open(tmp_path)


def test_a_store_of_another_edition_is_refused(tmp_path):
    with Store.open(tmp_path, create=True) as store:
        store.backend._connection.execute("UPDATE about SET value = '99'")
    with pytest.raises(StoreError, match="another edition"):
        Store.open(tmp_path)


def test_a_reader_sees_what_a_writer_has_put_and_cannot_write(local, tmp_path):
    local.put([robots()])
    with Store.open(tmp_path / "store") as reader:
        local.put([robots(b"new", NOON + DAY)])
        assert bodies(reader.state(ORIGIN, None)) == [b"new"]
        with pytest.raises(StoreError, match="readonly"):
            reader.put([robots()])


def test_a_store_in_a_folder_that_nobody_may_write_is_read(tmp_path):
    with Store.open(tmp_path / "store", create=True) as store:
        store.put([robots()])
    (tmp_path / "store").chmod(0o500)
    try:
        with Store.open(tmp_path / "store") as reader:
            assert bodies(reader.state(ORIGIN, None)) == [robots().body]
    finally:
        (tmp_path / "store").chmod(0o700)


_PUT_AND_DIE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from optout.acquisition.history import Store
from optout.model import Exchange
store = Store.open(Path(sys.argv[1]), create=True)
for number in range(1000):
    origin = f"https://{number}.example"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    store.put([Exchange(origin + "/robots.txt", "/robots.txt", status=200, body=origin.encode(), fetched_at=at)])
    os.write(1, f"{origin}\\n".encode())
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path):
    done = subprocess.run([sys.executable, "-c", _PUT_AND_DIE, tmp_path], capture_output=True, text=True, check=False)
    acknowledged = done.stdout.split()
    assert done.returncode == -9
    assert len(acknowledged) == 8
    with Store.open(tmp_path) as store:
        assert {origin: bodies(store.state(origin, None)) for origin in acknowledged} == {
            origin: [origin.encode()] for origin in acknowledged
        }


def test_a_full_disk_is_one_line_and_undoes_the_whole_put(local):
    local.put([robots()])
    (pages,) = local.backend._connection.execute("PRAGMA page_count").fetchone()
    local.backend._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        local.put(robots(os.urandom(5000), origin=f"https://{number}.example") for number in range(20))
    local.backend._connection.execute("PRAGMA max_page_count = 1000000")
    assert list(local.origins()) == [ORIGIN]
    local.put([robots(origin="https://1.example")])
    assert sqlite3.connect(local.backend.directory / "origins.sqlite").execute("PRAGMA integrity_check").fetchone() == (
        "ok",
    )
