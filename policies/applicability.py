"""Which duties hold, from when and why: each answer with its article and the facts that it rests on.

What cannot be answered stays unknown and names the fact that would answer it. The thresholds are those of the
Commission's guidelines on general-purpose AI models of 18 July 2025, which do not bind courts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from policies.document import Block, Document, Heading, Missing, Paragraph, Source, SourceKind, Table
from policies.facts import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from policies.evidence_facts import Observed
    from policies.facts import Facts, Model

INDICATIVE_FLOP = 1e23
SYSTEMIC_FLOP = 1e25
MODIFIER_SHARE = 1 / 3
DUTIES_SINCE = date(2025, 8, 2)
OLDER_MODELS_BY = date(2027, 8, 2)
FINES_SINCE = date(2026, 8, 2)
"""Art. 113 and Art. 111(3) of Regulation (EU) 2024/1689; fines: Art. 101."""

UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: does a duty hold, why, by which article, on which facts."""

    question: str
    answer: str | Missing
    why: str
    article: str
    keys: tuple[str, ...]


def applicability(facts: Facts, _: Observed) -> Document:
    """The answers for each model and for the provider."""
    models = facts.get("models")
    blocks: list[Block] = [
        Paragraph(
            "Answers follow from the facts that the provider has given. They are no legal advice; the thresholds "
            "are indications of the Commission's guidelines, which do not bind courts.",
        )
    ]
    if isinstance(models, Missing):
        blocks.append(models)
    else:
        if not models:
            text = "The provider declares no model on the Union market, so no duty of a model's provider follows."
            blocks.append(Paragraph(text, (facts.pointer("models = []"),)))
        for number, model in enumerate(models):
            blocks.append(Heading(model.label))
            blocks.append(_table(facts, f"Duties for {model.label}", answers(model, number)))
    blocks += [Heading("Provider"), _table(facts, "Representative, Code of Practice and fines", _provider(facts))]
    return Document("applicability", "Which duties apply", tuple(blocks))


def _table(facts: Facts, caption: str, found: Iterator[Answer]) -> Table:
    listed = list(found)
    rows = tuple((item.question, item.answer, item.why, item.article, ", ".join(item.keys)) for item in listed)
    law = tuple(dict.fromkeys(Source(SourceKind.LAW, item.article) for item in listed))
    heads = ("Question", "Answer", "Why", "Article", "Facts")
    return Table(caption, heads, rows, (facts.pointer("models, provider"), *law))


def answers(model: Model, number: int) -> Iterator[Answer]:
    """Every answer about one model."""
    key = f"models[{number}]"
    for rule in (_general_purpose, _modifier, _policy_and_summary, _from_when, _open_source, _systemic):
        yield rule(model, key)


def is_general_purpose(model: Model) -> bool | None:
    """Whether a model meets the indicative criterion; None where that cannot be said."""
    if model.narrow_task:
        return False
    compute = None if model.training_flop is None else model.training_flop > INDICATIVE_FLOP
    generative = None if model.generates is None else bool({"text", "audio", "image", "video"} & set(model.generates))
    if compute is False or generative is False:
        return False
    return None if None in (compute, generative, model.narrow_task) else True


def is_modifier_provider(model: Model) -> bool | None:
    """Whether whoever modifies a model becomes its provider: more than a third of the original's compute."""
    if model.derived is None:
        return None
    if not model.derived:
        return False
    if model.modification_flop is None or not model.base_training_flop:
        return None
    return model.modification_flop > MODIFIER_SHARE * model.base_training_flop


def duties_hold(model: Model) -> bool | None:
    """Whether Art. 53(1)(c) and (d) hold: a general-purpose model, and where it was modified, by enough."""
    found = is_general_purpose(model)
    if found and model.derived:
        return is_modifier_provider(model)
    return None if found and model.derived is None else found


def open_source(model: Model) -> bool | None:
    """Whether Art. 53(2) exempts: free licence, public weights, architecture and usage, no payment."""
    parts = (model.licence_is_free, model.weights_public, model.architecture_public, model.usage_public)
    if False in parts or model.monetised:
        return False
    return None if None in (*parts, model.monetised) else True


def _general_purpose(model: Model, key: str) -> Answer:
    names = ("training_flop", "generates", "narrow_task")
    why = {
        True: "Training took more than 10^23 FLOP, it generates language, images or video, and its task is not narrow.",
        False: "Its compute, what it generates or its narrow task leaves it outside the indicative criterion.",
        None: "More than 10^23 FLOP, generation of language, images or video, and no narrow task are the criterion.",
    }
    found = is_general_purpose(model)
    article = "Regulation (EU) 2024/1689 Art. 3(63); Commission guidelines on general-purpose AI"
    return Answer(
        "Is it a general-purpose AI model?", _said(model, key, found, names), why[found], article, _of(key, names)
    )


def _modifier(model: Model, key: str) -> Answer:
    names = ("base_model", "modification_flop", "base_training_flop") if model.derived is not False else ("base_model",)
    why = {
        True: "The modification took more than a third of the original's compute; duties concern it only.",
        False: "It was not made from another model, or the modification took a third of its compute or less.",
        None: "A modifier is provider where the modification took more than a third of the original's compute.",
    }
    found = is_modifier_provider(model)
    article = "Regulation (EU) 2024/1689 recital 109; Commission guidelines on general-purpose AI"
    question = "Do duties arise from the modification of another model?"
    return Answer(question, _said(model, key, found, names), why[found], article, _of(key, names))


def _policy_and_summary(model: Model, key: str) -> Answer:
    modified = ("modification_flop", "base_training_flop") if model.derived else ()
    names = ("training_flop", "generates", "narrow_task", "base_model", *modified)
    why = {
        True: "They hold for every provider of a general-purpose AI model, under a free licence too.",
        False: "They hold for providers of general-purpose AI models only, and whoever modifies a model of another is "
        "its provider only above the share.",
        None: "Whether it is a general-purpose AI model, and who its provider is, is not known.",
    }
    found = duties_hold(model)
    article = "Regulation (EU) 2024/1689 Art. 53(1)(c) and (d)"
    question = "Are a copyright policy and a public summary of training content due?"
    return Answer(question, _said(model, key, found, names), why[found], article, _of(key, names))


def _from_when(model: Model, key: str) -> Answer:
    names = ("placed_on_market",)
    placed, article = model.placed_on_market, "Regulation (EU) 2024/1689 Art. 113(b), Art. 111(3)"
    question = "From when?"
    if placed is None:
        return Answer(
            question,
            _ask(model, key, names),
            "It depends on the day of placing on the market.",
            article,
            _of(key, names),
        )
    if duties_hold(model) is not True:
        answer = "Never" if duties_hold(model) is False else UNKNOWN
        return Answer(question, answer, "It depends on whether the duties hold at all.", article, _of(key, names))
    older = placed < DUTIES_SINCE
    why = "Placed before 2 August 2025: time until 2 August 2027." if older else "Placed on or after 2 August 2025."
    return Answer(question, (OLDER_MODELS_BY if older else placed).isoformat(), why, article, _of(key, names))


def _open_source(model: Model, key: str) -> Answer:
    names = ("licence_is_free", "weights_public", "architecture_public", "usage_public", "monetised")
    why = {
        True: "Points (a) and (b) fall away; policy (c) and summary (d) remain. A systemic risk ends the exemption.",
        False: "One of the conditions is not met.",
        None: "A free licence, public weights, architecture and usage information, and no payment are needed.",
    }
    article = "Regulation (EU) 2024/1689 Art. 53(2), recitals 102 to 104"
    question = "Does the exemption for free and open-source models hold?"
    if duties_hold(model) is False:
        reason = "There are no duties of a provider of a general-purpose AI model here to be exempt from."
        return Answer(question, "Not applicable", reason, article, _of(key, names))
    found = False if is_systemic(model) else open_source(model)
    return Answer(question, _said(model, key, found, names), why[found], article, _of(key, names))


def is_systemic(model: Model) -> bool | None:
    """Whether systemic risk is presumed."""
    return None if model.training_flop is None else model.training_flop > SYSTEMIC_FLOP


def _systemic(model: Model, key: str) -> Answer:
    names = ("training_flop", "generates", "narrow_task")
    why = {
        True: "Training took more than 10^25 FLOP: the Commission is notified without delay, within two weeks at most.",
        False: "Training took 10^25 FLOP or less, where the Commission may still designate it, or it is no general-"
        "purpose AI model.",
        None: "More than 10^25 FLOP raise the presumption for a general-purpose AI model.",
    }
    found = _both(is_general_purpose(model), is_systemic(model))
    article = "Regulation (EU) 2024/1689 Art. 51(2), Art. 52(1)"
    question = "Is a systemic risk presumed, and a notice due within two weeks?"
    return Answer(question, _said(model, key, found, names), why[found], article, _of(key, names))


def _provider(facts: Facts) -> Iterator[Answer]:
    signed = facts.provider.signatory
    why = {
        True: "A signatory may rely on Measures 1.1 to 1.5 to show compliance with the AI Act's duty; that does not "
        "prove compliance with copyright law.",
        False: "Whoever has not signed shows compliance by other adequate means, and compares them with the Code's.",
        None: "It decides how compliance is shown.",
    }
    said = facts.get("provider.signatory")
    answer = said if isinstance(said, Missing) else _yes(said)
    article = "Regulation (EU) 2024/1689 Art. 53(4)"
    yield Answer("Is the Copyright Chapter signed?", answer, why[signed], article, ("provider.signatory",))
    yield Answer(
        "Is an authorised representative in the Union needed?", _representative(facts),
        "A provider outside the Union appoints one before placing; free and open-source models are exempt unless "
        "they present a systemic risk.",
        "Regulation (EU) 2024/1689 Art. 54(1) and (6)", ("provider.established_in_eu", "models"),
    )  # fmt: skip
    yield Answer(
        "Can the Commission fine providers of general-purpose AI models?", f"Yes, since {FINES_SINCE.isoformat()}",
        "Up to 3 % of worldwide annual turnover or EUR 15 million, whichever is higher.",
        "Regulation (EU) 2024/1689 Art. 101, Art. 113", (),
    )  # fmt: skip


def _representative(facts: Facts) -> str | Missing:
    established = facts.get("provider.established_in_eu")
    if isinstance(established, Missing) or established:
        return established if isinstance(established, Missing) else _yes(value=False)
    needed = [_both(duties_hold(model), _bound(model)) for model in facts.models or ()]
    if True in needed:
        return _yes(value=True)
    return _yes(value=False) if needed and None not in needed else UNKNOWN


def _bound(model: Model) -> bool | None:
    """Whether Art. 54(6) does not let a model of a provider outside the Union go without a representative."""
    if is_systemic(model):
        return True
    found = open_source(model)
    return None if found is None or (found and is_systemic(model) is None) else not found


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - two answers
    """Whether both hold; None where that turns on something unknown."""
    if False in (one, other):
        return False
    return None if None in (one, other) else True


def _yes(value: object) -> str:
    return "Yes" if value else "No"


def _said(model: Model, key: str, found: bool | None, names: tuple[str, ...]) -> str | Missing:  # noqa: FBT001 - an answer
    return _ask(model, key, names) if found is None else _yes(found)


def _ask(model: Model, key: str, names: tuple[str, ...]) -> str | Missing:
    """The first fact that is missing, and would have to be known."""
    missing = (known(model, name, key) for name in names)
    return next((item for item in missing if isinstance(item, Missing)), UNKNOWN)


def _of(key: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{key}.{name}" for name in names)


DOCUMENTS: dict[str, Callable[[Facts, Observed], Document]] = {"applicability": applicability}
