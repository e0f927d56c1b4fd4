"""Origins, match targets, domains and references, ordinary and hostile."""

import pytest

from optout import urls
from optout.errors import MalformedUrl
from optout.urls import (
    MAX_URL_LENGTH,
    Origin,
    match_target,
    origin_of,
    registrable_domain,
    resolve,
    without_dot_segments,
)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/a?b#c", "https://example.com"),
        ("HTTPS://EXAMPLE.COM:443/", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("https://example.com:/", "https://example.com"),
        ("https://example.com:08443/", "https://example.com:8443"),
        ("ftp://files.example.com:21/a", "ftp://files.example.com"),
        ("https://user:secret@example.com/", "https://example.com"),
        ("https://a@b@example.com/", "https://example.com"),
        ("https://example.com./", "https://example.com"),
        ("https://example.com?x", "https://example.com"),
        ("https://example.com#x", "https://example.com"),
        ("https://under_score.example.com/", "https://under_score.example.com"),
        ("https://localhost:8080/", "https://localhost:8080"),
        ("https://192.0.2.1/", "https://192.0.2.1"),
        ("https://[2001:DB8:0:0::1]:8443/x", "https://[2001:db8::1]:8443"),
        ("  https://example.com/\n", "https://example.com"),
        ("ht\ntps://exam\tple.com/", "https://example.com"),
        ("\x00https://example.com/\x1f", "https://example.com"),
        ("https://www.münich.com/", "https://www.xn--mnich-kva.com"),
        ("https://www.m%C3%BCnich.com/", "https://www.xn--mnich-kva.com"),
        ("https://XN--MNICH-KVA.com/", "https://xn--mnich-kva.com"),
        ("https://straße.example/", "https://xn--strae-oqa.example"),
        ("https://example。com/", "https://example.com"),
        ("https://i❤.example/", "https://xn--i-7iq.example"),
        ("https://日本.example。/", "https://xn--wgv71a.example"),
    ],
)
def test_origin(url, origin):
    assert origin_of(url).text == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "example.com/a",
        "//example.com/a",
        "/a",
        "https:/example.com",
        "https:example.com",
        "https://",
        "https:///a",
        "https://?x",
        "https://.",
        "https://a..b/",
        "https://.example.com/",
        "https://example.com:99999/",
        "https://example.com:8a/",
        "https://example.com:²/",
        "https://exa mple.com/",
        "https://exa\x07mple.com/",
        "https://exa<mple.com/",
        "https://example.com\\@evil.example/",
        "https://example.com\\path",
        "https://[2001:db8::1/",
        "https://[::1%25eth0]/",
        "https://[v1.x]/",
        "https://[::1]x/",
        "https://%00.example/",
        "https://\udc80.example/",
        "https://" + "a." * 127 + "example/",
        "https://example.com/" + "a" * MAX_URL_LENGTH,
        "mailto:someone@example.com",
        "data:text/plain,https://example.com/",
        "javascript:alert(1)",
    ],
)
def test_no_origin(url):
    with pytest.raises(MalformedUrl) as raised:
        origin_of(url)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_an_origin_is_a_value():
    assert origin_of("https://EXAMPLE.com:443/a") == Origin("https", "example.com")
    assert len({origin_of("http://a.example/"), origin_of("http://A.example:80/b")}) == 1


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", "/"),
        ("https://example.com/", "/"),
        ("https://example.com?x=1", "/?x=1"),
        ("https://example.com#top", "/"),
        ("https://example.com/a#b?c", "/a"),
        ("https://example.com/a?b#c", "/a?b"),
        ("https://example.com/a?", "/a?"),
        ("https://example.com//a//", "//a//"),
        ("https://example.com/a/../b/./c", "/b/c"),
        ("https://example.com/A;p=1?q=/x?y", "/A;p=1?q=/x?y"),
        ("https://example.com/%7ejoe/%2f%3A", "/~joe/%2F%3A"),
        ("https://example.com/a b", "/a%20b"),
        ("https://example.com/a\tb\nc", "/abc"),
        ("https://example.com/a\x01b\x7f", "/a%01b%7F"),
        (" https://example.com/a ", "/a"),
        ("https://example.com/ツ?ö", "/%E3%83%84?%C3%B6"),
        ("https://example.com/*$", "/%2A%24"),
        ("https://example.com/100%", "/100%25"),
        ("https://example.com/a\\b", "/a\\b"),
        ("https://example.com/\udce9", "/%E9"),
        ("https://example.com/\ud800", "/%ED%A0%80"),
        ("https://user@example.com:8443/a", "/a"),
        ("https://[::1]/a", "/a"),
    ],
)
def test_target(url, target):
    assert match_target(url) == target


@pytest.mark.parametrize("url", ["", "/a", "//example.com/a", "example.com", "*wildcard", "https:/a", "x" * 70_000])
def test_no_target(url):
    with pytest.raises(MalformedUrl):
        match_target(url)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.com", "example.com"),
        ("com", "com"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("xn--mnich-kva.com", "xn--mnich-kva.com"),
        ("", ""),
    ],
)
def test_domain(host, domain):
    assert registrable_domain(host) == domain


def test_domains_come_from_the_bundled_list_without_network_or_files(monkeypatch):
    urls._extractor.cache_clear()
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a domain was looked up on the network"))
    monkeypatch.setattr("os.makedirs", lambda *_, **__: pytest.fail("a cache was written"))
    assert registrable_domain("a.example.org") == "example.org"


@pytest.mark.parametrize(
    ("base", "reference", "url"),
    [
        ("https://example.com/a/b", "c", "https://example.com/a/c"),
        ("https://example.com/a/b", "/c?d", "https://example.com/c?d"),
        ("https://example.com/a/b", "../../../c", "https://example.com/c"),
        ("https://example.com/a/b", "?c", "https://example.com/a/b?c"),
        ("https://example.com/a/b", "", "https://example.com/a/b"),
        ("https://example.com/a", "//other.example/x", "https://other.example/x"),
        ("https://example.com/a", " https://other.example/x\n", "https://other.example/x"),
    ],
)
def test_resolve(base, reference, url):
    assert resolve(base, reference) == url


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://example.com/a/../b", "https://example.com/b"),
        ("https://example.com/a/%2e%2E/b?c=/../d#/./e", "https://example.com/b?c=/../d#/./e"),
        ("https://example.com/../../a/./b/.", "https://example.com/a/b/"),
        ("https://example.com/a/b/..", "https://example.com/a/"),
        ("https://example.com/a//../b", "https://example.com/a/b"),
        ("https://example.com/..", "https://example.com/"),
        ("https://example.com/.well-known/..a/...", "https://example.com/.well-known/..a/..."),
        ("https://example.com?/../a", "https://example.com?/../a"),
        ("mailto:a/../b", "mailto:a/../b"),
    ],
)
def test_dot_segments_are_walked(url, asked):
    assert without_dot_segments(url) == asked


@pytest.mark.parametrize(
    ("base", "reference"),
    [
        ("https://example.com/", "mailto:someone@example.com"),
        ("https://example.com/", "https://[broken"),
        ("not a base", "c"),
        ("https://example.com/", "a" * MAX_URL_LENGTH),
    ],
)
def test_resolves_to_nothing(base, reference):
    with pytest.raises(MalformedUrl):
        resolve(base, reference)
