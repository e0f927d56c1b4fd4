"""The web sites of `optout demo`: small, real HTTP origins on this machine, each with its own way of saying no.

All hosts are served from one loopback port by name; `stopped.test` is a port that nobody listens on. A record of
every request lets the demonstration show that no page was asked for before its origin's signals.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a site answers at one path."""

    body: str | bytes = ""
    status: int = 200
    content_type: str = _HTML
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """One host: a title, what its owner says in one sentence, and its answers by path."""

    title: str
    wish: str
    answers: Mapping[str, Answer]


def _page(title: str, *links: str, head: str = "") -> str:
    anchors = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    return (
        f"<!doctype html><html lang='en'><head><title>{title}</title>{head}</head>"
        f"<body><h1>{title}</h1><p>A page of the demonstration.</p><ul>{anchors}</ul></body></html>"
    )


def _robots(text: str, status: int = 200) -> Answer:
    return Answer(text, status, _TEXT)


_STORIES = [f"/story-{number}" for number in range(1, 6)]
_NOTES = [f"/note-{number}" for number in range(1, 9)]
_LICENCE = (
    '<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>'
    '<permits type="usage">search</permits><payment type="training"><amount currency="EUR">500</amount></payment>'
    "</license></content></rsl>"
)


def _pdf(reservation: int) -> bytes:
    """A one-page PDF whose catalogue metadata makes a statement (TDMRep, section 6)."""
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:tdm="http://www.w3.org/ns/tdmrep/">'
        f"<tdm:reservation>{reservation}</tdm:reservation></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    objects = (
        "<< /Type /Catalog /Pages 2 0 R /Metadata 4 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>",
        f"<< /Type /Metadata /Subtype /XML /Length {len(xmp)} >>\nstream\n{xmp}\nendstream",
    )
    body, places = "%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


def sites(port: int) -> dict[str, Site]:
    """Every host of the demonstration by name; links between hosts carry the port they are served on."""

    def at(host: str, path: str = "/") -> str:
        return f"http://{host}:{port}{path}"

    return {
        "newspaper.test": Site(
            "The newspaper",
            "robots.txt closes the archive; a Content-Signal line reserves training everywhere",
            {
                "/robots.txt": _robots(
                    "User-agent: *\nContent-Signal: search=yes, ai-train=no\nDisallow: /archive/\nAllow: /\n"
                ),
                "/": Answer(_page("Front page", *_STORIES, "/archive/1999")),
                **{path: Answer(_page(path)) for path in (*_STORIES, "/archive/1999")},
            },
        ),
        "blog.test": Site(
            "The blog",
            "some posts say noai in a meta element",
            {
                "/robots.txt": _robots("User-agent: *\nAllow: /\n"),
                "/": Answer(_page("Blog", "/open-post", "/closed-post", "/late-post")),
                "/open-post": Answer(_page("Open post")),
                "/closed-post": Answer(_page("Closed post", head='<meta content="index, noai" name="robots">')),
                "/late-post": Answer(
                    _page("Late post", head=f"<script>/*{'x' * 150_000}*/</script><meta name='robots' content='noai'>")
                ),
            },
        ),
        "broken.test": Site(
            "The broken server",
            "robots.txt answers 503, so nobody knows: complete disallow (RFC 9309, 2.3.1.4)",
            {"/robots.txt": _robots("User-agent: *\nAllow: /\n", 503), "/": Answer(_page("Broken"))},
        ),
        "publisher.test": Site(
            "The science publisher",
            "tdmrep.json reserves /papers/ and leaves /news/ open",
            {
                "/.well-known/tdmrep.json": Answer(
                    json.dumps(
                        [
                            {
                                "location": "/papers/",
                                "tdm-reservation": 1,
                                "tdm-policy": at("publisher.test", "/tdm.json"),
                            },
                            {"location": "/news/", "tdm-reservation": 0},
                        ]
                    ),
                    content_type="application/json",
                ),
                "/tdm.json": Answer(
                    json.dumps(
                        {
                            "@type": "Offer",
                            "profile": "http://www.w3.org/ns/tdmrep",
                            "assigner": {
                                "vcard:fn": "Science Publisher",
                                "vcard:hasEmail": "mailto:rights@publisher.test",
                            },
                            "permission": [{"action": "tdm:mine", "duty": [{"action": "compensate"}]}],
                        }
                    ),
                    content_type="application/json",
                ),
                "/": Answer(_page("Journals", "/papers/1", "/papers/2", "/news/1", "/news/2")),
                **{path: Answer(_page(path)) for path in ("/papers/1", "/papers/2", "/news/1", "/news/2")},
            },
        ),
        "gallery.test": Site(
            "The gallery",
            "headers reserve the pictures' pages, and a leaflet says no in its own metadata",
            {
                "/robots.txt": _robots("User-agent: *\nDisallow:\n"),
                "/": Answer(_page("Gallery", "/visit", "/picture-1", "/picture-2", "/leaflet", "/map")),
                "/visit": Answer(_page("Visit us")),
                "/leaflet": Answer(_pdf(1), content_type="application/pdf"),
                "/map": Answer(_pdf(0), content_type="application/pdf"),
                "/picture-1": Answer(_page("Picture 1"), headers={"TDM-Reservation": "1"}),
                "/picture-2": Answer(
                    _page("Picture 2"),
                    headers={"X-Robots-Tag": "otherbot: noindex, max-snippet:5", "x-robots-tag": "noai"},
                ),
            },
        ),
        "licensed.test": Site(
            "The licensed magazine",
            "an RSL licence offers training against payment",
            {
                "/robots.txt": _robots(f"License: {at('licensed.test', '/licence.xml')}\n\nUser-agent: *\nAllow: /\n"),
                "/licence.xml": Answer(_LICENCE, content_type="application/rsl+xml"),
                "/": Answer(_page("Magazine", "/issue-1")),
                "/issue-1": Answer(_page("Issue 1")),
            },
        ),
        "moved.test": Site(
            "The moved site",
            "open itself, but it redirects into the newspaper's archive",
            {
                "/robots.txt": _robots("User-agent: *\nAllow: /\n"),
                "/": Answer(_page("Moved", "/here", "/there")),
                "/here": Answer(_page("Still here")),
                "/there": Answer(status=302, headers={"Location": at("newspaper.test", "/archive/1999")}),
            },
        ),
        "members.test": Site(
            "The members' club",
            "robots.txt itself answers 403; a cautious policy takes that for a no",
            {"/robots.txt": _robots("Forbidden", 403), "/": Answer(_page("Club"))},
        ),
        "open.test": Site(
            "The open encyclopedia",
            "nothing reserved anywhere",
            {
                "/robots.txt": _robots("User-agent: *\nDisallow: /edit\n\nUser-agent: GPTBot\nDisallow: /\n"),
                "/": Answer(_page("Encyclopedia", *_NOTES, "/edit")),
                **{path: Answer(_page(path)) for path in (*_NOTES, "/edit")},
            },
        ),
    }


STOPPED = "stopped.test"
"""A host whose port nobody listens on."""


class Origins:
    """The demonstration's web server in a thread of its own; use it as a context manager.

    Attributes:
        port: the loopback port that serves all hosts.
        closed_port: a port that refuses connections.
        requests: every request in order, as (host, path).
    """

    def __init__(self) -> None:
        """Take a free port; nothing is served yet."""
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))
        self.closed_port: int = self._closed.getsockname()[1]
        self.sites = sites(self.port)
        self.requests: list[tuple[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    @property
    def hosts(self) -> list[str]:
        """Every host name that has to resolve to 127.0.0.1."""
        return [*self.sites, STOPPED]

    @property
    def seeds(self) -> list[str]:
        """The front page of every host."""
        return [f"http://{host}:{self.port}/" for host in self.sites] + [f"http://{STOPPED}:{self.closed_port}/"]

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving and free the ports."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._closed.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self._answer))
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        return runner

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        host = request.host.rsplit(":", 1)[0]
        self.requests.append((host, request.path))
        site = self.sites.get(host)
        answer = site.answers.get(request.path) if site else None
        if answer is None:
            return web.Response(status=404, text="not found")
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return web.Response(
            body=body, status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers}
        )
