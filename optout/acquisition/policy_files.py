"""Finding policy files: those that ship with the product by name, a user's own by path."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from optout import policy as policies
from optout.errors import PolicyError

if TYPE_CHECKING:
    from datetime import date

    from optout.policy import Policy

DEFAULT = "eu-gpai"
_DATA_FILES = frozenset({"protocols", "agents", "requirements"})


def shipped() -> tuple[str, ...]:
    """The names of the policies that ship with the product."""
    found = (entry.name.removesuffix(".toml") for entry in files("policies").iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(name for name in found if name not in _DATA_FILES))


def texts(name: str) -> tuple[bytes, bytes, bytes]:
    """The policy, registry and agent texts that a name or path stands for.

    A registry or agent table beside a user's own policy file takes the place of the shipped one.

    Raises:
        PolicyError: no such policy, or it cannot be read.
    """
    if name in shipped():
        return _shipped(f"{name}.toml"), _shipped("protocols.toml"), _shipped("agents.toml")
    path = Path(name)
    try:
        return path.read_bytes(), _beside(path, "protocols.toml"), _beside(path, "agents.toml")
    except OSError as error:
        known = ", ".join(shipped())
        message = f"policy {name!r} cannot be read: {error.strerror or error}"
        raise PolicyError(message, mend=f"name one of {known}, or a readable TOML file") from error


def load(name: str = DEFAULT, *, as_of: date) -> Policy:
    """Load a policy by name or path, as it stands on a day.

    Raises:
        PolicyError: it cannot be read, or has a fault; names file, line and key.
    """
    return _parsed(name, *texts(name)).in_force(as_of)


@lru_cache(maxsize=16)
def _parsed(name: str, policy: bytes, registry: bytes, agents: bytes) -> Policy:
    """A policy by its texts, which a command reads several times and parses once."""
    return policies.parse(policy, registry, agents, source=name)


def _shipped(name: str) -> bytes:
    return files("policies").joinpath(name).read_bytes()


def _beside(path: Path, name: str) -> bytes:
    own = path.with_name(name)
    return own.read_bytes() if own.is_file() else _shipped(name)
