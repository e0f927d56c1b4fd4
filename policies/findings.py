"""The nouns of the gap analysis: an obligation, how it stands, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.document import Missing, Source


class Status(StrEnum):
    """How an obligation stands."""

    MET = "met"
    PARTLY = "partly"
    NOT_MET = "not met"
    NOT_EVIDENCED = "not evidenced"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One obligation; the fields are those of `requirements.toml`."""

    name: str
    title: str
    source: str
    control: str
    evidence: str
    mend: str
    claims: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    audits: bool = False
    records: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    crawling: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """An obligation with its status.

    Attributes:
        requirement: the obligation.
        status: how it stands.
        reasons: why, one line for each check.
        sources: where that can be seen.
        missing: the facts that are missing.
    """

    requirement: Requirement
    status: Status
    reasons: tuple[str, ...]
    sources: tuple[Source, ...]
    missing: tuple[Missing, ...]
