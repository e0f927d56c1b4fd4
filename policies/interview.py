"""An interview that ends in a facts file. Whatever is not answered stands in the file as a question."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from dataclasses import fields
from datetime import date
from typing import TYPE_CHECKING, Any

from policies.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_YES, _NO = {"yes", "y", "true"}, {"no", "n", "false"}
_MOST = 1000
_TRIES = 3
# After so many answers that cannot stand in the file, the question stays open.


def interview(ask: Callable[[str], str], tell: Callable[[str], None]) -> str:
    """Ask for every fact and give the text of the file.

    Args:
        ask: shows a question and gives the answer; an empty one leaves the fact out.
        tell: shows a remark.
    """
    tell("Answer what you know. An empty answer leaves the fact missing, and documents will say that it is.")
    lines = ["# Provider facts for `optout document`. A line that begins with # has not been answered.", ""]
    lists = [item for item in fields(Facts) if "each" in item.metadata]
    # In TOML, keys of the file itself stand before its tables: lists without entries come first.
    asked = {item.name: list(_each(item.name, item.metadata, ask, tell)) for item in lists}
    lines += [line for found in asked.values() if found[:1] and not found[0].startswith("[[") for line in found]
    for item in fields(Facts):
        if "table" in item.metadata:
            lines += ["", f"[{item.name}]", *_table(item.metadata["table"], item.name, ask, tell)]
    for found in asked.values():
        lines += [line for line in found if found[0].startswith("[[")]
    return "\n".join(lines) + "\n"


def _table(kind: type[Any], name: str, ask: Callable[[str], str], tell: Callable[[str], None]) -> Iterator[str]:
    later: list[str] = []
    for item in fields(kind):
        if "each" in item.metadata:
            found = list(_each(f"{name}.{item.name}", item.metadata, ask, tell))
            if found and found[0].startswith("[["):
                later += found
            else:
                yield from (line.replace(f"{name}.{item.name} =", f"{item.name} =") for line in found)
        else:
            yield _fact(item.name, item.metadata, ask, tell)
    yield from later


def _each(name: str, how: Mapping[str, Any], ask: Callable[[str], str], tell: Callable[[str], None]) -> Iterator[str]:
    unasked = how["needed"] == "unasked"
    count = None if unasked else _count(f"{how['ask']} How many (0 for none)?", ask, tell)
    if count is None:
        yield f"# {name} = []  # {how['ask']}"
    elif count == 0:
        yield f"{name} = []"
    for _ in range(count or 0):
        yield f"[[{name}]]"
        yield from _table(how["each"], name, ask, tell)
        yield ""


def _count(question: str, ask: Callable[[str], str], tell: Callable[[str], None]) -> int | None:
    for _ in range(_TRIES):
        answer = ask(question).strip()
        if answer.isdecimal() and int(answer) <= _MOST:
            return int(answer)
        if not answer:
            break
        tell("  write a whole number")
    return None


def _fact(name: str, how: Mapping[str, Any], ask: Callable[[str], str], tell: Callable[[str], None]) -> str:
    for _ in range(0 if how["needed"] == "unasked" else _TRIES):
        answer = ask(how["ask"]).strip()
        if not answer:
            break
        problem = ""
        for candidate in _candidates(answer):
            try:
                how["parse"](candidate)
            except ValueError as error:
                problem = problem or str(error)
                continue
            return f"{name} = {_toml(candidate)}"
        tell(f"  {problem}")
    return f"# {name} =  # {how['ask']}"


def _candidates(answer: str) -> Iterator[object]:
    """What an answer may mean, the most literal first."""
    if answer.casefold() in _YES | _NO:
        yield answer.casefold() in _YES
    with suppress(tomllib.TOMLDecodeError):
        yield tomllib.loads(f"answer = {answer}")["answer"]
    yield answer
    yield [part.strip() for part in answer.split(",") if part.strip()]
    if answer.casefold() == "none":
        yield []


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, date | int | float):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
