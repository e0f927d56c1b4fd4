"""Declarations about a work by its ISCC: TDM·AI of Liccium, and the TDM service metadata of the ISCC Foundation.

TDM·AI JSON schema 1.0 (https://docs.tdmai.org/technical-specification/json-schema-definition), after
draft-ietf-aipref-vocab-02; iscc-schema 0.8, `TDM`. A declaration binds an identifier, not the file it stands in.
`train-ai` is the parent of `train-genai`, and `all` the parent of `train-ai`; `ai-use` and `search` stand alone. Of a
work that is only similar, a declaration is a hint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

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
    Strength,
    flow_down,
)
from optout.protocol import Embedded, Protocol
from optout.syntax.located import Slot
from optout.syntax.parts import NEAR, Part, part_of, slot_of

MEANING: Mapping[str, Purpose] = {
    "all": Purpose.TDM,
    "train-ai": Purpose.AI_TRAIN,
    "train-genai": Purpose.AI_TRAIN,
    "ai-use": Purpose.AI_INPUT,
    "search": Purpose.SEARCH,
}
"""TDM·AI: the purpose of each key; `false` reserves it and `true` permits it."""

SERVICE_MEANING: Mapping[str, Purpose] = {
    "analyze": Purpose.TDM,
    "train": Purpose.AI_TRAIN,
    "inference": Purpose.AI_INPUT,
    "derive": Purpose.AI_INPUT,
    "search": Purpose.SEARCH,
}
"""ISCC TDM service metadata: the purpose of each key; `reserved` reserves it and `open` permits it."""

_STATES: Mapping[str, State] = {"false": State.RESERVED, "true": State.PERMITTED}
_SERVICE_STATES: Mapping[str, State] = {"reserved": State.RESERVED, "open": State.PERMITTED}
_MAX_TEXT = 500

PROBLEMS: Mapping[str, str] = {
    "tdm-ai.unknown-value": "A key has a value outside its vocabulary, so it is unset.",
}


def read(exchange: Exchange) -> Reading:
    """Read one declaration."""
    if slot_of(exchange) != Slot.JSON or exchange.error or b"iscc" not in exchange.body.lower():
        return SILENCE
    try:
        document = json.loads(exchange.body)
    except (ValueError, RecursionError):
        return SILENCE
    return read_declaration(part_of(exchange), document) if isinstance(document, dict) else SILENCE


def read_declaration(part: Part, document: Mapping[str, object]) -> Reading:
    """Read a declaration that has been parsed."""
    if document.get("@type") == "TDM":
        return _settled(part, document, SERVICE_MEANING, _SERVICE_STATES)
    if isinstance(document.get("iscc"), str):
        return _settled(part, document, MEANING, _STATES)
    return SILENCE


def _settled(
    part: Part, document: Mapping[str, object], meaning: Mapping[str, Purpose], known: Mapping[str, State]
) -> Reading:
    """Join the keys: of two that name one purpose, the reservation counts."""
    states: dict[Purpose, State] = {}
    problems = []
    for key, value in _stated(document, meaning):
        state = known.get(value)
        if state is None:
            problems.append(Problem("tdm-ai.unknown-value", part.place(key)))
        elif states.get(meaning[key]) is not State.RESERVED:
            states[meaning[key]] = state
    statement = Statement(
        reason="tdm-ai.declaration",
        place=part.place("declaration"),
        value=", ".join(f"{key}={value}" for key, value in _stated(document, meaning)),
        states=flow_down(states),
        layer=Layer.ASSET,
        strength=Strength.CONVENTION,
        advisory=part.where.startswith(NEAR),
        conditions=tuple((name, str(document[name])[:_MAX_TEXT]) for name in ("iscc", "signer") if name in document),
    )
    return Reading((statement,) if states else (), tuple(problems))


def _stated(document: Mapping[str, object], meaning: Mapping[str, Purpose]) -> Iterator[tuple[str, str]]:
    """Key and value as text; the schema has the texts `true` and `false`, the documentation booleans."""
    for key in meaning:
        if key in document:
            yield key, str(document[key]).lower()[:_MAX_TEXT]


PROTOCOL = Protocol(
    name="tdm-ai",
    title="TDM·AI and ISCC declarations",
    specification="https://docs.tdmai.org/technical-specification/json-schema-definition",
    edition="TDM·AI schema 1.0; iscc-schema 0.8",
    carriers=(Embedded("declaration by ISCC", frozenset({"application/json"}), ASSET),),
    read=read,
    problems=PROBLEMS,
)
