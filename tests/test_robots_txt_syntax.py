"""How a robots.txt is cut: lines, groups, agents, faults, precedence; and that no body of any kind raises."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.syntax import robots_lines
from optout.syntax.robots_txt import (
    DEFAULT_LIMIT,
    PROBLEMS,
    Rules,
    parse,
    product_token,
    rule_for,
    rules_for,
    select,
)
from optout.urls import match_target
from tools.robots_differences import PEERS, Question, differences

CASES = [
    (entry["source"], entry["body"], agent, url, want)
    for line in (Path(__file__).parent / "vectors" / "robots_rfc9309.jsonl").read_text("utf-8").splitlines()
    for entry in [json.loads(line)]
    for agent, url, want, *_ in entry["cases"]
]


def file_of(*lines, end="\n"):
    return parse("".join(line + end for line in lines).encode())


def allowed(file, token, path="/"):
    rule = rule_for(file, token, path)
    return rule is None or rule.allow


def codes(file):
    return {fault.code for fault in file.faults}


def intended(file):
    return [record.value for group in file.groups for record in group.intended]


@pytest.mark.parametrize(("source", "body", "agent", "url", "want"), CASES)
def test_vector(source, body, agent, url, want):
    file = parse(body.encode("utf-8", "surrogatepass"))
    assert allowed(file, agent, match_target(url)) == (want == "allow")


# Lines and bytes.


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_line_ends(end):
    file = file_of("User-agent: *", "", "Disallow: /a", end=end)
    assert [(record.field, record.value, record.line) for record in file.records] == [
        ("user-agent", "*", 1),
        ("disallow", "/a", 3),
    ]


@pytest.mark.parametrize("char", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_other_line_breaks_end_no_line(char):
    assert allowed(file_of("User-agent: *", f"# note{char}Disallow: /"), "x")
    assert not allowed(file_of("User-agent: *", f"Disallow: /a{char}b"), "x", match_target(f"https://a.b/a{char}b"))


@pytest.mark.parametrize("lead", [b"", b"\xef\xbb\xbf", "ï»¿".encode(), "# ü\r\n".encode(), b"# \xe9\r"])
def test_every_record_is_found_at_its_offset(lead):
    body = lead + "Usér: x\r\nUser-agent: *\rDisallow: /ü\n\n Allow : /b # c\n".encode() + b"Disallow: /\xe9\n"
    file = parse(body)
    for record in file.records:
        line = body[record.offset :].splitlines()[0]
        assert record.raw.isascii() or line.decode(errors="replace") == record.raw
        assert body[: record.offset].count(b"\n") <= record.line - 1 == len(body[: record.offset].splitlines())
    assert [record.field for record in file.records][1:] == ["user-agent", "disallow", "allow", "disallow"]
    assert [record.value for record in file.records][1:] == ["*", "/ü", "/b", "/%E9"]


def test_undecodable_bytes_match_the_octets_they_are():
    file = parse(b"User-agent: *\nDisallow: /caf\xe9\n")
    assert not allowed(file, "x", match_target("https://example.com/caf%e9"))
    assert codes(file) == {"undecodable-bytes"}
    assert file.records[1].value == "/caf%E9"


@pytest.mark.parametrize(
    ("mark", "code"),
    [(b"\xef\xbb\xbf", "bom"), ("ï»¿".encode(), "bom-latin1"), ("\u200d".encode(), "invisible-characters")],
)
def test_a_mark_before_the_first_line_hides_nothing(mark, code):
    file = parse(mark + b"User-agent: *\nDisallow: /\n")
    assert not allowed(file, "x")
    assert codes(file) == {code}


def test_a_mark_before_a_comment_is_no_line_without_a_colon():
    assert codes(parse(b"\xef\xbb\xbf# hello\nUser-agent: *\nDisallow: /\n")) == {"bom"}


def test_a_mark_inside_a_file_hides_nothing():
    assert not allowed(parse("User-agent: a\nAllow: /\n\ufeffUser-agent: b\nDisallow:\xa0/\n".encode()), "b")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("Disallow:/a", "disallow", "/a"),
        ("  DISALLOW \t:\t /a  ", "disallow", "/a"),
        ("disallow: /a # note", "disallow", "/a"),
        ("disallow: /a#note", "disallow", "/a"),
        ("Disallow:", "disallow", ""),
        ("Disallow: /a:b", "disallow", "/a:b"),
        ("Sitemap: https://example.com/s.xml", "sitemap", "https://example.com/s.xml"),
        ("Disallow: /a\0\0", "disallow", "/a"),
    ],
)
def test_a_line_is_field_and_value(line, field, value):
    record = file_of("User-agent: *", line).records[1]
    assert (record.field, record.value, record.raw) == (field, value, line)


# Size.


def padding(size):
    return b"#" * (size - 1) + b"\n"


def test_a_file_of_the_limit_is_read_whole():
    tail = b"User-agent: *\nDisallow: /"
    file = parse(padding(DEFAULT_LIMIT - len(tail)) + tail)
    assert not allowed(file, "x")
    assert not file.truncated


def test_a_line_that_the_limit_cuts_is_dropped_and_told():
    head = b"User-agent: *\nAllow: /a\n"
    file = parse(head + b"Disallow: /a/secret\n", len(head) + 12)
    assert allowed(file, "x", "/a/secret")
    assert file.truncated
    assert "truncated" in codes(file)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_that_ends_at_the_limit_is_whole(end):
    head = b"User-agent: *" + end + b"Disallow: /"
    assert not allowed(parse(head + end + b"Allow: /", len(head)), "x")
    assert not allowed(parse(head + end + b"Allow: /", len(head) + len(end)), "x")


def test_a_limit_without_a_line_end_leaves_nothing():
    assert parse(b"User-agent: *", 5).records == ()


def test_a_larger_limit_reads_more():
    body = b"User-agent: *\n" + padding(DEFAULT_LIMIT) + b"Disallow: /\n"
    assert allowed(parse(body), "x")
    assert not allowed(parse(body, 2 * DEFAULT_LIMIT), "x")


# Groups.


@pytest.mark.parametrize(
    "between",
    [
        "",
        "# note",
        "Crawl-delay: 5",
        "Content-Usage: train-ai=n",
        "Sitemap: /s",
        "Unknown: x",
        "no colon",
        "Dissallow: /",
    ],
)
def test_nothing_but_a_rule_ends_a_run_of_agents(between):
    file = file_of("User-agent: a", between, "User-agent: b", "Disallow: /")
    assert len(file.groups) == 1
    assert not allowed(file, "a")
    assert not allowed(file, "b")


@pytest.mark.parametrize("rule", ["Disallow:", "Allow: /x", "Disallow: nonsense"])
def test_a_rule_ends_a_run_of_agents(rule):
    file = file_of("User-agent: a", rule, "User-agent: b", "Disallow: /")
    assert len(file.groups) == 2
    assert allowed(file, "a")


def test_other_records_stay_in_their_group_and_in_order():
    file = file_of("License: /0", "User-agent: a", "Content-Usage: x=n", "User-agent: b", "Allow: /", "Crawl-delay: 1")
    assert [record.field for record in file.groups[0].others] == ["content-usage", "crawl-delay"]
    assert [(record.field, record.group) for record in file.records if record.field == "license"] == [("license", None)]
    assert [agent.line for agent in file.groups[0].agents] == [2, 4]
    assert {record.group for record in file.records[1:]} == {0}


def test_groups_of_one_token_are_merged_and_do_not_inherit():
    file = file_of(
        *("User-agent: *", "Disallow: /all", "User-agent: Bot", "Disallow: /x"),
        *("User-agent: other", "Disallow: /y", "User-agent: BOT", "Disallow: /z"),
    )
    assert [allowed(file, "bot", path) for path in ("/x", "/y", "/z", "/all")] == [False, True, False, True]
    assert [allowed(file, "else", path) for path in ("/x", "/y", "/z", "/all")] == [True, True, True, False]
    assert len(select(file, "Bot/1.0")) == 2


def test_a_named_group_without_rules_allows_everything():
    assert allowed(file_of("User-agent: *", "Disallow: /", "User-agent: Bot"), "Bot")


def test_a_file_without_groups_governs_nobody():
    assert select(parse(b""), "Bot") == ()
    assert select(parse(b"User-agent: a\nDisallow: /"), "*") == ()


def test_rules_before_an_agent_are_kept_apart():
    file = file_of("Disallow: /a", "User-agent: *", "Disallow: /b")
    assert allowed(file, "x", "/a")
    assert [record.value for record in file.orphans] == ["/a"]
    assert codes(file) == {"rule-before-agent"}


# Agents.


@pytest.mark.parametrize(
    ("value", "tokens", "after", "listed", "code"),
    [
        ("GPTBot", ("gptbot",), "", (), None),
        ("*", ("*",), "", (), None),
        ("AI2Bot", ("ai2bot", "ai"), "", (), None),
        ("360Spider", ("360spider",), "", (), None),
        ("meta-externalagent/1.1", ("meta-externalagent",), "/1.1", (), "agent-with-version"),
        ("CCBot/2.0 (http://a.example/faq/)", ("ccbot",), "/2.0 (http://a.example/faq/)", (), "agent-with-version"),
        ("Moz/5 (x; Foo/1.0)", ("moz",), "/5 (x; Foo/1.0)", ("moz", "foo"), "agent-with-version"),
        ("Foo Bar", ("foo",), "Bar", ("foo", "bar"), "agent-with-spaces"),
        ("GPTBot, CCBot", ("gptbot",), ", CCBot", ("gptbot", "ccbot"), "agent-list"),
        ("one | two bot |one", ("one",), "| two bot |one", ("one", "two", "bot"), "agent-list"),
        ("* all", ("*",), "all", ("*", "all"), "agent-with-spaces"),
        ("*Bot", (), "*Bot", ("bot",), "agent-unusable"),
        ('"GPTBot"', (), '"GPTBot"', ("gptbot",), "agent-unusable"),
        ("", (), "", (), "agent-empty"),
        ("*<BR>", (), "*<BR>", ("*",), "agent-unusable"),
    ],
)
def test_agent_line(value, tokens, after, listed, code):
    file = file_of(f"User-agent: {value}", "Disallow: /")
    agent = file.groups[0].agents[0]
    assert (agent.value, agent.tokens, agent.after, agent.listed) == (value, tokens, after, listed)
    assert codes(file) == ({code} if code else set())
    assert agent.token == (tokens[0] if tokens else "")


def test_a_token_is_compared_whole():
    file = file_of("User-agent: GPT", "Disallow: /", "User-agent: Google", "Disallow: /")
    assert allowed(file, "GPTBot")
    assert allowed(file, "Google-Extended")


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("GPTBot", "gptbot"),
        ("Foo Bar", "foo"),
        ("a_b-c9/1", "a_b-c9"),
        ("*", "*"),
        ("* x", "*"),
        ("*x", ""),
        ("", ""),
        (".", ""),
    ],
)
def test_product_token(text, token):
    assert product_token(text) == token


# Precedence.


@pytest.mark.parametrize(
    ("rules", "path", "want"),
    [
        (["Allow: /docs", "Disallow: /docs/private"], "/docs/private/x", False),
        (["Disallow: /docs", "Allow: /docs"], "/docs", True),
        (["Disallow: /a*", "Allow: /a"], "/ab", False),
        (["Disallow: /*.html", "Allow: /p"], "/page.html", False),
        (["Disallow: /ツ", "Allow: /%E3%83%84"], "/%E3%83%84", True),
        (["Allow: /a$", "Disallow: /a"], "/a", True),
        (["Allow: /a$", "Disallow: /a"], "/ab", False),
        (["Disallow:"], "/", True),
        (["Disallow: /"], "/robots.txt", True),
        (["Disallow: /"], "/robots.txt?x", False),
    ],
)
def test_precedence(rules, path, want):
    assert allowed(file_of("User-agent: *", *rules), "x", path) is want


def test_the_deciding_rule_is_given_with_its_place():
    rule = rule_for(parse(b"User-agent: *\nDisallow: /a\nDisallow: /a/b\n"), "x", "/a/b/c")
    assert (rule.line, rule.offset, rule.value, rule.allow) == (3, 27, "/a/b", False)


def test_one_file_is_cut_once():
    body = b"User-agent: *\nDisallow: /only-once\n"
    assert parse(body) is parse(bytes(bytearray(body)))
    assert rules_for(parse(body), "x") is rules_for(parse(body), "x")


# What is wrong with a file, and what was meant.


@pytest.mark.parametrize(
    ("line", "code", "meant"),
    [
        ("Disallow: private/", "no-leading-slash", ["/private/"]),
        ("Disallow: ?q=", "no-leading-slash", ["*?q="]),
        ("Disallow: https://a.example/b?c", "full-url-rule", ["/b?c"]),
        ("Disallow: https://a.example", "full-url-rule", ["/"]),
        ("Disallow: /a<b>", "unescaped-octets", ["/a%3Cb%3E"]),
        ("Disallow: /a\xa0\u200b", "invisible-characters", ["/a"]),
        ("Disllow: /best", "misspelt-field", ["/best"]),
        ("Disallwo: /best", "misspelt-field", ["/best"]),
        ("Disalow: /best", "misspelt-field", ["/best"]),
        ("Disaalow: /best", "misspelt-field", ["/best"]),
        ("Disallow /best", "no-colon", ["/best"]),
        ("Disallow=/best", "no-colon", ["/best"]),
        ("Disallow:: /best", "no-leading-slash", ["/best"]),
        ('Disallow: "/best"', "no-leading-slash", ["/best"]),
        ("Disallow: Disallow: /best", "no-leading-slash", ["/best"]),
        ("echo Disallow: /best", "misspelt-field", ["/best"]),
        ("User agent: x", "misspelt-field", []),
        ("er-agent: x", "misspelt-field", []),
        ("=Sitemap: x", "misspelt-field", []),
        ("Allow: private/", "no-leading-slash", []),
        ("Allow: /a<b>", "unescaped-octets", []),
        ("Disallow: /a#b", "hash-in-path", []),
        ("Whatever: /", "unknown-field", []),
        ("Disallowed paths are listed below: /", "unknown-field", []),
        ("hello", "no-colon", []),
    ],
)
def test_fault(line, code, meant):
    file = file_of("User-agent: *", "", line)
    assert [(fault.code, fault.line, fault.offset) for fault in file.faults] == [(code, 3, 15)]
    assert intended(file) == meant
    for record in file.groups[0].intended:
        assert (record.field, record.line, record.offset, record.raw, record.group) == ("disallow", 3, 15, line, 0)


@pytest.mark.parametrize("line", ["Useragent: x", "User agent: x", "er-agent: x", "User-agent x", "User-agent = x"])
def test_a_misspelt_agent_line_keeps_whom_it_meant_and_the_rules_behind_it(line):
    file = file_of(
        "User-agent: *", "Allow: /", "", line, "Disallow: /a", "Allow: /a/b", "User-agent: y", "Disallow: /c"
    )
    assert [(group.tokens, [rule.value for rule in group.rules]) for group in file.meant] == [({"x"}, ["/a", "/a/b"])]
    assert not allowed(file, "x", "/a"), "by the letter the rule belongs to the group above"


def test_misspelt_and_true_agent_lines_in_one_run_share_what_follows():
    file = file_of("Useragent: x", "User-agent: y", "Useragent: z", "Disallow: /a", "Useragent: v", "Disallow: /b")
    assert [(group.tokens, [rule.value for rule in group.rules]) for group in file.meant] == [
        ({"x", "z"}, ["/a"]),
        ({"v"}, ["/b"]),
    ]
    assert allowed(file, "x", "/a")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_a_file_in_utf_16_holds_groups_that_were_meant(codec, mark):
    text = "# caf\xe9 \U0001f600\r\nUser-agent: *\nDisallow: /a\n"
    body = (mark + text).encode(codec)
    file = parse(body)
    rule = file.meant[-1].rules[0]
    assert (file.groups, file.meant[-1].tokens, rule.value) == ((), {"*"}, "/a")
    assert body[rule.offset :].decode(codec) == "Disallow: /a\n"


@pytest.mark.parametrize(
    ("between", "told"),
    [
        (["Crawl-delay: 1"], True),
        (["Content-Usage: train-ai=n", ""], True),
        (["Crawl-delay: 1", "Sitemap: /s"], True),
        (["", "# another", "Sitemap: /s"], False),
        (["Disallow:"], False),
    ],
)
def test_a_group_that_some_readers_take_for_two_is_told(between, told):
    file = file_of("User-agent: x", *between, "User-agent: y", "Disallow: /")
    at = [fault.line for fault in file.faults if fault.code == "joined-group"]
    assert at == ([len(between) + 2] if told else [])
    assert len(file.groups) == (2 if "Disallow:" in between else 1)


def test_what_was_meant_never_decides_by_the_letter():
    file = file_of("User-agent: *", "Disallow: private", "Disllow: /", "Disallow /")
    assert allowed(file, "x", "/private")
    assert not Rules(file.groups[0].intended).first("/private").allow


@pytest.mark.parametrize("field", sorted(robots_lines.KNOWN_FIELDS - {"user-agent", "allow", "disallow"}))
def test_known_extensions_are_no_fault(field):
    assert not file_of("User-agent: *", f"{field}: x", "Disallow: /a").faults


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!DOCTYPE html><html><p>color: red; Disallow</p>", "html-body"),
        (b"\xef\xbb\xbf\n <HTML><head>\nx: y", "html-body"),
        (b"<!-- random --><html lang=en>", "html-body"),
        (b"<h1>Not found</h1>", "html-body"),
        (b'{"error": "not found"}', "json-body"),
        (b"[]", "json-body"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "binary-body"),
        (b"Sorry, page: not found" + b"\0" * 5000, "binary-body"),
        ("User-agent: *\nDisallow: /".encode("utf-16"), "utf16-body"),
        ("User-agent: *\nDisallow: /".encode("utf-16-be"), "utf16-body"),
        (b"Forbidden", "text-body"),
        (b"error: not found\nrequest: 12", "text-body"),
    ],
)
def test_another_kind_of_body_is_told_and_holds_no_groups(body, code):
    file = parse(body)
    assert file.faults[0].code == code
    assert file.groups == ()


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# nothing here\n", b"Sitemap: /s.xml", b"\xef\xbb\xbf# note"])
def test_a_file_that_says_nothing_is_not_another_kind(body):
    assert not {code for code in codes(parse(body)) if code.endswith("-body")}


def test_lines_inside_a_page_that_are_records_count():
    file = file_of("<html><body><pre>", "User-agent: *", "Disallow: /", "</pre></body></html>")
    assert not allowed(file, "x")
    assert "html-body" in codes(file)


def test_faults_are_bounded_and_documented():
    file = parse(b"nonsense\nuser-agent: \nfoo: bar\n" * 1000)
    assert Counter(fault.code for fault in file.faults) == dict.fromkeys(
        ("no-colon", "agent-empty", "unknown-field", "joined-group"), robots_lines.FAULTS_PER_CODE
    )
    assert codes(file) <= set(PROBLEMS)


# Thirty kinds of oddity that real files have, with invented names.


ODDITIES = {
    1: (["User-agent: lurk Disallow: /", "User-agent: b Disallow: /", "Allow: /"], "rule-on-agent-line", ["/", "/"]),
    2: (["User-agent: * Disallow: /adm/ Allow: /adm/a Sitemap: https://a.example/s"], "rule-on-agent-line", ["/adm/"]),
    3: (["User-agent: * Allow: /"], "rule-on-agent-line", []),
    4: (["User-agent:", "LurkBot Disallow: /"], "misspelt-field", ["/"]),
    5: (["# all\\r\\nUser-agent: *\\r\\nDisallow: /"], None, []),
    9: (["User-agent: Lurk‑Fetcher", "Disallow: /"], "agent-with-spaces", []),
    10: (["User-agent: Lurker’s helper agent.", "Disallow: /"], "agent-with-spaces", []),
    11: (["User-agent: LurkBot/2.0 (+https://a.example/bot)", "Disallow: /"], "agent-with-version", []),
    12: (['User-agent: compatible; "LurkBot/1.0; +lurk\\@a.example"', "Disallow: /"], "agent-list", []),
    13: (["User-agent: lurk | lurk bot | lurker", "Disallow: /"], "agent-list", []),
    18: (["User-agent: *", "User-agency: LurkBot", "Dis?action=out"], "no-colon", []),
    19: (["-en User-agent: *", "Disallow: /a"], "misspelt-field", []),
    20: (["User-agent: *", '"sitemap:http://a.example/s.xml"'], "misspelt-field", []),
    21: (["User-agent: *", "Disallow:", "/a"], "no-colon", []),
    22: (["User-agent: LURK [NC,OR]", "User-agent: x09Lurk", "Disallow: /"], "agent-with-spaces", []),
    23: (["--2020-01-01--  http://a.example/", "Saving to: 'robots.txt'"], "text-body", []),
    25: (["Too Many Requests"], "text-body", []),
    26: (["<!-- kept by a plug-in -->", "User-agent: *", "Disallow: /a"], "no-colon", []),
    27: (["User-agent: *", "Disallow: /[a-z]+/x", "Disallow: */?x=$*", "Disallow: /**/"], None, []),
    28: (["User-agent: *", "Disallow: /a b", "Disallow: /contraseÃ±a", "Disallow: /t#u"], "hash-in-path", []),
    29: (["User-agent: *", "Disallow : /x", "Crawl-delay: 01-08", "Visiting-hours: 1-2"], "unknown-field", []),
    30: (["User-agent: *", "DisallowAITraining: /   # ours", "Content-Usage: ai=n  # x"], None, []),
}  # fmt: skip


@pytest.mark.parametrize("number", ODDITIES)
def test_oddity(number):
    lines, code, meant = ODDITIES[number]
    file = file_of(*lines)
    assert (code in codes(file)) if code else not file.faults
    assert intended(file) == meant


def test_oddity_answers():
    """What the oddities above mean by the letter, where it is not that the file says nothing."""
    files = {number: file_of(*lines) for number, (lines, _, _) in ODDITIES.items()}
    assert allowed(files[1], "lurk", "/x")
    assert allowed(files[2], "x", "/adm/")
    assert [record.value for record in files[19].orphans] == ["/a"]
    assert not allowed(files[11], "LurkBot")
    assert files[9].groups[0].agents[0].listed == ("lurk-fetcher",)
    assert files[12].groups[0].agents[0].listed == ("compatible", "lurkbot", "lurk")
    assert files[13].groups[0].agents[0].tokens == ("lurk",)
    assert allowed(files[21], "x", "/a")
    assert not allowed(files[27], "x", match_target("https://a.example/[a-z]+/x"))
    assert not allowed(files[27], "x", match_target("https://a.example/b/?x=$c"))
    assert not allowed(files[28], "x", match_target("https://a.example/a%20b"))
    assert not allowed(files[28], "x", match_target("https://a.example/tv"))
    assert allowed(files[30], "x")
    assert [record.value for record in files[30].groups[0].others] == ["/", "ai=n"]


def test_one_agent_in_two_groups_of_which_one_has_only_a_delay():
    file = file_of("User-agent: *", "Disallow: /", "User-agent: *", "Crawl-delay: 9", "User-agent: Lurk", "Allow: /")
    assert not allowed(file, "x", "/a") or len(file.groups) == 2
    assert file.groups[1].names("*")
    assert file.groups[1].names("lurk")


@pytest.mark.parametrize("near", ["Lurk", "LurkBots", "Lurk_Bot", "lurkbot.com", "OpenLurkBot"])
def test_near_misses_of_a_token_are_other_tokens(near):
    file = file_of(f"User-agent: {near}", "Disallow: /")
    assert allowed(file, "LurkBot") == (near != "lurkbot.com")


# Everything at once.


@given(st.binary(max_size=300))
def test_no_bytes_raise(body):
    file = parse(body)
    assert codes(file) <= set(PROBLEMS)
    assert sum(len(group.rules) for group in file.groups) <= body.count(b":")


PIECES = [
    "User-agent: ",
    "Disallow: ",
    "Allow: ",
    "*",
    "GPTBot",
    "/a",
    "/",
    "$",
    "#",
    ":",
    " ",
    "\n",
    "\r",
    "\x85",
    "é",
    "\0",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_records_and_groups_agree(text):
    file = parse(text.encode())
    inside = [record for group in file.groups for record in (*group.rules, *group.others)]
    outside = [record for record in file.records if record.group is None]
    agents = sum(len(group.agents) for group in file.groups)
    assert len(inside) + len(outside) + agents == len(file.records)
    assert [record.line for record in file.records] == sorted(record.line for record in file.records)
    for record in file.records:
        assert text.encode()[record.offset :].decode(errors="replace").startswith(record.raw)


@given(st.lists(st.sampled_from([*PIECES, "crawl-delay: 1\n", "%61", "?x"]), max_size=40).map("".join))
def test_the_table_and_a_plain_scan_choose_the_same_rule(text):
    file = parse(text.encode())
    rules = [record for group in select(file, "GPTBot") for record in group.rules if record.pattern]
    for target in ("/", "/a", "/a/a?x", "/aa"):
        matching = [record for record in rules if record.pattern.matches(target)]
        best = min(matching, key=lambda record: (-record.pattern.octets, not record.allow, record.line), default=None)
        assert rule_for(file, "GPTBot", target) == best


def corpus(shared):
    table = pytest.importorskip("pyarrow.parquet")
    path = shared / "corpus" / "robots" / "robots.parquet"
    if not path.is_file():
        pytest.skip(f"no corpus: {path} does not exist")
    return table.read_table(path, columns=["body"])["body"].to_pylist()


def test_no_real_body_raises(shared):
    for body in islice(corpus(shared), 0, None, 4):
        file = parse(body, 10_000_000)
        for record in islice(file.records, 0, None, 50):
            assert body[record.offset :].lstrip()[:1] != b""


def unexplained(bodies):
    found = (difference for body in bodies for difference in differences(body.decode("utf-8", "replace")))
    return [(each.peer, each.question.token, each.question.url, each.ours) for each in found if not each.classes]


def test_differences_from_other_readers_are_explained(shared):
    assert unexplained(islice(corpus(shared), 0, None, 31)) == []


@pytest.mark.slow
def test_all_differences_from_other_readers_are_explained(shared):
    assert unexplained(corpus(shared)) == []


def test_an_unexplained_difference_would_be_told(monkeypatch):
    monkeypatch.setitem(PEERS, "contrary", lambda question: question.url.endswith("/a/b.html?c=d"))
    told = [each for each in differences("User-agent: *\nDisallow: /\n") if each.peer == "contrary"]
    assert told
    assert all(each.classes == () for each in told)
    assert isinstance(told[0].question, Question)
