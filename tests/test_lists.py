"""Imported lists: what is found in them, what that means for a decision, and that a store survives interruptions."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import shipped

from optout import engine
from optout.acquisition import list_builder, list_import
from optout.acquisition.list_import import Source, import_list, remove
from optout.acquisition.lists import Lists, versions
from optout.cli import main
from optout.errors import UnreadableInput
from optout.identity import Identity
from optout.model import Effect, Exchange, Purpose, State
from optout.signals import PROTOCOLS
from optout.syntax import listing
from optout.syntax.list_index import Directory, Section, host_keys, key_of, url_entry, url_keys
from optout.syntax.listing import Kind, Match
from optout.urls import origin_of

DAY = date(2026, 11, 1)
US = Identity("ExampleBot")
CONTENT = sha256(b"a reserved work").hexdigest()
ROBOTS = Exchange("https://ok.example.org/robots.txt", "/robots.txt", status=404)


@pytest.fixture
def put(tmp_path):
    """Put a list into the store of the test."""

    def write(text, *, kind=Kind.INFRINGING, name="court list", day=DAY, form=None, faults=None, issuer="A court"):
        path = tmp_path / "source.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        source = Source(path, name, issuer, kind, "Art. 8(3) InfoSoc", day, form)
        on_fault = (lambda *fault: faults.append(fault)) if faults is not None else lambda *_: None
        return import_list(source, tmp_path / "store", on_fault, lambda *_: None)

    write.store = tmp_path / "store"
    return write


def found(store: Path, url: str, day: date = date(2026, 11, 23)) -> list[tuple[str, str]]:
    finds = [listing.parse(exchange.body) for exchange in Lists.open(store, day).consult(url)]
    return [(find.match, find.entry) for find in finds]


def verdict(exchanges, url="https://pirate.example.com/film", policy="eu-gpai"):
    return engine.decide([ROBOTS, *exchanges], url, shipped(policy), US)


# What is found.


@pytest.mark.parametrize(
    ("entry", "url", "hit"),
    [
        ("example.com", "https://example.com/a", True),
        ("example.com", "http://deep.www.example.com:8080/a", True),
        ("example.com", "https://notexample.com/", False),
        ("example.com", "https://example.com.evil.net/", False),
        ("www.example.com", "https://example.com/", False),
        ("EXAMPLE.com.", "https://Example.COM/", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("https://example.com/", "https://example.com/a", True),
        ("https://example.com/", "https://www.example.com/a", False),
        ("192.0.2.1", "http://192.0.2.1/x", True),
        ("192.0.2.1", "http://sub.192.0.2.1.example.org/", False),
        ("2001:db8::1", "http://[2001:db8:0::1]/x", True),
        ("x.se", "https://x.se/", True),
        ("co.uk", "https://bbc.co.uk/", False),
        ("example.com/chat/", "https://example.com/chat", True),
        ("example.com/chat", "https://www.example.com/chat/room?x=1", True),
        ("example.com/chat", "https://example.com/chatter", False),
        ("example.com/chat", "https://sub.example.com/chat", False),
        ("example.com/chat", "https://example.com:8443/chat", True),
        ("example.com:8443", "https://example.com:8443/chat", True),
        ("example.com:8443", "https://example.com/chat", False),
        ("example.com/t.php?id=3", "https://example.com/t.php?id=3&p=2", True),
        ("example.com/t.php?id=3", "https://example.com/t.php?id=31", False),
        ("example.com/%7Euser", "https://example.com/~user/x", True),
    ],
)
def test_finds_hosts_domains_and_urls(put, entry, url, hit):
    put(f"unrelated.example.net\n{entry}\n", form="plain")
    assert bool(found(put.store, url)) is hit


def test_finds_content_wherever_it_is(put):
    put(f"{CONTENT.upper()}\n", kind=Kind.OPT_OUT)
    lists = Lists.open(put.store, DAY)
    assert [exchange.role for exchange in lists.consult_content(CONTENT)] == ["list:opt-out"]
    assert lists.consult_content(sha256(b"another").hexdigest()) == ()


def test_the_same_find_is_the_same_exchange(put):
    put("example.com\n")
    first, again = (Lists.open(put.store, DAY).consult("https://example.com/") for _ in range(2))
    assert first == again
    assert first[0].fetched_at is not None


def test_a_find_names_list_issuer_basis_date_source_and_entry(put):
    version = put("example.com\n")
    (exchange,) = Lists.open(put.store, DAY).consult_host(origin_of("https://www.example.com/"))
    find = listing.parse(exchange.body)
    assert (find.name, find.issuer, find.basis, find.as_of) == (
        "court list",
        "A court",
        "Art. 8(3) InfoSoc",
        "2026-11-01",
    )
    assert (find.match, find.entry, find.source) == (Match.DOMAIN, "example.com", version.description.source)
    assert exchange.url == "optout-list:court%20list/2026-11-01/example.com"


def test_a_deep_url_costs_a_bounded_number_of_keys():
    assert len(url_keys("https://example.com/" + "a/" * 30_000)) <= 66


@given(st.lists(st.sampled_from(["a", "b", "c?x", "", "d&e"]), max_size=8), st.integers(0, 8))
def test_every_beginning_that_ends_at_a_cut_is_found(parts, cut):
    url = "https://example.com/" + "/".join(parts)
    above = "https://example.com/" + "/".join(parts[:cut])
    assert url_entry(above) in url_keys(url)


def test_a_host_has_the_domains_above_it_but_no_single_label():
    assert list(host_keys("a.b.example.com")) == ["a.b.example.com", "b.example.com", "example.com"]
    assert list(host_keys("localhost")) == ["localhost"]


# The index.


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 33, 500, 5_000])
@pytest.mark.parametrize("bits", [0, 1, 5, 9])
def test_the_index_finds_every_key_and_no_other(count, bits):
    draw = random.Random(count)
    keys = sorted({draw.randbytes(16) for _ in range(count)} | ({b"\0" * 16, b"\xff" * 16} if count > 2 else set()))
    directory = Directory(bits)
    for at in range(0, len(keys), 300):
        directory.add(b"".join(keys[at : at + 300]))
    data = b"#" * 5 + b"".join(keys) + directory.finish()
    section = Section(data, 5, len(keys), bits)
    assert all(key in section for key in keys)
    assert not any(draw.randbytes(16) in section for _ in range(500))


def test_bytes_of_two_neighbours_are_no_key():
    first, second = b"\x01" * 8 + b"\x02" * 8, b"\x02" * 8 + b"\x03" * 8
    directory = Directory(0)
    directory.add(first + second)
    section = Section(first + second + directory.finish(), 0, 2, 0)
    assert b"\x02" * 16 not in section
    assert second in section


def test_the_same_source_makes_the_same_bytes(put, tmp_path):
    text = "".join(f"{number}.example.com\n" for number in range(2_000)) * 2
    first = put(text).path.read_bytes()
    remove(put.store, "court list", None)
    assert put(text).path.read_bytes() == first
    assert versions(put.store)[0].description.entries == 2_000


@pytest.mark.parametrize("cut", [0, 10, 100, 4_000, 4_100, -1])
def test_a_damaged_file_is_refused(put, cut):
    path = put("example.com\nexample.org\n").path
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UnreadableInput, match="import its source again"):
        Lists.open(put.store, DAY)


# What it means.


def test_an_infringing_site_may_not_be_fetched_and_the_value_says_why(put):
    put("pirate.example.com\n")
    judged = verdict(Lists.open(put.store, DAY).consult("https://pirate.example.com/film"))
    assert judged.access is Effect.DENY
    assert set(judged.states.values()) == {State.RESERVED}
    decision = judged.decision(Purpose.SEARCH)
    assert (decision.effect, decision.reason) == (Effect.DENY, "list.infringing")
    assert "A court" in decision.decisive[0].value
    assert "Art. 8(3) InfoSoc" in decision.decisive[0].value


def test_nothing_but_the_list_is_needed_to_refuse(put):
    put("pirate.example.com\n")
    exchanges = Lists.open(put.store, DAY).consult("https://pirate.example.com/film")
    judged = engine.decide(exchanges, "https://pirate.example.com/film", shipped("eu-gpai"), US)
    assert {(each.effect, each.reason) for each in judged.decisions} == {(Effect.DENY, "list.infringing")}


def test_an_opt_out_reserves_mining_and_leaves_search_open(put):
    put("pirate.example.com\n", kind=Kind.OPT_OUT)
    judged = verdict(Lists.open(put.store, DAY).consult("https://pirate.example.com/film"))
    assert judged.access is Effect.PERMIT
    assert judged.states == {
        Purpose.TDM: State.RESERVED,
        Purpose.AI_TRAIN: State.RESERVED,
        Purpose.AI_INPUT: State.RESERVED,
        Purpose.SEARCH: State.UNSPECIFIED,
    }
    assert judged.decision(Purpose.AI_TRAIN).reason == "list.opt-out"


def test_an_advisory_list_never_decides(put):
    put("pirate.example.com\n", kind=Kind.ADVISORY)
    judged = verdict(Lists.open(put.store, DAY).consult("https://pirate.example.com/film"))
    assert judged.access is Effect.PERMIT
    assert set(judged.states.values()) == {State.UNSPECIFIED}
    assert set(judged.advisory) == set(Purpose)


def test_not_to_be_listed_says_nothing(put):
    put("pirate.example.com\n")
    assert Lists.open(put.store, DAY).consult("https://ok.example.org/") == ()


def test_a_work_is_suppressed_on_a_mirror(put):
    put(f"{CONTENT}\n", kind=Kind.OPT_OUT)
    compiled = engine.compile([ROBOTS], shipped("eu-gpai"), US)
    finds = Lists.open(put.store, DAY).consult_content(CONTENT)
    judged = compiled.decide("https://ok.example.org/mirror.txt", finds)
    assert judged.decision(Purpose.AI_TRAIN).effect is Effect.DENY
    other = compiled.decide("https://ok.example.org/other.txt")
    assert other.states[Purpose.AI_TRAIN] is State.UNSPECIFIED


@pytest.mark.parametrize("kind", Kind)
def test_compiled_and_plain_decisions_agree(put, kind):
    put("pirate.example.com\n", kind=kind)
    url = "https://pirate.example.com/film"
    finds = Lists.open(put.store, DAY).consult(url)
    compiled = engine.compile([ROBOTS, *finds], shipped("eu-gpai"), US)
    assert compiled.decide(url) == verdict(finds)


@pytest.mark.parametrize("kind", [Kind.OPT_OUT, Kind.INFRINGING])
@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"name": 1}', b"\xff"])
def test_a_find_that_cannot_be_read_still_restricts(put, kind, body):
    put("pirate.example.com\n", kind=kind)
    (find,) = Lists.open(put.store, DAY).consult("https://pirate.example.com/film")
    judged = verdict([replace(find, body=body)])
    assert judged.decision(Purpose.AI_TRAIN).effect is Effect.DENY
    (problem,) = judged.problems
    assert problem.code in PROTOCOLS["registry"].problems | PROTOCOLS["blocklist"].problems


def test_one_agent_is_bound_like_another(put):
    put("pirate.example.com\n")
    finds = Lists.open(put.store, DAY).consult("https://pirate.example.com/")
    judged = engine.decide(
        [ROBOTS, *finds], "https://pirate.example.com/", shipped("eu-gpai"), Identity("Google-Extended")
    )
    assert judged.decision(Purpose.AI_TRAIN).effect is Effect.DENY


# The store.


def test_versions_stay_and_the_newest_that_is_not_later_is_in_force(put):
    put("old.example.com\n", day=date(2026, 1, 1))
    put("new.example.com\n", day=date(2026, 6, 1))
    assert found(put.store, "https://old.example.com/", date(2026, 3, 1))
    assert not found(put.store, "https://new.example.com/", date(2026, 3, 1))
    assert not found(put.store, "https://old.example.com/", date(2026, 6, 1))
    assert found(put.store, "https://new.example.com/", date(2026, 6, 1))
    assert not found(put.store, "https://new.example.com/", date(2025, 6, 1))


def test_the_same_import_again_changes_nothing(put):
    first = put("example.com\n")
    before = first.path.stat().st_mtime_ns
    assert put("example.com\n") == first
    assert first.path.stat().st_mtime_ns == before


@pytest.mark.parametrize("changed", [{"text": "other.com\n"}, {"issuer": "B"}, {"kind": Kind.ADVISORY}])
def test_another_version_of_the_same_date_is_refused(put, changed):
    put("example.com\n")
    given = {"text": "example.com\n", "kind": Kind.INFRINGING, "issuer": "A court"} | changed
    with pytest.raises(UnreadableInput, match="another version"):
        put(given.pop("text"), **given)


@pytest.mark.parametrize("name", ["", " ", ".", "..", ".hidden", "a\nb", "x" * 201])
def test_names_that_no_folder_can_have_are_refused(put, name):
    with pytest.raises(UnreadableInput, match="unusable name"):
        put("example.com\n", name=name)


def test_a_name_with_slashes_stays_inside_the_store(put):
    path = put("example.com\n", name="a/../../b").path
    assert path.parents[1] == put.store


def test_a_list_without_entries_is_refused_and_leaves_nothing(put):
    with pytest.raises(UnreadableInput):
        put("\n# nothing\n", form="plain")
    assert [path for path in put.store.rglob("*") if path.is_file()] == []


def test_an_interrupted_import_goes_on_and_ends_with_the_same_bytes(put, monkeypatch):
    text = "".join(f"{number}.example.com\n" for number in range(30_000))
    whole = put(text, name="whole").path.read_bytes()
    monkeypatch.setattr(list_import, "NOTED_EVERY_BYTES", 1)
    monkeypatch.setattr(list_builder, "_SPILL_BYTES", 64)
    source = Source(put.store.parent / "source.txt", "whole", "A court", Kind.INFRINGING, "Art. 8(3) InfoSoc", DAY)
    remove(put.store, "whole", None)
    told = []

    def interrupt(done, whole):
        told.append(done)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_list(source, put.store, lambda *_: None, interrupt)
    assert versions(put.store) == []
    again = []
    version = import_list(source, put.store, lambda *_: None, lambda done, whole: again.append(done))
    assert again[0] > told[0], "it began at the beginning"
    assert version.path.read_bytes() == whole
    assert [path.name for path in put.store.iterdir()] == ["whole"]


def test_removing_takes_one_version_or_all(put):
    put("example.com\n", day=date(2026, 1, 1))
    put("example.com\n", day=date(2026, 2, 1))
    remove(put.store, "court list", date(2026, 1, 1))
    assert [version.description.as_of for version in versions(put.store)] == [date(2026, 2, 1)]
    remove(put.store, "court list", None)
    assert versions(put.store) == []
    with pytest.raises(UnreadableInput, match="there is no list"):
        remove(put.store, "court list", None)


def test_a_store_that_is_not_there_is_no_empty_store(tmp_path):
    with pytest.raises(UnreadableInput, match="there are no lists"):
        Lists.open(tmp_path / "nothing", DAY)


# The command.


def run(capsys, *arguments):
    code = main(["lists", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_imports_shows_looks_and_removes(capsys, tmp_path):
    source, store = tmp_path / "list.txt", ("--store", tmp_path / "store")
    source.write_text(
        "0.0.0.0 pirate.example.com\nrubbish\n0.0.0.0 other.example.com\n" + "0.0.0.0 x.example.com\n" * 3
    )
    about = ("--kind", "infringing", "--name", "L", "--issuer", "I", "--legal-basis", "B", "--as-of", "2026-07-06")
    code, out, err = run(capsys, "import", source, *about, *store, "--json")
    assert code == 0
    assert json.loads(out)["counts"] == {"host": 3, "domain": 0, "url": 0, "content": 0}
    assert f"{source} (line 2): no address" in err
    code, out, _ = run(capsys, "show", *store, "--json")
    assert json.loads(out)["faults"] == 1
    assert "infringing" in run(capsys, "show", *store)[1]
    code, out, _ = run(capsys, "look", "pirate.example.com", "https://www.pirate.example.com/", *store)
    assert code == 1
    assert "pirate.example.com is on L of I, as of 2026-07-06 (basis: B)" in out
    assert "https://www.pirate.example.com/: not listed" in out
    assert run(capsys, "look", "0" * 64, *store)[0] == 0
    assert run(capsys, "look", "pirate.example.com", "--as-of", "2026-07-05", *store)[0] == 0
    assert run(capsys, "remove", "L", *store)[0] == 0
    assert run(capsys, "remove", "L", *store)[0] == 2
    assert run(capsys, "look", "not a url", *store)[0] == 2


def test_an_unreadable_source_is_one_line(capsys, tmp_path):
    about = ("--kind", "infringing", "--name", "L", "--issuer", "I", "--legal-basis", "B", "--as-of", "2026-07-06")
    code, _, err = run(capsys, "import", tmp_path / "nothing", *about, "--store", tmp_path / "store")
    assert (code, err.count("\n")) == (2, 1)
    assert key_of("x") != key_of("y")
