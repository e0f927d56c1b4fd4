"""Harvesting: ours against bare aiohttp GETs of the same files, CPU time and memory on loopback TLS servers.

Use: python bench/harvest.py [--quick]

A helper process serves thousands of hosts over TLS, each with an address of its own in 127/8. Both programs get two
files of each host, robots.txt and tdmrep.json, over one connection: the bare one with aiohttp and nothing else, ours
with all of `optout harvest` (limits, politeness, checks of every address, reading for pointers, the store on disk).
They take turns on the same hosts; the medians of their CPU time are compared. A third part harvests a mixture of slow,
dead, redirecting and lying hosts and watches memory over the run.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from statistics import median
from time import monotonic, process_time

import aiohttp
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parents[1]))

from optout.acquisition import policy_files
from optout.acquisition.client import HttpFetcher, Resolver, Slots
from optout.acquisition.fetcher import Limits
from optout.acquisition.harvest import Ears, Harvest, Pace, Tally
from optout.acquisition.history import Store
from optout.acquisition.visit import Patience, Visitor
from optout.engine import required_paths
from optout.identity import Identity
from optout.policy import Mode

PORT = 18_443
IN_FLIGHT = 200
TARGETS = {"ours / bare": 1.6, "memory growth": 1.25}
SEED = 2026
FILES = ("/robots.txt", "/.well-known/tdmrep.json")
IDENTITY = Identity("BenchBot")


# The servers, in a process of their own.


def certificate(folder: Path) -> Path:
    """A self-signed certificate; the clients of this bench do not verify it, because all of them would pay the same."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "bench.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def robots_of(number: int) -> bytes:
    """A robots.txt of ordinary size; which rules it has depends on the host's number only."""
    source = random.Random(SEED * 1_000_003 + number)
    rules = "".join(f"Disallow: /{source.randrange(10**6):06}/\n" for _ in range(source.randrange(2, 40)))
    return f"User-agent: *\n{rules}Allow: /\n\nUser-agent: GPTBot\nDisallow: /\n".encode()


class Server(asyncio.Protocol):
    """Answers as the number in its own address says; one process is all hosts."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find out which host this is."""
        self.transport = transport
        self.number = int(IPv4Address(transport.get_extra_info("sockname")[0])) - int(FIRST)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode())

    def answer(self, path: str) -> None:
        """Behave: every host below the troubled ones is well, the others are slow, lie or send us round."""
        kind = KINDS[self.number % len(KINDS)] if self.number >= TROUBLED else "well"
        if kind == "slow":
            return
        if kind == "lying":
            self.send("200 OK", b"not gzip", "Content-Encoding: gzip\r\n")
        elif kind == "endless":
            self.send("200 OK", b"User-agent: *\nDisallow: /x\n" * 40_000)
        elif kind == "round":
            self.send("302 Found", b"", f"Location: {path}\r\n")
        elif path == "/robots.txt":
            self.send("200 OK", robots_of(self.number), "Content-Type: text/plain\r\n")
        elif path == "/.well-known/tdmrep.json" and self.number % 10 == 0:
            self.send("200 OK", b'[{"location": "/", "tdm-reservation": 1}]', "Content-Type: application/json\r\n")
        else:
            self.send("404 Not Found", b"<h1>Not Found</h1>" * 20, "Content-Type: text/html\r\n")

    def send(self, status: str, body: bytes, fields: str = "") -> None:
        """Send a response as servers do."""
        head = f"HTTP/1.1 {status}\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n{fields}"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


FIRST = IPv4Address("127.1.0.0")
TROUBLED = 100_000
KINDS = ("well", "well", "well", "well", "slow", "lying", "endless", "round", "dead", "well")
ERRORS = {"slow": "timeout", "lying": "broken-body", "round": "too-many-redirects", "dead": "refused"}
"""The error that belongs to a kind of host; the others have none."""


async def serve(pem: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    # Clients that leave early are what this bench is about.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = await asyncio.get_running_loop().create_server(
        Server,
        "0.0.0.0",  # noqa: S104 - every address of 127/8 is a host
        PORT,
        ssl=context,
        backlog=4_096,
    )
    print("ready", flush=True)
    await server.serve_forever()


def host(number: int) -> str:
    """The origin of a host. Dead ones name a port where nobody listens."""
    dead = number >= TROUBLED and KINDS[number % len(KINDS)] == "dead"
    return f"https://{IPv4Address(int(FIRST) + number)}:{PORT + dead}"


# The programs that are compared.


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def bare(hosts: list[str], context: ssl.SSLContext, files: tuple[str, ...]) -> dict[str, bytes]:
    """What anybody would write: one session, so many at a time, the files one after the other."""
    found: dict[str, bytes] = {}
    waiting = iter(hosts)

    async def work(session: aiohttp.ClientSession) -> None:
        for origin in waiting:
            for path in files:
                async with session.get(origin + path, allow_redirects=False) as response:
                    body = await response.read()
                    if path == "/robots.txt":
                        found[origin] = body

    connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=1.0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
    return found


@dataclass
class Watched:
    """Memory over a run: the peak after a quarter of it, and at the end, in megabytes."""

    total: int
    early: float = 0.0

    def look(self, tally: Tally) -> None:
        """Called whenever results have been kept."""
        if not self.early and tally.targets >= self.total / 4:
            self.early = memory()


def memory() -> float:
    """Resident memory now, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def ours(hosts: list[str], context: ssl.SSLContext, folder: Path, watched: Watched, in_flight: int) -> Tally:
    """All of `optout harvest` for the same two files; only the certificates are not verified."""
    policy = policy_files.load(as_of=date(2026, 11, 23))
    wanted = ("robots-exclusion", "tdmrep", "rsl", "content-signal", "content-usage")
    policy = replace(policy, modes={name: mode if name in wanted else Mode.OFF for name, mode in policy.modes.items()})
    assert set(required_paths(policy)) == set(FILES)  # noqa: S101
    limits = Limits(4.0, 500_000, allow_private=True)
    resolver = Resolver(allow_private=True)
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, limit=0, ssl=context, keepalive_timeout=1.0
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    )
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with Store.open(folder, create=True) as store:
        async with session:
            fetcher = HttpFetcher(session, IDENTITY, limits, resolver, Slots(16))
            visitor = Visitor(policy, fetcher, Patience())
            since = datetime.now(UTC) - timedelta(hours=1)
            harvest = Harvest(store, visitor, required_paths(policy), Pace(in_flight), since)
            ears = Ears(watched.look, lambda _: None, lambda _: None)
            tally = await harvest.run((origin.encode() for origin in hosts), ears)
        await resolver.close()
    return tally


def differences(found: dict[str, bytes], folder: Path) -> list[str]:
    """Hosts whose robots.txt is not the same for both."""
    with Store.open(folder) as store:
        states = {origin: store.state(origin, None) for origin in found}
    return [
        origin
        for origin, body in found.items()
        if (state := states[origin]) is None or state.exchanges[0].body != body or len(state.exchanges) != len(FILES)
    ]


def timed(job: asyncio.Future[object] | object) -> tuple[float, object]:
    begun = process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(job)  # type: ignore[arg-type]
    return process_time() - begun, result


def compare(hosts: list[str], rounds: int, folder: Path) -> tuple[dict[str, float], list[str]]:
    context = client_context()
    taken: dict[str, list[float]] = {"bare, one file": [], "bare, two files": [], "ours, two files": []}
    wrong: list[str] = []
    for number in range(rounds):
        taken["bare, one file"].append(timed(bare(hosts, context, FILES[:1]))[0])
        seconds, found = timed(bare(hosts, context, FILES))
        taken["bare, two files"].append(seconds)
        store = folder / f"store-{number}"
        taken["ours, two files"].append(timed(ours(hosts, context, store, Watched(len(hosts)), IN_FLIGHT))[0])
        assert isinstance(found, dict)  # noqa: S101
        wrong += differences(found, store)
    return {name: median(times) / len(hosts) * 1e6 for name, times in taken.items()}, wrong


def mixture(count: int, folder: Path) -> tuple[dict[str, float], list[str]]:
    """Harvest hosts in every kind of trouble, and look at memory on the way."""
    hosts = [host(TROUBLED + number) for number in range(count)]
    watched = Watched(count)
    begun = monotonic()
    _, tally = timed(ours(hosts, client_context(), folder / "mixture", watched, 40))
    assert isinstance(tally, Tally)  # noqa: S101
    figures = {
        "mixture: hosts": float(count),
        "mixture: hosts a second": count / (monotonic() - begun),
        "mixture: megabytes after a quarter": watched.early,
        "mixture: megabytes at the end": memory(),
    }
    with Store.open(folder / "mixture") as store:
        errors = {origin: store.history(origin)[0].error for origin in hosts}
    wrong = []
    late = 0
    for number, origin in enumerate(hosts):
        kind = KINDS[(TROUBLED + number) % len(KINDS)]
        # On a busy machine any host may answer too late; none may pass for what it is not.
        late += errors[origin] == "timeout" and kind != "slow"
        if errors[origin] not in (ERRORS.get(kind), "timeout"):
            wrong.append(f"{origin}: {errors[origin]}, although it is {kind}")
    return figures | {"mixture: hosts that answered too late": float(late)}, wrong


def main() -> int:
    if "--serve" in sys.argv:
        uvloop.run(serve(sys.argv[-1]))
        return 0
    quick = "--quick" in sys.argv
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16_384)), hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--serve", str(certificate(folder))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            try:
                assert server.stdout is not None  # noqa: S101
                server.stdout.readline()
                figures, wrong = compare(
                    [host(number) for number in range(300 if quick else 2_000)], 3 if quick else 5, folder
                )
                more, trouble = mixture(400 if quick else 4_000, folder)
            finally:
                server.terminate()
    return report(figures | more, wrong + trouble)


def report(figures: dict[str, float], wrong: list[str]) -> int:
    figures["ours / bare, two files each"] = figures["ours, two files"] / figures["bare, two files"]
    figures["ours with two files / bare with one"] = figures["ours, two files"] / figures["bare, one file"]
    figures["memory growth"] = figures["mixture: megabytes at the end"] / figures["mixture: megabytes after a quarter"]
    print(f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, TLS on {socket.gethostname()}\n")
    print("CPU microseconds an origin; new connection and handshake each\n")
    for name, figure in figures.items():
        print(f"  {name:40} {figure:12,.2f}")
    for difference in wrong[:20]:
        print(f"  DIFFERS {difference}")
    targets = {
        "at most 1.6 x bare GETs of the same two files": figures["ours / bare, two files each"]
        <= TARGETS["ours / bare"],
        "memory is flat": figures["memory growth"] <= TARGETS["memory growth"],
        "the same files, and trouble called what it is": not wrong,
    }
    rounded = {name: round(figure, 3) for name, figure in figures.items()}
    print(json.dumps({"figures": rounded, "targets": targets, "ok": all(targets.values())}))
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
