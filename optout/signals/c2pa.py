"""Training and data mining in signed manifests: CAWG 1.0 and 1.1, and the retired C2PA label.

CAWG Training and Data Mining Assertion 1.1 (ratified by DIF on 16 May 2025), label `cawg.training-mining`; C2PA 1.3
and 1.4, label `c2pa.training-mining`. What is read is the report of a validator on the manifest store, made without
any network. The active manifest speaks for the asset; where it says nothing, a reservation of what the asset was made
from (`parentOf`) goes on.

Anybody may restrict, because Art. 4(3) CDSM asks for no authentication; a permission must be valid. A manifest that
fails validation therefore still reserves, with little strength, and never permits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
from optout.syntax.parts import Part, part_of, slot_of

MEANING: Mapping[str, Purpose] = {
    "data_mining": Purpose.TDM,
    "ai_inference": Purpose.AI_INPUT,
    "ai_training": Purpose.AI_TRAIN,
    "ai_generative_training": Purpose.AI_TRAIN,
}
"""The purpose of each entry. `ai_training` is training that is not generative; either kind reserved is training
reserved, because nobody can train on a work and keep one kind out of the other."""

USES: Mapping[str, State] = {
    "allowed": State.PERMITTED,
    "notAllowed": State.RESERVED,
    "constrained": State.RESERVED,
}
"""What each use says; `constrained` is `notAllowed` where no further information exists (CAWG 1.1, section 2.2)."""

_TRAINING = ("ai_training", "ai_generative_training")
_LABELS = frozenset({"cawg.training-mining", "c2pa.training-mining"})
_RETIRED = "c2pa.training-mining"
_ORDINAL = re.compile(r"__\d+$")
_SOUND = frozenset({"Valid", "Trusted"})
_MAX_ANCESTORS = 16
_MAX_TEXT = 500

PROBLEMS: Mapping[str, str] = {
    "c2pa.unreadable": "A manifest store exists and could not be read: it is damaged, elsewhere, or in a form that no "
    "reader here supports.",
    "c2pa.invalid-manifest": "The manifest does not validate: the file was edited or the manifest forged. Its "
    "reservations count with little strength, its permissions do not.",
    "c2pa.unknown-use": "A use is none of allowed, notAllowed and constrained; it is read as notAllowed.",
    "c2pa.malformed-assertion": "The assertion has no map of entries.",
    "c2pa.ignored-permission": "A permission in an invalid manifest or in an ingredient does not count.",
}


@dataclass(frozen=True, slots=True)
class _Manifest:
    """One manifest of the store, with how it bears on the asset."""

    content: Mapping[str, object]
    state: str
    inherited: bool

    @property
    def sound(self) -> bool:
        """Whether its permissions count."""
        return self.state in _SOUND and not self.inherited

    def note(self) -> str:
        """Validation state and signer, for the value of a signal."""
        info = self.content.get("signature_info")
        issuer = info.get("issuer") if isinstance(info, dict) else None
        inherited = "; inherited from parent" if self.inherited else ""
        return f"{self.state}; signed by {str(issuer)[:_MAX_TEXT] if issuer else 'nobody named'}{inherited}"


def read(exchange: Exchange) -> Reading:
    """Read the report on one manifest store."""
    if slot_of(exchange) != Slot.C2PA:
        return SILENCE
    part = part_of(exchange)
    if part.fault is not None:
        return _unreadable(part, part.fault)
    try:
        report = json.loads(part.data)
    except (ValueError, RecursionError):
        return _unreadable(part, "report")
    manifests = report.get("manifests") if isinstance(report, dict) else None
    if not isinstance(manifests, dict):
        return _unreadable(part, "report")
    return _read_store(part, report, manifests)


def _unreadable(part: Part, fault: str) -> Reading:
    return Reading((), (Problem("c2pa.unreadable", part.place(fault)),), valid=False)


def _read_store(part: Part, report: Mapping[str, object], manifests: Mapping[str, object]) -> Reading:
    state = str(report.get("validation_state"))
    problems = [] if state in _SOUND else [Problem("c2pa.invalid-manifest", part.place(_failures(report)))]
    for number, content in enumerate(_lineage(report, manifests)):
        readings = [
            _assertion(part, _Manifest(content, state, inherited=number > 0), label, data)
            for label, data in _assertions(content)
        ]
        if readings:
            statements = tuple(said for reading in readings for said in reading.statements)
            found = tuple(problem for reading in readings for problem in reading.problems)
            return Reading(statements, (*problems, *found))
    return Reading((), tuple(problems))


def _failures(report: Mapping[str, object]) -> str:
    """The codes that made the manifest invalid; an unknown signer alone does not."""
    status = report.get("validation_status")
    entries = status if isinstance(status, list) else []
    codes = (str(entry.get("code"))[:80] for entry in entries if isinstance(entry, dict))
    named = dict.fromkeys(code for code in codes if code != "signingCredential.untrusted")
    return ", ".join([*named][:8]) or "no reason given"


def _lineage(report: Mapping[str, object], manifests: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the active manifest, then what the asset was made from, parent by parent."""
    label = report.get("active_manifest")
    seen: set[object] = set()
    while isinstance(label, str) and label not in seen and len(seen) < _MAX_ANCESTORS:
        seen.add(label)
        content = manifests.get(label)
        if not isinstance(content, dict):
            return
        yield content
        label = _parent(content)


def _parent(content: Mapping[str, object]) -> object:
    """The label of the parent's manifest; components and inputs speak about parts."""
    ingredients = content.get("ingredients")
    for ingredient in ingredients if isinstance(ingredients, list) else []:
        if isinstance(ingredient, dict) and ingredient.get("relationship") == "parentOf":
            return ingredient.get("active_manifest")
    return None


def _assertions(content: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield label and data of each assertion about mining; repeated ones carry a number behind the label."""
    assertions = content.get("assertions")
    for assertion in assertions if isinstance(assertions, list) else []:
        if isinstance(assertion, dict):
            label = _ORDINAL.sub("", str(assertion.get("label")))
            if label in _LABELS:
                yield label, assertion.get("data")


def _assertion(part: Part, manifest: _Manifest, label: str, data: object) -> Reading:
    """What one assertion says; CAWG 1.0 and C2PA 1.x leave the map `entries` out."""
    entries = data.get("entries", data) if isinstance(data, dict) else None
    if not isinstance(entries, dict):
        return Reading((), (Problem("c2pa.malformed-assertion", part.place(label)),))
    uses = {key.partition(".")[2]: value for key, value in entries.items() if key.partition(".")[2] in MEANING}
    stated = {entry: _use(value) for entry, value in uses.items()}
    unknown = [Problem("c2pa.unknown-use", part.place(f"{label} {entry}")) for entry in _unknown(uses)]
    states = _states(stated)
    ignored = [] if manifest.sound else [purpose for purpose, state in states if state is State.PERMITTED]
    if ignored:
        unknown.append(Problem("c2pa.ignored-permission", part.place(label)))
    statement = Statement(
        reason="c2pa.inherited" if manifest.inherited else "c2pa.training-mining",
        place=part.place(label),
        value=f"{', '.join(f'{entry}={_text(value)}' for entry, value in uses.items())} ({manifest.note()})",
        states=tuple(pair for pair in states if pair[0] not in ignored),
        layer=Layer.ASSET,
        strength=_strength(manifest, label),
        conditions=tuple(_constraints(uses)),
    )
    return Reading((statement,) if statement.states else (), tuple(unknown))


def _use(value: object) -> State:
    return USES.get(_text(value), State.RESERVED)


def _unknown(uses: Mapping[str, object]) -> list[str]:
    return [entry for entry, value in uses.items() if _text(value) not in USES]


def _text(value: object) -> str:
    return str(value.get("use") if isinstance(value, dict) else value)[:80]


def _states(stated: Mapping[str, State]) -> tuple[tuple[Purpose, State], ...]:
    """The state of each purpose, flow-down applied.

    A narrower entry beats the broader one; a kind of training that is not named takes the state of a mining that is
    reserved, so that allowing one kind alone does not open the other.
    """
    states = {MEANING[entry]: state for entry, state in stated.items() if entry not in _TRAINING}
    inherited = State.RESERVED if states.get(Purpose.TDM) is State.RESERVED else State.UNSPECIFIED
    kinds = {stated.get(kind, inherited) for kind in _TRAINING}
    if State.RESERVED in kinds:
        states[Purpose.AI_TRAIN] = State.RESERVED
    elif State.PERMITTED in kinds:
        states[Purpose.AI_TRAIN] = State.PERMITTED
    return flow_down(states)


def _strength(manifest: _Manifest, label: str) -> Strength:
    if manifest.state not in _SOUND:
        return Strength.CONVENTION
    return Strength.INDUSTRY if label == _RETIRED else Strength.STANDARD


def _constraints(uses: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The text of a constraint; the schema says `constraint_info`, the prose `constraints_info`."""
    for entry, value in uses.items():
        if isinstance(value, dict):
            info = value.get("constraint_info") or value.get("constraints_info")
            if info:
                yield f"{entry} constraint", str(info)[:_MAX_TEXT]


PROTOCOL = Protocol(
    name="c2pa",
    title="C2PA and CAWG Training and Data Mining",
    specification="https://cawg.io/training-and-data-mining/1.1/",
    edition="CAWG 1.1 (16 May 2025); C2PA 1.4",
    carriers=(Embedded("C2PA manifest store", frozenset({"image/*", "video/*", "audio/*", "application/pdf"}), ASSET),),
    read=read,
    problems=PROBLEMS,
)
