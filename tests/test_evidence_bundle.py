"""Proofs, exports and erasures, checked by the standalone verifier, and every way to cheat in them."""

from __future__ import annotations

import ast
import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import evidence_samples as samples
import pytest
from evidence_samples import ORIGIN, later

from optout.errors import EvidenceError
from optout.evidence import bundle, entries, redaction, segment, standalone, trust
from optout.evidence.find import by_host, by_url
from optout.evidence.keystore import KeyStore
from optout.evidence.layout import Layout
from optout.evidence.verify import verify

URL = "https://site-2.example/p/0"
HOST = "example,site-2)/"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("original") / "crawl"
    samples.small(directory)
    return directory


def copied(original: Path, directory: Path) -> Layout:
    return Layout(Path(shutil.copytree(original, directory)) / "evidence")


@pytest.fixture
def layout(original: Path, tmp_path: Path) -> Layout:
    return copied(original, tmp_path / "crawl")


def keys(layout: Layout) -> list[str]:
    return [item.text for item in trust.parse(layout.policy.read_bytes()).logs]


def check(value: dict, layout: Layout) -> standalone.Check:
    return standalone.check(json.dumps(value).encode(), keys(layout), [])


def faults(checked: standalone.Check) -> list[str]:
    return [line for step in checked.steps for line in step.wrong]


def test_the_standalone_verifier_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(standalone.__file__).read_bytes())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "cryptography"}


def test_the_standalone_verifier_knows_every_type_of_entry() -> None:
    known = {standalone.SEGMENT, standalone.GAP, standalone.PREDECESSOR, standalone.REDACTION, standalone.PURGE}
    assert known | standalone.SILENT == entries.REQUIRED.keys()


def test_a_proof_is_small_complete_and_valid(layout: Layout) -> None:
    proof = bundle.prove_url(layout, URL)
    checked = check(proof, layout)
    assert (checked.code, faults(checked)) == (standalone.VALID, [])
    assert proof["row"]["reason"] == "robots.group.disallow"
    assert "url" not in proof["row"]
    assert checked.steps[4].checked == 2
    assert len(json.dumps(proof)) < 16_000


def test_the_newest_decision_is_proved(layout: Layout) -> None:
    assert [found.t for found in by_url(layout, URL)] == [samples.NOW.timestamp() * 1e6 + 1e6]
    assert len(by_host(layout, HOST)) == 4
    with pytest.raises(EvidenceError, match="no sealed decision"):
        bundle.prove_url(layout, "https://site-2.example/unknown")


def test_the_program_prints_its_steps(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(json.dumps(bundle.prove_url(layout, URL)))
    command = [sys.executable, "-I", standalone.__file__, str(path)]
    result = subprocess.run([*command, "--key", keys(layout)[0]], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("valid\n")
    without = subprocess.run(command, capture_output=True, text=True, check=False)
    assert without.returncode == standalone.INCOMPLETE
    path.write_text("{}")
    assert subprocess.run(command, capture_output=True, check=False).returncode == standalone.UNREADABLE


def _leaves(value: object, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict):
        return [leaf for name in value for leaf in _leaves(value[name], (*path, name))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, (*path, index))]
    return [path]


def _changed(value: object) -> object:
    if isinstance(value, str):
        return value[:-6] + ("0" if value[-6:-5] != "0" else "1") + value[-5:] if len(value) > 5 else value + "x"
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else "x"


NOT_EVIDENCE = {"policy"}


def test_any_changed_value_of_a_proof_is_noticed(layout: Layout) -> None:
    proof = bundle.prove_url(layout, URL)
    for path in _leaves(proof):
        if path[0] in NOT_EVIDENCE:
            continue
        forged = copy.deepcopy(proof)
        holder = forged
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = _changed(holder[path[-1]])
        try:
            assert check(forged, layout).code != standalone.VALID, path
        except standalone.Wrong:
            assert path == ("v",)


def test_a_proof_signed_by_another_key_is_refused(layout: Layout, tmp_path: Path) -> None:
    other = Layout(samples.small(tmp_path / "other"))
    assert check(bundle.prove_url(other, URL), layout).code == standalone.INVALID


def test_an_export_shows_every_row_of_a_host_and_only_those(layout: Layout) -> None:
    value = bundle.export(layout, HOST)
    checked = check(value, layout)
    assert (checked.code, faults(checked)) == (standalone.VALID, [])
    assert checked.steps[3].checked == 4
    text = json.dumps({**value, "records": []})
    assert "https://site-1.example" not in text
    assert "https://site-3.example" not in text


@pytest.mark.parametrize("host", ["a)/", "example,site-0)/", "example,site-22)/", "zz,zz)/"])
def test_an_export_of_an_absent_host_proves_its_absence(layout: Layout, host: str) -> None:
    checked = check(bundle.export(layout, host), layout)
    assert (checked.code, checked.steps[3].checked) == (standalone.VALID, 0)


def _forgeries(value: dict) -> dict[str, dict]:
    """An export with a row left out, and the other ways to hide something."""
    file = next(name for name, stretch in value["segments"].items() if any("row" in item for item in stretch["items"]))
    made: dict[str, dict] = {}

    def forge(name: str) -> dict:
        made[name] = copy.deepcopy(value)
        return made[name]["segments"][file]

    items = value["segments"][file]["items"]
    first = next(at for at, item in enumerate(items) if "row" in item)
    forge("row left out")["items"].pop(first)
    forge("left neighbour left out")["items"].pop(0)
    forge("right neighbour left out")["items"].pop()
    stretch = forge("begins later")
    stretch["items"].pop(0)
    stretch["first"] += 1
    stretch = forge("rows swapped")
    stretch["items"][first], stretch["items"][first + 1] = stretch["items"][first + 1], stretch["items"][first]
    forge("row withheld as redacted")["items"][first] = {"leaf": "00" * 32}
    forge("neighbour renamed")["items"][0]["host"] = "example,site-1x)/"
    forge("proof cut")["proof"].pop()
    forge("proof longer")["proof"].append(value["segments"][file]["proof"][0])
    forge("other row")["items"][first]["row"]["effect"] = "permit"
    forge("other URL")["items"][first]["url"] = "https://site-2.example/p/other"
    made["segment left out"] = copy.deepcopy(value)
    del made["segment left out"]["segments"][file]
    made["entry left out"] = copy.deepcopy(value)
    made["entry left out"]["entries"].pop()
    made["record left out"] = copy.deepcopy(value)
    made["record left out"]["records"].pop()
    return made


def test_an_export_with_something_hidden_is_refused(layout: Layout) -> None:
    forgeries = _forgeries(bundle.export(layout, HOST))
    accepted = [name for name, forged in forgeries.items() if check(forged, layout).code == standalone.VALID]
    assert accepted == []


def _redact(layout: Layout, found: list, scope: str) -> None:
    store = KeyStore(layout.private)
    chosen = [(item.file, item.at) for item in found]
    redaction.redact(layout, store, ORIGIN, chosen, scope=scope, basis="Art. 17(1)(b) GDPR", now=later(400))


def test_a_redacted_row_is_gone_and_everything_else_is_proved_as_before(layout: Layout) -> None:
    before = {url: bundle.prove_url(layout, url) for url in (URL, "https://site-2.example/q/1")}
    roots = {entry["file_sha256"] for entry in [before[URL]["manifest"]]}
    found = by_url(layout, URL)
    salt = before[URL]["salt"]
    _redact(layout, found, "row")
    report = verify(layout.directory)
    assert report.valid, report.text
    with pytest.raises(EvidenceError, match="redacted"):
        bundle.prove(layout, found[0])
    assert by_url(layout, URL) == []
    other = bundle.prove_url(layout, "https://site-2.example/q/1")
    assert check(other, layout).code == standalone.VALID
    assert other["manifest"]["file_sha256"] in roots
    assert check(before[URL], layout).code == standalone.VALID
    private = (layout.private / "salts" / f"{found[0].file[:-8]}.json").read_text()
    assert salt not in private
    assert KeyStore(layout.private).salts(found[0].file).salt(2 * found[0].at) is None
    exported = check(bundle.export(layout, HOST), layout)
    assert (exported.code, faults(exported)) == (standalone.INCOMPLETE, [])
    assert exported.steps[3].checked == 3
    assert ["redacted" in gap for gap in exported.steps[3].missing] == [True]
    assert URL.encode() not in b"".join(path.read_bytes() for path in layout.segments.iterdir())


def test_a_redacted_url_leaves_the_row(layout: Layout) -> None:
    found = by_url(layout, URL)
    _redact(layout, found, "url")
    assert verify(layout.directory).valid
    proof = bundle.prove(layout, found[0])
    assert "url" not in proof
    assert proof["row"]["reason"] == "robots.group.disallow"
    assert check(proof, layout).code == standalone.VALID
    _redact(layout, found, "row")
    assert verify(layout.directory).valid


def test_redactions_need_a_reason_and_a_row(layout: Layout) -> None:
    store, found = KeyStore(layout.private), by_url(layout, URL)[0]
    for changed in ({"scope": "host"}, {"basis": " "}):
        wanted = {"scope": "row", "basis": "x", "now": later(400)} | changed
        with pytest.raises(EvidenceError):
            redaction.redact(layout, store, ORIGIN, [(found.file, found.at)], **wanted)
    with pytest.raises(EvidenceError, match="rows"):
        redaction.redact(layout, store, ORIGIN, [(found.file, 999)], scope="row", basis="x", now=later(400))


class Power(BaseException):
    """The machine stops here."""


@pytest.mark.parametrize("scope", ["row", "url"])
def test_a_crash_during_a_redaction_leaves_it_undone_or_has_it_finished(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    replace, countdown = Path.replace, [10**9]

    def stopping(self: Path, target: Path) -> Path:
        countdown[0] -= 1
        if countdown[0] < 0:
            raise Power
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stopping)
    stop, finished = 0, False
    while not finished:
        layout = copied(original, tmp_path / str(stop))
        found = by_url(layout, URL)
        countdown[0] = stop
        try:
            _redact(layout, found, scope)
            finished = True
        except Power:
            pass
        countdown[0] = 10**9
        samples.begin(layout.directory.parent, at=500).close(later(600))
        report = verify(layout.directory)
        assert report.valid, f"stopped at {stop}: {report.text}"
        assert not list((layout.private / "staged").glob("*"))
        stop += 1
    assert stop > 5


def test_segments_are_purged_when_their_time_is_up(layout: Layout) -> None:
    store = KeyStore(layout.private)
    assert redaction.purge(layout, store, ORIGIN, basis="ten years", now=later(1000)) == []
    gone = redaction.purge(layout, store, ORIGIN, basis="two minutes", now=later(190), retention=later(120) - later(0))
    assert gone == ["n1-000000000000000.parquet"]
    assert verify(layout.directory).steps[7].outcome == "holds"
    assert not (layout.segments / gone[0]).exists()
    assert store.salts(gone[0]) is None
    checked = check(bundle.export(layout, HOST), layout)
    assert (checked.code, faults(checked)) == (standalone.INCOMPLETE, [])
    assert any("purged" in gap for gap in checked.steps[3].missing)


def test_a_redaction_that_was_not_logged_is_found(layout: Layout) -> None:
    found = by_url(layout, URL)[0]
    path = layout.segments / found.file
    table, known = segment.read(path), KeyStore(layout.private).salts(found.file)
    path.write_bytes(segment.file_bytes(segment.redacted(table, segment.derive(table, known), [found.at], {})))
    report = verify(layout.directory)
    assert any(fault.place == f"row {found.at}" for fault in report.faults), report.text
