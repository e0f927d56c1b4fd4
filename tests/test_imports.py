"""Files from others: whatever is in them, in bounded memory, each fault with its place, and nothing read twice."""

import gzip
import json
import os
import re
import tracemalloc
from base64 import b32encode
from datetime import UTC, date, datetime, timedelta
from hashlib import sha1
from pathlib import Path

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from store_servers import wipe
from warc_samples import NOON, record

from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.history import Store
from optout.acquisition.imports import Fault, Import, Skipped, Whole
from optout.cli import main
from optout.model import Availability

ROLES = engine.required_paths(policy_files.load("eu-gpai", as_of=date(2026, 11, 23)))
CLOSED = b"User-agent: *\nDisallow: /\n"


def robots(number, **fields):
    return record(f"https://{number}.example/robots.txt", **fields)


def sized(made, length):
    """The record with another length than it has."""
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %s" % str(length).encode(), made, count=1)


def read(*paths):
    """The exchanges, and the faults as text."""
    visits, faults = [], []
    for found in Import([Path(path) for path in paths], ROLES).read():
        if isinstance(found, Fault):
            faults.append(str(found))
        elif not isinstance(found, Whole | Skipped):
            visits += found
    return visits, faults


def write(path, *parts):
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
    made = [pack(part) for part in parts]
    path.write_bytes(b"".join(made))
    return path


def urls(visits):
    return [visit.url.split("/")[2] for visit in visits]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
@pytest.mark.parametrize("breaks", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "head",
    [b"%s\n%s\n\n", b"%s\r\n%s\n\n", b"%s\r\n%s\n\r\n", b"%s\r\n%s\r\n\n", b"%s\n%s\r\n\r\n", b"%s\n%s\n\r\n"],
)
def test_a_head_with_line_feeds_alone_never_hides_the_body(tmp_path, name, head, breaks):
    """A server may end lines so; the library would give an empty file, which permits everything."""
    block = head % (b"HTTP/1.1 200 OK", b"Content-Type: text/plain") + CLOSED.replace(b"\n", breaks)
    fields = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://0.example/robots.txt\r\n"
    fields += b"WARC-Date: 2025-06-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
    made = fields + b"Content-Length: %d\r\n\r\n" % len(block) + block + b"\r\n\r\n"
    visits, faults = read(write(tmp_path / name, made, robots(1)))
    assert urls(visits)[-1] == "1.example"
    assert len(faults) == (len(visits) == 1)
    assert all(visit.body for visit in visits)


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
@pytest.mark.parametrize(
    ("first", "says"),
    [
        (sized(robots(0), 5_000_000_000), "of 5000000000 bytes"),
        (sized(robots(0), -5), "no HTTP response"),
        (sized(robots(0), "many"), "no HTTP response"),
        (sized(robots(0), 30), "Invalid WARC header"),
        (robots(0, headers=(("X", "y" * 5_000_000),)), "Maximum header length"),
        (robots(0).replace(b"WARC/1.0\r\n", b"WARC/1.0\r\nX: " + b"y" * 5_000_000 + b"\r\n"), "Maximum header length"),
        (robots(0).replace(b"2026-03-01T", b"2026-13-41T"), "is no time: '2026-13-41T12:00:00Z'"),
        (robots(0).replace(b"2026-03-01T", b"2199-03-01T"), "2199-03-01, is in the future"),
        (robots(0, body=gzip.compress(CLOSED)[:-12], headers=(("Content-Encoding", "gzip"),)), "ends before"),
        (robots(0, body=b"\x1f\x9d\x90", headers=(("Content-Encoding", "compress"),)), "nobody knows the coding"),
        (robots(0, body=b"19\r\nUser-agent", headers=(("Transfer-Encoding", "chunked"),)), "chunks end early"),
    ],
    ids=[
        "five-gigabytes", "negative", "no-number", "shorter", "http-head-flood", "warc-head-flood", "no-date", "future",
        "half-a-gzip", "unknown-coding", "cut-chunks",
    ],
)  # fmt: skip
def test_a_bad_record_is_a_fault_and_costs_no_other(tmp_path, name, first, says):
    path = write(tmp_path / name, first, robots(1), robots(2))
    visits, faults = read(path)
    assert any(says in fault for fault in faults), faults
    assert all(fault.startswith(str(path)) for fault in faults)
    assert {"1.example", "2.example"} >= set(urls(visits)) >= {"2.example"}
    assert all(visit.body == CLOSED for visit in visits)


def test_after_any_number_of_damaged_places_every_whole_record_is_read(tmp_path):
    broken = robots("x").replace(b"WARC/1.0", b"WARC/1.x", 1)
    parts = [part for number in range(9) for part in (robots(number), broken, robots(f"{number}.{number}"))]
    for name in ("a.warc", "a.warc.gz", "a.warc.zst"):
        path = write(tmp_path / name, *parts)
        visits, faults = read(path)
        assert len(visits) == 18, name
        places = [int(re.search(r"byte (\d+)", fault)[1]) for fault in faults]
        assert places == sorted(places)
        assert len(places) >= 9
        assert places[-1] < path.stat().st_size


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_an_archive_that_ends_in_any_record_is_not_whole(tmp_path, name):
    """Most records of a crawl are none of ours, and in them half of a download ends as well."""
    parts = [robots(0), record("https://0.example/page", kind="request"), robots(1)]
    whole = [write(tmp_path / f"{number}-{name}", *parts[:number]).read_bytes() for number in (1, 2, 3)]
    path = tmp_path / name
    for cut in range(100, len(whole[-1]) - 4, 7):
        path.write_bytes(whole[-1][:cut])
        visits, faults = read(path)
        # Only the line breaks behind a record may be missing.
        assert faults or any(0 <= len(data) - cut < 5 for data in whole), cut
        assert all(visit.body == CLOSED for visit in visits)
    for data in whole:
        path.write_bytes(data)
        assert read(path)[1] == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_an_archive_of_one_piece_that_is_cut_is_not_whole(tmp_path, pack):
    path = tmp_path / ("a.warc.gz" if pack is gzip.compress else "a.warc.zst")
    path.write_bytes(pack(robots(0) + record("https://0.example/page", kind="request"))[:-12])
    assert read(path)[1]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_an_empty_file_in_an_archive_of_one_piece_is_empty(tmp_path, pack):
    path = tmp_path / ("a.warc.gz" if pack is gzip.compress else "a.warc.zst")
    path.write_bytes(pack(robots(0) + robots(1, body=b"") + robots(2)))
    visits, faults = read(path)
    assert ([visit.body for visit in visits], faults) == ([CLOSED, b"", CLOSED], [])


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Encoding", "gzip"), ("Content-Length", "9")], [("Transfer-Encoding", "chunked")],
        [("Content-Encoding", "br"), ("Transfer-Encoding", "chunked")],
    ],
)  # fmt: skip
def test_codings_that_a_collector_has_removed_and_still_names_are_gone(tmp_path, headers):
    """Common Crawl's archives until 2018 are so."""
    visits, faults = read(write(tmp_path / "a.warc", robots(0, headers=headers)))
    assert ([(visit.body, visit.truncated) for visit in visits], faults) == ([(CLOSED, False)], [])


def test_a_coding_of_the_transfer_is_removed(tmp_path):
    packed = gzip.compress(CLOSED)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    visits, _ = read(write(tmp_path / "a.warc", robots(0, body=body, headers=[("Transfer-Encoding", "gzip, chunked")])))
    assert visits[0].body == CLOSED


@pytest.mark.parametrize(
    ("body", "headers", "is_part"),
    [
        (CLOSED, [("Content-Length", "1000")], True),
        (CLOSED, [("Content-Length", "1000"), ("Content-Encoding", "gzip")], False),
        (b"", [("Content-Length", "1000"), ("Content-Encoding", "gzip")], True),
        (b"", [("Content-Length", "0")], False),
    ],
)
def test_less_of_a_file_than_its_server_announced_is_not_the_file(tmp_path, body, headers, is_part):
    """As archives have it of transfers that broke off, and of answers to HEAD."""
    visits, _ = read(write(tmp_path / "a.warc", robots(0, body=body, headers=headers)))
    assert visits[0].truncated is is_part


def digested(made, payload, **fields):
    named = b"WARC-Payload-Digest: sha1:%s\r\n" % b32encode(sha1(payload, usedforsecurity=False).digest())
    named += b"".join(b"%s: %s\r\n" % (name.replace("_", "-").encode(), value) for name, value in fields.items())
    return made.replace(b"Content-Type: application/http", named + b"Content-Type: application/http", 1)


def test_a_payload_that_is_not_what_its_digest_says_is_a_fault(tmp_path):
    """Tools make the digest of what was received, or of what is left of it without its codings."""
    packed = gzip.compress(CLOSED)
    coded = robots(0, body=packed, headers=[("Content-Encoding", "gzip")])
    path = write(tmp_path / "a.warc", digested(coded, packed), digested(coded, CLOSED), digested(coded, b"other"))
    visits, faults = read(path)
    assert len(visits) == 2
    assert [fault.partition(": its")[2] for fault in faults] == [" payload is not what its WARC-Payload-Digest says"]


def test_a_304_with_the_digest_of_nothing_refers_to_no_empty_file(tmp_path):
    """As in Common Crawl's archives of what could not be fetched."""
    empty = digested(robots(0, body=b""), b"")
    unchanged = digested(robots(1, status="304 Not Modified", body=b"", kind="revisit"), b"")
    visits, faults = read(write(tmp_path / "a.warc", empty, unchanged))
    assert (urls(visits), len(faults)) == (["0.example"], 1)


def test_what_revisits_a_part_of_a_file_is_a_part(tmp_path):
    cut = digested(robots(0), CLOSED, WARC_Truncated=b"length")
    again = digested(robots(0, body=b"", kind="revisit"), CLOSED).replace(b"2026-03-01", b"2026-03-02", 1)
    visits, _ = read(write(tmp_path / "a.warc", cut, again))
    assert [(visit.body, visit.truncated) for visit in visits] == [(CLOSED, True)] * 2
    part = digested(robots(0, body=b"", kind="revisit"), CLOSED, WARC_Truncated=b"length")
    visits, _ = read(write(tmp_path / "a.warc", digested(robots(1), CLOSED), part))
    assert [visit.truncated for visit in visits] == [False, True]


@pytest.mark.parametrize(
    "data", [b"\0" * 50_000, b"\x1f\x8b\x08" * 20_000, b"WARC/1.0\r\n" * 20], ids=["0", "gz", "warc"]
)
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_what_only_looks_like_an_archive_is_a_fault(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    visits, faults = read(tmp_path / name)
    assert (visits, bool(faults)) == ([], True)


def test_a_file_that_is_nothing_but_damage_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("optout.acquisition.import_warc._FAULTS_BORNE", 50)
    (tmp_path / "a.warc").write_bytes(b"WARC/1.0\r\n" * 20_000)
    _, faults = read(tmp_path / "a.warc")
    assert len(faults) == 51
    assert "the rest is not read" in faults[-1]


@pytest.mark.parametrize("cut", [b"WARC/1.0\r\nWARC-Ty", b"WARC/1.0\r\nWARC-Type: response\r\nContent-Le"])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_file_that_ends_in_a_records_head_is_a_fault(tmp_path, name, cut):
    visits, faults = read(write(tmp_path / name, robots(0), cut))
    assert urls(visits) == ["0.example"]
    assert "head is cut" in faults[0]


def test_an_empty_file_and_one_without_answers_are_no_faults(tmp_path):
    (tmp_path / "empty.warc.gz").write_bytes(b"")
    write(tmp_path / "asked.warc.gz", robots(0, kind="request"))
    assert read(tmp_path) == ([], [])


@pytest.mark.parametrize(
    "made",
    [
        robots(0, body=b"#" * 60_000_000),
        robots(0, body=gzip.compress(b"#" * 60_000_000), headers=(("Content-Encoding", "gzip"),)),
    ],
    ids=["in-the-file", "in-the-body"],
)
def test_a_bomb_is_cut(tmp_path, made):
    path = write(tmp_path / "a.warc.gz", made, robots(1))
    tracemalloc.start()
    try:
        visits, _ = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert urls(visits) == ["0.example", "1.example"]
    assert (len(visits[0].body), visits[0].truncated) == (16_000_000, True)
    assert peak < 100_000_000


def test_hostile_urls_are_no_signal_files(tmp_path):
    wrong = ["https://../robots.txt", "https://a.example:99999/robots.txt", "https://[::1/robots.txt"]
    wrong += ["javascript:/robots.txt", f"https://{'a' * 5000}/robots.txt", "https://x\x1b[31m.example/robots.txt"]
    path = write(tmp_path / "a.warc", *map(record, wrong), robots(1))
    visits, _ = read(path)
    assert urls(visits) == ["1.example"]


# Parquet.


def table(**columns):
    base = {
        "url": ["https://0.example/robots.txt", "https://1.example/robots.txt"],
        "status": [200, 200],
        "body": [CLOSED, CLOSED],
        "fetched_at": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
    }
    return pa.table(base | columns)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"body": [None, CLOSED]}, "without a body"),
        ({"url": [5, 6]}, "not text"),
        ({"body": [5, 6]}, "neither binary nor text"),
        ({"status": [200.5, 200.0]}, "no whole number"),
        ({"status": ["99999999999999999999", "200"]}, "three digits"),
        ({"fetched_at": pa.array([9_000_000_000_000_000_000, 0], pa.timestamp("ms"))}, "no timestamp"),
        ({"fetched_at": pa.array([-9_000_000_000_000_000_000, 0], pa.timestamp("us", "UTC"))}, "no timestamp"),
        ({"status": ["many", "200"]}, "many"),
        ({"fetched_at": pa.array([1, 2])}, "no timestamp"),
        ({"fetched_at": pa.array([NOON.replace(year=2199), NOON], pa.timestamp("us", "UTC"))}, "in the future"),
        ({"headers": ["{", None]}, "no map, list of pairs"),
        ({"headers": [[["a", "b", "c"]], None]}, "no map, list of pairs"),
        ({"headers": ["[1]", None]}, ""),
        (
            {
                "headers": ['{"Content-Encoding": "gzip"}', None],
                "body": pa.array([gzip.compress(CLOSED)[:-12], CLOSED]),
            },
            "ends before",
        ),
        (
            {
                "headers": ['{"Content-Encoding": "br"}', None],
                "body": pa.array([brotli.compress(CLOSED * 9)[:-5], CLOSED]),
            },
            "ends before",
        ),
    ],
    ids=[
        "no-body",
        "url",
        "body",
        "half-a-status",
        "long-status",
        "far",
        "early",
        "status",
        "time",
        "future",
        "json",
        "triples",
        "numbers",
        "half-a-gzip",
        "half-a-br",
    ],
)
def test_a_bad_row_is_a_fault_with_its_number_and_is_no_permission(tmp_path, column, says):
    pq.write_table(table(**column), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert faults
    assert says in faults[0]
    assert "row 0" in faults[0] or "0.example" in faults[0]
    assert set(urls(visits)) <= {"1.example"}


@pytest.mark.parametrize("name", ["gzip", "br"])
def test_bodies_are_taken_with_and_without_their_coding(tmp_path, name):
    headers = [json.dumps({"Content-Encoding": name})] * 2
    made = gzip.compress(CLOSED) if name == "gzip" else brotli.compress(CLOSED)
    pq.write_table(table(headers=headers, body=pa.array([made, CLOSED])), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert ([visit.body for visit in visits], faults) == ([CLOSED, CLOSED], [])


@pytest.mark.parametrize(
    ("number", "unit"), [(10**15, "s"), (-(10**15), "s"), (253_402_300_800_000, "ms"), (-(2**63) + 1, "us")]
)
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_a_time_that_python_cannot_hold_costs_its_own_row(tmp_path, number, unit, zone):
    second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    times = pa.array([number, int(NOON.timestamp()) * second], pa.int64()).cast(pa.timestamp(unit, zone))
    pq.write_table(table(fetched_at=times), tmp_path / "a.parquet", store_schema=True)
    visits, faults = read(tmp_path / "a.parquet")
    assert [(visit.url, visit.fetched_at) for visit in visits] == [("https://1.example/robots.txt", NOON)]
    assert len(faults) == 1
    assert "row 0: fetched_at is no timestamp" in faults[0]


def test_a_body_is_decoded_where_no_fields_are_there_to_tell_its_coding(tmp_path):
    pq.write_table(table(body=pa.array([gzip.compress(CLOSED), zstandard.compress(CLOSED)])), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert ([visit.body for visit in visits], faults) == ([CLOSED, CLOSED], [])


def test_a_body_that_is_shorter_than_was_announced_is_a_part(tmp_path):
    pq.write_table(table(headers=['{"Content-Length": 1000}', '{"Content-Length": 26}']), tmp_path / "a.parquet")
    visits, _ = read(tmp_path / "a.parquet")
    assert [visit.truncated for visit in visits] == [True, False]
    pq.write_table(table(headers=['{"Content-Length": 28}'] * 2, body=[CLOSED.decode()] * 2), tmp_path / "b.parquet")
    visits, _ = read(tmp_path / "b.parquet")
    assert [visit.truncated for visit in visits] == [False, False]


def test_urls_as_octets_and_days_without_an_hour_are_understood(tmp_path):
    columns = {"url": [b"https://0.example/robots.txt"] * 2, "fetched_at": pa.array([NOON.date()] * 2)}
    pq.write_table(table(**columns), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert faults == []
    assert {visit.fetched_at for visit in visits} == {NOON.replace(hour=0)}


def test_a_page_that_is_not_what_its_checksum_says_is_a_fault(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path, compression="none", write_page_checksum=True, use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(b"Disallow: /", b"Disallow: #"))
    visits, faults = read(path)
    assert (visits, len(faults)) == ([], 1)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_may_be_finer_than_python_has_them(tmp_path, zone):
    """As pandas writes them."""
    times = pa.array([1_700_000_000_123_456_789] * 2, pa.timestamp("ns", zone))
    pq.write_table(table(fetched_at=times), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert faults == []
    assert {visit.fetched_at for visit in visits} == {datetime(2023, 11, 14, 22, 13, 20, 123_456, UTC)}


@pytest.mark.parametrize(
    "headers",
    [
        pa.array([[("X-Robots-Tag", "noai")]] * 2, pa.map_(pa.string(), pa.string())),
        pa.array([[("X-Robots-Tag", ["noai"])]] * 2, pa.map_(pa.string(), pa.list_(pa.string()))),
        pa.array([[{"value": "noai", "name": "X-Robots-Tag"}]] * 2),
        pa.array([{"X-Robots-Tag": "noai", "other": None}] * 2),
        pa.array(['{"X-Robots-Tag": ["noai"]}'] * 2),
        pa.array([b'{"X-Robots-Tag": "noai"}'] * 2),
        pa.array([[(b"X-Robots-Tag", b"noai")]] * 2, pa.map_(pa.binary(), pa.binary())),
    ],
    ids=["map", "map-of-lists", "objects", "struct", "json", "octets-of-json", "map-of-octets"],
)
def test_header_fields_are_understood_however_they_are_written(tmp_path, headers):
    pq.write_table(table(headers=headers), tmp_path / "a.parquet")
    visits, faults = read(tmp_path / "a.parquet")
    assert faults == []
    assert {visit.headers for visit in visits} == {(("X-Robots-Tag", "noai"),)}


def test_a_huge_cell_is_cut(tmp_path):
    pq.write_table(table(body=[b"#" * 40_000_000, CLOSED]), tmp_path / "a.parquet", compression="zstd")
    visits, faults = read(tmp_path / "a.parquet")
    assert [(len(visit.body), visit.truncated) for visit in visits] == [(16_000_000, True), (len(CLOSED), False)]
    assert faults == []


def test_files_of_different_schemas_in_a_folder_come_in_together(tmp_path):
    pq.write_table(table(), tmp_path / "a.parquet")
    pq.write_table(table(status=pa.array([200, 404], pa.int16())), tmp_path / "b.parquet")
    pq.write_table(table(body=pa.array(["x", "y"], pa.large_string())), tmp_path / "c.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "d.parquet")
    (tmp_path / "e.parquet").write_bytes(b"PAR1" + os.urandom(100) + b"PAR1")
    visits, faults = read(tmp_path)
    assert len(visits) == 6
    assert [Path(fault.split(": ")[0]).name for fault in faults] == ["d.parquet", "e.parquet"]


# Saved files.


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("a.example/robots.txt", "https://a.example/robots.txt"),
        ("a.example:8443/robots.txt", "https://a.example:8443/robots.txt"),
        ("A.Example/.well-known/tdmrep.json", "https://a.example/.well-known/tdmrep.json"),
        ("a.example/.well-known/ai.txt", "https://a.example/.well-known/ai.txt"),
        ("http/a.example/robots.txt", "http://a.example/robots.txt"),
        ("https/a.example/ai.txt", "https://a.example/ai.txt"),
        ("mirror/2026/b\u00fccher.example/robots.txt", "https://xn--bcher-kva.example/robots.txt"),
        ("localhost:80/robots.txt", "https://localhost:80/robots.txt"),
    ],
)
def test_a_saved_file_is_of_the_host_that_its_folder_names(tmp_path, name, url):
    path = tmp_path / "saved" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(CLOSED)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    visits, faults = read(tmp_path / "saved")
    assert faults == []
    (visit,) = visits
    assert (visit.url, visit.status, visit.body, visit.fetched_at) == (url, 200, CLOSED, NOON)
    assert read(path)[0] == visits


@pytest.mark.parametrize(
    "name", ["public/robots.txt", "../robots.txt", "a b.example/robots.txt", "..example/robots.txt"]
)
def test_a_saved_file_under_no_host_is_a_fault(tmp_path, name):
    path = tmp_path / "saved" / "x" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CLOSED)
    visits, faults = read(tmp_path / "saved")
    assert visits == []
    assert "HOST/robots.txt" in faults[0]


@pytest.mark.parametrize(
    ("data", "body"),
    [(gzip.compress(CLOSED), CLOSED), (gzip.compress(CLOSED)[:-9], None)],
    ids=["whole", "cut"],
)
def test_a_saved_file_is_decoded_or_a_fault(tmp_path, data, body):
    """Mirrors keep what a server sent, whatever it was coded in."""
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example" / "robots.txt").write_bytes(data)
    visits, faults = read(tmp_path)
    assert [visit.body for visit in visits] == ([] if body is None else [body])
    assert len(faults) == (body is None)


def test_a_saved_file_from_the_future_is_a_fault(tmp_path):
    path = tmp_path / "a.example" / "robots.txt"
    path.parent.mkdir()
    path.write_bytes(CLOSED)
    later = (datetime.now(UTC) + timedelta(days=400)).timestamp()
    os.utime(path, (later, later))
    visits, faults = read(tmp_path)
    assert visits == []
    assert "is in the future" in faults[0]


def test_what_else_lies_in_a_folder_is_passed_over_and_hostile_names_are_harmless(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    os.mkfifo(tmp_path / "in" / "pipe.warc")
    (tmp_path / "in" / "gone.parquet").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "\x1b[31mred\n.warc").write_bytes(b"no archive")
    (tmp_path / "in" / os.fsdecode(b"\xff.warc")).write_bytes(b"no archive")
    write(tmp_path / "in" / "good.warc.gz", robots(0))
    code = main(["harvest", "--store", str(tmp_path / "s"), "--import", str(tmp_path / "in"), "--quiet", "--json"])
    captured = capsys.readouterr()
    assert code == 2
    assert json.loads(captured.out)["imported"]["captures"] == 1
    assert "\x1b" not in captured.err
    assert len(captured.err.splitlines()) == json.loads(captured.out)["imported"]["faults"] == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [("a.cdx", "holds no bodies"), ("a.cdxj", "holds no bodies"), ("a.arc.gz", "warcio"), ("a.jsonl", "neither")],
)
def test_a_file_that_cannot_be_used_says_what_can(tmp_path, name, says):
    (tmp_path / name).write_bytes(b'{"url": "https://a.example/robots.txt"}')
    _, (fault,) = read(tmp_path / name)
    assert says in fault


# Once and no more.


def bring(tmp_path, *paths, options=()):
    where = ["--store", str(tmp_path / "store"), "--quiet", "--json", *options]
    return main(["harvest", *where, "--import", *map(str, paths)])


def state_of(tmp_path):
    with Store.open(tmp_path / "store") as store:
        return {origin: (store.state(origin, None), store.history(origin)) for origin in store.origins()}


def imported(capsys):
    return json.loads(capsys.readouterr().out)["imported"]


def test_a_file_is_read_once_and_importing_twice_changes_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    moved = robots("moved", status="301 Moved", headers=(("Location", "https://0.example/robots.txt"),))
    write(tmp_path / "in" / "a.warc.gz", robots(0), robots(1), moved)
    pq.write_table(table(), tmp_path / "in" / "b.parquet")
    assert bring(tmp_path, tmp_path / "in") == 0
    first = state_of(tmp_path)
    assert imported(capsys) == {"captures": 5, "redirects followed": 1, "files read before": 0, "faults": 0}
    assert first["https://moved.example"][0].exchanges[0].body == CLOSED
    assert bring(tmp_path, tmp_path / "in") == 0
    assert imported(capsys) == {"captures": 0, "redirects followed": 0, "files read before": 2, "faults": 0}
    assert state_of(tmp_path) == first
    assert bring(tmp_path, tmp_path / "in", options=["--refresh"]) == 0
    assert imported(capsys)["captures"] == 5
    assert state_of(tmp_path) == first


def test_a_file_that_has_changed_or_has_faults_is_read_again(tmp_path, capsys):
    path = write(tmp_path / "a.warc.gz", robots(0))
    bring(tmp_path, path)
    write(path, robots(0), robots(1))
    assert bring(tmp_path, path) == 0
    capsys.readouterr()
    path.write_bytes(path.read_bytes()[:-30])
    for _ in range(2):
        assert bring(tmp_path, path) == 2
        assert "cut in mid-record" in capsys.readouterr().err


def test_what_a_file_needs_of_one_that_was_read_before_is_found(tmp_path, capsys):
    """A revisit refers to a body in a file that an earlier import has brought in."""
    first = robots(0).replace(b"WARC-Date", b"WARC-Payload-Digest: sha1:SAME\r\nWARC-Date")
    again = robots(1, kind="revisit", body=b"").replace(b"WARC-Date", b"WARC-Payload-Digest: sha1:SAME\r\nWARC-Date")
    one = write(tmp_path / "1.warc.gz", first)
    assert bring(tmp_path, one) == 0
    two = write(tmp_path / "2.warc.gz", again)
    capsys.readouterr()
    assert bring(tmp_path, one, two) == 0
    assert imported(capsys)["faults"] == 0
    assert state_of(tmp_path)["https://1.example"][0].exchanges[0].body == CLOSED
    assert bring(tmp_path, two, options=["--refresh"]) == 2


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_files_are_imported_into_a_shared_store(request, tmp_path, capsys, kind):
    server = request.getfixturevalue(f"{kind}_store")
    wipe(server.address)
    path = write(
        tmp_path / "a.warc.gz",
        robots(0),
        record(
            "http://0.example/robots.txt", status="301 Moved", headers=(("Location", "https://0.example/robots.txt"),)
        ),
    )
    for captures in (2, 0):
        assert main(["harvest", "--store", server.address, "--import", str(path), "--quiet", "--json"]) == 0
        assert imported(capsys)["captures"] == captures
    assert main(["harvest", "--store", server.address, "--show", "http://0.example", "--json"]) == 0
    (shown,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert shown["files"][0]["redirects"] == ["https://0.example/robots.txt"]


def test_the_archives_of_the_corpus_come_in_as_far_as_they_are_whole(shared):
    visits, faults = read(shared / "corpus/warc")
    assert len(visits) == 400
    assert {Path(fault.split(": ")[0]).name for fault in faults} == {"example.warc", "example-trunc.warc"}
    assert all(visit.availability is Availability.RETRIEVED for visit in visits)
