"""trust.txt beyond what vectors can say: both paths, limits, and every real file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optout.model import Exchange, Place, State
from optout.signals import trust_txt
from optout.syntax import plain_text

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "trust_txt"


def read(body, role="/trust.txt", status=200):
    return trust_txt.read(Exchange(f"https://example.com{role}", role, status=status, body=body))


@pytest.mark.parametrize("role", trust_txt.FILES)
def test_both_paths_are_read_and_named(role):
    (statement,) = read(b"# ours\ndatatrainingallowed=no\n", role).statements
    assert statement.place == Place(role, 2, 7, "datatrainingallowed")
    assert statement.value == "datatrainingallowed=no"


@pytest.mark.parametrize("status", [None, 403, 404, 503])
def test_what_did_not_arrive_says_nothing(status):
    assert not read(b"datatrainingallowed=no", status=status).statements


def test_a_line_that_the_limit_cuts_is_left_out():
    body = b"#" * (trust_txt.MAX_BYTES - 25) + b"\ndatatrainingallowed=yes but not for you\n"
    assert not read(body).statements
    assert not read(body).problems


def test_a_file_saved_as_utf_16_is_read():
    assert len(read("datatrainingallowed=no\r\n".encode("utf-16")).statements) == 1


def test_many_faulty_lines_do_not_fill_the_report():
    assert len(read(b"datatrainingallowed=maybe\n" * 5000).problems) == 50


@given(st.binary(max_size=200) | st.text("datrinlowe=:nyso \n#<", max_size=80).map(str.encode))
def test_any_bytes_are_data_and_only_the_letter_permits(body):
    for statement in read(body).statements:
        if statement.leniency is not None:
            assert all(state is State.RESERVED for _, state in statement.states)


@pytest.mark.parametrize(
    ("body", "markup"),
    [
        (b"<!doctype html>", True),
        (b"\xef\xbb\xbf\r\n <HTML>", True),
        (b"<?xml version='1.0'?>", True),
        (b"<!-- note -->\nTraining: deny\n", False),
        (b"a <html>", False),
        (b"", False),
        (b"<3 training", False),
    ],
)
def test_markup_is_told_from_text(body, markup):
    assert plain_text.is_markup(body) is markup


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real files is not here")
def test_every_real_file_is_read():
    readings = {path.name: read(path.read_bytes()) for path in CORPUS.glob("*")}
    assert len(readings) == 13
    stated = {name.split("__")[0]: r.statements[0].reason for name, r in readings.items() if r.statements}
    assert stated == {
        "Channing-Way": "trust-txt.permitted",
        "S0ulf3re": "trust-txt.reserved",
        "gasparsequeira": "trust-txt.reserved",
    }
    pages = [name for name, reading in readings.items() if reading.problems]
    assert [name.split("__")[0] for name in pages] == ["joaldias"]
