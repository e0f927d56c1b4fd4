"""Write the generated pages of docs/reference/: protocols, problems, the words of a policy, and the commands.

Run it after a change of any of these; a test compares the pages with what it would write.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from optout.acquisition import policy_files
from optout.cli import available, build_parser
from optout.cli.protocols import carrier_text
from optout.policy import HONOURED
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by tools/make_reference.py. -->\n"
EDITION = date(2026, 11, 23)
HELP_COLUMNS = "100"


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(columns)
    lines = [
        head,
        ["---"] * len(head),
        *[[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows],
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def protocols() -> str:
    """The registry of protocols under the default policy."""
    policy = policy_files.load(as_of=EDITION)
    rows = [
        (
            f"`{name}`",
            protocol.title,
            policy.registry[name].status if name in policy.registry else "not registered",
            policy.mode(name),
            ", ".join(carrier_text(carrier) for carrier in protocol.carriers),
            protocol.precedence,
            f"[{protocol.edition}]({protocol.specification})",
        )
        for name, protocol in PROTOCOLS.items()
    ]
    columns = (
        "name",
        "what it is",
        "legal status",
        "mode",
        "carriers",
        "of several statements counts",
        "specification",
    )
    return f"{NOTE}# Protocols\n\nUnder the default policy, `eu-gpai`.\n\n{_table(columns, rows)}"


def problems() -> str:
    """Every problem code with its explanation."""
    parts = [
        f"{NOTE}# Problems\n\nA stranger's mistake is data: a code and a place. It stops nothing and permits nothing.\n"
    ]
    for name, protocol in PROTOCOLS.items():
        if protocol.problems:
            rows = ((f"`{code}`", sentence) for code, sentence in sorted(protocol.problems.items()))
            parts.append(f"\n## {name}\n\n{_table(('code', 'meaning'), rows)}")
    return "".join(parts)


def policy() -> str:
    """The words under `honour`, and which shipped policy honours which."""
    shipped = {name: policy_files.load(name, as_of=EDITION) for name in policy_files.shipped()}
    rows = (
        (f"`{word}`", sentence, *("yes" if word in found.honour else "" for found in shipped.values()))
        for word, sentence in HONOURED.items()
    )
    columns = ("word", "what it does", *(f"`{name}`" for name in shipped))
    switches = (
        (f"`{key}`", *(str(value(found)) for found in shipped.values()))
        for key, value in {
            "layers": lambda found: found.layers,
            "second_reader": lambda found: found.second_reader,
            "named_agents": lambda found: found.named_agents,
            "unreachable": lambda found: found.unreachable,
            "not_consulted": lambda found: found.not_consulted,
            "unreadable": lambda found: found.unreadable,
            "unknown": lambda found: found.unknown,
            "robots_limit": lambda found: found.robots_limit,
            "max_age_hours": lambda found: found.max_age_hours,
            "nearest_capture_days": lambda found: found.nearest_capture_days,
        }.items()
    )
    return (
        f"{NOTE}# Policy files\n\nA verdict changes only through a policy file, and its digest is in every decision. "
        "The files in `policies/` explain each key where it stands.\n\n## Readings beyond the letter (`honour`)\n\n"
        f"{_table(columns, rows)}\n## The other switches\n\n{_table(('key', *columns[2:]), switches)}"
    )


def commands() -> str:
    """The help text of every command."""
    os.environ["COLUMNS"] = HELP_COLUMNS
    parts = [f"{NOTE}# Commands\n"]
    parser = build_parser(available())
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    for name, command in groups[0].choices.items():
        parts.append(f"\n## optout {name}\n\n```text\n{command.format_help()}```\n")
    return "".join(parts)


PAGES = {"protocols.md": protocols, "problems.md": problems, "policy.md": policy, "commands.md": commands}


def main() -> int:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        FOLDER.joinpath(name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
