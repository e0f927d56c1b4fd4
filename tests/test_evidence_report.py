"""The evidence report: it counts what the log holds for what is asked, and nothing from a log that does not hold."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import date, timedelta

import desk_samples as desk
import pytest
from evidence_samples import begin, decide, later, robots
from lxml import etree

from optout.cli import main
from optout.errors import MalformedUrl
from policies import facts as provider_facts
from policies.complaints import Subject
from policies.document import Bullets, Figure
from policies.evidence_facts import Observed, Scope, read_log
from policies.evidence_report import evidence_report
from policies.plots import bars, periods, timeline
from policies.render import render


def report(**scope):
    return evidence_report(desk.provider(), replace(desk.observed(), scope=Scope(**scope)))


def decisions(document) -> int:
    return document.data["logs"][0]["decisions"]


@pytest.fixture
def changing(tmp_path):
    """A log of two runs, between which one site has changed its robots.txt and another has not."""
    log = begin(tmp_path)
    decide(log, 1, 3)
    log.close(later(50))
    log = begin(tmp_path, node="n2", at=100)
    digest = log.write_set([replace(robots(1, b"User-agent: *\nDisallow: /\n"), fetched_at=later(100)),
                            replace(robots(2), fetched_at=later(101))])  # fmt: skip
    log.write_set([replace(robots(2), fetched_at=later(103))])
    assert digest
    decide(log, 3, 1, at=110)
    log.close(later(150))
    # The samples' policy is no policy, so only their archive is of use here; the verification is another log's.
    return replace(read_log(tmp_path, now=later(200)), verification=desk.log().verification)


class TestScope:
    def test_everything_is_counted_once(self):
        assert decisions(report()) == sum(row.count for row in desk.log().decisions)

    def test_a_site_is_counted_alone(self):
        blog = decisions(report(host="blog.test"))
        assert blog == desk.decided("http://blog.test:") > 0
        assert decisions(report(host="log.test")) == 0
        assert blog < decisions(report(host="test"))

    def test_a_period_is_counted_alone(self):
        day = date.fromisoformat(desk.observed().dated)
        assert decisions(report(first=day, last=day)) == decisions(report())
        assert decisions(report(first=day + timedelta(days=1))) == 0
        assert decisions(report(last=day - timedelta(days=2))) == 0

    def test_what_a_complaint_is_about_is_counted_alone(self):
        document = report(subjects=(Subject("domain", "blog.test"),), title="complaint 1")
        assert decisions(document) == desk.decided("http://blog.test:")
        assert "complaint 1" in render(document, ".md").decode()
        urls = report(subjects=(Subject("post", "open-post"),), title="complaint 2")
        assert decisions(urls) == 1

    @pytest.mark.parametrize("host", ["a' or 'a'='a", "https://blog.test/"])
    def test_what_is_no_host_is_refused(self, host):
        with pytest.raises(MalformedUrl, match="is no host"):
            report(host=host)

    def test_a_plot_that_leaves_files_out_says_so(self):
        captions = " ".join(block.caption for block in report().blocks if isinstance(block, Figure))
        assert re.search(r"drawn are \d+ of \d+ files", captions)


class TestTruth:
    def test_a_log_that_does_not_hold_is_counted_as_nothing(self, tmp_path):
        shutil.copytree(desk.crawl(), tmp_path / "crawl")
        (path,) = (tmp_path / "crawl" / "evidence" / "segments").glob("*.parquet")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        document = evidence_report(desk.provider(), Observed((read_log(tmp_path / "crawl"),)))
        text = render(document, ".md").decode()
        assert "The log does not hold." in text
        assert "decisions" not in document.data["logs"][0]
        assert "reasons" not in document.tables

    def test_every_count_points_to_its_rows(self):
        document = report(host="blog.test")
        (source,) = document.tables["reasons"].sources
        assert f"({desk.decided('http://blog.test:')} of them)" in source.place
        assert source.digest == desk.log().root

    def test_changes_of_signals_are_those_of_the_archive(self, changing):
        document = evidence_report(desk.provider(), Observed((changing,)))
        assert [row[0] for row in document.tables["changes"].rows] == ["https://site-1.example/robots.txt"]
        host = evidence_report(desk.provider(), Observed((changing,), scope=Scope(host="site-2.example")))
        assert "changes" not in host.tables

    def test_without_evidence_the_report_asks_for_it(self):
        document = evidence_report(provider_facts.parse(b""), Observed())
        assert {missing.fact for missing in document.missing} == {"provider.name", "--evidence"}

    @pytest.mark.parametrize("suffix", [".md", ".html", ".docx", ".json", ".csv"])
    def test_the_same_log_gives_the_same_bytes(self, suffix):
        assert render(report(), suffix) == render(report(), suffix)


class TestPlots:
    def test_plots_are_well_formed_and_say_in_words_what_they_show(self):
        figures = [block for block in report().blocks if isinstance(block, Figure)]
        assert len(figures) == 2
        for figure in figures:
            assert etree.fromstring(figure.svg).tag.endswith("svg")
            assert figure.alt

    def test_hostile_labels_are_text(self):
        moment = later(0)
        drawn = timeline([("https://a/<script>\u202e\x00", [(moment, True), (later(5), False)])])
        root = etree.fromstring(drawn)
        assert not root.findall(".//{*}script")
        assert "\u202e" not in drawn
        assert "<b>" not in bars({"<b>": {"<i>": 1}})

    def test_a_bar_is_as_long_as_its_number(self):
        root = etree.fromstring(bars({"2026-01-01": {"deny": 50, "permit": 100}}))
        deny, permit = (int(rect.get("width")) for rect in root.findall("{*}rect"))
        assert permit == 2 * deny

    def test_a_change_differs_in_shape_and_not_in_colour_alone(self):
        drawn = timeline([("a", [(later(0), False), (later(5), True)])])
        assert drawn.count("<circle") == 1
        assert drawn.count("<rect") == 1

    def test_a_drawing_speaks_where_it_is_cut_out(self):
        for drawn in (bars({"2026-01-01": {"deny": 5}}, "<b>"), timeline([("a", [(later(0), False)])])):
            root = etree.fromstring(drawn)
            assert root[0].tag.endswith("title")
            assert root[1].tag.endswith("desc")
            assert root[0].text
            assert root[1].text

    @pytest.mark.parametrize(("days", "first"), [(31, "2020-01-01"), (32, "2020-01"), (1_500, "2020")])
    def test_many_days_are_put_together(self, days, first):
        counted = {(date(2020, 1, 1) + timedelta(days=number)).isoformat(): {"deny": 1} for number in range(days)}
        found = periods(counted)
        assert next(iter(found)) == first
        assert len(found) <= 31
        assert sum(one["deny"] for one in found.values()) == days

    @pytest.mark.parametrize("label", ["https://" + "a" * 500, "書" * 500, "e\u0301\u0316" * 500, "\u202e" * 500])
    def test_no_label_runs_into_the_drawing(self, label):
        text = etree.fromstring(timeline([(label, [(later(0), False)])])).findtext("{*}text")
        assert sum(2 if one == "書" else 1 for one in text) <= 45
        assert "\u0301" not in text

    def test_marks_that_would_cover_each_other_are_one_and_the_change_wins(self):
        looks = [(later(0), False), (later(1), True), (later(2), False), (later(100_000), False)]
        drawn = timeline([("a", looks)])
        assert drawn.count("<rect") == 1
        assert drawn.count("<circle") == 1


class TestLimits:
    def test_the_report_says_what_no_log_can_show_and_what_was_not_checked(self):
        text = render(report(), ".md").decode()
        assert "nothing was fetched beside the log" in text
        notes = [note for step in desk.log().verification.steps for note in step.notes]
        assert notes
        listed = [item.text for block in report().blocks if isinstance(block, Bullets) for item in block.items]
        assert set(notes) <= set(listed)


class TestCommands:
    def test_a_report_on_a_site_and_one_on_a_complaint(self, tmp_path):
        (tmp_path / "provider.toml").write_text(desk.PROVIDER)
        common = ["--facts", str(tmp_path / "provider.toml"), "--evidence", str(desk.crawl())]
        out = tmp_path / "site.html"
        assert main(["document", "evidence-report", "--host", "blog.test", "--out", str(out), *common]) == 0
        assert "<svg" in out.read_text()
        register = ["--register", str(tmp_path / "r")]
        assert main(["complaint", "add", "--name", "A", "--claim", "c", "--subject", "blog.test", *register]) == 0
        out = tmp_path / "complaint.md"
        assert main(["complaint", "report", "1", "--out", str(out), *common, *register]) == 0
        assert "what complaint 1 is about" in out.read_text()
