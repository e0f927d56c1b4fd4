"""Fails when a library that users would install with the product is neither permissive nor MPL.

Reads the dependencies of pyproject.toml, and of those what their installed metadata asks for in turn. The extras of
users count where they are installed; what only developers install does not, for it is not distributed with anything.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

PERMISSIVE = re.compile(
    r"\b(0BSD|Apache|BSD|CC0|CNRI-Python|HPND|ISC|MIT|MPL|Mozilla Public|PSF|Python Software Foundation|Unlicense"
    r"|Zlib|ZPL)"
)
COPYLEFT = re.compile(r"GPL|General Public|EUPL|SSPL|\bNC\b|Commons Clause|PolyForm", re.IGNORECASE)

DEVELOPERS = {"dev", "interop"}

# Libraries whose metadata says too little, with what their licence file says. Each needs its reason beside it.
READ_BY_HAND: dict[str, str] = {}


def permitted(statement: str) -> bool:
    """Whether a licence statement, an SPDX expression or free words, leaves a permissive way to use the library.

    A choice is good when one side is. With parentheses every part must be, which may only be too strict.
    """
    choices = [statement] if "(" in statement else re.split(r"\bOR\b", statement)
    return any(_all_permissive(choice) for choice in choices)


def _all_permissive(terms: str) -> bool:
    parts = re.split(r"\bAND\b|\bOR\b", terms)
    return not COPYLEFT.search(terms) and all(PERMISSIVE.search(part) for part in parts)


def statement_of(library: Distribution) -> str:
    """Give what a library says of its licence, from the most to the least exact of its metadata fields."""
    metadata = library.metadata
    classifiers = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    free_words = (metadata.get("License") or "").strip().partition("\n")[0]
    return (
        READ_BY_HAND.get(canonicalize_name(library.name))
        or metadata.get("License-Expression")
        or " AND ".join(classifiers)
        or free_words
        or "unknown"
    )


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Map every installed library that the requirements lead to by its name; what is not installed leads nowhere."""
    waiting, done, found = list(_applicable(requirements, "")), set[tuple[str, str]](), dict[str, Distribution]()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - {extra for other, extra in done if other == name}:
            done.add((name, extra))
            with suppress(PackageNotFoundError):
                found[name] = distribution(name)
                waiting += _applicable(found[name].requires or (), extra)
    return found


def _applicable(requirements: Iterable[str], extra: str) -> Iterator[Requirement]:
    for requirement in map(Requirement, requirements):
        if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def requirements_of_users() -> list[str]:
    """List the product's own requirements and those of its extras, without the extras of developers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return project["dependencies"] + [text for name in extras if name not in DEVELOPERS for text in extras[name]]


def main() -> int:
    """Print each library that is refused, and say with the exit code whether there is one."""
    libraries = closure(requirements_of_users())
    refused = [library for _, library in sorted(libraries.items()) if not permitted(statement_of(library))]
    for library in refused:
        print(f"{library.name} {library.version}: {statement_of(library)!r} is not permissive", file=sys.stderr)
    print(f"{len(libraries)} libraries read, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
