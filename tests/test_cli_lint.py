"""`optout lint`: what signals mean, what is wrong with them, and the mend, for files, folders and live sites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policies_for_tests import TODAY, shipped

from optout.acquisition import policy_files
from optout.acquisition.plan import Planned
from optout.cli import lint_findings, lint_site, main
from optout.cli.demo_origins import Origins
from optout.cli.lint_findings import WEB, Kind, Look, findings, meanings, mend_of
from optout.errors import UnreadableInput
from optout.identity import Identity
from optout.model import RESOURCE, Exchange, Purpose, State
from optout.signals import PROTOCOLS

SIGNAL = "User-agent: *\nContent-Signal: ai-train=no\nDisallow:\n"
RESERVED_JSON = '[{"location": "/", "tdm-reservation": 1}]'


def write(folder: Path, **contents: str) -> list[Path]:
    names = {
        "robots": "robots.txt",
        "tdmrep": ".well-known/tdmrep.json",
        "ai": "ai.txt",
        "trust": "trust.txt",
        "page": "index.html",
        "rsl": "licence.xml",
    }
    paths = []
    for key, content in contents.items():
        path = folder / names[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        paths.append(path)
    return paths


def look(folder: Path, **contents: str) -> Look:
    policy = shipped("eu-gpai")
    (site,) = lint_site.from_files("site", write(folder, **contents), policy)
    return Look(site, policy, shipped("literal"))


def codes(folder: Path, **contents: str) -> dict[str, Kind]:
    return {finding.code: finding.kind for finding in findings(look(folder, **contents))}


# What it says.


def test_what_is_said_to_everybody_and_to_those_named(tmp_path):
    rows = meanings(look(tmp_path, robots="User-agent: GPTBot\nUser-agent: ClaudeBot\nDisallow: /\n", trust="x=1"))
    everybody, named = rows
    assert dict(everybody.letter) == dict.fromkeys(Purpose, State.UNSPECIFIED)
    assert everybody.fetch is True
    assert named.agents == ("GPTBot", "ClaudeBot")
    assert named.fetch is False
    assert set(dict(named.cautious).values()) == {State.RESERVED}


def test_control_only_tokens_never_fetch(tmp_path):
    rows = meanings(look(tmp_path, robots="User-agent: Google-Extended\nDisallow: /\n"))
    (google,) = [row for row in rows if row.agents == ("Google-Extended",)]
    assert google.fetch is None
    assert dict(google.letter)[Purpose.AI_INPUT] is State.RESERVED
    assert dict(google.letter)[Purpose.SEARCH] is State.UNSPECIFIED


def test_the_letter_and_the_evident_wish_are_told_apart(tmp_path):
    (row,) = meanings(look(tmp_path, tdmrep='{"location": "/", "tdm-reservation": 1}'))
    assert dict(row.letter)[Purpose.TDM] is State.UNSPECIFIED
    assert dict(row.cautious)[Purpose.TDM] is State.RESERVED


# What is wrong.


@pytest.mark.parametrize(
    ("contents", "code", "kind"),
    [
        ({"tdmrep": '{"location": "/", "tdm-reservation": 1}'}, "tdmrep.not-an-array", Kind.MALFORMED),
        ({"robots": "User-agent: GPTBot/1.1\nDisallow: /\n"}, "robots.agent-with-version", Kind.MALFORMED),
        ({"trust": "datatrainingallowed=never"}, "trust-txt.value", Kind.MALFORMED),
        ({"robots": "User-agent: *\nFrobnicate: x\nDisallow: /a\n"}, "robots.unknown-field", Kind.NOTE),
        (
            {"robots": "User-agent: *\nContent-Signal: ai-train=yes\n", "trust": "datatrainingallowed=no"},
            "lint.contradiction",
            Kind.CONTRADICTORY,
        ),
        (
            {"robots": "User-agent: *\nContent-Usage: train-ai=n\nContent-Signal: ai-train=yes\n"},
            "lint.contradiction",
            Kind.CONTRADICTORY,
        ),
        (
            {"tdmrep": RESERVED_JSON, "page": '<meta name="tdm-reservation" content="0"><p>Text</p>'},
            "lint.contradiction",
            Kind.CONTRADICTORY,
        ),
        ({"robots": "User-agent: GPTBot\nDisallow: /\n"}, "lint.agents-missing", Kind.INCOMPLETE),
        ({"robots": "User-agent: GPTBot\nDisallow: /\n"}, "lint.control-token-missing", Kind.INCOMPLETE),
        ({"robots": "User-agent: anthropic-ai\nDisallow: /\n"}, "lint.retired-token", Kind.WITHOUT_EFFECT),
        (
            {"robots": SIGNAL + "User-agent: GPTBot\nDisallow: /private\n"},
            "lint.own-group",
            Kind.WITHOUT_EFFECT,
        ),
        (
            {"robots": "User-agent: *\nContent-Signal: search=yes\n\nUser-agent: GPTBot\nDisallow: /\n"},
            "robots.joined-group",
            Kind.MALFORMED,
        ),
        ({"robots": "User-agent: GPTBot\nAllow: /\n"}, "lint.allow-only", Kind.WITHOUT_EFFECT),
        ({"page": '<meta name="robots" content="noindex"><p>Text</p>'}, "lint.nothing-for-ai", Kind.NOTE),
        ({"page": '<meta name="GPTBot" content="noai"><p>Text</p>'}, "lint.one-agent-only", Kind.INCOMPLETE),
        ({"page": '<meta name="robots" content="noarchive"><p>Text</p>'}, "lint.vendor-meaning", Kind.NOTE),
        (
            {"robots": "User-agent: *\nDisallow: /\n", "page": '<meta name="robots" content="noindex"><p>Text</p>'},
            "lint.unseen-page",
            Kind.WITHOUT_EFFECT,
        ),
        (
            {"robots": "User-agent: *\nDisallow: /.well-known/\n", "tdmrep": RESERVED_JSON},
            "lint.unseen-file",
            Kind.WITHOUT_EFFECT,
        ),
        (
            {"rsl": '<rsl xmlns="https://rslstandard.org/rsl"><content url="/*"/></rsl>'},
            "lint.unlinked-licence",
            Kind.WITHOUT_EFFECT,
        ),
        ({"page": "<p>You may not use our texts for text and data mining.</p>"}, "lint.prose-only", Kind.INCOMPLETE),
        ({"robots": "User-agent: *\nDisallow: /cart\n"}, "lint.nothing-said", Kind.NOTE),
    ],
)
def test_findings(tmp_path, contents, code, kind):
    assert codes(tmp_path, **contents).get(code) is kind


@pytest.mark.parametrize(
    ("contents", "code"),
    [
        # One crawler is refused what everybody else may do: that is no contradiction.
        (
            {"robots": "User-agent: *\nContent-Signal: search=yes\nDisallow:\nUser-agent: GPTBot\nDisallow: /\n"},
            "contradiction",
        ),
        # All are told, so none is missing.
        ({"robots": "User-agent: GPTBot\nDisallow: /\n", "tdmrep": RESERVED_JSON}, "agents-missing"),
        ({"robots": "User-agent: GPTBot\nDisallow: /\n", "tdmrep": RESERVED_JSON}, "control-token-missing"),
        (
            {"robots": "User-agent: anthropic-ai\nUser-agent: ClaudeBot\nDisallow: /\n"},
            "retired-token",
        ),
        # The group of its own repeats the line, or refuses everything anyway.
        (
            {"robots": SIGNAL + "User-agent: GPTBot\nContent-Signal: ai-train=no\n"},
            "own-group",
        ),
        (
            {"robots": SIGNAL + "User-agent: GPTBot\nDisallow: /\n"},
            "own-group",
        ),
        # To allow is an exception from what is disallowed to everybody.
        ({"robots": "User-agent: *\nDisallow: /\n\nUser-agent: Googlebot\nAllow: /\n"}, "allow-only"),
        ({"page": '<meta name="robots" content="noindex, noai"><p>Text</p>'}, "nothing-for-ai"),
        ({"page": "<p>You may not scrape our site.</p>", "tdmrep": RESERVED_JSON}, "prose-only"),
        (
            {
                "robots": "License: https://example.org/licence.xml\n",
                "rsl": '<rsl xmlns="https://rslstandard.org/rsl"><content url="/*"/></rsl>',
            },
            "unlinked-licence",
        ),
        ({"tdmrep": RESERVED_JSON}, "nothing-said"),
        (
            {"robots": "User-agent: *\nContent-Signal: search=yes\nDisallow:\nUser-agent: GPTBot\nDisallow: /\n"},
            "joined-group",
        ),
    ],
)
def test_what_is_in_order_is_not_found(tmp_path, contents, code):
    assert not {f"lint.{code}", f"robots.{code}"} & set(codes(tmp_path, **contents))


def test_a_site_in_order_has_no_findings(tmp_path):
    assert codes(tmp_path, tdmrep=RESERVED_JSON, trust="datatrainingallowed=no") == {}


def test_of_very_many_alike_the_first_are_shown(tmp_path):
    robots = "User-agent: *\n" + "nonsense\n" * 500 + "Disallow: /a\n"
    assert (
        len([finding for finding in findings(look(tmp_path, robots=robots)) if finding.code == "robots.no-colon"]) == 10
    )


def test_findings_come_gravest_first(tmp_path):
    kinds = [
        finding.kind
        for finding in findings(
            look(tmp_path, robots="User-agent: GPTBot/1\nDisallow: /\n", page='<meta name="robots" content="noindex">x')
        )
    ]
    assert kinds == sorted(kinds, key=list(Kind).index)


# The words.


def test_every_problem_of_a_web_protocol_has_a_mend():
    codes = {code for name in WEB for code in PROTOCOLS[name].problems}
    codes -= {code for code in codes if code.split(".")[0] in ("c2pa", "epub", "iptc", "onix", "pdf", "readium")}
    assert {code for code in codes if mend_of(code) is None and not code.endswith(".unreadable")} == set()


def test_no_mend_is_for_a_problem_that_does_not_exist():
    known = {code for protocol in PROTOCOLS.values() for code in protocol.problems}
    assert set(lint_findings._words()["mends"]) <= known
    assert set(lint_findings._words()["notes"]) <= known


def test_every_finding_of_lint_has_words_and_every_word_is_used():
    source = Path(lint_findings.__file__).read_text(encoding="utf-8")
    assert {code for code in lint_findings._words()["findings"] if f'"{code}"' not in source} == set()


# Files and folders.


@pytest.mark.parametrize(
    ("name", "content", "role"),
    [
        ("robots.txt", "", "/robots.txt"),
        ("my-robots", "User-Agent: *\nDisallow:", "/robots.txt"),
        ("copy.json", RESERVED_JSON, "/.well-known/tdmrep.json"),
        ("x.txt", "datatrainingallowed=no", "/trust.txt"),
        ("x.txt", "Spec-Version: 1.0\nTraining: deny", "/.well-known/ai.txt"),
        ("x.xml", "<rsl xmlns='x'><content/></rsl>", "rsl-document"),
        ("x.xml", "<?xml version='1.0'?><r:rsl xmlns:r='x'/>", "rsl-document"),
        ("x", "<!doctype html><p>tdm-reservation", RESOURCE),
        ("x.html", "User-agent: *", RESOURCE),
        ("policy.json", '{"@context": "http://www.w3.org/ns/odrl.jsonld"}', "tdm-policy"),
    ],
)
def test_files_are_known_by_name_or_content(tmp_path, name, content, role):
    (tmp_path / name).write_text(content)
    assert lint_site._exchange(tmp_path / name).role == role


def test_ai_txt_under_well_known_is_the_other_one(tmp_path):
    (tmp_path / ".well-known").mkdir()
    (tmp_path / ".well-known" / "ai.txt").write_text("User-agent: *\n")
    assert lint_site._exchange(tmp_path / ".well-known" / "ai.txt").role == "/.well-known/ai.txt"


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("milk, eggs")
    with pytest.raises(UnreadableInput, match=r"notes\.txt"):
        lint_site.from_files("x", [tmp_path / "notes.txt"], shipped("eu-gpai"))


def test_each_page_of_a_folder_is_answered_for(tmp_path, capsys):
    write(tmp_path, robots="User-agent: *\nDisallow: /b.html\n")
    (tmp_path / "a.html").write_text('<meta name="robots" content="noai">')
    (tmp_path / "b.html").write_text('<meta name="robots" content="noai">')
    (tmp_path / "notes.txt").write_text("passed over")
    assert main(["lint", str(tmp_path), "--json"]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(answer["site"]).name for answer in answers] == ["a.html", "b.html"]
    assert [answer["meaning"][0]["fetch"] for answer in answers] == [True, False]


def test_json_has_place_and_mend(tmp_path, capsys):
    (path,) = write(tmp_path, robots="User-agent: *\nDisalow: /\n")
    assert main(["lint", str(path), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    (finding,) = [item for item in answer["findings"] if item["code"] == "robots.misspelt-field"]
    assert finding["place"]["line"] == 2
    assert finding["kind"] == "malformed"
    assert finding["mend"]
    assert {"tdm", "ai-train", "ai-input", "search"} == set(answer["meaning"][0]["by_letter"])


def test_a_table_for_people(tmp_path, capsys):
    path, _ = write(tmp_path, robots="User-agent: GPTBot\nDisallow: /\n", tdmrep="{}")
    assert main(["lint", str(path)]) == 1
    out = capsys.readouterr().out
    assert "GPTBot" in out
    assert "incomplete" in out
    assert "robots.txt line 2" in out


def test_nothing_to_mend_is_exit_code_zero(tmp_path, capsys):
    (path,) = write(tmp_path, tdmrep=RESERVED_JSON)
    assert main(["lint", str(path)]) == 0
    assert "Nothing to mend." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["no-such.txt", "./nothing", "https:///nohost"])
def test_what_cannot_be_looked_at_is_one_line_and_exit_code_two(name, capsys):
    assert main(["lint", name]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_empty_folder_is_no_site(tmp_path, capsys):
    assert main(["lint", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_control_characters_of_strangers_do_not_reach_the_terminal(tmp_path, capsys):
    (path,) = write(tmp_path, robots="User-agent: GPTBot\x1b[2J\nDisallow: /\x1b]0;x\x07\n")
    main(["lint", str(path)])
    assert "\x1b" not in capsys.readouterr().out


# Live.


def test_a_live_site_is_read_with_its_page(capsys):
    with Origins() as origins:
        base = f"http://127.0.0.1:{origins.port}"
        origins.sites["127.0.0.1"] = origins.sites["newspaper.test"]
        code = main(["lint", f"{base}/story-1", "--json", "--allow-private", "--as", "ExampleBot"])
    answer = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert answer["url"] == f"{base}/story-1"
    assert answer["meaning"][0]["cautiously"]["ai-train"] == "reserved"


class Site:
    """A fetcher over pages; what is not there is a 404."""

    def __init__(self, **pages: str) -> None:
        self.pages = {f"https://example.com/{path}": text for path, text in pages.items()}
        self.asked: list[str] = []

    async def fetch(self, planned: Planned) -> Exchange:
        self.asked.append(planned.url)
        text = self.pages.get(planned.url.replace("robots.txt", "robots"))
        headers = (("Content-Type", "text/html"),)
        return Exchange(planned.url, planned.role, 404 if text is None else 200, headers, (text or "").encode())


async def from_web(site: Site, path: str = "") -> lint_site.Site:
    policy = policy_files.load("eu-gpai", as_of=TODAY)
    return await lint_site.from_web(f"https://example.com/{path}", policy, Identity("ExampleBot"), site)


async def test_terms_are_looked_for_on_the_same_origin_and_only_where_allowed():
    links = "".join(f'<a href="{target}">Terms</a>' for target in ("/terms", "/no", "https://other.example/", "/tos"))
    site = Site(robots="User-agent: *\nDisallow: /no\n", terms="<p>You may not scrape our site.</p>")
    site.pages["https://example.com/"] = links
    found = await from_web(site)
    assert [page.url for page in found.terms] == ["https://example.com/terms", "https://example.com/tos"]
    assert "https://example.com/no" not in site.asked
    policy = shipped("eu-gpai")
    told = [item for item in findings(Look(found, policy, shipped("literal"))) if item.code == "lint.prose-only"]
    assert told[0].place.resource == "https://example.com/terms"


async def test_a_refused_page_is_not_fetched():
    site = Site(robots="User-agent: *\nDisallow: /\n", page="<p>Text</p>")
    found = await from_web(site, "page")
    assert found.refused
    assert "https://example.com/page" not in site.asked
