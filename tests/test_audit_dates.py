"""Dates of rows, in whatever form a dataset has them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.audit.dates import NO_DATE, moment_of, seconds

NOON = int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOON], pa.int64()),
        pa.array([NOON * 1000], pa.uint64()),
        pa.array([NOON * 10**6], pa.int64()),
        pa.array([NOON * 10**9], pa.int64()),
        pa.array([NOON + 0.75], pa.float64()),
        pa.array([NOON * 10**9 + 999], pa.timestamp("ns")),
        pa.array([NOON * 1000], pa.timestamp("ms", tz="Europe/Rome")),
        pa.array([NOON * 10**6], pa.timestamp("us")).dictionary_encode(),
        pa.array(["2024-02-29T12:00:00Z"]),
        pa.array(["2024-02-29T12:00:00Z"], pa.large_string()),
        pa.array(["2024-02-29T13:00:00.9+01:00"]).dictionary_encode(),
        pa.array([" 2024-02-29 12:00 "]),
        pa.array(["20240229120000"]),
        pa.array([20240229120000]),
        pa.array([20240229120000], pa.float64()),
        pa.array([b"2024-02-29T12:00:00Z"]),
        pa.array(["Thu, 29 Feb 2024 12:00:00 GMT"]),
        pa.array(["Thu, 29 Feb 2024 13:00:00 +0100"]),
        pa.array(["2024-02-29 12:00:00 UTC"]),
        pa.array(["2024-02-29 12:00:00.123456 UTC"]),
        pa.chunked_array([["2024-02-29T12:00:00Z"]]),
    ],
    ids=lambda column: str(column.type),
)
def test_the_same_moment_in_every_form(column):
    assert seconds(column).tolist() == [NOON]


def test_days_begin_at_midnight_in_utc():
    assert seconds(pa.array([date(1969, 12, 31), None])).tolist() == [-86_400, NO_DATE]
    assert seconds(pa.array(["1969-12-31", "31.12.1969"])).tolist() == [-86_400, NO_DATE]


def test_a_day_may_be_a_number():
    day = int(datetime(2024, 2, 29, tzinfo=UTC).timestamp())
    assert seconds(pa.array([20240229, 20240230, 19700823])).tolist() == [day, NO_DATE, 19700823]
    assert seconds(pa.array([20240229.0, None])).tolist() == [day, NO_DATE]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(number=st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_time_that_is_too_far_away_for_another_unit_is_no_other_time(unit, number):
    found = int(seconds(pa.array([number], pa.int64()).cast(pa.timestamp(unit)))[0])
    expected = number // {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    first, behind = -62_135_596_800, 253_402_300_800  # of the year 1, and of 10000
    assert found == (expected if first <= expected < behind else NO_DATE)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([float("nan"), float("inf"), -1e300]),
        pa.array([b"\xff", b""], pa.binary()),
        pa.array([True, False]),
        pa.array([{"a": 1}, None]),
        pa.array([[1], []]),
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.time32("s")),
        pa.nulls(2),
        pa.array(["2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-11-31T00:00:00Z", "2024-13-01T00:00:00Z"]),
        pa.array(["1612121212", "202402291200", "2024022912", "1700000000000"]),
        pa.array([20240230120000, 19919999999999]),
        pa.array(["20240229120000250", "202402291200001", "1712123100000"]),
        pa.array(["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"]),
        pa.array(["yesterday", "2024-02-30", "99999999999999", "", "\ud7ff"]),
    ],
    ids=lambda column: str(column.type),
)
def test_what_is_no_date_is_none(column):
    assert set(seconds(column).tolist()) == {NO_DATE}


@given(st.lists(st.one_of(st.none(), st.text(), st.datetimes().map(str), st.integers().map(str))))
def test_no_text_is_an_error_and_all_are_read_alone_as_together(texts):
    column = pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.string())
    found = seconds(column)
    assert found.dtype == np.int64
    assert found.tolist() == [int(seconds(column.slice(row, 1))[0]) for row in range(len(column))]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_no_number_is_an_error(numbers):
    assert len(seconds(pa.array(numbers, pa.int64()))) == len(numbers)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_read_as_it_was_written(moment):
    assert moment_of(moment.isoformat()) == moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert seconds(pa.array([moment.isoformat()]))[0] == since.days * 86_400 + since.seconds
