"""Refusals by status beyond what vectors can say: the offers, and bodies that are hostile."""

from __future__ import annotations

import base64
import json

import pytest
from policies_for_tests import shipped

from optout import engine
from optout.identity import Identity
from optout.model import Effect, Exchange, Place
from optout.signals import http_access

X402 = {
    "x402Version": 2,
    "accepts": [{"scheme": "exact", "network": "eip155:8453", "amount": "10000", "asset": "0xA5", "payTo": "0xB6"}],
}


def read(status, *headers, body=b""):
    return http_access.read(Exchange("https://example.com/a", status=status, headers=headers, body=body))


def conditions(status, *headers, body=b""):
    (statement,) = read(status, *headers, body=body).statements
    return statement.conditions


@pytest.mark.parametrize("policy", ["literal", "conservative", "eu-gpai"])
def test_a_refusal_denies_access_and_every_purpose(policy):
    files = [
        Exchange(f"https://example.com{path}", path, status=404) for path in engine.required_paths(shipped(policy))
    ]
    page = Exchange("https://example.com/a", status=403)
    verdict = engine.decide([*files, page], "https://example.com/a", shipped(policy), Identity("ExampleBot"))
    assert verdict.access is Effect.DENY
    assert {(decision.effect, decision.reason) for decision in verdict.decisions} == {
        (Effect.DENY, "http.access-refused")
    }


def test_a_legal_demand_has_a_reason_of_its_own():
    (statement,) = read(451).statements
    assert statement.reason == "http.legal-demand"
    assert statement.place == Place("headers", field="status")


def test_a_price_is_the_condition_of_access():
    assert conditions(402, ("Crawler-Price", "USD 0.01")) == (("payment", "USD 0.01"),)


def test_a_licence_demand_names_scheme_and_licence():
    link = '</b>; rel="next", <https://example.com/l.xml>; rel="license"; type="application/rsl+xml"'
    challenge = 'License error="invalid_request"'
    assert conditions(401, ("WWW-Authenticate", challenge), ("Link", link)) == (
        ("authentication", challenge),
        ("licence", "https://example.com/l.xml"),
    )


def test_a_licence_of_another_kind_is_no_offer():
    link = '<https://creativecommons.org/licenses/by/4.0/>; rel="license"; type="text/html"'
    assert conditions(403, ("Link", link)) == ()


def test_x402_is_read_from_its_field_and_from_the_body():
    field = base64.b64encode(json.dumps(X402).encode()).decode()
    wanted = (("payment", "x402 10000 of 0xA5 on eip155:8453 to 0xB6"),)
    assert conditions(402, ("PAYMENT-REQUIRED", field)) == wanted
    assert conditions(402, body=json.dumps(X402).encode()) == wanted
    older = {
        "x402Version": 1,
        "accepts": [{"network": "base", "maxAmountRequired": "7", "asset": "0xA", "payTo": "0xB"}],
    }
    assert conditions(402, body=json.dumps(older).encode()) == (("payment", "x402 7 of 0xA on base to 0xB"),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Pay</html>",
        b"[" * 60_000,
        b'{"x402Version": 1, "accepts": "all"}',
        b'{"x402Version": 1, "accepts": [1, null]}',
        b'{"accepts": [{}]}',
        b"\xff\xfe{}",
        b'{"x402Version": 1, "accepts": [' + b"{}," * 100_000 + b"{}]}",
    ],
)
def test_a_body_without_an_offer_is_a_refusal_all_the_same(body):
    reading = read(402, body=body)
    assert reading.statements[0].conditions == ()
    assert reading.problems == ()


def test_offers_are_bounded():
    many = {"x402Version": 1, "accepts": [{}] * 500}
    assert len(conditions(402, body=json.dumps(many).encode())) == http_access.MAX_OFFERS


@pytest.mark.parametrize("value", ["", "e30", "%%%", "WzFd", "\u00e9"])
def test_a_field_that_holds_no_offer_is_a_problem(value):
    (problem,) = read(402, ("PAYMENT-REQUIRED", value)).problems
    assert problem.code == "http.unreadable-offer"


def test_a_response_that_never_came_says_nothing():
    assert http_access.read(Exchange("https://example.com/a", error="timeout")) == http_access.SILENCE
