"""Asking the log, also while it is being written, and asking what a site said in the past."""

from __future__ import annotations

import json
import signal
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import evidence_samples as samples
import pyarrow as pa
import pytest
from evidence_samples import begin, decide, later, robots

from optout.errors import EvidenceError, MalformedUrl
from optout.evidence import cdxj, past
from optout.evidence.layout import Layout
from optout.evidence.query import Filter, Rows
from optout.evidence.spilling import spilling
from optout.evidence.summary import summary
from optout.evidence.warc import SignalArchive


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    directory = tmp_path_factory.mktemp("crawl")
    samples.small(directory)
    log = begin(directory, node="n3", at=300)
    decide(log, 5, 6, at=301)
    log.release()
    return Layout(directory / "evidence")


@pytest.mark.parametrize(("chosen", "count"), [
    (Filter(), 28), (Filter(host="site-2.example"), 4), (Filter(host="site-5.example"), 6), (Filter(effect="deny"), 11),
    (Filter(reason="robots.*"), 11), (Filter(reason="silence"), 17), (Filter(url="https://site-3.example/q/1"), 1),
    (Filter(host="nobody.example"), 0), (Filter(first=date(2026, 6, 2)), 0),
    (Filter(first=date(2026, 6, 1), last=date(2026, 6, 1)), 28),
    (Filter(host="site-5.example", effect="permit"), 4),
])  # fmt: skip
def test_rows_sealed_or_not_are_found(layout: Layout, chosen: Filter, count: int) -> None:
    with Rows(layout) as rows:
        assert len(list(rows.decisions(chosen, 100))) == count


def test_decisions_are_counted(layout: Layout) -> None:
    with Rows(layout) as rows:
        by_host = {row["host"]: (row["decisions"], row["denied"]) for row in rows.counts(Filter(), "host", 10)}
        assert by_host["example,site-5)/"] == (6, 2)
        assert list(rows.counts(Filter(), "day", 10)) == [{"day": "2026-06-01", "decisions": 28, "denied": 11}]
        with pytest.raises(EvidenceError, match="not counted by"):
            list(rows.counts(Filter(), "url; drop", 10))


def test_anything_may_be_asked_in_sql(layout: Layout) -> None:
    with Rows(layout) as rows:
        assert list(rows.sql("select count(distinct host) as n from rows")) == [{"n": 5}]
        with pytest.raises(EvidenceError, match="cannot be asked"):
            list(rows.sql("select nothing"))


def test_rows_are_counted_once_while_they_are_being_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again and again beside a crawl that seals all the time: no row is missing, none counts twice."""
    log = samples.begin(tmp_path, rows_per_segment=5)
    layout, done, wrong = Layout(tmp_path / "evidence"), [0], []
    stop = threading.Event()

    def crawl() -> None:
        for site in range(40):
            samples.decide(log, site, 5, at=site)
            done[0] += 5
            log.tick(later(site))
        stop.set()

    writer = threading.Thread(target=crawl)
    writer.start()
    while not stop.is_set():
        least = done[0]
        with Rows(layout) as asked:
            (row,) = asked.sql("select count(*) as n, count(distinct seq) as different from rows")
        if row["n"] != row["different"] or row["n"] < least:
            wrong.append((least, row))
    writer.join()
    log.close(later(100))
    assert wrong == []


def test_an_empty_log_can_be_asked(tmp_path: Path) -> None:
    begin(tmp_path).close(later(1))
    with Rows(Layout(tmp_path / "evidence")) as rows:
        assert list(rows.decisions(Filter(), 10)) == []


def test_a_summary_counts_what_is_there(layout: Layout) -> None:
    said = summary(layout)
    assert (said["sealed rows"], said["not sealed"]) == (22, 6)
    assert said["effects"] == {"deny": 9, "permit": 13}


URL = "https://www.example.org/robots.txt"
DAY = datetime(2026, 3, 1, tzinfo=UTC)
WAYBACK = [
    ["urlkey", "timestamp", "original", "mimetype", "statuscode", "digest", "length"],
    [
        "org,example)/robots.txt",
        "20260101000000",
        "http://www.example.org:80/robots.txt",
        "text/plain",
        "200",
        "A" * 32,
        "9",
    ],
    ["org,example)/robots.txt", "20260201000000", URL, "warc/revisit", "-", "A" * 32, "9"],
    ["org,example)/robots.txt", "20260401000000", URL, "text/plain", "200", "B" * 32, "9"],
    ["org,example)/other", "20260315000000", "https://www.example.org/other", "text/plain", "200", "C" * 32, "9"],
]


@pytest.fixture
def wayback(tmp_path: Path) -> Path:
    path = tmp_path / "cdx.json"
    path.write_text(json.dumps(WAYBACK))
    return path


def at(path: Path, moment: datetime) -> past.Interval:
    return past.as_of(past.captures_of(URL, [path]), moment)


def test_the_answer_is_an_interval(wayback: Path) -> None:
    interval = at(wayback, DAY)
    assert interval.before
    assert interval.after
    assert (interval.before.at.month, interval.after.at.month, interval.unchanged) == (2, 4, False)
    same = at(wayback, datetime(2026, 1, 15, tzinfo=UTC))
    assert same.unchanged is True
    assert at(wayback, datetime(2025, 1, 1, tzinfo=UTC)).before is None
    assert at(wayback, datetime(2027, 1, 1, tzinfo=UTC)).unchanged is None


def test_cdx_as_text_says_the_same(wayback: Path, tmp_path: Path) -> None:
    path = tmp_path / "answer.cdx"
    path.write_text(" CDX N b a m s k S\n" + "\n".join(" ".join(row) for row in WAYBACK[1:]) + "\n")
    assert at(path, DAY).before.digest == at(wayback, DAY).before.digest


def test_cdxj_of_common_crawl(tmp_path: Path) -> None:
    path = tmp_path / "cc.cdxj"
    fields = {
        "url": URL,
        "mime": "text/plain",
        "status": "404",
        "digest": "D" * 32,
        "filename": "x.warc.gz",
        "offset": "7",
    }
    path.write_bytes(cdxj.Entry("org,example)/robots.txt", "20260228000000", fields).line)
    interval = at(path, DAY)
    assert (interval.before.status, interval.before.record) == (404, "x.warc.gz@7")


def test_our_own_archive_and_its_files_agree(tmp_path: Path) -> None:
    with SignalArchive(tmp_path / "a") as archive:
        archive.write_set([robots(1), robots(2)])
        archive.write(robots(1, b"changed"))
    open_archive = SignalArchive(tmp_path / "b")
    open_archive.write(robots(1))
    open_archive.commit()
    url, moment = robots(1).url, robots(1).fetched_at + timedelta(days=1)
    found = past.as_of(past.captures_of(url, [tmp_path / "a"]), moment).before
    (file,) = (tmp_path / "a").glob("*.warc.gz")
    again = past.as_of(past.captures_of(url, [file]), moment).before
    assert (found.digest, found.status, found.record) == (again.digest, again.status, again.record)
    growing = past.as_of(past.captures_of(url, [tmp_path / "b"]), moment).before
    assert growing.digest
    open_archive.close()


@pytest.mark.parametrize("text", ["[1]", '[["timestamp"],[1,2]]', "nonsense line\n", "key 2026 {}\n"])
def test_what_is_no_index_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.cdx"
    path.write_text(text)
    with pytest.raises(EvidenceError, match="no "):
        list(past.captures_of(URL, [path]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("x.cdx", "x.warc.gz"):
        with pytest.raises(EvidenceError, match="cannot be read"):
            list(past.captures_of(URL, [tmp_path / name]))


@pytest.mark.parametrize(("url", "key"), [
    ("http://www.Example.com/robots.txt", "com,example)/robots.txt"),
    ("https://example.com:8443/A/b?z=1&a=2", "com,example:8443)/a/b?a=2&z=1"),
    ("http://[::1]/x", "::1)/x"), ("http://1.2.3.4/robots.txt", "1.2.3.4)/robots.txt"), ("https://ex.org", "org,ex)/"),
    ("urn:sha256:ab", "urn:sha256:ab"),
])  # fmt: skip
def test_sort_keys(url: str, key: str) -> None:
    assert cdxj.sort_key(url) == key


@pytest.mark.parametrize(
    "host", ["", "https://site-2.example/", "site-2.example/x", "*.site-2.example", "a b", "me@b.example"]
)
def test_what_is_no_host_is_refused_and_is_not_a_host_without_decisions(host):
    with pytest.raises(MalformedUrl, match="is no host"):
        Filter(host=host).sql()


@pytest.mark.parametrize("host", ["SITE-2.example", "site-2.example.", "site-2.example:443"])
def test_a_host_may_be_written_in_every_way_that_it_can_be(host):
    assert Filter(host=host).sql() == Filter(host="site-2.example").sql()


def test_an_interruption_of_a_long_question_is_an_interruption():
    def ask():
        with spilling() as connection:
            # Of many pieces, because DuckDB listens between them.
            connection.execute("CREATE TABLE many AS FROM range(4000000)")
            threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
            connection.execute("SELECT count(*) FROM many m, range(100) n WHERE hash(m.range + n.range) = 0").fetchall()

    with pytest.raises(KeyboardInterrupt):
        ask()


def test_an_interruption_of_rows_that_we_give_is_an_interruption():
    def batches():
        yield pa.record_batch({"a": [1]})
        signal.raise_signal(signal.SIGINT)

    def ask():
        with spilling() as connection:
            connection.register("ours", pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches()))
            connection.execute("SELECT sum(a) FROM ours").fetchall()

    with pytest.raises(KeyboardInterrupt):
        ask()
