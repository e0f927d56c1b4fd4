"""Compare the table of AI agents with the list of ai.robots.txt: what is new there, and what is gone.

python tools/refresh_agents.py FEED [--table policies/agents.toml]

FEED is that project's robots.json, downloaded beforehand. Nothing is written: a class is a person's judgement. The exit
code is 0 where there is nothing to judge and 1 where there is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[1] / "policies" / "agents.toml"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the feed has that the table lacks, as token and description, and what only the table has."""

    unknown: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]


def token(name: str) -> str:
    """The product token of a name as the feed gives it: without a version, in lower case."""
    return name.split("/", maxsplit=1)[0].strip().lower()


def compare(table: Mapping[str, object], feed: Mapping[str, Mapping[str, object]]) -> Difference:
    """Find what has to be judged; what was looked at and left out is not new."""
    ours = {name.lower() for name, entry in table.items() if isinstance(entry, dict)}
    listed = table.get("left_out")
    left_out = {str(name).lower() for name in listed} if isinstance(listed, list) else set()
    theirs = {token(name) for name in feed}
    unknown = {
        token(name): (name, f"{entry.get('operator', '')}: {entry.get('function', '')}")
        for name, entry in feed.items()
        if token(name) not in ours and not {token(name), name.lower()} & left_out
    }
    return Difference(tuple(unknown[key] for key in sorted(unknown)), tuple(sorted(ours - theirs)))


def report(found: Difference) -> str:
    """The difference for people, one token a line."""
    new = [f"unknown  {name}  {' '.join(about.split())[:100]}" for name, about in found.unknown]
    gone = [f"removed  {name}  (only in the table)" for name in found.removed]
    return "\n".join([*new, *gone]) or "nothing to judge"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the table of AI agents with the list of ai.robots.txt.")
    parser.add_argument("feed", type=Path, metavar="FEED", help="robots.json of ai.robots.txt")
    parser.add_argument("--table", type=Path, default=TABLE, metavar="FILE")
    arguments = parser.parse_args(argv)
    try:
        table = tomllib.loads(arguments.table.read_text(encoding="utf-8"))
        feed = json.loads(arguments.feed.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"refresh_agents: {error}", file=sys.stderr)
        return 2
    if not isinstance(feed, dict) or not all(isinstance(entry, dict) for entry in feed.values()):
        print(f"refresh_agents: {arguments.feed}: not an object of objects; give robots.json", file=sys.stderr)
        return 2
    found = compare(table, feed)
    print(report(found))
    return 1 if found.unknown or found.removed else 0


if __name__ == "__main__":
    sys.exit(main())
