"""Which dated state of an origin an audit judges a row by, and what it tells about the time between."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from audit_store import make, state
from policies_for_tests import FOLDER

from optout.cli import main

OPEN = "User-agent: *\nDisallow: /private\n"
SHUT = "User-agent: *\nDisallow: /\n"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(
        tmp_path_factory.mktemp("store"),
        state("https://turned.example", OPEN, day("2025-05-01")),
        state("https://turned.example", SHUT, day("2026-03-01")),
        state("https://opened.example", SHUT, day("2025-05-01")),
        state("https://opened.example", OPEN, day("2026-03-01")),
        state("https://shut.example", SHUT, day("2025-05-01")),
        state("https://shut.example", SHUT, day("2026-03-01")),
        state("https://open.example", OPEN, day("2025-05-01")),
        state("https://open.example", OPEN, day("2026-03-01")),
    )


def policy_with(folder: Path, days: int, name: str = "near") -> Path:
    text = (FOLDER / "eu-gpai.toml").read_text()
    text = text.replace("nearest_capture_days = 366", f"nearest_capture_days = {days}")
    path = folder / f"{name}.toml"
    path.write_text(text.replace('name = "eu-gpai"', f'name = "{name}"'))
    return path


def audit(store, out, rows, *arguments):
    path = out.with_suffix(".jsonl")
    path.write_text("".join(json.dumps({"url": url, "date": date}) + "\n" for url, date in rows))
    command = ["audit", str(path), "--store", str(store), "--out", str(out), "--quiet", "--workers", "1"]
    assert main([*command, *map(str, arguments)]) == 0
    (shard,) = (out / "decisions").iterdir()
    return pq.read_table(shard).to_pylist(), json.loads((out / "report.json").read_text())


def test_how_near_a_capture_must_be_is_a_key_of_the_policy(store, tmp_path):
    rows = [("https://open.example/x", date) for date in ("2025-05-31", "2025-06-30", "2025-04-11", "2026-02-28")]
    found, _ = audit(store, tmp_path / "out", rows, "--as-of", "crawl", "--policy", policy_with(tmp_path, 30))
    # The last is 303 days after the state before it, and one day before the next, which is near enough.
    assert [row["reason"] == "origin.unknown-then" for row in found] == [False, True, False, False]
    assert [row["gap_days"] for row in found] == [30, None, 20, 1]
    found, _ = audit(store, tmp_path / "year", rows, "--as-of", "crawl")
    assert [row["gap_days"] for row in found] == [30, 60, 20, 303]


def test_each_policy_that_is_compared_has_its_own_key(store, tmp_path):
    rows = [("https://open.example/x", "2025-06-30")]
    near = policy_with(tmp_path, 30)
    found, report = audit(store, tmp_path / "out", rows, "--as-of", "crawl", "--what-if", near)
    assert (found[0]["effect"], found[0]["if_near"]) == ("permit", "deny")
    assert [(one["name"], one["kept"], one["lost"]) for one in report["what_if"]] == [("near", 0, 1)]


def test_the_report_tells_reserved_then_since_and_no_longer_side_by_side(store, tmp_path):
    rows = [(f"https://{name}.example/x", "2025-06-01") for name in ("turned", "opened", "shut", "open", "open")]
    rows += [("https://never-seen.example/", "2025-06-01"), ("https://open.example/", "2001-01-01")]
    _, report = audit(store, tmp_path / "out", rows, "--as-of", "crawl")
    time = report["time"]
    assert time["reserved_then_and_now"] == 1
    assert (time["reserved_since"], time["opened_since"]) == (1, 1)
    assert (time["open_then_and_now"], time["unknown_then"]) == (2, 1)
    page = (tmp_path / "out/report.html").read_text()
    for words in ("reserved then, and still", "open then, reserved since", "reserved then, opened since"):
        assert words in page


def test_what_was_open_then_is_not_told_as_reserved_then_because_later_states_deny(tmp_path):
    """`--retroactive` changes what may be used, not what was said when."""
    names = ("turned", "opened", "shut", "open", "between")
    then, later, last = day("2025-05-01"), day("2025-09-01"), day("2026-03-01")
    texts = {
        "turned": (OPEN, SHUT, SHUT), "opened": (SHUT, SHUT, OPEN), "shut": (SHUT,) * 3, "open": (OPEN,) * 3,
        "between": (OPEN, SHUT, OPEN),
    }  # fmt: skip
    visits = [
        state(f"https://{name}.example", text, at)
        for name in names
        for text, at in zip(texts[name], (then, later, last), strict=True)
    ]
    store = make(tmp_path / "store", *visits)
    rows = [(f"https://{name}.example/x", "2025-06-01") for name in names]
    told = []
    for name, options in (("plain", ()), ("since", ("--retroactive",))):
        _, report = audit(store, tmp_path / name, rows, "--as-of", "crawl", *options)
        kinds = ("reserved_then_and_now", "reserved_since", "opened_since", "open_then_and_now")
        told.append([report["time"][kind] for kind in kinds])
    assert told == [[1, 1, 1, 2]] * 2
    page = (tmp_path / "since/report.html").read_text()
    assert "by a state later than the one that the row is judged by: a rule of robots.txt refuses the path" in page


def test_a_day_is_judged_like_a_date_of_every_row(store, tmp_path):
    names = ("turned", "opened", "shut", "open")
    rows = [(f"https://{name}.example/x", None) for name in names]
    by_day, _ = audit(store, tmp_path / "day", rows, "--as-of", "2026-02-01")
    dated, _ = audit(store, tmp_path / "crawl", [(url, "2026-02-01") for url, _ in rows], "--as-of", "crawl")
    assert [row["effect"] for row in by_day] == [row["effect"] for row in dated] == ["permit", "deny", "deny", "permit"]
    now, _ = audit(store, tmp_path / "now", rows)
    assert [row["effect"] for row in now] == ["deny", "permit", "deny", "permit"]
    retroactive, _ = audit(store, tmp_path / "retro", rows, "--as-of", "2025-06-01", "--retroactive")
    assert [row["effect"] for row in retroactive] == ["deny", "deny", "deny", "permit"]


@pytest.mark.parametrize("date", ["2023-01-01", None, "2025-05-02"])
def test_a_later_state_denies_where_none_was_near_too(store, tmp_path, date):
    """`--retroactive` denies where any later state reserves; without a date every state may be later."""
    permissive = policy_with(tmp_path, 30)
    permissive.write_text(permissive.read_text().replace('unknown = "deny"', 'unknown = "permit"'))
    rows = [(f"https://{name}.example/x", date) for name in ("turned", "open", "never")]
    options = ("--as-of", "crawl", "--policy", permissive, "--what-if", "retroactive")
    found, report = audit(store, tmp_path / "out", rows, *options)
    assert [row["kept"] for row in found] == [True, True, True]
    assert [row["if_retroactive"] for row in found] == ["deny", "permit", "permit"]
    assert (report["what_if"][0]["lost"], report["what_if"][0]["kept"]) == (1, 2)
    found, _ = audit(store, tmp_path / "since", rows, *options[:4], "--retroactive")
    assert [row["kept"] for row in found] == [False, True, True]
    assert found[0]["reason"] == "since.robots.group.disallow"
    if date != "2025-05-02":
        found, _ = audit(store, tmp_path / "day", rows, "--as-of", "2027-08-01", *options[2:4], "--retroactive")
        assert [row["kept"] for row in found] == [True, True, True]


@pytest.mark.parametrize("date", ["2026-02-01", "2026-02-01T00:00:00Z", "20260201", 20260201])
def test_a_day_lasts_until_its_end(tmp_path, date):
    """What an origin said on the very day is nearer than what it said months before; `evidence show` reads days so."""
    noon = day("2026-02-01T12:00:00")
    name = "https://turned.example"
    store = make(tmp_path / "store", state(name, OPEN, day("2025-08-01")), state(name, SHUT, noon))
    rows = [(f"{name}/x", date), (f"{name}/x", "2026-02-01T11:59:59Z"), (f"{name}/x", "2026-01-31")]
    found, _ = audit(store, tmp_path / "out", rows, "--as-of", "crawl")
    assert [row["effect"] for row in found] == ["deny", "permit", "permit"]
    assert (found[0]["date"], found[0]["gap_days"]) == (day("2026-02-01"), 0)
    by_day, _ = audit(store, tmp_path / "day", rows, "--as-of", str(date))
    assert [row["effect"] for row in by_day] == ["deny"] * 3
    since, _ = audit(store, tmp_path / "since", rows, "--as-of", "crawl", "--retroactive")
    assert [row["reason"].startswith("since.") for row in since] == [False, True, True]


def test_origins_that_are_known_since_are_not_told_as_unknown(store, tmp_path):
    """Where unknown rows are permitted, a later state may deny one: its origin needs no harvest."""
    permissive = policy_with(tmp_path, 30)
    permissive.write_text(permissive.read_text().replace('unknown = "deny"', 'unknown = "permit"'))
    rows = [
        ("https://turned.example/x", "2023-01-01"),
        ("https://turned.example/x", None),
        ("https://never.example/", None),
    ]
    found, report = audit(store, tmp_path / "out", rows, "--as-of", "crawl", "--policy", permissive, "--retroactive")
    assert [row["status"] for row in found] == ["unknown"] * 3
    assert (tmp_path / "out/unknown-origins.txt").read_text() == "https://never.example\n"
    assert (report["unknown_origin_count"], report["time"]["unknown_then"], report["time"]["without_a_date"]) == (
        1,
        2,
        1,
    )
    assert (report["rows"]["unknown"], report["rows"]["refused"], report["rows"]["kept"]) == (3, 2, 1)
    assert report["time"]["open_then_and_now"] == 0
    assert {one["domain"]: one["unknown"] for one in report["domains"]} == {"turned.example": 0, "never.example": 0}


def test_origins_to_be_harvested_are_such_as_a_harvest_takes(store, tmp_path):
    urls = ("ftp://never.example/x", "https://never.example/x", "http://never.example/", "wss://never.example/")
    _, report = audit(store, tmp_path / "out", [(url, None) for url in urls])
    assert report["rows"]["denied"] == 4
    listed = (tmp_path / "out/unknown-origins.txt").read_text().split()
    assert listed == ["http://never.example", "https://never.example"]
    assert report["unknown_origin_count"] == 2


def test_rows_that_wait_for_a_person_are_not_counted_as_unknown_too(store, tmp_path):
    _, report = audit(store, tmp_path / "out", [("https://never.example/", None)], "--policy", "literal")
    (domain,) = report["domains"]
    assert (domain["rows"], domain["review"], domain["unknown"]) == (1, 1, 0)


def test_what_a_later_state_refuses_others_counts_too(tmp_path):
    name, other = "https://a.example", "User-agent: GPTBot\nDisallow: /\n"
    store = make(tmp_path / "store", state(name, OPEN, day("2025-05-01")), state(name, other, day("2026-03-01")))
    options = ("--as-of", "crawl")
    found, _ = audit(store, tmp_path / "out", [(f"{name}/x", "2025-06-01")], *options)
    assert (found[0]["kept"], found[0]["others_refused"]) == (True, False)
    found, _ = audit(store, tmp_path / "since", [(f"{name}/x", "2025-06-01")], *options, "--retroactive")
    assert (found[0]["kept"], found[0]["others_refused"]) == (True, True)


def test_a_robots_txt_from_long_ago_permits_nothing_because_another_file_is_newer(tmp_path):
    """The state of 2025 has the tdmrep.json of then and, as nobody captured another, the robots.txt of 2019."""
    long_ago, visit = day("2019-01-01"), day("2025-01-01")
    shut_then = '[{"location": "/", "tdm-reservation": 1}]'
    store = make(
        tmp_path / "store",
        state("https://open.example", OPEN, long_ago)[:1],
        state("https://open.example", None, visit)[1:],
        state("https://shut.example", SHUT, long_ago)[:1],
        state("https://shut.example", None, visit)[1:],
        state("https://since.example", OPEN, long_ago, shut_then),
        state("https://since.example", OPEN, visit)[:1],
    )
    rows = [(f"https://{name}.example/x", "2025-01-15") for name in ("open", "shut", "since")]
    rows += [("https://open.example/x", "2019-06-01"), ("https://open.example/x", "2019-12-31")]
    found, _ = audit(store, tmp_path / "out", rows, "--as-of", "crawl", "--what-if", "literal")
    assert [(row["effect"], row["reason"]) for row in found] == [
        ("deny", "coverage.not-consulted:/robots.txt"),
        ("deny", "robots.group.disallow"),
        ("deny", "tdmrep.file.reserved"),
        ("permit", "no-reservation"),
        ("permit", "no-reservation"),
    ]
    assert (found[0]["status"], found[0]["if_literal"]) == ("known", "review")
    assert [row["newest_effect"] for row in found] == ["permit", "deny", "deny", "permit", "permit"]
    by_day, _ = audit(store, tmp_path / "day", rows[:1], "--as-of", "2025-01-15")
    assert by_day[0]["effect"] == "deny"
    now, _ = audit(store, tmp_path / "now", rows[:1])
    assert now[0]["effect"] == "permit"
