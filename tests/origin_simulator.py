"""Real origins on this machine, for tests: each its own address, its own routes, and a log of what it was asked.

`Simulator.origin` starts one, `Origin.page` gives it a page, `Origin.asked` tells how often a path was asked for.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML = "text/html; charset=utf-8"
_PIECE = 16_384


@dataclass(frozen=True)
class Answer:
    """What a path answers.

    Attributes:
        hold: seconds to wait before the header section.
        drop: close the connection without an answer.
        pause: seconds between the pieces of the body, so that a reader who leaves early is seen.
        unsized: send no Content-Length.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hold: float = 0.0
    drop: bool = False
    pause: float = 0.0
    unsized: bool = False


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    at: float
    headers: Mapping[str, str]
    sent: int = 0


@dataclass
class Origin:
    """One origin. `answers` may be changed while it runs; a path that it does not list answers 404."""

    server: ThreadingHTTPServer
    answers: dict[str, Answer] = field(default_factory=dict)
    log: list[Seen] = field(default_factory=list)

    @property
    def host(self) -> str:
        return str(self.server.server_address[0])

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def put(self, path: str, answer: Answer) -> str:
        """Answer a path, and give its URL."""
        self.answers[path] = answer
        return self.url + path

    def page(self, path: str, html: str = "<p>Text</p>", *headers: tuple[str, str], status: int = 200) -> str:
        """Answer a path with a page, and give its URL."""
        return self.put(path, Answer(status, (("Content-Type", HTML), *headers), html.encode()))

    def redirect(self, path: str, target: str, status: int = 302) -> str:
        """Answer a path with a redirect, and give its URL."""
        return self.put(path, Answer(status, (("Location", target),)))

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [seen.path for seen in self.log]

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return self.paths().count(path)

    def sent(self, path: str) -> int:
        """How many bytes of body went out for a path in all."""
        return sum(seen.sent for seen in self.log if seen.path == path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        origin: Origin = self.server.origin  # type: ignore[attr-defined]
        seen = Seen(self.path, time.monotonic(), dict(self.headers.items()))
        origin.log.append(seen)
        answer = origin.answers.get(self.path, Answer(404))
        if answer.hold:
            time.sleep(answer.hold)
        if answer.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(answer, seen)

    def _answer(self, answer: Answer, seen: Seen) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.unsized:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(answer.body)))
        try:
            self.end_headers()
            for start in range(0, len(answer.body), _PIECE):
                piece = answer.body[start : start + _PIECE]
                self.wfile.write(piece)
                seen.sent += len(piece)
                if answer.pause:
                    time.sleep(answer.pause)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing; the origin's own log is enough."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that leaves is part of the tests."""


class Simulator:
    """Starts origins and stops them all at the end."""

    def __init__(self) -> None:
        self._origins: list[Origin] = []

    def origin(self, robots: str | None = "", host: str = "127.0.0.1") -> Origin:
        """Start an origin; `robots` is the text of its robots.txt, None for no such file."""
        server = _Server((host, 0), _Handler)
        origin = Origin(server)
        server.origin = origin  # type: ignore[attr-defined]
        if robots is not None:
            origin.put("/robots.txt", Answer(headers=(("Content-Type", "text/plain"),), body=robots.encode()))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._origins.append(origin)
        return origin

    @staticmethod
    def closed_port(host: str = "127.0.0.1") -> str:
        """An origin where nobody listens."""
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"http://{host}:{probe.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Each takes a moment to notice, so all are told at once.
        endings = [threading.Thread(target=origin.server.shutdown) for origin in self._origins]
        for ending in endings:
            ending.start()
        for ending in endings:
            ending.join()
        for origin in self._origins:
            origin.server.server_close()
