"""The frontier gives every URL out once, and what a dead process had in hand again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scrapy import Request
from scrapy.utils.request import RequestFingerprinter

from crawler.frontier import FRONTIER_ID, Frontier

if TYPE_CHECKING:
    from pathlib import Path

SITE = "https://example.org"


def _frontier(directory: Path) -> Frontier:
    return Frontier(str(directory / "frontier.sqlite"), RequestFingerprinter())


def _link(path: str, depth: int = 1) -> Request:
    return Request(SITE + path, meta={"depth": depth})


def _take(frontier: Frontier) -> Request:
    request = frontier.next_request()
    assert request is not None
    return request


def test_urls_come_out_once_and_nearest_first(tmp_path: Path) -> None:
    frontier = _frontier(tmp_path)
    taken = [
        frontier.enqueue_request(_link(path, depth)) for path, depth in [("/b", 2), ("/a", 1), ("/b", 1), ("/c", 0)]
    ]
    assert taken == [True, True, False, True]
    assert [_take(frontier).url for _ in range(3)] == [f"{SITE}/c", f"{SITE}/a", f"{SITE}/b"]
    assert frontier.next_request() is None
    assert not frontier.has_pending_requests()


def test_what_a_killed_process_had_in_hand_is_waiting_again(tmp_path: Path) -> None:
    before = _frontier(tmp_path)
    for number in range(5):
        before.enqueue_request(_link(f"/{number}"))
    done, _in_hand = _take(before), _take(before)
    before.enqueue_request(_link("/found on the page", 2))
    before.finish(done, kept=True)
    # No close: the process is gone.
    after = _frontier(tmp_path)
    assert after.kept() == 1
    left = [_take(after).url for _ in range(after.waiting())]
    assert left == [f"{SITE}/{number}" for number in range(1, 5)] + [f"{SITE}/found%20on%20the%20page"]
    assert not after.enqueue_request(_link("/0"))


def test_a_retried_request_goes_on_with_its_row(tmp_path: Path) -> None:
    frontier = _frontier(tmp_path)
    frontier.enqueue_request(_link("/a"))
    request = _take(frontier)
    again = request.copy()
    again.meta["retry_times"] = 1
    assert frontier.enqueue_request(again)
    assert frontier.has_pending_requests()
    assert _take(frontier) is again
    frontier.finish(again, kept=False)
    assert frontier.waiting() == 0


def test_a_redirect_target_is_not_fetched_again_and_a_known_one_ends_the_redirect(tmp_path: Path) -> None:
    frontier = _frontier(tmp_path)
    for path in ("/old", "/older", "/known"):
        frontier.enqueue_request(_link(path))
    old, older = _take(frontier), _take(frontier)
    moved = old.replace(url=f"{SITE}/new")
    assert frontier.enqueue_request(moved)
    frontier.finish(_take(frontier), kept=True)
    assert not frontier.enqueue_request(_link("/new"))
    assert not frontier.enqueue_request(older.replace(url=f"{SITE}/known"))
    assert frontier.waiting() == 1
    assert frontier.kept() == 1


def test_no_more_is_given_out_than_may_be_kept(tmp_path: Path) -> None:
    frontier = _frontier(tmp_path)
    for number in range(9):
        frontier.enqueue_request(_link(f"/{number}"))
    frontier.keep_at_most(2)
    first, second = _take(frontier), _take(frontier)
    assert frontier.next_request() is None
    assert frontier.has_pending_requests()
    frontier.finish(first, kept=False)
    _take(frontier)
    frontier.finish(second, kept=True)
    assert frontier.next_request() is None


def test_finishing_twice_or_a_stranger_counts_nothing(tmp_path: Path) -> None:
    frontier = _frontier(tmp_path)
    frontier.enqueue_request(_link("/a"))
    request = _take(frontier)
    for _ in range(2):
        frontier.finish(request, kept=True)
    frontier.finish(Request(SITE), kept=True)
    frontier.finish(Request(SITE, meta={FRONTIER_ID: 999}), kept=True)
    assert (frontier.kept(), frontier.waiting()) == (1, 0)


@pytest.mark.parametrize("count", [700])
def test_many_urls_come_out_in_batches_without_loss(tmp_path: Path, count: int) -> None:
    frontier = _frontier(tmp_path)
    for number in range(count):
        frontier.enqueue_request(_link(f"/{number}"))
    seen = set()
    for step in range(count):
        request = _take(frontier)
        seen.add(request.url)
        if step % 3:
            frontier.finish(request, kept=False)
    assert len(seen) == count
    frontier.close("finished")
