"""What an ODRL offer says in so many words: who makes it, and what is asked in return.

The Open Digital Rights Language 2.2 (https://www.w3.org/TR/odrl-model/) in the profile that TDM policies use: an
`assigner` with vCard fields, and permissions with duties and constraints (TDMRep section 6). Published examples
have slips, so a member of another type is left out and the rest is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optout.syntax.json_text import Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optout.syntax.json_text import Node, Value

ASSIGNER = {
    "fn": "name",
    "organization": "name",
    "nickname": "nickname",
    "hasemail": "email",
    "email": "email",
    "contact": "contact",
    "hastelephone": "telephone",
    "hasurl": "url",
    "hasaddress": "address",
    "uid": "assigner",
}
"""What the members of an assigner are called here; the names without their prefix, in lower case."""


def offer(root: Node) -> tuple[tuple[str, str], ...]:
    """Everything in a policy, or in an array of them, as name and text in the order of the policy.

    Names are those of `ASSIGNER`, and `target`, `duty` and `constraint`.
    """
    policies = [value for value in _listed(root) if isinstance(value, Object)]
    return tuple(dict.fromkeys(item for policy in policies for item in _offered(policy)))


def _listed(node: Node | None) -> list[Value]:
    """The elements of an array; a lone value is an array of one, as JSON-LD has it."""
    if node is None:
        return []
    return [item.value for item in node.value] if isinstance(node.value, tuple) else [node.value]


def _offered(policy: Object) -> Iterator[tuple[str, str]]:
    for assigner in _listed(policy.get("assigner")):
        yield from _assigner(assigner)
    for permission in _listed(policy.get("permission")):
        if isinstance(permission, Object):
            yield from _terms(permission)


def _assigner(assigner: Value) -> Iterator[tuple[str, str]]:
    """The vCard fields of the rightsholder, and the same as refinements, which some publishers write."""
    if isinstance(assigner, str):
        yield "assigner", assigner
    if not isinstance(assigner, Object):
        return
    for name, node in assigner.members:
        yield from _contact(name, _flat(node.value))
    for refinement in _listed(assigner.get("refinement")):
        yield from _contact(_text(refinement, "leftOperand"), _text(refinement, "rightOperand"))


def _contact(name: str, text: str) -> Iterator[tuple[str, str]]:
    meaning = ASSIGNER.get(name.rpartition(":")[2].lower())
    if meaning and text:
        yield meaning, text.removeprefix("mailto:").removeprefix("tel:")


def _terms(permission: Object) -> Iterator[tuple[str, str]]:
    if target := _text(permission, "target"):
        yield "target", target
    for duty in _listed(permission.get("duty")):
        if text := duty if isinstance(duty, str) else _text(duty, "action"):
            yield "duty", text
    for constraint in _listed(permission.get("constraint")):
        operands = [_text(constraint, name) for name in ("leftOperand", "operator", "rightOperand")]
        if any(operands):
            yield "constraint", " ".join(filter(None, operands))


def _text(value: Value, name: str) -> str:
    node = value.get(name) if isinstance(value, Object) else None
    return _flat(node.value) if node else ""


def _flat(value: Value) -> str:
    """A text, the identifier of a JSON-LD node, or the texts of an address in order."""
    match value:
        case str():
            return value.strip()
        case tuple():
            return ", ".join(filter(None, (_flat(node.value) for node in value)))
        case Object():
            identifier = value.get("@id")
            nodes = [identifier] if identifier else [node for _, node in value.members]
            return ", ".join(filter(None, (_flat(node.value) for node in nodes)))
        case _:
            return ""
