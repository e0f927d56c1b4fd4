"""The page about crawlers and its feed: made of what decided, so that it cannot say anything else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import desk_samples as desk
import pytest
from lxml import etree
from policies_for_tests import FOLDER, variant
from protego import Protego

from optout import engine
from optout.evidence.layout import find
from optout.identity import Identity
from optout.model import Effect, Exchange
from optout.policy import parse
from policies import facts as provider_facts
from policies.crawler_page import crawler_page
from policies.crawler_settings import changes, newest, settings
from policies.document import Bullets, Code, Fields, Paragraph, Table
from policies.evidence_facts import Observed
from policies.render import render

ATOM = "{http://www.w3.org/2005/Atom}"
STAND_FOR_THEMSELVES = ("Log: ", "Public key: ", "configurations: ", "In force since: ")
"""Names, keys and digests, which are no behaviour."""


def under(policy, **changed) -> Observed:
    """The demonstration's log as if another policy had been in force."""
    log = desk.log()
    return Observed((replace(log, policies=dict.fromkeys(log.policies, policy), **changed),))


def feed(facts, observed):
    return etree.fromstring(crawler_page(facts, observed).forms[".atom"])


def answers(document) -> dict[str, str]:
    return dict(document.tables["answers"].rows)


def later_log(policy, seconds: int = 60, header: str = "OptOutBot"):
    """A second log, after the first one, under another policy or with another header."""
    log = desk.log()
    moved = tuple(
        replace(row, begin=row.begin + timedelta(seconds=seconds), end=row.end + timedelta(seconds=seconds))
        for row in log.rows
    )
    identities = {key: {**said, "user_agent": header} for key, said in log.identities.items()}
    return replace(log, origin="second.example/log", rows=moved, policies=dict.fromkeys(log.policies, policy),
                   identities=identities)  # fmt: skip


@pytest.fixture(scope="module")
def page():
    return crawler_page(desk.provider(), desk.observed())


class TestPage:
    def test_with_all_facts_and_a_log_nothing_is_missing(self, page):
        assert page.missing == ()

    def test_without_a_log_the_page_says_what_is_missing_and_nothing_of_behaviour(self):
        document = crawler_page(provider_facts.parse(b""), Observed())
        assert {"--evidence", "provider.name", "contact.email"} <= {missing.fact for missing in document.missing}
        assert not [block for block in document.blocks if isinstance(block, Table | Code)]
        assert not document.forms

    def test_an_undeclared_crawler_is_asked_for(self):
        facts = desk.provider(('token = "OptOutBot"', 'token = "Other"'))
        assert any("OptOutBot" in missing.ask for missing in crawler_page(facts, desk.observed()).missing)

    def test_a_configuration_that_came_back_is_the_one_in_force(self):
        first, last = desk.log(), timedelta(days=2)
        back = replace(first, rows=tuple(replace(row, end=row.end + last) for row in first.rows))
        between = later_log(variant("literal"), 3600)
        assert {one.log.origin for one in newest(settings(Observed((back, between))))} == {first.origin}
        assert {one.log.origin for one in newest(settings(Observed((first, between))))} == {between.origin}

    @pytest.mark.parametrize("suffix", [".md", ".html", ".docx", ".json", ".csv", ".atom"])
    def test_the_same_log_gives_the_same_bytes(self, page, suffix):
        assert render(page, suffix) == render(crawler_page(desk.provider(), desk.observed()), suffix)

    def test_samples_do_what_their_captions_say(self, page):
        codes = [block for block in page.blocks if isinstance(block, Code)]
        assert len(codes) == 2
        policy = next(iter(desk.log().policies.values()))
        for code in codes:
            robots = Exchange("https://a.example/robots.txt", "/robots.txt", 200, body=code.text.encode())
            verdict = engine.decide([robots], "https://a.example/private/x", policy, Identity("OptOutBot"))
            assert verdict.access is Effect.DENY

    def test_no_sample_is_shown_where_robots_txt_is_not_enforced(self):
        texts = [FOLDER.joinpath(name).read_bytes() for name in ("eu-gpai.toml", "protocols.toml", "agents.toml")]
        texts[1] = texts[1].replace(b'[robots-exclusion]\nstatus = "mandated"\nmode = "enforce"',
                                    b'[robots-exclusion]\nstatus = "mandated"\nmode = "observe"')  # fmt: skip
        document = crawler_page(desk.provider(), under(parse(*texts)))
        assert not [block for block in document.blocks if isinstance(block, Code)]
        assert ("robots-exclusion", "observe") in [(row[1], row[3]) for row in document.tables["protocols"].rows]

    def test_hostile_facts_are_harmless(self):
        facts = desk.provider(
            ("Example AI GmbH", "<script>alert(1)</script>"), ("https://ai.example/bot", 'https://x/\\"><a>')
        )
        document = crawler_page(facts, desk.observed())
        assert b"<script" not in render(document, ".html")
        assert feed(facts, desk.observed()).find(f"{ATOM}author/{ATOM}name").text == "<script>alert(1)</script>"


class TestTruth:
    @pytest.mark.parametrize(
        ("old", "new", "situation"),
        [
            ('  "robots-unauthorised",\n', "", "robots.txt answers 401, 402 or 403"),
            ('  "robots-rate-limited",\n', "", "robots.txt answers 429"),
            ('  "robots-redirects",\n', "", "robots.txt redirects too often"),
            ('unreachable = "review"', 'unreachable = "deny"', "another signal file answers 500 or cannot be reached"),
        ],
    )
    def test_what_an_answer_leads_to_changes_with_the_policy(self, page, old, new, situation):
        other = answers(crawler_page(desk.provider(), under(variant("eu-gpai", (old, new)))))
        assert answers(page)[situation] != other[situation]

    @pytest.mark.parametrize("status", [401, 402, 403, 451])
    def test_a_refused_page_is_refused_only_while_that_is_enforced(self, page, status):
        situation = f"The page itself answers {status}"
        assert answers(page)[situation] == "refused"
        texts = [FOLDER.joinpath(name).read_bytes() for name in ("eu-gpai.toml", "protocols.toml", "agents.toml")]
        texts[1] = texts[1].replace(b'[http-access]\nstatus = "mandated"\nmode = "enforce"',
                                    b'[http-access]\nstatus = "mandated"\nmode = "off"')  # fmt: skip
        assert answers(crawler_page(desk.provider(), under(parse(*texts))))[situation] == "no reservation"

    @pytest.mark.parametrize(
        ("old", "new", "before", "after"),
        [
            ("max_age_hours = 24", "max_age_hours = 7", "24 hours", "7 hours"),
            ("robots_limit = 2_000_000", "robots_limit = 600_000", "2,000,000 bytes", "600,000 bytes"),
            ('purposes = ["ai-train"]', 'purposes = ["search"]', "Purposes: ai-train", "Purposes: search"),
            ('second_reader = "deny"', 'second_reader = "off"', "two independent readers", None),
            ('layers = "tighten"', 'layers = "supersede"', "most restrictive counts", None),
        ],
    )
    def test_a_sentence_changes_or_vanishes_with_its_setting(self, page, old, new, before, after):
        text = render(page, ".md").decode()
        other = render(crawler_page(desk.provider(), under(variant("eu-gpai", (old, new)))), ".md").decode()
        assert before in text
        assert before not in other
        assert after is None or after in other

    def test_the_name_is_that_of_the_log(self):
        log = desk.log()
        identities = {key: {"product_token": "LogBot", "user_agent": "LogBot/2"} for key in log.identities}
        seen = Observed((replace(log, identities=identities),))
        text = render(crawler_page(desk.provider(), seen), ".md").decode()
        assert "Product token, for robots.txt: LogBot" in text
        assert "LogBot/2" in text

    def test_everything_about_behaviour_points_to_policy_and_log(self, page):
        for table in (page.tables["answers"], page.tables["protocols"]):
            assert {"policy", "log"} <= {str(source.kind) for source in table.sources}


def registry(old: bytes, new: bytes):
    """The default policy under a registry with a part replaced."""
    texts = [FOLDER.joinpath(name).read_bytes() for name in ("eu-gpai.toml", "protocols.toml", "agents.toml")]
    assert old in texts[1], old
    texts[1] = texts[1].replace(old, new)
    return parse(*texts)


def modes(mode: bytes):
    """The default policy with every protocol in one mode."""
    text = FOLDER.joinpath("protocols.toml").read_bytes()
    rest = [FOLDER.joinpath(name).read_bytes() for name in ("eu-gpai.toml", "agents.toml")]
    return parse(rest[0], re.sub(rb'mode = "[a-z]+"', b'mode = "%b"' % mode, text), rest[1])


def other_worlds():
    """The demonstration under other policies, registries and identities, and with other things in its log."""
    for old, new in [
        ("max_age_hours = 24", "max_age_hours = 7"),
        ("robots_limit = 2_000_000", "robots_limit = 600_000"),
        ('purposes = ["ai-train"]', 'purposes = ["search"]'),
        ('second_reader = "deny"', 'second_reader = "off"'),
        ('layers = "tighten"', 'layers = "supersede"'),
        ('named_agents = "report"', 'named_agents = "ignore"'),
        ('prose = "advisory"', 'prose = "ignore"'),
        ('unspecified = "permit"', 'unspecified = "deny"'),
        ('unreachable = "review"', 'unreachable = "deny"'),
        ('  "robots-unauthorised",\n', ""),
        ('  "robots-rate-limited",\n', ""),
        ('  "robots-redirects",\n', ""),
    ]:
        yield under(variant("eu-gpai", (old, new)))
    for mode in (b"off", b"observe", b"enforce"):
        yield under(modes(mode))
    log = desk.log()
    identities = {key: {"product_token": "LogBot", "user_agent": "LogBot/2"} for key in log.identities}
    yield Observed((replace(log, identities=identities),))
    fewer = [row for row in log.rows if row.effect != "deny" and row.kind != "kept"]
    yield Observed((replace(log, rows=tuple(fewer)),))


def behaviours(document) -> set[str]:
    """Every sentence, field and line of a table that rests on the policy in force or on the log."""
    found: set[str] = set()
    for block in document.blocks:
        kinds = {str(source.kind) for source in getattr(block, "sources", ())}
        if isinstance(block, Bullets):
            found |= {item.text for item in block.items if {"policy", "log"} & {str(one.kind) for one in item.sources}}
        elif not kinds & {"policy", "log"}:
            continue
        elif isinstance(block, Paragraph):
            found.add(block.text)
        elif isinstance(block, Fields):
            found |= {f"{label}: {value}" for label, value in block.rows}
        elif isinstance(block, Table):
            found |= {f"{block.name}: {row}" for row in block.rows}
    return found


class TestCompleteness:
    def test_every_statement_about_behaviour_vanishes_in_some_other_world(self, page):
        """A sentence that is added and follows from nothing fails here; so does one that nothing was tried against."""
        constant = {one for one in behaviours(page) if one.startswith(STAND_FOR_THEMSELVES)}
        left = behaviours(page) - constant
        assert len(left) > 30
        for world in other_worlds():
            left -= left - behaviours(crawler_page(desk.provider(), world))
        assert not left

    def test_samples_are_read_by_other_peoples_readers_too(self, page):
        codes = [block for block in page.blocks if isinstance(block, Code)]
        for code in codes:
            reader = Protego.parse(code.text)
            assert not reader.can_fetch("https://a.example/private/work", "OptOutBot")
            assert reader.can_fetch("https://a.example/private/work", "OtherBot")

    def test_the_page_names_the_log_and_its_key(self, page):
        keys = (find(desk.crawl()).policy).read_text()
        named = [str(value) for block in page.blocks if isinstance(block, Fields) for label, value in block.rows
                 if label == "Public key"]  # fmt: skip
        assert named
        assert all(f"log {key}" in keys for key in named)


class TestFeed:
    @pytest.mark.parametrize(
        ("old", "new", "narrowing"),
        [
            ("max_age_hours = 24", "max_age_hours = 6", False),
            ("robots_limit = 2_000_000", "robots_limit = 600_000", True),
            ('second_reader = "deny"', 'second_reader = "off"', True),
            ('unreachable = "review"', 'unreachable = "deny"', False),
            ('unreachable = "review"', 'unreachable = "permit"', True),
            ('  "robots-unauthorised",\n', "", True),
        ],
    )
    def test_an_entry_that_narrows_opt_outs_says_so(self, old, new, narrowing):
        log = replace(desk.log(), policies=dict.fromkeys(desk.log().policies, variant("eu-gpai")))
        entry = feed(desk.provider(), Observed((log, later_log(variant("eu-gpai", (old, new)))))).find(f"{ATOM}entry")
        assert ("This narrows what opt-outs lead to" in entry.find(f"{ATOM}content").text) == narrowing

    def test_signals_that_may_be_older_are_a_narrowing(self):
        shorter = variant("eu-gpai", ("max_age_hours = 24", "max_age_hours = 6"))
        log = replace(desk.log(), policies=dict.fromkeys(desk.log().policies, shorter))
        entry = feed(desk.provider(), Observed((log, later_log(variant("eu-gpai"))))).find(f"{ATOM}entry")
        assert "This narrows what opt-outs lead to: hours" in entry.find(f"{ATOM}content").text

    def test_ids_and_times_keep_to_the_rules_of_atom(self):
        root = feed(desk.provider(), Observed((desk.log(), later_log(variant("eu-gpai")))))
        ids = [one.text for one in root.iter(f"{ATOM}id")]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"tag:[A-Za-z0-9.-]+,\d{4}(-\d\d(-\d\d)?)?:[0-9a-f]+", one) for one in ids)
        times = [datetime.fromisoformat(one.text) for one in root.iter(f"{ATOM}updated")]
        assert all(moment.tzinfo for moment in times)
        assert times[0] == max(times)
        assert [one.get("rel") for one in root.findall(f"{ATOM}link")].count("alternate") == 1

    def test_the_feed_is_atom(self):
        root = feed(desk.provider(), desk.observed())
        assert root.tag == f"{ATOM}feed"
        for name in ("id", "title", "updated", "author"):
            assert root.find(f"{ATOM}{name}") is not None
        for entry in root.findall(f"{ATOM}entry"):
            assert all(entry.find(f"{ATOM}{name}").text for name in ("id", "title", "updated", "content"))

    def test_a_change_of_the_policy_is_an_entry_with_its_difference(self):
        log = replace(
            desk.log(),
            policies=dict.fromkeys(
                desk.log().policies, variant("eu-gpai", ("max_age_hours = 24", "max_age_hours = 12"))
            ),
        )
        second = later_log(variant("eu-gpai", ("max_age_hours = 24", "max_age_hours = 6")))
        newest_entry, first = feed(desk.provider(), Observed((log, second))).findall(f"{ATOM}entry")
        content = newest_entry.find(f"{ATOM}content").text
        assert "hours that signals may be reused: 12 became 6" in content
        assert "In force from" in content
        assert newest_entry.find(f"{ATOM}id").text != first.find(f"{ATOM}id").text
        assert "1 settings changed" in newest_entry.find(f"{ATOM}title").text

    def test_a_change_of_the_name_is_an_entry(self):
        policy = variant("eu-gpai")
        log = replace(desk.log(), policies=dict.fromkeys(desk.log().policies, policy))
        entries = feed(desk.provider(), Observed((log, later_log(policy, header="OptOutBot/2")))).findall(
            f"{ATOM}entry"
        )
        assert "User-Agent: OptOutBot became OptOutBot/2" in entries[0].find(f"{ATOM}content").text

    def test_the_same_configuration_again_is_no_entry(self):
        policy = variant("eu-gpai")
        log = replace(desk.log(), policies=dict.fromkeys(desk.log().policies, policy))
        assert len(feed(desk.provider(), Observed((log, later_log(policy)))).findall(f"{ATOM}entry")) == 1

    def test_what_the_registry_announces_is_an_entry_of_its_own(self):
        texts = [FOLDER.joinpath(name).read_bytes() for name in ("eu-gpai.toml", "protocols.toml", "agents.toml")]
        texts[1] = texts[1].replace(b"[ai-txt]\n", b"[ai-txt]\nenforce_from = 2030-01-01\n").replace(
            b'enforce_from = 2030-01-01\nstatus = "vendor"\nmode = "enforce"',
            b'enforce_from = 2030-01-01\nstatus = "vendor"\nmode = "observe"')  # fmt: skip
        seen = under(parse(*texts))
        titles = [entry.find(f"{ATOM}title").text for entry in feed(desk.provider(), seen).findall(f"{ATOM}entry")]
        assert any("ai-txt will be enforced from 2030-01-01" in title for title in titles)
        assert (
            "From 2030-01-01 on, ai-txt will be enforced."
            in render(crawler_page(desk.provider(), seen), ".md").decode()
        )

    def test_the_newest_configuration_of_each_token_is_on_the_page(self):
        second = later_log(variant("eu-gpai", ("max_age_hours = 24", "max_age_hours = 6")))
        found = settings(Observed((second, desk.log())))
        (one,) = newest(found)
        assert one.policy.max_age_hours == 6

    def test_a_difference_names_what_came_and_what_went(self):
        assert [(one.key, one.before, one.after) for one in changes({"a": "1", "b": "2"}, {"a": "1", "c": "3"})] == [
            ("c", "", "3"), ("b", "2", ""),
        ]  # fmt: skip
