"""One hardened XML parser for every document that a stranger may send.

Rules: XML 1.0 (https://www.w3.org/TR/xml/), Namespaces in XML (https://www.w3.org/TR/xml-names/).
Nothing outside the given bytes is ever read: no network, no DTD, no external entity. Entity references stay
unresolved, and libxml2's own limits on depth, text length and entity amplification stay switched on.
"""

from __future__ import annotations

from typing import cast

from lxml import etree

Element = etree._Element  # noqa: SLF001 - lxml's public functions return this type; it has no public name.


class MalformedXml(ValueError):
    """The bytes are not a well-formed XML document within the limits.

    `line` counts from 1 and is 0 when no line is to blame; `reason` is one short sentence without the document's text.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line


def parse(data: bytes, *, max_bytes: int) -> Element:
    """Return the root element of an XML document of at most `max_bytes` bytes.

    Comments and processing instructions are left out, so every child is an element or an unresolved entity.
    Raises MalformedXml when the document is too long, empty or not well-formed.
    """
    if len(data) > max_bytes:
        raise MalformedXml(f"longer than {max_bytes} bytes")
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        raise MalformedXml("not well-formed", _line(error)) from None
    except (ValueError, LookupError):
        raise MalformedXml("unknown encoding or forbidden characters") from None
    if root is None:
        raise MalformedXml("no root element")
    return root


def line_of(element: Element) -> int:
    """The line that an element begins on, counted from 1; 0 where it is not known."""
    return cast("int | None", element.sourceline) or 0


def name_of(element: Element) -> tuple[str, str]:
    """The namespace URI and the local name of an element; an unresolved entity has neither."""
    tag: object = element.tag
    return split_name(tag) if isinstance(tag, str) else ("", "")


def is_entity(node: Element) -> bool:
    """Whether a child is an entity reference, of which nobody knows what it stands for."""
    return cast("object", node.tag) is etree.Entity


def entity_in(element: Element) -> Element | None:
    """The first entity reference anywhere in an element; None where there is none."""
    return next(iter(element.iter(etree.Entity)), None)


def split_name(name: str) -> tuple[str, str]:
    """The two parts of a name in Clark notation, `{namespace}local`."""
    if not name.startswith("{"):
        return "", name
    namespace, _, local = name[1:].partition("}")
    return namespace, local


# One parser serves all threads: lxml lets one in at a time, and each document starts it afresh.
_PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    huge_tree=False,
    recover=False,
    remove_comments=True,
    remove_pis=True,
)


def _line(error: etree.XMLSyntaxError) -> int:
    # libxml2 wraps its line counter at 65,535 and answers None when the document ended too early.
    return error.lineno or 0
