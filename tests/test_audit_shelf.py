"""Compiled policies on disk: used where they are whole, left aside where they are not, and never another answer."""

import os
import time
from hashlib import sha256

import audit_store
import orjson
import pyarrow as pa
import pytest
from policies_for_tests import shipped

from optout import engine
from optout.acquisition.history import Store
from optout.audit import sites
from optout.audit.judge import KERNEL, AsOf, Judge, Reading
from optout.audit.shelf import Shelf, clear_unused
from optout.identity import Identity

pytestmark = pytest.mark.skipif(KERNEL is None, reason="the compiled tier was not built on this machine")

ROBOTS = {
    "https://a.example": "User-agent: *\nDisallow: /private/\nAllow: /private/open\nDisallow: /*.pdf$\n",
    "https://b.example": "User-agent: *\nDisallow: /a%3Fb\n\nUser-agent: GPTBot\nDisallow: /\n",
    "https://c.example": "User-agent: *\nDisallow:\n",
}
URLS = [
    "https://a.example/private/x", "https://a.example/private/open", "https://a.example/b.pdf", "https://a.example/",
    "https://b.example/a?b", "https://b.example/a%3Fb", "https://b.example/c", "https://c.example/x", "https://d.example/",
]  # fmt: skip


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(sites, "WORTH_A_SEGMENT", 1)
    return audit_store.make(tmp_path / "store", *(audit_store.state(*pair) for pair in ROBOTS.items()))


def judged(store, token="ExampleBot"):
    """What all URLs come to, and the judge that said so."""
    with Store.open(store) as opened:
        readings = [Reading("own", shipped("eu-gpai"), retroactive=False)]
        judge = Judge(opened, readings, Identity(token), AsOf(), KERNEL, shelves=store / "compiled")
        numbers = judge.judge(pa.array(URLS)).numbers[0].tolist()
        judge.shelve()
        return [judge.outcomes.all[number] for number in numbers]


def segments(store):
    return sorted((store / "compiled").rglob("*.flat"))


def no_compiling(*_):
    raise AssertionError


def test_what_nobody_opens_any_more_is_removed(store):
    judged(store)
    judged(store, token="OtherBot")
    unused, used = sorted((store / "compiled").iterdir())
    long_ago = unused.stat().st_mtime - 31 * 86_400
    os.utime(unused, (long_ago, long_ago))
    clear_unused(store / "compiled", time.time())
    assert [*(store / "compiled").iterdir()] == [used]
    clear_unused(store / "none", time.time())


def test_to_open_a_shelf_keeps_it(store):
    judged(store)
    (shelf,) = (store / "compiled").iterdir()
    os.utime(shelf, (0, 0))
    judged(store)
    clear_unused(store / "compiled", time.time())
    assert [*(store / "compiled").iterdir()] == [shelf]


def test_what_is_on_the_shelf_is_not_compiled_again(store, monkeypatch):
    expected = judged(store)
    monkeypatch.setattr(engine, "compile", no_compiling)
    # Those of b.example are left out: the second reader is asked about one, and it is made from the file itself.
    plain = [url for url in URLS if "b.example/a" not in url]
    with Store.open(store) as opened:
        readings = [Reading("own", shipped("eu-gpai"), retroactive=False)]
        judge = Judge(opened, readings, Identity("ExampleBot"), AsOf(), KERNEL, shelves=store / "compiled")
        numbers = judge.judge(pa.array(plain)).numbers[0].tolist()
    found = dict(zip(plain, (judge.outcomes.all[number] for number in numbers), strict=True))
    assert found == {url: outcome for url, outcome in zip(URLS, expected, strict=True) if url in found}


def test_answers_are_the_same_with_and_without(store):
    expected = judged(store)
    assert len(segments(store)) == 1
    assert judged(store) == expected


@pytest.mark.parametrize("place", [0, 30, 200, -1])
def test_a_damaged_segment_is_left_aside(store, place):
    expected = judged(store)
    (segment,) = segments(store)
    data = bytearray(segment.read_bytes())
    data[place] ^= 1
    segment.write_bytes(data)
    assert judged(store) == expected
    # It was compiled again, and the same segment takes the place of the damaged one.
    assert segments(store) == [segment]
    assert sha256(segment.read_bytes()).hexdigest() == segment.stem


def test_a_foreign_segment_under_a_fitting_name_is_left_aside(store):
    expected = judged(store)
    (segment,) = segments(store)
    whole = segment.read_bytes()
    segment.unlink()
    places = [whole.index(b'"contents"'), len(whole) - 40]
    for data in (b"", b"nothing", whole[:60], *(whole[:at] + b"\xff" * 8 + whole[at + 8 :] for at in places)):
        segment.with_name(f"{sha256(data).hexdigest()}.flat").write_bytes(data)
    assert judged(store) == expected


@pytest.mark.parametrize(
    "entry", [[], "x", [1] * 8, [1, False, "", 0, 40, 0, 40, [["a", 0]]], [0, True, "", 0, 4, 0, 4, []]]
)
def test_a_segment_that_is_whole_and_says_nonsense_is_left_aside(store, entry):
    expected = judged(store)
    (segment,) = segments(store)
    whole = segment.read_bytes()
    segment.unlink()
    size = int.from_bytes(whole[24:32], "little")
    index = orjson.loads(whole[32 : 32 + size])
    index["contents"] = dict.fromkeys(index["contents"], entry)
    about = orjson.dumps(index)
    about += b" " * (-len(about) % 8)
    data = whole[:24] + len(about).to_bytes(8, "little") + about + whole[32 + size :]
    segment.with_name(f"{sha256(data).hexdigest()}.flat").write_bytes(data)
    assert judged(store) == expected


def test_each_agent_has_a_shelf_of_its_own(store):
    judged(store)
    judged(store, "GPTBot")
    assert len({segment.parent for segment in segments(store)}) == 2


def test_a_folder_that_cannot_be_written_is_no_failure(store, tmp_path):
    policy = shipped("eu-gpai")
    (tmp_path / "file").write_text("in the way")
    shelf = Shelf(tmp_path / "file", policy, Identity("ExampleBot"))
    shelf.put({})
    assert shelf.get("anything") is None
