"""The web service as browsers, scripts and hostile pages meet it, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import evidence_samples as samples
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from lxml import html
from origin_simulator import Simulator
from policies_for_tests import shipped

from optout.acquisition.fetcher import Limits
from optout.acquisition.plan import Planned
from optout.cli import main
from optout.evidence.layout import Layout
from optout.evidence.rows import decision_row
from optout.identity import Identity
from optout.model import Exchange
from optout.web import desk
from optout.web.app import Setup, make
from optout.web.ledger_view import LedgerView
from optout.web.turnstile import Turnstile
from optout.web.verification import Verification

HOSTILE = "https://site-9.example/<script>alert(1)</script>\"'&\u202e\ud7ff"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    crawl = tmp_path_factory.mktemp("web") / "crawl"
    samples.small(crawl)
    log = samples.begin(crawl, node="n3", at=300)
    digests = {
        "policy": log.document("policy", [samples.POLICY], samples.later(301)),
        "registry": log.document("registry", [samples.REGISTRY, samples.AGENTS], samples.later(301)),
        "identity": log.document("identity", [samples.IDENTITY], samples.later(301)),
        "exchanges": log.write_set([samples.robots(9)]),
    }
    log.add(decision_row(
        url=HOSTILE, decided_at=samples.later(302), stage="request", agent="ExampleBot", purpose="ai-train",
        effect="review", reason="<img src=x>\u202e", **digests,
    ))  # fmt: skip
    log.close(samples.later(303))
    return crawl / "evidence"


@pytest.fixture(scope="module")
def site():
    with Simulator() as simulator:
        yield simulator.origin("User-agent: *\nDisallow: /p/<b>bold</b>\nAllow: /\n")


@pytest.fixture
async def open_client():
    """Start the service and give a client of it."""
    clients = []

    async def start(evidence: Path | None = None, *, private: bool = False) -> TestClient:
        layout = Layout(evidence) if evidence else None
        limits = Limits(seconds=5.0, allow_private=private)
        setup = Setup(shipped("eu-gpai"), Identity("ExampleBot"), layout, limits=limits)
        client = TestClient(TestServer(make(setup)))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def error_of(response) -> str:
    body = await response.json()
    assert list(body) == ["error"]
    return body["error"]


async def test_a_refused_url_is_answered_as_check_answers_it(open_client, site, capsys):
    client = await open_client(private=True)
    url = f"{site.url}/p/<b>bold</b>"
    response = await client.get("/decide", params={"url": url})
    said = await response.json()
    arguments = ["check", url, "--json", "--allow-private", "--as", "ExampleBot"]
    await asyncio.to_thread(main, arguments)
    expected = json.loads(capsys.readouterr().out)
    assert said == expected
    assert said["decisions"]["ai-train"]["effect"] == "deny"


async def test_purposes_limit_the_decisions(open_client, site):
    client = await open_client(private=True)
    response = await client.get("/decide", params=[("url", f"{site.url}/q"), ("purpose", "search"), ("purpose", "")])
    assert list((await response.json())["decisions"]) == ["search"]
    response = await client.get("/decide", params={"url": site.url, "purpose": "<i>"})
    assert response.status == 400
    assert "<i>" not in await error_of(response)


async def test_a_browser_gets_a_page_with_what_strangers_wrote_escaped(open_client, site):
    client = await open_client(private=True)
    url = f"{site.url}/p/<b>bold</b>"
    response = await client.get("/decide", params={"url": url}, headers=BROWSER)
    text = await response.text()
    assert response.content_type == "text/html"
    assert "<b>bold" not in text
    page = html.fromstring(text)
    assert page.findtext(".//h1") == url
    assert "Disallow: /p/<b>bold</b>" in page.text_content()


async def test_a_private_address_is_not_asked(open_client, site):
    client = await open_client()
    before = len(site.log)
    said = await (await client.get("/decide", params={"url": site.url})).json()
    assert said["crawl"] == "disallow"
    assert len(site.log) == before


@pytest.mark.parametrize(
    "query", ["", "url=", "url=a&url=b", "url=ftp://x.example/", "url=http://", "url=file:///etc/passwd", "url=x" * 400]
)
async def test_what_is_no_url_is_an_error_in_json(open_client, query):
    client = await open_client()
    response = await client.get(f"/decide?{query}")
    assert response.status == 400
    assert await error_of(response)


async def test_a_url_may_not_be_endless(open_client):
    client = await open_client()
    response = await client.get("/decide", params={"url": f"https://x.example/{'a' * desk.LONGEST_URL}"})
    assert response.status == 400
    assert "2,000" in await error_of(response)


async def test_another_sites_page_may_not_have_urls_fetched(open_client, site):
    client = await open_client(private=True)
    before = len(site.log)
    for value in ("cross-site", "same-site"):
        response = await client.get("/decide", params={"url": site.url}, headers={"Sec-Fetch-Site": value})
        assert response.status == 403
    assert len(site.log) == before
    response = await client.get("/decide", params={"url": site.url}, headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status == 200


async def test_the_dashboard_counts_what_the_log_holds(open_client, evidence):
    client = await open_client(evidence)
    response = await client.get("/")
    page = html.fromstring(await response.text())
    figures = dict(re.findall(r"(\d+)\s+(\S+)", item.text_content())[0][::-1] for item in page.iterfind(".//li"))
    assert figures == {"decisions": "23", "deny": "9", "permit": "13", "review": "1", "pages": "0"}
    table = page.xpath("//table[caption[contains(., 'origins')]]/tbody/tr[1]/td/text()")
    assert table == ["https://site-4.example", "7", "4", "3", "0"]
    chart = page.find(".//svg")
    assert chart.get("role") == "img"
    assert {chart.find(tag).get("id") for tag in ("title", "desc")} == set(chart.get("aria-labelledby").split())


async def test_the_dashboard_escapes_hostile_rows(open_client, evidence):
    client = await open_client(evidence)
    text = await (await client.get("/")).text()
    assert "<script" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    newest = html.fromstring(text).xpath("//table[caption[contains(., 'newest')]]/tbody/tr[1]/td[5]/text()")
    assert newest == [HOSTILE.replace("\u202e", "\ufffd").replace("\ud7ff", "\ufffd")]


async def test_every_form_field_has_a_label(open_client):
    client = await open_client()
    page = html.fromstring(await (await client.get("/")).text())
    labels = {label.get("for") for label in page.iterfind(".//label")}
    assert {field.get("id") for field in page.xpath("//input|//select")} == labels
    assert page.get("lang") == "en"


async def test_the_style_sheet_is_the_one_that_the_policy_allows_and_nothing_else_is(open_client, evidence):
    client = await open_client(evidence)
    response = await client.get("/")
    policy = response.headers["Content-Security-Policy"]
    page = html.fromstring(await response.text())
    digest = b64encode(sha256(page.findtext(".//style").encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not page.xpath("//script|//@style|//@onclick|//@src")


@pytest.mark.parametrize("path", ["/", "/healthz", "/decide", "/nowhere", "/log/checkpoint"])
async def test_every_response_keeps_browsers_in_bounds(open_client, path):
    client = await open_client()
    response = await client.get(path, headers={"Origin": "https://evil.example"})
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Security-Policy" in response.headers
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8040", "localhost.evil.example", "127.0.0.1.evil", "", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/evidence/decisions", "/log/checkpoint", "/nowhere"])
async def test_a_strangers_host_name_is_refused(open_client, evidence, host, path):
    client = await open_client(evidence)
    response = await client.get(path, headers={"Host": host})
    assert response.status == 421
    assert "not served here" in await error_of(response)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8040", "[::1]:8040"])
async def test_names_of_this_machine_are_served(open_client, host):
    client = await open_client()
    assert (await client.get("/healthz", headers={"Host": host})).status == 200


async def test_rows_are_given_as_the_command_prints_them(open_client, evidence, capsys):
    client = await open_client(evidence)
    for query, options in [
        ({"host": "site-2.example", "limit": "2"}, ["--host", "site-2.example", "--limit", "2"]),
        ({"url": "https://site-2.example/p/0"}, ["--url", "https://site-2.example/p/0"]),
        ({"url": HOSTILE}, ["--url", HOSTILE]),
        ({"url": "' or 1=1 --"}, ["--url", "' or 1=1 --"]),
    ]:
        said = await (await client.get("/evidence/decisions", params=query)).json()
        main(["evidence", "query", str(evidence), "--json", *options])
        assert said == [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said == []


async def test_what_is_no_host_is_refused_as_the_command_refuses_it(open_client, evidence):
    client = await open_client(evidence)
    refused = await client.get("/evidence/decisions", params={"host": "' or 1=1 --"})
    assert refused.status == 400
    assert main(["evidence", "query", str(evidence), "--host", "' or 1=1 --"]) == 2
    assert "is no host" in (await refused.json())["error"]


async def test_a_proof_is_the_one_that_the_command_checks(open_client, evidence, tmp_path, capsys):
    client = await open_client(evidence)
    page = html.fromstring(await (await client.get("/")).text())
    links = page.xpath("//a[starts-with(@href, '/evidence/proof')]/@href")
    assert len(links) == 20
    for link in links[:3]:
        response = await client.get(link)
        assert response.status == 200, link
        assert "attachment" in response.headers["Content-Disposition"]
        (tmp_path / "proof.json").write_bytes(await response.read())
        key = str(evidence / "policy.txt")
        assert main(["evidence", "verify", str(tmp_path / "proof.json"), "--key", key]) == 0, capsys.readouterr().out
    response = await client.get("/evidence/proof", params={"url": "https://nowhere.example/"})
    assert response.status == 404
    assert "sealed" in await error_of(response)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "٣", "9" * 5000])
async def test_a_limit_is_a_small_number(open_client, evidence, limit):
    client = await open_client(evidence)
    response = await client.get("/evidence/decisions", params={"limit": limit})
    assert response.status == 400
    assert "from 1 to 1000" in await error_of(response)


async def test_the_logs_public_files_are_served_byte_by_byte(open_client, evidence):
    client = await open_client(evidence)
    tiles = [path for path in (evidence / "tile").rglob("*") if path.is_file()]
    assert tiles
    for path in [evidence / "checkpoint", *tiles]:
        response = await client.get(f"/log/{path.relative_to(evidence)}")
        assert await response.read() == path.read_bytes()
    said = await (await client.get("/evidence/checkpoint")).json()
    assert said["note"] == (evidence / "checkpoint").read_text()
    assert said["origin"] == samples.ORIGIN


@pytest.mark.parametrize(
    "name",
    [
        "private/log.keys",
        "tile/../private/log.keys",
        "tile/%2e%2e/private/log.keys",
        "tile/%2E%2E%2Fprivate%2Flog.keys",
        "..%2fevidence%2fprivate%2flog.keys",
        "tile/0/..%5c..%5cprivate%5clog.keys",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "checkpoint%00",
        "checkpoint%0a",
        "checkpoint/",
        "tile",
        "tile/entries",
        "tile/99999999999999999999/000",
        "tile/0/000.p/0",
        "policy.txt",
        "n1.head",
    ],
)
async def test_nothing_else_of_the_directory_is_served(open_client, evidence, name):
    client = await open_client(evidence)
    # A raw request, because a client's URL library would tidy the path up.
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(f"GET /log/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
    assert b"private" not in answer


def test_a_link_out_of_the_tiles_is_not_followed(evidence, tmp_path):
    copy = Path(shutil.copytree(evidence, tmp_path / "evidence"))
    (copy / "tile" / "0" / "001").symlink_to(copy / "private" / "log.keys")
    (copy / "tile" / "1").symlink_to(copy / "tile" / "0")
    view = LedgerView(Layout(copy))
    assert view.public_file("tile/0/001") is None
    assert view.public_file("tile/1/000.p/4") is None
    assert view.public_file("checkpoint") == (copy / "checkpoint").read_bytes()


async def test_without_evidence_there_is_no_log(open_client):
    client = await open_client()
    for path in ("/evidence/decisions", "/evidence/checkpoint", "/log/checkpoint"):
        response = await client.get(path)
        assert response.status == 404
        assert "--evidence" in await error_of(response)
    assert "No log is shown" in await (await client.get("/")).text()


async def test_unknown_paths_and_methods_are_errors_in_json(open_client):
    client = await open_client()
    response = await client.get("/<script>")
    assert response.status == 404
    assert "<script>" not in await error_of(response)
    response = await client.post("/decide")
    assert response.status == 405
    assert "GET" in response.headers["Allow"]
    assert await error_of(response)


async def test_a_damaged_log_is_told_and_does_not_stop_the_page(open_client, evidence, tmp_path):
    copy = Path(shutil.copytree(evidence, tmp_path / "evidence"))
    for path in (copy / "segments").iterdir():
        path.write_bytes(b"PAR1 <b>nothing</b> PAR1")
    client = await open_client(copy)
    text = await (await client.get("/")).text()
    assert "The log cannot be read" in text
    response = await client.get("/evidence/decisions")
    assert response.status == 500
    assert "cannot be read" in await error_of(response)
    assert (await client.get("/healthz")).status == 200


async def test_a_verification_says_when_and_what(evidence, tmp_path):
    copy = Path(shutil.copytree(evidence, tmp_path / "evidence"))
    segment = next((copy / "segments").iterdir())
    segment.write_bytes(segment.read_bytes()[:-1])
    verification = Verification(copy)
    verification.renew()
    assert verification.running
    await verification.wait()
    assert verification.result.outcome == "fails"
    assert verification.result.begun_at.tzinfo is not None
    assert [step["outcome"] for step in verification.result.steps].count("fails") >= 1
    verification.renew()
    assert not verification.running, "a fresh result is not renewed"


async def test_a_verification_is_stopped_with_the_service(evidence):
    verification = Verification(evidence)
    verification.renew()
    await asyncio.sleep(0.05)
    await verification.close()
    assert not verification.running
    assert verification.result is None


async def test_a_turnstile_lets_few_through_and_sends_the_rest_away():
    turnstile, through, gone = Turnstile(2), asyncio.Event(), []
    inside, most = 0, 0

    async def visit():
        nonlocal inside, most
        try:
            async with turnstile.turn():
                inside += 1
                most = max(most, inside)
                await through.wait()
                inside -= 1
        except web.HTTPServiceUnavailable as full:
            gone.append(full.headers["Retry-After"])

    visits = [asyncio.create_task(visit()) for _ in range(40)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    through.set()
    await asyncio.gather(*visits)
    assert most == 2
    assert 20 <= len(gone) <= 24
    async with turnstile.turn():
        assert inside == 0


async def test_a_decision_fetches_no_more_than_its_share():
    class Counting:
        asked = 0

        async def fetch(self, planned):
            self.asked += 1
            return Exchange(planned.url, planned.role, status=404)

    inner = Counting()
    bounded = desk.Bounded(inner)
    found = [await bounded.fetch(Planned(f"https://x.example/{n}", "rsl")) for n in range(desk.MOST_FETCHES + 3)]
    assert inner.asked == desk.MOST_FETCHES
    assert {exchange.error for exchange in found[-3:]} == {"too-many-documents"}


async def test_a_site_that_never_answers_ends_in_an_error(open_client, site, monkeypatch):
    monkeypatch.setattr(desk, "SECONDS", 0.0)
    client = await open_client(private=True)
    response = await client.get("/decide", params={"url": site.url})
    assert response.status == 504
    assert "no decision within" in await error_of(response)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_stops_cleanly(evidence, stop):
    code = "import sys; from optout.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--evidence", str(evidence.parent), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with urlopen(f"{url}healthz", timeout=10) as response:  # noqa: S310 - our own server
            assert json.load(response) == {"status": "ok"}
        process.send_signal(stop)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "70000"], "there is no port 70000"),
        (["--host", "192.0.2.1", "--quiet"], "cannot listen at 192.0.2.1"),
        (["--evidence", "/nowhere"], "holds no evidence"),
        (["--policy", "/nowhere.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_served_is_one_line(options, said, capsys):
    assert main(["serve", *options]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_listening_elsewhere_is_warned_of(capsys):
    assert main(["serve", "--host", "192.0.2.1"]) == 2
    assert "whoever can reach 192.0.2.1" in capsys.readouterr().err
