"""The second reader need not be asked where it is proved that it adds nothing, and only there."""

import pytest
from policies_for_tests import shipped

from optout import engine
from optout.audit.second import doubts_about, reads_alike, their_readings
from optout.identity import Identity
from optout.model import Exchange


def doubts(robots):
    exchanges = (Exchange("https://example.com/robots.txt", "/robots.txt", 200, (), robots.encode()),)
    compiled = engine.compile(exchanges, shipped("eu-gpai"), Identity("ExampleBot"))
    return doubts_about(their_readings(exchanges, "ExampleBot"), compiled.ranked)


@pytest.mark.parametrize("robots", ["", "User-agent: *\nDisallow:\n", "User-agent: Other\nDisallow: /\n"])
def test_a_file_without_refusals_for_us_is_never_asked_about(robots):
    assert doubts(robots).never


@pytest.mark.parametrize(
    "rules",
    [
        "Disallow: /a\nAllow: /a/b",
        "Disallow: /*?q=\nDisallow: /x$",
        "Disallow: /caf%C3%A9",
        "Disallow: no-slash",
        "Disallow: /",
    ],
)
def test_ordinary_rules_leave_no_doubt(rules):
    found = doubts(f"User-agent: *\n{rules}\n")
    assert not found.patterns


@pytest.mark.parametrize(
    ("rules", "target"),
    [
        ("Disallow: /a%3Fb", "/a?b"),  # Protego reads the escape, we keep it.
        ("Disallow: /*3F", "/a?b"),  # The run stands inside an escape of Protego's.
        ("Disallow: /?abc\nAllow: /*abc*", "/?abc"),  # A question mark weighs three with Protego.
        ("Disallow: http://example.com/a", "/http://example.com/a"),
        ("Disallow: /*%", "/a%20b"),  # The sign of percent stands in every escape of Protego's.
    ],
)
def test_what_protego_may_forbid_alone_is_doubted(rules, target):
    found = doubts(f"User-agent: *\n{rules}\n")
    assert any(pattern.matches(target) for pattern in found.patterns), found


@pytest.mark.parametrize(
    ("target", "alike"),
    [
        ("/a?b=c", True),
        ("/a%20b", True),
        ("/%C3%A9", True),
        ("/%3F", False),
        ("/%E9", False),
        ("/%24", False),
        ("/%25", False),
    ],
)
def test_escapes_that_protego_reads_differently_are_told(target, alike):
    assert reads_alike(target, f"https://example.com{target}") is alike
