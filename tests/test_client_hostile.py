"""Servers that mean harm, over real connections: bounded time and memory, an honest error, and never half a file."""

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import brotli
import pytest
import zstandard
from aiohttp.resolver import AsyncResolver
from crawls import crawl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as some
from origin_simulator import Answer, Simulator

from optout.acquisition import client as client_module
from optout.acquisition.client import PrivateAddressError, Resolver, open_fetcher
from optout.acquisition.coding import CodingError, codings, decoded
from optout.acquisition.fetcher import Limits
from optout.acquisition.plan import Planned
from optout.identity import Identity
from optout.model import TOO_MANY_REDIRECTS, Availability

US = Identity("TestBot")
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 100_000
ROBOTS = b"User-agent: *\nDisallow: /private\nDisallow: /other\n"


@contextmanager
def server(serve, context=None):
    """Run a server that speaks whatever `serve` writes to a connection; give its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    stopped = threading.Event()

    def one(connection):
        try:
            with connection if context is None else context.wrap_socket(connection, server_side=True) as spoken:
                spoken.settimeout(10)
                serve(spoken, stopped)
        except OSError:
            pass

    def run():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def asked(connection):
    """Read one request, or find that there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError
        data += more


def answer(data, then=0.0):
    """Serve one answer, and then say nothing for a while."""

    def serve(connection, stopped):
        asked(connection)
        connection.sendall(data)
        stopped.wait(then)

    return serve


def endless(head, piece, pause=0.0):
    """Serve a beginning and then the same piece for ever."""

    def serve(connection, stopped):
        asked(connection)
        connection.sendall(head)
        while not stopped.wait(pause):
            connection.sendall(piece)

    return serve


def fetch(serve, seconds=0.6, **limits):
    async def run(port):
        async with open_fetcher(US, Limits(seconds, LIMIT, allow_private=True, **limits)) as fetcher:
            return await fetcher.fetch(Planned(f"http://127.0.0.1:{port}/robots.txt", "/robots.txt"))

    with server(serve) as port:
        return asyncio.run(run(port))


@pytest.mark.parametrize(
    ("serve", "errors"),
    [
        (endless(OK, b"X", 0.05), "timeout"),
        (endless(OK, b"X-A: b\r\n", 0.05), "timeout"),
        (endless(OK, b"X-A: b\r\n" * 1_000), "malformed-response"),
        (endless(OK + b"X: ", b"y" * 10_000), "malformed-response"),
        (answer(OK + b"X-A: b\r\n" * 50_000 + b"Content-Length: 2\r\n\r\nhi"), "malformed-response"),
        (endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0.02), "timeout"),
        (endless(CHUNKED, b"1\r\nx\r\n", 0.02), "timeout"),
        (endless(CHUNKED + b"5;", b"x" * 10_000), "timeout"),
        # How much of it is read at once decides whether the head is still waited for when the trailers end it.
        (endless(CHUNKED + b"0\r\n", b"X: y\r\n" * 100), "malformed-response broken-body"),
        (answer(OK + b"Content-Length: 100\r\n\r\nshort"), "broken-body"),
        (answer(OK + b"Content-Length: 100\r\n\r\nshort", then=5), "timeout"),
        (answer(OK + b"Content-Length: -1\r\n\r\nshort"), "malformed-response"),
        (answer(OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\nshortlong"), "malformed-response"),
        (answer(CHUNKED.replace(b"OK", b"OK\r\nContent-Length: 5") + b"5\r\nshort\r\n0\r\n\r\n"), "malformed-response"),
        (answer(CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\nabc"), "malformed-response"),
        (answer(CHUNKED + b"5\r\nshort\r\n"), "broken-body"),
        (answer(ROBOTS), "malformed-response"),
        (answer(b"HTTP/1.1 99999 No\r\nContent-Length: 0\r\n\r\n"), "malformed-response"),
        (answer(b"HTTP/1.1 302 F\r\nLocation: /\x00\xff\r\nContent-Length: 0\r\n\r\n"), "malformed-response"),
        (answer(b"HTTP/1.1 302 F\r\nLocation: /" + b"x" * 100_000 + b"\r\n\r\n"), "malformed-response"),
        (answer(b""), "disconnected"),
    ],
    ids=[
        "one-byte-of-a-header-at-a-time", "one-header-at-a-time", "header-flood", "one-endless-header", "50000-headers",
        "early-hints-for-ever", "one-byte-chunks", "endless-chunk-extension", "endless-trailers", "longer-than-it-is",
        "longer-than-it-is-and-waiting", "negative-length", "two-lengths", "length-and-chunks", "huge-chunk",
        "no-last-chunk", "no-http-at-all", "no-status", "zero-in-location", "long-location", "nothing",
    ],
)  # fmt: skip
def test_it_costs_little_and_is_unreachable(serve, errors):
    tracemalloc.start()
    try:
        exchange = fetch(serve)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert exchange.error in errors.split()
    assert (exchange.status, exchange.body) == (None, b"")
    assert exchange.availability is Availability.UNREACHABLE
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "serve",
    [
        endless(CHUNKED, b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
        endless(OK + b"Connection: close\r\n\r\n", b"x" * 10_000),
        endless(OK + b"Content-Length: 5000000000\r\n\r\n", b"x" * 10_000),
    ],
    ids=["chunked", "unsized", "five-gigabytes"],
)
def test_an_endless_body_is_cut(serve):
    exchange = fetch(serve, seconds=5)
    assert (exchange.status, exchange.body, exchange.truncated) == (200, b"x" * LIMIT, True)


def test_a_redirect_with_an_endless_body_is_followed_no_further_than_any():
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange = fetch(endless(head, b"5\r\nabcde\r\n" * 100), seconds=5)
    assert exchange.error == TOO_MANY_REDIRECTS
    assert len(exchange.redirects) == 5


def test_what_stands_behind_an_answer_is_not_taken_for_the_next_one():
    """The octets after Content-Length look like a response, and a later request must not get it."""

    def serve(connection, stopped):
        asked(connection)
        connection.sendall(OK + b"Content-Length: 5\r\n\r\nfirst" + OK + b"Content-Length: 4\r\n\r\nevil")
        asked(connection)
        connection.sendall(OK + b"Content-Length: 4\r\n\r\ntrue")

    async def run(port):
        async with open_fetcher(US, Limits(5, LIMIT, allow_private=True)) as fetcher:
            urls = (f"http://127.0.0.1:{port}/{name}" for name in ("robots.txt", "ai.txt"))
            return [await fetcher.fetch(Planned(url, "/robots.txt")) for url in urls]

    with server(serve) as port:
        first, second = asyncio.run(run(port))
    assert first.body == b"first"
    assert second.body != b"evil"


# Codings.


def deflated(data, bits=zlib.MAX_WBITS):
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": deflated,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def coded(name, body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status, name.encode(), len(body), body,
    )  # fmt: skip


@pytest.mark.parametrize("name", CODED)
def test_codings_are_removed(name):
    exchange = fetch(answer(coded(name, CODED[name](ROBOTS))))
    assert (exchange.body, exchange.truncated) == (ROBOTS, False)


@pytest.mark.parametrize("name", CODED)
def test_half_a_coded_file_is_not_taken_for_the_file(name):
    whole = CODED[name](ROBOTS)
    exchange = fetch(answer(coded(name, whole[: len(whole) * 3 // 4])))
    assert (exchange.error, exchange.body) == ("broken-body", b"")


@pytest.mark.parametrize("name", CODED)
def test_a_bomb_is_cut_before_it_goes_off(name):
    bomb = CODED[name](b"\0" * 50_000_000) if name != "br" else brotli.compress(b"\0" * 50_000_000, quality=3)
    serve = answer(coded(name, bomb))
    tracemalloc.start()
    try:
        exchange = fetch(serve, seconds=10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (exchange.body, exchange.truncated) == (b"\0" * LIMIT, True)
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("compress", b"\x1f\x9d\x90"),
        ("gzip", ROBOTS),
        ("br", ROBOTS),
        ("zstd", ROBOTS),
        ("deflate", ROBOTS),
        ("gzip", gzip.compress(b"a") * 1_500),
        ("zstd", zstandard.compress(b"a") * 1_500),
        ("gzip, gzip, gzip, gzip, gzip", ROBOTS),
        ("gzip", b""),
    ],
    ids=[
        "unknown",
        "no-gzip",
        "no-br",
        "no-zstd",
        "no-deflate",
        "many-members",
        "many-frames",
        "many-codings",
        "empty",
    ],
)
def test_what_cannot_be_decoded_is_unreachable(name, body):
    exchange = fetch(answer(coded(name, body)), seconds=5)
    assert exchange.error == "broken-body"


def test_an_error_is_an_error_whatever_its_page_is_coded_in():
    exchange = fetch(answer(coded("gzip", b"no gzip", b"404 Not Found")))
    assert (exchange.status, exchange.availability) == (404, Availability.UNAVAILABLE)


@pytest.mark.parametrize("value", ["identity", "none", "UTF-8", " , ", "aws-chunked", "Chunked"])
def test_what_names_no_coding_is_none(value):
    assert fetch(answer(coded(value, ROBOTS))).body == ROBOTS


def test_several_codings_are_removed_in_turn():
    assert fetch(answer(coded("br, gzip", gzip.compress(brotli.compress(ROBOTS))))).body == ROBOTS
    assert codings([("Content-Encoding", "br"), ("content-encoding", " GZIP")]) == ["br", "gzip"]
    raw = deflated(ROBOTS, -zlib.MAX_WBITS)
    assert decoded(raw, ["deflate"], LIMIT) == (ROBOTS, False)


def test_a_coding_of_the_transfer_is_removed_too():
    packed = gzip.compress(ROBOTS)
    head = OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"
    assert fetch(answer(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed))).body == ROBOTS


def test_a_header_field_of_many_kilobytes_is_borne():
    policy = b"Content-Security-Policy: " + b"https://cdn.example " * 1_000 + b"\r\n"
    assert fetch(answer(OK + policy + b"Content-Length: %d\r\n\r\n" % len(ROBOTS) + ROBOTS)).body == ROBOTS


def test_a_redirect_in_another_encoding_is_followed_octet_by_octet():
    asked_for = []

    def serve(connection, stopped):
        asked_for.append(connection.recv(65_536).split(b" ")[1])
        connection.sendall(b"HTTP/1.1 301 Moved\r\nLocation: /caf\xe9\r\nContent-Length: 0\r\n\r\n")

    fetch(serve, max_redirects=1)
    assert asked_for == [b"/robots.txt", b"/caf%E9"]


@given(name=some.sampled_from(sorted(CODED)), body=some.binary(max_size=3_000), data=some.data())
def test_no_part_of_a_coded_body_is_decoded_as_if_it_were_whole(name, body, data):
    whole = CODED[name](body)
    assert decoded(whole, [name], max(len(body), 1)) == (body, False)
    part = whole[: data.draw(some.integers(0, len(whole) - 1))]
    try:
        found, _ = decoded(part, [name], LIMIT)
    except CodingError:
        return
    # Only a check value at the very end may be missing, if anything.
    assert found == body


async def test_the_crawl_does_not_take_half_a_coded_robots_txt_for_the_file(tmp_path):
    with Simulator() as simulator:
        site = simulator.origin(None)
        whole = gzip.compress(b"User-agent: *\nDisallow: /\n")
        cut = (("Content-Type", "text/plain"), ("Content-Encoding", "gzip"))
        site.put("/robots.txt", Answer(body=whole[:-12], headers=cut))
        page = site.page("/")
        done = await crawl(tmp_path / "cut", page)
        assert done.reasons == {page: "robots.unreachable"}
        site.put("/robots.txt", Answer(body=whole, headers=cut))
        done = await crawl(tmp_path / "whole", page)
        assert done.reasons == {page: "robots.group.disallow"}
        site.put("/robots.txt", Answer(body=gzip.compress(b"User-agent: *\nAllow: /\n"), headers=cut))
        done = await crawl(tmp_path / "open", page)
        assert done.urls == {page}


# TLS.


def certificate(folder, *, days=1, host="127.0.0.1"):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("trusted", "made", "error"),
    [
        (True, {}, None),
        (False, {}, "tls"),
        (True, {"days": -1}, "tls"),
        (True, {"host": "127.0.0.2"}, "tls"),
    ],
    ids=["trusted", "self-signed", "expired", "of-another-host"],
)
def test_only_a_certificate_that_is_right_is_trusted(trusted, made, error, tmp_path, monkeypatch):
    path = certificate(tmp_path, **made)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def run(port):
        async with open_fetcher(US, Limits(5, LIMIT, allow_private=True)) as fetcher:
            return await fetcher.fetch(Planned(f"https://127.0.0.1:{port}/robots.txt", "/robots.txt"))

    with server(answer(OK + b"Content-Length: 2\r\n\r\nhi"), context) as port:
        exchange = asyncio.run(run(port))
    assert (exchange.error, exchange.body) == (error, b"" if error else b"hi")


def test_a_tls_server_that_says_nothing_is_left():
    async def run(port):
        async with open_fetcher(US, Limits(0.5, LIMIT, allow_private=True)) as fetcher:
            return await fetcher.fetch(Planned(f"https://127.0.0.1:{port}/robots.txt", "/robots.txt"))

    with server(lambda _, stopped: stopped.wait(5)) as port:
        assert asyncio.run(run(port)).error == "timeout"


# Names that change their mind.


@contextmanager
def names(*addresses):
    """Run a DNS server on this machine that gives the first address to the first question, and so on."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    given = list(addresses)

    def run():
        while True:
            try:
                question, peer = listener.recvfrom(512)
            except OSError:
                return
            end = question.index(b"\0", 12) + 5
            (kind,) = struct.unpack("!H", question[end - 4 : end - 2])
            record = b""
            if kind == 1:
                address = given.pop(0) if len(given) > 1 else given[0]
                record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, int(bool(record)), 0, 0)
            listener.sendto(head + question[12:end] + record, peer)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def test_a_name_that_leads_inside_the_second_time_is_refused_and_the_address_is_pinned(monkeypatch):
    """127.0.0.2 stands for the outside here, and 127.0.0.1 for our own machine."""
    monkeypatch.setattr(client_module, "is_public", lambda address: str(ip_address(address)) == "127.0.0.2")
    with Simulator() as simulator, names("127.0.0.2", "127.0.0.1") as dns:
        outside = simulator.origin("outside", "127.0.0.2")
        inside = simulator.origin("secret", "127.0.0.1")
        monkeypatch.setattr(
            client_module,
            "DefaultResolver",
            lambda: AsyncResolver(nameservers=["127.0.0.1"], udp_port=dns, tcp_port=dns, timeout=2, tries=1),
        )

        async def run():
            async with open_fetcher(US, Limits(5, LIMIT)) as fetcher:
                asked = Planned(f"http://rebinding.example:{outside.port}/robots.txt", "/robots.txt")
                found = [await fetcher.fetch(asked), await fetcher.fetch(asked)]
                # As if a minute had passed: the name is looked up again.
                fetcher._resolver._known.clear()
                monkeypatch.setattr(client_module, "_IDLE_SECONDS", 0)
                other = Planned(f"http://rebinding.example:{inside.port}/robots.txt", "/robots.txt")
                return [*found, await fetcher.fetch(other)]

        first, pinned, rebound = asyncio.run(run())
        assert (first.body, pinned.body) == (b"outside", b"outside")
        assert rebound.error == "private-address"
        assert inside.log == []


def test_a_resolver_hands_out_what_it_has_checked_and_nothing_else():
    async def ask():
        resolver = Resolver()
        try:
            return await resolver.resolve("localhost", 80)
        finally:
            await resolver.close()

    with pytest.raises(PrivateAddressError):
        asyncio.run(ask())


def test_time_is_counted_over_all_hops():
    with Simulator() as simulator:
        origin = simulator.origin("end")
        for number in range(5):
            target = f"/{number + 1}" if number < 4 else "/robots.txt"
            origin.put(f"/{number}", Answer(302, (("Location", target),), hold=0.3))

        async def run():
            async with open_fetcher(US, Limits(0.8, LIMIT, allow_private=True)) as fetcher:
                return await fetcher.fetch(Planned(f"{origin.url}/0", "/robots.txt"))

        assert asyncio.run(run()).error == "timeout"
