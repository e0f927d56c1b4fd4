"""Write docs/reference/robots-disputes.md: the robots.txt cases on which parsers disagree, and what ours answers.

python tools/robots_disputes.py [VECTORS]
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from optout.errors import MalformedUrl
from optout.syntax.robots_txt import parse, rule_for
from optout.urls import match_target

ROOT = Path(__file__).parents[1]
VECTORS = ROOT.parent / "shared" / "vectors" / "robots.jsonl"
PAGE = ROOT / "docs" / "reference" / "robots-disputes.md"

HEAD = """# robots.txt cases on which parsers disagree

Written by `tools/robots_disputes.py`. Each line is a case from the test suite of another parser for which a strict
reading of RFC 9309, Google's library and crawler-commons do not agree with each other or with that suite. Ours is the
strict reading, with these exceptions:

* A product token with a digit is honoured as it stands, because real crawlers have such tokens. What the alphabet of
  RFC 9309 section 2.2.1 leaves of it is honoured as well, so the answers are those of the strict reading.
* A string that is no absolute URL is refused before any rule is looked at.

What the strict reading ignores but an author plainly meant is not lost: it is reported as a problem and counts under
the wider readings that a policy can choose (`malformed-reservations`, `agent-lists`).

"""
COLUMNS = ("class", "source", "case", "agent", "URL", "suite", "RFC 9309", "Google", "crawler-commons", "ours")


def answer(case: Mapping[str, str]) -> str:
    body = base64.b64decode(case["body_b64"]) if case.get("body_b64") else case["body"].encode("utf-8", "surrogatepass")
    try:
        rule = rule_for(parse(body), case["agent"], match_target(case["url"]))
    except MalformedUrl:
        return "refused"
    return "allow" if rule is None or rule.allow else "disallow"


def cell(text: str) -> str:
    """A text of any kind as one cell of a table, in ASCII."""
    shown = ascii(text)[1:-1].replace("|", "\\|")
    return f"`{shown if len(shown) <= 60 else shown[:57] + '...'}`"


def lines(cases: list[dict[str, str]]) -> Iterator[str]:
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "| " + " | ".join("---" for _ in COLUMNS) + " |"
    for case in sorted(cases, key=lambda case: (case["class"], case["source"])):
        verdicts = case["verdicts"]
        readings = (verdicts[name] for name in ("rfc9309_strict", "google", "crawler_commons"))
        told = (cell(case["id"].rpartition("::")[2]), cell(case["agent"]), cell(case["url"]), case["expect"])
        yield "| " + " | ".join((case["class"], case["source"], *told, *readings, answer(case))) + " |"


def main(vectors: Path) -> None:
    cases = [json.loads(line) for line in vectors.read_text(encoding="utf-8").splitlines()]
    disputed = [case for case in cases if case.get("disputed") and case["expect"]]
    same = sum(answer(case) == case["verdicts"]["rfc9309_strict"] for case in disputed)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    told = f"{len(disputed)} cases; in {same} ours is the strict reading.\n\n"
    PAGE.write_text(HEAD + told + "\n".join(lines(disputed)) + "\n", encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {told.strip()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else VECTORS)
