"""The official form and what independent graders look for, as data: each point is found in every form of the summary.

A point is a section and a pattern; its text must stand in that section of the Markdown, the HTML, the Word and the
JSON form. A field that is lost, moved to another section, or left empty in one form fails here.
"""

from __future__ import annotations

import io
import json
import re
from functools import cache

import desk_samples as desk
import pytest
from docx import Document as Word
from docx.table import Table as WordTable
from lxml import html

from optout.cli import main
from policies import facts
from policies.evidence_facts import Observed
from policies.render import render
from policies.training_summary import training_summary

DATASETS = """
[[datasets]]
name = "Small Corpus"
kind = "public"
version = "2"
selection = "Poems"
description = "Poems of the 19th century"
modalities = ["text"]
large = false
legal_basis = "public-domain"
retention_days = 30
[[datasets]]
name = "Agency Photographs"
kind = "licensed"
version = "2026"
selection = "All"
description = "Photographs"
modalities = ["image"]
large = false
legal_basis = "licence"
retention_days = 30
reservations = "the agency's own"
[[datasets]]
name = "Known Archive"
kind = "third-party"
publicly_known = true
version = "1"
selection = "All"
description = "Transcripts"
modalities = ["audio"]
large = false
legal_basis = "licence"
retention_days = 30
reservations = "none"
[[datasets]]
name = "Unknown Archive"
kind = "third-party"
version = "1"
selection = "All"
description = "Minutes of meetings"
modalities = ["text"]
large = false
legal_basis = "licence"
retention_days = 30
reservations = "none"
[[datasets]]
name = "Chats"
kind = "user"
version = "1"
selection = "Consented"
description = "Conversations"
modalities = ["text"]
large = false
legal_basis = "consent"
retention_days = 30
[[datasets]]
name = "Made-up Dialogues"
kind = "synthetic"
version = "1"
selection = "All"
description = "Dialogues"
modalities = ["text"]
large = false
legal_basis = "other"
retention_days = 30
[comments]
sizes = "Comment on sizes"
public = "Comment on public data"
licensed = "Comment on licensed data"
third_party = "Comment on third parties"
crawled = "Comment on crawling"
user = "Comment on user data"
synthetic = "Comment on synthetic data"
other = "Comment on other data"
reservations = "Comment on reservations"
"""
CHANGES = (
    ('user_data = "none"', 'user_data = "Chats of the assistant"\nuser_interactions = true\nuser_services = false'),
    ('synthetic_data = "none"', ('synthetic_data = "Dialogues"\nsynthetic_market_models = "Marketmodel 2"\n'
                                'synthetic_own_models = "Ownmodel 1"')),
    ('modalities = ["text"]\ntext_tokens = 5000000000',
     ('modalities = ["text", "image", "audio", "video", "other"]\ntext_tokens = 5000000000\nimages = 2000000\n'
     'audio_hours = 20\nvideo_hours = 2000000\nother_size = "3 million molecules"\nsize_method = "By our tokeniser"')),
    ('content_types = "Web pages"', ('content_types = {text = "Web pages", image = "Photographs", audio = "Speech", '
                                    'video = "Lectures", other = "Molecules"}')),
    ('legal_basis = "art-4"\nretention_days = 365\nbarriers', ('legal_basis = "art-4"\nfrom_month = "03/2025"\n'
                                                              'retention_days = 365\nbarriers')),
    ('name = "Open Corpus"', 'name = "Open Corpus"\nurl = "https://corpus.example/"'),
    ('base_model = "none"', 'base_model = "Basemodel 7"\nbase_model_summary = "https://base.example/summary"'),
    ('barriers = "It stops."', 'barriers = "No captcha is solved, no password entered, no paywall passed."'),
)  # fmt: skip

RUBRIC: dict[str, dict[str, str]] = {
    "head": {
        "version": r"Version of the Summary:? 2\b",
        "last update": r"Last update:? 2026-08-31",
        "whether it is the latest version": r"latest version:? Yes: version 2 is the newest",
        "where the newest version is": r"https://ai\.example/summary\b",
        "where updates are announced": r"announced:? https://ai\.example/news",
        "when the next update is due, six months later": r"Next update due:? 2027-02-28",
        "a machine-readable copy": r"Machine-readable copy:? https://ai\.example/summary\.json",
        "the copyright policy": r"Copyright policy \(public summary\):? https://ai\.example/policy",
        "a contact": r"Contact for questions about this summary:? rights@ai\.example",
        "each earlier version, its date, what changed, where it is": r"1 2026-02-28 First https://ai\.example/summary-1",
        "how dates are written": r"months of collection as MM/YYYY",
        "that every field is there": r"Every field of the official template follows in its order",
    },
    "1.1": {
        "provider": r"Provider name:? Example AI GmbH",
        "address": r"Musterweg 1, Berlin",
        "e-mail": r"e-mail:? office@ai\.example",
        "representative, or why there is none": r"Not applicable: the provider is established in the Union \(Art\. 54",
    },
    "1.2": {
        "versioned model name": r"Versioned model name:? Exemplar 3\.1",
        "base model": r"Model dependencies:? Basemodel 7",
        "the base model's summary": r"https://base\.example/summary",
        "date of placement": r"Date of placement on the Union market:? 2026-09-01",
    },
    "1.3": {
        "modalities as boxes": r"☒ text ☒ image ☒ audio ☒ video ☒ other",
        "text band": r"☐ Less than 1 billion tokens ☒ 1 billion to 10 trillion tokens ☐ More than 10 trillion tokens",
        "image band": r"☐ Less than 1 million images ☒ 1 million to 1 billion images ☐ More than 1 billion images",
        "audio band": r"Audio: training data size ☒ Less than 10 000 hours ☐ 10 000 to 1 million hours",
        "video band": r"Video: training data size ☐ Less than 10 000 hours ☐ 10 000 to 1 million hours ☒ More than",
        "other size": r"Other: training data size:? 3 million molecules",
        "types of content of each modality": r"Text Web pages Image Photographs Audio Speech Video Lectures Other Mol",
        "how sizes were counted": r"By our tokeniser",
        "latest date of acquisition": r"MM/YYYY:? 11/2026",
        "whether training goes on": r"Training goes on with new data after that date:? Yes",
        "languages by name": r"languages:? German, English",
        "languages of the Union": r"Official languages of the Union among them:? English, German",
        "other characteristics": r"Other relevant characteristics:? None stated",
        "comments": r"Additional comments:? Comment on sizes",
    },
    "2.1": {
        "used": r"Publicly available datasets used\? ☒ Yes ☐ No",
        "modalities": r"Modalities ☒ text ☐ image",
        "large ones: name, version, selection, description, link": r"Open Corpus 2026-05 All Web text https://corpus",
        "others": r"not listed above.*Small Corpus 2 Poems Poems of the 19th century No link stated",
        "comments": r"Comment on public data",
    },
    "2.2.1": {
        "agreements": r"licensing agreements concluded.*☒ Yes ☐ No",
        "modalities": r"☐ text ☒ image",
        "comments": r"Comment on licensed data",
    },
    "2.2.2": {
        "obtained": r"obtained from other third parties\? ☒ Yes ☐ No",
        "modalities": r"☒ text ☐ image ☒ audio",
        "publicly known ones": r"Known Archive 1 All Transcripts",
        "description of the others": r"not publicly known:? Minutes of meetings",
        "comments": r"Comment on third parties",
    },
    "2.3": {
        "crawlers used": r"Crawlers used by the provider or on its behalf\? ☒ Yes ☐ No",
        "an identifier that a site can use": r"product token for robots\.txt:? OptOutBot",
        "the header": r"User-Agent header:? OptOutBot",
        "who runs it": r"Run by:? Example AI GmbH",
        "its page": r"https://ai\.example/bot",
        "purposes": r"Purposes of the crawler:? Training of language models",
        "types of content and sources": r"Types of content and online sources crawled:? Web pages",
        "modality as boxes": r"Type of modality covered ☒ text ☐ image",
        "captchas": r"[Nn]o captcha is solved",
        "passwords": r"no password entered",
        "paywalls": r"no paywall passed",
        "refusals by status": r"401, 402, 403 or 451 is taken as a refusal",
        "robots.txt": r"reads and follows robots\.txt as RFC 9309",
        "other protocols": r"Reservations by TDM Reservation Protocol \(tdmrep\) are read and enforced",
        "precedence": r"the most restrictive counts",
        "exact period by the log": r"OptOutBot evidence\.invalid\S* \d\d/\d{4} \d\d/\d{4} \d{4}-\d\d-\d\d \d{4}-",
        "earlier months as declared": r"the beginning as declared 03/2025 \d\d/\d{4} not on record \d{4}-\d\d-\d\d",
        "how many domains, and why so many": r"Listed are 1 of 5 domain names .*the top 10 %",
        "the method": r"bytes without HTTP headers.*registrable domains \(public suffix list of tldextract",
        "domain names, not categories": r"1 open\.test \d+ 9",
        "comments": r"Comment on crawling",
    },
    "2.4": {
        "interactions with the model": r"interactions with the model used to train it\? ☒ Yes ☐ No",
        "other services": r"other services or products used to train it\? ☐ Yes ☒ No",
        "services described": r"Description of those services or products:? Chats of the assistant",
        "modalities": r"☒ text ☐ image",
        "comments": r"Comment on user data",
    },
    "2.5": {
        "created": r"Synthetic data created by the provider or on its behalf used\? ☒ Yes ☐ No",
        "modalities": r"☒ text ☐ image",
        "models on the market": r"on the market that made synthetic data:? Marketmodel 2",
        "other models": r"own ones included, that made synthetic data:? Ownmodel 1",
        "comments": r"Comment on synthetic data",
    },
    "2.6": {
        "used": r"Data from other sources used\? ☐ Yes ☒ No",
        "narrative": r"Narrative description:? None",
        "comments": r"Comment on other data",
    },
    "3.1": {
        "signatory": r"Signatory to the Code of Practice\? ☒ Yes ☐ No",
        "before and during collection": r"before model training.*before and during data collection",
        "protocols honoured": r"Reservations by Content Signals \(content-signal\) are read and enforced",
        "protocols to be honoured": r"C2PA and CAWG Training and Data Mining \(c2pa\)",
        "counts": r"refused because of robots\.txt: 5\b",
        "by third parties": r"Open Corpus robots\.txt",
        "by third parties, where nobody knows": r"Small Corpus Not known",
        "audits of datasets": r"In the audit audit-1, 2 rows were judged",
        "comments": r"Comment on reservations",
    },
    "3.2": {"measures": r"General description of measures taken, as declared:? Hash lists"},
    "3.3": {
        "other information": r"Other information:? None",
        "contact for rightsholders": r"Contact for rightsholders:? rights@ai\.example",
        "answer": r"Complaints are answered within:? 30 days",
    },
}  # fmt: skip


@cache
def provider() -> facts.Facts:
    text = desk.PROVIDER
    for old, new in CHANGES:
        assert old in text, old
        text = text.replace(old, new)
    return facts.parse((text + DATASETS).encode())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rubric") / "audit-1"
    audits = desk.audit(folder, ("https://a.example/", True, 9), ("https://b.example/", False, 1)).audits
    return training_summary(provider(), Observed((desk.log(),), audits))


@pytest.fixture(scope="module")
def forms(made):
    return {
        "md": _markdown(render(made, ".md").decode()),
        "html": _html(render(made, ".html").decode()),
        "docx": _word(render(made, ".docx")),
        "json": _json(render(made, ".json")),
    }


def _number(heading: str) -> str:
    return heading.split(" ", 1)[0].rstrip(".")


def _tidy(parts: list[tuple[str, str]]) -> dict[str, str]:
    """Sections by the numbers of the form, without pointers and with single spaces."""
    found: dict[str, str] = {}
    for number, text in parts:
        found[number] = f"{found.get(number, '')} {text}"
    return {
        number: " ".join(re.sub(r"\[\d+(?:-\d+)?(?:, \d+(?:-\d+)?)*\]", " ", text).split())
        for number, text in found.items()
    }


def _markdown(text: str) -> dict[str, str]:
    parts, number = [], "head"
    for line in re.sub(r"\\(.)", r"\1", text).replace("|", " ").replace("**", "").splitlines():
        if line.startswith("##"):
            number = _number(line.lstrip("# "))
        elif not line.strip().startswith("---"):
            parts.append((number, line))
    return _tidy(parts)


def _html(text: str) -> dict[str, str]:
    parts, number = [], "head"
    for element in html.fromstring(text).find(".//main"):
        if element.tag in {"h2", "h3", "h4"}:
            number = _number(element.text_content())
        else:
            parts.append((number, " ".join(element.itertext())))
    return _tidy(parts)


def _word(data: bytes) -> dict[str, str]:
    parts, number = [], "head"
    for block in Word(io.BytesIO(data)).iter_inner_content():
        if isinstance(block, WordTable):
            parts.append((number, " ".join(cell.text for row in block.rows for cell in row.cells)))
        elif block.style.name.startswith("Heading"):
            number = _number(block.text)
        else:
            parts.append((number, block.text))
    return _tidy(parts)


def _json(data: bytes) -> dict[str, str]:
    """The blocks as they stand in JSON; `test_the_form_for_machines…` reads the form by its numbers."""
    parts, number = [], "head"
    for block in json.loads(data)["blocks"]:
        if block["type"] == "Heading":
            number = _number(block["text"])
        else:
            parts.append((number, " ".join(_words(block))))
    return _tidy(parts)


def _words(block: dict) -> list[str]:
    if block["type"] == "Ticks":
        chosen = block["chosen"]
        return [block["label"], *(f"{'☒' if option in chosen else '☐'} {option}" for option in block["options"])]
    if block["type"] == "Bullets":
        return [item["text"] for item in block["items"]]
    if block["type"] in {"Fields", "Table"}:
        return [block.get("caption", ""), *(str(cell) for row in block["rows"] for cell in row)]
    return [str(block.get("text", ""))]


POINTS = [(section, name) for section, points in RUBRIC.items() for name in points]


@pytest.mark.parametrize(("section", "name"), POINTS, ids=[f"{section} {name}" for section, name in POINTS])
def test_every_point_is_in_every_form(forms, section, name):
    for form, sections in forms.items():
        text = sections[section]
        assert re.search(RUBRIC[section][name], text), f"{form}: {text[:3000]}"


def test_the_form_for_machines_has_every_field_under_its_number(made):
    form = made.data["form"]
    assert form["1.1"]["Provider name"] == "Example AI GmbH"
    assert form["1.3"]["Text: training data size"] == ["1 billion to 10 trillion tokens"]
    assert form["2.3"]["Most relevant domain names crawled"][0]["Domain name"] == "open.test"
    assert form["2.3"]["Period of data collection"][1]["From (MM/YYYY)"] == "03/2025"
    assert form["2.2.2"]["Modalities"] == ["audio", "text"]
    assert form["3.1"]["Signatory to the Code of Practice?"] == ["Yes"]
    assert all(not isinstance(value, dict) for section in form.values() for value in section.values())


def test_nothing_is_missing_and_no_value_is_empty(made):
    assert made.missing == ()
    for section, fields in made.data["form"].items():
        assert all(value not in ("", [], None) for value in fields.values()), section


def test_every_date_is_of_one_unambiguous_form(forms):
    """Days as year-month-day, months as MM/YYYY; nothing like 03/04/2026."""
    assert not re.search(r"\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b", " ".join(forms["md"].values()))


class TestPrevious:
    def test_what_differs_from_the_version_before_is_told_by_field(self, made, tmp_path, capsys):
        before, given = tmp_path / "before.json", tmp_path / "provider.toml"
        before.write_bytes(render(training_summary(desk.provider(), Observed()), ".json"))
        given.write_text(desk.PROVIDER.replace("Hash lists", "A classifier"), encoding="utf-8")
        asked = ["document", "training-summary", "--facts", str(given), "--previous", str(before)]
        assert main([*asked, "--out", str(tmp_path / "now.md")]) == 0
        page = (tmp_path / "now.md").read_text(encoding="utf-8")
        label = "General description of measures taken, as declared"
        assert f"| 3.2 | {label} | Hash lists | A classifier |" in page
        assert page.count("| 3.2 |") == 1

    @pytest.mark.parametrize("data", [b"", b"[]", b'{"data": {}}', b'{"data": {"form": {"1.1": 3}}}', b"[" * 100_000])
    def test_what_is_no_summary_is_an_error(self, data, tmp_path, capsys):
        before, given = tmp_path / "before.json", tmp_path / "provider.toml"
        before.write_bytes(data)
        given.write_bytes(b"")
        asked = ["document", "training-summary", "--facts", str(given), "--previous", str(before)]
        assert main(asked) == 2
        assert "holds no earlier version" in capsys.readouterr().err
