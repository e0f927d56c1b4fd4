"""`optout check` as a user calls it: cases, live origins on this machine, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from origin_simulator import Answer as OriginAnswer
from origin_simulator import Simulator

from optout.cli import main
from optout.cli.demo_origins import Answer, Origins


def run(*args: str, data: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from optout.cli import main; sys.exit(main())", *args]
    return subprocess.run(command, input=data, capture_output=True, text=True, timeout=60, check=False)


def case(**given) -> str:
    return json.dumps({"id": "a", "input": {"url": "https://example.com/x", "user_agent": "ExampleBot", **given}})


def test_cases_answer_in_order_and_a_bad_line_spoils_only_itself():
    lines = [case(robots_txt="User-agent: *\nDisallow: /x\n"), "not json", '{"id": 3}', case()]
    result = run("check", "--cases", "-", "--policy", "literal", "--json", data="\n".join(lines))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 2
    assert [answer.get("id") for answer in answers] == ["a", None, 3, "a"]
    assert [answer.get("crawl") for answer in answers] == ["disallow", None, None, "allow"]
    assert "line 2" in answers[1]["error"]
    assert answers[0]["signals"][0]["place"]["line"] == 2
    assert answers[0]["decisions"]["ai-train"] == {"effect": "deny", "reason": "robots.group.disallow"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "no-origin"}, "no-origin"),
        ({"robots": ""}, "unknown input key: robots"),
        ({"headers": "x"}, "headers"),
        ({"http_status": "ok"}, "http_status"),
        ({"user_agent": "Mozilla/5.0 (X)"}, "product token"),
        ({"html": 5}, "html"),
        ({"robots_txt_repeat": []}, "robots_txt_repeat"),
    ],
)
def test_a_case_with_a_fault_says_what_is_wrong(given, said):
    result = run("check", "--cases", "-", "--json", data=case(**given))
    answer = json.loads(result.stdout)
    assert result.returncode == 2
    assert answer["id"] == "a"
    assert said in answer["error"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["check"], "no URL given"),
        (["check", "--policy", "no-such", "https://example.com/"], "no-such"),
        (["check", "--cases", "/no/such/file"], "/no/such/file"),
        (["check", "--as", "two words", "https://example.com/"], "two words"),
        (["check", "https:///nohost"], "nohost"),
        (["protocols", "no-such"], "no such protocol"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(args, said):
    result = run(*args)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_live_check_reads_real_origins(capsys):
    with Origins() as origins:
        base = f"http://127.0.0.1:{origins.port}"
        origins.sites["127.0.0.1"] = origins.sites["newspaper.test"]
        assert main(["check", f"{base}/story-1", "--json", "--allow-private", "--as", "ExampleBot"]) == 1
        answer = json.loads(capsys.readouterr().out)
        assert answer["states"]["search"] == "permitted"
        assert answer["decisions"]["ai-train"]["effect"] == "deny"
        origins.sites["127.0.0.1"] = origins.sites["open.test"]
        assert main(["check", f"{base}/note-1", "--allow-private", "--explain"]) == 0
        assert "ai-train: yes (no-reservation); access is allowed" in capsys.readouterr().out


@pytest.fixture(scope="module")
def simulator():
    with Simulator() as running:
        yield running


def answer_of(url, capsys, *options) -> tuple[int, dict]:
    code = main(["check", url, "--allow-private", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_a_page_leads_is_decided_on_before_it_is_asked_for(status, simulator, capsys):
    site, closed = simulator.origin(), simulator.origin("User-agent: *\nDisallow: /private\n")
    secret = closed.page("/private/a")
    code, answer = answer_of(site.redirect("/moved", secret, status), capsys)
    assert (code, answer["crawl"], answer["redirects"]) == (1, "disallow", [secret])
    assert answer["decisions"]["ai-train"] == {"effect": "deny", "reason": "robots.group.disallow"}
    assert answer["signals"][0]["place"]["resource"] == f"{closed.url}/robots.txt"
    assert closed.asked("/private/a") == 0
    assert closed.asked("/robots.txt") == 1


def test_what_the_way_reserves_is_reserved_and_the_page_at_its_end_counts(simulator, capsys):
    first, last = simulator.origin(), simulator.origin()
    first.put("/.well-known/tdmrep.json", OriginAnswer(body=b'[{"location": "/old", "tdm-reservation": 1}]'))
    first.redirect("/old", last.page("/new"))
    first.redirect("/a", "/b")
    first.redirect("/b", last.page("/noai", '<meta name="robots" content="noai">'))
    assert answer_of(f"{first.url}/old", capsys)[1]["states"]["tdm"] == "reserved"
    code, answer = answer_of(f"{first.url}/a", capsys)
    assert (code, answer["states"]["ai-train"]) == (1, "reserved")
    assert first.asked("/robots.txt") == 2
    assert answer_of(first.redirect("/loop", "/loop"), capsys)[0] == 0
    assert answer_of(first.redirect("/nowhere", "http://127.0.0.1:99999/"), capsys)[0] == 0


def test_a_page_that_nobody_could_look_at_is_no_permission(simulator, capsys):
    site = simulator.origin()
    site.put("/drop", OriginAnswer(drop=True))
    site.put("/slow", OriginAnswer(hold=3))
    site.put("/coded", OriginAnswer(headers=(("Content-Encoding", "fold"),), body=b"page"))
    for path, options in (("/drop", ()), ("/slow", ("--timeout", "1")), ("/coded", ())):
        code, answer = answer_of(site.url + path, capsys, *options)
        assert (code, answer["coverage"]["resource"]) == (3, "unreachable")
        assert answer["decisions"]["ai-train"] == {"effect": "review", "reason": "coverage.unreachable:resource"}


def test_dot_segments_do_not_lead_round_a_rule(simulator, capsys):
    site = simulator.origin("User-agent: *\nDisallow: /private\n")
    site.page("/private/a")
    assert answer_of(f"{site.url}/x/%2e%2e/private/a", capsys)[0] == 1
    assert site.asked("/private/a") == 0


def test_a_refused_page_is_never_asked_for(capsys):
    with Origins() as origins:
        origins.sites["127.0.0.1"] = origins.sites["broken.test"]
        assert main(["check", f"http://127.0.0.1:{origins.port}/", "--allow-private", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["decisions"]["ai-train"]["reason"] == "robots.unreachable"
        assert ("127.0.0.1", "/") not in origins.requests


def test_private_addresses_are_refused_unless_allowed(capsys):
    with Origins() as origins:
        assert main(["check", f"http://127.0.0.1:{origins.port}/", "--json"]) == 1
        assert origins.requests == []
        assert json.loads(capsys.readouterr().out)["coverage"]["/robots.txt"] == "unreachable"


def test_the_registry_is_printed(capsys):
    assert main(["protocols", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"name", "specification", "edition", "status", "mode", "carriers"} <= set(rows[0])
    assert main(["protocols", "robots-exclusion"]) == 0
    assert "robots.unreachable" in capsys.readouterr().out


def test_the_answer_shows_the_offer_and_whom_to_ask(capsys):
    with Origins() as origins:
        origins.sites["127.0.0.1"] = origins.sites["publisher.test"]
        base = f"http://127.0.0.1:{origins.port}"
        origins.sites["127.0.0.1"].answers["/.well-known/tdmrep.json"] = Answer(
            json.dumps([{"location": "/", "tdm-reservation": 1, "tdm-policy": f"{base}/tdm.json"}]),
            content_type="application/json",
        )
        assert main(["check", f"{base}/papers/1", "--allow-private"]) == 1
        shown = capsys.readouterr().out
    assert "ai-train: no (tdmrep.file.reserved)" in shown
    assert "rights@publisher.test" in shown
