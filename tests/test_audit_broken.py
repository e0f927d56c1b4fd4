"""Broken, hostile and changing inputs: each is named with its place, the rest is audited, and nothing half is left."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from audit_store import make, state
from pyarrow.parquet.encryption import CryptoFactory, EncryptionConfiguration, KmsClient, KmsConnectionConfig

from optout.audit import Auditor, decide
from optout.audit.job import Input, Job
from optout.audit.shard import Place
from optout.audit.shard import make as make_shard
from optout.cli import main

OPEN = "User-agent: *\nDisallow: /private\n"
GOOD = "https://open.example/page"
REFUSED = "https://open.example/private/x"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(tmp_path_factory.mktemp("store"), state("https://open.example", OPEN))


def audit(data, store, out, *arguments) -> int:
    command = ["audit", str(data), "--store", str(store), "--out", str(out), "--quiet", "--workers", "1"]
    return main([*command, *map(str, arguments)])


def rows(out: Path) -> list[dict]:
    return [row for path in sorted((out / "decisions").iterdir()) for row in pq.read_table(path).to_pylist()]


def faults(out: Path) -> list[tuple[str, str]]:
    report = json.loads((out / "report.json").read_text())
    return [(fault["place"], fault["what"]) for fault in report["faults"]]


def unreadable(out: Path) -> str:
    report = json.loads((out / "report.json").read_text())
    return " ".join(file["unreadable"] or "" for file in report["files"])


# Parquet.


def three_groups(path: Path) -> Path:
    table = pa.table({"id": range(300), "url": [f"{GOOD}/{number}" for number in range(300)]})
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    return path


def break_group(path: Path, group: int) -> None:
    """Spoil the first page of URLs of a row group."""
    place = pq.read_metadata(path).row_group(group).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 40] = b"\xff" * 40
    path.write_bytes(data)


def test_rows_of_a_broken_row_group_are_rows_without_urls(store, tmp_path):
    path = three_groups(tmp_path / "data.parquet")
    break_group(path, 1)
    assert audit(path, store, tmp_path / "out", "--policy", permissive(tmp_path)) == 2
    found = rows(tmp_path / "out")
    assert [row["row"] for row in found] == list(range(300))
    assert [row["url"] is None for row in found] == [False] * 100 + [True] * 100 + [False] * 100
    kept = pq.read_table(tmp_path / "out/kept/data.parquet")["id"].to_pylist()
    assert kept == [*range(100), *range(200, 300)]
    assert [place for place, _ in faults(tmp_path / "out")] == ["row group 1, from its row 0 of 100"]


def permissive(folder: Path) -> Path:
    """A policy that keeps rows about which nothing is known: even then, what cannot be read is not kept."""
    text = (Path(__file__).parents[1] / "policies/literal.toml").read_text()
    path = folder / "permissive.toml"
    path.write_text(text.replace('unknown = "review"', 'unknown = "permit"').replace('"literal"', '"permissive"'))
    return path


@pytest.mark.parametrize(
    "column",
    [
        pa.array([GOOD, REFUSED, None]).dictionary_encode(),
        pa.array([GOOD, REFUSED, None], pa.large_string()),
        pa.array([GOOD, REFUSED, None], pa.string_view()),
        pa.array([GOOD.encode(), REFUSED.encode(), None], pa.binary()),
        pa.array([GOOD.encode(), REFUSED.encode(), b"\xff\xfe"], pa.large_binary()),
        pa.array([GOOD.encode(), REFUSED.encode(), None], pa.binary_view()),
    ],
    ids=lambda column: str(column.type),
)
def test_every_kind_of_text_is_a_column_of_urls(store, tmp_path, column):
    pq.write_table(pa.table({"url": column}), tmp_path / "data.parquet")
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 0
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False, False]
    assert pq.read_table(tmp_path / "out/kept/data.parquet").num_rows == 1


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([[GOOD]]), "list"),
        (pa.array([{"href": GOOD}]), "struct"),
        (pa.array([7]), "int64"),
        (pa.array([[("a", GOOD)]], pa.map_(pa.string(), pa.string())), "map"),
    ],
    ids=["list", "struct", "int", "map"],
)
def test_a_column_that_holds_no_texts_is_told_with_its_type(store, tmp_path, column, said):
    pq.write_table(pa.table({"url": column}), tmp_path / "data.parquet")
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 2
    assert "'url'" in unreadable(tmp_path / "out")
    assert said in unreadable(tmp_path / "out")


class Keys(KmsClient):
    """Wraps keys by writing them down."""

    def __init__(self, config) -> None:
        super().__init__()

    def wrap_key(self, key, name):
        return base64.b64encode(key)

    def unwrap_key(self, key, name):
        return base64.b64decode(key)


@pytest.mark.parametrize("is_footer_open", [True, False])
@pytest.mark.parametrize("column", ["url", "text"])
def test_encrypted_columns_are_told_and_end_nothing_else(store, tmp_path, column, is_footer_open):
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"url": [GOOD], "text": ["words"]})
    pq.write_table(table, folder / "whole.parquet")
    asked = EncryptionConfiguration(footer_key="a", column_keys={"b": [column]}, plaintext_footer=is_footer_open)
    secrets = CryptoFactory(Keys).file_encryption_properties(KmsConnectionConfig(), asked)
    with pq.ParquetWriter(folder / "closed.parquet", table.schema, encryption_properties=secrets) as writer:
        writer.write_table(table)
    command = [Path(sys.executable).with_name("optout"), "audit", folder, "--store", store, "--out", tmp_path / "out"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "crypt" in done.stderr
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True]


def test_two_columns_of_one_name_are_told(store, tmp_path):
    twice = pa.Table.from_arrays([pa.array([GOOD]), pa.array([REFUSED])], names=["url", "url"])
    pq.write_table(twice, tmp_path / "data.parquet")
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 2
    assert "more than one column 'url'" in unreadable(tmp_path / "out")


def test_columns_of_one_name_that_are_not_looked_at_are_kept(store, tmp_path):
    table = pa.Table.from_arrays(
        [pa.array([GOOD, REFUSED]), pa.array([1, 2]), pa.array([3, 4])], names=["url", "a", "a"]
    )
    pq.write_table(table, tmp_path / "data.parquet")
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 0
    assert pq.ParquetFile(tmp_path / "out/kept/data.parquet").read().equals(table.slice(0, 1))
    assert decide(table, Auditor(store, date(2026, 11, 23)))["kept"].to_pylist() == [True, False]
    assert decide(table.slice(0, 0), Auditor(store, date(2026, 11, 23))).num_rows == 0


def test_columns_with_views_in_them_are_kept(store, tmp_path):
    views = pa.array(["a", None, "c", "d"], pa.string_view())
    table = pa.table({
        "url": [GOOD, REFUSED, GOOD, GOOD],
        "struct": pa.StructArray.from_arrays([views], ["view"]),
        "list": pa.ListArray.from_arrays(pa.array([0, 1, 1, 3, 4], pa.int32()), views),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "data.parquet")
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 0
    kept = pq.read_table(tmp_path / "out/kept/data.parquet")
    assert kept.schema == table.schema
    assert kept.to_pylist() == [table.to_pylist()[row] for row in (0, 2, 3)]


NEVER = datetime(9999, 12, 31)  # noqa: DTZ001 - as Hive writes it


def test_times_as_hive_and_spark_write_them_are_kept_beyond_2262(store, tmp_path):
    """Nanoseconds end there, and those are what Arrow makes of INT96 by itself: 9999 became 1816."""
    table = pa.table({"url": [GOOD], "until": pa.array([NEVER], pa.timestamp("us")), "date": [NEVER]})
    pq.write_table(table, tmp_path / "data.parquet", use_deprecated_int96_timestamps=True)
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 0
    kept = pq.ParquetFile(tmp_path / "out/kept/data.parquet", coerce_int96_timestamp_unit="us")
    assert kept.schema == pq.ParquetFile(tmp_path / "data.parquet").schema
    assert kept.read()["until"].to_pylist() == [NEVER]
    assert rows(tmp_path / "out")[0]["date"].year == 9999


@pytest.mark.parametrize("name", ["item", "element", "array_element"])
def test_the_items_of_lists_are_called_as_before(store, tmp_path, name):
    inner = pa.list_(pa.field(name, pa.string()))
    table = pa.table({"url": [GOOD], "x": pa.array([[["a"]]], pa.list_(pa.field(name, inner)))})
    options = {"use_compliant_nested_type": False, "store_schema": False}
    pq.write_table(table, tmp_path / "data.parquet", **options)
    assert audit(tmp_path / "data.parquet", store, tmp_path / "out") == 0
    kept = pq.ParquetFile(tmp_path / "out/kept/data.parquet")
    assert kept.schema == pq.ParquetFile(tmp_path / "data.parquet").schema
    assert kept.read().equals(table)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "tar"])
def test_a_field_in_another_is_a_column(store, tmp_path, kind):
    """As datatrove, Dolma and RedPajama write it; in Parquet that is the name that the column has."""
    found = [{"meta": {"url": GOOD, "at": {"day": "2025-05-02"}}}, {"meta": {"url": REFUSED}}, {"meta": None}]
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(found), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    else:
        path.write_bytes(tar_of(*((f"{row}.json", json.dumps(one).encode()) for row, one in enumerate(found))))
    assert audit(path, store, tmp_path / "out", "--url-column", "meta.url", "--date-column", "meta.at.day") == 0
    judged = [(row["url"], row["kept"], row["date"]) for row in rows(tmp_path / "out")]
    assert judged == [(GOOD, True, datetime(2025, 5, 2, tzinfo=UTC)), (REFUSED, False, None), (None, False, None)]
    assert audit(path, store, tmp_path / "other") == 2
    assert "meta.url" in (tmp_path / "other/report.json").read_text()


def test_a_column_with_a_dot_in_its_name_goes_before_a_field_in_another(store, tmp_path):
    pq.write_table(pa.table({"meta": [{"url": REFUSED}], "meta.url": [GOOD]}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps({"meta": {"url": REFUSED}, "meta.url": GOOD}))
    assert audit(tmp_path / "*.*", store, tmp_path / "out", "--url-column", "meta.url") == 0
    assert [row["url"] for row in rows(tmp_path / "out")] == [GOOD, GOOD]


def test_files_of_different_schemas_are_audited_each_by_its_own(store, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table({"url": [GOOD], "date": ["2026-01-01"], "n": [1.5]}), folder / "1.parquet")
    pq.write_table(pa.table({"date": pa.array([date(2026, 1, 1)]), "url": [GOOD]}), folder / "2.parquet")
    pq.write_table(pa.table({"url": pa.array([], pa.string())}), folder / "3.parquet")
    pq.write_table(pa.table({"link": [GOOD]}), folder / "4.parquet")
    (folder / "5.parquet").write_bytes(b"")
    (folder / "6.parquet").write_bytes(b"PAR1" + os.urandom(300) + b"PAR1")
    (folder / "7.jsonl").write_bytes(b"")
    assert audit(folder, store, tmp_path / "out", "--as-of", "crawl") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, True]
    told = json.loads((tmp_path / "out/report.json").read_text())["files"]
    assert [file["file"] for file in told if file["unreadable"]] == ["4.parquet", "5.parquet", "6.parquet"]
    schemas = {str(pq.read_schema(tmp_path / f"out/decisions/{name}.parquet")) for name in ("1.parquet", "3.parquet")}
    assert len(schemas) == 1


def test_an_input_that_became_unreadable_leaves_nothing_of_what_it_was(store, tmp_path):
    path = three_groups(tmp_path / "data.parquet")
    assert audit(path, store, tmp_path / "out") == 0
    path.write_bytes(path.read_bytes()[:-30])
    assert audit(path, store, tmp_path / "out") == 2
    assert not list((tmp_path / "out/decisions").iterdir())
    assert not list((tmp_path / "out/kept").iterdir())
    assert main(["evidence", "verify", str(tmp_path / "out")]) == 0


def test_urls_of_ten_megabytes_are_rows_like_others(store, tmp_path):
    long = "https://open.example/" + "x" * 10_000_000
    pq.write_table(
        pa.table({"url": [long, GOOD, "https://" + "h" * 10_000_000 + ".example/", GOOD]}), tmp_path / "a.parquet"
    )
    (tmp_path / "b.jsonl").write_text(json.dumps({"url": long}) + "\n" + json.dumps({"url": GOOD}) + "\n")
    for name, kept in (("a.parquet", [False, True, False, True]), ("b.jsonl", [False, True])):
        assert audit(tmp_path / name, store, tmp_path / "out") == 0
        assert [row["kept"] for row in rows(tmp_path / "out")] == kept


# JSON Lines.


def test_bad_lines_are_named_and_never_kept(store, tmp_path):
    deep = b'{"url": "' + GOOD.encode() + b'", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    lines = [
        json.dumps({"url": GOOD}).encode(),
        b'{"url": "https://open.example/\xff"}',
        b'{"url": "%s", "score": NaN}' % GOOD.encode(),
        b'{"url": "%s", "url": "%s"}' % (REFUSED.encode(), GOOD.encode()),
        deep,
        b"null",
        b'{"url": 5, "tokens": 18446744073709551615, "date": {"a": 1}}',
        b'{"url": "%s", "meta": {"url": "x"}}' % GOOD.encode(),
        b'{"url": "https://open.example/\\ud800"}',
        b"\x00\x01\x02",
        b'{"url": "%s"' % GOOD.encode(),
    ]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert audit(path, store, tmp_path / "out", "--tokens-column", "tokens", "--policy", permissive(tmp_path)) == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [
        True, False, False, False, False, False, True, True, False, False, False,
    ]  # fmt: skip
    assert [place for place, _ in faults(tmp_path / "out")] == [
        f"line {number}" for number in (2, 3, 4, 5, 6, 9, 10, 11)
    ]
    kept = (tmp_path / "out/kept/data.jsonl").read_bytes().splitlines()
    assert kept == [lines[0], lines[6], lines[7]]


def audited_memory(data: Path, store: Path, out: Path) -> int:
    """The most memory in MB that an audit had."""
    code = "from optout.cli import main\nmain(['audit', *sys.argv[1:], '--quiet', '--workers', '1'])"
    program = f"import resource, sys\n{code}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    command = [sys.executable, "-c", program, str(data), "--store", str(store), "--out", str(out)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def usual_memory(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("usual")
    (folder / "data.jsonl").write_text(json.dumps({"url": GOOD}) + "\n")
    return audited_memory(folder / "data.jsonl", store, folder / "out")


def test_a_line_of_two_hundred_megabytes_is_one_row(store, tmp_path, usual_memory):
    path = tmp_path / "data.jsonl"
    with path.open("wb") as file:
        file.write(b'{"url": "%s"}\n{"url": "%s", "text": "' % (GOOD.encode(), GOOD.encode()))
        for _ in range(200):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"url": "%s"}\n' % GOOD.encode())
    assert audited_memory(path, store, tmp_path / "out") < usual_memory + 400
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False, True]
    assert [place for place, _ in faults(tmp_path / "out")] == ["line 2"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
def test_a_file_that_unpacks_to_more_than_anything_real_is_not_read_on(store, tmp_path, monkeypatch, pack):
    monkeypatch.setattr("optout.audit.formats.packed.FREE", 1 << 22)
    path = tmp_path / f"data.jsonl.{'gz' if pack is gzip.compress else 'zst'}"
    path.write_bytes(pack(json.dumps({"url": GOOD}).encode() + b"\n" + b"\n" * (1 << 24)))
    assert audit(path, store, tmp_path / "out") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True]
    assert "unpacks to more than" in faults(tmp_path / "out")[0][1]


def test_memory_stays_where_it_is_when_a_bomb_goes_off(store, tmp_path, usual_memory):
    """Half a gigabyte in one line, in some kilobytes."""
    path = tmp_path / "data.jsonl.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(32):
            file.write(packer.compress(b"x" * (1 << 24)))
        file.write(packer.flush())
    assert audited_memory(path, store, tmp_path / "out") < usual_memory + 400
    assert faults(tmp_path / "out")


def test_a_header_that_claims_gigabytes_ends_the_file(store, tmp_path):
    claims = tarfile.TarInfo("x")
    claims.type, claims.size = tarfile.XHDTYPE, 3 << 30
    path = tmp_path / "data.tar.gz"
    good = tar_of(("a.json", about("a")))[:1024]
    path.write_bytes(gzip.compress(good + claims.tobuf(tarfile.USTAR_FORMAT) + bytes(99_999)))
    assert audit(path, store, tmp_path / "out") == 2
    assert "claims to have 3221225472 bytes" in faults(tmp_path / "out")[0][1]


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.ZstdCompressor(write_checksum=True).compress)]
)
def test_what_comes_before_the_damage_is_judged(store, tmp_path, suffix, pack):
    lines = b"".join(json.dumps({"url": f"{GOOD}/{os.urandom(16).hex()}"}).encode() + b"\n" for _ in range(5_000))
    whole = pack(lines)
    cut, spoilt = tmp_path / f"cut.jsonl.{suffix}", tmp_path / f"spoilt.jsonl.{suffix}"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    spoilt.write_bytes(whole[: len(whole) // 2] + b"\xff" * 64 + whole[len(whole) // 2 + 64 :])
    for path in (cut, spoilt):
        out = tmp_path / path.stem
        assert audit(path, store, out) == 2
        assert faults(out)
        assert all(row["url"] is None or row["url"].startswith(GOOD) for row in rows(out))


@pytest.mark.parametrize(
    "line",
    [
        '{"\\u0075rl": "%s", "url": "%s"}',
        '{"url": "%s", "\\u0075\\u0072\\u006C": "%s"}',
        '{"url": "https://open.example/", "meta": {"url": "%s", "url": "%s"}}',
    ],
)
def test_a_key_that_stands_there_twice_is_found_however_it_is_written(store, tmp_path, line):
    path = tmp_path / "data.jsonl"
    path.write_text(line % (REFUSED, GOOD) + '\n{"url": "https://open.example/\\u0041", "meta": {"url": "x"}}\n')
    assert audit(path, store, tmp_path / "out", "--url-column", "meta.url" if "meta" in line[:40] else "url") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [False, "meta" not in line[:40]]


def test_dates_that_are_none_cost_no_other_row(store, tmp_path):
    dates = ['[1, "a"]', "[[1], 2]", '{"a": [1, "b"]}', "true", "1e300", "123456789012345678901", '"2025-06-01"']
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"url": "{GOOD}", "date": {text}}}\n' for text in dates))
    assert audit(path, store, tmp_path / "out") == 0
    assert [row["date"] for row in rows(tmp_path / "out")] == [None] * 6 + [datetime(2025, 6, 1, tzinfo=UTC)]


@pytest.mark.parametrize("document", [{"count": 5, "url": GOOD}, [{"url": GOOD}, {"url": REFUSED}]])
def test_a_json_document_over_several_lines_is_no_json_lines(store, tmp_path, document):
    """As img2dataset writes statistics beside its samples, and many write small datasets: no row is made up of it."""
    (tmp_path / "00000_stats.json").write_text(json.dumps(document, indent=4))
    (tmp_path / "00000.tar").write_bytes(tar_of(("a.json", about("a"))))
    assert audit(tmp_path / "0*", store, tmp_path / "out") == 2
    assert [row["file"] for row in rows(tmp_path / "out")] == ["00000.tar"]
    files = json.loads((tmp_path / "out/report.json").read_text())["files"]
    assert "jq -c" in files[1]["unreadable"]


def test_a_byte_order_mark_costs_no_row(store, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"url": "%s"}\n{"url": "%s"}\n' % (GOOD.encode(), REFUSED.encode()))
    assert audit(path, store, tmp_path / "out") == 0
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False]
    assert (tmp_path / "out/kept/data.jsonl").read_bytes() == path.read_bytes().splitlines(keepends=True)[0]


@pytest.mark.parametrize("kind", ["jsonl", "tar"])
def test_a_column_that_no_row_has_is_told_with_those_that_there_are(store, tmp_path, kind):
    text = json.dumps({"address": GOOD, "words": 5}).encode()
    path = tmp_path / f"data.{kind}"
    path.write_bytes(text + b"\n" + text if kind == "jsonl" else tar_of(("a.json", text), ("b.json", text)))
    assert audit(path, store, tmp_path / "out") == 2
    assert faults(tmp_path / "out") == [
        ("all rows", "none has 'url'; name one of these with its option: address, words")
    ]
    options = ("--url-column", "address", "--tokens-column", "words")
    assert audit(path, store, tmp_path / "named", *options) == 0
    assert [(row["kept"], row["tokens"]) for row in rows(tmp_path / "named")] == [(True, 5)] * 2
    assert audit(path, store, tmp_path / "date", *options, "--date-column", "dat") == 2


# Tar.


def test_members_of_which_readers_differ_are_named_and_their_samples_not_kept(store, tmp_path):
    path = tmp_path / "data.tar"
    twice = f'{{"url": "{REFUSED}", "url": "{GOOD}"}}'.encode()
    path.write_bytes(tar_of(("a.json", about("a")), ("b.json", twice), ("c.json", b'{"url": NaN}'), ("d.txt", b"x")))
    assert audit(path, store, tmp_path / "out") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False, False, False]
    assert [place for place, _ in faults(tmp_path / "out")] == ["member 'b.json'", "member 'c.json'"]


@pytest.mark.parametrize("form", ["gnu", "posix", "posix --sparse-version=0.1"])
def test_a_sparse_file_is_kept_whole(store, tmp_path, form):
    (tmp_path / "a.json").write_bytes(about("a"))
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"data")
    path = tmp_path / "data.tar"
    command = ["tar", "--sparse", *f"--format={form}".split(), "-C", str(tmp_path), "-cf", str(path), "a.bin", "a.json"]
    subprocess.run(command, check=True)
    assert path.stat().st_size < 1 << 19
    assert audit(path, store, tmp_path / "out") == 0
    with tarfile.open(tmp_path / "out/kept/data.tar") as tar:
        assert {name: tar.extractfile(name).read() for name in tar.getnames()} == {
            "a.bin": (tmp_path / "a.bin").read_bytes(),
            "a.json": about("a"),
        }


def tar_of(*members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if name.endswith((".json", ".txt", ".bin")):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data, "/etc/passwd"
                tar.addfile(info)
    return buffer.getvalue()


def about(name: str) -> bytes:
    return json.dumps({"url": f"https://open.example/{name}"}).encode()


def test_members_that_lead_elsewhere_are_named_and_their_samples_not_kept(store, tmp_path):
    path = tmp_path / "data.tar"
    path.write_bytes(
        tar_of(
            ("a.json", about("a")),
            ("../b.json", about("b")), ("/c.json", about("c")), ("x/../../d.json", about("d")),
            ("e\\..\\..\\e.json", about("e")), ("C:\\f.json", about("f")),
            ("g.json", about("g")), ("g.jpg", tarfile.SYMTYPE),
            ("h.json", about("h")), ("h.jpg", tarfile.LNKTYPE),
            ("i.json", about("i")), ("i.jpg", tarfile.CHRTYPE),
            ("j.json", about("j")), ("j.jpg", tarfile.FIFOTYPE),
            ("k/", tarfile.DIRTYPE), ("k/l.json", about("l")),
        )
    )  # fmt: skip
    assert audit(path, store, tmp_path / "out", "--policy", permissive(tmp_path)) == 2
    found = rows(tmp_path / "out")
    assert [(row["url"] or "/-").rsplit("/", 1)[1] for row in found] == list("abcd-fghijl")
    assert [row["kept"] for row in found] == [True] + [False] * 9 + [True]
    assert len(faults(tmp_path / "out")) == 9
    with tarfile.open(tmp_path / "out/kept/data.tar") as tar:
        assert tar.getnames() == ["a.json", "k/l.json"]


def test_a_tar_that_is_cut_keeps_what_was_whole(store, tmp_path):
    whole = tar_of(("a.json", about("a")), ("b.json", about("b")), ("b.txt", b"x" * 2_000))
    path = tmp_path / "data.tar"
    path.write_bytes(whole[: 512 * 5 + 700])
    assert audit(path, store, tmp_path / "out", "--policy", permissive(tmp_path)) == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False]


def test_a_sample_larger_than_is_looked_into_is_not_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr("optout.audit.formats.tar.LARGEST_SAMPLE", 5_000)
    path = tmp_path / "data.tar"
    path.write_bytes(
        tar_of(("a.json", about("a")), ("a.txt", b"x" * 3_000), ("a.bin", b"y" * 3_000), ("b.json", about("b")))
    )
    assert audit(path, store, tmp_path / "out") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [False, True]


# WARC.

HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><head></head>%s</html>"


def record(url: str, body: bytes, claims: int | None = None) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2025-06-01T00:00:00Z\r\n"
    head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {claims or len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_warc_that_is_cut_in_a_record_keeps_the_whole_ones(store, tmp_path, pack):
    parts = [pack(record(f"https://open.example/{name}", HTTP % os.urandom(900).hex().encode())) for name in "abc"]
    path = tmp_path / ("data.warc" if pack is bytes else "data.warc.gz")
    path.write_bytes(b"".join(parts)[: -len(parts[2]) // 2])
    assert audit(path, store, tmp_path / "out", "--policy", permissive(tmp_path)) == 2
    found = rows(tmp_path / "out")
    assert [row["kept"] for row in found][:2] == [True, True]
    assert not any(row["kept"] for row in found[2:])
    kept = (tmp_path / "out/kept" / path.name).read_bytes()
    assert kept == b"".join(parts[:2])


def test_a_large_record_that_is_cut_is_not_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr("optout.audit.formats.warc.LARGEST_PAGE", 1_000)
    path = tmp_path / "data.warc"
    path.write_bytes(
        record("https://open.example/a", HTTP % b"x") + record("https://open.example/b", HTTP % b"y" * 5_000)[:-3_000]
    )
    assert audit(path, store, tmp_path / "out") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False]


def test_records_that_lie_about_their_length_do_not_bring_others_down(store, tmp_path):
    path = tmp_path / "data.warc"
    path.write_bytes(
        record("https://open.example/a", HTTP % b"a") + record("https://open.example/b", HTTP % b"b", claims=10**15)
    )
    assert audit(path, store, tmp_path / "out") == 2
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False]


RESERVED = b'<html><head><meta name="tdm-reservation" content="1"></head></html>'


def coded(fields: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + fields + b"\r\n" + body


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("answer", "faults_told"),
    [
        (coded(b"Content-Encoding: gzip\r\n", RESERVED), 0),
        (coded(b"Transfer-Encoding: chunked\r\n", RESERVED), 0),
        (coded(b"Content-Encoding: br\r\nTransfer-Encoding: chunked\r\n", RESERVED), 0),
        (coded(b"", RESERVED).replace(b"\r\n", b"\n"), 0),
        (b"HTTP/1.1 200 OK\nX-Robots-Tag: noai\r\nA: b\n\r\n<html>", 0),
        (coded(b"", RESERVED).replace(b"HTTP/1.1", b"ICY"), 0),
        (coded(b"Transfer-Encoding: chunked\r\n", b"43;x=y\r\n" + RESERVED + b"\r\n0\r\n\r\n"), 0),
        (coded(b"Content-Encoding: gzip\r\n", gzip.compress(RESERVED)[:-9]), 1),
        (coded(b"Content-Encoding: br\r\n", bytes([0xC1, 0, 5]) * 22), 1),
        (coded(b"Transfer-Encoding: chunked\r\n", b"43\r\n" + RESERVED + b"\r\nzz"), 1),
        (b"no HTTP at all", 1),
    ],
    ids=[
        "no-gzip",
        "no-chunks",
        "neither",
        "line-feeds",
        "some-line-feeds",
        "no-http-name",
        "chunks",
        "half-a-gzip",
        "no-brotli",
        "half-the-chunks",
        "no-http",
    ],
)
def test_content_is_read_as_it_is_or_its_record_not_kept(store, tmp_path, pack, answer, faults_told):
    """Archives, Common Crawl's older ones among them, have removed codings that their header fields still name."""
    urls = ("https://open.example/a", "https://open.example/b", "https://shut.example/c", "https://open.example/d")
    parts = [pack(record(url, answer if url.endswith("b") else HTTP % b"x")) for url in urls]
    path = tmp_path / f"data.warc{ {gzip.compress: '.gz', zstandard.compress: '.zst'}.get(pack, '') }"
    path.write_bytes(b"".join(parts))
    assert audit(path, store, tmp_path / "out") == (2 if faults_told else 0)
    assert [row["kept"] for row in rows(tmp_path / "out")] == [True, False, False, True]
    assert len(faults(tmp_path / "out")) == faults_told
    counted = json.loads((tmp_path / "out/report.json").read_text())["rows"]
    assert counted["unreadable"] == faults_told
    assert counted["judged"] == sum(counted[name] for name in ("kept", "review", "denied", "unreadable"))
    assert (tmp_path / "out/kept" / path.name).read_bytes() == parts[0] + parts[3]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("junk", [bytes(999), b"\x1f\x8bxxxx", b"WARC/1.0\r\n"], ids=["zeros", "gzip", "head"])
def test_what_stands_behind_the_last_record_that_was_judged_is_not_kept(store, tmp_path, pack, junk):
    first, shut = (pack(record(f"https://{name}.example/a", HTTP % b"x")) for name in ("open", "shut"))
    path = tmp_path / f"data.warc{ {gzip.compress: '.gz', zstandard.compress: '.zst'}.get(pack, '') }"
    path.write_bytes(first + junk + shut)
    code = audit(path, store, tmp_path / "out")
    kept = (tmp_path / "out/kept" / path.name).read_bytes()
    assert kept.startswith(first)
    assert shut not in kept
    assert code == 2 or [row["url"] for row in rows(tmp_path / "out")][1:] == ["https://shut.example/a"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_records_that_are_compressed_as_one_are_not_copied_in_parts(store, tmp_path, pack):
    whole = b"".join(record(f"https://{name}.example/a", HTTP % b"x") for name in ("open", "shut", "open"))
    path = tmp_path / f"data.warc.{'gz' if pack is gzip.compress else 'zst'}"
    path.write_bytes(pack(whole))
    assert audit(path, store, tmp_path / "out") == 2
    assert not (tmp_path / "out/kept" / path.name).exists()
    assert "warcio recompress" in json.loads((tmp_path / "out/report.json").read_text())["files"][0]["unreadable"]


# Files that change, and places that cannot be written.


class Meddler:
    """A judge in whose presence something happens to the input."""

    def __init__(self, judge, happening) -> None:
        self._judge, self._happening = judge, happening

    def __getattr__(self, name: str):
        return getattr(self._judge, name)

    def judge(self, *arguments):
        self._happening()
        return self._judge.judge(*arguments)


@pytest.mark.parametrize("name", ["data.parquet", "data.jsonl", "data.tar", "data.warc"])
@pytest.mark.parametrize("what", ["grows", "vanishes", "is replaced"])
def test_a_file_that_changes_while_it_is_read_is_not_judged(store, tmp_path, name, what):
    path = tmp_path / name
    write_one(path)

    def happening() -> None:
        if what == "grows":
            with path.open("ab") as file:
                file.write(b"\n")
        elif what == "vanishes":
            path.unlink(missing_ok=True)
        else:
            other = tmp_path / "other"
            other.write_bytes(bytes(10))
            other.replace(path)

    job = Job(store, "eu-gpai", "OptOutBot", date(2026, 11, 23))
    out = tmp_path / "out"
    manifest = make_shard(Place(out), Input(path, name), job, job.digest(), Meddler(job.judge(), happening))
    assert manifest.unreadable is not None
    assert name in manifest.unreadable
    assert [file for file in out.rglob("*") if file.is_file()] == [out / "shards" / f"{name}.json"]


def write_one(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"url": [GOOD]}), path)
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps({"url": GOOD}) + "\n")
    elif path.suffix == ".tar":
        path.write_bytes(tar_of(("a.json", about("a"))))
    else:
        path.write_bytes(record(GOOD, HTTP % b""))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_ends_the_audit_and_leaves_nothing_half(store, tmp_path, small_disk, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        urls = [f"https://open.example/{os.urandom(40).hex()}" for _ in range(20_000)]
        pq.write_table(pa.table({"url": urls}), folder / f"{number}.parquet")
    assert audit(folder, store, small_disk / "out") == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert str(small_disk) in said
    assert not [path for path in small_disk.rglob("*.part") if path.parent.name in {"decisions", "kept", "shards"}]
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert audit(folder, store, small_disk / "out") == 0
    assert len(rows(small_disk / "out")) == 80_000
    assert main(["evidence", "verify", str(small_disk / "out")]) == 0


def test_an_output_that_cannot_be_written_is_told(store, tmp_path, small_disk, capsys):
    write_one(tmp_path / "data.jsonl")
    (tmp_path / "file").write_text("x")
    assert audit(tmp_path / "data.jsonl", store, tmp_path / "file" / "out") == 2
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert audit(tmp_path / "data.jsonl", store, small_disk / "out") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "Not a directory" in said[0]
    assert "Read-only file system" in said[1]


def test_what_an_audit_wrote_is_not_its_input(store, tmp_path):
    write_one(tmp_path / "data.jsonl")
    for _ in range(2):
        assert audit(tmp_path, store, tmp_path / "out") == 0
        assert len(rows(tmp_path / "out")) == 1
