"""Options that several commands share, and how a terminal is told things."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from optout.acquisition import policy_files
from optout.identity import Identity

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from optout.policy import Policy

DEFAULT_TOKEN = "OptOutBot"
MOST_DAYS = 36_525
"""A hundred years: what is longer is a slip, and what is negative would turn the meaning round."""

MOST_SECONDS = 86_400


def day(text: str) -> date:
    """A day as an argument.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text[:40]!r} is no day: write one as 2026-11-27") from None


def days(text: str) -> int:
    """A number of days as an argument.

    Raises:
        ArgumentTypeError: it is none, negative, or more than a hundred years.
    """
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= MOST_DAYS:
        return int(text)
    raise ArgumentTypeError(f"{text[:40]!r} is no number of days from 0 to {MOST_DAYS:,}")


def number(text: str) -> int:
    """A number of something as an argument: one or more, and no more than a database counts.

    Raises:
        ArgumentTypeError: it is none.
    """
    if text.isascii() and text.isdecimal() and len(text) < 19 and int(text):
        return int(text)
    raise ArgumentTypeError(f"{text[:40]!r} is no whole number from 1 on")


def seconds(text: str) -> float:
    """A length of time as an argument: more than nothing, because nothing would make every answer a late one.

    Raises:
        ArgumentTypeError: it is none.
    """
    if (found := _amount(text)) is not None and 0 < found <= MOST_SECONDS:
        return found
    raise ArgumentTypeError(f"{text[:40]!r} is no number of seconds above 0, up to {MOST_SECONDS:,}")


def hours(text: str) -> float:
    """An age as an argument; none is no age, too.

    Raises:
        ArgumentTypeError: it is none, negative, or more than a hundred years.
    """
    if (found := _amount(text)) is not None and 0 <= found <= MOST_DAYS * 24:
        return found
    raise ArgumentTypeError(f"{text[:40]!r} is no number of hours from 0 to {MOST_DAYS * 24:,}")


def _amount(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def add_policy(parser: ArgumentParser) -> None:
    """Add `--policy`."""
    names = ", ".join(policy_files.shipped())
    parser.add_argument(
        "--policy",
        metavar="NAME|FILE",
        default=policy_files.DEFAULT,
        help=f"policy to decide under: {names}, or a TOML file (default: %(default)s)",
    )


def add_identity(parser: ArgumentParser) -> None:
    """Add `--as`, `--user-agent` and `--contact`."""
    parser.add_argument(
        "--as", dest="token", metavar="TOKEN", default=DEFAULT_TOKEN, help="product token (default: %(default)s)"
    )
    parser.add_argument("--user-agent", metavar="TEXT", default="", help="full User-Agent header (default: the token)")
    parser.add_argument("--contact", metavar="MAIL", default="", help="address for the From header")


def add_output(parser: ArgumentParser) -> None:
    """Add `--json` and `--quiet`."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def policy(options: Namespace) -> Policy:
    """The policy that the options name, as it stands today."""
    return policy_files.load(options.policy, as_of=datetime.now(UTC).date())


def identity(options: Namespace) -> Identity:
    """The identity that the options name."""
    return Identity(options.token, options.user_agent, options.contact)


PIPE_WIDTH = 120
"""Columns of a table that is written to a file or pipe, which has no width of its own."""


def console() -> Console:
    """Where results for people go; plain text when stdout is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def error_console() -> Console:
    """Where progress and warnings go."""
    return Console(stderr=True, highlight=False)
