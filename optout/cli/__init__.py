"""The command line: one module a command, imported only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from optout.cli.exit_codes import INTERRUPTED, USAGE
from optout.errors import OptoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    "check",
    "lint",
    "inspect",
    "crawl",
    "harvest",
    "audit",
    "lists",
    "evidence",
    "document",
    "complaint",
    "protocols",
    "demo",
    "serve",
)
"""In the order of use. A module of that name under `optout.cli` offers `add_parser(subparsers)`."""


def build_parser(commands: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with these commands in full."""
    parser = argparse.ArgumentParser(
        prog="optout",
        description="What has the rightsholder reserved, and what may we therefore do?",
        epilog="Exit codes: 0 done or permitted, 1 the answer is no, 2 wrong usage or unreadable input, "
        "3 cannot be decided.",
    )
    parser.add_argument("--version", action="version", version=f"optout {version('optout-toolkit')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands:
        import_module(f"optout.cli.{command}").add_parser(subparsers)
    return parser


def available() -> tuple[str, ...]:
    """The commands of this installation."""
    return tuple(command for command in COMMANDS if find_spec(f"optout.cli.{command}") is not None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = available()
    chosen = [command for command in commands if arguments[:1] == [command]]
    name = " ".join(["optout", *chosen])
    try:
        # What a command needs takes a second to load, and may be interrupted as well.
        options = build_parser(chosen or commands).parse_args(arguments)
        return int(options.run(options))
    except OptoutError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"{name}: interrupted; run it again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
