"""Every command that the README shows is run, and what it names is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from optout.cli import available

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\$ (.+)$", README, flags=re.MULTILINE)
COMMANDS = [line for line in SHOWN if not line.startswith("make ")]
ANSWERS = {0, 1, 3}


def test_the_two_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in SHOWN
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_shown_commands_run_in_their_order(tmp_path):
    """Without a network the answer is a refusal, which is an answer; wrong usage and a traceback are not."""
    for line in COMMANDS:
        result = shell(line, tmp_path)
        assert result.returncode in ANSWERS, (line, result.stderr)
        assert "Traceback" not in result.stderr


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shown line, with this interpreter in the place of the one that the page names."""
    ours = f"{shlex.quote(sys.executable)} -c 'import sys; from optout.cli import main; sys.exit(main())'"
    command = line.replace(".venv/bin/optout", ours)
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def test_the_tutorial_runs_from_its_first_command_to_its_last(tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    for line in re.findall(r"^\$ (.+)$", page, flags=re.MULTILINE):
        result = shell(line, tmp_path)
        assert result.returncode == 0, (line, result.stdout[-2000:], result.stderr[-2000:])


def test_every_command_in_the_table_exists_and_the_other_way_round():
    table = set(re.findall(r"^\| `optout ([a-z]+)", README, flags=re.MULTILINE))
    assert table == set(available())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:optout|crawler|policies|docs)/[\w./-]*)`", README))))
def test_a_named_path_exists(path):
    assert (ROOT / path).exists()
