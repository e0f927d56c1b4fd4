"""The pattern language of RFC 9309 sections 2.2.2 and 2.2.3, case by case."""

import pytest

from optout.syntax.patterns import NO_MATCH, Pattern, PatternTable, normalise, specificity_order
from optout.urls import match_target

SITE = "https://example.com"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/"),
        ("/temp", "/tempfiles/a"),
        ("/temp/", "/temp/"),
        ("*", "/anything"),
        ("*.gif$", "/img/x.gif"),
        ("/*.gif", "/x.gif?size=2"),
        ("/*?sessionid=", "/list?sessionid=9"),
        ("/a*b*c$", "/a/bb/b/c"),
        ("/a*b", "/ab"),
        ("/**b", "/ab"),
        ("/a*$", "/a/b"),
        ("/a*a$", "/aa"),
        ("/?", "?x=1"),
        ("//", "//double"),
        ("/a$b", "/a$b"),
        ("/a$$", "/a$"),
        ("/foo-%24", "/foo-$"),
        ("/foo-%24$", "/foo-$"),
        ("/a-%2A.html", "/a-*.html"),
        ("/a-%2a.html", "/a-%2A.html"),
        ("/%62%61%7A", "/baz"),
        ("/baz", "/%62az"),
        ("/~joe", "/%7Ejoe"),
        ("/ツ", "/%e3%83%84"),
        ("/%E3%83%84", "/ツ"),
        ("/Test Page", "/Test%20Page"),
        ("/100%", "/100%"),
        ("/100%", "/100%25"),
        ("/%zz", "/%zz"),
        ("/caf%E9", "/caf%e9"),
    ],
)
def test_matches(pattern, path):
    assert Pattern(pattern).matches(match_target(SITE + path))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/temp/", "/temp"),
        ("/Temp", "/temp"),
        ("/x.gif$", "/x.gif?size=2"),
        ("/a*b$", "/abc"),
        ("/aba*ba$", "/aba"),
        ("/a%2Fb", "/a/b"),
        ("/a/b", "/a%2Fb"),
        ("/a-%2A.html", "/a-b.html"),
        ("/foo-%24", "/foo-"),
        ("/a%3Cd", "/a<d"),
        ("private", "/private"),
        ("/?", ""),
        ("$", "/"),
        ("/a#b", "/a"),
        ("/a//b", "/a/b"),
        ("/%2562", "/b"),
    ],
)
def test_does_not_match(pattern, path):
    assert not Pattern(pattern).matches(match_target(SITE + path))


def test_an_empty_pattern_is_a_prefix_of_everything():
    assert Pattern("").matches("/")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("/a", "/a"),
        ("/a***b", "/a*b"),
        ("/a$b$", "/a%24b$"),
        ("$", "$"),
        ("/%7e%2f%zz%", "/~%2F%25zz%25"),
        ("/a\tb\x7f", "/a%09b%7F"),
        ("/é", "/%C3%A9"),
        ("/\ud800", "/%ED%A0%80"),
        ("/\udce9", "/%E9"),
    ],
)
def test_normal_form(text, normal):
    assert normalise(text) == normal == Pattern(text).normal


@pytest.mark.parametrize(
    ("text", "octets"),
    [("/", 1), ("/a*", 3), ("/a**", 4), ("/a$", 3), ("/a$b", 4), ("/%62%61%7A", 4), ("/ツ", 10), ("/%2F", 4), ("", 0)],
)
def test_octets_are_those_of_the_normalised_rule(text, octets):
    assert Pattern(text).octets == octets


def test_a_pattern_is_a_value():
    assert Pattern("/a") == Pattern("/a")
    assert hash(Pattern("/a")) == hash(Pattern("/a"))
    with pytest.raises(AttributeError):
        Pattern("/a").text = "/b"


def test_most_octets_come_first_then_the_preferred_rank_then_the_file():
    patterns = [Pattern(text) for text in ("/aa", "/", "/bb", "/cc", "/long")]
    assert specificity_order(patterns, [1, 0, 0, 1, 1]) == [4, 2, 0, 3, 1]


def test_a_table_knows_no_precedence_but_the_order_it_was_given():
    assert PatternTable([Pattern("/"), Pattern("/a/b")]).first("/a/b") == 0
    assert PatternTable([Pattern("/a/b"), Pattern("/")]).first("/a/b") == 0
    assert PatternTable([Pattern("/a/b"), Pattern("/")]).first("/a") == 1


def test_a_table_finds_a_shorter_prefix_behind_longer_ones_that_fail():
    table = PatternTable([Pattern(text) for text in ("/a/b/c", "/a/b/d", "/a/b", "/a", "/b")])
    assert [table.first(target) for target in ("/a/b/cc", "/a/b/cb", "/a/c", "/b", "/c")] == [0, 0, 3, 4, NO_MATCH]
    assert table.first("/a/b/bz") == 2


@pytest.mark.parametrize("kind", ["/exact$", "/pre", "*.php", "/*.gif$", "/a*b*c"])
def test_the_first_of_equal_patterns_wins(kind):
    target = {"/exact$": "/exact", "/pre": "/prefix", "*.php": "/x.php", "/*.gif$": "/x.gif", "/a*b*c": "/abcd"}[kind]
    assert PatternTable([Pattern("/none"), Pattern(kind), Pattern(kind)]).first(target) == 1


def test_an_empty_table_matches_nothing():
    assert PatternTable([]).first("/") == NO_MATCH


def test_a_wildcard_behind_a_better_prefix_is_not_asked_for():
    table = PatternTable([Pattern("/a"), Pattern("/*a")])
    assert table.first("/a") == 0
    assert table.first("/ba") == 1


def test_hostile_patterns_end():
    stars = PatternTable([Pattern("/" + "*a" * 1000 + "b")])
    assert stars.first("/" + "a" * 8000) == NO_MATCH
    assert stars.first("/" + "a" * 8000 + "b") == 0
    nested = PatternTable([Pattern("/" + "a" * length) for length in range(1000)])
    assert nested.first("/" + "a" * 500 + "b") == 0


def test_many_wildcards_are_filed_once_it_pays_and_answer_the_same():
    patterns = [Pattern(f"/*word-{number}/") for number in range(100)] + [Pattern("/*?a"), Pattern("/*word")]
    table = PatternTable(patterns)
    targets = ["/a/word-7/", "/a/word-99/x", "/b?a", "/word", "/none"]
    answers = [[table.first(target) for target in targets] for _ in range(20)]
    assert answers == [[7, 99, 100, 101, NO_MATCH]] * 20
    assert table._buckets[0]._by_gram
