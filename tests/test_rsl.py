"""RSL beyond what vectors can say: places, offers, pointers, limits, and every real file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped

from optout import engine
from optout.identity import Identity
from optout.model import Exchange, Leniency, Place, Purpose, State
from optout.signals import rsl
from optout.syntax import rsl_document

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
LICENSE = "https://example.com/license.xml"
OPEN = '<rsl xmlns="https://rslstandard.org/rsl">'


def document(body, **how):
    data = body if isinstance(body, bytes) else f"{OPEN}{body}</rsl>".encode()
    return rsl.read(Exchange(LICENSE, rsl.DOCUMENT, status=200, body=data, **how))


def content(inner, attributes='url="/"'):
    return f"<content {attributes}><license>{inner}</license></content>"


def robots(body, url="https://example.com/robots.txt"):
    data = body if isinstance(body, bytes) else body.encode()
    return rsl.read(Exchange(url, "/robots.txt", status=200, body=data))


def page(body="", *headers, url="https://example.com/a"):
    return rsl.read(Exchange(url, status=200, headers=headers, body=body.encode()))


def test_a_license_line_points_to_its_document_and_stands_for_it_where_there_is_none():
    reading = robots(f"# ours\nLicense: {LICENSE}\nUser-agent: *\n")
    (statement,) = reading.statements
    assert statement.document == LICENSE
    assert statement.place == Place("/robots.txt", 2, 7, "License")
    assert {state for _, state in statement.states} == {State.RESERVED}
    assert [(pointer.url, pointer.role) for pointer in reading.pointers] == [(LICENSE, "rsl-document")]


def test_crawlers_without_a_license_of_their_own_share_the_one_outside_of_groups():
    first = "License: https://a.example/g\nUser-agent: A\nUser-agent: B\nLicense: https://a.example/ab\n"
    reading = robots(first + "User-agent: C\nAllow: /\n")
    assert {s.document: s.agents for s in reading.statements} == {
        "https://a.example/g": {"c", "*"},
        "https://a.example/ab": {"a", "b"},
    }
    assert reading.addressed == {"a", "b", "c"}


def test_a_document_is_asked_for_over_https_only_from_an_https_site():
    plain = "License: http://example.com/l.xml\n"
    assert robots(plain).statements[0].document == "https://example.com/l.xml"
    assert robots(plain, "http://example.com/robots.txt").statements[0].document == "http://example.com/l.xml"


def test_a_site_cannot_send_us_on_endless_errands():
    reading = robots("".join(f"License: https://a.example/{number}\n" for number in range(200)))
    assert len(reading.pointers) == rsl.MAX_DOCUMENTS
    assert len(reading.statements) == 200, "what is not fetched counts as unlicensed"


def test_an_offer_tells_what_is_asked_and_whom_to_ask():
    reading = document(
        '<content url="/" server="https://s.example/"><license><permits type="usage">ai-train</permits>'
        '<payment type="training"><amount currency="USD">10</amount><standard>https://c.example/l</standard></payment>'
        '<reporting type="telemetry" profile="https://p.example/"/></license>'
        '<copyright type="person" contactEmail="a@example.com">A. Author</copyright><terms>https://example.com/t</terms>'
        "</content>"
    )
    offer = next(s for s in reading.statements if s.reason == "rsl.offered")
    assert offer.states == ((Purpose.AI_TRAIN, State.RESERVED),)
    assert offer.conditions == (
        ("payment", "training"),
        ("standard", "https://c.example/l"),
        ("amount", "10 USD"),
        ("reporting", "telemetry https://p.example/"),
        ("server", "https://s.example/"),
        ("copyright", "A. Author"),
        ("email", "a@example.com"),
        ("terms", "https://example.com/t"),
    )


def test_a_statement_names_the_line_of_its_content():
    reading = document("\n\n" + content('<prohibits type="usage">ai-train</prohibits>'))
    assert reading.statements[0].place == Place(LICENSE, 3)
    assert reading.statements[0].value == "/: prohibits usage: ai-train"


@pytest.mark.parametrize("how", [{"error": "timeout"}, {"truncated": True}])
def test_half_a_document_is_none(how):
    reading = document(content('<permits type="usage">all</permits>'), **how)
    assert not reading.valid
    assert not reading.statements
    assert reading.problems


@pytest.mark.parametrize("status", [None, 304, 404, 500])
def test_what_did_not_arrive_points_nowhere(status):
    body = f"License: {LICENSE}\n".encode()
    assert not rsl.read(Exchange("https://example.com/robots.txt", "/robots.txt", status=status, body=body)).statements


def test_a_body_license_only_restricts():
    reading = page(f'<body><div><link rel=license type=application/rsl+xml href="{LICENSE}"></div></body>')
    assert reading.statements[0].leniency is Leniency.BODY_METADATA
    permitting = f'{OPEN}<content url=""><license><permits type="usage">search</permits></license></content></rsl>'
    (statement,) = page(f'<body><div><script type="application/rsl+xml">{permitting}</script></div></body>').statements
    assert {purpose for purpose, _ in statement.states} == {Purpose.TDM, Purpose.AI_TRAIN, Purpose.AI_INPUT}


def test_a_lenient_pointer_never_brings_a_permission():
    html = f'<head></head><body><p><link rel=license type=application/rsl+xml href="{LICENSE}"></p></body>'
    exchanges = [
        Exchange("https://example.com/robots.txt", "/robots.txt", status=200),
        Exchange(LICENSE, rsl.DOCUMENT, status=200, body=f"{OPEN}{SEARCH_ONLY}</rsl>".encode()),
        Exchange("https://example.com/a", status=200, body=html.encode()),
    ]
    verdict = engine.decide(exchanges, "https://example.com/a", shipped("eu-gpai"), Identity("ExampleBot"))
    assert verdict.states[Purpose.AI_TRAIN] is State.RESERVED
    assert verdict.states[Purpose.SEARCH] is State.UNSPECIFIED


SEARCH_ONLY = content('<permits type="usage">search</permits>')


def test_a_policy_at_the_url_of_a_license_does_not_take_its_place():
    """Two protocols may point to one URL; what the one reads there is nothing to the other."""
    exchanges = [
        Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=f"License: {LICENSE}\n".encode()),
        Exchange(LICENSE, rsl.DOCUMENT, status=200, body=f"{OPEN}{SEARCH_ONLY}</rsl>".encode()),
        Exchange(LICENSE, "tdm-policy", status=200, body=b"{}"),
    ]
    for order in (exchanges, exchanges[::-1]):
        verdict = engine.decide(order, "https://example.com/a", shipped("literal"), Identity("ExampleBot"))
        assert verdict.states[Purpose.AI_TRAIN] is State.RESERVED
        assert verdict.states[Purpose.SEARCH] is State.PERMITTED


def test_faults_of_one_kind_do_not_hide_those_that_leave_no_document():
    repeated = content('<permits type="usage">all</permits>' * 2) * 200
    reading = document(repeated + content("<discount/>"))
    assert not reading.valid
    assert len(reading.problems) <= 51


def test_deep_and_long_documents_are_refused_in_bounded_time():
    assert not document(b"<a>" * 100_000).valid
    assert not document(OPEN.encode() + b"<!-- " + b"x" * rsl_document.MAX_BYTES + b" --></rsl>").valid
    assert document(content('<prohibits type="usage">' + "ai-train," * 100_000 + "</prohibits>")).valid


urls = st.sampled_from(["/", "/a", "/a/*", "*", "", "https://example.com/a", "https://o.example/", "a", "*.x$", "é"])
tokens = st.sampled_from(
    ["all", "ai-all", "ai-train", "ai-input", "ai-index", "search", "train-ai", "quote", "no", "AI"]
)
kinds = st.sampled_from(["usage", "usage", "usage", "user", "geo", "ai-train", ""])
lists = st.builds(
    lambda name, kind, words: f'<{name} type="{kind}">{" ".join(words)}</{name}>',
    st.sampled_from(["permits", "prohibits"]),
    kinds,
    st.lists(tokens, max_size=3),
)
payments = st.sampled_from(["", "", "", '<payment type="free"/>', '<payment type="crawl"/>'])
licenses = st.builds(lambda one, pay: f"<license>{''.join(one)}{pay}</license>", st.lists(lists, max_size=3), payments)
documents = st.lists(
    st.builds(
        lambda url, inner: f'<content url="{url}">{"".join(inner)}</content>', urls, st.lists(licenses, max_size=3)
    ),
    min_size=1,
    max_size=4,
).map("".join)


@given(documents)
def test_no_wider_reading_permits_and_no_prohibited_purpose_is_permitted(body):
    reading = document(body)
    assert reading.valid
    for statement in reading.statements:
        permitted = {purpose for purpose, state in statement.states if state is State.PERMITTED}
        assert not permitted or (statement.leniency is None and not statement.conditions)
    flat = body.replace("permits", "\n permits").replace("prohibits", "\n prohibits")
    if '\n prohibits type="usage">all' in flat and body.count("<content") == 1:
        assert not any(s is State.PERMITTED for one in reading.statements for _, s in one.states)


@given(documents, st.sampled_from(["/", "/a", "/a/b", "/x"]), st.sampled_from(["literal", "conservative", "eu-gpai"]))
def test_compiled_equals_plain_with_documents(body, path, policy):
    exchanges = [
        Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=f"License: {LICENSE}\n".encode()),
        Exchange(LICENSE, rsl.DOCUMENT, status=200, body=f"{OPEN}{body}</rsl>".encode()),
    ]
    url, identity = f"https://example.com{path}", Identity("ExampleBot")
    plain = engine.decide(exchanges, url, shipped(policy), identity)
    assert engine.compile(exchanges, shipped(policy), identity).decide(url) == plain
    literal = engine.decide(exchanges, url, shipped("literal"), identity)
    for purpose in Purpose:
        if literal.states[purpose] is State.RESERVED:
            assert plain.states[purpose] is State.RESERVED, "a wider reading only adds reservations"


@given(st.binary(max_size=200) | st.text("<>/rslcontenu=\"' &;![]-", max_size=80).map(str.encode))
def test_any_bytes_are_data(body):
    document(body)
    document(OPEN.encode() + body + b"</rsl>")
    robots(b"License:" + body)
    page('<script type="application/rsl+xml">' + body.decode("latin-1") + "</script>", ("Link", body.decode("latin-1")))


def test_every_real_document_is_read():
    if not CORPUS.exists():
        pytest.skip("the corpus of real files is not here")
    readings = {path.name.split("__")[0]: document(path.read_bytes()) for path in sorted((CORPUS / "rsl").glob("*"))}
    files = [document(path.read_bytes()) for path in sorted((CORPUS / "rsl").glob("*"))]
    assert len(files) == 25
    assert {name for name, reading in readings.items() if not reading.valid} == {"BolsaClick", "IreneBurresi"}
    training = [
        state
        for reading in files
        for one in reading.statements
        for purpose, state in one.states
        if purpose is Purpose.AI_TRAIN and one.leniency is None
    ]
    assert training.count(State.PERMITTED) == 1, "one site of 25 lets models train on it unconditionally"
    assert [s.leniency for s in readings["felis-catus"].statements] == [Leniency.MALFORMED_RESERVATIONS]


def test_every_real_robots_file_with_a_license_names_it_for_every_crawler():
    if not CORPUS.exists():
        pytest.skip("the corpus of real files is not here")
    readings = {path.name: robots(path.read_bytes()) for path in sorted((CORPUS / "robots" / "files").glob("*"))}
    pointing = {name: reading for name, reading in readings.items() if reading.pointers}
    assert len(pointing) == 14
    for reading in pointing.values():
        (statement,) = reading.statements
        assert reading.addressed <= set(statement.agents), "also where the line stands behind the last group"


def test_a_redirect_to_nonsense_is_data():
    exchanges = [
        Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=f"License: {LICENSE}\n".encode()),
        Exchange(LICENSE, rsl.DOCUMENT, status=200, body=f"{OPEN}{SEARCH_ONLY}</rsl>".encode(), redirects=("http://",)),
        Exchange(
            "https://example.com/a",
            status=200,
            redirects=("http://[",),
            headers=(("Link", f'<{LICENSE}>; rel="license"; type="application/rsl+xml"'),),
            body=f'<script type="application/rsl+xml">{OPEN}{SEARCH_ONLY}</rsl></script>'.encode(),
        ),
    ]
    verdict = engine.decide(exchanges, "https://example.com/a", shipped("literal"), Identity("ExampleBot"))
    assert verdict.states[Purpose.AI_TRAIN] is State.RESERVED
