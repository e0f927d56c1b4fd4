"""What every request must satisfy and every response carries: hosts, errors, and what a browser may do with it."""

from __future__ import annotations

import json
import logging
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web

from optout.errors import EvidenceError, OptoutError
from optout.web.pages import STYLE_SOURCE

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

logger = logging.getLogger(__name__)

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")

_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {STYLE_SOURCE}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Sent with everything. There is no CORS header, so other sites' pages cannot read an answer."""


def headers() -> Middleware:
    """Add the headers that keep browsers in bounds."""

    @web.middleware
    async def add(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return add


def errors() -> Middleware:
    """Answer every error as JSON."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
            return error_response(error.status, error.text or error.reason, kept)
        except EvidenceError as error:
            return error_response(500, str(error))
        except OptoutError as error:
            return error_response(400, str(error))
        except Exception:
            logger.exception("a request could not be answered")
            return error_response(500, "internal error; the service's own output says more")

    return tell


def error_response(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as JSON."""
    return web.json_response({"error": text}, status=status, headers=headers, dumps=json.dumps)


def hosts(named: str) -> Middleware:
    """Refuse requests for another host than this one.

    A page of a stranger's site can bring its own host name to resolve to this machine and would then be of the same
    origin as this service (DNS rebinding). It cannot do so with an address or with `localhost`.

    Args:
        named: the host that the service was told to bind.
    """

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_ours(request.headers.getall("Host", []), named):
            raise web.HTTPMisdirectedRequest(text="this host is not served here; use the address that was printed")
        return await handler(request)

    return refuse


def _is_ours(given: list[str], named: str) -> bool:
    found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return False
    name = found["name"].strip("[]").lower()
    return name in {"localhost", named.lower()} or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def own_pages_only(request: web.Request) -> None:
    """Refuse what another site's page asks for; browsers say so (Fetch Metadata), and other clients say nothing.

    Raises:
        HTTPForbidden: another site asks.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise web.HTTPForbidden(text="only the pages of this service may ask for that")
