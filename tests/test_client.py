"""Fetching over real connections: what a stranger's server does is data, and nothing leads inside our network."""

import asyncio
import gzip
import socket
import threading

import pytest
from aiohttp.resolver import DefaultResolver
from origin_simulator import Answer, Simulator

from optout.acquisition.client import PrivateAddressError, Resolver, Slots, _public_socket, is_public, open_fetcher
from optout.acquisition.fetcher import Limits
from optout.acquisition.plan import Planned
from optout.identity import Identity
from optout.model import TOO_MANY_REDIRECTS

US = Identity("TestBot", contact="crawl@example.com")


@pytest.fixture
def simulator():
    with Simulator() as simulator:
        yield simulator


def fetch(*urls, slots=None, **limits):
    async def run():
        async with open_fetcher(US, Limits(**{"seconds": 5, "allow_private": True, **limits}), slots) as fetcher:
            return [await fetcher.fetch(Planned(url, "/robots.txt")) for url in urls]

    return asyncio.run(run())


def test_what_came_back_is_in_the_exchange(simulator):
    origin = simulator.origin("User-agent: *\nDisallow: /a\n")
    (exchange,) = fetch(f"{origin.url}/robots.txt")
    assert (exchange.status, exchange.error, exchange.body) == (200, None, b"User-agent: *\nDisallow: /a\n")
    assert ("Content-Type", "text/plain") in exchange.headers
    assert exchange.fetched_at.tzinfo is not None
    (seen,) = origin.log
    assert (seen.headers["User-Agent"], seen.headers["From"]) == ("TestBot", "crawl@example.com")
    assert "Cookie" not in seen.headers


def test_all_files_of_an_origin_come_over_one_connection(simulator):
    origin = simulator.origin()
    accepted = []
    accept = origin.server.get_request
    origin.server.get_request = lambda: accepted.append(1) or accept()
    fetch(*(f"{origin.url}/{name}" for name in ("robots.txt", "ai.txt", "trust.txt")))
    assert origin.paths() == ["/robots.txt", "/ai.txt", "/trust.txt"]
    assert len(accepted) == 1


def test_redirects_are_followed_and_named(simulator):
    end = simulator.origin("end")
    start = simulator.origin()
    url = start.redirect("/robots.txt", f"{end.url}/robots.txt", 301)
    (exchange,) = fetch(url)
    assert (exchange.url, exchange.redirects) == (url, (f"{end.url}/robots.txt",))
    assert exchange.body == b"end"


@pytest.mark.parametrize(("hops", "error"), [(5, None), (6, TOO_MANY_REDIRECTS)])
def test_five_redirects_are_followed_and_no_more(simulator, hops, error):
    origin = simulator.origin("end")
    for number in range(hops):
        origin.redirect(f"/{number}", f"/{number + 1}" if number + 1 < hops else "/robots.txt")
    (exchange,) = fetch(f"{origin.url}/0")
    assert exchange.error == error
    assert len(exchange.redirects) == 5


@pytest.mark.parametrize("target", ["ftp://example.com/robots.txt", "http://[::1", "javascript:1"])
def test_a_redirect_to_what_cannot_be_fetched_is_a_failure(simulator, target):
    origin = simulator.origin()
    (exchange,) = fetch(origin.redirect("/robots.txt", target))
    assert exchange.error == "malformed-redirect"


def test_a_body_is_cut_at_the_limit(simulator):
    origin = simulator.origin("x" * 3000)
    short, whole = fetch(f"{origin.url}/robots.txt", max_bytes=1000) + fetch(f"{origin.url}/robots.txt", max_bytes=3000)
    assert (len(short.body), short.truncated) == (1000, True)
    assert (len(whole.body), whole.truncated) == (3000, False)


def test_the_limit_holds_for_what_a_coded_body_expands_to(simulator):
    origin = simulator.origin()
    bomb = gzip.compress(b"\0" * 20_000_000)
    url = origin.put("/robots.txt", Answer(headers=(("Content-Encoding", "gzip"),), body=bomb))
    (exchange,) = fetch(url, max_bytes=100_000)
    assert exchange.truncated
    assert len(exchange.body) == 100_000


def test_an_error_page_is_not_read_to_its_end(simulator):
    origin = simulator.origin()
    url = origin.put("/robots.txt", Answer(404, body=b"x" * 2_000_000))
    (exchange,) = fetch(url)
    assert (exchange.status, exchange.truncated) == (404, True)
    assert len(exchange.body) < 300_000


@pytest.mark.parametrize(
    ("answer", "errors"),
    [
        (Answer(hold=3), {"timeout"}),
        (Answer(body=b"x" * 100_000, pause=1), {"timeout"}),
        (Answer(drop=True), {"disconnected", "unreachable"}),
        (Answer(headers=(("X", "y" * 100_000),)), {"malformed-response"}),
        (Answer(headers=(("Content-Encoding", "gzip"),), body=b"no gzip"), {"broken-body"}),
    ],
    ids=["silent", "trickling", "hanging-up", "endless-header", "lying-coding"],
)
def test_a_server_that_fails_is_data(simulator, answer, errors):
    origin = simulator.origin()
    (exchange,) = fetch(origin.put("/robots.txt", answer), seconds=0.5)
    assert exchange.error in errors
    assert exchange.status is None


@pytest.mark.parametrize(
    ("url", "error"), [("http://no-such-host.invalid/robots.txt", "dns"), ("http:///robots.txt", "malformed-url")]
)
def test_a_host_that_is_none_is_data(url, error):
    (exchange,) = fetch(url)
    assert exchange.error == error


def test_a_host_that_is_none_is_told_where_addresses_are_counted_too():
    (exchange,) = fetch("http://no-such-host.invalid/robots.txt", slots=Slots(1))
    assert exchange.error == "dns"


def test_nobody_listening_is_refused():
    (exchange,) = fetch(f"{Simulator.closed_port()}/robots.txt")
    assert exchange.error == "refused"


def test_plain_text_where_tls_was_expected_is_a_failure_of_tls(simulator):
    (exchange,) = fetch(simulator.origin().url.replace("http", "https") + "/robots.txt")
    assert exchange.error == "tls"


# Addresses that are not everybody's.


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("64:ff9b:1::5db8:d822", False),
        ("::7f00:1", False),
        ("::5db8:d822", False),
        ("::ffff:0:7f00:1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("3fff::1", False),
        ("2001:db8::1", False),
        ("2001:0:7f00:1::1", False),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
    ],
)
def test_which_addresses_are_public(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0x7f000001",
        "127.0.0.1.",
        "[64:ff9b::7f00:1]",
        "[::7f00:1]",
        "[::]",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "１２７.0.0.1",
        "0.0.0.0",  # noqa: S104 - a name to refuse
    ],
)
def test_no_spelling_of_our_own_machine_is_connected_to(simulator, host):
    origin = simulator.origin("secret")
    (exchange,) = fetch(f"http://{host}:{origin.port}/robots.txt", allow_private=False)
    assert exchange.error is not None
    assert origin.log == []


def test_a_redirect_inside_is_refused(simulator, monkeypatch):
    inside, outside = simulator.origin("secret", "127.0.0.2"), simulator.origin()
    url = outside.redirect("/robots.txt", f"{inside.url}/robots.txt")
    monkeypatch.setattr("optout.acquisition.client.is_public", lambda address: address == "127.0.0.1")
    (exchange,) = fetch(url, allow_private=False)
    assert exchange.error == "private-address"
    assert inside.log == []


def test_a_name_is_refused_when_one_of_its_addresses_is_private(monkeypatch):
    async def resolve(*_):
        return [{"hostname": "x", "host": host, "port": 80, "family": 2, "proto": 6, "flags": 0} for host in hosts]

    async def ask():
        return await Resolver().resolve("rebinding.example", 80)

    monkeypatch.setattr(DefaultResolver, "resolve", resolve)
    hosts = ["93.184.216.34"]
    assert [entry["host"] for entry in asyncio.run(ask())] == hosts
    hosts = ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(PrivateAddressError):
        asyncio.run(ask())


def test_a_socket_is_made_for_public_addresses_only():
    with pytest.raises(PrivateAddressError):
        _public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    _public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))).close()


# Slots.


def test_an_address_is_asked_so_many_times_at_once_and_waiting_is_not_counted(simulator):
    origin = simulator.origin()
    lock, now, most = threading.Lock(), [0], [0]

    async def run():
        limits = Limits(seconds=2.0, allow_private=True)
        async with open_fetcher(US, limits, Slots(2)) as fetcher:
            asked = (fetcher.fetch(Planned(f"{origin.url}/{number}", "/robots.txt")) for number in range(8))
            return await asyncio.gather(*asked)

    handler = origin.server.RequestHandlerClass

    class Counting(handler):
        def do_GET(self):  # noqa: N802 - the name that the server calls
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.6)
            with lock:
                now[0] -= 1
            super().do_GET()

    origin.server.RequestHandlerClass = Counting
    assert [exchange.status for exchange in asyncio.run(run())] == [404] * 8
    assert most[0] == 2


def test_slots_that_nobody_uses_take_no_room():
    async def run():
        slots = Slots(1)
        async with asyncio.timeout(None) as clock:
            await slots.enter("a", clock)
            await slots.enter("b", clock)
            waiting = asyncio.create_task(slots.enter("a", clock))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            slots.leave("a")
            slots.leave("b")
        return slots._gates

    assert asyncio.run(run()) == {}
