"""Days and numbers on the command line: what is none, negative or beyond all bounds is refused, with the mend."""

from __future__ import annotations

import shlex

import pytest

from optout.cli import main
from optout.cli.exit_codes import INTERRUPTED

TO_REFUSE = [
    ("complaint show 9999999999999999999999", "whole number"),
    ("complaint show -- -1", "whole number"),
    ("complaint proof 99999999999999999999 --out p.json", "whole number"),
    ("complaint add --claim x --answers 99999999999999999999", "whole number"),
    ("complaint add --claim x --answer-days -1", "number of days"),
    ("complaint add --claim x --answer-days 99999999999", "number of days"),
    ("evidence purge . --basis x --older-than -1", "number of days"),
    ("evidence purge . --basis x --older-than 99999999999", "number of days"),
    ("evidence query . --limit -1", "whole number"),
    ("evidence query . --since 2026-02-30", "2026-11-27"),
    ("evidence show . --origin https://a.example --as-of yesterday", "2026-11-27"),
    ("document evidence-report --until tomorrow", "2026-11-27"),
    ("lists remove x --as-of 1.1.2026", "2026-11-27"),
    ("harvest origins.txt --store s --concurrency 0", "whole number"),
]


@pytest.mark.parametrize(("line", "mend"), TO_REFUSE)
def test_what_is_no_day_and_no_number_is_refused_with_the_mend(line, mend, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert mend in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_complaints_says_due_only_where_an_answer_is(capsys, tmp_path):
    register = ["--register", str(tmp_path / "register")]
    for subject in ("a.example", "b.example"):
        assert main(["complaint", "add", "--claim", "copied", "--subject", subject, *register]) == 0
    assert main(["complaint", "decide", "1", "uphold", "--by", "B", "--reason", "hers", *register]) == 0
    capsys.readouterr()
    assert main(["complaint", "list", *register]) == 0
    upheld, received = capsys.readouterr().out.splitlines()
    assert ("since" in upheld, "due" in upheld) == (True, False)
    assert ("due" in received, "1 subject" in received) == (True, True)


def test_the_command_that_imports_upheld_complaints_can_be_pasted(capsys, tmp_path):
    register, out = ["--register", str(tmp_path / "register")], tmp_path / "what was upheld"
    assert main(["complaint", "add", "--claim", "copied", "--subject", "a.example", *register]) == 0
    assert main(["complaint", "decide", "1", "uphold", "--by", "B", "--reason", "hers", *register]) == 0
    capsys.readouterr()
    assert main(["complaint", "export", "--out", str(out), "--issuer", "B. O'Neill", *register]) == 0
    command = shlex.split(capsys.readouterr().out)[1:]
    assert command[command.index("--issuer") + 1] == "B. O'Neill"
    assert main([*command, "--store", str(tmp_path / "lists"), "--quiet"]) == 0


def test_an_interruption_while_a_command_is_loaded_is_told_in_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("optout.cli.import_module", interrupted)
    assert main(["harvest", "origins.txt", "--store", "store"]) == INTERRUPTED
    assert capsys.readouterr().err == "optout harvest: interrupted; run it again to go on\n"
