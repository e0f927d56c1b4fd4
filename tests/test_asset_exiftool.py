"""ExifTool as a second opinion on every sample: the same property values, but for stated causes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from asset_mutations import FOLDERS

from optout.syntax import xmp
from optout.syntax.containers import locate
from optout.syntax.located import Slot
from optout.syntax.xml import MalformedXml

PROPERTIES = {
    ("http://ns.useplus.org/ldf/xmp/1.0/", "DataMining"): "XMP-plus:DataMining",
    ("http://www.w3.org/ns/tdmrep/", "reservation"): "XMP-tdm:Reservation",
}

NAMES = frozenset(name for _, name in PROPERTIES)

LEFT_OUT = {
    "tiff_poc.tiff": "costs ExifTool a quarter of a minute",
    "pdf_empty_password.pdf": "AES-256 in Perl takes as long",
    "pdf_locked.pdf": "AES-256 in Perl takes as long",
    "pdf_tdm_enc.pdf": "AES-256 in Perl takes as long",
    "basic-password.pdf": "AES-256 in Perl takes as long",
}

CAUSES = {
    "heic_thumbnail.heic": "ExifTool reads the XMP of every item; this one describes the thumbnail",
    "mov_track.mov": "ExifTool reads the XMP of tracks",
    "svg_group.svg": "ExifTool reads the metadata of every element",
    "jpeg_conflict.jpg": "ExifTool's JSON holds one value of each property",
    "jpeg_malformed.jpg": "ExifTool reads XML that is not well-formed; ours searches it for prohibitions",
    "heic_idat.heic": "older ExifTools read items in the media data only",
    "jxl_brob.jxl": "ExifTool needs a Perl module for Brotli",
    "pdf_tdm_hash.pdf": "ExifTool knows the namespace by another prefix",
}
"""Samples whose values may differ, and why."""


def by_exiftool(paths: list[Path]) -> dict[str, set[str]]:
    command = ["exiftool", "-q", "-q", "-j", "-a", "-U", "-n", "-G1", "-XMP:all", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    found = json.loads(done.stdout)
    return {
        entry["SourceFile"]: {f"{name}={entry[name]}" for name in PROPERTIES.values() if name in entry}
        for entry in found
    }


def by_ours(path: Path) -> set[str]:
    found = set()
    for packet in locate(path.read_bytes()).packets:
        if packet.slot is Slot.XMP:
            try:
                properties = xmp.properties(packet.data, NAMES)
            except MalformedXml:
                continue
            for item in properties:
                name = PROPERTIES.get((item.namespace, item.name))
                found |= {f"{name}={value}" for value in item.values if name}
    return found


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    found = []
    for folder in FOLDERS:
        if (folder / "expected.json").exists():
            entries = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
            found += [folder / entry["file"] for entry in entries]
    return [path for path in found if path.name not in LEFT_OUT and path.suffix not in {".epub", ".txt"}]


def test_exiftool_finds_the_same_values(paths):
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    second = by_exiftool(paths)
    assert len(second) == len(paths)
    differing = {
        path.name: (by_ours(path), second[str(path)])
        for path in paths
        if by_ours(path) != second[str(path)] and path.name not in CAUSES
    }
    assert differing == {}
    assert sum(bool(found) for found in second.values()) > 40
