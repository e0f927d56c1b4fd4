"""The shipped policies, loaded once for tests."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

from optout.policy import Policy, parse

FOLDER = Path(__file__).parents[1] / "policies"
TODAY = date(2026, 11, 23)


@cache
def shipped(name: str) -> Policy:
    """A shipped policy as it stood on the day these tests were written for."""
    texts = [FOLDER.joinpath(file).read_bytes() for file in (f"{name}.toml", "protocols.toml", "agents.toml")]
    return parse(*texts, source=f"{name}.toml").in_force(TODAY)


def variant(name: str, *replacements: tuple[str, str]) -> Policy:
    """A shipped policy with parts of its text replaced; each part must be there."""
    text = FOLDER.joinpath(f"{name}.toml").read_text()
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    rest = [FOLDER.joinpath(file).read_bytes() for file in ("protocols.toml", "agents.toml")]
    return parse(text.encode(), *rest, source="variant.toml")
