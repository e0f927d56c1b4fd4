"""The service: which paths there are and what each answers. It changes nothing, neither in the log nor elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from optout.acquisition.client import Slots, open_fetcher
from optout.acquisition.fetcher import Limits
from optout.errors import EvidenceError
from optout.evidence.layout import Layout
from optout.evidence.query import Filter
from optout.model import Purpose
from optout.web import guard, pages
from optout.web.desk import Desk
from optout.web.forms import assessment_json, row_json
from optout.web.ledger_view import MOST_ROWS, LedgerView
from optout.web.verification import Verification

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from optout.identity import Identity
    from optout.policy import Policy

_ROWS = 100
_FETCH_SECONDS = 20.0
_FETCHES_PER_ADDRESS = 4
_UNCHANGING = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Setup:
    """What the service is started with.

    Attributes:
        policy: as its files say; it is put in force as of the day of each question.
        identity: who we are.
        evidence: the log to show; None for no log.
        host: the address or name that is bound.
        limits: what one fetch may cost, and where it may go.
    """

    policy: Policy
    identity: Identity
    evidence: Layout | None = None
    host: str = "127.0.0.1"
    limits: Limits = field(default_factory=lambda: Limits(seconds=_FETCH_SECONDS))


def make(setup: Setup) -> web.Application:
    """The application, ready to be run."""
    app = web.Application(middlewares=[guard.headers(), guard.errors(), guard.hosts(setup.host)])
    service = _Service(setup)
    app.cleanup_ctx.append(service.open)
    app.add_routes(
        [
            web.get("/", service.dashboard),
            web.get("/decide", service.decide),
            web.get("/evidence/decisions", service.decisions),
            web.get("/evidence/checkpoint", service.checkpoint),
            web.get("/evidence/proof", service.proof),
            web.get("/log/{name:.+}", service.log_file),
            web.get("/healthz", _health),
        ]
    )
    return app


class _Service:
    """The handlers and what they share while the service runs."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._desk: Desk
        self._view: LedgerView | None = None
        self._verification: Verification | None = None

    async def open(self, _app: web.Application) -> AsyncIterator[None]:
        """Open what is shared when the service starts, and close it when the service stops."""
        setup = self._setup
        async with open_fetcher(setup.identity, setup.limits, Slots(_FETCHES_PER_ADDRESS)) as fetcher:
            self._desk = Desk(setup.policy, setup.identity, fetcher)
            if setup.evidence is None:
                yield
                return
            self._view = LedgerView(setup.evidence)
            self._verification = Verification(setup.evidence.directory)
            self._verification.renew()
            try:
                yield
            finally:
                await self._verification.close()

    async def dashboard(self, _request: web.Request) -> web.Response:
        """The page of the log."""
        setup, view = self._setup, self._view
        if view is None or self._verification is None:
            return _html(pages.dashboard(setup.policy, setup.identity, None))
        self._verification.renew()
        shown = pages.Log(self._verification)
        try:
            shown.snapshot = await view.snapshot()
            shown.checkpoint = view.checkpoint()
        except EvidenceError as fault:
            # A damaged log is when people need this page most.
            shown.fault = str(fault)
        return _html(pages.dashboard(setup.policy, setup.identity, shown))

    async def decide(self, request: web.Request) -> web.Response:
        """What we may do with a URL."""
        guard.own_pages_only(request)
        setup, purposes = self._setup, _purposes(request)
        assessment = await self._desk.decide(_one(request, "url"))
        if _wants_page(request):
            asked = purposes or setup.policy.crawl_purposes
            response = _html(pages.answer(assessment, setup.policy, setup.identity, asked))
        else:
            said = assessment_json(assessment, setup.policy, setup.identity.token, purposes or tuple(Purpose))
            response = _json(said)
        response.headers["Vary"] = "Accept"
        return response

    async def decisions(self, request: web.Request) -> web.Response:
        """The newest rows of the log, all or of a host or URL."""
        view, limit = self._evidence(), _limit(request)
        chosen = Filter(host=request.query.get("host") or None, url=request.query.get("url") or None)
        return _json([row_json(row) for row in await view.decisions(chosen, limit)])

    async def checkpoint(self, _request: web.Request) -> web.Response:
        """The newest checkpoint."""
        found = self._evidence().checkpoint()
        if found is None:
            raise web.HTTPNotFound(text="the log has no checkpoint yet")
        return _json(found)

    async def proof(self, request: web.Request) -> web.Response:
        """The proof of the newest sealed decision about a URL, which `optout evidence verify` checks."""
        found = await self._evidence().proof(_one(request, "url"))
        if found is None:
            raise web.HTTPNotFound(text="no decision about this URL has been sealed and signed yet")
        response = _json(found)
        response.headers["Content-Disposition"] = 'attachment; filename="proof.json"'
        return response

    async def log_file(self, request: web.Request) -> web.Response:
        """A file of the log as C2SP tlog-tiles has them: the checkpoint, a tile, a bundle of entries."""
        name = request.match_info["name"]
        data = self._evidence().public_file(name)
        if data is None:
            raise web.HTTPNotFound(text="the log has no such file")
        if name == "checkpoint":
            return web.Response(body=data, content_type="text/plain", charset="utf-8")
        headers = {"Cache-Control": _UNCHANGING}
        return web.Response(body=data, content_type="application/octet-stream", headers=headers)

    def _evidence(self) -> LedgerView:
        if self._view is None:
            raise web.HTTPNotFound(text="no log is served; start the service with --evidence DIR")
        return self._view


async def _health(_request: web.Request) -> web.Response:
    return _json({"status": "ok"})


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


def _json(value: object) -> web.Response:
    # ASCII, because what strangers sent may hold half characters, which no encoding of Unicode can carry.
    return web.json_response(value, dumps=json.dumps)


def _wants_page(request: web.Request) -> bool:
    """Whether a browser asks; programs that want JSON name it, or nothing in particular."""
    accepted = request.headers.get("Accept", "")
    return "text/html" in accepted and "application/json" not in accepted


def _one(request: web.Request, name: str) -> str:
    found = request.query.getall(name, [])
    if len(found) != 1 or not found[0].strip():
        raise web.HTTPBadRequest(text=f"give {name} once")
    return found[0]


def _purposes(request: web.Request) -> tuple[Purpose, ...]:
    """The purposes that are asked about, in their own order; none for all."""
    given = set(filter(None, request.query.getall("purpose", [])))
    unknown = given - {*Purpose}
    if unknown:
        raise web.HTTPBadRequest(text=f"purpose is one of {', '.join(Purpose)}")
    return tuple(purpose for purpose in Purpose if purpose in given)


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(_ROWS))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_ROWS):
        raise web.HTTPBadRequest(text=f"limit is a number from 1 to {MOST_ROWS}")
    return int(text)
