import gzip
import io
import json
import os
import pickle
import shutil
import signal
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

from optout.audit import Auditor, decide
from optout.audit.storage import part_of
from optout.cli import main

OPEN = "User-agent: *\nDisallow: /private\n"
SHUT = "User-agent: *\nDisallow: /\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    later = datetime(2026, 3, 1, tzinfo=UTC)
    return make(
        tmp_path_factory.mktemp("store"),
        state("https://open.example", OPEN),
        state("https://shut.example", SHUT),
        state("https://turned.example", OPEN),
        state("https://turned.example", SHUT, later),
        state("https://opened.example", SHUT),
        state("https://opened.example", OPEN, later),
        state("https://tdm.example", None, tdmrep='[{"location": "/art/*", "tdm-reservation": 1}]'),
    )


def audit(store, out, *arguments):
    return main(["audit", *map(str, arguments), "--store", str(store), "--out", str(out), "--quiet", "--workers", "1"])


def rows(out):
    tables = [pq.read_table(path) for path in sorted((out / "decisions").iterdir())]
    return [row for table in tables for row in table.to_pylist()]


URLS = [
    "https://open.example/page",
    "https://open.example/private/x",
    "https://shut.example/page",
    "https://unknown.example/",
    "https://tdm.example/art/1",
    "https://tdm.example/news",
    None,
    "not a url",
]
EFFECTS = ["permit", "deny", "deny", "deny", "deny", "permit", "deny", "deny"]


def test_every_row_of_parquet_is_judged_and_the_permitted_ones_are_kept(store, tmp_path):
    pq.write_table(pa.table({"id": range(len(URLS)), "url": URLS}), tmp_path / "data.parquet")
    assert audit(store, tmp_path / "out", tmp_path / "data.parquet") == 0
    found = rows(tmp_path / "out")
    assert [row["effect"] for row in found] == EFFECTS
    assert [row["url"] for row in found] == URLS
    assert [row["row"] for row in found] == list(range(len(URLS)))
    assert found[4]["reason"].startswith("tdmrep.")
    assert (found[4]["tdm_state"], found[5]["tdm_state"]) == ("reserved", "unspecified")
    assert [row["status"] for row in found][3] == "unknown"
    assert pq.read_table(tmp_path / "out/kept/data.parquet")["id"].to_pylist() == [0, 5]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["rows"]["judged"] == len(URLS)
    assert report["rows"]["kept"] == 2
    page = (tmp_path / "out/report.html").read_text()
    assert "<script" not in page
    assert "robots.group.disallow" in page


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)])
def test_lines_are_kept_byte_for_byte_and_bad_lines_are_rows(store, tmp_path, suffix, pack):
    good = b'{"url": "https://open.example/page",   "n": 1.50}\n'
    lines = good + b'{"url": "https://shut.example/"}\n{broken\n\n[1]\n{"url": "https://open.example/q"}'
    path = tmp_path / f"data.jsonl{suffix}"
    path.write_bytes(pack(lines))
    assert audit(store, tmp_path / "out", path) == 2
    assert [row["effect"] for row in rows(tmp_path / "out")] == ["permit", "deny", "deny", "deny", "permit"]
    kept = (tmp_path / "out/kept" / path.name).read_bytes()
    unpack = {
        "": bytes,
        ".gz": gzip.decompress,
        ".zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }[suffix]
    assert unpack(kept) == good + b'{"url": "https://open.example/q"}\n'
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [fault["place"] for fault in report["faults"]] == ["line 3", "line 5"]


def test_a_page_may_reserve_what_its_origin_does_not(store, tmp_path):
    page = '<html><head><meta name="robots" content="noai"></head><body></body></html>'
    plain = "<html><head><title>x</title></head></html>"
    data = [
        {"url": "https://open.example/a", "html": page},
        {"url": "https://open.example/b", "html": plain},
        {"url": "https://open.example/c", "headers": {"X-Robots-Tag": "noai"}},
        {"url": "https://open.example/d", "headers": '[["tdm-reservation", "1"]]'},
        {"url": "https://open.example/d", "headers": [{"key": "X-Robots-Tag", "value": "noai"}]},
        {"url": "https://open.example/d", "headers": ["Server: x", "X-Robots-Tag: noai"]},
        {"url": "https://unknown.example/e", "html": page},
        {"url": "no url", "html": page},
        {"url": "no url", "html": plain},
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    assert audit(store, tmp_path / "out", path, "--policy", "literal") == 0
    found = rows(tmp_path / "out")
    assert [row["effect"] for row in found] == ["deny", "permit", *["deny"] * 6, "review"]
    assert [row["status"] for row in found[6:]] == ["unknown", "malformed", "malformed"]
    assert found[6]["protocol"] == found[7]["protocol"] == "robots-directives"


def test_the_date_of_a_row_chooses_the_state(store, tmp_path):
    urls = ["https://turned.example/x", "https://opened.example/x"] * 3
    dates = ["2025-06-01", "2025-06-01", "2026-04-01", "2026-04-01", "2001-01-01", None]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"url": u, "date": d}) + "\n" for u, d in zip(urls, dates, strict=True)))
    assert audit(store, tmp_path / "crawl", path, "--as-of", "crawl") == 0
    found = rows(tmp_path / "crawl")
    assert [row["effect"] for row in found] == ["permit", "deny", "deny", "permit", "deny", "deny"]
    assert [row["reason"] for row in found][4:] == ["origin.unknown-then"] * 2
    time = json.loads((tmp_path / "crawl/report.json").read_text())["time"]
    assert (time["reserved_since"], time["opened_since"]) == (1, 1)
    assert audit(store, tmp_path / "retro", path, "--as-of", "crawl", "--retroactive") == 0
    assert next(row["reason"] for row in rows(tmp_path / "retro")) == "since.robots.group.disallow"
    assert audit(store, tmp_path / "day", path, "--as-of", "2025-06-01") == 0
    assert [row["effect"] for row in rows(tmp_path / "day")] == ["permit", "deny"] * 3
    assert audit(store, tmp_path / "now", path) == 0
    assert [row["effect"] for row in rows(tmp_path / "now")] == ["deny", "permit"] * 3


def test_other_choices_are_compared_in_one_pass(store, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"url": "https://turned.example/x", "date": "2025-06-01"}\n{"url": "https://unknown.example/"}\n')
    assert audit(store, tmp_path / "out", path, "--as-of", "crawl", "--what-if", "literal,retroactive") == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [(one["name"], one["kept"], one["lost"]) for one in report["what_if"]] == [
        ("literal", 1, 0),
        ("retroactive", 0, 1),
    ]


def tar_of(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_samples_of_a_tar_are_rows_and_hostile_names_are_not_kept(store, tmp_path):
    about = {key: json.dumps({"url": f"https://open.example/{key}"}).encode() for key in "abc"}
    asset = (Path(__file__).parent / "assets/c2pa_all.jpg").read_bytes()
    path = tmp_path / "data.tar"
    path.write_bytes(
        tar_of(
            ("a.json", about["a"]),
            ("a.txt", b"text"),
            ("b.json", about["b"]),
            ("b.jpg", asset),
            ("../c.json", about["c"]),
        )
    )
    assert audit(store, tmp_path / "out", path) == 2
    found = rows(tmp_path / "out")
    assert [row["kept"] for row in found] == [True, False, False]
    assert found[1]["protocol"] == "c2pa"
    with tarfile.open(tmp_path / "out/kept/data.tar") as tar:
        assert tar.getnames() == ["a.json", "a.txt"]


def record(kind, url, body, extra=""):
    target = f"WARC-Target-URI: {url}\r\n" if url else ""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\n{target}WARC-Date: 2025-06-01T00:00:00Z\r\n{extra}"
    kinds = {"response": "application/http; msgtype=response", "request": "application/http; msgtype=request"}
    head += f"Content-Type: {kinds.get(kind, 'text/plain')}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%s\r\n<html><head></head></html>"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_warc_records_are_copied_and_requests_go_with_their_responses(store, tmp_path, pack):
    records = [
        record("warcinfo", "", b"software: x"),
        record("request", "https://open.example/a", b"GET / HTTP/1.1\r\n\r\n"),
        record("response", "https://open.example/a", HTTP % b""),
        record("request", "https://open.example/b", b"GET / HTTP/1.1\r\n\r\n"),
        record("response", "https://open.example/b", HTTP % b"X-Robots-Tag: noai\r\n"),
        record("response", "https://shut.example/", HTTP % b""),
    ]
    packed = [pack(one) for one in records]
    path = tmp_path / ("data.warc.gz" if pack is gzip.compress else "data.warc")
    path.write_bytes(b"".join(packed))
    assert audit(store, tmp_path / "out", path) == 0
    assert [row["effect"] for row in rows(tmp_path / "out")] == ["permit", "deny", "deny"]
    assert (tmp_path / "out/kept" / path.name).read_bytes() == b"".join(packed[:3])


def test_broken_inputs_are_named_and_the_rest_is_audited(store, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table({"url": ["https://open.example/page"] * 1000}), folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[:-20])
    pq.write_table(pa.table({"address": ["x"]}), folder / "other.parquet")
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"url": "https://open.example/page"}\n' * 5000)[:100])
    (folder / "junk.warc").write_bytes(b"no warc at all " * 100)
    (folder / "cut.warc").write_bytes(record("response", "https://open.example/a", HTTP % b"")[:-12])
    (folder / "empty.jsonl").write_bytes(b"")
    assert audit(store, tmp_path / "out", folder) == 2
    said = capsys.readouterr().err
    for name in ("cut.parquet", "other.parquet", "cut.jsonl.gz", "junk.warc", "cut.warc"):
        assert name in said
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert {one["file"]: one["rows"] for one in report["files"]}["whole.parquet"] == 1000


def snapshot(out):
    """What an audit wrote, but for its log, which has keys and times of its own."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and out / "evidence" not in path.parents]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_an_audit_that_was_killed_goes_on_to_the_same_bytes(store, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        urls = [f"https://open.example/{number}/{row}" for row in range(3000)]
        pq.write_table(pa.table({"url": urls}), folder / f"{number}.parquet")
    command = [sys.executable, "-c", "from optout.cli import main; import sys; sys.exit(main(sys.argv[1:]))"]
    command += ["audit", str(folder), "--store", str(store), "--workers", "1", "--quiet"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    while not (tmp_path / "killed/shards/1.parquet.json").exists() and process.poll() is None:
        pass
    process.kill()
    process.wait()
    assert audit(store, tmp_path / "killed", folder) == 0
    assert audit(store, tmp_path / "whole", folder) == 0
    left = {name: data for name, data in snapshot(tmp_path / "killed").items() if not name.endswith(".part")}
    assert left == snapshot(tmp_path / "whole")


def test_an_interruption_is_told_in_one_line_even_as_processes_begin(store, tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.jsonl").write_text('{"url": "https://open.example/"}\n' * 50_000)
    command = [Path(sys.executable).with_name("optout"), "audit", tmp_path / "*.jsonl", "--store", store]
    command += ["--out", tmp_path / "out", "--workers", "2", "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children.read_text().split()) < 3:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr.read() == "optout audit: interrupted; run it again to go on\n"
    assert process.returncode == 130


def test_an_output_holds_what_the_last_audit_made_and_nothing_else(store, tmp_path):
    for name in ("a/1.jsonl", "a/2.jsonl", "b.jsonl"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text('{"url": "https://open.example/page"}\n')
    out = tmp_path / "out"
    assert audit(store, out, tmp_path / "in") == 0
    (out / "kept/mine.txt").write_text("not of an audit")
    shutil.rmtree(tmp_path / "in/a")
    (tmp_path / "in/c.jsonl").write_text('{"url": "https://open.example/page"}\n')
    assert audit(store, out, tmp_path / "in", "--policy", "literal") == 0
    assert {path.relative_to(out / "kept").as_posix() for path in (out / "kept").rglob("*")} == {
        "b.jsonl", "c.jsonl", "mine.txt",
    }  # fmt: skip
    assert len(rows(out)) == json.loads((out / "report.json").read_text())["rows"]["judged"] == 2
    (out / "kept/mine.txt").unlink()
    assert main(["evidence", "verify", str(out), "--store", str(store)]) == 0


def test_a_changed_input_or_store_is_judged_again(store, tmp_path):
    own = make(tmp_path / "store", state("https://a.example", OPEN))
    path = tmp_path / "data.jsonl"
    path.write_text('{"url": "https://a.example/x"}\n')
    audit(own, tmp_path / "out", path)
    assert [row["effect"] for row in rows(tmp_path / "out")] == ["permit"]
    make(own, state("https://a.example", SHUT, datetime(2026, 1, 1, tzinfo=UTC)))
    audit(own, tmp_path / "out", path)
    assert [row["effect"] for row in rows(tmp_path / "out")] == ["deny"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.parquet"], "no such file"),
        (["data.txt"], "of no known form"),
        (["data.jsonl", "--as-of", "yesterday"], "is no date"),
        (["data.jsonl", "--shard", "4/4"], "is no share"),
        (["data.jsonl", "--policy", "no-such"], "cannot be read"),
    ],
)
def test_wrong_usage_is_told_in_one_line(store, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("data.txt").write_text("x")
    Path("data.jsonl").write_text('{"url": "https://open.example/"}\n')
    assert audit(store, tmp_path / "out", *arguments) == 2
    assert said in capsys.readouterr().err


def test_no_processes_do_no_work(tmp_path, capsys):
    words = ["audit", "data.jsonl", "--store", str(tmp_path), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main(words) == 2
    assert "--workers 0 is no number of processes" in capsys.readouterr().err


def test_a_file_is_judged_once_however_often_it_is_named(store, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_text('{"url": "https://open.example/"}\n')
    monkeypatch.chdir(tmp_path)
    assert audit(store, "out", "in", "in/a.jsonl", "./in/*.jsonl", tmp_path / "in/a.jsonl", "in/") == 0
    assert json.loads((tmp_path / "out/report.json").read_text())["rows"]["judged"] == 1


def test_a_folder_that_is_reached_in_several_ways_is_judged_once_and_links_are_followed(store, tmp_path):
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    for folder in (elsewhere, data / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text('{"url": "https://open.example/page"}\n')
    (data / "linked").symlink_to(elsewhere)
    (data / "another").symlink_to("deep")
    (data / "deep/round").symlink_to("..")
    assert audit(store, tmp_path / "out", data, data / "deep/../linked", tmp_path / "data/another/a.jsonl") == 0
    assert sorted(row["file"] for row in rows(tmp_path / "out")) == ["deep/a.jsonl", "linked/a.jsonl"]


def test_names_that_are_not_utf_8_or_as_long_as_can_be_are_names(store, tmp_path, capsys):
    data, url = tmp_path / "in", "https://open.example/page"
    data.mkdir()
    line = json.dumps({"url": url}) + "\n"
    (data / f"{'n' * 240}.jsonl").write_text(line)
    Path(os.fsdecode(os.fsencode(data) + b"/caf\xe9.jsonl")).write_text(line)
    pq.write_table(pa.table({"url": [url]}), data / "new.parquet")
    (data / "new.parquet").rename(os.fsdecode(os.fsencode(data) + b"/\xfc.parquet"))
    Path(os.fsdecode(os.fsencode(data) + b"/\xff.parquet")).write_bytes(b"none")
    assert audit(store, tmp_path / "out", data) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "\\udcff.parquet: " in said[0]
    kept = sorted(path.name for path in (tmp_path / "out/kept").iterdir())
    assert kept == ["\\udcfc.parquet", "caf\\udce9.jsonl", f"{'n' * 240}.jsonl"]
    assert main(["evidence", "verify", str(tmp_path / "out"), "--store", str(store)]) == 0


def test_the_folder_that_one_stands_in_is_an_output_like_any_other(store, tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"url": "https://open.example/page"}\n')
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert audit(store, ".", "../a.jsonl") == 0
    before = (tmp_path / "out/shards/a.jsonl.json").stat().st_mtime_ns
    assert audit(store, ".", "../a.jsonl") == 0
    assert (tmp_path / "out/shards/a.jsonl.json").stat().st_mtime_ns == before
    assert main(["evidence", "verify", ".", "--store", str(store)]) == 0


def test_what_an_audit_has_kept_is_not_written_over_by_an_audit_of_it(store, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"url": "https://open.example/page"}\n')
    assert audit(store, tmp_path / "out", tmp_path / "a.jsonl") == 0
    assert audit(store, tmp_path / "out", tmp_path / "out/kept") == 2
    assert "all else in DATA is in" in capsys.readouterr().err
    assert (tmp_path / "out/kept/a.jsonl").exists()


def test_only_what_nobody_writes_any_more_is_cleared_away(store, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"url": "https://open.example/page"}\n')
    kept = tmp_path / "out/kept"
    kept.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    living, dead, foreign = (
        kept / part_of(kept / "a.jsonl").name.replace(f"-{os.getpid()}.", end)
        for end in (f"-{os.getppid()}.", f"-{ended.pid}.", "-elsewhere-7.")
    )
    for part in (living, dead, foreign):
        part.write_bytes(b"half a line")
    assert audit(store, tmp_path / "out", tmp_path / "a.jsonl") == 0
    assert sorted(kept.iterdir()) == sorted([kept / "a.jsonl", living])


def test_policies_of_one_name_are_not_taken_for_each_other(store, tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text((Path(__file__).parents[1] / "policies/eu-gpai.toml").read_text().replace("366", "30"))
    (tmp_path / "a.jsonl").write_text('{"url": "https://open.example/"}\n')
    assert audit(store, tmp_path / "out", tmp_path / "a.jsonl", "--what-if", f"{own},eu-gpai") == 2
    assert "two policies to compare with are called 'eu-gpai'" in capsys.readouterr().err
    assert audit(store, tmp_path / "out", tmp_path / "a.jsonl", "--what-if", "literal, literal,eu-gpai") == 0
    compared = json.loads((tmp_path / "out/report.json").read_text())["what_if"]
    assert [one["name"] for one in compared] == ["literal", "eu-gpai"]


def test_a_list_of_removals_that_cannot_be_written_is_told_in_one_line(store, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"url": "https://open.example/"}\n')
    assert audit(store, tmp_path / "out", tmp_path / "a.jsonl") == 0
    capsys.readouterr()
    command = ["audit", "--diff", str(tmp_path / "out"), str(tmp_path / "out"), "--out", str(tmp_path / "a.jsonl")]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("optout audit: cannot write to ")


def test_two_audits_are_compared_as_a_list_of_removals(store, tmp_path, capsys):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"url": "https://{name}.example/x"}}\n' for name in ("turned", "opened", "open")))
    audit(store, tmp_path / "then", path, "--as-of", "2025-06-01")
    audit(store, tmp_path / "now", path)
    capsys.readouterr()
    command = ["audit", "--diff", str(tmp_path / "then"), str(tmp_path / "now"), "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["remove"] == 1
    found = pq.read_table(tmp_path / "removals.parquet").to_pylist()
    assert [(row["change"], row["url"]) for row in found] == [
        ("remove", "https://turned.example/x"),
        ("add", "https://opened.example/x"),
    ]


def test_a_row_that_another_audit_did_not_have_is_neither_to_be_removed_nor_added(store, tmp_path, capsys):
    """Rows were put in, a file has another name, and one URL stands there twice."""
    urls = ["https://turned.example/x", "https://open.example/x", "https://open.example/x", "no address"]
    for name, lines in {"old": urls, "new": ["https://open.example/private/1", *urls]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_text("".join(f'{{"url": "{url}"}}\n' for url in lines))
        (tmp_path / name / f"{name}.jsonl").write_text(f'{{"url": "{urls[1]}"}}\n{{}}\n')
        audit(store, tmp_path / f"out-{name}", tmp_path / name)
    command = ["audit", "--diff", str(tmp_path / "out-old"), str(tmp_path / "out-new"), "--out", str(tmp_path)]
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    # Of a.jsonl the third row has the same URL in both.
    assert {name: counted[name] for name in counted.keys() - {"file"}} == {"only-before": 5, "only-after": 6}
    assert main(command) == 0
    assert "rows that only OUT1 has" in capsys.readouterr().out


def test_names_of_files_and_folders_are_no_patterns_and_no_columns(store, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(["a[1].jsonl", "a1.jsonl", "b*.jsonl", "bc.jsonl"], 1):
        (folder / name).write_text('{"url": "https://open.example/x"}\n' * number)
    outs = [tmp_path / "kept=0/file=5/date=2024-01-01/o[1]", tmp_path / "o*"]
    for out in outs:
        assert audit(store, out, folder) == 0
        report = json.loads((out / "report.json").read_text())
        assert (report["rows"]["judged"], report["rows"]["kept"], report["years"]) == (10, 10, [])
        assert main(["evidence", "verify", str(out), "--store", str(store)]) == 0
    capsys.readouterr()
    assert main(["audit", "--diff", *map(str, outs), "--out", str(tmp_path / "host=x[1]"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / "host=x[1]/removals.parquet")}


def test_a_file_and_a_folder_of_one_name_both_have_a_place(store, tmp_path):
    """Spark writes folders that are called like files."""
    for number, name in enumerate(["1/a.jsonl", "2/a.jsonl/part.jsonl", "3/a.jsonl/part.jsonl/x.jsonl", "4/a.jsonl"]):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps({"url": f"https://open.example/{number}"}) + "\n")
    assert audit(store, tmp_path / "out", *(tmp_path / str(number) for number in (1, 2, 3, 4))) == 0
    kept = [path for path in (tmp_path / "out/kept").rglob("*") if path.is_file()]
    assert sorted(path.read_text()[-4] for path in kept) == ["0", "1", "2", "3"]


def test_the_library_adds_columns_and_keeps_rows(store):
    auditor = Auditor(store, date(2026, 11, 23))
    table = pa.table({"n": [1, 2, 3], "url": ["https://shut.example/", None, "https://open.example/a"]})
    found = decide(table, pickle.loads(pickle.dumps(auditor)))  # noqa: S301 - our own
    assert found["effect"].to_pylist() == ["deny", "deny", "permit"]
    assert found["n"].to_pylist() == [1, 2, 3]
    assert decide(table.slice(0, 0), auditor).schema == found.schema


def test_what_others_keep_in_a_schema_stays_in_it(store):
    index, fields = {b"pandas": b"{}"}, [pa.field("url", pa.string(), nullable=False, metadata={b"a": b"b"})]
    for urls in (URLS[:3], []):
        answers = decide(pa.table([urls], schema=pa.schema(fields, index)), Auditor(store, today=date(2026, 11, 23)))
        assert answers.schema.metadata == index
        assert answers.schema.field(0).equals(fields[0], check_metadata=True)


def test_lists_speak_about_hosts_and_urls_whatever_the_store_knows(store, tmp_path):
    (tmp_path / "hosts.txt").write_text("pirate.example\n")
    (tmp_path / "urls.txt").write_text("https://open.example/stolen\n")
    about = [
        "--issuer",
        "A court",
        "--legal-basis",
        "judgment",
        "--as-of",
        "2026-01-01",
        "--store",
        str(tmp_path / "lists"),
    ]
    for kind, name in (("infringing", "hosts"), ("opt-out", "urls")):
        assert main(["lists", "import", str(tmp_path / f"{name}.txt"), "--kind", kind, "--name", name, *about]) == 0
    path = tmp_path / "data.jsonl"
    urls = ["https://pirate.example/a", "https://open.example/stolen/1", "https://open.example/page"]
    path.write_text("".join(json.dumps({"url": url}) + "\n" for url in urls))
    assert audit(store, tmp_path / "out", path, "--lists", tmp_path / "lists") == 0
    found = rows(tmp_path / "out")
    assert [row["effect"] for row in found] == ["deny", "deny", "permit"]
    assert [row["protocol"] for row in found[:2]] == ["blocklist", "registry"]


def test_an_audit_with_a_stale_compiled_tier_says_so_once_and_gives_the_same_rows(store, tmp_path):
    pq.write_table(pa.table({"url": URLS}), tmp_path / "data.parquet")
    assert audit(store, tmp_path / "usual", tmp_path / "data.parquet") == 0
    stale = "import sys, types; sys.modules['optout.audit._kernel'] = types.ModuleType('stale')"
    command = [sys.executable, "-c", f"{stale}; from optout.cli import main; sys.exit(main(sys.argv[1:]))", "audit"]
    command += [tmp_path / "data.parquet", "--store", store, "--workers", "1", "--out", tmp_path / "slow"]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert found.stderr.count("pure Python gives the same answers") == 1
    assert rows(tmp_path / "slow") == rows(tmp_path / "usual")


def test_files_of_no_known_form_are_named_once_and_markers_are_not(store, tmp_path, capsys):
    data = tmp_path / "in"
    data.mkdir()
    (data / "a.jsonl").write_text('{"url": "https://open.example/"}\n')
    for name in ("a.csv", "b.arrow", "c\x1b.zip", "d.txt", "_SUCCESS", ".gitattributes"):
        (data / name).write_text("x")
    for out in (tmp_path / "out", data / "out", data / "out"):
        assert audit(store, out, data) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "no known form" in line]
        named = "a.csv, b.arrow, c\ufffd.zip and 1 more"
        assert said == [f"optout audit: 4 files of no known form in DATA: not judged, not kept: {named}"]
    (data / "d.txt").unlink()
    assert audit(store, tmp_path / "other", data / "*.jsonl") == 0
    assert "no known form" not in capsys.readouterr().err
