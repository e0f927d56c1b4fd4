"""The pages for people. Whatever strangers wrote is escaped, cut, and freed of what cannot be printed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from optout.engine.overall import overall
from optout.model import Purpose
from optout.web.forms import policy_offers, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optout.assess import Assessment
    from optout.identity import Identity
    from optout.policy import Policy
    from optout.web.ledger_view import Snapshot
    from optout.web.verification import Verification

_LONGEST = 2_000
_STYLE = files("optout.web").joinpath("templates/style.css").read_text(encoding="utf-8")
STYLE_SOURCE = f"'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
"""The one style sheet that a page may have, as Content Security Policy names it."""

_BAR_WIDTH = 300


def _shown(value: object) -> object:
    """What a template prints of a value: text of whatever origin is made printable before it is escaped."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return printable(value, _LONGEST)
    return f"{value:,}" if isinstance(value, int) else value


def _moment(value: datetime) -> str:
    """A moment; one without a zone is UTC, as the log's are."""
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return aware.strftime("%Y-%m-%d %H:%M:%S UTC")


def _bar(count: int, most: int) -> str:
    return f"{max(1.0, _BAR_WIDTH * count / max(most, 1)):.1f}"


def _query(value: str) -> Markup:
    """A value in a query: percent signs, letters and digits only, whatever a stranger wrote."""
    return Markup(quote(value, safe="", errors="backslashreplace"))  # noqa: S704 - nothing in it is left that HTML knows


_ENVIRONMENT = Environment(
    loader=PackageLoader("optout.web", "templates"),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"brief": printable, "moment": _moment, "bar": _bar, "query": _query}
_ENVIRONMENT.globals |= {"style": Markup(_STYLE), "purposes": tuple(Purpose)}  # noqa: S704 - our own file


@dataclass(slots=True)
class Log:
    """What of a log is shown.

    Attributes:
        verification: what is known of its soundness.
        snapshot: its counts; None where it cannot be read.
        checkpoint: the newest; None where there is none.
        fault: why it cannot be read, or empty.
    """

    verification: Verification
    snapshot: Snapshot | None = None
    checkpoint: Mapping[str, Any] | None = None
    fault: str = ""


def dashboard(policy: Policy, identity: Identity, log: Log | None) -> str:
    """The page of the log; without a log, the form alone."""
    return _ENVIRONMENT.get_template("dashboard.html").render(policy=policy, identity=identity, log=log)


def answer(assessment: Assessment, policy: Policy, identity: Identity, asked: Sequence[Purpose]) -> str:
    """The page of a verdict."""
    return _ENVIRONMENT.get_template("answer.html").render(
        url=assessment.url, verdict=assessment.verdict, policy=policy, identity=identity, asked=asked,
        overall=overall(assessment.verdict, asked), offers=policy_offers(assessment),
    )  # fmt: skip
