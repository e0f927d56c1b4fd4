"""What a row of the log says: one decision about one URL, with everything that it rests on.

A row is a flat JSON object in the canonical profile. Its fields stand in this one file. A field that is not known
here is kept all the same, so that rows can grow.

| field | meaning |
|---|---|
| `v`, `kind` | the version of this form (1), and `decision` |
| `node`, `seq` | who wrote the row, and its number there, without gaps; the journal fills them in |
| `t` | when it was decided, in microseconds since 1970 UTC |
| `host` | the host in SURT form, such as `org,example)/`, by which segments are sorted |
| `url` | the URL. A sealed row commits to it by `url_c` = SHA-256(salt ‖ URL), so it can be withheld or erased |
| `stage` | what was asked: `request` before the fetch, `page` after it, `audit` for a row of a dataset |
| `agent` | the product token that the decision was made for |
| `purpose` | what the copy would be used for; several are joined by a space |
| `effect`, `reason` | `permit`, `deny` or `review`, and the reason code |
| `access`, `decisions` | whether the agent may fetch; effect and reason for each purpose |
| `signals` | the decisive signals: protocol, purpose, state, scope, strength, place, value |
| `coverage` | carrier → what became of looking at it |
| `exchanges` | SHA-256 of the list of exchanges that it rests on; the list itself is in the archive |
| `identity`, `policy`, `registry` | SHA-256 of the documents in force, which the log holds too |
| `fetch` | whether the page was fetched, with status and record identifier |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from optout.errors import MalformedUrl
from optout.evidence.canonical import JSON
from optout.evidence.cdxj import host_key
from optout.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.model import Signal

VERSION = 1

KEPT = "kept"
"""The kind and stage of a row that is no decision: it says that a page was kept."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """How a field is kept in a column."""

    TEXT = "text"
    INTEGER = "integer"
    JSON = "json"


FIELDS = {
    "access": Kind.TEXT,
    "agent": Kind.TEXT,
    "coverage": Kind.JSON,
    "decisions": Kind.JSON,
    "effect": Kind.TEXT,
    "exchanges": Kind.JSON,
    "fetch": Kind.JSON,
    "host": Kind.TEXT,
    "identity": Kind.TEXT,
    "kind": Kind.TEXT,
    "node": Kind.TEXT,
    "policy": Kind.TEXT,
    "purpose": Kind.TEXT,
    "reason": Kind.TEXT,
    "registry": Kind.TEXT,
    "seq": Kind.INTEGER,
    "signals": Kind.JSON,
    "stage": Kind.TEXT,
    "t": Kind.INTEGER,
    "url": Kind.TEXT,
    "v": Kind.INTEGER,
}
"""Every known field of a row, in the order of its canonical form."""


def decision_row(  # noqa: PLR0913 - a row has as many fields as it has
    *,
    url: str,
    decided_at: datetime,
    stage: str,
    agent: str,
    purpose: str,
    effect: str,
    reason: str,
    policy: str,
    registry: str,
    identity: str,
    exchanges: str,
    access: str | None = None,
    decisions: Mapping[str, JSON] | None = None,
    signals: Sequence[JSON] = (),
    coverage: Mapping[str, str] | None = None,
    fetch: Mapping[str, JSON] | None = None,
) -> dict[str, Any]:
    """A row for the journal; `node` and `seq` are the journal's to fill in. The fields are those of the table above.

    Args:
        decided_at: aware; the row keeps microseconds.
        exchanges: what `SignalArchive.write_set` returns.
    """
    row: dict[str, Any] = {
        "v": VERSION, "kind": "decision", "t": microseconds(decided_at), "host": host_of(url), "url": url,
        "stage": stage, "agent": agent, "purpose": purpose, "effect": effect, "reason": reason, "policy": policy,
        "registry": registry, "identity": identity, "exchanges": exchanges, "signals": list(signals),
        "coverage": dict(coverage or {}), "fetch": dict(fetch or {"done": False}),
    }  # fmt: skip
    if access is not None:
        row["access"] = access
    if decisions is not None:
        row["decisions"] = dict(decisions)
    return row


def signal_fields(signal: Signal) -> dict[str, JSON]:
    """A decisive signal as a row keeps it."""
    return {
        "k": signal.protocol, "purpose": str(signal.purpose), "state": str(signal.state), "scope": str(signal.scope),
        "strength": str(signal.strength), "place": str(signal.place), "value": signal.value,
    }  # fmt: skip


def completed(row: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The row with its host where it has a URL and no host."""
    url = row.get("url")
    return {**row, "host": host_of(url)} if "host" not in row and isinstance(url, str) else row


def host_of(url: str) -> str:
    """The host of a URL in SURT form; empty where it names none."""
    try:
        return host_key(origin_of(url))
    except MalformedUrl:
        return ""


def microseconds(moment: datetime) -> int:
    """A moment as the log writes it: whole microseconds since 1970 UTC, without rounding by floats."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
