"""Complaints of rightsholders (Code of Practice, Measure 1.5): what one is, and how it is read from what people send.

A complaint comes as a form (TOML or JSON, `SCHEMA` describes it), as an e-mail file or from a command. Whatever it
lacks to be "sufficiently precise and adequately substantiated" is named and never made up. Its text is a stranger's:
it is kept and shown, and nothing in it is followed.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from optout.acquisition import list_forms
from optout.acquisition.list_forms import Entry
from optout.errors import MalformedUrl, OptoutError
from optout.syntax.list_index import url_keys
from optout.syntax.listing import Match
from optout.urls import match_target, origin_of
from policies import complaint_mail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
MAX_SUBJECTS = 10_000
"""A complaint about more is sent as several, or as a list of its own (`optout lists import`)."""

_URL = re.compile(r"(?:https?://|(?<![\w@./:%-])www\.)[^\s<>\"'`]{1,4096}", re.IGNORECASE)
_DIGEST = re.compile(r"(?<![0-9A-Za-z])(?:sha-?256:)?[0-9a-fA-F]{64}(?![0-9A-Za-z])", re.IGNORECASE)
_POST = re.compile(r"(?<![0-9A-Za-z])post:[^\s<>\"'`]{1,512}")
_TRAILING = ".,;:!?)]}*_"
SEPARATORS = re.compile(r"[/?&=#;,]")
"""What stands between the parts of a URL, one of which may be a post's identifier."""
_POST_PREFIX = "post:"


class ComplaintError(OptoutError):
    """A complaint or a step of its handling that cannot be recorded; names the input and the mend."""


class State(StrEnum):
    """Where a complaint stands."""

    RECEIVED = "received"
    ASKED = "asked"
    UPHELD = "upheld"
    REJECTED = "rejected"
    REMOVED = "removed"


STEPS: Mapping[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.ASKED, State.UPHELD, State.REJECTED}),
    State.ASKED: frozenset({State.UPHELD, State.REJECTED}),
    State.UPHELD: frozenset({State.REMOVED}),
    State.REJECTED: frozenset({State.UPHELD}),
    State.REMOVED: frozenset(),
}
"""What may follow on what. A rejection may be mended; an upheld complaint stays a reservation."""

OPEN = frozenset({State.RECEIVED, State.ASKED})
RESERVING = frozenset({State.UPHELD, State.REMOVED})


class Ground(StrEnum):
    """Why a complaint is rejected."""

    UNFOUNDED = "manifestly-unfounded"
    IDENTICAL = "identical"
    PERMITTED = "permitted"
    NOT_USED = "not-used"
    OTHER = "other"


class Role(StrEnum):
    """Who complains."""

    RIGHTSHOLDER = "rightsholder"
    REPRESENTATIVE = "representative"
    COLLECTIVE = "collective-management-organisation"


class Subject(NamedTuple):
    """What a complaint is about.

    Attributes:
        kind: `domain` with its subdomains, `host` alone, `url` with everything below it, `content` by SHA-256,
            or `post` by its identifier. The first four are those of the lists of `optout lists`.
        text: its normal form.
    """

    kind: str
    text: str

    @property
    def listed(self) -> str | None:
        """The line of a plain list that reserves it; None for a post, whose URLs are listed once they are known."""
        if self.kind == Match.URL:
            # A port that is a scheme's own is not written with it, so it is written with the other.
            own = self.text.partition("/")[0].endswith(":443")
            end = "" if "/" in self.text or "?" in self.text else "/"
            return f"{'http' if own else 'https'}://{self.text}{end}"
        if self.kind == Match.CONTENT:
            return f"sha256:{self.text}"
        if self.kind == Match.HOST:
            return f"https://[{self.text}]/" if ":" in self.text else f"https://{self.text}/"
        return self.text if self.kind == Match.DOMAIN else None

    def covers(self, url: str) -> bool:
        """Whether a URL is meant, as a list with this subject on it would decide."""
        try:
            return self._covers(url)
        except MalformedUrl:
            return False

    def _covers(self, url: str) -> bool:
        if self.kind == Match.CONTENT:
            return False
        if self.kind == Match.URL:
            return self.text in url_keys(url)
        host = origin_of(url).host
        if self.kind == Match.DOMAIN:
            return host == self.text or host.endswith(f".{self.text}")
        if self.kind == Match.HOST:
            return host == self.text
        site, _, identifier = self.text.rpartition("/")
        parts = SEPARATORS.split(match_target(url))
        return identifier in parts and (not site or host == site or host.endswith(f".{site}"))


@dataclass(frozen=True, slots=True)
class Complaint:
    """What somebody complains of.

    Attributes:
        name: who.
        contact: where the answer goes.
        role: on what ground they speak for the work; None where they do not say.
        represents: for whom, where not for themselves.
        works: the works, as they name them.
        claim: what they say has happened.
        subjects: where the works stand.
        unread: what was given as a subject and names nothing.
        source: SHA-256 of what was sent.
    """

    name: str = ""
    contact: str = ""
    role: Role | None = None
    represents: str = ""
    works: tuple[str, ...] = ()
    claim: str = ""
    subjects: tuple[Subject, ...] = ()
    unread: tuple[str, ...] = ()
    source: str = ""

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing for a sufficiently precise and adequately substantiated complaint."""
        wanted = (
            (self.name, "who complains"),
            (self.contact, "an address to which the answer can be sent"),
            (self.role, "whether you are the rightsholder, a representative or a collective management organisation"),
            (self.works, "which works are meant"),
            (self.claim, "what has happened, and why it is not compliant"),
            (self.subjects, "where the works are: web addresses, domains, SHA-256 digests of files or post:IDENTIFIER"),
            (self.role in {None, Role.RIGHTSHOLDER} or self.represents, "for whom you speak"),
        )
        return tuple(question for given, question in wanted if not given)


SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Complaint of a rightsholder",
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "contact", "role", "works", "claim", "subjects"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "who complains"},
        "contact": {"type": "string", "minLength": 1, "description": "where the answer goes"},
        "role": {"enum": [str(role) for role in Role]},
        "represents": {"type": "string", "description": "for whom, where not for yourself"},
        "works": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        "claim": {"type": "string", "minLength": 1, "description": "what has happened, and why it is not compliant"},
        "subjects": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_SUBJECTS,
            "items": {"type": "string", "minLength": 1},
            "description": "domains, web addresses, SHA-256 digests, post:IDENTIFIER or post:SITE/IDENTIFIER",
        },
    },
}
"""The form. What `required` names and is not there is asked for; anything else that does not fit is refused."""


def subject(text: str) -> Subject | None:
    """What a word names; None where it names nothing."""
    word = text.strip()
    if word.lower().startswith(_POST_PREFIX):
        return _post(word[len(_POST_PREFIX) :])
    found = [entry for entry in list_forms.plain(word.partition("#")[0]) if isinstance(entry, Entry)]
    return Subject(str(found[0].match), found[0].text) if len(found) == 1 else None


def _post(text: str) -> Subject | None:
    site, _, identifier = text.rpartition("/")
    if not identifier or SEPARATORS.search(identifier):
        return None
    if not site:
        return Subject("post", identifier)
    named = subject(site)
    return Subject("post", f"{named.text}/{identifier}") if named and named.kind in {"domain", "host"} else None


def subjects(words: Iterable[str]) -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    """What words name, each once, and the words that name nothing.

    Raises:
        ComplaintError: there are more than `MAX_SUBJECTS`.
    """
    found: dict[Subject, None] = {}
    unread: dict[str, None] = {}
    for word in words:
        named = subject(word)
        if named is None:
            unread[word] = None
        else:
            found[named] = None
    if len(found) > MAX_SUBJECTS:
        mend = "send several complaints, or import a list with `optout lists import`"
        raise ComplaintError(f"a complaint about {len(found):,} subjects", mend=mend)
    return tuple(found), tuple(unread)


def read(path: Path) -> Complaint:
    """Read a form (`.toml`, `.json`) or an e-mail (`.eml`).

    Raises:
        ComplaintError: the file cannot be read, is too large or does not have the form.
    """
    reader = {".toml": form_of, ".json": form_of, ".eml": mail_of}.get(path.suffix.lower())
    if reader is None:
        raise ComplaintError(f"{path} is no complaint", mend="end its name with .toml, .json or .eml")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ComplaintError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ComplaintError(f"{path} has more than {MAX_BYTES:,} bytes", mend="send the works as links or digests")
    return reader(data, path.name)


def form_of(data: bytes, name: str) -> Complaint:
    """Read a form; a name that ends in `.json` tells its syntax.

    Raises:
        ComplaintError: as `read`.
    """
    try:
        text = data.decode("utf-8-sig")
        table = json.loads(text) if name.lower().endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ComplaintError(
            f"{name} cannot be read", place=str(error), mend="mend the syntax at that place"
        ) from error
    if not isinstance(table, dict):
        raise ComplaintError(f"{name} is no form", mend="`optout complaint schema` prints what it looks like")
    return of_form(table, name, sha256(data).hexdigest())


def of_form(table: Mapping[str, Any], name: str, source: str) -> Complaint:
    """Make a complaint of a form's fields.

    Raises:
        ComplaintError: a field is unknown or of the wrong kind.
    """
    for key, value in table.items():
        _check(key, value, name)
    named, unread = subjects(table.get("subjects", ()))
    return Complaint(
        name=table.get("name", "").strip(), contact=table.get("contact", "").strip(),
        role=Role(table["role"]) if table.get("role") else None, represents=table.get("represents", "").strip(),
        works=tuple(table.get("works", ())), claim=table.get("claim", "").strip(), subjects=named, unread=unread,
        source=source,
    )  # fmt: skip


def _check(key: str, value: object, name: str) -> None:
    rule = SCHEMA["properties"].get(key)
    if rule is None:
        mend = f"use {', '.join(SCHEMA['properties'])}"
        raise ComplaintError(f"{name} has an unknown field", place=key[:80], mend=mend)
    if "enum" in rule and value not in rule["enum"]:
        raise ComplaintError(f"{name}: {str(value)[:80]!r} is no {key}", mend=f"use {', '.join(rule['enum'])}")
    if rule.get("type") == "array":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ComplaintError(f"{name}: {key} is no list of texts", mend=f'write {key} = ["…", "…"]')
    elif not isinstance(value, str):
        raise ComplaintError(f"{name}: {key} is no text", mend=f'write {key} = "…"')


def mail_of(data: bytes, name: str) -> Complaint:
    """Read an e-mail: sender, text, and every web address, digest and post:IDENTIFIER in it and in attached text.

    Who the sender is in relation to the work cannot be read off a message, so role and works stay to be asked. What
    is attached and is no text is named among what could not be read.

    Raises:
        ComplaintError: it has neither a sender nor a text, or it is not read within the bounds of its reader.
    """
    try:
        mail = complaint_mail.read(data)
    except complaint_mail.UnreadableMailError as error:
        mend = "read it yourself, and add it with --claim and --subject"
        raise ComplaintError(f"{name} cannot be read", place=str(error), mend=mend) from error
    if not any((mail.name, mail.contact, mail.title, mail.text.strip())):
        raise ComplaintError(f"{name} is no e-mail", mend="save the message with its headers")
    text = f"{mail.title}\n\n{mail.text}"
    words = (
        found.rstrip(_TRAILING)
        for pattern in (_URL, _DIGEST, _POST)
        for found in pattern.findall(f"{text}\n{mail.attached}")
    )
    named, unread = subjects(words)
    return Complaint(
        name=mail.name or mail.contact, contact=mail.contact, claim=text.strip(), subjects=named,
        unread=(*unread, *mail.unread), source=sha256(data).hexdigest(),
    )  # fmt: skip
