"""The public summary of training content: every field, no invented fact, and every figure from what was kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date

import desk_samples as desk
import pytest

from optout.evidence.report import Outcome
from policies import facts as provider_facts
from policies.content_sizes import most_relevant, of_audit, of_crawl
from policies.document import Document, Fields, Heading, Missing, Table, Ticks
from policies.evidence_facts import Observed
from policies.render import render
from policies.summary_datasets import dataset_of
from policies.summary_head import months_later
from policies.training_summary import training_summary

EMPTY = provider_facts.parse(b"")
NOTHING = Observed()


def text(document: Document) -> str:
    return render(document, ".md").decode()


def ticked(document: Document, label: str) -> tuple[str, ...] | Missing:
    (found,) = (block for block in document.blocks if isinstance(block, Ticks) and block.label == label)
    return found.chosen


def field(document: Document, label: str):
    return next(value for block in document.blocks if isinstance(block, Fields)
                for name, value in block.rows if name == label)  # fmt: skip


def table(document: Document, caption: str) -> Table:
    (found,) = (block for block in document.blocks if isinstance(block, Table) and block.caption == caption)
    return found


@pytest.fixture(scope="module")
def whole() -> Document:
    return training_summary(desk.provider(), desk.observed())


class TestForm:
    def test_every_section_of_the_form_is_there_in_its_order(self, whole):
        numbers = [block.text.split(" ")[0].rstrip(".") for block in whole.blocks if isinstance(block, Heading)]
        wanted = ["1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.2.1", "2.2.2", "2.3", "2.4", "2.5", "2.6",
                  "3", "3.1", "3.2", "3.3"]  # fmt: skip
        assert list(dict.fromkeys(numbers)) == wanted
        assert list(whole.data["form"])[1:] == wanted

    def test_with_all_facts_and_a_crawl_nothing_is_missing(self, whole):
        assert whole.missing == ()

    def test_an_empty_provider_file_invents_nothing(self):
        document = training_summary(EMPTY, NOTHING)
        asked = {missing.fact for missing in document.missing}
        assert {"provider.name", "provider.email", "models", "datasets", "crawlers", "summary.version",
                "provider.signatory", "declared.user_data", "--evidence"} <= asked  # fmt: skip
        assert all(isinstance(block.chosen, Missing) for block in document.blocks if isinstance(block, Ticks))

    def test_no_field_is_left_empty(self, whole):
        for block in whole.blocks:
            if isinstance(block, Fields):
                assert all(isinstance(value, Missing) or str(value).strip() for _, value in block.rows)

    @pytest.mark.parametrize("suffix", [".md", ".html", ".docx", ".json", ".csv"])
    def test_the_same_facts_give_the_same_bytes(self, whole, suffix):
        again = training_summary(desk.provider(), desk.observed())
        assert render(whole, suffix) == render(again, suffix)

    def test_the_machine_readable_form_names_what_is_missing(self):
        form = json.loads(render(training_summary(EMPTY, NOTHING), ".json"))["data"]["form"]
        assert form["1.1"]["Provider name"]["missing"] == "provider.name"
        assert form["3.1"]["Signatory to the Code of Practice?"]["missing"] == "provider.signatory"


class TestHead:
    @pytest.mark.parametrize(
        ("day", "due"),
        [(date(2026, 8, 31), "2027-02-28"), (date(2027, 8, 30), "2028-02-29"), (date(2026, 1, 5), "2026-07-05")],
    )
    def test_six_months_later_is_a_day_that_exists(self, day, due):
        assert months_later(day, 6).isoformat() == due

    def test_the_next_update_is_due_only_where_training_goes_on(self):
        document = training_summary(desk.provider(("continued_training = true", "continued_training = false")), NOTHING)
        assert field(document, "Next update due").startswith("None by time")
        assert field(training_summary(desk.provider(), NOTHING), "Next update due").startswith("2027-02-28")

    def test_versions_are_linked_with_what_changed(self, whole):
        assert ("1", "2026-02-28", "First", "https://ai.example/summary-1") in table(
            whole, "Versions and what changed"
        ).rows

    def test_an_older_version_says_so(self):
        facts = desk.provider(('version = "2"\nupdated', 'version = "1"\nupdated'))
        assert field(training_summary(facts, NOTHING), "Whether this is the latest version") == "No: version 2 is newer"


class TestSizes:
    def test_two_models_do_not_share_a_label(self):
        second = provider_facts.parse((desk.PROVIDER + '[[models]]\nname = "Second"\nversion = "1"\n').encode())
        form = training_summary(second, NOTHING).data["form"]["1.2"]
        assert (form["Versioned model name (model 1)"], form["Versioned model name (model 2)"]) == (
            "Exemplar 3.1", "Second 1",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("tokens", "band"),
        [(999_999_999, 0), (10**9, 1), (10**13, 1), (10**13 + 1, 2)],
    )
    def test_the_bands_are_those_of_the_form(self, tokens, band):
        document = training_summary(desk.provider(("5000000000", str(tokens))), NOTHING)
        (block,) = (one for one in document.blocks if isinstance(one, Ticks) and one.label.startswith("Text:"))
        assert block.chosen == (block.options[band],)

    def test_a_size_that_nobody_gave_is_missing(self):
        document = training_summary(desk.provider(("text_tokens = 5000000000\n", "")), NOTHING)
        assert any(missing.fact == "models[0].text_tokens" for missing in document.missing)

    def test_a_modality_that_was_not_used_is_not_applicable(self, whole):
        assert "Not applicable" in field(whole, "Video: training data size")


class TestDomains:
    @pytest.mark.parametrize(
        ("count", "sme", "listed"),
        [
            (1, False, 1),
            (10, False, 1),
            (11, False, 2),
            (100, True, 5),
            (101, True, 6),
            (20_000, True, 1000),
            (30_000, True, 1000),
            (30_000, False, 3000),
        ],
    )
    def test_the_share_is_that_of_the_form(self, count, sme, listed):
        assert most_relevant(count, sme=sme) == listed

    def test_domains_are_ranked_by_the_bytes_of_kept_pages(self, whole):
        contents = of_crawl(desk.log())
        assert contents.ranked[0][0] == whole.tables["domains"].rows[0][1]
        assert sum(contents.items.values()) == desk.kept()
        assert contents.unlogged == 0
        assert contents.ranked == tuple(sorted(contents.ranked, key=lambda row: (-row[1], -row[2], row[0])))

    def test_a_page_that_the_log_does_not_have_is_not_counted(self, tmp_path):
        shutil.copytree(desk.crawl() / "evidence", tmp_path / "evidence")
        shutil.copytree(desk.crawl() / "signals", tmp_path / "signals")
        (tmp_path / "pages").mkdir()
        (path,) = (desk.crawl() / "pages").glob("*.warc.gz")
        (tmp_path / "pages" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "pages" / "pages-000001.warc.gz").write_bytes(path.read_bytes())
        log = replace(desk.log(), directory=tmp_path)
        contents = of_crawl(log)
        assert (sum(contents.items.values()), contents.unlogged) == (desk.kept(), desk.kept())
        assert "does not have as kept" in text(training_summary(desk.provider(), Observed((log,))))

    def test_without_a_word_on_size_of_the_provider_no_share_is_chosen(self):
        document = training_summary(desk.provider(("sme = false\n", "")), desk.observed())
        assert "domains" not in document.tables
        assert any(missing.fact == "provider.sme" for missing in document.missing)

    def test_only_kept_rows_of_crawled_datasets_count(self, tmp_path):
        rows = (("https://a.example.co.uk/1", True, 10), ("https://b.example.co.uk/2", True, 5),
                ("https://other.example/", False, 99), ("https://none.example/", True, None))  # fmt: skip
        seen = desk.audit(tmp_path / "audit-1", *rows)
        contents = of_audit(seen.audits[0])
        assert contents.octets["example.co.uk"] == 15
        assert "other.example" not in contents.items
        assert contents.unsized == 1
        assert "domains" not in training_summary(desk.provider(), seen).tables
        crawled = desk.provider(('kind = "public"', 'kind = "crawled"'))
        assert training_summary(crawled, seen).tables["domains"].rows[0][1:] == ("example.co.uk", 15, 2)

    def test_without_sizes_nothing_is_said_to_be_ranked_by_them(self, tmp_path):
        unsized = desk.audit(tmp_path / "audit-1", ("https://a.example/", True, None))
        sized = desk.audit(tmp_path / "2" / "audit-1", ("https://a.example/", True, 7))
        without, having = (text(training_summary(desk.provider(), seen)) for seen in (unsized, sized))
        assert "by the number of rows, not by the size" in without
        assert "by the size of the content in bytes" in having

    def test_hostile_names_are_harmless_in_every_form(self, tmp_path):
        name = "https://xn--80ak6aa92e.example/<script>"
        seen = desk.audit(
            tmp_path / "audit-1",
            (name, True, 10),
            ("https://=cmd|x!a0.example/", True, 99),
            ("https://a\u202eb.example/", True, 3),
        )
        facts = desk.provider(('kind = "public"', 'kind = "crawled"'), ("Open Corpus", "<script>alert(1)</script>"))
        document = training_summary(facts, seen)
        assert b"<script" not in render(document, ".html")
        assert not any(
            line.split(",")[1].startswith("=") for line in render(document, ".csv").decode().splitlines()[1:]
        )
        assert "\u202e" not in text(document)


class TestTruth:
    def test_every_sentence_about_behaviour_points_to_policy_and_log(self, whole):
        for section in ("2.3", "3.1"):
            statements = whole.data["form"][section]["statements"]
            assert statements
            for statement in statements:
                kinds = {source.split(" ")[0].rstrip(":") for source in statement["sources"]}
                assert {"policy", "log"} <= kinds, statement

    def test_without_a_log_nothing_is_said_about_behaviour(self):
        form = training_summary(desk.provider(), NOTHING).data["form"]
        assert "statements" not in form["2.3"]
        assert "statements" not in form["3.1"]

    def test_a_log_that_does_not_verify_bears_nothing(self):
        seen = Observed((replace(desk.log(), verification=_Fails()),))
        document = training_summary(desk.provider(), seen)
        assert "statements" not in document.data["form"]["2.3"]
        assert any(missing.fact == "--evidence" for missing in document.missing)

    def test_counts_follow_the_log(self, whole):
        rows = tuple(
            replace(row, reason="rsl.not-listed") if row.reason.startswith("robots.") else row
            for row in desk.log().rows
        )
        other = training_summary(desk.provider(), Observed((replace(desk.log(), rows=rows),)))
        assert "because of robots.txt: " in text(whole).replace("\\", "")
        assert "because of robots.txt: " not in text(other).replace("\\", "")

    def test_periods_follow_the_log(self, whole):
        day = desk.observed().dated
        (row,) = table(whole, "Period of data collection").rows
        assert row[0] == "OptOutBot"
        assert row[5] == day
        assert row[2] == f"{day[5:7]}/{day[:4]}"

    def test_an_undeclared_crawler_is_asked_for(self):
        document = training_summary(desk.provider(('token = "OptOutBot"', 'token = "OtherBot"')), desk.observed())
        asked = {missing.ask for missing in document.missing}
        assert any("decisions for OptOutBot" in ask for ask in asked)
        assert any("OtherBot" in ask for ask in asked)

    def test_a_user_agent_that_the_log_contradicts_is_asked_for(self):
        facts = desk.provider(('user_agent = "OptOutBot"', 'user_agent = "Mozilla"'))
        document = training_summary(facts, desk.observed())
        assert any(missing.fact == "crawlers[].user_agent" for missing in document.missing)

    def test_no_crawler_and_no_log_is_no(self):
        start, end = desk.PROVIDER.index("[[crawlers]]"), desk.PROVIDER.index("[[datasets]]")
        facts = provider_facts.parse(("crawlers = []\n" + desk.PROVIDER[:start] + desk.PROVIDER[end:]).encode())
        document = training_summary(facts, NOTHING)
        assert ticked(document, "Crawlers used by the provider or on its behalf?") == ("No",)
        assert "Not applicable" in field(document, "Period of data collection")

    def test_an_audit_of_no_dataset_is_asked_for(self, tmp_path):
        seen = desk.audit(tmp_path / "audit-9", ("https://a.example/", True, 1))
        document = training_summary(desk.provider(), seen)
        assert any(missing.fact == "datasets[].audit" for missing in document.missing)

    def test_two_audits_of_one_name_belong_to_the_datasets_that_name_their_paths(self, tmp_path):
        one = desk.audit(tmp_path / "one" / "out", ("https://a.example/", True, 1)).audits
        two = desk.audit(
            tmp_path / "two" / "out", ("https://b.example/", True, 1), ("https://c.example/", False, 1)
        ).audits
        second = desk.PROVIDER[desk.PROVIDER.index("[[datasets]]") :].replace("Open Corpus", "Second Corpus")
        said = (desk.PROVIDER + second.replace("audit-1", "../two/out")).replace("audit-1", "one/out")
        found = provider_facts.parse(said.encode())
        assert [dataset_of(found, audit).name for audit in (*one, *two)] == ["Open Corpus", "Second Corpus"]
        assert dataset_of(desk.provider(("audit-1", "three/out")), one[0]) is None

    def test_counts_of_an_audit_stand_under_the_measures(self, tmp_path):
        seen = desk.audit(tmp_path / "audit-1", ("https://a.example/", True, 1), ("https://b.example/", False, 1))
        assert "2 rows were judged" in text(training_summary(desk.provider(), seen))

    def test_rows_of_unknown_sites_are_not_said_to_be_judged_by_signals(self, tmp_path):
        (seen,) = desk.audit(tmp_path / "audit-1", ("https://a.example/", True, 1)).audits
        rows = {
            "judged": 9,
            "kept": 1,
            "denied": 8,
            "refused": 2,
            "unknown": 5,
            "malformed": 1,
            "review": 0,
            "bytes": 0,
        }
        document = training_summary(desk.provider(), Observed((), (replace(seen, figures={"rows": rows}),)))
        assert "Of 5 nothing was known of the site, and 1 named none" in text(document)
        shown = dict(table(document, "Audit audit-1 of Open Corpus: rows by outcome").rows)
        assert shown["Of sites that the store of signals knows nothing about"] == 5
        assert "Bytes" not in shown

    @pytest.mark.parametrize(("name", "section"), [("synthetic_data", "2.5"), ("other_data", "2.6")])
    def test_none_and_a_description_tick_different_boxes(self, name, section):
        said = desk.provider((f'{name} = "none"', f'{name} = "Much of it"'))
        document = training_summary(said, NOTHING)
        assert "Much of it" in json.dumps(document.data["form"][section])
        assert ["Yes"] in document.data["form"][section].values()
        assert ["No"] in training_summary(desk.provider(), NOTHING).data["form"][section].values()


class _Fails:
    """A verification that found something."""

    outcome = Outcome.FAILS
    steps = ()


class TestContradictions:
    """Where two facts of the provider exclude each other, the form asks which is true and ticks neither."""

    @pytest.mark.parametrize(
        ("change", "asked"),
        [
            (('user_data = "none"', 'user_data = "none"\nuser_interactions = true'), "declared.user_data"),
            (('user_data = "none"', 'user_data = "none"\nuser_services = true'), "declared.user_data"),
            (
                ('synthetic_data = "none"', 'synthetic_data = "none"\nsynthetic_market_models = "Big 4"'),
                "declared.synthetic_data",
            ),
            (("text_tokens = 5000000000", "text_tokens = 5000000000\nimages = 7"), "models[0].modalities"),
            (('"Web pages"\nlatest', '{text = "Pages", audio = "Radio"}\nlatest'), "models[0].modalities"),
        ],
    )
    def test_a_fact_that_another_denies_is_asked_for(self, change, asked):
        document = training_summary(desk.provider(change), NOTHING)
        assert [one.ask for one in document.missing if one.fact == asked and "which one is true" in one.ask]

    def test_none_beside_none_is_no_contradiction(self):
        same = desk.provider(
            ('synthetic_data = "none"', 'synthetic_data = "none"\nsynthetic_own_models = "none"'),
            ('user_data = "none"', 'user_data = "none"\nuser_interactions = false'),
        )
        assert not [one for one in training_summary(same, NOTHING).missing if "which one is true" in one.ask]

    def test_a_crawled_dataset_without_a_crawler_ticks_no_box(self):
        start, end = desk.PROVIDER.index("[[crawlers]]"), desk.PROVIDER.index("[[datasets]]")
        said = f"crawlers = []\n{desk.PROVIDER[:start]}{desk.PROVIDER[end:]}".replace(
            'kind = "public"', 'kind = "crawled"'
        )
        document = training_summary(provider_facts.parse(said.encode()), NOTHING)
        label = "Crawlers used by the provider or on its behalf?"
        (box,) = (one for one in document.blocks if isinstance(one, Ticks) and one.label == label)
        assert isinstance(box.chosen, Missing)
        assert "no crawler is used" not in text(document)


def test_the_provider_is_reached_at_its_own_address(whole):
    assert field(whole, "Provider contact details: e-mail") == "office@ai.example"


@pytest.mark.parametrize(
    ("named", "official"),
    [
        ('["English (95 %)", "Irish: 1 %"]', "English, Irish"),
        ('["Englishman"]', "None of the 24, by their English names"),
    ],
)
def test_a_share_behind_a_language_does_not_hide_it(named, official):
    said = training_summary(desk.provider(('["German", "English"]', named)), NOTHING)
    assert field(said, "Official languages of the Union among them") == official


@pytest.mark.parametrize(
    ("version", "updated", "latest"),
    [
        ("3", "2026-09-30", "Yes: version 3 is newer than all versions listed here"),
        ("0", "2025-09-30", "No: version 2 is newer"),
    ],
)
def test_a_version_that_is_not_on_the_list_is_dated_by_its_update(version, updated, latest):
    change = ('version = "2"\nupdated = 2026-08-31', f'version = "{version}"\nupdated = {updated}')
    said = training_summary(desk.provider(change), NOTHING)
    assert field(said, "Whether this is the latest version") == latest
