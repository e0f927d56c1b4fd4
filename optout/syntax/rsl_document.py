"""An RSL document cut into contents, licences, lists and conditions, without any opinion on what they mean.

Really Simple Licensing 1.0 (https://rslstandard.org/rsl), section 3. RSL is known by its namespace and not by its
media type. An unknown element in that namespace, or one of the structure out of its place, makes the document not
conformant, which a client treats as if there were none; elements of other namespaces are left out. Both the commas
of RSL 0.9 and the spaces of 1.0 separate the tokens of a list.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from optout.syntax import xml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.syntax.xml import Element

NAMESPACE = "https://rslstandard.org/rsl"
MAX_BYTES = 4 << 20
"""Bytes of a document that are read."""

PARENTS = {
    "content": frozenset({"rsl", "item", "entry"}),
    "license": frozenset({"content"}),
    "permits": frozenset({"license"}),
    "prohibits": frozenset({"license"}),
    "payment": frozenset({"license"}),
    "reporting": frozenset({"license"}),
}
"""Where the elements of the structure may stand; the rest only tell more about it."""

ELEMENTS = frozenset(PARENTS) | {
    "rsl", "accepts", "alternate", "amount", "copyright", "custom", "legal", "schema", "standard", "terms",
}  # fmt: skip
"""The elements of RSL 1.0 with its errata to 7 August 2026."""

INVALIDATING = frozenset(
    {"not-xml", "not-rsl", "unknown-element", "misplaced-element", "no-content", "no-url", "entity"}
)
"""Faults that leave no valid document."""

_MAX_FAULTS_OF_A_KIND = 50
_SEPARATORS = re.compile(r"[\s,]+")
_ZERO = re.compile(r"0*(?:\.0*)?")
_NAME = re.compile(r"\{([^}]*)\}(.*)", re.DOTALL)


class Fault(NamedTuple):
    """A departure from the specification, and the line it is on; 0 for the document as a whole."""

    code: str
    line: int


class TokenList(NamedTuple):
    """A `<permits>` or `<prohibits>` element: its `type`, the tokens in order, and its line."""

    type: str
    tokens: tuple[str, ...]
    line: int


class License(NamedTuple):
    """A `<license>` element.

    Attributes:
        permits: its `<permits>` elements.
        prohibits: its `<prohibits>` elements.
        conditions: name and text of what it asks in return; empty where it is free of conditions.
        line: where it begins.
    """

    permits: tuple[TokenList, ...]
    prohibits: tuple[TokenList, ...]
    conditions: tuple[tuple[str, str], ...]
    line: int


class Content(NamedTuple):
    """A `<content>` element.

    Attributes:
        url: the `url` attribute; of an item in a feed that leaves it empty, the link of the item.
        licenses: in order.
        conditions: what holds for each of its licences: a server to ask, encryption.
        contacts: name and text of whom to ask, and of the terms.
        line: where it begins.
        item: whether it stands in an item of a feed, where it speaks about that item alone.
    """

    url: str
    licenses: tuple[License, ...]
    conditions: tuple[tuple[str, str], ...]
    contacts: tuple[tuple[str, str], ...]
    line: int
    item: bool


@dataclass(frozen=True, slots=True)
class RslDocument:
    """What was cut from one document.

    Attributes:
        contents: in order; empty where the document is not valid.
        faults: in the order of the document.
    """

    contents: tuple[Content, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it is an RSL document at all."""
        return not any(fault.code in INVALIDATING for fault in self.faults)


def parse(data: bytes) -> RslDocument:
    """Cut a document; never raises.

    Args:
        data: an RSL file, an RSS feed with the RSL module, or XML around an `<rsl>` element.
    """
    try:
        root = xml.parse(data.lstrip(b" \t\r\n"), max_bytes=MAX_BYTES)
    except xml.MalformedXml as error:
        return RslDocument(faults=(Fault("not-xml", error.line),))
    faults = tuple(_faults(root))
    document = RslDocument(faults=faults)
    if not document.valid:
        return document
    return RslDocument(tuple(_content(element) for element in root.iter(f"{{{NAMESPACE}}}content")), faults)


def _split(element: Element) -> tuple[str, str]:
    """Namespace and local name; both empty for an entity reference."""
    tag = cast("object", element.tag)
    if not isinstance(tag, str):
        return "", ""
    found = _NAME.match(tag)
    return (found[1], found[2]) if found else ("", tag)


def _line(element: Element) -> int:
    return cast("int | None", element.sourceline) or 0


def _text(element: Element) -> str:
    return "".join(cast("Iterator[str]", element.itertext()))


def _line_of_text(element: Element) -> str:
    return " ".join(_text(element).split())


def _faults(root: Element) -> Iterator[Fault]:
    """Everything that is wrong with the structure; the namespace is compared to the letter."""
    ours = [(element, name) for element in root.iter() for space, name in [_split(element)] if space == NAMESPACE]
    names = {name for _, name in ours}
    if not names & {"rsl", "content"}:
        yield Fault("not-rsl", _line(root))
        return
    if "content" not in names:
        yield Fault("no-content", _line(root))
    counts: Counter[str] = Counter()
    for fault in (fault for element, name in ours for fault in _element_faults(element, name)):
        counts[fault.code] += 1
        if counts[fault.code] <= _MAX_FAULTS_OF_A_KIND:
            yield fault
    yield from _max_age(root)


def _element_faults(element: Element, name: str) -> Iterator[Fault]:
    line = _line(element)
    if name not in ELEMENTS:
        yield Fault("unknown-element", line)
    elif name in PARENTS and (parent := element.getparent()) is not None and _split(parent)[1] not in PARENTS[name]:
        yield Fault("misplaced-element", line)
    if name == "content" and element.get("url") is None:
        yield Fault("no-url", line)
    if any(xml.is_entity(child) for child in element):
        yield Fault("entity", line)
    if name == "license":
        yield from _repetitions(element)


def _repetitions(element: Element) -> Iterator[Fault]:
    """Section 3.5: at most one list of a kind and type in a licence."""
    lists = [(_split(child)[1], child.get("type")) for child in element if _split(child)[1] in ("permits", "prohibits")]
    if len(lists) != len(set(lists)):
        yield Fault("repeated-list", _line(element))


def _max_age(root: Element) -> Iterator[Fault]:
    """Section 3.2: a whole number of days, 30 by default. Signals are fetched anew each day, so only 0 is shorter."""
    value = root.get("max-age")
    if value is not None and not value.strip().isdecimal():
        yield Fault("max-age", _line(root))


def _children(element: Element) -> dict[str, list[Element]]:
    """The children in the namespace of RSL by name."""
    named: dict[str, list[Element]] = {name: [] for name in ELEMENTS}
    for child in element:
        space, name = _split(child)
        if space == NAMESPACE and name in named:
            named[name].append(child)
    return named


def _content(element: Element) -> Content:
    parent = element.getparent()
    item = parent is not None and _split(parent)[1] in ("item", "entry")
    url = (element.get("url") or "").strip()
    if item and not url and parent is not None:
        link = parent.find("link")
        url = _line_of_text(link) if link is not None else ""
    conditions = [("server", element.get("server"))]
    if (element.get("encrypted") or "false").strip().lower() != "false":
        conditions.append(("encrypted", element.get("encrypted")))
    return Content(
        url,
        tuple(_license(child) for child in _children(element)["license"]),
        tuple((name, value.strip() or "unstated") for name, value in conditions if value is not None),
        tuple(_contacts(element)),
        _line(element),
        item,
    )


def _contacts(content: Element) -> Iterator[tuple[str, str]]:
    """Copyright and terms, which real files put into the licence as often as beside it."""
    for element in content.iter(f"{{{NAMESPACE}}}copyright", f"{{{NAMESPACE}}}terms"):
        name = _split(element)[1]
        told = (
            (name, _line_of_text(element)),
            ("email", element.get("contactEmail")),
            ("url", element.get("contactUrl")),
        )
        yield from ((name, value.strip()) for name, value in told if value and value.strip())


def _license(element: Element) -> License:
    children = _children(element)
    permits = tuple(_list(child) for child in children["permits"])
    prohibits = tuple(_list(child) for child in children["prohibits"])
    conditions = [asked for child in children["payment"] for asked in _payment(child)]
    conditions += [("reporting", _report(child)) for child in children["reporting"]]
    for kind, lists in (("permits", permits), ("prohibits", prohibits)):
        conditions += [(f"{kind}-{one.type}", " ".join(one.tokens)) for one in lists if one.type in ("user", "geo")]
    return License(permits, prohibits, tuple(conditions), _line(element))


def _list(element: Element) -> TokenList:
    tokens = tuple(token for token in _SEPARATORS.split(_text(element)) if token)
    return TokenList((element.get("type") or "").strip().lower(), tokens, _line(element))


def _report(element: Element) -> str:
    return " ".join(filter(None, (element.get("type"), element.get("profile")))) or "unstated"


def _payment(element: Element) -> Iterator[tuple[str, str]]:
    """What a payment asks for; `free` without terms of its own asks for nothing (section 3.7)."""
    kind = (element.get("type") or "").strip()
    children = _children(element)
    asked = [(name, _line_of_text(child)) for name in ("standard", "custom") for child in children[name]]
    asked += [("accepts", child.get("type") or "unstated") for child in children["accepts"]]
    amounts = [(_line_of_text(child), child.get("currency")) for child in children["amount"]]
    asked += [("amount", " ".join(filter(None, amount))) for amount in amounts if not _ZERO.fullmatch(amount[0])]
    if kind != "free" or asked:
        yield "payment", kind or "unstated"
        yield from asked
