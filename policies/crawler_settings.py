"""What a crawler ran on, as the log has it: identity and policy, told as settings that can be compared.

Every decision names the digests of the policy, the registry and the identity that it was made under, and the log holds
these documents. So the settings here are those that decided, not those that somebody wrote on a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from optout.identity import Identity, MalformedToken
from optout.policy import Mode
from optout.signals import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.policy import Policy
    from policies.evidence_facts import LogFacts, Observed, Rows


@dataclass(frozen=True, slots=True)
class Settings:
    """One configuration of one crawler, while it was in force.

    Attributes:
        log: the log that shows it.
        identity: the crawler's token and header.
        policy: the policy in force.
        identity_digest: SHA-256 of the identity document.
        rows: the decisions made under it.
    """

    log: LogFacts
    identity: Identity
    policy: Policy
    identity_digest: str
    rows: tuple[Rows, ...]

    @property
    def begin(self) -> datetime:
        """The first decision under it."""
        return min(row.begin for row in self.rows)

    @property
    def end(self) -> datetime:
        """The last decision under it."""
        return max(row.end for row in self.rows)

    @property
    def digest(self) -> str:
        """What tells it from another configuration."""
        return f"{self.identity_digest}{self.policy.digest}{self.policy.registry_digest}"


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that became another.

    Attributes:
        key: its name.
        before: its value; empty where it was not set.
        after: its value; empty where it is not set any more.
    """

    key: str
    before: str
    after: str


def settings(observed: Observed) -> tuple[Settings, ...]:
    """Every configuration that sound logs show, in the order in which they came into force."""
    found: list[Settings] = []
    for log in observed.sound:
        together: dict[tuple[str, str, str], list[Rows]] = {}
        for row in log.decisions:
            together.setdefault((row.identity, row.policy, row.registry), []).append(row)
        for (said, policy, registry), rows in together.items():
            identity = _identity(log.identities.get(said))
            if identity is not None and (policy, registry) in log.policies:
                day = min(row.begin for row in rows).date()
                in_force = log.policies[policy, registry].in_force(day)
                found.append(Settings(log, identity, in_force, said, tuple(rows)))
    return tuple(sorted(found, key=lambda one: (one.begin, one.log.origin, one.digest)))


def newest(found: Sequence[Settings]) -> tuple[Settings, ...]:
    """The configuration of each product token that decided last, which an older one that came back may be."""
    return tuple({one.identity.key: one for one in sorted(found, key=lambda one: one.end)}.values())


def _identity(said: Mapping[str, str] | None) -> Identity | None:
    try:
        return Identity(said.get("product_token", ""), said.get("user_agent", "")) if said else None
    except MalformedToken:
        return None


def described(one: Settings) -> Mapping[str, str]:
    """The configuration as names and values, in a fixed order."""
    policy = one.policy
    values = {
        "product token": one.identity.token,
        "User-Agent": one.identity.header,
        "policy": policy.name,
        "purposes": ", ".join(policy.crawl_purposes),
        "lenient readings that count": ", ".join(sorted(policy.honour)),
        "layers": str(policy.layers),
        "second reader of robots.txt": str(policy.second_reader),
        "rules for other AI crawlers": str(policy.named_agents),
        "hours that signals may be reused": str(policy.max_age_hours),
        "bytes of robots.txt that are read": str(policy.robots_limit),
        "effect where a signal file is unreachable": str(policy.unreachable),
        "effect where a signal file was not looked at": str(policy.not_consulted),
        "effect where metadata cannot be read": str(policy.unreadable),
    }
    values |= {f"effect of {state}": str(effect) for state, effect in sorted(policy.effects.items())}
    values |= {f"mode of {name}": str(policy.mode(name)) for name in sorted(PROTOCOLS)}
    values |= {f"{name} enforced from": day.isoformat() for name, day in planned(policy, one.begin.date())}
    return values


def planned(policy: Policy, after: date) -> tuple[tuple[str, date], ...]:
    """The protocols that will be enforced without further ado, and from when."""
    return tuple(
        (name, entry.enforce_from)
        for name, entry in sorted(policy.registry.items())
        if entry.enforce_from is not None and entry.enforce_from > after and policy.mode(name) is Mode.OBSERVE
    )


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """What is different."""
    return tuple(
        Change(key, before.get(key, ""), after.get(key, ""))
        for key in dict.fromkeys([*after, *before])
        if before.get(key) != after.get(key)
    )


_ORDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mode of ", ("off", "observe", "enforce")),
    ("effect ", ("permit", "review", "deny")),
    ("layers", ("supersede", "tighten")),
    ("second reader of robots.txt", ("off", "review", "deny")),
    ("rules for other AI crawlers", ("ignore", "report", "reserve")),
)
"""Settings by the beginning of their names, with their values from the one that honours least."""


def narrows(change: Change) -> bool:
    """Whether a change lets less of what rightsholders say count, or lets it count later."""
    if not change.before:
        return False
    if change.key == "lenient readings that count":
        return not set(change.before.split(", ")) <= set(change.after.split(", "))
    if change.key == "hours that signals may be reused":
        return int(change.after) > int(change.before)
    if change.key == "bytes of robots.txt that are read":
        return int(change.after) < int(change.before)
    order = next((values for name, values in _ORDERS if change.key.startswith(name)), ())
    if change.before in order and change.after in order:
        return order.index(change.after) < order.index(change.before)
    return False
