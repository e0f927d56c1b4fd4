"""The page about shared stores: every command on it is run, in its order, and so is its question in SQL."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from origin_simulator import Simulator
from store_servers import ask_postgres, wipe
from warc_samples import NOON, record

from optout.acquisition.history import Store
from optout.acquisition.stores import open_store
from optout.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "shared-store.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^optout (.+)$", PAGE, flags=re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give the files that the commands name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robotstxt").mkdir()
    (tmp_path / "robotstxt" / "a.warc").write_bytes(record("https://example.com/robots.txt"))
    columns = {"url": ["https://b.example/robots.txt"], "status": [200], "body": [b""], "fetched_at": [NOON]}
    pq.write_table(pa.table(columns), tmp_path / "captures.parquet")
    pq.write_table(pa.table({"url": ["https://example.com/page"]}), tmp_path / "pages.parquet")
    (tmp_path / "mirror" / "c.example").mkdir(parents=True)
    (tmp_path / "mirror" / "c.example" / "robots.txt").write_bytes(b"")
    return tmp_path


def run(arguments):
    """Run a command; a crawl in a process of its own, because its reactor cannot be started twice."""
    if arguments[0] != "crawl":
        return main(arguments)
    program = "import sys; from optout.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", program, *arguments], check=False).returncode


def test_the_commands_of_the_page_work_one_after_the_other(folder, redis_store, postgres_store, capsys):
    for server in (redis_store, postgres_store):
        wipe(server.address)
    with Simulator() as simulator:
        site = simulator.origin("User-agent: *\nAllow: /\n")
        seed = site.page("/")
        (folder / "origins.txt").write_text(f"{site.url}\n")
        places = {
            "postgresql://optout@db.example/optout": postgres_store.address,
            "redis://cache.example:6379/0": redis_store.address,
            "https://example.com/": seed,
        }
        # What is shown of example.com comes from the archive that a later command brings in.
        order = sorted(COMMANDS, key=lambda line: (not line.startswith("harvest"), "--show" in line))
        assert len(order) == 6
        for line in order:
            for shown, here in places.items():
                line = line.replace(shown, here)  # noqa: PLW2901 - the same line, here
            private = ["--allow-private"] if line.startswith("harvest origins") else []
            assert run([*shlex.split(line), *private, "--quiet"]) == 0, (line, capsys.readouterr().err)
    with Store.open(folder / "signals") as store:
        assert list(store.origins()) == [
            site.url, "https://b.example", "https://c.example", "https://example.com",
        ]  # fmt: skip
    assert (folder / "audit" / "report.json").is_file()
    assert (folder / "crawl-1" / "report.json").is_file()


def test_the_question_in_sql_can_be_asked(postgres_store):
    (statement,) = re.findall(r"```sql\n(.+?)```", PAGE, flags=re.DOTALL)
    wipe(postgres_store.address)
    open_store(postgres_store.address, create=True).close()
    ask_postgres(postgres_store.address, statement)
