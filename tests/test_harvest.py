"""Harvesting real origins on this machine, importing what others captured, and showing it."""

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from origin_simulator import Answer, Simulator
from warc_samples import NOON, record

from optout import engine
from optout.acquisition import imports, origin_list, policy_files
from optout.acquisition.claims import is_complete
from optout.acquisition.fetcher import MemoryFetcher
from optout.acquisition.harvest import Ears, Harvest, Pace
from optout.acquisition.history import Store, StoreError
from optout.acquisition.lanes import Lanes
from optout.acquisition.visit import Patience, Visitor, retry_after
from optout.cli import main
from optout.cli.exit_codes import USAGE
from optout.evidence.warc import SignalArchive
from optout.identity import Identity
from optout.model import Availability, Effect, Exchange, Purpose
from optout.urls import origin_of

POLICY = policy_files.load("eu-gpai", as_of=date(2026, 11, 23))
ROLES = engine.required_paths(POLICY)
DEAF = Ears(lambda _: None, lambda _: None, lambda _: None)


@pytest.fixture
def simulator():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def harvest(tmp_path):
    """Run the command on lines, with the store in a folder of its own."""

    def run(*lines, options=()):
        (tmp_path / "origins.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        where = [str(tmp_path / "origins.txt"), "--store", str(tmp_path / "store")]
        return main(["harvest", *where, "--allow-private", "--quiet", "--json", *options])

    return run


def newest(tmp_path, origin):
    with Store.open(tmp_path / "store") as store:
        state = store.state(origin, None)
    return {exchange.role: exchange for exchange in state.exchanges} if state else {}


def harvested(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])["harvested"]


# The list.


@pytest.mark.parametrize(
    ("line", "origins"),
    [
        (b"example.com", ["https://example.com", "http://example.com"]),
        (b"  Example.COM:8443 \r\n", ["https://example.com:8443", "http://example.com:8443"]),
        (b"http://example.com/a/b?c#d", ["http://example.com"]),
        (b"https://user:pass@example.com:443/", ["https://example.com"]),
        ("b\u00fccher.example".encode(), ["https://xn--bcher-kva.example", "http://xn--bcher-kva.example"]),
        (b"[::1]:80", ["https://[::1]:80", "http://[::1]"]),
        (b"2001:DB8::0:1", ["https://[2001:db8::1]", "http://[2001:db8::1]"]),
        (b"localhost:8080/a\tb", ["https://localhost:8080", "http://localhost:8080"]),
        (b"\xef\xbb\xbfexample.com", ["https://example.com", "http://example.com"]),
    ],
)
def test_a_line_is_a_host_an_origin_or_a_url(line, origins):
    (target,) = origin_list.read([line])
    assert [origin.text for origin in target.origins] == origins


@pytest.mark.parametrize(
    "line",
    [
        b"ftp://example.com", b"a b", b"http://", b"\xff\xfe\x00", b"x" * 100_000, b"1,a.com", b"a.com\t7", b"1\ta.com",
        b"http://a.com\t7", b"mailto:a@a.com", b"https:a.com", b"https:/a.com", b"2001:db8::1/64",
    ],
)  # fmt: skip
def test_a_line_that_names_no_origin_is_bad_and_has_a_number(line):
    (bad,) = origin_list.read([b"# comment", b"", line])
    assert isinstance(bad, origin_list.BadLine)
    assert bad.number == 3


def test_lines_add_up_and_those_that_mean_nothing_are_not_waited_for(harvest, simulator, tmp_path, capsys):
    site = simulator.origin()
    lines = ["# comment", "", site.url, site.url + "/page", site.url.upper(), "no host"]
    assert harvest(*lines) == USAGE
    figures = harvested(capsys)
    assert (figures["targets"], figures["fresh"], figures["bad"]) == (3, 2, 1)
    assert origin_list.count((tmp_path / "origins.txt").read_bytes().splitlines()) == 4


@pytest.mark.parametrize(
    ("data", "what"),
    [(gzip.compress(b"example.com\n"), "compressed"), ("example.com\n".encode("utf-16"), "in UTF-16")],
    ids=["gzip", "UTF-16"],
)
def test_a_list_that_is_none_is_named_once(data, what, tmp_path, capsys):
    (tmp_path / "list").write_bytes(data)
    assert main(["harvest", str(tmp_path / "list"), "--store", str(tmp_path / "store")]) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"optout harvest: {tmp_path / 'list'}: is {what}: ")


@pytest.mark.parametrize("option", ["--timeout=0", "--timeout=nan", "--max-age=nan", "--max-age=-1", "--max-age=1e12"])
def test_no_span_of_time_is_taken_that_is_none(option, harvest, capsys):
    with pytest.raises(SystemExit):
        harvest("example.com", options=[option])
    assert "is no number of" in capsys.readouterr().err


def test_no_domain_has_more_under_way_than_it_may():
    targets = [origin_list.target(f"{number}.busy.com") for number in range(5)] + [origin_list.target("other.example")]
    lanes = Lanes(iter(targets), per_domain=2)
    begun = [lanes.take() for _ in range(4)]
    assert [target and target.origins[0].host for target in begun] == [
        "0.busy.com", "1.busy.com", "other.example", None,
    ]  # fmt: skip
    lanes.done(begun[0])
    assert lanes.take().origins[0].host == "2.busy.com"
    assert lanes.take() is None


def test_every_target_is_handed_out_even_where_few_can_be_parked():
    targets = [origin_list.target(f"{number}.d{number % 3}.com") for number in range(60)]
    lanes, seen, running = Lanes(iter(targets), per_domain=1, parked=4), [], []
    while True:
        while (target := lanes.take()) is not None:
            running.append(target)
        if not running:
            break
        seen.append(running.pop(0))
        lanes.done(seen[-1])
        lanes.settle(seen[-1])
    assert sorted(target.key for target in seen) == sorted(target.key for target in targets)


def test_a_target_that_is_not_settled_is_not_handed_out_again():
    target = origin_list.target("example.com")
    repeated = []
    lanes = Lanes(iter([target, target]), per_domain=5, repeated=lambda: repeated.append(1))
    assert lanes.take() is target
    lanes.done(target)
    assert lanes.take() is None
    assert len(repeated) == 1


# A visit.


def test_every_file_of_an_origin_is_kept(simulator, harvest, tmp_path, capsys):
    origin = simulator.origin("User-agent: *\nDisallow: /a\n")
    origin.put("/.well-known/tdmrep.json", Answer(body=b'[{"location": "/", "tdm-reservation": 1}]'))
    assert harvest(origin.url) == 0
    found = newest(tmp_path, origin.url)
    assert set(found) == set(ROLES)
    assert found["/robots.txt"].body == b"User-agent: *\nDisallow: /a\n"
    assert found["/.well-known/tdmrep.json"].status == 200
    assert found["/ai.txt"].availability is Availability.UNAVAILABLE
    assert sorted(origin.paths()) == sorted(ROLES)
    figures = harvested(capsys)
    assert figures["origins"] == {"reached": 1}
    assert figures["files"] == {"retrieved": 2, "unavailable": len(ROLES) - 2}


def test_what_is_harvested_decides_as_what_is_fetched(simulator, harvest, tmp_path):
    origin = simulator.origin("User-agent: *\nDisallow: /private\n")
    harvest(origin.url)
    with Store.open(tmp_path / "store") as store:
        compiled = engine.compile(store.state(origin.url, None).exchanges, POLICY, Identity("TestBot"))
    assert compiled.decide(f"{origin.url}/private/a").access == "deny"
    assert compiled.decide(f"{origin.url}/public").access == "permit"


def test_a_bare_host_is_asked_over_http_where_https_does_not_answer(simulator, harvest, tmp_path):
    origin = simulator.origin("plain")
    harvest(f"{origin.host}:{origin.port}")
    assert newest(tmp_path, origin.url)["/robots.txt"].body == b"plain"
    assert newest(tmp_path, origin.url.replace("http", "https"))["/robots.txt"].error == "tls"


def test_where_robots_txt_cannot_be_reached_nothing_else_is_asked(simulator, harvest, tmp_path):
    origin = simulator.origin()
    origin.put("/robots.txt", Answer(500))
    harvest(origin.url)
    assert origin.paths() == ["/robots.txt"]
    assert set(newest(tmp_path, origin.url)) == {"/robots.txt"}


def test_dead_slow_and_lying_origins_are_kept_as_what_they_are(simulator, harvest, tmp_path, capsys):
    slow, broken, lying = (simulator.origin(host=f"127.0.0.{number}") for number in (2, 3, 4))
    slow.put("/robots.txt", Answer(hold=5))
    broken.put("/robots.txt", Answer(drop=True))
    lying.put("/robots.txt", Answer(headers=(("Content-Encoding", "gzip"),), body=b"no gzip"))
    dead = simulator.closed_port()
    assert harvest(slow.url, broken.url, lying.url, dead, options=["--timeout", "0.5"]) == 0
    errors = [newest(tmp_path, url)["/robots.txt"].error for url in (slow.url, broken.url, lying.url, dead)]
    assert errors == ["timeout", "disconnected", "broken-body", "refused"]
    assert harvested(capsys)["origins"] == {"unreachable": 4}


def test_a_long_robots_txt_is_cut_and_marked(simulator, harvest, tmp_path):
    origin = simulator.origin("#" * (POLICY.robots_limit + 10) + "\nUser-agent: *\nDisallow: /\n")
    harvest(origin.url)
    robots = newest(tmp_path, origin.url)["/robots.txt"]
    assert robots.truncated
    assert len(robots.body) == POLICY.robots_limit + 1


def test_documents_are_fetched_once_and_kept_with_whoever_points_to_them(simulator, harvest, tmp_path):
    licence = simulator.origin()
    url = licence.put("/l.xml", Answer(headers=(("Content-Type", "application/rsl+xml"),), body=b"<rsl/>"))
    one, two = (simulator.origin(f"License: {url}\nUser-agent: *\nAllow: /\n", f"127.0.0.{n}") for n in (2, 3))
    harvest(one.url, two.url)
    assert licence.paths() == ["/l.xml"]
    for origin in (one, two):
        assert newest(tmp_path, origin.url)["rsl-document"].url == url


def test_private_addresses_are_refused_unless_allowed(simulator, tmp_path):
    origin = simulator.origin()
    (tmp_path / "list").write_text(origin.url)
    main(["harvest", str(tmp_path / "list"), "--store", str(tmp_path / "store"), "--quiet", "--json"])
    assert newest(tmp_path, origin.url)["/robots.txt"].error == "private-address"
    assert origin.log == []


# Politeness.


class Script:
    """A fetcher that answers one after the other; the last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def fetch(self, planned):
        self.asked.append(planned.role)
        status, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Exchange(planned.url, planned.role, status=status, headers=headers, fetched_at=NOON)


def visit(fetcher, **patience):
    return asyncio.run(Visitor(POLICY, fetcher, Patience(**patience)).visit(origin_of("https://example.com")))


def test_a_busy_server_is_asked_again_after_the_time_it_names():
    fetcher = Script((429, (("Retry-After", "0"),)), (200, ()))
    begun = time.monotonic()
    exchanges = visit(fetcher)
    assert [exchange.status for exchange in exchanges] == [200] * len(ROLES)
    assert fetcher.asked[:2] == ["/robots.txt", "/robots.txt"]
    assert time.monotonic() - begun < 2


def test_a_server_that_stays_busy_is_left_alone():
    fetcher = Script((429, (("Retry-After", "0"),)))
    assert [exchange.status for exchange in visit(fetcher)] == [429, *[None] * (len(ROLES) - 1)]
    assert fetcher.asked == ["/robots.txt"] * 3


def test_a_server_that_wants_a_long_pause_is_left_alone():
    fetcher = Script((200, ()), (503, (("Retry-After", "3600"),)))
    assert [exchange.status for exchange in visit(fetcher)] == [200, 503, *[None] * (len(ROLES) - 2)]
    assert len(fetcher.asked) == 2


def test_a_visit_ends_when_its_time_is_over():
    fetcher = Script((200, ()))
    visit(fetcher, seconds=-1.0)
    assert fetcher.asked == ["/robots.txt"]


def test_what_a_visit_did_not_ask_for_is_unreachable_and_no_permission():
    exchanges = visit(Script((404, ()), (429, (("Retry-After", "3600"),))))
    assert {exchange.role for exchange in exchanges} == set(ROLES)
    assert {exchange.error for exchange in exchanges[2:]} == {"not-asked"}
    verdict = engine.decide(exchanges, "https://example.com/", POLICY, Identity("TestBot"))
    assert verdict.decision(Purpose.AI_TRAIN).effect is Effect.REVIEW
    last = {exchange.role: exchange for exchange in exchanges}
    assert not is_complete(last, ROLES, NOON - timedelta(days=1))


def test_what_was_known_of_a_file_stands_where_it_was_not_asked_for(harvest, simulator, tmp_path):
    site = simulator.origin()
    site.put("/.well-known/tdmrep.json", Answer(body=b'[{"location": "/", "tdm-reservation": 1}]'))
    harvest(site.url)
    site.put("/.well-known/ai.txt", Answer(429, (("Retry-After", "3600"),)))
    other = simulator.origin()
    other.put("/.well-known/ai.txt", Answer(429, (("Retry-After", "3600"),)))
    harvest(site.url, other.url, options=["--refresh"])
    assert newest(tmp_path, site.url)["/.well-known/ai.txt"].status == 429
    assert newest(tmp_path, site.url)["/.well-known/tdmrep.json"].status == 200
    assert newest(tmp_path, other.url)["/.well-known/tdmrep.json"].error == "not-asked"


def test_nothing_else_is_asked_of_an_origin_that_a_robots_txt_out_of_reach_closes():
    assert [exchange.role for exchange in visit(Script((500, ())))] == ["/robots.txt"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOON - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", 2.0),
        ("-5", 2.0),
        ("9" * 400, 999_999_999.0),
        ("\u0663", 2.0),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(text, seconds):
    exchange = Exchange("https://a.example", "/robots.txt", status=429, headers=(("retry-after", text),))
    assert retry_after(exchange, NOON) == seconds


# Going on.


def test_what_is_in_the_store_is_not_asked_again_unless_it_is_old(simulator, harvest, capsys):
    origin = simulator.origin()
    harvest(origin.url)
    harvest(origin.url)
    assert origin.asked("/robots.txt") == 1
    assert harvested(capsys)["fresh"] == 1
    harvest(origin.url, options=["--max-age", "0"])
    harvest(origin.url, options=["--refresh"])
    assert origin.asked("/robots.txt") == 3


def test_an_origin_of_which_only_robots_txt_is_known_is_visited(simulator, harvest, tmp_path):
    origin = simulator.origin()
    with Store.open(tmp_path / "store", create=True) as store:
        store.put([Exchange(f"{origin.url}/robots.txt", "/robots.txt", status=200, fetched_at=datetime.now(UTC))])
    harvest(origin.url)
    assert set(newest(tmp_path, origin.url)) == set(ROLES)


def test_a_repeated_line_is_visited_once(simulator, harvest):
    origin = simulator.origin()
    harvest(*[origin.url] * 5)
    assert origin.asked("/robots.txt") == 1


def test_bad_lines_are_named_and_the_others_are_done(simulator, harvest, tmp_path, capsys):
    origin = simulator.origin()
    assert harvest("ftp://a.example", origin.url, "b c") == 2
    captured = capsys.readouterr()
    assert "line 1: " in captured.err
    assert "line 3: " in captured.err
    assert json.loads(captured.out)["harvested"]["bad"] == 2
    assert newest(tmp_path, origin.url)


def test_a_killed_harvest_goes_on_where_it_was(simulator, tmp_path):
    origins = [simulator.origin(host=f"127.0.1.{number + 1}") for number in range(24)]
    for origin in origins:
        origin.put("/robots.txt", Answer(hold=0.1, body=origin.host.encode()))
    (tmp_path / "list").write_text("\n".join(origin.url for origin in origins))
    command = [sys.executable, "-m", "optout.cli.main", "harvest", tmp_path / "list", "--store", tmp_path / "store"]
    command = [
        sys.executable,
        "-c",
        "import sys; from optout.cli import main; sys.exit(main(sys.argv[1:]))",
        *command[3:],
    ]
    command += ["--allow-private", "--quiet", "--json", "--concurrency", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    known = tmp_path / "store" / "origins.sqlite"
    deadline = time.monotonic() + 20
    kept = []
    while not kept and time.monotonic() < deadline:
        time.sleep(0.05)
        if known.exists() and known.stat().st_size:
            try:
                with Store.open(tmp_path / "store") as store:
                    kept = list(store.origins())
            except StoreError:
                continue
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(kept) < 24
    asked = {origin.url: origin.asked("/robots.txt") for origin in origins}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    for origin in origins:
        assert newest(tmp_path, origin.url)["/robots.txt"].body == origin.host.encode()
        if origin.url in kept:
            assert origin.asked("/robots.txt") == asked[origin.url]


def test_a_failing_disk_ends_the_harvest_with_one_line(simulator, tmp_path):
    origins = [simulator.origin(os.urandom(3000).hex(), f"127.0.2.{number + 1}") for number in range(20)]

    async def run(store):
        urls = {f"{origin.url}/robots.txt": origin.answers["/robots.txt"].body for origin in origins}
        pages = {
            url: Exchange(url, "/robots.txt", status=200, body=body, fetched_at=NOON) for url, body in urls.items()
        }
        visitor = Visitor(POLICY, Dated(MemoryFetcher(pages)), Patience())
        harvest = Harvest(store, visitor, ROLES, Pace(5), NOON)
        await harvest.run([origin.url.encode() for origin in origins], DEAF)

    with Store.open(tmp_path, create=True) as store:
        (pages,) = store.backend._connection.execute("PRAGMA page_count").fetchone()
        store.backend._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full"):
            asyncio.run(run(store))


class Dated:
    """A fetcher that says when."""

    def __init__(self, inner):
        self.inner = inner

    async def fetch(self, planned):
        found = await self.inner.fetch(planned)
        return Exchange(found.url, found.role, found.status, found.headers, found.body, fetched_at=NOON)


# Importing.


def bring(*paths):
    found = imports.Import([Path(path) for path in paths], ROLES).read()
    return [item for item in found if not isinstance(item, imports.Whole)]


def exchanges(found):
    return [exchange for visit in found if not isinstance(visit, imports.Fault) for exchange in visit]


def faults(found):
    return [item for item in found if isinstance(item, imports.Fault)]


@pytest.fixture
def warc(tmp_path):
    """Make a WARC file with these records."""

    def make(*records, name="a.warc.gz"):
        made = [record(**fields) for fields in records]
        parts = [gzip.compress(part) for part in made] if name.endswith(".gz") else made
        (tmp_path / name).write_bytes(b"".join(parts))
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc", "unnamed"])
def test_a_warc_gives_the_captures_of_every_well_known_file(warc, name):
    path = warc(
        {"url": "https://a.example/robots.txt"},
        {"url": "https://a.example/.well-known/tdmrep.json", "body": b"[]"},
        {"url": "https://a.example/page"},
        {"url": "https://a.example/robots.txt?x"},
        {"url": "HTTPS://B.example:443/robots.txt", "status": "404 Not Found"},
        {"url": "https://a.example/robots.txt", "kind": "request"},
        name=name,
    )
    found = bring(path)
    assert faults(found) == []
    assert [(exchange.url, exchange.role, exchange.status) for exchange in exchanges(found)] == [
        ("https://a.example/robots.txt", "/robots.txt", 200),
        ("https://a.example/.well-known/tdmrep.json", "/.well-known/tdmrep.json", 200),
        ("https://b.example/robots.txt", "/robots.txt", 404),
    ]
    assert exchanges(found)[0].fetched_at == NOON
    assert exchanges(found)[0].body == b"User-agent: *\nDisallow: /\n"


def test_codings_are_removed(warc):
    body = gzip.compress(b"User-agent: *")
    path = warc({"url": "https://a.example/robots.txt", "body": body, "headers": (("Content-Encoding", "gzip"),)})
    assert exchanges(bring(path))[0].body == b"User-agent: *"


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_a_file_cut_in_mid_record_gives_all_before_and_one_fault(warc, name):
    path = warc(*({"url": f"https://{n}.example/robots.txt", "body": b"#%d" % n * 500} for n in range(3)), name=name)
    path.write_bytes(path.read_bytes()[:-60])
    found = bring(path)
    assert [exchange.url for exchange in exchanges(found)] == [f"https://{n}.example/robots.txt" for n in range(2)]
    (fault,) = faults(found)
    assert fault.file == str(path)
    assert "byte" in fault.place


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_damage_in_the_middle_costs_the_damaged_record_only(warc, name):
    path = warc(*({"url": f"https://{n}.example/robots.txt", "body": b"#%d" % n * 500} for n in range(5)), name=name)
    data = bytearray(path.read_bytes())
    mark = b"\x1f\x8b\x08" if name.endswith(".gz") else b"WARC/1."
    second = data.index(mark, 10)
    data[second + 20 : second + 40] = b"\xff" * 20
    path.write_bytes(bytes(data))
    found = bring(path)
    urls = [exchange.url for exchange in exchanges(found)]
    assert [f"https://{n}.example/robots.txt" for n in (0, 2, 3, 4)] == [url for url in urls if "/1." not in url]
    assert faults(found)


def test_what_is_no_warc_is_a_fault(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(b"not a warc at all" * 100)
    assert faults(bring(tmp_path / "a.warc.gz"))


def test_a_redirect_and_its_target_become_one_exchange(warc, tmp_path, capsys):
    path = warc(
        {
            "url": "http://a.example/robots.txt",
            "status": "301 Moved",
            "headers": (("Location", "https://a.example/robots.txt"),),
        },
        {"url": "https://a.example/robots.txt"},
    )
    assert main(["harvest", "--store", str(tmp_path / "store"), "--import", str(path), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["imported"]["redirects followed"] == 1
    robots = newest(tmp_path, "http://a.example")["/robots.txt"]
    assert (robots.status, robots.redirects) == (200, ("https://a.example/robots.txt",))


def test_the_archive_of_a_crawl_comes_back_whole(tmp_path):
    when = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    robots = Exchange(
        "https://a.example/robots.txt", "/robots.txt", status=200, headers=(("Content-Type", "text/plain"),),
        body=b"License: https://l.example/l.xml", redirects=("https://www.a.example/robots.txt",), fetched_at=when,
    )  # fmt: skip
    same = Exchange("https://b.example/robots.txt", "/robots.txt", status=200, body=robots.body, fetched_at=when)
    dead = Exchange("https://a.example/ai.txt", "/ai.txt", error="timeout", fetched_at=when)
    licence = Exchange("https://l.example/l.xml", "rsl-document", status=200, body=b"<rsl/>", fetched_at=when)
    page = Exchange("https://a.example/page", status=200, body=b"<p>", fetched_at=when)
    with SignalArchive(tmp_path / "signals") as archive:
        archive.write_set([robots, dead, licence])
        archive.write_set([same])
        archive.write(page)
        archive.commit()
    found = bring(tmp_path / "signals")
    assert faults(found) == []
    with Store.open(tmp_path / "store", create=True) as store:
        for visit in found:
            store.put(visit)
        assert store.state("https://a.example", None).exchanges == (robots, dead, licence)
        assert store.state("https://b.example", None).exchanges == (same,)
        assert list(store.origins()) == ["https://a.example", "https://b.example"]


def table(**columns):
    base = {
        "url": ["https://a.example/robots.txt"],
        "status": [200],
        "body": [b"User-agent: *"],
        "fetched_at": pa.array([NOON], pa.timestamp("us", "UTC")),
    }
    return pa.table(base | columns)


@pytest.mark.parametrize(
    "headers",
    [
        pa.array([[("Content-Type", "text/plain")]], pa.map_(pa.string(), pa.string())),
        pa.array([[["Content-Type", "text/plain"]]]),
        pa.array([[{"name": "Content-Type", "value": "text/plain"}]]),
        pa.array(['{"Content-Type": "text/plain"}']),
        pa.array(['[["Content-Type", "text/plain"]]']),
    ],
    ids=["map", "pairs", "structs", "json-object", "json-pairs"],
)
def test_parquet_header_fields_come_in_many_forms(tmp_path, headers):
    pq.write_table(table(headers=headers), tmp_path / "a.parquet")
    (exchange,) = exchanges(bring(tmp_path / "a.parquet"))
    assert exchange == Exchange(
        "https://a.example/robots.txt", "/robots.txt", status=200, headers=(("Content-Type", "text/plain"),),
        body=b"User-agent: *", fetched_at=NOON,
    )  # fmt: skip


def test_parquet_without_header_fields_text_bodies_and_naive_times(tmp_path):
    columns = {"body": ["User-agent: *"], "fetched_at": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms"))}
    pq.write_table(table(**columns), tmp_path / "a.parquet")
    (exchange,) = exchanges(bring(tmp_path / "a.parquet"))
    assert (exchange.headers, exchange.body, exchange.fetched_at) == ((), b"User-agent: *", NOON)


def test_a_parquet_row_without_status_is_a_fetch_that_failed(tmp_path):
    pq.write_table(
        table(status=pa.array([None], pa.int32()), body=pa.array([None], pa.binary())), tmp_path / "a.parquet"
    )
    (exchange,) = exchanges(bring(tmp_path / "a.parquet"))
    assert exchange.availability is Availability.UNREACHABLE


def test_bad_parquet_rows_are_named_and_the_others_come_in(tmp_path):
    rows = {
        "url": ["https://a.example/robots.txt", None, "https://b.example/robots.txt", "https://c.example/robots.txt"],
        "status": [200, 200, 200, 200],
        "body": [b"", b"", b"", b""],
        "fetched_at": ["2026-03-01T12:00:00Z", "2026-03-01", "yesterday", "2026-03-01"],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    found = bring(tmp_path / "a.parquet")
    assert [exchange.url for exchange in exchanges(found)] == [rows["url"][0], rows["url"][3]]
    assert [fault.place for fault in faults(found)] == ["row 1", "row 2"]


def test_parquet_that_is_cut_or_lacks_a_column_is_a_fault(tmp_path):
    pq.write_table(table().drop_columns("fetched_at"), tmp_path / "a.parquet")
    pq.write_table(table(), tmp_path / "b.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-30])
    first, second = faults(bring(tmp_path))
    assert "fetched_at" in first.what
    assert second.file.endswith("b.parquet")


def test_a_damaged_row_group_does_not_hide_the_others(tmp_path):
    bodies = [os.urandom(5000) for _ in range(3)]
    rows = pa.concat_tables(
        [table(url=[f"https://{n}.example/robots.txt"], body=[body]) for n, body in enumerate(bodies)]
    )
    path = tmp_path / "a.parquet"
    pq.write_table(rows, path, row_group_size=1, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    at = data.index(bodies[1][100:150])
    start = at - 140
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(data))
    found = bring(path)
    assert {exchange.url for exchange in exchanges(found)} >= {
        "https://0.example/robots.txt",
        "https://2.example/robots.txt",
    }


def test_an_import_with_a_fault_keeps_the_rest_and_says_so(tmp_path, capsys):
    pq.write_table(table(), tmp_path / "a.parquet")
    files = [str(tmp_path / "a.parquet"), str(tmp_path / "none.warc.gz")]
    code = main(["harvest", "--store", str(tmp_path / "store"), "--quiet", "--json", "--import", *files])
    assert code == 2
    assert newest(tmp_path, "https://a.example")
    captured = capsys.readouterr()
    assert "none.warc.gz" in captured.err
    assert json.loads(captured.out)["imported"] == {
        "captures": 1, "redirects followed": 0, "files read before": 0, "faults": 1,
    }  # fmt: skip


def test_common_crawls_form_of_the_corpus_comes_in_whole(shared):
    found = bring(shared / "corpus/warc/robots-constructed.warc.gz")
    assert len(exchanges(found)) == 400
    assert faults(found) == []


# Showing.


def show(tmp_path, *options):
    return main(["harvest", "--store", str(tmp_path / "store"), "--show", *options])


def test_the_dated_states_of_an_origin_are_listed(tmp_path, capsys):
    with Store.open(tmp_path / "store", create=True) as store:
        for day, body in enumerate([b"one", b"one", b"two"]):
            at = NOON + timedelta(days=day)
            store.put([Exchange("https://a.example/robots.txt", "/robots.txt", status=200, body=body, fetched_at=at)])
    assert show(tmp_path, "a.example", "--json") == 0
    states = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [state["captured_at"] for state in states] == [f"2026-03-0{day}T12:00:00+00:00" for day in (1, 2, 3)]
    assert [state["changed"] for state in states] == [["/robots.txt"], [], ["/robots.txt"]]
    assert states[0]["until"] == states[1]["captured_at"]
    assert show(tmp_path, "https://a.example/any/page") == 0
    text = capsys.readouterr().out
    assert "2026-03-02 12:00:00Z   nothing changed" in text


def test_the_table_tells_what_each_state_meant_and_where_it_came_from(tmp_path, capsys):
    moved = "https://www.a.example/robots.txt"
    answers = [
        {"body": b"User-agent: *\nAllow: /\n"},
        {"body": b"User-agent: *\nDisallow: /\n", "redirects": (moved,)},
        {"status": None, "error": "timeout"},
    ]
    with Store.open(tmp_path / "store", create=True) as store:
        for day, answer in enumerate(answers):
            fields = {"status": 200, "fetched_at": NOON + timedelta(days=day), **answer}
            store.put([Exchange("https://a.example/robots.txt", "/robots.txt", **fields)])
    assert show(tmp_path, "a.example") == 0
    text = capsys.readouterr().out
    reasons = re.findall(r"no-reservation|robots\.(?!txt)[a-z.]*[a-z]", text)
    assert reasons == ["no-reservation", "robots.group.disallow", "robots.unreachable"]
    assert "https://www" in text
    assert "timeout" in text


def test_an_origin_that_nobody_has_seen_is_said_so(tmp_path, capsys):
    Store.open(tmp_path / "store", create=True).close()
    assert show(tmp_path, "a.example") == 1
    assert "knows nothing about a.example" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["none.txt"], ["--show", "a.example"], ["--show", "ftp://a.example"]], ids=" ".join
)
def test_wrong_use_is_one_line_and_exit_code_2(tmp_path, capsys, arguments):
    assert main(["harvest", "--store", str(tmp_path / "store"), *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
