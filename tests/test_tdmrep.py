"""TDMRep beyond what vectors can say: places, pointers, offers, limits, and every real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.model import Exchange, Leniency, Place, State
from optout.signals import tdmrep

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "tdm"
URL = "https://example.com/.well-known/tdmrep.json"
POLICY_URL = "https://example.com/policies/7.json"


def file(body, **how):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return tdmrep.read(Exchange(URL, tdmrep.FILE, status=200, body=data, **how))


def page(body=b"", *headers, url="https://example.com/a"):
    return tdmrep.read(Exchange(url, status=200, headers=headers, body=body))


def policy(body, *headers, status=200):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(POLICY_URL, tdmrep.POLICY, status=status, headers=headers, body=data)


def test_a_rule_knows_where_it_stands_and_how_it_was_written():
    body = b'[\n  {"location": "/a", "tdm-reservation": 0},\n  {"location": "/", "tdm-reservation": 1}\n]'
    first, second = file(body).statements
    assert first.place == Place(tdmrep.FILE, 2, 4, "[0]")
    assert second.place == Place(tdmrep.FILE, 3, body.rindex(b"{"), "[1]")
    assert second.value == '{"location": "/", "tdm-reservation": 1}'


def test_a_policy_is_pointed_to_and_named_as_a_condition():
    reading = file([{"location": "/", "tdm-reservation": 1, "tdm-policy": "/policies/7.json"}])
    assert [(pointer.url, pointer.role) for pointer in reading.pointers] == [(POLICY_URL, "tdm-policy")]
    assert reading.statements[0].conditions == (("policy", POLICY_URL),)
    assert reading.statements[0].document is None, "an offer must not replace the reservation"


def test_a_policy_beside_zero_is_left_alone():
    assert file([{"location": "/", "tdm-reservation": 0, "tdm-policy": POLICY_URL}]).pointers == ()
    assert page(b"", ("tdm-reservation", "0"), ("tdm-policy", POLICY_URL)).pointers == ()


def test_a_policy_of_a_page_is_resolved_against_where_the_page_came_from():
    exchange = Exchange(
        "https://example.com/a",
        status=200,
        headers=(("tdm-reservation", "1"), ("tdm-policy", "/p.json")),
        redirects=("https://www.example.com/a",),
    )
    assert tdmrep.read(exchange).pointers[0].url == "https://www.example.com/p.json"


def test_a_file_cannot_send_us_on_endless_errands_or_fill_the_report():
    rules = [{"location": "/", "tdm-reservation": 1, "tdm-policy": f"/p{number}"} for number in range(500)]
    assert len(file(rules).pointers) == tdmrep.MAX_POLICIES
    assert len(file([{"tdm-reservation": 9}] * 500).problems) == 100


@pytest.mark.parametrize("status", [None, 301, 404, 500])
def test_what_did_not_arrive_says_nothing(status):
    body = b'[{"location": "/", "tdm-reservation": 1}]'
    assert not tdmrep.read(Exchange(URL, tdmrep.FILE, status=status, body=body)).statements
    assert not tdmrep.read(
        Exchange("https://example.com/", status=status, headers=(("tdm-reservation", "1"),))
    ).problems


def test_an_image_is_not_searched_for_elements():
    body = b'\xff\xd8\xff<meta name="tdm-reservation" content="1">'
    assert not page(body, ("Content-Type", "image/jpeg")).statements
    assert page(body, ("Content-Type", "text/html")).statements


OFFER = {
    "@context": ["http://www.w3.org/ns/odrl.jsonld", {"tdm": "http://www.w3.org/ns/tdmrep#"}],
    "@type": "Offer",
    "uid": POLICY_URL,
    "assigner": {
        "uid": "https://example.com",
        "vcard:fn": "Example Press",
        "vcard:hasEmail": {"@id": "mailto:rights@example.com"},
        "vcard:hasTelephone": "tel:+61755555555",
        "vcard:hasAddress": {"vcard:street-address": "1 Street", "vcard:locality": "Espérance"},
        "vcard:hasURL": "https://example.com/licences",
    },
    "permission": [
        {
            "target": "https://example.com/papers",
            "action": "tdm:mine",
            "duty": [{"action": "obtainConsent"}, {"action": "compensate"}],
            "constraint": [{"leftOperand": "purpose", "operator": "eq", "rightOperand": {"@id": "tdm:research"}}],
        }
    ],
}


def test_an_offer_names_whom_to_ask_and_what_for():
    assert tdmrep.offer(policy(OFFER)) == (
        ("assigner", "https://example.com"),
        ("name", "Example Press"),
        ("email", "rights@example.com"),
        ("telephone", "+61755555555"),
        ("address", "1 Street, Espérance"),
        ("url", "https://example.com/licences"),
        ("target", "https://example.com/papers"),
        ("duty", "obtainConsent"),
        ("duty", "compensate"),
        ("constraint", "purpose eq tdm:research"),
    )


def test_an_offer_with_the_slips_of_published_examples():
    body = b'{"uid": "x"\n "assigner": {"vcard:fn": "Press",}, "permission": {"duty": "compensate"},}'
    assert tdmrep.offer(policy(body)) == (("name", "Press"), ("duty", "compensate"))
    assert {problem.code for problem in tdmrep.read(policy(body)).problems} == {"tdmrep.policy-not-json"}


def test_an_offer_for_people_is_its_page_and_a_lost_one_is_nothing():
    assert tdmrep.offer(policy(b"<!doctype html><p>Ask us.</p>")) == (("page", POLICY_URL),)
    assert tdmrep.offer(policy(b"Ask us.")) == (("page", POLICY_URL),)
    assert tdmrep.offer(policy(OFFER, status=404)) == ()
    assert tdmrep.offer(policy(b"")) == ()
    assert tdmrep.offer(policy(b"[1, [2], {}]")) == ()


scalars = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["1", "0", "/", "*", "yes", "", "not-allowed"])
)
names = st.sampled_from(["location", "tdm-reservation", "tdm-policy", "tdm_reservation", "policy", "x"])
shapes = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))


@given(shapes)
def test_only_the_letter_ever_permits(shape):
    reading = file(shape)
    for statement in reading.statements:
        if statement.leniency is not None:
            assert all(state is State.RESERVED for _, state in statement.states)
    permits = [s for s in reading.statements if any(state is State.PERMITTED for _, state in s.states)]
    letter = shape if isinstance(shape, list) else []
    zeros = [rule for rule in letter if isinstance(rule, dict) and rule.get("tdm-reservation") == 0]
    assert len(permits) <= len(zeros)


@given(st.binary(max_size=200))
def test_any_bytes_are_data(body):
    file(body)
    page(b"tdm" + body)
    tdmrep.offer(policy(body))


def real_files(folder):
    return sorted((CORPUS / folder).glob("*")) if CORPUS.exists() else []


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real files is not here")
def test_every_real_file_is_read_and_a_third_needs_the_wider_reading():
    readings = [file(path.read_bytes()) for path in real_files("tdmrep")]
    assert len(readings) == 29
    letter = [r for r in readings if any(s.leniency is None for s in r.statements)]
    meant = [r for r in readings if any(s.leniency is Leniency.MALFORMED_RESERVATIONS for s in r.statements)]
    silent = [r for r in readings if not r.statements]
    assert (len(letter), len(meant), len(silent)) == (16, 8, 5)
    assert all(reading.problems for reading in (*meant, *silent)), "nothing is left out in silence"
    assert [len(tdmrep.offer(policy(path.read_bytes()))) for path in real_files("policy")] == [0, 4]
