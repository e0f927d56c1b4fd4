"""Reservations in prose: what vectors cannot show of places, quotes, limits, policies and links."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import shipped, variant
from scrapy.http import HtmlResponse

from crawler.carriers import Screen, excerpt
from optout import engine
from optout.identity import Identity
from optout.model import Effect, Exchange, Purpose, State, Strength
from optout.signals import terms_of_service as terms
from optout.syntax import html_text
from optout.syntax.byte_words import ByteWords

DATA = tomllib.loads(files("optout.signals").joinpath("data", "prose.toml").read_text(encoding="utf-8"))
VECTORS = json.loads((Path(__file__).parent / "vectors" / "terms_of_service.json").read_text(encoding="utf-8"))
CLAUSE = "We expressly reserve all rights in our content for text and data mining."
ANCHORED = "Wir behalten uns Text und Data Mining unserer Inhalte im Sinne von § 44b UrhG vor."


def page(body: str | bytes, *headers: tuple[str, str], status: int = 200) -> Exchange:
    data = body if isinstance(body, bytes) else body.encode()
    headers = headers or (("Content-Type", "text/html; charset=utf-8"),)
    return Exchange("https://example.com/terms", status=status, headers=headers, body=data)


def only(exchange: Exchange):
    (statement,) = terms.read(exchange).statements
    return statement


# What a statement tells.


def test_a_statement_quotes_its_sentence_and_names_language_confidence_and_statute():
    statement = only(page(f"<p>Hinweis. {ANCHORED} Danke.</p>"))
    assert statement.value == ANCHORED
    assert dict(statement.conditions) == {"language": "de", "confidence": "high", "anchor": "§ 44b UrhG"}
    assert statement.reason == "terms-of-service.mining"
    assert statement.strength is Strength.ADVISORY


def test_a_statement_names_the_byte_of_its_paragraph_and_the_number_of_its_sentence():
    body = f"<p>Über uns.</p>\n<p>  Contact us. {CLAUSE}</p>"
    statement = only(page(body))
    assert statement.place.offset == body.encode().index(b"Contact")
    assert statement.place.field == "sentence 2"


@pytest.mark.parametrize(
    ("sentence", "confidence"),
    [
        (ANCHORED, "high"),
        (CLAUSE, "medium"),
        ("You may not use our articles to train AI models or other artificial intelligence.", "medium"),
        ("You may not scrape our website.", "low"),
    ],
)
def test_confidence_is_high_with_a_statute_and_low_for_a_ban_on_scraping(sentence, confidence):
    assert dict(only(page(f"<p>{sentence}</p>")).conditions)["confidence"] == confidence


def test_nothing_flows_down_from_prose():
    assert only(page(f"<p>{CLAUSE}</p>")).states == (
        (Purpose.TDM, State.RESERVED),
        (Purpose.AI_TRAIN, State.RESERVED),
    )


def test_a_clause_that_stands_twice_is_given_once():
    assert len(terms.read(page(f"<p>{CLAUSE}</p><footer>{CLAUSE}</footer>")).statements) == 1


def test_a_long_quote_is_cut():
    tail = ", including every photograph, table, map and recording" * 20
    assert len(only(page(f"<p>{CLAUSE[:-1]}{tail}.</p>")).value) == terms.LONGEST_QUOTE


@pytest.mark.parametrize(
    ("sentence", "anchor"),
    [
        ("Article 4(3) of Directive (EU) 2019/790", "Art. 4 Directive (EU) 2019/790"),
        ("art. 4 (3) cdsm", "Art. 4 Directive (EU) 2019/790"),
        ("§ 44 b UrhG", "§ 44b UrhG"),
        ("§ 42h UrhG", "§ 42h UrhG (Austria)"),
        ("L.122-5-3 du CPI", "Art. L. 122-5-3 CPI"),
        ("Real Decreto-ley 24/2021", "Art. 67 RDL 24/2021"),
        ("art. 70 quater", "Art. 70-quater L. 633/1941"),
        ("artikel 15o Auteurswet", "Art. 15o Auteurswet"),
        ("§ 44b UrhG und Art. 4 (3) der Richtlinie (EU) 2019/790", "§ 44b UrhG"),
        ("Article 14(3) of the agreement", None),
        ("room 44b", None),
    ],
)
def test_statutes_are_known_in_their_spellings(sentence, anchor):
    assert terms.anchor_of(html_text.fold(sentence)) == anchor


# What a policy makes of it.


def decide(policy, body: str = f"<p>{CLAUSE}</p>"):
    robots = Exchange("https://example.com/robots.txt", "/robots.txt", status=404)
    html = page(body, ("Content-Type", "text/html"))
    return engine.decide([robots, html], html.url, policy, Identity("ExampleBot"))


def test_advisory_prose_is_shown_and_decides_nothing():
    verdict = decide(shipped("eu-gpai"))
    assert verdict.advisory == (Purpose.TDM, Purpose.AI_TRAIN)
    assert verdict.states[Purpose.TDM] is State.UNSPECIFIED
    assert all(signal.advisory for signal in verdict.signals)


def test_reserving_prose_decides():
    policy = variant("literal", ('prose = "advisory"', 'prose = "reserve"'))
    verdict = decide(policy)
    assert verdict.states[Purpose.TDM] is State.RESERVED
    assert verdict.decision(Purpose.AI_TRAIN).effect is Effect.DENY
    assert verdict.decision(Purpose.AI_TRAIN).reason == "terms-of-service.mining"


# The metadata of a page.


@pytest.mark.parametrize(
    "markup",
    [
        f'<meta name="dcterms.rights" content="{CLAUSE}">',
        f"<META content='{CLAUSE}' name=Copyright>",
        f'<meta property="rights" content="{CLAUSE.replace("We", "&#87;e")}">',
        f'<script type="application/ld+json">{{"@type": "NewsArticle", "copyrightNotice" : "{CLAUSE}"}}</script>',
        f'<script type="Application/LD+JSON">[{{"usageInfo":"{CLAUSE.replace("our", chr(92) + "u006fur")}"}}]</script>',
    ],
)
def test_statements_of_rights_in_metadata_are_read(markup):
    body = f"<html><head><title>x</title>{markup}</head><body><p>Text</p></body></html>"
    (statement,) = terms.read(page(body, ("Content-Type", "text/html"))).statements
    assert statement.value == CLAUSE
    assert body.encode()[statement.place.offset :].startswith((b"<meta", b"<META", b"We"))


@pytest.mark.parametrize(
    "markup",
    [
        f'<meta name="description" content="{CLAUSE}">',
        f'<script type="application/ld+json">{{"headline": "{CLAUSE}"}}</script>',
        f'<script>var notice = {{"copyrightNotice": "{CLAUSE}"}}</script>',
        f'<script type="application/ld+json">{{"copyrightNotice": "{CLAUSE}',
        '<script type="application/ld+json">{"license": "https://example.com/text-and-data-mining-reserved"}</script>',
        f'<!-- <meta name="rights" content="{CLAUSE}"> -->',
    ],
)
def test_other_metadata_is_none(markup):
    assert not terms.read(page(f"<head>{markup}</head><p>Text</p>", ("Content-Type", "text/html"))).statements


# The comments of a robots.txt.


def commented(*lines: str) -> Exchange:
    return Exchange("https://example.com/robots.txt", "/robots.txt", status=200, body="\n".join(lines).encode())


@pytest.mark.parametrize(
    ("lines", "activities"),
    [
        (["# " + CLAUSE], [("mining",)]),
        (["User-agent: *  # " + CLAUSE, "Disallow: /cart"], [("mining",)]),
        (
            ["# Use of this content for the training of", "# machine learning models", "# is prohibited."],
            [("training",)],
        ),
        (
            [
                "# Our content is offered under terms.",
                "# Any other uses are not permitted, incl. but not limited to",
                "# artificial intelligence-related purposes.",
            ],
            [("training",)],
        ),
        (
            ["# We do not permit unlicensed use of our content for large language models or learning systems."],
            [("training",)],
        ),
        (["# Use of this content for the training of models", "", "# is prohibited."], []),
        (
            ["# ---", "## Nutzungsvorbehalt: Text und Data Mining nach", "## § 44b UrhG behalten wir uns vor."],
            [("mining",)],
        ),
        (["# Do not crawl the pages of the cart of our site."], []),
        (["# The use of robots to access this site without our permission is prohibited."], []),
        (["# ai-train: training or fine-tuning AI models.", "# ANY RESTRICTIONS ARE EXPRESS RESERVATIONS."], []),
        (["# GPTBot: we block the training crawlers", "User-agent: GPTBot", "Disallow: /"], []),
        ([f"Disallow: /{CLAUSE}"], []),
    ],
)
def test_comments_of_a_robots_txt_are_read_for_what_they_reserve(lines, activities):
    found = [terms.clause_of(statement.value).activities for statement in terms.read(commented(*lines)).statements]
    assert found == activities


def test_a_clause_in_a_comment_has_its_line_and_is_about_the_whole_site():
    robots = commented("User-agent: *", "Allow: /", "", "# Legal notice.", "# " + CLAUSE)
    (statement,) = terms.read(robots).statements
    assert (statement.place.resource, statement.place.line, statement.place.offset) == ("/robots.txt", 4, 24)
    policy = variant("literal", ('prose = "advisory"', 'prose = "reserve"'))
    verdict = engine.decide([robots], "https://example.com/any", policy, Identity("ExampleBot"))
    assert verdict.decision(Purpose.AI_TRAIN).reason == "terms-of-service.mining"
    shown = engine.decide([robots], "https://example.com/any", shipped("conservative"), Identity("ExampleBot"))
    assert (shown.states[Purpose.TDM], shown.advisory) == (State.UNSPECIFIED, (Purpose.TDM, Purpose.AI_TRAIN))


def test_ignored_prose_is_not_read():
    assert decide(variant("literal", ('prose = "advisory"', 'prose = "ignore"'))).signals == ()


def test_a_crawl_looks_at_text_where_it_decides_and_keeps_what_was_read():
    body = f"<p>{CLAUSE}</p>" + "<p>The end.</p>" * 2_000
    response = HtmlResponse("https://example.com/terms", body=body.encode(), headers={"Content-Type": "text/html"})
    assert not Screen(shipped("eu-gpai")).finds(response)
    screen = Screen(variant("eu-gpai", ('prose = "advisory"', 'prose = "reserve"')))
    assert screen.finds(response)
    whole = page(body)
    kept = excerpt(whole, screen.words, screen.texts)
    assert len(kept.body) < len(whole.body)
    assert terms.read(kept) == terms.read(whole)


def test_prose_never_permits():
    for vector in VECTORS:
        read = terms.read(page(vector["input"]["html"]))
        assert all(state is State.RESERVED for statement in read.statements for _, state in statement.states)


# How much is read.


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_page_cut_at_its_extent_is_read_as_the_whole(vector):
    whole = page(vector["input"]["html"] + "<p>The end.</p>" * 2_000)
    cut = page(whole.body[: terms.extent(whole)])
    assert terms.read(cut) == terms.read(whole)
    assert terms.extent(cut) in (0, len(cut.body))


def test_most_pages_have_no_extent():
    assert terms.extent(page("<p>Ships run late. All rights reserved.</p>" * 50)) == 0
    assert terms.extent(page("<p>Automatic doors.</p>" + "<p>Ships run late.</p>" * 100)) == 0


def test_what_stands_behind_the_limit_is_not_read():
    filler = "<p>Ships run late.</p>" * (terms.MAX_BYTES // 22 + 1)
    assert terms.read(page(f"{filler}<p>{CLAUSE}</p>")).statements == ()
    assert terms.read(page(f"<p>{CLAUSE}</p>{filler}")).statements


def test_statements_and_sentences_are_limited():
    many = "".join(f"<p>You may not scrape our page number {number}.</p>" for number in range(400))
    assert len(terms.read(page(many)).statements) == terms.MAX_STATEMENTS
    others = "<p>Data mining is not our content.</p>" * (terms.MAX_SENTENCES + 10)
    assert terms.read(page(f"{others}<p>{CLAUSE}</p>")).statements == ()


@pytest.mark.parametrize(
    ("codec", "header"),
    [("utf-8", "utf-8"), ("latin-1", "iso-8859-1"), ("utf-16", "utf-16"), ("cp1252", "windows-1252")],
)
def test_encodings(codec, header):
    body = f"<p>Für Text und Data Mining behält sich der Verlag alle Rechte vor: {ANCHORED}</p>".encode(codec)
    reading = terms.read(page(body, ("Content-Type", f"text/html; charset={header}")))
    assert "Für Text" in reading.statements[0].value
    assert terms.extent(page(body, ("Content-Type", f"text/html; charset={header}"))) == len(body)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(
    [CLAUSE, ANCHORED, "<p>", "</p>", "<li>", "<ul>", "</ul>", "<blockquote>", "</blockquote>", "<br>", "“", "”", '"',
     "<q>", "<!--", "-->", "<script>", "</script>", "<template>", "&quot;", "<b", " may not ", "mining", "\x00", "é"]
), max_size=40))  # fmt: skip
def test_any_soup_is_read_and_read_alike_when_cut(parts):
    whole = page("".join(parts))
    reading = terms.read(whole)
    assert terms.read(page(whole.body[: terms.extent(whole)])) == reading
    assert all(statement.value for statement in reading.statements)


# The data.


def test_the_words_fit_the_vectorised_search():
    assert 3 * len(DATA["words"]) <= 64


def test_every_language_has_all_lists_and_its_activities_are_known():
    lists = {"forbids", "harmless", "doubtful", "foreign", "general", "others", "speaker", "context"}
    for language in DATA["languages"]:
        assert lists <= set(language), language["code"]
        assert set(language["activity"]) <= set(terms.MEANING), language["code"]
        assert set(language) == lists | {"code", "common", "activity"}, language["code"]


def test_six_languages_and_more():
    assert {"en", "de", "fr", "es", "it", "nl"} <= {language["code"] for language in DATA["languages"]}


def test_patterns_are_folded_as_sentences_are():
    for language in DATA["languages"]:
        for name in ("forbids", "harmless", "doubtful", "foreign", "general", "others", "speaker", "context"):
            for pattern in language[name]:
                kept = pattern.replace("“", "").replace("”", "").replace("»", "")
                letters = "".join(character for character in kept if character.isalpha())
                assert html_text.fold(letters) == letters.lower(), pattern


# Links.


def test_links_to_terms_are_found_by_text_and_by_address():
    body = """
      <a href="/legal/terms">Terms of Service</a> <a href="https://other.example/x">Impressum</a>
      <a href="/agb#top">AGB</a> <a href="/m"><span>Mentions&nbsp;l&eacute;gales</span></a>
      <a href="/about/terms-of-use.html"><img src="x"></a> <a href="/news/terms-end">School terms</a>
      <a href="mailto:a@example.com">Terms</a> <a>Terms</a> <a href="/news">News</a> <!-- <a href="/c">Terms</a> -->
    """
    assert terms.terms_links(page(body)) == (
        "https://example.com/legal/terms",
        "https://other.example/x",
        "https://example.com/agb",
        "https://example.com/m",
        "https://example.com/about/terms-of-use.html",
        "https://example.com/news/terms-end",
    )


def test_links_are_resolved_against_where_the_page_came_from():
    exchange = Exchange(
        "http://example.com/", status=200, redirects=("https://www.example.com/en/",), body=b'<a href="tos">Terms</a>'
    )
    assert terms.terms_links(exchange) == ("https://www.example.com/en/tos",)


# The text of a page.


def texts(html: str, word: bytes = b"mine") -> list[tuple[str, str]]:
    data = html.encode()
    wanted = [at for at in range(len(data)) if data.startswith(word, at)]
    return [(item.introduction, item.text) for item in html_text.paragraphs(data, "utf-8", wanted)]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a mine</p><p>b</p>", [("", "a mine")]),
        ("<div>a<b>b</b> mine<div>c</div>", [("", "ab mine")]),
        ("<p>a<br>mine</p>", [("", "a mine")]),
        ("<p>a<br> <br>mine</p>", [("", "mine")]),
        ("<p>You may not:<ul><li>mine<li>sell</ul>", [("You may not:", "mine")]),
        ("<p>That is all.</p><ul><li>mine</ul>", [("", "mine")]),
        ("<p>Not:<ul><li>a:<ol><li>mine</ol><li>mine</ul><p>mine", [("Not:", "mine"), ("Not:", "mine"), ("", "mine")]),
        ("<blockquote>mine</blockquote>mine", [("", "mine")]),
        ("<p>a <code>mine</code> b</p>", [("", "a b")]),
        ("<p><q>mine</q></p>", [("", "“mine”")]),
        ("<title>mine</title><textarea>mine</textarea>", []),
        ("mine &lt;b&gt; &amp; mine", [("", "mine <b> & mine")]),
        ("<p title='mine'>a</p>", []),
        ("", []),
    ],
)
def test_paragraphs(html, expected):
    assert texts(html) == expected


def test_a_very_long_paragraph_is_read_around_what_is_looked_for():
    ((_, text),) = texts("x " * 20_000 + "mine" + " y" * 20_000)
    assert "mine" in text
    assert len(text) <= html_text.LONGEST_PIECE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", 4),
        ("Art. L. 122-5-3 du CPI. Suite.", 2),
        ("Gemäß § 44b Abs. 3 UrhG. Ende.", 2),
        ("See Directive (EU) 2019/790. We agree.", 2),
        ("Am 3. Oktober war es so. Gut.", 2),
        ("It costs 3.50 Euro. fine.", 1),
        ("He said “No.” And left.", 2),
        ("i. S. d. § 44b UrhG vor. Danke.", 2),
        ("", 0),
    ],
)
def test_sentences(text, expected):
    assert len(html_text.sentences(text, frozenset(DATA["abbreviations"]))) == expected


def test_endless_sentences_are_cut():
    parts = html_text.sentences("word " * 2_000, frozenset())
    assert all(len(part) <= html_text.LONGEST_SENTENCE for part in parts)
    assert sum(part.count("word") for part in parts) == 2_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a "short" b', 'a "short" b'),
        ('a "much longer than that" b', 'a "…" b'),
        ("„viel länger als das“ und «plus long que cela»", "„…“ und «…»"),
        ("»viel länger als das« ”mycket längre än så”", "»…« ”…”"),
        ('one mark " only and a long text after it', 'one mark " only and a long text after it'),
    ],
)
def test_quotations(text, expected):
    assert html_text.without_quotations(text, 10) == expected


def test_byte_words_in_three_spellings_and_two_encodings():
    words = ByteWords(["fouille", "réservé"])
    data = "Fouille FOUILLE fouille réservé RÉSERVÉ".encode() + " réservé".encode("latin-1")
    assert len(words.places(data)) == 6
    assert words.places(b"fOUILLE") == []
