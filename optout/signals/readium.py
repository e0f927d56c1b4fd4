"""TDMRep in the Readium Web Publication Manifest.

Readium Web Publication Manifest (https://readium.org/webpub-manifest/), `metadata.tdm` with `reservation`
(`all` or `none`) and `policy`; it stands on its own or as `manifest.json` at the root of a package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from optout.model import (
    ASSET,
    SILENCE,
    Exchange,
    Layer,
    Problem,
    Purpose,
    Reading,
    State,
    Statement,
    permit,
    reserve,
)
from optout.protocol import Embedded, Protocol
from optout.syntax.located import Slot
from optout.syntax.parts import Part, part_of, slot_of

MEANING: Mapping[str, tuple[tuple[Purpose, State], ...]] = {
    "all": reserve(Purpose.TDM),
    "none": permit(Purpose.TDM),
}
"""All rights reserved, or none; a permission does not flow down to training."""

_WORD = b'"tdm"'
_MAX_TEXT = 2000
_PACKAGES = frozenset({"application/json", "application/webpub+zip", "application/audiobook+zip"})

PROBLEMS: Mapping[str, str] = {
    "readium.unreadable": "The package is damaged, or its manifest is too large or not JSON.",
    "readium.unknown-value": "metadata.tdm.reservation is neither all nor none, so it is unset.",
    "readium.doubtful-permission": "A permission in a damaged or contradictory file does not count.",
}


def read(exchange: Exchange) -> Reading:
    """Read one manifest."""
    if slot_of(exchange) != Slot.JSON:
        return SILENCE
    part = part_of(exchange)
    if part.fault is not None:
        return _unreadable(part, part.fault)
    if _WORD not in part.data:
        return SILENCE
    try:
        manifest = json.loads(part.data)
    except (ValueError, RecursionError):
        return _unreadable(part, "not JSON")
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    tdm = metadata.get("tdm") if isinstance(metadata, dict) else None
    return _value(part, tdm) if isinstance(tdm, dict) else SILENCE


def _value(part: Part, tdm: Mapping[str, object]) -> Reading:
    value, policy = tdm.get("reservation"), tdm.get("policy")
    place = part.place("metadata.tdm.reservation")
    if not isinstance(value, str) or value not in MEANING:
        return Reading((), (Problem("readium.unknown-value", place),))
    if part.doubtful and value == "none":
        return Reading((), (Problem("readium.doubtful-permission", place),))
    pointer = isinstance(policy, str) and value == "all"
    statement = Statement(
        reason="readium.tdm-reservation",
        place=place,
        value=value,
        states=MEANING[value],
        layer=Layer.ASSET,
        conditions=(("policy", str(policy)[:_MAX_TEXT]),) if pointer else (),
    )
    return Reading((statement,))


def _unreadable(part: Part, fault: str) -> Reading:
    return Reading((), (Problem("readium.unreadable", part.place(fault)),), valid=False)


PROTOCOL = Protocol(
    name="readium",
    title="TDMRep in Readium manifests",
    specification="https://readium.org/webpub-manifest/",
    edition="@readium/shared 2.1.5",
    carriers=(Embedded("manifest metadata.tdm", _PACKAGES, ASSET),),
    read=read,
    problems=PROBLEMS,
)
