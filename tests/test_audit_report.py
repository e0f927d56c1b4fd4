"""The report of an audit: its figures add up, its page is whole whatever names are in it, and it says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_store import make, state

from optout.audit.advice import percent
from optout.audit.figures import Asker, _median_gap
from optout.cli import main

OPEN = "User-agent: *\nDisallow: /private\n"
SHUT = "User-agent: *\nDisallow: /\n"
OTHER = "User-agent: GPTBot\nDisallow: /\n"
LATER = datetime(2026, 3, 1, tzinfo=UTC)
HOSTILE = ["ar\u202egnp.exe", "<script>alert(1)</script>", "x" * 3_000, '"onload="x', "\u0627\u0644", "\x1b[31m"]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit of rows of every kind, with hostile names in every column, and its folder."""
    folder = tmp_path_factory.mktemp("audit")
    store = make(
        folder / "store",
        state("https://open.example", OPEN),
        state("https://shut.example", SHUT),
        state("https://other.example", OTHER),
        state("https://turned.example", OPEN),
        state("https://turned.example", SHUT, LATER),
        state("https://xn--pple-43d.example", OPEN),
    )
    urls = [
        f"https://{host}.example/{row}" for host in ("open", "shut", "other", "turned", "apple") for row in range(20)
    ]
    urls += [
        "https://\u0430pple.example/1",
        f"https://{'a' * 60}.{'b' * 60}.example/",
        "https://[::1]/",
        "no <b>url</b>",
    ]
    urls += [f"https://n{row % 7}.never.org/" for row in range(21)]
    table = pa.table(
        {
            "url": urls,
            "date": ["2025-06-01"] * len(urls),
            "language": [HOSTILE[row % len(HOSTILE)] for row in range(len(urls))],
            "tokens": [10 * row for row in range(len(urls))],
            "text": ["t" * row for row in range(len(urls))],
        }
    )
    (folder / "in").mkdir()
    for name in ("plain.parquet", "<img src=x onerror=alert(1)>\u202egnp.parquet"):
        pq.write_table(table, folder / "in" / name)
    (folder / "in" / "cut.parquet").write_bytes((folder / "in/plain.parquet").read_bytes()[:900])
    (folder / "in" / "bad\x1b[2J.jsonl").write_text("{bad <script>\n")
    command = ["audit", str(folder / "in"), "--store", str(store), "--out", str(folder / "out"), "--as-of", "crawl"]
    command += ["--tokens-column", "tokens", "--what-if", "literal,conservative,retroactive", "--quiet"]
    assert main([*command, "--workers", "1"]) == 2
    return folder / "out"


@pytest.fixture(scope="module")
def figures(audited):
    return json.loads((audited / "report.json").read_text())


def test_the_parts_are_the_whole(figures, audited):
    rows = figures["rows"]
    table = pa.concat_tables(pq.read_table(path) for path in sorted((audited / "decisions").iterdir()))
    assert rows["judged"] == table.num_rows == 251
    assert rows["kept"] == sum(table["kept"].to_pylist())
    assert rows["kept"] + rows["review"] + rows["denied"] == rows["judged"]
    assert sum(one["rows"] for one in figures["reasons"]) == rows["judged"]
    assert (
        sum(one["tokens"] for one in figures["reasons"])
        == rows["tokens"]
        == sum(filter(None, table["tokens"].to_pylist()))
    )
    with_origin = rows["judged"] - rows["malformed"]
    for name in ("domains", "domain_groups"):
        assert sum(one["rows"] for one in figures[name]) == with_origin
        assert sum(one["kept"] for one in figures[name]) == rows["kept"]
    for one in figures["purposes"]:
        assert sum(one["effects"].values()) == sum(one["states"].values()) == rows["judged"]
    time = figures["time"]
    known = sum(time[name] for name in ("reserved_then_and_now", "reserved_since", "opened_since", "open_then_and_now"))
    assert known == rows["judged"] - rows["unknown"] - rows["malformed"]
    assert sum(one["rows"] for one in time["gaps"]) == known
    own = figures["own_token"]
    assert sum(value for name, value in own.items() if name.startswith(("kept", "held"))) == known
    assert own["kept_though_another_is_refused"] == 40


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_years_are_those_of_utc_wherever_the_machine_stands(audited, tmp_path, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    dates = ["2025-01-01T00:30:00Z", "2024-12-31T23:30:00Z"]
    rows = "".join(f'{{"url": "https://open.example/", "date": "{date}"}}\n' for date in dates)
    (tmp_path / "in.jsonl").write_text(rows)
    command = [Path(sys.executable).with_name("optout"), "audit", tmp_path / "in.jsonl"]
    command += ["--store", audited.parent / "store", "--out", tmp_path / "out", "--as-of", "crawl", "--quiet", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert [(one["year"], one["rows"]) for one in report["years"]] == [(2024, 1), (2025, 1)]
    assert report["time"]["earliest_signal"] == "2025-05-01 00:00:00+00"


def test_domains_are_put_together(figures):
    found = {one["domain"]: one["rows"] for one in figures["domains"]}
    assert found["never.org"] == 42
    assert found["xn--pple-43d.example"] == 2
    assert {one["name"] for one in figures["domain_groups"]} == {".example", ".org", "addresses"}


def test_unknown_origins_are_ready_to_be_harvested(figures, audited):
    listed = (audited / "unknown-origins.txt").read_text().splitlines()
    assert len(listed) == figures["unknown_origin_count"] == 10
    assert listed[0] == "https://apple.example"
    assert sorted(listed[1:8]) == [f"https://n{number}.never.org" for number in range(7)]


def test_what_to_do_next_comes_with_commands(figures):
    said = [(one["text"], one["command"]) for one in figures["advice"]]
    texts = " ".join(text for text, _ in said)
    assert said[0][0].startswith("1 file could not be read at all")
    assert "10 origins that the store knows nothing about" in texts
    assert "40 kept rows" in texts
    assert "reserved since" in texts
    assert said[-1][1] == "optout evidence verify OUT --store STORE"


def test_nobody_is_told_to_train_on_nothing(audited, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"url": "https://nobody.knows.example/"}\n')
    command = ["audit", str(tmp_path / "rows.jsonl"), "--store", str(audited.parent / "store")]
    assert main([*command, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    last = json.loads((tmp_path / "out/report.json").read_text())["advice"][-1]
    assert last["text"].startswith("No row may be used")
    assert last["command"] == "optout evidence verify OUT --store STORE"


class Page(HTMLParser):
    """What a browser would make of a page: which elements, whether they are closed, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.images: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if dict(attrs).get("role") == "img":
            self.images.append(dict(attrs).get("aria-label"))
        if tag not in {"meta", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_strangers_add_nothing_to_it(audited):
    text = (audited / "report.html").read_text()
    page = Page(text.removeprefix("<!doctype html>\n").replace("/>", ">"))
    assert not page.open
    assert page.elements <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "b", "bdi", "code", "pre", "small",
        "span", "div", "section", "ol", "ul", "li", "svg", "rect", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert not {name for name in page.attributes if name.startswith("on") or name in {"src", "href", "xlink:href"}}
    assert all(page.images)
    assert not [sign for sign in page.text if not sign.isprintable() and sign != "\n"]
    assert "url(" not in text
    assert "@import" not in text
    assert "x" * 200 not in text
    assert "xn--pple-43d.example" in page.text


def test_a_terminal_gets_no_commands_from_strangers(audited, capfd):
    folder = audited.parent
    command = ["audit", str(folder / "in"), "--store", str(folder / "store"), "--out", str(folder / "again")]
    assert main([*command, "--quiet", "--workers", "1"]) == 2
    said = "".join(capfd.readouterr())
    assert not [sign for sign in said if not sign.isprintable() and sign != "\n"]
    assert "rows may be used" in said
    assert "robots.group.disallow: a rule of robots.txt refuses the path" in said
    assert f"optout harvest {folder / 'again'}/unknown-origins.txt" in said.replace("\n", "")


def test_an_audit_of_nothing_has_a_report(audited, tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    command = [
        "audit",
        str(tmp_path / "empty.jsonl"),
        "--store",
        str(audited.parent / "store"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--what-if", "literal", "--quiet"]) == 0
    figures = json.loads((tmp_path / "out/report.json").read_text())
    assert figures["rows"]["judged"] == 0
    assert figures["advice"][0]["text"].startswith("No row was judged")
    Page((tmp_path / "out/report.html").read_text().removeprefix("<!doctype html>\n").replace("/>", ">"))
    assert (tmp_path / "out/unknown-origins.txt").read_bytes() == b""


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (0, 0, "0 %"),
    ],
)
def test_a_share_is_never_none_of_something(part, whole, said):
    assert percent(part, whole) == said


def test_policies_with_strange_names_can_be_compared(audited, tmp_path):
    text = (Path(__file__).parents[1] / "policies/literal.toml").read_text()
    path = tmp_path / "odd.toml"
    path.write_text(text.replace('name = "literal"', "name = '''a\"b <i>'''"))
    command = ["audit", str(audited.parent / "in/plain.parquet"), "--store", str(audited.parent / "store")]
    assert main([*command, "--out", str(tmp_path / "out"), "--what-if", str(path), "--quiet", "--workers", "1"]) == 0
    (found,) = json.loads((tmp_path / "out/report.json").read_text())["what_if"]
    assert found["name"] == 'a"b <i>'


@pytest.mark.parametrize("gaps", [[], [None], [7], [1, 2], [0, 0, 9], [3, 1, None, 2, 40], [5, 1, 1, 9]])
def test_the_median_gap_is_that_of_the_rows(gaps):
    known = [gap for gap in gaps if gap is not None]
    with Asker([], pa.table({"gap_days": pa.array(gaps, pa.int64())})) as ask:
        assert _median_gap(ask) == (round(median(known)) if known else None)


def test_what_is_no_count_of_tokens_counts_for_nothing(audited, tmp_path):
    """pandas and others write NaN where there is none; as an integer it would be -2 ** 63, and two of them too much."""
    urls = ["https://open.example/1"] * 4
    folder = tmp_path / "in"
    folder.mkdir()
    floats, texts = [1.0, float("nan"), float("nan"), float("inf")], ["1", None, None, "0"]
    columns = [floats, pa.array([1, 2**64 - 1, 2**63, None], pa.uint64()), texts]
    for number, column in enumerate(columns):
        pq.write_table(pa.table({"url": urls, "n": column}), folder / f"{number}.parquet")
    lines = [f'{{"url": "{urls[0]}", "n": {count}}}\n' for count in ("1.0", "-1", "9223372036854775807", '"x"', "true")]
    (folder / "lines.jsonl").write_text("".join(lines))
    command = ["audit", str(folder), "--store", str(audited.parent / "store"), "--out", str(tmp_path / "out")]
    assert main([*command, "--tokens-column", "n", "--quiet", "--workers", "1"]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["rows"]["judged"], report["rows"]["tokens"], report["rows"]["kept_tokens"]) == (17, 4, 4)
