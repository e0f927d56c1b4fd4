"""Refusals by the server itself: a response that says this agent may not have the resource.

Mining needs lawful access (CDSM Art. 4(1)). A resource that answers one of these statuses was not accessed lawfully
by this agent, whatever came in its body; about other agents it says nothing.

| status | meaning |
|---|---|
| 401 | a login or a licence is asked for (`WWW-Authenticate: License` is RSL's) |
| 402 | payment is asked for (Cloudflare pay per crawl, x402) |
| 403 | refused |
| 451 | withheld on a legal demand (RFC 7725): not the rightsholder's word, but no lawful access either |

What is asked in return is kept as the offer. Not a refusal: 404 and 410 (there is nothing), 407 (a proxy of our own
asks for a login, RFC 9110 section 15.5.8), 429 (later, RFC 6585), 5xx; and on a response that was given, a price
(`crawler-price`) or a receipt (`crawler-charged`).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from optout.model import RESERVE_ALL, SILENCE, Exchange, Layer, Place, Problem, Reading, Statement
from optout.protocol import Protocol, ResponseStatus
from optout.syntax import http_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSALS = {
    401: "http.access-refused",
    402: "http.access-refused",
    403: "http.access-refused",
    451: "http.legal-demand",
}
"""The statuses that refuse access, each with the reason code of the refusal."""

OFFER_FIELDS = {
    "crawler-price": "payment",
    "crawler-error": "error",
    "www-authenticate": "authentication",
}
"""Header fields that say what is asked in return, and the name of the condition that each becomes."""

X402_FIELD = "payment-required"
RSL_TYPE = "application/rsl+xml"
MAX_OFFERS = 16
MAX_OFFER_BYTES = 65_536


def read(exchange: Exchange) -> Reading:
    """Read the status of a response, and where it refuses, what is asked in return."""
    status = exchange.status
    if exchange.error is not None or status not in REFUSALS:
        return SILENCE
    offers = (*_fields(exchange), *_licences(exchange), *(_x402(exchange) if status == 402 else ()))
    statement = Statement(
        REFUSALS[status],
        _STATUS,
        f"status {status}",
        RESERVE_ALL,
        refuses_access=True,
        layer=Layer.HEADER,
        conditions=offers[:MAX_OFFERS],
    )
    return Reading((statement,), _unreadable_offer(exchange) if status == 402 else ())


_STATUS = Place("headers", field="status")


def _fields(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """What header fields ask for (Cloudflare pay per crawl; RFC 9110 section 11.6.1)."""
    for field, name in OFFER_FIELDS.items():
        yield from ((name, value) for value, _ in http_fields.values(exchange.headers, field) if value)


def _licences(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """The licence under which access is to be had (RSL 1.0, Crawler Authorization Protocol)."""
    for value, _ in http_fields.values(exchange.headers, "link"):
        for link in http_fields.parse_links(value):
            if "license" in link.rel and link.type in (None, RSL_TYPE):
                yield "licence", link.target


def _x402(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """The ways to pay that x402 lists, in a header field (version 2) or in the body (version 1)."""
    demand = _demand(exchange)
    accepts = demand.get("accepts") if isinstance(demand, dict) and "x402Version" in demand else None
    for way in accepts if isinstance(accepts, list) else ():
        if isinstance(way, dict):
            amount = way.get("amount", way.get("maxAmountRequired"))
            yield "payment", f"x402 {amount} of {way.get('asset')} on {way.get('network')} to {way.get('payTo')}"


def _demand(exchange: Exchange) -> object:
    """The JSON that asks for payment; None where there is none that can be read."""
    field = http_fields.values(exchange.headers, X402_FIELD)
    try:
        text = base64.b64decode(field[0][0], validate=True) if field else exchange.body
        return json.loads(text) if len(text) <= MAX_OFFER_BYTES else None
    except (ValueError, RecursionError):
        return None


def _unreadable_offer(exchange: Exchange) -> tuple[Problem, ...]:
    """A body without an offer is common and no mistake; a field that was made for one and holds none is."""
    if http_fields.values(exchange.headers, X402_FIELD) and not isinstance(_demand(exchange), dict):
        return (Problem("http.unreadable-offer", Place("headers", field="PAYMENT-REQUIRED")),)
    return ()


PROTOCOL = Protocol(
    name="http-access",
    title="HTTP status",
    specification="https://www.rfc-editor.org/rfc/rfc9110#section-15.5",
    edition="RFC 9110, June 2022; RFC 7725; Cloudflare pay per crawl; x402; RSL 1.0 (CAP)",
    carriers=(ResponseStatus(frozenset(REFUSALS)),),
    read=read,
    problems={"http.unreadable-offer": "A PAYMENT-REQUIRED field of a 402 response is no base64-encoded JSON object."},
)
