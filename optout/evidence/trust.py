"""Whom to believe: a C2SP tlog-policy file with the log's keys, its witnesses, and how many of them it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optout.errors import EvidenceError
from optout.evidence.note import Algorithm, MalformedNote, VerifierKey, parse_verifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NONE = "none"
"""The quorum that asks for no cosignature."""

_COSIGNERS = (Algorithm.COSIGNATURE_ED25519, Algorithm.COSIGNATURE_ML_DSA_44)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: its key, and where it takes checkpoints."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses or groups of which at least so many have to have cosigned."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a policy file says."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE

    def satisfied(self, signers: Iterable[VerifierKey]) -> bool:
        """Whether cosignatures by these keys make up the quorum."""
        return self._has(self.quorum, frozenset(signers))

    def _has(self, name: str, signers: frozenset[VerifierKey]) -> bool:
        if name == NONE:
            return True
        if name in self.witnesses:
            return self.witnesses[name].key in signers
        group = self.groups[name]
        return sum(self._has(member, signers) for member in group.members) >= group.needed


def parse(data: bytes, source: str = "policy.txt") -> TrustPolicy:
    """Read a policy file.

    Raises:
        EvidenceError: it breaks the rules of the format; names the line.
    """
    reader = _Reader()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if words and not words[0].startswith("#"):
            try:
                reader.take(words)
            except (MalformedNote, ValueError, IndexError) as fault:
                raise EvidenceError(f"{source} cannot be used", place=f"line {number}", mend=str(fault)) from fault
    if reader.quorum is None:
        raise EvidenceError(f"{source} cannot be used", mend="add a quorum line, such as `quorum none`")
    return TrustPolicy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


def with_logs(data: bytes, keys: Sequence[VerifierKey]) -> bytes:
    """The policy file with these log keys; everything else stays as it was."""
    kept = [line for line in data.decode("utf-8", "surrogateescape").splitlines() if line.split()[:1] != ["log"]]
    if not any(line.split()[:1] == ["quorum"] for line in kept):
        kept.append("quorum none")
    return "\n".join([*(f"log {key.text}" for key in keys), *kept, ""]).encode("utf-8", "surrogateescape")


class _Reader:
    """Collects the lines of a policy file."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", key, *rest] if len(rest) <= 1:
                self._log(parse_verifier(key))
            case ["witness", name, key, *rest] if len(rest) <= 1:
                self._witness(name, parse_verifier(key), rest[0] if rest else None)
            case ["group", name, needed, *members] if members:
                self._group(name, needed, members)
            case ["quorum", name] if self.quorum is None:
                self.quorum = self._known(name) if name != NONE else name
            case _:
                raise ValueError("this is not a log, witness, group or quorum line")

    def _log(self, key: VerifierKey) -> None:
        if any(key.public == other.public for other in self.logs):
            raise ValueError("this key stands here twice")
        self.logs.append(key)

    def _witness(self, name: str, key: VerifierKey, url: str | None) -> None:
        if key.algorithm not in _COSIGNERS:
            raise ValueError("a witness has a cosignature key")
        if any(key.public == other.key.public for other in self.witnesses.values()):
            raise ValueError("this key stands here twice")
        self.witnesses[self._fresh(name)] = Witness(key, url)

    def _group(self, name: str, needed: str, members: list[str]) -> None:
        count = {"all": len(members), "any": 1}.get(needed)
        count = int(needed) if count is None else count
        if not 1 <= count <= len(members):
            raise ValueError("a group needs between one and all of its members")
        for member in members:
            if self._known(member) in self._members:
                raise ValueError(f"{member} is a member twice")
            self._members.add(member)
        self.groups[self._fresh(name)] = Group(count, tuple(members))

    def _fresh(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError(f"the name {name} is taken")
        return name

    def _known(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError(f"{name} is not defined before this line")
        return name
