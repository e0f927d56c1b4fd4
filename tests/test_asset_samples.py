"""What must come out of every sample file, ours and the acceptance data's, by way of the command and its parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from asset_mutations import FOLDERS, Judge, is_sound_again, mutants, opened, samples

from optout.acquisition.files import FileParts, FileReader
from optout.cli import file_answers, main
from optout.cli.file_answers import Inspector, Setup, answers
from optout.errors import UnreadableInput
from optout.model import Purpose, State

OURS, SHARED = FOLDERS
AS_OF = date(2026, 11, 23)


def expectations(folder: Path) -> list[dict]:
    path = folder / "expected.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


CASES = [pytest.param(OURS, case, id=case["file"]) for case in expectations(OURS)]
CASES += [pytest.param(SHARED, case, id=f"shared/{case['file']}") for case in expectations(SHARED)]


@pytest.fixture(scope="module")
def reader() -> Iterator[FileReader]:
    with FileReader() as found:
        yield found


@pytest.fixture(scope="module")
def inspector(reader) -> Inspector:
    return Inspector("literal", AS_OF, reader)


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_sample(inspector, folder, case):
    answer, want = inspector.answer(str(folder / case["file"])), case["expect"]
    states = {purpose: want[purpose] for purpose in map(str, Purpose) if want[purpose] is not None}
    assert {purpose: str(answer["states"][purpose]) for purpose in states} == states, case["why"]
    assert answer["unreadable"] is want.get("unreadable", False), case["why"]
    assert bool(answer["problems"]) or not want.get("problem"), case["why"]
    if folder == OURS:
        assert bool(answer["problems"]) is want.get("problem", False), case["why"]


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_a_verdict_that_was_kept_is_the_engine_s(reader, inspector, folder, case):
    name = str(folder / case["file"])
    found = reader.read_path(name)
    assert inspector.answer(name) == inspector.decided(name, found)


@pytest.mark.parametrize(("folder", "case"), CASES)
def test_a_body_says_what_the_file_says(reader, folder, case):
    data = (folder / case["file"]).read_bytes()
    if "sidecar" in case["file"]:
        pytest.skip("what stands beside a file does not come with its body")
    by_path, by_body = reader.read_path(str(folder / case["file"])), reader.read_bytes("work", data)
    assert by_path.media_type == by_body.media_type
    assert [found.body for found in by_path.exchanges] == [found.body for found in by_body.exchanges]


def test_every_shared_sample_has_been_run():
    if not SHARED.exists():
        pytest.skip(f"no acceptance data: {SHARED} does not exist")
    assert len(expectations(SHARED)) >= 60


# Damage.


def test_damage_never_turns_a_reservation_into_a_permission(reader):
    files, judge = samples((OURS,)), Judge(reader)
    before = {name: judge.states(data) for name, data in files.items()}
    found = [
        (mutant.name, mutant.kind, number)
        for number, mutant in enumerate(mutants(files, 1_500, seed=20261123))
        if opened(before[mutant.name], judge.states(mutant.data))
        and mutant.kind != "splice"
        and not is_sound_again(mutant)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["jpeg_allowed.jpg", "epub3_zero.epub", "pdf_zero.pdf", "c2pa_allowed.jpg"])
def test_a_permission_is_lost_with_half_of_the_file(reader, name):
    data, judge = (OURS / name).read_bytes(), Judge(reader)
    assert State.PERMITTED in judge.states(data).values()
    if name != "jpeg_allowed.jpg":  # A picture without its last pixels is whole as far as its metadata goes.
        assert State.PERMITTED not in judge.states(data[: len(data) // 2]).values()


# The command.


def run(capsys, *arguments: str) -> tuple[int, list[dict], str]:
    code = main(["inspect", *arguments])
    out = capsys.readouterr()
    return code, [json.loads(line) for line in out.out.splitlines() if line.startswith("{")], out.err


def test_json_has_a_line_a_file_in_order(capsys):
    names = [str(OURS / name) for name in ("jpeg_allowed.jpg", "c2pa_all.jpg", "epub3.epub")]
    code, lines, _ = run(capsys, "--json", "--policy", "literal", *names)
    assert code == 0
    assert [line["file"] for line in lines] == names
    assert set(lines[0]) == {"file", "media_type", "states", "signals", "problems", "unreadable"}
    assert lines[1]["signals"][0]["protocol"] == "c2pa"
    assert "Sample Signer" in lines[1]["signals"][0]["value"] or "Optout Samples" in lines[1]["signals"][0]["value"]


def test_the_table_names_the_file_and_what_it_says(capsys):
    assert main(["inspect", "--quiet", str(OURS / "png_late.png")]) == 0
    shown = capsys.readouterr().out
    assert "png_late.png" in shown.replace("\n", "")
    assert "reserved" in shown
    assert "1 file: 1 reserved" in shown


def test_unreadable_metadata_leaves_the_question_open(capsys):
    code, lines, _ = run(capsys, "--json", str(OURS / "pdf_locked.pdf"))
    assert (code, lines[0]["unreadable"]) == (3, True)


def test_a_missing_file_is_named_and_the_others_are_answered(capsys, tmp_path):
    code, lines, errors = run(capsys, "--json", str(tmp_path / "none.jpg"), str(OURS / "png_late.png"))
    assert code == 2
    assert "none.jpg" in errors
    assert "error" in lines[0]
    assert lines[1]["states"]["ai-train"] == "reserved"


def test_a_folder_is_entered_in_order_and_links_out_of_it_are_not_followed(capsys, tmp_path):
    (tmp_path / "b").mkdir()
    shutil.copy(OURS / "png_late.png", tmp_path / "b" / "one.png")
    shutil.copy(OURS / "gif_xmp.gif", tmp_path / "a.gif")
    (tmp_path / "b" / "out").symlink_to(OURS)
    _, lines, _ = run(capsys, "--json", str(tmp_path))
    assert [Path(line["file"]).name for line in lines] == ["a.gif", "one.png"]


def test_out_goes_on_where_an_interrupted_run_stopped(capsys, tmp_path):
    out, names = tmp_path / "answers.jsonl", [str(OURS / name) for name in ("png_late.png", "gif_xmp.gif")]
    assert main(["inspect", "--out", str(out), names[0]]) == 0
    first = out.read_bytes()
    out.write_bytes(first + b'{"file": "cut sho')
    assert main(["inspect", "--out", str(out), *names]) == 0
    assert out.read_bytes().startswith(first)
    assert [json.loads(line)["file"] for line in out.read_text().splitlines()] == names
    assert capsys.readouterr().out == ""


def test_out_refuses_a_file_that_holds_something_else(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("my notes\n")
    assert main(["inspect", "--out", str(tmp_path / "notes.txt"), str(OURS / "png_late.png")]) == 2
    assert (tmp_path / "notes.txt").read_text() == "my notes\n"
    assert "something else" in capsys.readouterr().err


def test_many_processes_answer_as_one_does(monkeypatch):
    monkeypatch.setattr(file_answers, "FEW", 2)
    monkeypatch.setattr(file_answers, "BATCH", 4)
    names = [str(OURS / case["file"]) for case in expectations(OURS)][:24]
    assert list(answers(names, Setup("literal", AS_OF), 2)) == list(answers(names, Setup("literal", AS_OF), 1))


# Reading files.


def test_a_page_is_read_by_the_protocols_of_pages(inspector, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><html><head><meta name="tdm-reservation" content="1"></head></html>')
    answer = inspector.answer(str(page))
    assert answer["media_type"] == "text/html"
    assert answer["states"][Purpose.TDM] is State.RESERVED


def test_sidecars_are_named_as_the_place(inspector, tmp_path):
    shutil.copy(OURS / "sidecar_xmp.jpg", tmp_path / "a.b.jpg")
    shutil.copy(OURS / "sidecar_xmp.xmp", tmp_path / "a.b.jpg.xmp")
    answer = inspector.answer(str(tmp_path / "a.b.jpg"))
    assert {signal["place"]["resource"] for signal in answer["signals"]} == {str(tmp_path / "a.b.jpg.xmp")}


def test_a_file_without_suffix_has_no_sidecars_of_its_folder(reader, tmp_path):
    folder = tmp_path / "a.b"
    folder.mkdir()
    shutil.copy(OURS / "sidecar_xmp.xmp", tmp_path / "a.xmp")
    shutil.copy(OURS / "sidecar_xmp.jpg", folder / "picture")
    assert reader.read_path(str(folder / "picture")) == FileParts("image/jpeg")


def test_a_folder_is_no_file(reader, tmp_path):
    with pytest.raises(UnreadableInput, match="name a readable file"):
        reader.read_path(str(tmp_path))
