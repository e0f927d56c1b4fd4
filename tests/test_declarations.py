"""Declarations about works, matched by ISCC."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from optout.acquisition import declarations
from optout.acquisition.declarations import Declarations
from optout.cli import main
from optout.cli.file_answers import Inspector, Setup
from optout.errors import UnreadableInput
from optout.model import Purpose, State
from tools import asset_builders as make

iscc_lib = pytest.importorskip("iscc_lib", reason="the extra iscc is not installed")

PICTURE = make.picture("PNG", size=(64, 64), seed=7)


@pytest.fixture
def work(tmp_path) -> Path:
    path = tmp_path / "work.png"
    path.write_bytes(PICTURE)
    return path


def iscc_of(path: Path, *, image: bool = True) -> str:
    units = [iscc_lib.gen_sum_code_v0(str(path), add_units=True).iscc]
    found = [f"ISCC:{unit}" for unit in iscc_lib.iscc_decompose(units[0])]
    if image:
        found.insert(0, iscc_lib.gen_image_code_v0(declarations._pixels(str(path))).iscc)
    return iscc_lib.gen_iscc_code_v0(found).iscc


def declared(folder: Path, *documents: dict) -> str:
    path = folder / "declarations.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return str(path)


def answer(path: Path, listed: str) -> dict:
    setup = Setup("literal", date(2026, 11, 23), listed)
    with setup.reader() as reader:
        return Inspector(setup.policy, setup.as_of, reader).answer(str(path))


def test_the_same_bytes_are_the_declared_work(work, tmp_path):
    listed = declared(tmp_path, {"iscc": iscc_of(work), "train-ai": "false", "signer": "did:web:press.example"})
    found = answer(work, listed)
    assert found["states"][Purpose.AI_TRAIN] is State.RESERVED
    assert found["signals"][0]["place"]["field"].startswith("declaration in line 1, same bytes")
    assert {"name": "signer", "text": "did:web:press.example"} in found["signals"][0]["conditions"]


def test_a_permission_by_the_same_bytes_counts(work, tmp_path):
    listed = declared(tmp_path, {"iscc": iscc_of(work), "train-ai": "true"})
    assert answer(work, listed)["states"][Purpose.AI_TRAIN] is State.PERMITTED


def test_a_similar_picture_is_a_hint_with_its_distance(work, tmp_path):
    listed = declared(tmp_path, {"iscc": iscc_of(work), "all": "false", "search": "true"})
    other = tmp_path / "other.tif"
    other.write_bytes(make.picture("TIFF", size=(64, 64), seed=7))
    found = answer(other, listed)
    assert set(found["states"].values()) == {State.UNSPECIFIED}
    assert all(signal["advisory"] for signal in found["signals"])
    assert "pictures differ in 0 of 64 bits" in found["signals"][0]["place"]["field"]


def test_another_picture_is_not_declared(work, tmp_path):
    listed = declared(tmp_path, {"iscc": iscc_of(work), "all": "false"})
    other = tmp_path / "other.png"
    other.write_bytes(make.picture("PNG", size=(64, 64), seed=8))
    assert answer(other, listed)["signals"] == []


def test_the_later_declaration_of_two_counts(work, tmp_path):
    iscc = iscc_of(work)
    listed = declared(tmp_path, {"iscc": iscc, "all": "false"}, {"iscc": iscc, "all": "true", "intent": "supersede"})
    assert answer(work, listed)["states"][Purpose.TDM] is State.PERMITTED


def test_the_code_of_a_picture_does_not_depend_on_frame_and_turn(work, tmp_path):
    image = Image.open(work)
    framed = Image.new("RGB", (84, 84), (9, 9, 9))
    framed.paste(image, (10, 10))
    framed.save(tmp_path / "framed.png")
    turned = image.rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert declarations._pixels(str(tmp_path / "framed.png")) == declarations._pixels(str(work))
    assert declarations._pixels(str(tmp_path / "turned.png")) == declarations._pixels(str(work))


def test_what_is_no_picture_has_no_code_of_one(tmp_path):
    (tmp_path / "x.png").write_bytes(PICTURE[:60])
    assert declarations._pixels(str(tmp_path / "x.png")) is None


@pytest.mark.parametrize("line", ["no json", "[]", "{}", '{"iscc": 5}', '{"iscc": "ISCC:garbage"}'])
def test_a_line_that_is_no_declaration_is_named(tmp_path, line):
    path = tmp_path / "list.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(UnreadableInput, match="line 2"):
        Declarations.read(str(path))


def test_the_command_matches_declarations(work, tmp_path, capsys):
    listed = declared(tmp_path, {"iscc": iscc_of(work), "ai-use": "false"})
    assert main(["inspect", "--json", "--declarations", listed, str(work)]) == 0
    assert json.loads(capsys.readouterr().out)["states"]["ai-input"] == "reserved"


def test_without_the_extra_the_mend_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "iscc_lib", None)
    with pytest.raises(UnreadableInput, match=r"optout-toolkit\[iscc\]"):
        Declarations.read(declared(tmp_path, {"iscc": "ISCC:KAA"}))
