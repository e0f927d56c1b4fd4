"""Measure 1.4: passages that a test can find again, and no word about what a model does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import desk_samples as desk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import facts as provider_facts
from policies.document import Code
from policies.evidence_facts import Observed
from policies.output_safeguards import output_safeguards
from policies.passages import Page, gathered, hashes, page
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
        with gathered([other, copy, first]) as found:
            assert found.near_duplicates() == (1, [("a", "b", 100)])

    @given(st.lists(st.frozensets(st.integers(0, 9), min_size=1), min_size=2, max_size=2))
    def test_of_two_pages_the_share_is_that_of_their_hashes(self, sets):
        pages = [Page(f"{number}", frozenset(f"{one:016x}" for one in found)) for number, found in enumerate(sets)]
        share = Fraction(len(sets[0] & sets[1]), len(sets[0] | sets[1]))
        with gathered(pages) as found:
            count, pairs = found.near_duplicates()
        assert count == (share >= Fraction(8, 10))
        assert [one[2] for one in pairs] == [int(100 * share)] * count

    def test_of_many_copies_each_is_named_with_another_and_the_work_stays_linear(self):
        pages = [Page(f"https://m{number:04}.example/", frozenset({f"{one:016x}" for one in range(20)}))
                 for number in range(500)]  # fmt: skip
        with gathered(pages) as found:
            count, pairs = found.near_duplicates()
        assert {url for pair in pairs for url in pair[:2]} == {item.url for item in pages}
        assert count < 2 * len(pages)

    def test_a_url_counts_once_whatever_the_order(self):
        pages = [Page("b", frozenset({"0" * 16})), Page("a", frozenset({"1" * 16})), Page("b", frozenset())]
        with gathered(pages) as found:
            assert found.sums == (2, 2, 2)
            assert [json.loads(line)["url"] for line in found.lines()] == ["a", "b"]

    def test_the_export_holds_no_word_of_the_works(self):
        pages = [page("https://a/", TEXT.encode(), "text/plain"), Page("https://empty/\ud800", frozenset())]
        with gathered(pages) as found:
            (line,) = found.lines()
        said = json.loads(line)
        assert said["words"] == 13
        assert set(said["hashes"]) <= hashes(TEXT)
        assert "word1" not in line.decode()

    @pytest.mark.slow
    def test_more_than_memory_holds_goes_to_disk(self):
        """The peak of resident memory stays under what the same pages alone take as a list."""
        code = """
import random, resource, sys
from policies.passages import Page, gathered
draw = random.Random(1).getrandbits
pages = (Page(f"https://h{number}.example/", frozenset(f"{draw(64):016x}" for _ in range(60)))
         for number in range(60_000))
if sys.argv[1] == "held":
    pages = list(pages)
else:
    with gathered(pages, "64MB") as found:
        print(*found.sums, found.near_duplicates()[0], sum(map(len, found.lines())))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

        def run(how: str) -> list[str]:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            command = [sys.executable, "-c", code, how]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
            return done.stdout.split()

        *said, peak = run("streamed")
        assert said[:4] == ["60000", "60000", "3600000", "0"]
        assert int(peak) < 300
        assert int(run("held")[-1]) > 400


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
        assert render(one, ".jsonl") == render(other, ".jsonl")
        assert render(one, ".html") == render(other, ".html")
