"""What every kind of store promises to those who share it, and what becomes of damage and of servers that are away."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from origin_simulator import Answer, Simulator
from store_servers import ask_postgres, wipe

from optout import engine
from optout.acquisition import policy_files
from optout.acquisition.captures import DAMAGED, StoreUnreachable, microseconds
from optout.acquisition.claims import Claims, is_complete
from optout.acquisition.history import Store, StoreError
from optout.acquisition.origin_list import target
from optout.acquisition.stores import bring, open_store
from optout.cli import main
from optout.errors import UnreadableInput
from optout.identity import Identity
from optout.model import Availability, Exchange

ORIGIN = "https://example.com"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = policy_files.load("eu-gpai", as_of=datetime(2026, 11, 23, tzinfo=UTC).date())
ROLES = engine.required_paths(POLICY)
KINDS = ["file", "redis", "postgres"]


def robots(body=b"User-agent: *\nDisallow:\n", at=NOON, origin=ORIGIN, **fields):
    fields = {"status": 200, "headers": (("Content-Type", "text/plain"),), **fields}
    return Exchange(f"{origin}/robots.txt", "/robots.txt", body=body, fetched_at=at, **fields)


@pytest.fixture
def make(request, tmp_path):
    """Give the address of an empty store of a kind; the same kind twice is the same store, except for folders."""

    def at(kind, name="store"):
        if kind == "file":
            return str(tmp_path / name)
        server = request.getfixturevalue(f"{kind}_store")
        wipe(server.address)
        return server.address

    return at


@pytest.fixture(params=KINDS)
def address(request, make):
    return make(request.param)


@pytest.fixture
def store(address):
    with open_store(address, create=True) as store:
        yield store


# Leases.


def test_a_lease_has_one_holder(store):
    backend = store.backend
    assert backend.lease(["a", "b"], "one", 60) == {"a", "b"}
    assert backend.lease(["b", "c"], "two", 60) == {"c"}
    assert backend.lease(["a", "b", "c"], "one", 60) == {"a", "b"}


def test_only_the_holder_ends_a_lease(store):
    backend = store.backend
    backend.lease(["a"], "one", 60)
    backend.release(["a"], "two")
    assert backend.lease(["a"], "two", 60) == set()
    backend.release(["a"], "one")
    assert backend.lease(["a"], "two", 60) == {"a"}


def test_a_lease_ends_by_itself_unless_it_is_taken_again(store):
    backend = store.backend
    backend.lease(["kept", "left"], "dead", 0.4)
    backend.lease(["kept"], "dead", 60)
    deadline = time.monotonic() + 10
    while not (taken := backend.lease(["kept", "left"], "other", 60)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert taken == {"left"}
    backend.release(["left"], "dead")
    assert backend.lease(["left"], "third", 60) == set()


def test_of_many_who_ask_at_once_one_gets_the_lease(address):
    with open_store(address, create=True):
        pass
    keys = [f"key {number}" for number in range(20)]
    got, barrier = [], threading.Barrier(6)

    def ask(holder):
        with open_store(address, create=True) as own:
            barrier.wait()
            got.extend(own.backend.lease(keys, holder, 60))

    threads = [threading.Thread(target=ask, args=(f"holder{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever closes a folder gives up what it holds, so that a later one may have it.
    assert set(got) == set(keys)
    assert address.startswith("/") or len(got) == len(keys)


def test_a_folder_can_be_opened_left_and_leased_from_by_many_at_the_same_moment(tmp_path):
    for number in range(60):
        folder, barrier = str(tmp_path / str(number)), threading.Barrier(6)

        def come_and_go(holder, folder=folder, barrier=barrier):
            barrier.wait()
            with open_store(folder, create=True) as own:
                return own.backend.lease(["one", "two"], holder, 60)

        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(come_and_go, [f"holder{one}" for one in range(6)]))
        assert set.union(*taken) == {"one", "two"}


_LEASE_AND_DIE = """
import os, signal, sys
from optout.acquisition.stores import open_store
store = open_store(sys.argv[1], create=True)
print(len(store.backend.lease(["a"], "dead", 3600)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_of_this_machine_that_was_killed_blocks_nobody(make):
    address = make("file")
    done = subprocess.run([sys.executable, "-c", _LEASE_AND_DIE, address], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n")
    with open_store(address, create=True) as store:
        assert store.backend.lease(["a"], "next", 60) == {"a"}


def test_a_node_whose_lease_ran_out_hides_nothing_that_was_seen_since(address):
    """The slow node fetched first, and writes last."""
    with open_store(address, create=True) as slow, open_store(address, create=True) as quick:
        slow.backend.lease([ORIGIN], "slow", 0.05)
        seen_by_slow = robots(b"User-agent: *\nDisallow:\n", NOON)
        time.sleep(0.1)
        assert quick.backend.lease([ORIGIN], "quick", 60) == {ORIGIN}
        quick.put([robots(b"User-agent: *\nDisallow: /\n", NOON + timedelta(seconds=9))])
        slow.put([seen_by_slow])
        slow.backend.release([ORIGIN], "slow")
        for store in (slow, quick):
            assert store.newest(ORIGIN)[0].body == b"User-agent: *\nDisallow: /\n"
            assert store.state(ORIGIN, None).exchanges == store.newest(ORIGIN)
            assert [capture.fetched_at for capture in store.latest([ORIGIN])[ORIGIN]] == [NOON + timedelta(seconds=9)]
            assert len(store.history(ORIGIN)) == 2
        assert slow.backend.lease([ORIGIN], "third", 60) == set()


def test_the_latest_captures_are_those_of_the_newest_state(store):
    for number in (2, 0, 1):
        at = NOON + number * DAY
        store.put([robots(b"#%d" % number, at), Exchange(f"{ORIGIN}/ai.txt", "/ai.txt", status=404, fetched_at=at)])
    store.put([Exchange(f"{ORIGIN}/trust.txt", "/trust.txt", status=404, fetched_at=NOON)])
    assert store.newest(ORIGIN) == store.state(ORIGIN, None).exchanges
    assert [exchange.body for exchange in store.newest(ORIGIN)] == [b"#2", b"", b""]
    assert store.newest("https://other.example") == ()
    assert store.latest(["https://other.example"]) == {"https://other.example": ()}


def test_what_is_marked_stays_marked(address):
    with open_store(address, create=True) as store:
        assert not store.backend.is_marked("x")
        store.backend.mark("x")
        store.backend.mark("x")
    with open_store(address) as store:
        assert store.backend.is_marked("x")
        assert not store.backend.is_marked("y")


# Damage.


def exchange_body(address, store, digest, data):
    """Put other bytes in the place of a body, or take it away."""
    if address.startswith("redis"):
        key = f"optout:body:{digest.hex()}"
        client = store.backend._client
        client.delete(key) if data is None else client.set(key, zstandard.compress(data))
    elif address.startswith("postgresql"):
        where = f"WHERE digest = '\\x{digest.hex()}'"
        if data is None:
            ask_postgres(address, f"DELETE FROM optout.bodies {where}")  # noqa: S608
        else:
            ask_postgres(address, f"UPDATE optout.bodies SET data = '\\x{data.hex()}' {where}")  # noqa: S608
    else:
        with sqlite3.connect(f"{address}/origins.sqlite") as connection:
            if data is None:
                connection.execute("DELETE FROM bodies WHERE digest = ?", (digest,))
            else:
                connection.execute("UPDATE bodies SET data = ? WHERE digest = ?", (zstandard.compress(data), digest))
        connection.close()


@pytest.mark.parametrize("data", [b"User-agent: *\nAllow: /\n", b"", None], ids=["exchanged", "emptied", "gone"])
def test_a_damaged_body_is_noticed_and_is_never_permission(address, store, data):
    closed = robots(b"User-agent: *\nDisallow: /\n")
    store.put([closed])
    exchange_body(address, store, bytes.fromhex(closed.digest), data)
    with open_store(address) as reader:
        state = reader.state(ORIGIN, None)
        assert state.exchanges == reader.newest(ORIGIN)
        (found,) = state.exchanges
        assert (found.error, found.body, found.availability) == (DAMAGED, b"", Availability.UNREACHABLE)
        verdict = engine.compile(state.exchanges, POLICY, Identity("TestBot")).decide(f"{ORIGIN}/a")
        assert verdict.access == "deny"
        # What was compiled from a damaged state must not be taken for what the whole one means.
        damaged_key = state.content_key
    store.put([closed])
    with open_store(address) as reader:
        state = reader.state(ORIGIN, None)
        assert state.exchanges == (closed,)
        assert state.content_key != damaged_key


def test_a_damaged_row_on_the_server_hides_nothing_behind_an_older_one(make):
    with open_store(make("redis"), create=True) as store:
        store.put([robots(b"User-agent: *\nAllow: /\n", NOON), robots(b"User-agent: *\nDisallow: /\n", NOON + DAY)])
        newer = str(microseconds(NOON + DAY)).encode()
        for key in (f"optout:captures:{ORIGIN}", f"optout:latest:{ORIGIN}"):
            for field, value in store.backend._client.hgetall(key).items():
                if newer in field + value:
                    store.backend._client.hset(key, field, value.replace(b"200", b"404"))
        assert [capture.error for capture in store.history(ORIGIN)] == [None, DAMAGED]
        for (found,) in (store.newest(ORIGIN), store.state(ORIGIN, None).exchanges):
            assert (found.fetched_at, found.availability) == (NOON + DAY, Availability.UNREACHABLE)
        last = {capture.role: capture for capture in store.latest([ORIGIN])[ORIGIN]}
        assert not is_complete(last, ["/robots.txt"], NOON - DAY)


def test_what_is_damaged_is_fetched_again(make, tmp_path):
    address = make("redis")
    with Simulator() as simulator:
        origin = simulator.origin("User-agent: *\nDisallow: /\n")
        assert harvest(tmp_path, address, origin.url) == 0
        with open_store(address, create=True) as store:
            body = store.newest(origin.url)[0]
            for field, value in store.backend._client.hgetall(f"optout:latest:{origin.url}").items():
                store.backend._client.hset(f"optout:latest:{origin.url}", field, value[:-3] + b"xx]")
        assert harvest(tmp_path, address, origin.url) == 0
        assert origin.asked("/robots.txt") == 2
        with open_store(address) as store:
            again = store.newest(origin.url)[0]
            assert (again.body, again.error) == (body.body, None)


# One store into another.


def content(store):
    return {origin: store.state(origin, None) for origin in store.origins()}, {
        origin: store.history(origin) for origin in store.origins()
    }


@pytest.mark.parametrize(
    ("source", "to"), [(kind, "file") for kind in KINDS] + [("file", "redis"), ("redis", "postgres")]
)
def test_a_store_is_brought_into_another_with_dates_and_digests(make, source, to):
    with open_store(make(source), create=True) as one, open_store(make(to, "other"), create=True) as other:
        licence = Exchange("https://rsl.example/\udc80", "rsl-document", status=200, body=b"<rsl/>", fetched_at=NOON)
        at = NOON.replace(microsecond=123_457)
        one.put(
            [robots(os.urandom(500), at, truncated=True, redirects=("https://www.example.com/robots.txt",)), licence]
        )
        one.put([robots(at=at + DAY, status=None, error="timeout", body=b"", headers=())])
        one.put(robots(b"shared", NOON, f"https://{number}.example:8443") for number in range(30))
        one.put([robots(b"moved", status=302, origin="http://example.com", headers=(("Location", "/x"),))])
        counts = list(bring(one, other))
        assert sum(counts) == 3 + 30 + 1
        assert content(one) == content(other)
        assert sum(bring(one, other)) == 0
        other.put([robots(b"newer", NOON + 2 * DAY)])
        assert sum(bring(one, other)) == 0
        assert other.newest(ORIGIN)[0].body == b"newer"


def test_what_a_store_has_lost_is_named_and_the_rest_is_brought(make, tmp_path, capsys):
    address = make("postgres")
    with open_store(address, create=True) as store:
        lost = robots(b"User-agent: *\nDisallow: /\n")
        store.put([lost, robots(b"whole", origin="https://whole.example")])
        exchange_body(address, store, bytes.fromhex(lost.digest), None)
    assert main(["harvest", "--store", str(tmp_path / "local"), "--import", address, "--quiet", "--json"]) == 2
    captured = capsys.readouterr()
    assert "https://example.com/robots.txt of 2026-03-01 12:00:00Z is damaged" in captured.err
    assert json.loads(captured.out)["imported"]["captures"] == 1
    with Store.open(tmp_path / "local") as local:
        assert list(local.origins()) == ["https://whole.example"]


def test_a_shared_store_is_pulled_into_a_dated_local_one(make, tmp_path, capsys):
    address = make("postgres")
    with open_store(address, create=True) as store:
        store.put(robots(b"#%d" % day, NOON + day * DAY) for day in range(3))
    local = str(tmp_path / "local")
    for captures in (3, 0):
        assert main(["harvest", "--store", local, "--import", address, "--quiet", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["imported"]["captures"] == captures
    main(["harvest", "--store", local, "--show", ORIGIN, "--json"])
    shown = capsys.readouterr().out
    main(["harvest", "--store", address, "--show", ORIGIN, "--json"])
    assert shown == capsys.readouterr().out
    assert shown.count("2026-03-0") >= 3


# Servers that are away.


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_what_was_acknowledged_survives_the_death_of_the_server(request, make, kind):
    address = make(kind)
    server = request.getfixturevalue(f"{kind}_store")
    with open_store(address, create=True) as store:
        store.put([robots(b"kept")])
        server.stop()
        time.sleep(0.5)
        with pytest.raises(StoreUnreachable, match=r"store (redis|postgresql)://"):
            store.put([robots(b"lost", NOON + DAY)])
        server.start()
        assert store.newest(ORIGIN)[0].body == b"kept"
        store.put([robots(b"later", NOON + 2 * DAY)])
        assert [capture.fetched_at for capture in store.history(ORIGIN)] == [NOON, NOON + 2 * DAY]


@pytest.mark.parametrize(
    "address", ["redis://:secret@127.0.0.1:1/0", "postgresql://me:secret@127.0.0.1:1/x?password=secret"]
)
def test_a_server_that_is_not_there_is_one_line_without_the_password(address, tmp_path, capsys):
    (tmp_path / "list").write_text("example.com\n")
    assert main(["harvest", str(tmp_path / "list"), "--store", address, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "127.0.0.1:1" in said
    assert "secret" not in said


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_server_without_a_store_is_not_made_one_by_a_reader(make, kind, capsys):
    address = make(kind)
    with pytest.raises(StoreError, match="holds no store"):
        open_store(address)
    assert main(["harvest", "--store", address, "--show", "example.com"]) == 2
    assert "holds no store" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_machine_whose_clock_is_wrong_may_read_and_not_write(make, kind, monkeypatch):
    """Its captures would be newer than everybody's for as long as it is ahead."""
    address = make(kind)
    open_store(address, create=True).close()
    monkeypatch.setattr("optout.acquisition.captures.LARGEST_SKEW", timedelta(seconds=-1))
    with pytest.raises(StoreError, match="clocks of this machine and of"):
        open_store(address, create=True)
    open_store(address).close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_another_edition_is_refused(make, kind):
    address = make(kind)
    with open_store(address, create=True) as store:
        if kind == "redis":
            store.backend._client.set("optout:format", "99")
        elif kind == "postgres":
            ask_postgres(address, "UPDATE optout.about SET value = '99'")
        else:
            store.backend._connection.execute("UPDATE about SET value = '99'")
    for create in (False, True):
        with pytest.raises(StoreError, match="another edition"):
            open_store(address, create=create)


@pytest.mark.parametrize("address", ["mysql://x/y", "http://x", "redis://[::1"])
def test_an_address_that_nobody_knows_is_named(address):
    with pytest.raises((UnreadableInput, StoreError)):
        open_store(address)


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "optout.acquisition.store_redis", raising=False)
    with pytest.raises(UnreadableInput, match=r"optout-toolkit\[redis\]"):
        open_store("redis://127.0.0.1:1")


def test_many_nodes_may_make_the_tables_at_once(make):
    address = make("postgres")
    barrier, faults = threading.Barrier(4), []

    def begin():
        barrier.wait()
        try:
            open_store(address, create=True).close()
        except StoreError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# Several harvests.


def command(tmp_path, address, *urls, options=()):
    name = tmp_path / f"list-{len(list(tmp_path.glob('list-*')))}"
    name.write_text("\n".join(urls) + "\n")
    program = "import sys; from optout.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--store", address, "--allow-private", "--quiet", "--json", *options]
    return [sys.executable, "-c", program, "harvest", str(name), *options]


def harvest(tmp_path, address, *urls, options=()):
    return main(command(tmp_path, address, *urls, options=options)[3:])


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)


def slow_down(origins, seconds):
    for origin in origins:
        origin.put("/robots.txt", Answer(hold=seconds, body=origin.host.encode()))


@pytest.mark.parametrize("kind", KINDS)
def test_two_harvests_share_a_list_and_ask_nobody_twice(make, kind, tmp_path):
    address = make(kind)
    with Simulator() as simulator:
        origins = [simulator.origin(host=f"127.0.3.{number + 1}") for number in range(24)]
        slow_down(origins, 2.0)
        dead = simulator.closed_port()
        urls = [*(origin.url for origin in origins), dead]
        options = ["--concurrency", "4"]
        # The same list from both ends, so that they meet in the middle and race to the end.
        nodes = [command(tmp_path, address, *order, options=options) for order in (urls, urls[::-1])]
        running = [subprocess.Popen(node, stdout=subprocess.PIPE) for node in nodes]
        # However long a process takes to begin, neither may have done it all when the other one comes.
        until(lambda: all(end.asked("/robots.txt") for end in (origins[0], origins[-1])))
        slow_down(origins, 0.15)
        figures = [json.loads(node.communicate()[0])["harvested"] for node in running]
        assert [node.returncode for node in running] == [0, 0]
        assert {origin.asked("/robots.txt") for origin in origins} == {1}
        assert all(sorted(origin.paths()) == sorted(ROLES) for origin in origins)
    visited = [figure["origins"].get("reached", 0) for figure in figures]
    assert sum(visited) == 24
    assert all(figure["targets"] == 25 for figure in figures)
    assert sum(count > 0 for count in visited) > 1
    with open_store(address) as store:
        assert {store.newest(origin.url)[0].body for origin in origins} == {origin.host.encode() for origin in origins}


def test_when_a_node_is_killed_another_does_its_work(make, tmp_path, monkeypatch):
    address = make("redis")
    monkeypatch.setattr("optout.acquisition.claims.LEASE_SECONDS", 2.0)
    with Simulator() as simulator:
        origins = [simulator.origin(host=f"127.0.4.{number + 1}") for number in range(12)]
        urls = [origin.url for origin in origins]
        for origin in origins:
            origin.put("/robots.txt", Answer(hold=30))
        node = command(tmp_path, address, *urls, options=["--concurrency", "3"])
        node[2] = "import optout.acquisition.claims as c; c.LEASE_SECONDS = 2.0; " + node[2]
        dead = subprocess.Popen(node)
        until(lambda: sum(origin.asked("/robots.txt") for origin in origins) >= 3)
        dead.send_signal(signal.SIGKILL)
        assert dead.wait() == -signal.SIGKILL
        for origin in origins:
            origin.put("/robots.txt", Answer(body=b"User-agent: *\nDisallow: /\n"))
        assert harvest(tmp_path, address, *urls) == 0
    with open_store(address) as store:
        assert all(store.newest(url)[0].status == 200 for url in urls)


def test_a_harvest_outlives_a_server_that_is_away_for_a_moment(request, make, tmp_path, capsys):
    address = make("redis")
    server = request.getfixturevalue("redis_store")
    with Simulator() as simulator:
        origins = [simulator.origin(host=f"127.0.5.{number + 1}") for number in range(10)]
        for origin in origins:
            origin.put("/robots.txt", Answer(hold=0.3, body=b"User-agent: *\nDisallow: /\n"))
        node = [part for part in command(tmp_path, address, *(origin.url for origin in origins)) if part != "--quiet"]
        process = subprocess.Popen(
            [*node, "--concurrency", "2"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        until(lambda: sum(origin.asked("/robots.txt") for origin in origins) >= 2)
        server.stop()
        time.sleep(1.5)
        server.start()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["harvested"]["origins"] == {"reached": 10}
        assert err.count("store redis://") == 1


def test_a_claim_looks_again_after_the_lease(make):
    """Between the look and the lease somebody may have come back from a visit."""
    address = make("redis")
    with open_store(address, create=True) as store:
        claims, wanted = Claims(store, ["/robots.txt"], NOON), target(ORIGIN)
        lease = store.backend.lease

        def late(keys, holder, seconds):
            store.put([robots(at=NOON + DAY)])
            return lease(keys, holder, seconds)

        store.backend.lease = late
        found = claims.sort([wanted])
        assert (found.ours, found.fresh) == ([], [wanted])
        assert lease([wanted.key], "other", 60) == {wanted.key}


def test_stores_may_be_asked_from_any_thread(store):
    async def run():
        puts = (asyncio.to_thread(store.put, [robots(b"#%d" % n, origin=f"https://{n}.example")]) for n in range(20))
        await asyncio.gather(*puts)
        asked = (asyncio.to_thread(store.newest, f"https://{n}.example") for n in range(20))
        return await asyncio.gather(*asked)

    assert [found[0].body for found in asyncio.run(run())] == [b"#%d" % n for n in range(20)]
