"""The frame holds: each rule that the project relies on catches what it was written to catch."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from itertools import permutations
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.check_licences import main as check_licences
from tools.check_licences import permitted, requirements_of_users

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["id"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
LAYERS = [[name.strip(" ()") for name in layer.split("|")] for layer in CONTRACTS["layers"]["layers"]]
LOCKS = sorted(ROOT.glob("requirements*.lock"))

MODULES = [
    *(name.replace(".", "/") + "/__init__.py" for layer in LAYERS for name in layer),
    "optout/__init__.py",
    "optout/acquisition/client.py",
    "optout/acquisition/plan.py",
    "optout/evidence/checkpoint.py",
    "optout/evidence/note.py",
    "optout/evidence/tlog.py",
    "optout/signals/rsl.py",
    "optout/signals/tdmrep.py",
    "optout/syntax/xml.py",
]


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a tree of empty modules under the project's own rules, to write a violation into."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())

    def write(path: str, source: str) -> Path:
        for name in (*MODULES, path):
            module = tmp_path / name
            module.parent.mkdir(parents=True, exist_ok=True)
            module.touch()
        (tmp_path / path).write_text(source, encoding="utf-8")
        return tmp_path

    return write


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "200", **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def broken_contracts(folder: Path) -> set[str]:
    answer = run(BIN / "lint-imports", "--no-cache", "--no-logo", folder=folder)
    lines = [re.match(r"(.+) (KEPT|BROKEN)\b", line) for line in answer.stdout.splitlines()]
    verdicts = {found[1]: found[2] for found in lines if found}
    ids = {contract["name"]: key for key, contract in CONTRACTS.items()}
    assert {ids.get(name) for name in verdicts} == set(CONTRACTS), answer.stdout + answer.stderr
    assert answer.returncode == ("BROKEN" in verdicts.values())
    return {ids[name] for name, verdict in verdicts.items() if verdict == "BROKEN"}


@pytest.mark.parametrize(
    ("path", "source", "broken"),
    [
        ("optout/cli/check.py", "import crawler, optout.assess, optout.errors, os", set()),
        ("optout/engine/__init__.py", "import optout.assess", {"layers"}),
        ("crawler/addon.py", "import policies", {"layers"}),
        ("optout/errors/__init__.py", "from optout import model", {"layers"}),
        ("optout/signals/rsl.py", "from optout.signals import tdmrep", {"signals"}),
        ("optout/signals/rsl.py", "def read():\n    import optout.signals.tdmrep", {"signals"}),
        ("optout/engine/__init__.py", "import socket", {"pure"}),
        ("optout/syntax/xml.py", "from os.path import exists", {"pure"}),
        ("optout/acquisition/plan.py", "import time", {"pure"}),
        ("optout/acquisition/plan.py", "import optout.acquisition.client", set()),
        ("optout/evidence/tlog.py", "import pathlib", {"pure"}),
        ("optout/acquisition/client.py", "import asyncio, ssl", set()),
    ],
)
def test_import_contracts_catch_a_planted_violation(plant, path, source, broken):
    assert broken_contracts(plant(path, source)) == broken


def test_import_contracts_follow_a_detour(plant):
    folder = plant("optout/acquisition/plan.py", "import optout.acquisition.client")
    (folder / "optout/acquisition/client.py").write_text("import socket", encoding="utf-8")
    assert broken_contracts(folder) == {"pure"}


def test_every_module_of_the_library_has_its_layer():
    named = {name for layer in LAYERS for name in layer}
    present = {f"optout.{path.stem}" for path in (ROOT / "optout").iterdir() if _is_module(path)}
    assert present <= named


def _is_module(path: Path) -> bool:
    return (path / "__init__.py").exists() or (path.suffix == ".py" and path.stem != "__init__")


CLOCK = "import datetime\n\nNOW = datetime.datetime.now(tz=datetime.UTC)\n"


@pytest.mark.parametrize(
    "source", [CLOCK, "from time import time\n", "import urllib.request\n", "import http.client\n"]
)
@pytest.mark.parametrize(
    ("path", "banned"),
    [
        ("optout/__init__.py", True),
        ("optout/engine/deciding.py", True),
        ("optout/signals/rsl.py", True),
        ("optout/syntax/xml.py", True),
        ("optout/acquisition/plan.py", True),
        ("optout/evidence/tlog.py", True),
        ("optout/acquisition/client.py", False),
        ("optout/evidence/journal.py", False),
        ("optout/cli/check.py", False),
        ("crawler/addon.py", False),
        ("policies/facts.py", False),
    ],
)
def test_the_core_may_not_read_the_clock(plant, path, source, banned):
    folder = plant(path, source)
    answer = run(BIN / "ruff", "check", "--no-cache", "--select", "TID251", ".", folder=folder)
    assert ("TID251" in answer.stdout) is banned
    assert answer.returncode == banned


def test_the_bare_open_is_caught_everywhere(plant):
    folder = plant("optout/signals/rsl.py", 'open("x")\n')
    assert "PTH123" in run(BIN / "ruff", "check", "--no-cache", ".", folder=folder).stdout


@pytest.mark.parametrize(
    ("statement", "good"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Python Software Foundation License", True),
        ("GPL-3.0-or-later", False),
        ("AGPL-3.0-only AND MIT", False),
        ("GPL-2.0-only AND (MIT OR Apache-2.0)", False),
        ("LGPL-2.1", False),
        ("GNU Affero General Public License v3", False),
        ("CC-BY-NC-4.0", False),
        ("Proprietary", False),
        ("unknown", False),
    ],
)
def test_licence_statements(statement, good):
    assert permitted(statement) is good


def test_every_library_of_users_is_permissive(capsys):
    assert check_licences() == 0, capsys.readouterr().err


def imported(folder: str) -> set[str]:
    trees = [ast.parse(path.read_bytes()) for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"crawler", "optout", "policies"}


def test_what_is_imported_is_declared():
    declared = {canonicalize_name(Requirement(text).name) for text in requirements_of_users()}
    distributions = packages_distributions()
    for module in imported("optout") | imported("crawler") | imported("policies"):
        names = {canonicalize_name(name) for name in distributions.get(module, [module])}
        assert names & declared, f"{module} comes with {names}, which pyproject.toml does not name"


def pins(lock: Path) -> Iterator[Requirement]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line.startswith("    --hash=sha256:"):
            yield Requirement(line.removesuffix(" \\"))


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_are_pins_and_hashes_and_nothing_else(lock):
    line = re.compile(r"[a-z0-9-]+==[^ :/]+( ; [^:/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [text for text in lock.read_text(encoding="utf-8").splitlines() if not line.fullmatch(text)] == []


def asked(extras) -> Iterator[Requirement]:
    """What extras ask for; one may ask for others of ours."""
    for text in (text for extra in extras for text in PYPROJECT["project"]["optional-dependencies"][extra]):
        requirement = Requirement(text)
        yield from asked(requirement.extras) if requirement.name == PYPROJECT["project"]["name"] else [requirement]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ["dev", "iscc", "postgres", "redis"]),
        ("requirements-interop.lock", ["interop"]),
        ("requirements-ray.lock", ["ray"]),
        ("requirements-spark.lock", ["spark"]),
    ],
)
def test_locks_answer_to_the_metadata(lock, extras):
    wanted = [*map(Requirement, PYPROJECT["project"]["dependencies"]), *asked(extras)]
    locked = {canonicalize_name(pin.name): pin for pin in pins(ROOT / lock) if applies(pin)}
    for requirement in filter(applies, wanted):
        pin = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(next(iter(pin.specifier)).version), f"{pin} does not meet {requirement}"


def test_locks_agree_with_each_other():
    versions = {
        (canonicalize_name(pin.name), str(pin.marker)): pin.specifier for pin in pins(ROOT / "requirements.lock")
    }
    for lock in LOCKS:
        for pin in pins(lock):
            assert versions.get((canonicalize_name(pin.name), str(pin.marker)), pin.specifier) == pin.specifier


def test_a_shim_without_its_python_is_passed_over(tmp_path):
    for name, body in {"python3.11": "exit 127", "python3.12": f'exec "{sys.executable}" "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    answer = run("/bin/sh", ROOT / "tools/find_python.sh", folder=tmp_path, PATH=str(tmp_path))
    assert answer.stdout == f"{tmp_path}/python3.12\n"


def test_no_python_is_said_in_one_line(tmp_path):
    answer = run("/bin/sh", ROOT / "tools/find_python.sh", folder=tmp_path, PATH=str(tmp_path))
    assert (answer.returncode, answer.stdout, len(answer.stderr.splitlines())) == (1, "", 1)


def test_make_test_lints_first_and_ends_with_the_tests():
    steps = run("make", "-n", "test", folder=ROOT).stdout
    order = ["ruff check", "ruff format --check", "mypy", "lint-imports", "tools/system.sh", "pytest"]
    places = [steps.index(step) for step in order]
    assert places == sorted(places)
    assert "pytest" in steps.splitlines()[-1]


def test_ci_runs_the_same_command_as_a_developer():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    command = script.read_text(encoding="utf-8").splitlines()[-1].split()
    extras = {lock.stem.removeprefix("requirements-") for lock in LOCKS} - {"requirements"}
    assert command[:2] == ["make", "test"]
    assert "FULL=1" in command
    assert {f"EXTRAS={','.join(order)}" for order in permutations(extras)} & set(command)


def test_the_product_needs_no_newer_python_than_it_says():
    assert Version(PYPROJECT["project"]["requires-python"].removeprefix(">=")) == Version("3.11")
