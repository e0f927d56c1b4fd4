"""The how-to pages about documents, lists and evidence: what they show is run on a demonstration, in its order."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[1] / "docs/how-to"
PROGRAM = "import sys; from optout.cli import main; sys.exit(main(sys.argv[1:]))"
# What needs somebody else: a witness, an authority, another machine's directory, a broken disk, a published key.
ELSEWHERE = ("--timestamp", "--serve", "NODE_DIR", " gap ", "--key")


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """Make a crawl with its documents, and an audit, once."""
    folder = tmp_path_factory.mktemp("howto")
    assert run("demo --out crawl --quiet", folder).returncode == 0
    (folder / "provider.toml").write_bytes((folder / "crawl/documents/provider.toml").read_bytes())
    (folder / "rows.jsonl").write_text('{"url": "https://example.com/page"}\n')
    (folder / "origins.txt").write_text("https://example.com\n")
    for line in (
        "harvest origins.txt --store signals --quiet",
        "audit rows.jsonl --store signals --out audited --quiet",
    ):
        assert run(line, folder).returncode == 0
    (folder / "domains.txt").write_text("site.example\n")
    return folder


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *shlex.split(line)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def commands(page: str) -> list[str]:
    """The commands in the blocks of a page, continued lines put together."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```(?:sh|console)?\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("optout ") for line in lines if line.strip().startswith("optout ")]


@pytest.mark.parametrize("page", ["documents.md", "lists.md", "evidence.md"])
def test_the_commands_of_a_page_run_one_after_the_other(page, demonstration, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(demonstration, folder)
    # A site of the demonstration stands in for the one that the pages name.
    (blog,) = set(re.findall(r"http://blog\.test:\d+", run("evidence query crawl", folder).stdout))
    ran = 0
    for line in commands(page):
        if any(word in f" {line} " for word in ELSEWHERE):
            continue
        if "--previous" in line:
            assert run("document training-summary --facts provider.toml --out summary-1.json", folder).returncode == 0
        shown = line.replace("https://site.example/page", f"{blog}/").replace("https://site.example", blog)
        result = run(shown.replace("site.example", blog.removeprefix("http://")), folder)
        # 1 and 3 are answers: a listed site, a fact that is missing, a page that nobody has reached.
        assert result.returncode in {0, 1, 3}, (shown, result.stderr)
        assert "Traceback" not in result.stderr
        ran += 1
    assert ran >= 3
