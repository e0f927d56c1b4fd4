"""What the add-on costs a crawl: CPU inside its hooks over the crawl's CPU, and pages per CPU second beside Scrapy's.

Use: python bench/crawl_overhead.py [--quick]

A server in another process answers for eight hosts on loopback with pages of about 1 KB and of 67 KB, made from a
seed. Each crawl is a process of its own: bare Scrapy, Scrapy with its robots middleware, and Scrapy with the add-on,
all at CONCURRENT_ITEMS = 8, in interleaved rounds of which the medians are compared. The spider does what a crawl is
for: it reads the title and the links of each page and yields an item. Further runs with the add-on have a stopwatch
(thread CPU time, its own taken off, and that of the garbage collector, which strikes at random) around everything of
the add-on that Scrapy calls, and around the thread that writes evidence. The share is also shown for a spider that
reads nothing, whose crawl is as cheap as can be.

What is done once for each origin (asking for its signals, reading and archiving them) is shown by itself, in
milliseconds: the figures for pages begin when every origin is known. Sealing the log is not in the figures.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from multiprocessing import Pipe, Process
from pathlib import Path
from statistics import median
from time import process_time, thread_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

HOSTS = [f"127.0.0.{last}" for last in range(1, 9)]
PATHS_PER_HOST = 1_000_000
SMALL, LARGE = "small", "large"
KINDS = ("bare", "robots", "addon")
READING, EMPTY, TIMED = "reading", "empty", "timed-"
DESCRIPTIONS = {
    READING: "spider reads title and links and yields an item",
    EMPTY: "spider reads nothing, yields no item",
}
WARM_UP = 200
TARGET = 0.05
SEED = 20261123


# The site.


WORDS = ("court", "Minister", "rain", "harbour", "vote", "price", "school", "Tuesday", "river", "council", "said")


def made_page(size: int, draw: random.Random) -> bytes:
    """A news page as they are.

    It has a robots directive that reserves nothing. Of a large page nearly half is a head full of scripts and data, one
    tag in 800 bytes; then come stories, one tag in 45 bytes.
    """
    head = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Harbour vote delayed</title>\n',
        '<meta name="robots" content="index, follow, max-image-preview:large">\n',
        '<meta name="viewport" content="width=device-width">\n',
    ]
    while sum(map(len, head)) < size * 0.45 - 1_200:
        data = {draw.choice(WORDS): draw.randrange(10_000) for _ in range(60)}
        head.append(
            f'<meta property="og:item" content="{draw.choice(WORDS)}">\n<link rel="preload" href="/a.js" as="script">\n'
            f"<script>window.data = {json.dumps([data] * 10)}</script>\n"
        )
    parts = ["".join(head), "</head>\n<body>\n"]
    length = sum(map(len, parts))
    while length < size:
        text = " ".join(draw.choice(WORDS) for _ in range(40))
        part = f'<div class="story"><h2><a href="/s/{length}">{text[:30]}</a></h2>\n<p>{text}.</p>\n</div>\n'
        parts.append(part)
        length += len(part)
    return ("".join(parts) + "</body></html>\n").encode()


def made_robots(draw: random.Random) -> bytes:
    """Forty rules, seven with wildcards, none of which forbids what is asked for: the mean of real files."""
    folders = [f"{draw.choice(['admin', 'tmp', 'cart'])}/{number}/" for number in range(40)]
    rules = [f"Disallow: /{'' if number % 6 else '*/'}{folder}" for number, folder in enumerate(folders)]
    return "\n".join(["User-agent: *", *rules, "", "User-agent: GPTBot", "Disallow: /", ""]).encode()


class Server(asyncio.Protocol):
    """As much of an HTTP server as the bench needs, so that it takes little of the shared processors."""

    answers: dict[bytes, bytes]
    asked: Counter[bytes]
    buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            request, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1]
            kind = path[:3]
            self.asked[kind if kind in {b"/s-", b"/l-"} else path] += 1
            answer = self.answers.get(kind) or self.answers.get(path) or self.answers[b""]
            self.transport.write(answer)  # type: ignore[attr-defined]


def answer(status: str, kind: str, body: bytes) -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status}\r\nServer: bench\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def serve(pipe: Any) -> None:  # noqa: ANN401 - one end of a pipe
    """Serve until told to stop, then say how often each path was asked for."""
    draw = random.Random(SEED)
    Server.asked = Counter()
    Server.answers = {
        b"/s-": answer("200 OK", "text/html; charset=utf-8", made_page(1_000, draw)),
        b"/l-": answer("200 OK", "text/html; charset=utf-8", made_page(67_000, draw)),
        b"/robots.txt": answer("200 OK", "text/plain", made_robots(draw)),
        b"": answer("404 Not Found", "text/plain", b"not here\n"),
    }

    async def run() -> None:
        loop = asyncio.get_running_loop()
        first = await loop.create_server(Server, HOSTS[0], 0)
        port = first.sockets[0].getsockname()[1]
        for host in HOSTS[1:]:
            await loop.create_server(Server, host, port)
        pipe.send(port)
        while True:
            await loop.run_in_executor(None, pipe.recv)
            pipe.send(dict(Server.asked))
            Server.asked.clear()

    import uvloop  # noqa: PLC0415 - in the server's process only

    uvloop.run(run())


# One crawl, in a process of its own.


class Clock(threading.local):
    """The CPU time of a thread without that of the garbage collector, which strikes whoever is at work just then."""

    collecting = 0.0
    spent = 0.0

    def now(self) -> float:
        """The time to measure by."""
        return thread_time() - self.spent

    def collector(self, phase: str, _: dict[str, int]) -> None:
        """Take note of a collection, as a callback of `gc`."""
        if phase == "start":
            self.collecting = thread_time()
        else:
            self.spent += thread_time() - self.collecting


CLOCK = Clock()


class Stopwatch:
    """Thread CPU time inside functions and coroutines of the add-on."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.windows: Counter[str] = Counter()

    def nothing(self) -> None:
        """What an empty hook takes under this stopwatch: the stopwatch's own time."""

    def figures(self) -> dict[str, float]:
        """The seconds of each hook, the stopwatch's own time taken off."""
        label = "Stopwatch.nothing"
        own = self.seconds[label] / max(1, self.windows[label])
        return {name: self.seconds[name] - own * count for name, count in self.windows.items() if name != label}

    def restart(self) -> dict[str, float]:
        """Begin anew, and give the figures until now."""
        figures = self.figures()
        self.seconds.clear()
        self.windows.clear()
        return figures

    def function(self, owner: Any, name: str) -> None:  # noqa: ANN401 - classes of the add-on
        """Time a method."""
        inner = getattr(owner, name)

        def timed(*args: Any, **given: Any) -> Any:  # noqa: ANN401
            begun = CLOCK.now()
            try:
                return inner(*args, **given)
            finally:
                self.seconds[f"{owner.__name__}.{name}"] += CLOCK.now() - begun
                self.windows[f"{owner.__name__}.{name}"] += 1

        setattr(owner, name, timed)

    def coroutine(self, owner: Any, name: str) -> None:  # noqa: ANN401
        """Time an asynchronous method."""
        inner = getattr(owner, name)

        async def timed(*args: Any, **given: Any) -> Any:  # noqa: ANN401
            return await Steps(inner(*args, **given), self, f"{owner.__name__}.{name}", 1)

        setattr(owner, name, timed)

    def gate(self, owner: Any) -> None:  # noqa: ANN401
        """`download_request`, without the inner handler's time inside it."""
        self.coroutine(owner, "download_request")
        label = f"{owner.__name__}.download_request"
        make = owner.__init__

        def init(component: Any, guard: Any, inner: Any, crawler: Any) -> None:  # noqa: ANN401
            make(component, guard, inner, crawler)
            download = inner.download_request

            async def timed(request: Any) -> Any:  # noqa: ANN401
                return await Steps(download(request), self, label, -1)

            inner.download_request = timed

        owner.__init__ = init


class Steps:
    """An awaitable that adds the CPU time of each of its steps, or takes it off."""

    def __init__(self, inner: Any, watch: Stopwatch, label: str, sign: int) -> None:  # noqa: ANN401
        self.inner, self.watch, self.label, self.sign = inner.__await__(), watch, label, sign

    def __await__(self) -> Any:  # noqa: ANN401
        step, value = self.inner.send, None
        while True:
            begun = CLOCK.now()
            try:
                waited = step(value)
            except StopIteration as stop:
                return stop.value
            finally:
                self.watch.seconds[self.label] += self.sign * (CLOCK.now() - begun)
                self.watch.windows[self.label] += 1
            try:
                value = yield waited
                step = self.inner.send
            except BaseException as fault:  # noqa: BLE001 - handed on, as `await` does
                step, value = self.inner.throw, fault


def attach(watch: Stopwatch) -> None:
    """Put the stopwatch around everything of the add-on that Scrapy or the evidence thread calls."""
    from crawler import gate, groups, guard, ledger, middlewares  # noqa: PLC0415

    watch.coroutine(middlewares.Entrance, "process_request")
    watch.coroutine(middlewares.Inspection, "process_response")
    watch.function(middlewares.SpiderDoor, "process_spider_input")
    watch.coroutine(middlewares.ItemDoor, "process_item")
    watch.gate(gate.Gate)
    watch.function(guard.Guard, "_headers_received")
    watch.function(ledger.Ledger, "_write")
    watch.coroutine(groups.Groups, "_commit")


def child(kind: str, size: str, port: int, pages: int, spider: str) -> None:  # noqa: C901 - a spider stands in it
    """Crawl, and print what it took as JSON. A spider whose name begins with `timed` has the stopwatch."""
    from scrapy import Request, Spider  # noqa: PLC0415
    from scrapy.crawler import CrawlerProcess  # noqa: PLC0415

    watch = Stopwatch()
    timed = spider.startswith(TIMED)
    if timed:
        gc.callbacks.append(CLOCK.collector)
        attach(watch)
        watch.function(Stopwatch, "nothing")

    class Endless(Spider):
        name = "bench"
        number = 0
        seen = 0
        begun = 0.0
        taken = 0.0
        once: dict[str, float] = {}  # noqa: RUF012 - one spider a process

        def one(self) -> Request:
            self.number += 1
            host = HOSTS[self.number % len(HOSTS)]
            return Request(f"http://{host}:{port}/{size[0]}-{self.number * 7919 % PATHS_PER_HOST}/story.html")

        async def start(self) -> Any:  # noqa: ANN401
            for _ in range(64):
                yield self.one()

        def parse(self, response: Any) -> Any:  # noqa: ANN401
            self.seen += 1
            if self.seen == WARM_UP:
                self.begun, self.once = process_time() - CLOCK.spent, watch.restart()
            self.taken = process_time() - CLOCK.spent - self.begun
            if timed:
                watch.nothing()
            if spider.endswith(READING):
                links = response.css("a::attr(href)").getall()
                yield {"url": response.url, "title": response.css("title::text").get(), "links": len(links)}
            if self.number < pages:
                yield self.one()

    settings = {
        "CONCURRENT_ITEMS": 8,
        "CONCURRENT_REQUESTS": 64,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "LOG_LEVEL": "INFO",
        "LOG_FILE": "/dev/null",
        "REMOTE_CONTROL_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "ROBOTSTXT_OBEY": kind == "robots",
        "USER_AGENT": "ExampleBot/1.0 (+https://bot.example/)",
    }
    with tempfile.TemporaryDirectory() as directory:
        if kind == "addon":
            settings |= {"ADDONS": {"crawler.addon.OptOutAddon": 100}, "OPTOUT_DIR": directory}
        process = CrawlerProcess(settings)
        crawler = process.create_crawler(Endless)
        process.crawl(crawler)
        process.start()
    done = crawler.spider
    print(json.dumps({"cpu": done.taken, "hooks": watch.figures(), "once": sum(done.once.values())}))


# The comparison.


def crawl(kind: str, size: str, port: int, pages: int, spider: str) -> dict[str, Any]:
    """Run one crawl in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, size, str(port), str(pages), spider]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{kind} {size} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@dataclass
class Results:
    """What the rounds gave.

    Attributes:
        taken: the CPU seconds of each program's crawls, by program and size.
        shares: of the crawl's CPU inside hooks, by spider and size.
        hooks: microseconds a page inside each hook, by spider, size and hook.
        asked: what the server was asked for by each program's last crawl.
        once: seconds inside hooks until every origin was known.
    """

    pages: int
    taken: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    shares: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    hooks: dict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[str, dict[bytes, int]] = field(default_factory=dict)
    once: list[float] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """The pages of a crawl after the warm-up."""
        return self.pages - WARM_UP


def compare(rounds: int, pages: int) -> Results:
    """Start the server and run all crawls, in turns."""
    here, there = Pipe()
    server = Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    results = Results(pages)
    for _ in range(rounds):
        for size in (SMALL, LARGE):
            for kind in KINDS:
                done = crawl(kind, size, port, pages, READING)
                here.send("count")
                results.asked[kind] = here.recv()
                if results.asked[kind].get(f"/{size[0]}-".encode()) != pages:
                    sys.exit(f"{kind} fetched {results.asked[kind]}, not {pages} pages: not the same work")
                results.taken[kind, size].append(done["cpu"])
            for spider in (READING, EMPTY):
                timed = crawl("addon", size, port, pages, TIMED + spider)
                results.shares[spider, size].append(sum(timed["hooks"].values()) / timed["cpu"])
                results.once.append(timed["once"])
                for name, seconds in timed["hooks"].items():
                    results.hooks[spider, size, name].append(seconds / results.measured * 1e6)
                here.send("count")
                here.recv()
    return results


def report(results: Results) -> int:
    """Print the table and the figures; the exit code is 1 where a target is missed."""
    figures: dict[str, Any] = {}
    print(f"{'pages per CPU second':44} {'1 KB':>8} {'67 KB':>8}")
    for kind in KINDS:
        speeds = {size: results.measured / median(results.taken[kind, size]) for size in (SMALL, LARGE)}
        print(f"{kind:44} {speeds[SMALL]:8.0f} {speeds[LARGE]:8.0f}")
        figures |= {f"pages_per_cpu_second_{kind}_{size}": speed for size, speed in speeds.items()}
    for spider in (READING, EMPTY):
        print(f"\nmicroseconds a page inside hooks, {DESCRIPTIONS[spider]}")
        for name in sorted({name for each, _, name in results.hooks if each == spider}):
            costs = [median(results.hooks.get((spider, size, name), [0.0])) for size in (SMALL, LARGE)]
            print(f"  {name:42} {costs[0]:8.1f} {costs[1]:8.1f}")
        shares = {size: median(results.shares[spider, size]) for size in (SMALL, LARGE)}
        print(f"{'share of the crawl CPU':44} {shares[SMALL]:8.4f} {shares[LARGE]:8.4f}")
        figures |= {f"hooks_share_{spider}_{size}": share for size, share in shares.items()}
    figures["milliseconds_once_per_origin"] = median(results.once) / len(HOSTS) * 1e3
    print(
        f"\nonce for each origin, with its first pages: {figures['milliseconds_once_per_origin']:.1f} ms inside hooks"
    )
    asked = {kind: Counter(counts) for kind, counts in results.asked.items()}
    added = {kind: sum(counts.values()) - results.pages for kind, counts in asked.items()}
    beyond = sum(count - len(HOSTS) for path, count in asked["addon"].items() if path[:3] not in {b"/s-", b"/l-"})
    figures["requests_added_per_origin"] = added["addon"] / len(HOSTS)
    figures["requests_added_per_page"] = beyond / results.pages
    print(
        f"requests added per origin: {added['addon'] / len(HOSTS):.1f}; per page: {beyond / results.pages:.3f}; ",
        end="",
    )
    print(f"Scrapy's robots middleware adds {added['robots'] / len(HOSTS):.1f} per origin")
    met = all(figures[f"hooks_share_{READING}_{size}"] <= TARGET for size in (SMALL, LARGE))
    figures |= {"target_hooks_share": TARGET, "ok": met and beyond == 0}
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        sys.exit(report(compare(1, 800) if "--quick" in sys.argv[1:] else compare(5, 2_200)))
