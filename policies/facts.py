# ruff: noqa: RUF009 - `fact`, `_table` and `_tables` make dataclass fields, as dataclasses.field does.
"""Provider facts: what no log can know, from `provider.toml`, validated, with every gap named.

The dataclasses below are the whole form: a field's name is its key in the file, its metadata hold the question that
`optout document init` asks and the kind of answer. None means that nobody has said; an empty list means *none*.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from optout.errors import OptoutError
from policies.document import Missing, Source, SourceKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

MODALITIES = ("text", "image", "audio", "video", "other")
MEASURES = ("1.1", "1.2", "1.3", "1.4", "1.5")
_MONTH = re.compile(r"(0[1-9]|1[0-2])/[0-9]{4}")


class FactsError(OptoutError):
    """A facts file that cannot be used; names the file, the key and the mend."""


class DatasetKind(StrEnum):
    """Where a dataset stands on the official form."""

    PUBLIC = "public"  # 2.1
    LICENSED = "licensed"  # 2.2.1
    THIRD_PARTY = "third-party"  # 2.2.2
    CRAWLED = "crawled"  # 2.3
    USER = "user"  # 2.4
    SYNTHETIC = "synthetic"  # 2.5
    OTHER = "other"  # 2.6


class LegalBasis(StrEnum):
    """On what a copy rests."""

    ART_3 = "art-3"  # Directive (EU) 2019/790, research organisations
    ART_4 = "art-4"  # Directive (EU) 2019/790, unless reserved
    LICENCE = "licence"
    PUBLIC_DOMAIN = "public-domain"
    CONSENT = "consent"
    OTHER = "other"


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("write a text that is not empty")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _day(value: object) -> date:
    if type(value) is date:
        return value
    raise ValueError("write a day as 2026-11-23, without quotes")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise ValueError("write a number that is not negative, such as 3.2e24")


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("write a whole number that is not negative")


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_text(item) for item in value)
    raise ValueError('write a list such as ["…", "…"]; [] means none')


def _modalities(value: object) -> tuple[str, ...]:
    words = _words(value)
    if set(words) <= set(MODALITIES):
        return words
    raise ValueError(f"use words of: {', '.join(MODALITIES)}")


def _month(value: object) -> str:
    text = _text(value)
    if _MONTH.fullmatch(text):
        return text
    raise ValueError('write a month as "11/2026"')


Contents: TypeAlias = "tuple[tuple[str, str], ...]"
"""Modality and types of content; a text that was given without a modality stands under the empty one."""


def _contents(value: object) -> Contents:
    if not isinstance(value, dict):
        return (("", _text(value)),)
    if value and value.keys() <= set(MODALITIES):
        return tuple((modality, _text(value[modality])) for modality in MODALITIES if modality in value)
    raise ValueError(f'write a text, or a table such as {{text = "…"}} with keys of: {", ".join(MODALITIES)}')


def _kind(value: object) -> DatasetKind:
    return _choice(value, DatasetKind)


def _basis(value: object) -> LegalBasis:
    return _choice(value, LegalBasis)


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(value: object, kind: type[_Choice]) -> _Choice:
    try:
        return kind(_text(value))
    except ValueError:
        raise ValueError(f"use one of: {', '.join(kind)}") from None


def fact(parse: Callable[[object], T], ask: str, *, needed: str = "always") -> T | None:
    """A field that holds one fact.

    Args:
        parse: makes the value of what stands in the file; its ValueError says what to write.
        ask: the question.
        needed: `always`, `optional` where silence is an answer, or `unasked` where the interview leaves it out too.
    """
    made: T | None = field(default=None, metadata={"parse": parse, "ask": ask, "needed": needed})
    return made


def _tables(kind: type[T], ask: str, *, needed: str = "always") -> tuple[T, ...] | None:
    made: tuple[T, ...] | None = field(default=None, metadata={"each": kind, "ask": ask, "needed": needed})
    return made


def _table(kind: type[T]) -> T:
    made: T = field(default_factory=kind, metadata={"table": kind})
    return made


@dataclass(frozen=True, slots=True)
class Provider:
    """Who places the model on the market (Art. 3(3) AI Act)."""

    name: str | None = fact(_text, "What is the provider's legal name?")
    address: str | None = fact(_text, "What is the provider's postal address?")
    email: str | None = fact(_text, "At which e-mail address can the provider be reached?")
    url: str | None = fact(_text, "What is the provider's web address?", needed="optional")
    established_in_eu: bool | None = fact(_flag, "Is the provider established in the Union?")
    representative_name: str | None = fact(_text, "Who is the authorised representative (Art. 54)?", needed="optional")
    representative_contact: str | None = fact(_text, "How can the representative be reached?", needed="optional")
    sme: bool | None = fact(_flag, "Is the provider a small or medium-sized enterprise (Recommendation 2003/361/EC)?")
    signatory: bool | None = fact(_flag, "Has the provider signed the Code of Practice's Copyright Chapter?")


@dataclass(frozen=True, slots=True)
class Model:
    """One model, with its version."""

    name: str | None = fact(_text, "What is the model's name?")
    version: str | None = fact(_text, "Which version of the model?")
    placed_on_market: date | None = fact(_day, "When was it, or will it be, placed on the Union market?")
    training_flop: float | None = fact(_number, "How many floating-point operations did its training take in all?")
    generates: tuple[str, ...] | None = fact(
        _modalities, "What can it generate: text, image, audio (speech counts as language), video, other?"
    )
    narrow_task: bool | None = fact(_flag, "Can it do a narrow set of tasks only, such as transcription?")
    modalities: tuple[str, ...] | None = fact(_modalities, "What was it trained on: text, image, audio, video, other?")
    text_tokens: int | None = fact(_whole, "How many tokens of text, after processing?", needed="optional")
    images: int | None = fact(_whole, "How many images, after processing?", needed="optional")
    audio_hours: int | None = fact(_whole, "How many hours of audio, after processing?", needed="optional")
    video_hours: int | None = fact(_whole, "How many hours of video, after processing?", needed="optional")
    other_size: str | None = fact(_text, "What other content, its size and unit?", needed="optional")
    size_method: str | None = fact(
        _text, "How were these sizes counted, and which dynamic datasets were left out?", needed="optional"
    )
    content_types: Contents | None = fact(
        _contents, 'What types of content were included? With several modalities: {text = "…", image = "…"}'
    )
    latest_acquisition: str | None = fact(_month, "In which month was the latest training data acquired (MM/YYYY)?")
    continued_training: bool | None = fact(_flag, "Does training go on with new data after that?")
    languages: tuple[str, ...] | None = fact(_words, "Which languages does the training data hold, by name?")
    other_characteristics: str | None = fact(_text, "What else marks the training data as a whole?", needed="optional")
    base_model: str | None = fact(_text, 'Which model was it made from? "none" if from none')
    base_model_summary: str | None = fact(
        _text, "Where is the public summary of the base model's training content?", needed="optional"
    )
    base_training_flop: float | None = fact(
        _number, "How many floating-point operations did the base model's training take?", needed="optional"
    )
    modification_flop: float | None = fact(
        _number, "How many floating-point operations did the modification take?", needed="optional"
    )
    licence: str | None = fact(_text, "Under which licence is it released?")
    licence_is_free: bool | None = fact(_flag, "Does the licence allow access, use, modification and distribution?")
    weights_public: bool | None = fact(_flag, "Are its weights public?")
    architecture_public: bool | None = fact(_flag, "Is information on its architecture public?")
    usage_public: bool | None = fact(_flag, "Is information on its use public?")
    monetised: bool | None = fact(_flag, "Is access to it, or a service that it needs, paid for?")

    @property
    def label(self) -> str:
        """Name and version, as far as they are known."""
        return " ".join(part for part in (self.name, self.version) if part) or "a model without a name"

    def content_of(self, modality: str) -> str | None:
        """The types of content of a modality; one text for all is enough where there is one modality."""
        said = dict(self.content_types or ())
        return said.get(modality) or (said.get("") if len(self.modalities or ()) <= 1 else None)

    @property
    def derived(self) -> bool | None:
        """Whether it was made from another model; None where nobody has said."""
        return None if self.base_model is None else self.base_model.casefold() != "none"


@dataclass(frozen=True, slots=True)
class Crawler:
    """A crawler that the provider runs, or has run for it."""

    token: str | None = fact(_text, "By which product token do sites address the crawler in robots.txt?")
    user_agent: str | None = fact(_text, "What is its full User-Agent header?")
    purposes: str | None = fact(_text, "What is it for?")
    operator: str | None = fact(_text, "Who runs it?")
    page: str | None = fact(_text, "Where is the page about the crawler?")
    ip_ranges: str | None = fact(_text, "Where are its address ranges published?", needed="optional")
    content: str | None = fact(_text, "What types of content and of online sources does it collect?")
    modalities: tuple[str, ...] | None = fact(_modalities, "Which modalities does it collect?")
    from_month: str | None = fact(_month, "Since when, where the log begins later (MM/YYYY)?", needed="optional")
    legal_basis: LegalBasis | None = fact(_basis, "On which legal basis are its copies made?")
    retention_days: int | None = fact(_whole, "After how many days are the pages that it keeps deleted?")
    barriers: str | None = fact(
        _text, "What does it do at captchas, password forms and paywalls that no status announces?", needed="optional"
    )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A collection of training content."""

    name: str | None = fact(_text, "What is the dataset called?")
    kind: DatasetKind | None = fact(_kind, f"Which kind is it: {', '.join(DatasetKind)}?")
    url: str | None = fact(_text, "Where can it be found?", needed="optional")
    version: str | None = fact(_text, "Which version, or what period does it cover?")
    selection: str | None = fact(_text, "What was selected from it, and how?")
    description: str | None = fact(_text, "What does it hold?")
    modalities: tuple[str, ...] | None = fact(_modalities, "Which modalities does it hold?")
    large: bool | None = fact(_flag, "Is it large in the sense of the official form?")
    publicly_known: bool | None = fact(_flag, "Is it publicly known?", needed="optional")
    legal_basis: LegalBasis | None = fact(_basis, "On which legal basis is it used?")
    licence: str | None = fact(_text, "Under which licence or agreement?", needed="optional")
    reservations: str | None = fact(
        _text, "Which opt-outs did whoever made it honour, as far as you know?", needed="optional"
    )
    retention_days: int | None = fact(_whole, "After how many days are its copies deleted?")
    audit: str | None = fact(_text, "Which audit directory tells what was filtered from it?", needed="optional")


@dataclass(frozen=True, slots=True)
class Contact:
    """Where rightsholders turn to (Measure 1.5)."""

    email: str | None = fact(_text, "To which e-mail address are complaints sent?")
    form: str | None = fact(_text, "Where is the complaint form?", needed="optional")
    answer_days: int | None = fact(_whole, "Within how many days is a complaint answered?")


@dataclass(frozen=True, slots=True)
class Owners:
    """Who answers for each measure inside the provider (Measure 1.1)."""

    measure_1_1: str | None = fact(_text, "Who is responsible for the copyright policy (Measure 1.1)?")
    measure_1_2: str | None = fact(_text, "Who is responsible for lawful access (Measure 1.2)?")
    measure_1_3: str | None = fact(_text, "Who is responsible for rights reservations (Measure 1.3)?")
    measure_1_4: str | None = fact(_text, "Who is responsible for infringing outputs (Measure 1.4)?")
    measure_1_5: str | None = fact(_text, "Who is responsible for complaints (Measure 1.5)?")

    def of(self, measure: str) -> str | Missing:
        """Who answers for a measure such as `1.3`."""
        name = f"measure_{measure.replace('.', '_')}"
        owner: str | None = getattr(self, name)
        return owner if owner is not None else Missing(f"owners.{name}", question(Owners, name))


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a change log."""

    version: str | None = fact(_text, "Which version?")
    effective: date | None = fact(_day, "In effect from which day?")
    what: str | None = fact(_text, "What changed?")
    url: str | None = fact(_text, "Where is that version?", needed="optional")


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The copyright policy as a document."""

    version: str | None = fact(_text, "Which version of the copyright policy is this?")
    effective: date | None = fact(_day, "From which day is it in effect?")
    approved_by: str | None = fact(_text, "Who approved it?")
    url: str | None = fact(_text, "Where is its public summary?", needed="optional")
    changes: tuple[Change, ...] | None = _tables(Change, "What changed between versions of the policy?")


@dataclass(frozen=True, slots=True)
class SummaryFacts:
    """The public summary of training content as a document."""

    version: str | None = fact(_text, "Which version of the training-content summary is this?")
    updated: date | None = fact(_day, "On which day was it last updated?")
    url: str | None = fact(_text, "Where is the newest version published?")
    updates: str | None = fact(_text, "Where are new versions announced: a page, a feed, a mailing list?")
    machine_readable: str | None = fact(_text, 'Where is the machine-readable copy (.json)? "none" if there is none')
    domains: str | None = fact(_text, "Where is the list of domain names as a file (.csv)?", needed="optional")
    changes: tuple[Change, ...] | None = _tables(Change, "What changed between versions of the summary?")


@dataclass(frozen=True, slots=True)
class Declarations:
    """What the provider says of itself where no log can speak; rendered as declared, never as shown."""

    output_safeguards: str | None = fact(
        _text, "Which technical safeguards keep the model from reproducing training content unlawfully (Measure 1.4)?"
    )
    terms_prohibition: str | None = fact(
        _text, "Where do the terms of use prohibit copyright-infringing uses of the model (Measure 1.4)?"
    )
    open_source_notice: str | None = fact(
        _text, "Where does the documentation of models under a free licence prohibit them too?", needed="optional"
    )
    protocol_work: str | None = fact(
        _text, "In which work on opt-out protocols does the provider take part (Measure 1.3(3))?", needed="optional"
    )
    illegal_content: str | None = fact(_text, "Which measures remove illegal content (form, section 3.2)?")
    user_data: str | None = fact(
        _text, 'Which user data train the model, from which services (form, 2.4)? "none" if none'
    )
    user_interactions: bool | None = fact(
        _flag, "Do interactions with the model train it (form, 2.4)?", needed="optional"
    )
    user_services: bool | None = fact(
        _flag, "Do interactions with other services or products train it (form, 2.4)?", needed="optional"
    )
    synthetic_data: str | None = fact(_text, 'Which synthetic data, made by which models (form, 2.5)? "none" if none')
    synthetic_market_models: str | None = fact(
        _text, "Which general-purpose AI models on the market made synthetic data (form, 2.5)?", needed="optional"
    )
    synthetic_own_models: str | None = fact(
        _text, "Which other AI models, own ones included, made synthetic data (form, 2.5)?", needed="optional"
    )
    other_data: str | None = fact(_text, 'Which other sources of data (form, 2.6)? "none" if none')
    other_information: str | None = fact(_text, "What else is to be said (form, 3.3)?", needed="optional")


def _comment(section: str) -> str | None:
    return fact(_text, f"Anything to add under section {section} of the form?", needed="unasked")


@dataclass(frozen=True, slots=True)
class Comments:
    """The additional comments that the form has room for; silence is none."""

    sizes: str | None = _comment("1.3")
    public: str | None = _comment("2.1")
    licensed: str | None = _comment("2.2.1")
    third_party: str | None = _comment("2.2.2")
    crawled: str | None = _comment("2.3")
    user: str | None = _comment("2.4")
    synthetic: str | None = _comment("2.5")
    other: str | None = _comment("2.6")
    reservations: str | None = _comment("3.1")


@dataclass(frozen=True, slots=True)
class Review:
    """That somebody looked again at something on the watch list."""

    watch: str | None = fact(_text, "What was looked at: protocol-list, bgh, cjeu, aipref, directive?")
    on: date | None = fact(_day, "On which day?")
    outcome: str | None = fact(_text, "What came of it?")


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the provider has said.

    Attributes:
        source: the file's name, for pointers.
        digest: SHA-256 of the file.
    """

    provider: Provider = _table(Provider)
    contact: Contact = _table(Contact)
    owners: Owners = _table(Owners)
    policy: PolicyFacts = _table(PolicyFacts)
    summary: SummaryFacts = _table(SummaryFacts)
    declared: Declarations = _table(Declarations)
    comments: Comments = _table(Comments)
    models: tuple[Model, ...] | None = _tables(Model, "Which models are placed on the Union market?")
    crawlers: tuple[Crawler, ...] | None = _tables(Crawler, "Which crawlers collect for training?")
    datasets: tuple[Dataset, ...] | None = _tables(Dataset, "Which datasets is the model trained on?")
    reviews: tuple[Review, ...] | None = _tables(
        Review, "Which entries of the watch list have been looked at again?", needed="unasked"
    )
    source: str = ""
    digest: str = ""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Every fact that every document needs and nobody has given, in the order of the form."""
        return tuple(_missing(self, ""))

    def pointer(self, key: str) -> Source:
        """A pointer to a key of the file."""
        return Source(SourceKind.FACTS, f"{self.source or 'provider.toml'} {key}", self.digest)

    def get(self, key: str) -> Any:  # noqa: ANN401 - the type is the field's
        """The fact under a key such as `provider.name`, or what is missing.

        Raises:
            AttributeError: the form has no such key.
        """
        owner, _, name = key.rpartition(".")
        holder = getattr(self, owner) if owner else self
        return known(holder, name, owner)


def ahead_of(facts: Facts, today: date) -> Iterator[tuple[str, str]]:
    """What is said of the past and lies in the future: key and value. Documents read no clock and cannot tell."""
    if facts.summary.updated and facts.summary.updated > today:
        yield "summary.updated", facts.summary.updated.isoformat()
    for number, model in enumerate(facts.models or ()):
        month, _, year = (model.latest_acquisition or "").partition("/")
        if year and (int(year), int(month)) > (today.year, today.month):
            yield f"models[{number}].latest_acquisition", f"{month}/{year}"


def known(holder: object, name: str, prefix: str) -> Any:  # noqa: ANN401 - the type is the field's
    """A field's value, or what is missing: `known(model, "licence", "models[0]")`."""
    value = getattr(holder, name)
    key = f"{prefix}.{name}" if prefix else name
    return Missing(key, question(type(holder), name)) if value is None else value


def question(kind: type[Any], name: str) -> str:
    """The question that a field answers."""
    (found,) = (item for item in fields(kind) if item.name == name)
    return str(found.metadata["ask"])


def _missing(holder: Any, prefix: str) -> Iterator[Missing]:  # noqa: ANN401 - any of the dataclasses above
    for item in fields(holder):
        value, key = getattr(holder, item.name), f"{prefix}{item.name}"
        if "table" in item.metadata:
            yield from _missing(value, f"{key}.")
        elif value is None and item.metadata.get("needed") == "always":
            yield Missing(key, item.metadata["ask"])
        elif value is not None and "each" in item.metadata:
            for number, each in enumerate(value):
                yield from _missing(each, f"{key}[{number}].")


def read(path: Path) -> Facts:
    """Read a facts file.

    Raises:
        FactsError: it cannot be read, is no TOML, or has a key or value that the form does not know.
    """
    try:
        return parse(path.read_bytes(), source=path.name)
    except OSError as error:
        mend = "make one with `optout document init`"
        raise FactsError(f"{path} cannot be read: {error.strerror or error}", mend=mend) from error


def parse(data: bytes, source: str = "provider.toml") -> Facts:
    """Make facts of a file's bytes; the errors are those of `read`."""
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FactsError(f"{source}: not TOML in UTF-8: {error}", mend="mend the syntax at that place") from error
    return Facts(**_values(Facts, table, source, ""), source=source, digest=sha256(data).hexdigest())


def _values(kind: type[Any], table: Mapping[str, Any], source: str, prefix: str) -> dict[str, Any]:
    known_fields = {item.name: item.metadata for item in fields(kind) if item.metadata}
    for name in table:
        if name not in known_fields:
            raise FactsError(
                f"{source}: unknown key", place=f"{prefix}{name}", mend=f"use one of: {', '.join(known_fields)}"
            )
    return {name: _value(known_fields[name], value, source, f"{prefix}{name}") for name, value in table.items()}


def _value(how: Mapping[str, Any], value: Any, source: str, key: str) -> Any:  # noqa: ANN401 - TOML in, fact out
    if "table" in how:
        _need(isinstance(value, dict), source, key, f"write a table [{key}]")
        return how["table"](**_values(how["table"], value, source, f"{key}."))
    if "each" in how:
        listed = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        _need(listed, source, key, f"write tables [[{key}]], or {key} = [] for none")
        return tuple(
            how["each"](**_values(how["each"], each, source, f"{key}[{number}].")) for number, each in enumerate(value)
        )
    try:
        return how["parse"](value)
    except ValueError as error:
        shown = value.isoformat() if isinstance(value, date) else repr(value)
        raise FactsError(f"{source}: {shown} cannot stand in", place=key, mend=str(error)) from error


def _need(condition: bool, source: str, key: str, mend: str) -> None:  # noqa: FBT001 - an assertion
    if not condition:
        raise FactsError(f"{source}: wrong form", place=key, mend=mend)
