"""Section 1 of the official form: who provides which model, and how much of what it was trained on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from policies.document import Block, Fields, Heading, Missing, Source, Table, Ticks, Value
from policies.evidence_facts import KEPT
from policies.facts import MODALITIES, known
from policies.summary_form import NONE, address, comments, mark, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.evidence_facts import Observed
    from policies.facts import Facts, Model

_BANDS = {
    "text": ("text_tokens", 10**9, 10**13, "tokens", ("Less than 1 billion tokens", "1 billion to 10 trillion tokens",
                                                    "More than 10 trillion tokens")),
    "image": ("images", 10**6, 10**9, "images", ("Less than 1 million images", "1 million to 1 billion images",
                                               "More than 1 billion images")),
    "audio": ("audio_hours", 10**4, 10**6, "hours", ("Less than 10 000 hours", "10 000 to 1 million hours",
                                                   "More than 1 million hours")),
    "video": ("video_hours", 10**4, 10**6, "hours", ("Less than 10 000 hours", "10 000 to 1 million hours",
                                                   "More than 1 million hours")),
}  # fmt: skip
UNION_LANGUAGES = (
    "Bulgarian", "Croatian", "Czech", "Danish", "Dutch", "English", "Estonian", "Finnish", "French", "German", "Greek",
    "Hungarian", "Irish", "Italian", "Latvian", "Lithuanian", "Maltese", "Polish", "Portuguese", "Romanian", "Slovak",
    "Slovenian", "Spanish", "Swedish",
)  # fmt: skip
"""The official languages of the Union (Regulation No 1 of 1958, as amended)."""
_QUALIFIED = re.compile(r"\s*[(\[,;:=\d~<>≈].*", re.DOTALL)
"""What may follow on the name of a language: `English (95 %)` names English."""


def general(facts: Facts, observed: Observed) -> Iterator[Block]:
    """Sections 1.1 to 1.3."""
    yield Heading("1. General information")
    yield Heading("1.1 Provider identification", 3)
    yield Fields(tuple(_provider(facts)), (facts.pointer("provider"),))
    yield Heading("1.2 Model identification", 3)
    if not facts.models:
        yield _no_model(facts)
    for number, model in enumerate(facts.models or ()):
        key = f"models[{number}]"
        yield Fields(tuple(_model(model, key, mark("model", number, facts.models))), (facts.pointer(key),))
    yield Heading("1.3 Modalities, overall training data size and other characteristics", 3)
    if not facts.models:
        yield _no_model(facts)
    for number, model in enumerate(facts.models or ()):
        yield from _sizes(facts, observed, model, number)
    yield comments(facts, "sizes")


def _no_model(facts: Facts) -> Missing:
    ask = "Which models does the summary cover?"
    return Missing("models", ask if facts.models is not None else facts.get("models").ask)


def _provider(facts: Facts) -> Iterator[tuple[str, Value]]:
    yield "Provider name", facts.get("provider.name")
    yield "Provider contact details: address", facts.get("provider.address")
    yield "Provider contact details: e-mail", facts.get("provider.email")
    if facts.provider.url:
        yield "Provider contact details: web", address(facts.provider.url)
    yield from _representative(facts)


def _representative(facts: Facts) -> Iterator[tuple[str, Value]]:
    provider = facts.provider
    label = "Authorised representative name and contact details"
    if provider.representative_name:
        yield "Authorised representative name", provider.representative_name
        contact = Missing("provider.representative_contact", "How can the representative be reached?")
        yield "Authorised representative contact details", provider.representative_contact or contact
    elif provider.established_in_eu:
        yield label, "Not applicable: the provider is established in the Union (Art. 54(1))"
    elif provider.established_in_eu is None:
        yield label, facts.get("provider.established_in_eu")
    else:
        yield label, Missing("provider.representative_name", "Who is it (Art. 54)?")


def _model(model: Model, key: str, tell: str) -> Iterator[tuple[str, Value]]:
    label = f"{model.name} {model.version}" if model.name and model.version else None
    missing = "version" if model.name else "name"
    yield f"Versioned model name{tell}", label or known(model, missing, key)
    if model.derived:
        summary = model.base_model_summary or Missing(f"{key}.base_model_summary", "Where is its summary?")
        yield f"Model dependencies{tell}", model.base_model or ""
        yield f"Summary of the base model{tell}", address(summary)
    else:
        none = None if model.derived is None else "None: it was not made from another model"
        yield f"Model dependencies{tell}", none or known(model, "base_model", key)
    yield f"Date of placement on the Union market{tell}", plain(known(model, "placed_on_market", key))


def _sizes(facts: Facts, observed: Observed, model: Model, number: int) -> Iterator[Block]:
    key, tell = f"models[{number}]", mark("model", number, facts.models)
    source = (facts.pointer(key),)
    yield Ticks(f"Modalities{tell}", MODALITIES, known(model, "modalities", key), source)
    for modality in MODALITIES:
        yield _band(model, modality, key, tell, source)
    yield _contents(model, key, tell, source)
    rows: list[tuple[str, Value]] = [
        (f"How sizes were counted, and dynamic datasets left out{tell}", model.size_method or "Not stated"),
        (f"Latest date of data acquisition or collection, MM/YYYY{tell}", known(model, "latest_acquisition", key)),
        (f"Training goes on with new data after that date{tell}", plain(known(model, "continued_training", key))),
        *_languages(model, key, tell),
        (f"Other relevant characteristics{tell}", model.other_characteristics or f"{NONE} stated"),
    ]
    yield Fields(tuple(rows), source)
    yield from _later(observed, model, key)


def _band(model: Model, modality: str, key: str, tell: str, source: tuple[Source, ...]) -> Block:
    """The size band of one modality, after processing and before training."""
    label = f"{modality.capitalize()}: training data size{tell}"
    if model.modalities is not None and modality not in model.modalities:
        return Fields(((label, _absent(model, modality, key)),), source)
    if modality == "other":
        missing = Missing(f"{key}.other_size", "What other content, its size and unit?")
        return Fields(((label, model.other_size or missing),), source)
    name, low, high, unit, options = _BANDS[modality]
    size = getattr(model, name)
    if size is None:
        return Ticks(label, options, Missing(f"{key}.{name}", f"How many {unit}, after processing?"), source)
    return Ticks(label, options, (options[(size >= low) + (size > high)],), source)


def _absent(model: Model, modality: str, key: str) -> Value:
    """What stands for a modality that was not trained on, unless another fact says that it was."""
    size = _BANDS[modality][0] if modality in _BANDS else "other_size"
    said = [name for name, value in ((size, getattr(model, size)), ("content_types", _named(model, modality))) if value]
    if said:
        ask = f"It leaves out {modality}, and {said[0]} has it: which one is true?"
        return Missing(f"{key}.modalities", ask)
    return "Not applicable: the model was not trained on this modality"


def _named(model: Model, modality: str) -> bool:
    return modality in dict(model.content_types or ())


def _contents(model: Model, key: str, tell: str, source: tuple[Source, ...]) -> Block:
    """The types of content of each modality."""
    rows = tuple(
        (
            modality.capitalize(),
            model.content_of(modality) or Missing(f"{key}.content_types", f"What types of {modality} were included?"),
        )
        for modality in model.modalities or ()
    )
    if not rows:
        asked = known(model, "modalities", key)
        return Fields(((f"Types of content{tell}", asked if model.modalities is None else NONE),), source)
    return Table(f"Types of content by modality{tell}", ("Modality", "Types of content"), rows, source)


def _languages(model: Model, key: str, tell: str) -> Iterator[tuple[str, Value]]:
    yield f"Linguistic characteristics: languages{tell}", plain(known(model, "languages", key))
    if model.languages is not None:
        named = {_QUALIFIED.sub("", language).casefold() for language in model.languages}
        official = [language for language in UNION_LANGUAGES if language.casefold() in named]
        none = f"{NONE} of the 24, by their English names"
        yield f"Official languages of the Union among them{tell}", ", ".join(official) or none


def _later(observed: Observed, model: Model, key: str) -> Iterator[Missing]:
    """A log with pages of a later month than the latest date of acquisition: one of the two is wrong."""
    ends = [row.end for log in observed.sound for row in log.rows if row.kind == KEPT]
    if model.latest_acquisition is None or not ends:
        return
    month, year = model.latest_acquisition.split("/")
    latest = max(ends)
    if (latest.year, latest.month) > (int(year), int(month)):
        ask = f"It is before {latest:%m/%Y}, when a log kept pages: which one is true?"
        yield Missing(f"{key}.latest_acquisition", ask)
