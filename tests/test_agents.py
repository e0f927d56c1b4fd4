"""The table of AI agents: complete, sourced, and comparable with the public list."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from policies_for_tests import shipped, variant

from optout import engine
from optout.identity import Identity
from optout.model import Effect, Exchange, Purpose, Scope, State
from optout.policy import AgentClass, parse_agents

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "policies" / "agents.toml"
FEED = ROOT.parent / "shared" / "corpus" / "agents" / "ai-robots-txt" / "robots.json"
RAW = tomllib.loads(TABLE.read_text(encoding="utf-8"))
ENTRIES = {token: entry for token, entry in RAW.items() if isinstance(entry, dict)}

# What the research found about each operator; the table may know more, never something else.
EXPECTED = {
    AgentClass.CONTROL_ONLY: "Google-Extended Applebot-Extended Webzio-Extended",
    AgentClass.TRAINING: "GPTBot ClaudeBot CCBot Bytespider meta-externalagent Amazonbot DeepSeekBot "
    "cohere-training-data-crawler AI2Bot PanguBot TikTokSpider SBIntuitionsBot ICC-Crawler FacebookBot img2dataset",
    AgentClass.SEARCH: "OAI-SearchBot Claude-SearchBot PerplexityBot Amzn-SearchBot DuckAssistBot YouBot "
    "AzureAI-SearchBot Applebot",
    AgentClass.USER: "ChatGPT-User Claude-User Perplexity-User MistralAI-User Meta-ExternalFetcher Amzn-User "
    "Google-Agent",
    AgentClass.DATA: "Diffbot omgili Timpibot FirecrawlAgent GoogleOther bedrockbot Google-CloudVertexBot",
    AgentClass.UNDOCUMENTED: "anthropic-ai Claude-Web cohere-ai",
}


def refresh():
    spec = importlib.util.spec_from_file_location("refresh_agents", ROOT / "tools" / "refresh_agents.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("agent_class", "tokens"), EXPECTED.items())
def test_the_known_crawlers_have_their_class(agent_class, tokens):
    agents = parse_agents(TABLE.read_bytes())
    assert {token: agents[token.lower()].agent_class for token in tokens.split()} == dict.fromkeys(
        tokens.split(), agent_class
    )


def test_the_table_is_dated_and_every_agent_has_operator_and_source():
    assert date.fromisoformat(RAW["edition"]) <= date(2026, 11, 23)
    assert len(ENTRIES) >= 60
    for token, entry in ENTRIES.items():
        assert entry["operator"], token
        assert entry["source"].startswith("https://"), token
        assert set(entry) <= {"operator", "class", "purposes", "source", "note"}, token


def test_tokens_differ_in_more_than_case_and_none_is_both_taken_and_left_out():
    tokens = [token.lower() for token in ENTRIES]
    assert len(tokens) == len(set(tokens))
    assert set(tokens).isdisjoint(name.lower() for name in RAW["left_out"])


def test_the_left_out_list_comes_before_the_tables_or_toml_would_give_it_to_one():
    assert all("left_out" not in entry and "edition" not in entry for entry in ENTRIES.values())


@pytest.mark.parametrize(
    ("token", "purposes"),
    [
        ("google-extended", {Purpose.AI_TRAIN, Purpose.AI_INPUT}),
        ("applebot-extended", {Purpose.AI_TRAIN}),
        ("webzio-extended", {Purpose.AI_TRAIN}),
        ("applebot", {Purpose.AI_TRAIN, Purpose.AI_INPUT, Purpose.SEARCH}),
        ("chatgpt-user", {Purpose.AI_INPUT}),
        ("oai-searchbot", {Purpose.AI_INPUT, Purpose.SEARCH}),
    ],
)
def test_what_refusing_a_token_reserves(token, purposes):
    assert parse_agents(TABLE.read_bytes())[token].purposes == purposes


@pytest.mark.parametrize("token", ["Google-Extended", "Applebot-Extended", "Webzio-Extended"])
def test_refusing_a_control_only_token_reserves_and_never_refuses_a_fetch(token):
    robots = Exchange(
        "https://example.com/robots.txt",
        "/robots.txt",
        status=200,
        body=f"User-agent: {token}\nDisallow: /\n".encode(),
    )
    policy = shipped("literal")
    verdict = engine.decide([robots], "https://example.com/a", policy, Identity(token))
    reserved = {purpose for purpose in Purpose if verdict.states[purpose] is State.RESERVED}
    assert reserved == policy.agents[token.lower()].purposes
    assert verdict.access is Effect.PERMIT


def test_rules_for_many_agents_are_reported_and_decide_only_where_the_policy_says_so():
    tokens = [token for token, entry in ENTRIES.items() if entry["class"] == "training"]
    body = "".join(f"User-agent: {token}\n" for token in tokens) + "Disallow: /\n"
    robots = Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body=body.encode())
    identity = Identity("UnnamedBot")
    shown = engine.decide([robots], "https://example.com/a", shipped("literal"), identity)
    assert shown.states[Purpose.AI_TRAIN] is State.UNSPECIFIED
    assert any(signal.scope is Scope.OTHER_AGENTS and "GPTBot" in signal.value for signal in shown.signals)
    strict = variant("literal", ('named_agents = "report"', 'named_agents = "reserve"'))
    verdict = engine.decide([robots], "https://example.com/a", strict, identity)
    assert verdict.states[Purpose.AI_TRAIN] is State.RESERVED


def test_the_feed_of_august_2026_holds_nothing_that_was_not_judged(capsys):
    if not FEED.exists():
        pytest.skip("the corpus with the feed is not here")
    assert refresh().main([str(FEED)]) == 0
    assert capsys.readouterr().out == "nothing to judge\n"


def test_refresh_tells_new_from_left_out_and_from_removed(tmp_path, capsys):
    table = tmp_path / "agents.toml"
    table.write_text('left_out = ["Code", "Two Words"]\n[GPTBot]\nclass = "training"\n[Gone-Bot]\nclass = "data"\n')
    feed = tmp_path / "robots.json"
    about = {"operator": "Somebody", "function": "AI Data\nScrapers"}
    names = ["gptbot", "GPTBot/1.2", "Code", "Two Words", "NewBot", "NewBot/2.0"]
    feed.write_text(json.dumps(dict.fromkeys(names, about)))
    assert refresh().main([str(feed), "--table", str(table)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "unknown  NewBot/2.0  Somebody: AI Data Scrapers",
        "removed  gone-bot  (only in the table)",
    ]


@pytest.mark.parametrize("text", ["[]", "{", '{"GPTBot": 1}'])
def test_refresh_refuses_what_is_no_feed(tmp_path, capsys, text):
    feed = tmp_path / "robots.json"
    feed.write_text(text)
    assert refresh().main([str(feed)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
