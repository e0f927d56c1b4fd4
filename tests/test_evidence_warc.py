"""The archive gives back exactly what was fetched, other programs read it, and no change to it goes unseen."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from optout.errors import EvidenceError
from optout.evidence import warc
from optout.evidence.archive_reader import ArchiveReader
from optout.evidence.exchange_record import exchange_of, identifier_of, payload_of, records
from optout.evidence.warc import Broken, Located, SignalArchive, archive_files, index_path, iterate
from optout.model import Exchange

MOMENT = datetime(2026, 11, 23, 5, 53, 58, 123456, tzinfo=UTC)


def robots(number: int = 0, body: bytes = b"User-agent: *\nDisallow: /p/\n") -> Exchange:
    return Exchange(
        url=f"https://site-{number}.example/robots.txt",
        role="/robots.txt",
        status=200,
        headers=(
            ("Content-Type", "text/plain"),
            ("Content-Encoding", "gzip"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
        ),
        body=body,
        fetched_at=MOMENT + timedelta(seconds=number),
        request_headers=(("Host", f"site-{number}.example"), ("User-Agent", "ExampleBot/1.2")),
    )


FAILED = Exchange(
    url="https://gone.example/robots.txt",
    role="/robots.txt",
    error="timeout",
    fetched_at=MOMENT,
    request_headers=(("User-Agent", "ExampleBot/1.2"),),
)
MISSING = Exchange(
    url="https://none.example/.well-known/tdmrep.json",
    role="/.well-known/tdmrep.json",
    status=404,
    headers=(("Content-Type", "text/html"),),
    body=b"not here",
    fetched_at=MOMENT,
)
MOVED = Exchange(
    url="http://moved.example/robots.txt",
    role="/robots.txt",
    status=503,
    redirects=("https://moved.example/robots.txt", "https://www.moved.example/robots.txt"),
    fetched_at=MOMENT,
    truncated=True,
)


def test_every_kind_of_exchange_comes_back_whole(tmp_path: Path) -> None:
    exchanges = [robots(0), robots(1), FAILED, MISSING, MOVED, robots(2, b"other")]
    with SignalArchive(tmp_path) as archive:
        identifiers = [archive.write(exchange) for exchange in exchanges]
    reader = ArchiveReader(tmp_path)
    assert [reader.exchange(identifier) for identifier in identifiers] == exchanges


def test_the_same_body_is_stored_once(tmp_path: Path) -> None:
    with SignalArchive(tmp_path) as archive:
        archive.write(robots(0))
        archive.commit()
        archive.write(robots(1))
    with SignalArchive(tmp_path) as archive:
        archive.write(robots(2))
    kinds = [located.record.kind for path in archive_files(tmp_path) for located in iterate(path)]
    assert kinds == ["response", "request", "revisit", "request", "revisit", "request"]
    fields = next(iterate(archive_files(tmp_path)[1])).record.fields
    assert fields["WARC-Refers-To-Target-URI"] == "https://site-0.example/robots.txt"
    assert fields["WARC-Profile"].endswith("/1.1/revisit/identical-payload-digest")


def test_the_same_exchange_is_written_once(tmp_path: Path) -> None:
    with SignalArchive(tmp_path) as archive:
        assert archive.write(FAILED) == archive.write(FAILED)
    assert len(list(iterate(archive_files(tmp_path)[0]))) == 2


def test_warcio_reads_it_and_its_checker_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SignalArchive(tmp_path) as archive:
        for exchange in (robots(0), robots(1), MISSING, FAILED, MOVED):
            archive.write(exchange)
    path = archive_files(tmp_path)[0]
    with path.open("rb") as file:
        seen = [(r.rec_type, r.http_headers and r.http_headers.get_statuscode(), r.content_stream().read())
                for r in ArchiveIterator(file)]  # fmt: skip
    assert seen[0] == ("response", "200", robots().body)
    assert seen[4][:2] == ("response", "404")
    assert seen[6][0] == "metadata"
    checker = Checker(_CheckArguments())
    checker.process_one(str(path))
    assert checker.exit_value == 0
    assert "FAILED" not in capsys.readouterr().out


class _CheckArguments:
    """What warcio's command line would hand to its checker."""

    inputs = ()
    verbose = True


def test_fastwarc_reads_it_and_its_digests_hold(tmp_path: Path) -> None:
    with SignalArchive(tmp_path) as archive:
        archive.write(robots(0))
        archive.write(MISSING)
    with archive_files(tmp_path)[0].open("rb") as file:
        found = [
            (str(record.record_id), record.verify_block_digest())
            for record in FastIterator(BytesIO(file.read()), parse_http=False)
        ]
    assert len(found) == 4
    assert all(verified for _, verified in found)


def test_the_index_leads_to_the_records_in_order(tmp_path: Path) -> None:
    with SignalArchive(tmp_path) as archive:
        for exchange in (robots(3), MOVED, FAILED, robots(1)):
            archive.write(exchange)
    path = archive_files(tmp_path)[0]
    lines = index_path(path).read_bytes().splitlines()
    assert lines == sorted(lines)
    keys = [line.split(b" ")[0] for line in lines]
    assert keys.count(b"example,moved)/robots.txt") == 2
    for entry in warc.read_index(path):
        assert warc.read_at(path, int(entry.fields["offset"])).record.identifier == entry.fields["rec"]


def test_a_growing_file_can_be_read(tmp_path: Path) -> None:
    archive = SignalArchive(tmp_path)
    identifier = archive.write(robots())
    assert identifier not in ArchiveReader(tmp_path)
    archive.commit()
    assert ArchiveReader(tmp_path).exchange(identifier) == robots()
    archive.close()


def test_a_file_that_is_large_enough_is_sealed(tmp_path: Path) -> None:
    with SignalArchive(tmp_path, file_size=1000) as archive:
        for number in range(6):
            archive.write(robots(number, b"x%d" % number))
            archive.commit()
    assert len(warc.sealed_files(tmp_path)) == len(archive_files(tmp_path)) == 3


def test_two_writers_need_two_prefixes(tmp_path: Path) -> None:
    refused = pytest.raises(EvidenceError, match="prefix 'a'")
    with SignalArchive(tmp_path, prefix="a"), SignalArchive(tmp_path, prefix="b"), refused:
        SignalArchive(tmp_path, prefix="a")


@pytest.mark.parametrize("exchange", [
    Exchange(url="https://a.example/", fetched_at=MOMENT),
    Exchange(url="https://a.example/", status=200),
    Exchange(url="https://a.example/", status=200, fetched_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the case
])  # fmt: skip
def test_what_was_not_fetched_is_not_archived(tmp_path: Path, exchange: Exchange) -> None:
    with SignalArchive(tmp_path) as archive, pytest.raises(EvidenceError):
        archive.write(exchange)


def test_an_incomplete_last_record_is_cut_and_the_rest_kept(tmp_path: Path) -> None:
    archive = SignalArchive(tmp_path)
    kept = archive.write(robots())
    archive.commit()
    path = archive_files(tmp_path)[0]
    archive._lock.close()
    archive._file.close()
    whole = path.read_bytes()
    head = warc.head_path(path).read_bytes()
    for length in (1, 9, 200):
        path.write_bytes(whole + whole[:length])
        index_path(path).unlink(missing_ok=True)
        warc.head_path(path).write_bytes(head)
        with SignalArchive(tmp_path):
            pass
        assert path.read_bytes() == whole
    assert ArchiveReader(tmp_path).exchange(kept) == robots()


def test_acknowledged_records_cut_off_are_missed(tmp_path: Path) -> None:
    archive = SignalArchive(tmp_path)
    archive.write(robots())
    archive.commit()
    archive._lock.close()
    archive._file.close()
    path = archive_files(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(EvidenceError, match="acknowledged"):
        SignalArchive(tmp_path)


def test_a_full_disk_stops_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = SignalArchive(tmp_path)
    archive.write(robots())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(warc.os, "fsync", full)
    with pytest.raises(EvidenceError, match="No space left"):
        archive.commit()
    monkeypatch.undo()
    with pytest.raises(EvidenceError, match="stopped after an error"):
        archive.write(FAILED)
    archive.close()


_text = st.text(st.characters(exclude_categories=()), max_size=12)
_headers = st.lists(st.tuples(_text, _text), max_size=3).map(tuple)
_exchanges = st.builds(
    Exchange,
    url=_text.map("https://h.example/{}".format),
    role=_text,
    status=st.integers(100, 999),
    headers=_headers,
    body=st.binary(max_size=40),
    redirects=st.lists(_text, max_size=2).map(tuple),
    error=st.none() | _text,
    fetched_at=st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is given beside it
    truncated=st.booleans(),
    request_headers=_headers,
)


@given(_exchanges)
def test_whatever_a_server_sends_comes_back_the_same(exchange: Exchange) -> None:
    answer, request = (warc._parse(record.bytes) for record in records(exchange, None))
    assert answer
    assert request
    assert exchange_of(answer, request, payload_of(answer)) == exchange
    assert answer.identifier == identifier_of(exchange)
    assert warc.record_fault(answer) is None
    assert warc.pair_fault(answer, request, exchange.body) is None


def _damaged(tmp_path: Path) -> bool:
    """Whether reading everything shows that something was changed."""
    for path in archive_files(tmp_path):
        found = list(iterate(path))
        if any(isinstance(item, Broken) for item in found):
            return True
        answers: list[Located] = [item for item in found if isinstance(item, Located)]
        if any(warc.record_fault(item.record) for item in answers):
            return True
    reader = ArchiveReader(tmp_path)
    try:
        for identifier in list(reader._places):
            reader.exchange(identifier)
    except EvidenceError:
        return True
    return False


def test_changed_content_is_found_even_where_all_checksums_are_made_to_fit(tmp_path: Path) -> None:
    """Somebody who changes a status and repairs gzip and digests still cannot keep the identifier."""
    with SignalArchive(tmp_path) as archive:
        archive.write(MISSING)
    path = archive_files(tmp_path)[0]
    answer, request = (item.record for item in iterate(path))
    forged = records(Exchange(**{name: getattr(MISSING, name) for name in MISSING.__slots__} | {"status": 200}), None)[
        0
    ]
    fields = {**forged.fields, "WARC-Record-ID": answer.fields["WARC-Record-ID"]}
    path.write_bytes(b"".join(warc.compressed(r) for r in (warc.Record("response", fields, forged.block), request)))
    assert _damaged(tmp_path)
