"""The engines of the audit, run for real: the same bytes, whoever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import audit_dataset
import pyarrow as pa
import pytest

from optout.audit import Auditor, decide
from optout.cli import main

LIBRARIES = {"ray": "ray", "spark": "pyspark"}
WORKERS = {"local": "multiprocessing.spawn", "ray": "ray::make", "spark": "pyspark.daemon"}


def needs(engine):
    if engine in LIBRARIES:
        pytest.importorskip(LIBRARIES[engine], reason=f"--engine {engine} is not tested: make test EXTRAS={engine}")
    if engine == "spark" and shutil.which("java") is None:
        pytest.skip("--engine spark is not tested: it needs Java (on Debian: default-jre-headless)")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return audit_dataset.store(tmp_path_factory.mktemp("store"))


def arguments(store, out, data, engine="local"):
    words = ["audit", data, "--store", store, "--out", out, "--engine", engine, "--workers", 2, "--quiet"]
    return [str(word) for word in words]


@pytest.mark.parametrize("engine", LIBRARIES)
def test_every_form_of_file_gives_the_same_bytes_and_the_same_complaints(store, tmp_path, capsys, engine):
    needs(engine)
    data = audit_dataset.mixed(tmp_path / "in")
    assert main(arguments(store, tmp_path / "local", data)) == 2
    said = capsys.readouterr().err
    assert "cut.parquet" in said
    assert main(arguments(store, tmp_path / engine, data, engine)) == 2
    assert capsys.readouterr().err == said
    assert audit_dataset.snapshot(tmp_path / engine) == audit_dataset.snapshot(tmp_path / "local")
    kept = {path.name for path in (tmp_path / engine / "kept").rglob("*") if path.is_file()}
    assert kept == {"one.parquet", "two.parquet", "lines.jsonl.gz", "crawl.warc", "samples.tar"}


def slow(folder, files=8, rows=2000):
    """Files with pages, because those take a while."""
    folder.mkdir()
    page = "<html><head>" + "<meta name=a content=b>" * 40 + "</head><body></body></html>"
    for number in range(files):
        text = "".join(json.dumps({"url": url, "html": f"{page}{number}"}) + "\n" for url in audit_dataset.urls(rows))
        (folder / f"{number}.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    """A dataset that takes a while, and what an audit of it gives."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(arguments(store, folder / "out", slow(folder / "in"))) == 0
    return folder / "in", audit_dataset.snapshot(folder / "out")


def driver(store, out, data, engine):
    code = "from optout.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments(store, out, data, engine)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_a_shard(process, out):
    while process.poll() is None and not list(out.glob("shards/*.json")):
        time.sleep(0.01)
    assert process.poll() is None, "it was done before it could be disturbed"


def descendants(parent):
    """The numbers of processes that a process has started, and theirs, with their command lines."""
    found, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    family = {parent}
    while more := {one for one, above in parents.items() if above in family and one in found} - family:
        family |= more
    return {one: (parents[one], found[one]) for one in family - {parent}}


def alive(family):
    """Which of some processes still run; one that nobody has asked about its end is dead all the same."""
    states = {}
    for one in family:
        with suppress(OSError):
            states[one] = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0]
    return [one for one, state in states.items() if state != "Z"]


def workers(process, engine):
    """The processes that make shards; Spark's stand below one of the same name that starts them."""
    family = descendants(process.pid)
    named = {one: above for one, (above, words) in family.items() if WORKERS[engine] in words}
    if engine == "spark":
        return [one for one, above in named.items() if above in named]
    return [one for one in named if "resource_tracker" not in family[one][1]]


def at_work(process, engine):
    """The processes that make shards; between two tasks Ray gives its workers another name."""
    while process.poll() is None:
        if found := workers(process, engine):
            return found
        time.sleep(0.01)
    pytest.fail("the audit ended before a worker was seen")


@pytest.mark.parametrize("engine", WORKERS)
def test_a_worker_that_dies_is_replaced(store, tmp_path, undisturbed, engine):
    needs(engine)
    data, expected = undisturbed
    process = driver(store, tmp_path / "out", data, engine)
    try:
        wait_for_a_shard(process, tmp_path / "out")
        for victim in at_work(process, engine):
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 0, said
    found = audit_dataset.snapshot(tmp_path / "out")
    assert {name: data for name, data in found.items() if not name.endswith(".part")} == expected


@pytest.mark.parametrize("engine", WORKERS)
def test_a_driver_that_dies_is_followed_by_one_that_goes_on(store, tmp_path, undisturbed, engine):
    needs(engine)
    data, expected = undisturbed
    process = driver(store, tmp_path / "out", data, engine)
    wait_for_a_shard(process, tmp_path / "out")
    family = descendants(process.pid)
    process.kill()
    process.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/shards").glob("*.json")}
    deadline = time.monotonic() + 60
    while alive(family) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert main(arguments(store, tmp_path / "out", data, engine)) == 0
    assert audit_dataset.snapshot(tmp_path / "out") == expected
    assert {name: (tmp_path / "out/shards" / name).stat().st_mtime_ns for name in done} == done


def table(rows=300):
    return pa.table({"n": pa.array(range(rows), pa.int64()), "url": audit_dataset.urls(rows)})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ray_data_answers_as_decide(store):
    needs("ray")
    import ray.data  # noqa: PLC0415

    from optout.audit.ray import Judging  # noqa: PLC0415

    auditor = Auditor(store, date(2026, 11, 23))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        found = ray.data.from_arrow(table()).map_batches(
            Judging, fn_constructor_args=[auditor], batch_format="pyarrow", batch_size=100, concurrency=1
        )
        answers = pa.concat_tables(ray.get(found.to_arrow_refs())).sort_by("n")
    finally:
        ray.shutdown()
    assert answers.to_pylist() == decide(table(), auditor).to_pylist()


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_answers_as_decide(store, tmp_path):
    needs("spark")
    from optout.audit.spark import judged, session  # noqa: PLC0415

    auditor = Auditor(store, date(2026, 11, 23))
    with session(2) as spark:
        frame = spark.createDataFrame(table().to_pylist(), "n long, url string").repartition(3)
        answers = judged(frame, auditor).toArrow().sort_by("n")
    expected = decide(table(), auditor)
    assert answers.column_names == expected.column_names
    assert answers.to_pylist() == expected.to_pylist()
