"""Complaints: nothing is made up, nothing is lost, everything is logged, and what is upheld holds."""

from __future__ import annotations

import gzip
import json
import shlex
import sqlite3
import tomllib
from datetime import timedelta
from hashlib import sha256

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evidence_samples import NOW, ORIGIN, later, small

from optout.acquisition import list_forms
from optout.acquisition.list_import import Source, import_list
from optout.cli import main
from optout.errors import EvidenceError
from optout.evidence.ledger import EvidenceLog
from optout.evidence.report import Outcome
from optout.evidence.verify import verify
from optout.syntax.listing import Kind
from policies import complaints
from policies.complaint_record import Decision
from policies.complaint_register import Register
from policies.complaint_removal import look_again
from policies.complaint_replies import draft, opt_outs, removals
from policies.complaint_search import Hit, search
from policies.complaints import Complaint, ComplaintError, Ground, Role, State, Subject, form_of, mail_of, subject

DIGEST = sha256(b"a picture").hexdigest()
FORM = f"""
name = "Ada Example"
contact = "ada@example.org"
role = "rightsholder"
works = ["A novel"]
claim = "It was copied."
subjects = ["site-1.example", "https://site-2.example/q/1", "sha256:{DIGEST}", "post:social.example/4711"]
"""


def complaint(*words: str, contact: str = "ada@example.org", source: str = "") -> Complaint:
    named, unread = complaints.subjects(words)
    return Complaint(
        name="Ada", contact=contact, role=Role.RIGHTSHOLDER, works=("A novel",), claim="It was copied.",
        subjects=named, unread=unread, source=source or sha256("".join(words).encode()).hexdigest(),
    )  # fmt: skip


def upheld(reason: str = "It is hers.") -> Decision:
    return Decision(State.UPHELD, "Bo", reason)


def rejected(ground: Ground, same_as: int | None = None) -> Decision:
    return Decision(State.REJECTED, "Bo", "We looked into it.", ground, same_as)


@pytest.fixture
def register(tmp_path):
    with Register(tmp_path / "register") as made:
        yield made


def looked(register, crawls=(), audits=(), deleted=()):
    """What of the first complaint is left."""
    return look_again(register.record(1), register.hits(1), crawls, audits, deleted)


@pytest.fixture
def crawl(tmp_path):
    """A log with decisions on site-1 to site-4, and one page of social.example that was kept."""
    directory = tmp_path / "crawl"
    small(directory)
    log = EvidenceLog(directory / "evidence", node="n3", now=later(300))
    for name in ("https://social.example/@ada/4711", "https://mirror.example/copy"):
        log.add(
            {"v": 1, "kind": "kept", "stage": "kept", "t": 1, "url": name, "fetch": {"done": True, "sha256": DIGEST}}
        )
    log.close(later(301))
    return directory


def pages(directory, *captures: tuple[str, bytes]):
    """A crawl's pages."""
    folder = directory / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    data = b""
    for url, body in captures:
        message = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        head = f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\nWARC-Target-URI: {url}\r\n"
        kind = f"Content-Type: application/http;msgtype=response\r\nContent-Length: {len(message)}\r\n\r\n"
        data += gzip.compress((head + kind).encode() + message + b"\r\n\r\n")
    (folder / "pages-000000.warc.gz").write_bytes(data)
    return directory


def audit(directory, *rows: tuple[str, bool]):
    """What an audit writes: decisions, the rows that are kept, and the manifest with the digests of both."""
    urls, kept = [url for url, _ in rows], [kept for _, kept in rows]
    decisions = pa.table({
        "file": ["part.parquet"] * len(rows), "row": list(range(len(rows))), "url": urls,
        "origin": ["/".join(url.split("/")[:3]) for url in urls],
        "effect": ["permit" if one else "deny" for one in kept], "reason": ["silence"] * len(rows), "kept": kept,
    })  # fmt: skip
    tables = {"decisions/part.parquet.parquet": decisions, "kept/part.parquet": pa.table({"url": urls}).filter(kept)}
    for name, table in tables.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, directory / name)
    outputs = {name: sha256((directory / name).read_bytes()).hexdigest() for name in tables}
    said = {"file": "part.parquet", "rows": len(rows), "kept": sum(kept), "outputs": outputs}
    (directory / "shards").mkdir(exist_ok=True)
    (directory / "shards" / "part.parquet.json").write_text(json.dumps(said))
    return directory


class TestReading:
    def test_a_form_in_toml_is_the_form_in_json(self):
        as_json = json.dumps(tomllib.loads(FORM)).encode()
        toml, other = form_of(FORM.encode(), "c.toml"), form_of(as_json, "c.json")
        assert toml.subjects == other.subjects
        assert [kind for kind, _ in toml.subjects] == ["domain", "url", "content", "post"]
        assert not toml.lacks
        jsonschema.validate(json.loads(as_json), complaints.SCHEMA)

    @pytest.mark.parametrize("form", [b'role = "thief"', b"works = 3", b'subject = ["x"]', b"name = 1", b"[[", b"\xff"])
    def test_a_form_that_is_none_is_refused_with_its_fault(self, form):
        with pytest.raises(ComplaintError):
            form_of(form, "c.toml")

    @pytest.mark.parametrize("missing", ["name", "contact", "role", "works", "claim", "subjects"])
    def test_what_a_form_lacks_is_named_and_never_made_up(self, missing):
        lines = [line for line in FORM.splitlines() if not line.startswith(missing)]
        found = form_of("\n".join(lines).encode(), "c.toml")
        assert len(found.lacks) == 1
        assert not getattr(found, missing)

    def test_who_represents_somebody_must_say_whom(self):
        found = form_of(FORM.replace('"rightsholder"', '"representative"').encode(), "c.toml")
        assert found.lacks == ("for whom you speak",)

    def test_a_mail_gives_sender_text_and_every_address_in_it(self):
        mail = (
            "From: =?utf-8?q?Ada_M=C3=BCller?= <ada@example.org>\r\nSubject: My pictures\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n\r\n"
            f"You copied https://gallery.example/a.jpg, (https://gallery.example/b) and {DIGEST}.\r\n"
        )
        found = mail_of(mail.encode(), "m.eml")
        assert (found.name, found.contact) == ("Ada Müller", "ada@example.org")
        assert [text for _, text in found.subjects] == ["gallery.example/a.jpg", "gallery.example/b", DIGEST]
        assert "which works are meant" in found.lacks

    @pytest.mark.parametrize(
        "header", ["From: <<<>>>\r\n", "From: a@\xff\r\n", "Content-Type: text/plain; charset=no\r\n"]
    )
    def test_a_mail_that_breaks_the_rules_is_read_as_far_as_it_goes(self, header):
        mail = header.encode("latin-1") + b"Subject: x https://a.example/p\r\n\r\nbody\r\n"
        assert Subject("url", "a.example/p") in mail_of(mail, "m.eml").subjects

    @pytest.mark.parametrize(
        "nested",
        [
            b"Content-Type: message/rfc822\r\n\r\n" * 3_000,
            b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1_000)),
        ],
    )
    def test_a_mail_that_exhausts_its_reader_is_refused(self, nested):
        with pytest.raises(ComplaintError, match=r"m\.eml cannot be read.*nested too deeply"):
            mail_of(b"From: a@b.example\r\n" + nested + b"\r\nhttps://a.example/x", "m.eml")

    def test_a_header_cannot_begin_another_one_in_the_answer(self, register):
        mail = (
            b"From: =?utf-8?q?Ada=0D=0ABcc=3A_evil=40x=2Eexample?= <ada@example.org>\r\nSubject: x\r\n\r\ntext\x1b[2J"
        )
        found = mail_of(mail, "m.eml")
        register.add(found, NOW, 30)
        lines = draft(register.record(1)).splitlines()
        assert "\n" not in found.name + found.contact
        assert not [line for line in lines if line.startswith("Bcc")]

    def test_a_mail_in_html_means_the_addresses_that_its_readers_would_follow(self):
        mail = (
            b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<style>a{background:url(https://style.example/)}</style>"
            b"<p>You took <a href='https://a.example/x?a=1&amp;b=2'>this</a> and https://b.example/y</p>"
        )
        assert {text for _, text in mail_of(mail, "m.eml").subjects} == {"a.example/x?a=1&b=2", "b.example/y"}

    def test_what_is_attached_is_read_where_it_is_text_and_named_where_it_is_not(self):
        part = '--b\r\nContent-Type: {}\r\nContent-Disposition: attachment; filename="{}"\r\n\r\n{}\r\n'
        parts = [("text/plain", "a.txt", "See the list."), ("text/csv", "works.csv", "https://a.example/1,x"),
                 ("application/pdf", "../x\x1b.pdf", "https://a.example/3")]  # fmt: skip
        body = "".join(part.format(*one) for one in parts)
        mail = f"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{body}--b--\r\n"
        found = mail_of(mail.encode(), "m.eml")
        assert [text for _, text in found.subjects] == ["a.example/1"]
        assert len(found.unread) == 1
        assert ".pdf" in found.unread[0]
        assert "\x1b" not in found.unread[0]

    @pytest.mark.parametrize(
        ("kind", "body", "expected"),
        [
            # A mailer that breaks a long address would else make one of it that means all above the work.
            (
                "format=flowed; delsp=yes",
                "See https://a.example/long/ \r\nway/work.html now.",
                "a.example/long/way/work.html",
            ),
            ("format=flowed; delsp=yes", "> https://a.example/long/ \r\n> way is it", "a.example/long/way"),
            ("format=flowed", "See https://a.example/one \r\nway back", "a.example/one"),
            ("format=flowed; delsp=yes", "> https://a.example/x/ \r\nway is mine", "a.example/x"),
            ("charset=us-ascii", "My https://a.example/ü.jpg", "a.example/%C3%BC.jpg"),
            ("charset=utf-8", "My site (www.a.example/x) and me@www.b.example", "a.example/x"),
        ],
    )
    def test_an_address_is_read_as_its_sender_wrote_it(self, kind, body, expected):
        mail = f"From: a@b.example\r\nContent-Type: text/plain; {kind}\r\n\r\n{body}\r\n"
        assert [text for _, text in mail_of(mail.encode(), "m.eml").subjects] == [expected]

    def test_a_mail_without_anything_is_refused(self):
        with pytest.raises(ComplaintError, match="no e-mail"):
            mail_of(b"\r\n\r\n", "m.eml")

    def test_what_names_nothing_is_told_back(self):
        assert complaint("site.example", "my whole life's work").unread == ("my whole life's work",)

    def test_a_complaint_about_everything_is_refused(self):
        with pytest.raises(ComplaintError, match="subjects"):
            complaint(*(f"https://a.example/{number}" for number in range(complaints.MAX_SUBJECTS + 1)))


class TestSubjects:
    @pytest.mark.parametrize(
        ("word", "covered", "not_covered"),
        [
            ("site.example", "https://www.site.example:8443/x", "https://mysite.example/x"),
            ("site.example", "http://SITE.example./x", "https://site.example.org/"),
            ("https://site.example/", "http://site.example/x", "https://www2.site.example/x"),
            ("https://site.example/a", "http://www.site.example/a/b?c", "https://site.example/ab"),
            ("bücher.example", "https://xn--bcher-kva.example/", "https://bucher.example/"),
            ("post:4711", "https://any.example/@ada/4711", "https://any.example/47110"),
            ("post:any.example/4711", "https://www.any.example/?id=4711", "https://other.example/4711"),
        ],
    )
    def test_a_subject_covers_what_a_list_with_it_would(self, word, covered, not_covered):
        found = subject(word)
        assert found.covers(covered)
        assert not found.covers(not_covered)

    @pytest.mark.parametrize(
        "word",
        ["site.example", "https://site.example/", "https://site.example/a?b", "http://site.example:443/a", DIGEST,
         "192.0.2.1", "http://[2001:db8::1]/", "co.uk", "https://site.example:8080/", "http://a.example/x%0a#y"],
    )  # fmt: skip
    def test_the_line_of_a_list_means_the_subject_again(self, word):
        found = subject(word)
        (entry,) = list_forms.plain(found.listed)
        assert (str(entry.match), entry.text) == tuple(found)
        assert "\n" not in found.listed

    @pytest.mark.parametrize(
        "word", ["", "#", "localhost", "post:", "post:a/b/c?d", "javascript:alert(1)", "\u202eabc"]
    )
    def test_a_word_that_names_nothing_is_none(self, word):
        assert subject(word) is None


class TestSearching:
    def test_logs_and_datasets_are_searched_for_domains_urls_content_and_posts(self, crawl, tmp_path):
        words = ["site-1.example", "https://site-2.example/q/1", "post:4711", DIGEST]
        named, _ = complaints.subjects(words)
        data = audit(
            tmp_path / "audit", ("https://mirror.example/copy", True), ("https://site-1.example/x", False),
            ("https://other.example/", True),
        )  # fmt: skip
        hits = list(search(named, [crawl], [data]))
        logged = [hit for hit in hits if hit.place == "log"]
        assert {hit.url for hit in logged if "site-" in hit.url} == {
            *(f"https://site-1.example/{'p' if page % 3 == 0 else 'q'}/{page}" for page in range(5)),
            "https://site-2.example/q/1",
        }
        assert {hit.url for hit in logged if hit.kept} == {
            "https://social.example/@ada/4711", "https://mirror.example/copy",
        }  # fmt: skip
        assert [(hit.url, hit.kept) for hit in hits if hit.place == "dataset"] == [
            ("https://mirror.example/copy", True), ("https://site-1.example/x", False),
        ]  # fmt: skip

    def test_another_site_is_not_found(self, crawl):
        assert not list(search([Subject("domain", "ite-1.example"), Subject("post", "471")], [crawl], []))

    def test_a_quote_in_a_subject_is_text(self, crawl):
        named, _ = complaints.subjects(["https://a.example/'); drop table x --", "post:'or'1"])
        assert not list(search(named, [crawl], []))

    def test_a_directory_without_an_audit_is_refused(self, tmp_path):
        with pytest.raises(ComplaintError, match="no audit"):
            list(search([Subject("domain", "a.example")], [], [tmp_path]))


class TestRegister:
    def test_the_same_file_again_is_the_same_complaint(self, register):
        first = register.add(complaint("a.example"), NOW, 30)
        assert first == (1, True)
        assert register.add(complaint("a.example"), later(60), 30) == (1, False)
        assert register.add(complaint("b.example"), later(60), 30) == (2, True)

    def test_every_step_stands_in_a_log_that_holds(self, register, tmp_path):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        register.found(number, [], ["crawl"], later(1))
        register.decide(number, upheld(), later(2))
        record = register.record(number)
        assert [step.what for step in record.steps] == ["received", "searched", "upheld"]
        assert [step.seq for step in record.steps] == [0, 1, 2]
        assert register.holds(number)
        report = verify(tmp_path / "register" / "evidence", now=later(10))
        assert report.outcome is not Outcome.FAILS, report.text

    def test_the_log_holds_no_personal_data(self, register, tmp_path):
        register.add(complaint("a.example", contact="ada.secret@example.org"), NOW, 30)
        logged = b"".join(
            path.read_bytes() for path in (tmp_path / "register" / "evidence").rglob("*") if path.is_file()
        )
        assert b"ada.secret" not in logged

    @pytest.mark.parametrize("column", ["said", "at", "what"])
    def test_a_register_that_was_changed_afterwards_shows(self, register, tmp_path, column):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        value = {"said": "{}", "at": later(5).isoformat(), "what": "upheld"}[column]
        with sqlite3.connect(tmp_path / "register" / "register.sqlite") as db:
            db.execute(f"update step set {column} = ?", [value])  # noqa: S608 - our own columns
        db.close()
        assert not register.holds(number)

    def test_a_complaint_is_overdue_when_nobody_decides(self, register):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        record = register.record(number)
        assert not record.overdue(NOW + timedelta(days=30))
        assert record.overdue(NOW + timedelta(days=31))
        register.decide(number, upheld(), NOW)
        assert not register.record(number).overdue(NOW + timedelta(days=31))

    def test_the_day_that_was_promised_counts_to_its_end(self, register):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        record = register.record(number)
        midnight = (NOW + timedelta(days=31)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert not record.overdue(midnight - timedelta(microseconds=1))
        assert record.overdue(midnight)

    def test_no_days_means_at_once(self, register):
        number, _ = register.add(complaint("a.example"), NOW, 0)
        assert register.record(number).overdue(NOW + timedelta(seconds=1))

    def test_a_step_that_cannot_be_logged_now_is_logged_later_and_once(self, register, monkeypatch):
        def refuse(*_):
            raise OSError("disk full")

        with monkeypatch.context() as broken:
            broken.setattr("policies.complaint_log.EvidenceLog.add", refuse)
            with pytest.raises(EvidenceError, match="registered but not logged"):
                register.add(complaint("a.example"), NOW, 30)
        assert not register.holds(1)
        assert register.add(complaint("a.example"), later(60), 30) == (1, False)
        assert register.holds(1)
        assert [step.seq for step in register.record(1).steps] == [0]

    def test_an_answer_fills_in_what_was_missing(self, register):
        number, _ = register.add(Complaint(name="Ada", claim="It was copied.", source="1"), NOW, 30)
        register.decide(number, Decision(State.ASKED, "Bo", "We do not know where."), NOW)
        register.answer(number, complaint("a.example"), later(1))
        record = register.record(number)
        assert record.state is State.RECEIVED
        assert not record.complaint.lacks
        assert record.complaint.name == "Ada"


class TestDeciding:
    @pytest.mark.parametrize(
        "decision",
        [
            Decision(State.UPHELD, "", "why"),
            Decision(State.UPHELD, "Bo", " "),
            Decision(State.REJECTED, "Bo", "why"),
            Decision(State.UPHELD, "Bo", "why", Ground.OTHER),
            Decision(State.REMOVED, "Bo", "why"),
            rejected(Ground.IDENTICAL),
            rejected(Ground.OTHER, 1),
            rejected(Ground.NOT_USED),
        ],
    )
    def test_a_decision_needs_what_it_needs(self, register, decision):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        with pytest.raises(ComplaintError):
            register.decide(number, decision, NOW)
        assert register.record(number).state is State.RECEIVED

    def test_nothing_can_be_upheld_that_names_nothing(self, register):
        number, _ = register.add(complaint("no place"), NOW, 30)
        with pytest.raises(ComplaintError, match="nothing that could be reserved"):
            register.decide(number, upheld(), NOW)

    def test_an_upheld_complaint_cannot_be_rejected_afterwards(self, register):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        register.decide(number, upheld(), NOW)
        with pytest.raises(ComplaintError, match="removed"):
            register.decide(number, rejected(Ground.OTHER), NOW)

    @pytest.mark.parametrize(
        ("second", "identical"),
        [
            (complaint("a.example", source="2"), True),
            (complaint("a.example", contact="ADA@example.org", source="2"), True),
            (complaint("a.example", contact="bea@example.org", source="2"), False),
            (complaint("a.example", "b.example", source="2"), False),
        ],
    )
    def test_only_a_repetition_by_the_same_person_is_identical(self, register, second, identical):
        register.add(complaint("a.example"), NOW, 30)
        register.decide(1, rejected(Ground.UNFOUNDED), NOW)
        register.add(second, NOW, 30)
        if identical:
            register.decide(2, rejected(Ground.IDENTICAL, 1), NOW)
            assert register.record(2).state is State.REJECTED
        else:
            with pytest.raises(ComplaintError, match="does not repeat"):
                register.decide(2, rejected(Ground.IDENTICAL, 1), NOW)

    def test_not_used_is_refused_where_something_was_kept(self, register, crawl):
        number, _ = register.add(complaint("social.example"), NOW, 30)
        register.found(number, search(register.record(number).complaint.subjects, [crawl], []), ["crawl"], NOW)
        with pytest.raises(ComplaintError, match="not used"):
            register.decide(number, rejected(Ground.NOT_USED), NOW)

    def test_not_used_may_be_said_where_the_search_found_nothing_kept(self, register, crawl):
        number, _ = register.add(complaint("site-1.example"), NOW, 30)
        register.found(number, search(register.record(number).complaint.subjects, [crawl], []), ["crawl"], NOW)
        register.decide(number, rejected(Ground.NOT_USED), NOW)
        assert "found no copy that was kept" in draft(register.record(number))


class TestConsequences:
    def test_an_upheld_complaint_becomes_a_list_that_reserves(self, register, crawl, tmp_path):
        number, _ = register.add(complaint("site-1.example", "post:4711", DIGEST), NOW, 30)
        register.found(number, search(register.record(number).complaint.subjects, [crawl], []), ["crawl"], NOW)
        assert not list(register.reservations())
        register.decide(number, upheld(), NOW)
        path = tmp_path / "opt-outs.txt"
        path.write_text(opt_outs(list(register.reservations()), "us\nevil.example"))
        faults = []
        source = Source(path, "complaints", "us", Kind.OPT_OUT, "Measure 1.5", NOW.date())
        version = import_list(source, tmp_path / "lists", lambda *fault: faults.append(fault), lambda *_: None)
        assert not faults
        assert version.description.entries == 3
        assert "https://social.example/@ada/4711" in path.read_text().splitlines()

    def test_an_address_with_a_line_break_is_one_line_of_the_list(self, register):
        number, _ = register.add(complaint("post:4711"), NOW, 30)
        hit = Hit(Subject("post", "4711"), "dataset", "audit", "f 1", "https://a.example/4711\nevil.example", kept=True)
        register.found(number, [hit], ["audit"], NOW)
        register.decide(number, upheld(), NOW)
        ((_, lines),) = register.reservations()
        assert lines == ("https://a.example/4711evil.example",)

    def test_the_removal_list_names_what_was_kept_and_nobody(self, register, crawl):
        number, _ = register.add(complaint("site-1.example", "social.example"), NOW, 30)
        register.found(number, search(register.record(number).complaint.subjects, [crawl], []), ["crawl"], NOW)
        lines = [json.loads(line) for line in removals(register.record(number), register.hits(number))]
        assert [line["url"] for line in lines] == ["https://social.example/@ada/4711"]
        assert "ada@example.org" not in json.dumps(lines)

    def test_a_removal_is_refused_while_a_page_is_left(self, register, tmp_path):
        number, _ = register.add(complaint("site-1.example"), NOW, 30)
        register.decide(number, upheld(), NOW)
        crawl = pages(tmp_path / "c", ("https://www.site-1.example/x", b"text"), ("https://site-2.example/", b"other"))
        with pytest.raises(ComplaintError, match="still there"):
            register.remove(number, "Bo", looked(register, [crawl]), NOW)
        pages(tmp_path / "c", ("https://site-2.example/", b"other"))
        register.remove(number, "Bo", looked(register, [crawl]), NOW)
        record = register.record(number)
        assert record.state is State.REMOVED
        assert record.steps[-1].said["looked_through"][0]["items"] == 1
        assert register.holds(number)

    def test_content_is_found_under_another_address(self, register, tmp_path):
        register.add(complaint(DIGEST), NOW, 30)
        crawl = pages(tmp_path / "c", ("https://mirror.example/x", b"a picture"))
        assert looked(register, [crawl]).first.url == "https://mirror.example/x"

    @pytest.mark.parametrize("kept", [True, False])
    def test_a_row_that_an_audit_keeps_is_left(self, register, tmp_path, kept):
        register.add(complaint("site-1.example"), NOW, 30)
        data = audit(tmp_path / "a", ("https://site-1.example/x", kept))
        assert looked(register, [], [data]).left == kept

    def test_a_removal_needs_something_to_look_through(self, register):
        number, _ = register.add(complaint("a.example"), NOW, 30)
        register.decide(number, upheld(), NOW)
        with pytest.raises(ComplaintError, match="nothing was looked through"):
            register.remove(number, "Bo", looked(register), NOW)

    def test_a_file_that_the_audit_did_not_write_proves_nothing(self, register, tmp_path):
        register.add(complaint("site-1.example"), NOW, 30)
        data = audit(tmp_path / "a", ("https://site-1.example/x", False))
        pq.write_table(pa.table({"url": ["https://site-1.example/x"]}), data / "kept" / "part.parquet")
        with pytest.raises(ComplaintError, match="not the file that the audit wrote"):
            looked(register, [], [data])

    def test_a_dataset_that_nobody_has_audited_again_is_not_clean(self, register, crawl, tmp_path):
        number, _ = register.add(complaint("site-1.example", "social.example"), NOW, 30)
        old = audit(tmp_path / "old", ("https://site-1.example/x", True))
        subjects = register.record(number).complaint.subjects
        register.found(number, search(subjects, [crawl], [old]), ["old"], NOW)
        register.decide(number, upheld(), NOW)
        new, other = pages(tmp_path / "new"), audit(tmp_path / "other", ("https://site-1.example/x", False))
        with pytest.raises(ComplaintError, match="nobody has looked again") as refused:
            register.remove(number, "Bo", looked(register, [new], [other]), NOW)
        assert ORIGIN in str(refused.value)
        register.remove(number, "Bo", looked(register, [new], [other], [ORIGIN]), NOW)
        assert f"- {ORIGIN}" in draft(register.record(number))

    def test_a_draft_says_nothing_that_the_register_does_not_hold(self, register):
        number, _ = register.add(complaint("a.example", "my life"), NOW, 30)
        assert "We searched" not in draft(register.record(number))
        assert "my life" in draft(register.record(number))
        hit = Hit(Subject("domain", "a.example"), "log", "log.example", "n 1", "https://a.example/", kept=True)
        register.found(number, [hit], ["crawl-1"], NOW)
        register.decide(number, upheld("It is hers, \u202eand."), NOW)
        text = draft(register.record(number))
        assert "We searched crawl-1:" in text
        assert "1 entries of logs" in text


class TestCommand:
    def test_the_whole_way_of_a_complaint(self, tmp_path, crawl, capsys):
        form = tmp_path / "c.toml"
        form.write_text(FORM)
        common = ["--register", str(tmp_path / "r")]
        assert main(["complaint", "add", str(form), "--evidence", str(crawl), *common]) == 0
        assert "found 8 rows of logs" in capsys.readouterr().out
        assert main(["complaint", "list", "--json", *common]) == 0
        assert json.loads(capsys.readouterr().out)["state"] == "received"
        assert main(["complaint", "decide", "1", "uphold", "--by", "Bo", "--reason", "Hers.", *common]) == 0
        assert "we uphold your complaint" in capsys.readouterr().out
        assert main(["complaint", "export", "--out", str(tmp_path / "out"), *common]) == 0
        command = capsys.readouterr().out
        assert command.startswith("optout lists import")
        assert main([*shlex.split(command)[1:], "--store", str(tmp_path / "lists"), "--quiet"]) == 0
        assert main(["lists", "look", "https://site-1.example/x", "--store", str(tmp_path / "lists"), "--json"]) == 1
        pages(crawl, ("https://other.example/", b"x"))
        done = ["complaint", "decide", "1", "removed", "--by", "Bo", "--evidence", str(crawl)]
        assert main([*done, *common]) == 0
        assert main(["complaint", "show", "1", *common]) == 0
        assert "the steps are those that the log has" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments", [["show", "9"], ["add"], ["add", "x.pdf"], ["decide", "1", "uphold", "--by", "B"]]
    )
    def test_what_cannot_be_done_is_said_in_one_line(self, tmp_path, capsys, arguments):
        assert main(["complaint", *arguments, "--register", str(tmp_path / "r")]) == 2
        assert capsys.readouterr().err.startswith("optout complaint: ")
