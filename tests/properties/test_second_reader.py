"""The second reader of robots.txt answers as Protego does, whatever it is spared, once dot segments are walked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from protego import Protego

from optout.model import Exchange
from optout.signals.robots_exclusion import ROLE, second_reader
from optout.urls import without_dot_segments

_PIECES = some.sampled_from(["/", "a", "b", "ab", "*", "$", "%61", "%2F", "?", "=", "é", ".", "//", "index.html", "#"])
_PATHS = some.lists(_PIECES, max_size=8).map("".join)
_RULES = some.lists(some.tuples(some.sampled_from(["Allow", "Disallow"]), _PATHS), max_size=8)


@given(_RULES, _PATHS, some.sampled_from(["https://example.org", "http://example.org:8080", "https://example.org/"]))
def test_the_second_reader_forbids_exactly_what_protego_forbids(
    rules: list[tuple[str, str]], path: str, origin: str
) -> None:
    text = "\n".join(["User-agent: *", *(f"{field}: {pattern}" for field, pattern in rules)])
    url = f"{origin}{path}"
    exchange = Exchange("https://example.org/robots.txt", ROLE, 200, body=text.encode())
    try:
        expected = not Protego.parse(text).can_fetch(without_dot_segments(url), "ExampleBot")
    except ValueError:
        expected = False
    assert second_reader(exchange, "ExampleBot")(url) is expected
