"""The audit as a step of other people's pipelines, which are run for real where they are installed."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from datetime import date
from pathlib import Path

import audit_dataset
import pyarrow as pa
import pytest

from optout.audit import Auditor, decide

HOW_TO = Path(__file__).parents[1] / "docs/how-to/audit-as-library.md"


@pytest.fixture(scope="module")
def auditor(tmp_path_factory):
    return Auditor(audit_dataset.store(tmp_path_factory.mktemp("store")), date(2026, 11, 23))


def by_decide(auditor, urls):
    """The number and the reason of each row, and which rows are kept."""
    answers = decide(pa.table({"url": urls}), auditor)
    reasons = dict(enumerate(answers["reason"].to_pylist()))
    return reasons, [row for row, kept in enumerate(answers["kept"].to_pylist()) if kept]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_datatrove_drops_what_decide_denies_and_says_why(auditor, tmp_path):
    pytest.importorskip("datatrove", reason="datatrove is not installed: make test EXTRAS=interop")
    from datatrove.executor import LocalPipelineExecutor  # noqa: PLC0415
    from datatrove.pipeline.readers import JsonlReader  # noqa: PLC0415
    from datatrove.pipeline.writers import JsonlWriter  # noqa: PLC0415

    from optout.audit.integrations.datatrove import OptOutFilter  # noqa: PLC0415

    urls = [*audit_dataset.urls(40), None]
    (tmp_path / "in").mkdir()
    rows = ({"id": str(row), "text": "words", "url": url} for row, url in enumerate(urls))
    (tmp_path / "in/data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dropped = JsonlWriter(str(tmp_path / "dropped"), compression=None)
    pipeline = [
        JsonlReader(str(tmp_path / "in")),
        OptOutFilter(auditor, exclusion_writer=dropped, batch_size=7),
        JsonlWriter(str(tmp_path / "out"), compression=None),
    ]
    stats = LocalPipelineExecutor(pipeline, workers=1, logging_dir=str(tmp_path / "logs")).run()
    reasons, kept = by_decide(auditor, urls)
    written = {name: list(lines(tmp_path / name)) for name in ("out", "dropped")}
    assert [int(row["id"]) for row in written["out"]] == kept
    told = {int(row["id"]): row["metadata"]["filter_reason"] for row in written["dropped"]}
    assert told == {row: reason for row, reason in reasons.items() if row not in kept}
    assert stats.stats[1].stats["dropped_robots.group.disallow"].total == 18


def lines(folder):
    for path in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())


def test_a_page_of_datatrove_s_reader_of_warc_may_reserve(auditor):
    pytest.importorskip("datatrove", reason="datatrove is not installed: make test EXTRAS=interop")
    from datatrove.data import Document  # noqa: PLC0415

    from optout.audit.integrations.datatrove import OptOutFilter  # noqa: PLC0415

    page = '<html><head><meta name="robots" content="noai"></head></html>'
    document = Document(page, "1", metadata={"url": "https://open.example/page", "date": "2026-01-01T00:00:00Z"})
    assert OptOutFilter(auditor).filter(document) is True
    may, reason = OptOutFilter(auditor, text_is_page=True).filter(document)
    assert not may
    assert reason.startswith("robots-directives.")


@pytest.mark.filterwarnings("ignore")
def test_nemo_curator_keeps_what_decide_permits(auditor):
    pytest.importorskip("nemo_curator", reason="NeMo Curator is not installed; it brings PyTorch, so no lock has it")
    import pandas as pd  # noqa: PLC0415
    from nemo_curator.backends.ray_data import RayDataExecutor  # noqa: PLC0415
    from nemo_curator.pipeline import Pipeline  # noqa: PLC0415
    from nemo_curator.tasks import DocumentBatch  # noqa: PLC0415

    from optout.audit.integrations.nemo_curator import OptOutStage  # noqa: PLC0415

    urls = audit_dataset.urls(40)
    reasons, kept = by_decide(auditor, urls)
    frame = pd.DataFrame({"n": range(40), "url": urls})
    shuffled = frame.iloc[::-1]
    pipeline = Pipeline("test", stages=[OptOutStage(auditor)])
    tasks = [DocumentBatch(dataset_name="d", data=data) for data in (frame, pa.Table.from_pandas(shuffled))]
    found = [sorted(task.to_pandas()["n"]) for task in pipeline.run(RayDataExecutor(), initial_tasks=tasks)]
    assert found == [kept, kept]
    stage = OptOutStage(auditor, filtering=False)
    task = stage.process(DocumentBatch(dataset_name="d", data=frame))
    assert task.to_pandas()["reason"].tolist() == list(reasons.values())
    assert "__index_level_0__" not in stage.process(DocumentBatch(dataset_name="d", data=shuffled)).get_columns()


def examples():
    """The examples of the page, each with the library that it needs beside ours."""
    text = HOW_TO.read_text(encoding="utf-8")
    first, *others = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return first, [
        (re.search(r"^(?:from|import) (datasets|datatrove|ray|pyspark)", code, re.MULTILINE), code) for code in others
    ]


def test_the_first_example_of_the_how_to_page_runs(capsys):
    exec(examples()[0], {})  # noqa: S102 - the example
    said = capsys.readouterr().out
    for word in ("'permit'", "'robots.group.disallow'", "'origin.unknown'"):
        assert word in said


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:PySpark:FutureWarning")
@pytest.mark.parametrize("library", ["datasets", "datatrove", "ray", "pyspark"])
def test_the_example_for_a_library_runs(library, tmp_path, monkeypatch, capsys):
    if importlib.util.find_spec(library) is None or (library == "pyspark" and shutil.which("java") is None):
        pytest.skip(f"{library} is not installed: make test EXTRAS=ray,spark,interop")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    first, others = examples()
    (code,) = [code for found, code in others if found and found[1] == library]
    names = {}
    exec(first, names)  # noqa: S102 - the example
    capsys.readouterr()
    exec(code, names)  # noqa: S102 - the example
    said = capsys.readouterr().out
    assert "https://example.com/page" in said
    assert "https://example.com/private/1" not in said
