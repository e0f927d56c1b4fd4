"""Where our reading of a robots.txt differs from that of Protego and of Google's matcher, and why.

A difference is explained by experiment, not by opinion: something that one of the readers is known to read in its own
way is taken out of the file, the URL or both, and everybody is asked again. The difference belongs to the first class,
or the first few classes together, whose removal makes the answers equal. What nothing explains is a bug in somebody.

Use: python tools/robots_differences.py PARQUET [LIMIT]
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from protego import Protego

from optout.errors import MalformedUrl
from optout.syntax.robots_agents import product_token
from optout.syntax.robots_txt import AGENT, ALLOW, DISALLOW, parse, rule_for
from optout.urls import match_target, without_dot_segments

try:
    from jwm.robotstxt.googlebot import RobotsMatcher
except ImportError:
    # There is no wheel for newer Pythons; Protego remains.
    RobotsMatcher = None

TOKENS = ("ExampleTrainBot", "GPTBot", "CCBot", "Google-Extended")
PATHS = ("/", "/index.html", "/a/b.html?c=d")
WHOLE = 10_000_000

_LINE = re.compile("([^\r\n]*)(\r\n|\r|\n|$)")
_OTHER_BREAKS = re.compile("[\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_ESCAPE = re.compile("%(?=[0-9A-Fa-f]{2})")

_MARKS = "\ufeff\u200b\u200c\u200d\u2060\xa0"


class Question(NamedTuple):
    """May a crawler fetch a URL, by this file?"""

    body: str
    token: str
    url: str


class Difference(NamedTuple):
    """An answer that is not ours: who gave it, to what, and the classes that explain it (none: nothing does)."""

    peer: str
    question: Question
    ours: bool
    classes: tuple[str, ...]


def ours(question: Question) -> bool:
    rule = rule_for(parse(question.body.encode(), WHOLE), question.token, match_target(question.url))
    return rule is None or rule.allow


@lru_cache(maxsize=1)
def _protego(body: str) -> Protego:
    return Protego.parse(body)


def protego(question: Question) -> bool:
    return _protego(question.body).can_fetch(question.url, question.token)


def google(question: Question) -> bool:
    return bool(RobotsMatcher().OneAgentAllowedByRobots(question.body, question.token, question.url))


PEERS: dict[str, Callable[[Question], bool]] = {"protego": protego} | ({"google": google} if RobotsMatcher else {})


def _each_line(body: str, change: Callable[[str], str]) -> str:
    return "".join(change(line) + end for line, end in _LINE.findall(body))


def _value(line: str) -> tuple[str, str]:
    field, _, value = line.partition("#")[0].partition(":")
    return field.strip().lower(), value.strip()


def _without_marks(question: Question) -> Question:
    body = question.body.removeprefix("\xef\xbb\xbf")
    return question._replace(body=_each_line(body, lambda line: line.lstrip(_MARKS)))


def _without_other_breaks(question: Question) -> Question:
    return question._replace(body=_OTHER_BREAKS.sub("_", question.body))


def _only_known_fields(question: Question) -> Question:
    return question._replace(
        body=_each_line(question.body, lambda line: line if _value(line)[0] in (AGENT, ALLOW, DISALLOW) else "")
    )


def _exact_tokens(question: Question) -> Question:
    def exact(line: str) -> str:
        field, value = _value(line)
        if field != AGENT:
            return line
        token = product_token(value)
        return f"{AGENT}: {token if token in (question.token.lower(), '*') else 'somebody-else'}"

    return question._replace(body=_each_line(question.body, exact))


def _without_escapes(question: Question) -> Question:
    def plain(text: str) -> str:
        return "".join(char if char.isascii() else "_" for char in _ESCAPE.sub("_", text))

    return question._replace(body=plain(question.body), url=plain(question.url))


def _without_dot_segments(question: Question) -> Question:
    return question._replace(url=without_dot_segments(question.url))


def _without_index(question: Question) -> Question:
    return question._replace(body=question.body.replace("/index.htm", "/andex.htm"))


def _without_long_lines(question: Question) -> Question:
    return question._replace(body=_each_line(question.body, lambda line: line[:2000]))


def _only_paths(question: Question) -> Question:
    def path(line: str) -> str:
        field, value = _value(line)
        return line if field not in (ALLOW, DISALLOW) or value[:1] in ("/", "*", "") else f"{field}:"

    return question._replace(body=_each_line(question.body, path))


def _another_path(question: Question) -> Question:
    parts = urlsplit(question.url)
    return (
        question._replace(url=parts._replace(path="/other.txt").geturl()) if parts.path == "/robots.txt" else question
    )


DIFFERENCE_CLASSES: Mapping[str, Callable[[Question], Question]] = {
    # Google's library leaves /robots.txt itself to its caller.
    "robots.txt itself": _another_path,
    # A byte order mark, once or twice decoded, or another invisible character in front hides a field from the peer.
    "marks": _without_marks,
    # Protego also ends lines at six characters that RFC 9309 does not name.
    "line breaks": _without_other_breaks,
    # Google's library cuts lines at 16 KiB.
    "long lines": _without_long_lines,
    # Both also read misspelt fields and lines without a colon, Google any field that begins with a known name. In
    # Protego every record but Sitemap and Host ends a run of User-agent lines.
    "fields": _only_known_fields,
    # Protego compares the whole value of a User-agent line, and by prefix. Google's alphabet has no digits.
    "tokens": _exact_tokens,
    # A rule with neither a slash nor a wildcard in front matches nothing for us.
    "no path": _only_paths,
    # Google decodes no escapes and expects URLs without non-ASCII; Protego's normal form is another than ours.
    "escapes": _without_escapes,
    # They are given URLs as they stand, and leave dot segments to whoever asks.
    "dot segments": _without_dot_segments,
    # Both read an Allow of /index.html as one of its folder as well.
    "index": _without_index,
}
"""By name: what is read in another way, and the experiment that takes it out."""


def explain(question: Question, peer: Callable[[Question], bool]) -> tuple[str, ...]:
    """The classes whose removal makes ours and a peer's answers equal; one alone if one suffices."""
    for name, remove in DIFFERENCE_CLASSES.items():
        if ours(changed := remove(question)) == peer(changed):
            return (name,)
    together: list[str] = []
    for name, remove in DIFFERENCE_CLASSES.items():
        changed = remove(question)
        together += [name] if changed != question else []
        question = changed
        if ours(question) == peer(question):
            return tuple(together)
    return ()


def questions(body: str, paths: int = 5) -> Iterator[Question]:
    """Ask about a few tokens, fixed paths, and paths made from the rules of the file itself."""
    own = islice(
        (
            value.replace("*", "x").removesuffix("$")
            for line, _ in _LINE.findall(body)
            for field, value in [_value(line)]
            if field in (ALLOW, DISALLOW) and value.startswith(("/", "*"))
        ),
        0,
        None,
        7,
    )
    made = [path if path.startswith("/") else "/" + path for path in islice(own, paths)]
    for path in (*PATHS, *made):
        for token in TOKENS:
            yield Question(body, token, "https://example.com" + path)


def differences(body: str) -> Iterator[Difference]:
    """Every answer about a file that is not ours."""
    for question in questions(body):
        try:
            answer = ours(question)
        except MalformedUrl:
            continue
        for name, peer in PEERS.items():
            if peer(question) != answer:
                yield Difference(name, question, answer, explain(question, peer))


def main(path: str, limit: int = sys.maxsize) -> int:
    from pyarrow.parquet import read_table  # noqa: PLC0415

    found: Counter[tuple[str, str, str]] = Counter()
    files: Counter[tuple[str, str, str]] = Counter()
    unexplained = 0
    for body in islice(read_table(path, columns=["body"])["body"].to_pylist(), limit):
        seen = set()
        for difference in differences(body.decode("utf-8", "replace")):
            name = " + ".join(difference.classes) or "UNEXPLAINED"
            key = (difference.peer, name, "ours allows" if difference.ours else "ours forbids")
            found[key] += 1
            seen.add(key)
            if not difference.classes:
                unexplained += 1
                print(ascii((difference.peer, difference.ours, difference.question.token, difference.question.url)))
                print("   ", ascii(difference.question.body[:300]))
        files.update(seen)
    for key, count in sorted(found.items()):
        print(f"{' | '.join(key)} | {count} answers | {files[key]} files")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:3])))
