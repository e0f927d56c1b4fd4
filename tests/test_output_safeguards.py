"""Measure 1.4: passages that a test can find again, and no word about what a model does."""

from __future__ import annotations

import json

import desk_samples as desk

from policies import facts as provider_facts
from policies.document import Code
from policies.evidence_facts import Observed
from policies.output_safeguards import output_safeguards
from policies.passages import Page, hashes, lines, near_duplicates, page
from policies.render import render

TEXT = " ".join(f"word{number}" for number in range(200))


class TestPassages:
    def test_a_passage_is_found_again_in_other_type_and_spacing(self):
        found = hashes(TEXT)
        assert hashes(TEXT.upper().replace(" ", ",\n")) == found
        assert len(found) == 200 - 13 + 1
        assert not hashes("too few words")

    def test_markup_and_scripts_are_no_words(self):
        plain = page("u", f"<p>{TEXT}</p>".encode(), "text/html")
        assert page("u", f"<p>{TEXT}<script>x y z</script></p>".encode(), "text/html") == plain
        assert plain.hashes <= hashes(TEXT)

    def test_an_image_has_no_passages(self):
        assert not page("u", TEXT.encode(), "image/png").hashes

    def test_a_short_page_keeps_at_least_one(self):
        assert len(page("u", " ".join(TEXT.split()[:13]).encode(), "text/plain").hashes) == 1

    def test_copies_are_paired_and_others_are_not(self):
        first, copy = (page(name, TEXT.encode(), "text/plain") for name in "ab")
        other = page("c", TEXT.replace("word", "other").encode(), "text/plain")
        assert near_duplicates([first, copy, other]) == [("a", "b", 100)]

    def test_the_export_holds_no_word_of_the_works(self):
        (line,) = lines([page("https://a/", TEXT.encode(), "text/plain"), Page("https://empty/", frozenset())])
        said = json.loads(line)
        assert said["words"] == 13
        assert "word1" not in line.decode()


class TestDocument:
    def test_passages_are_those_of_kept_pages(self):
        document = output_safeguards(desk.provider(), desk.observed())
        assert document.data["pages"] == desk.kept()
        assert document.missing == ()

    def test_without_facts_and_evidence_everything_is_asked_for(self):
        document = output_safeguards(provider_facts.parse(b""), Observed())
        asked = {missing.fact for missing in document.missing}
        assert {"declared.output_safeguards", "declared.terms_prohibition", "models", "--evidence"} <= asked
        assert not document.forms

    def test_the_notice_is_for_models_under_a_free_licence(self):
        free = output_safeguards(desk.provider(), Observed())
        closed = output_safeguards(desk.provider(("licence_is_free = true", "licence_is_free = false")), Observed())
        count = [sum(isinstance(block, Code) for block in one.blocks) for one in (free, closed)]
        assert count == [2, 1]

    def test_the_same_log_gives_the_same_bytes(self):
        one, other = (output_safeguards(desk.provider(), desk.observed()) for _ in range(2))
        assert one.forms == other.forms
        assert render(one, ".html") == render(other, ".html")
