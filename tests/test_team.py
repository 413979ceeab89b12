"""Work that threads share."""

from __future__ import annotations

import threading
import time

import pytest

from convexsnn.team import Team


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_items(size: int, count: int) -> None:
    team = Team(size)
    for _ in range(2):  # a team may be used again
        assert team.each(lambda item: 10 * item, range(count)) == [10 * item for item in range(count)]


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60.0)
    assert len(Team(2).each(lambda _: meeting.wait(), range(2))) == 2


@pytest.mark.parametrize("size", [1, 2])
def test_an_error_of_any_thread_is_raised(size: int) -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise ValueError("item 3")
        return item

    with pytest.raises(ValueError, match="item 3"):
        Team(size).each(fail, range(5))


def test_no_item_is_begun_once_the_caller_has_failed() -> None:
    begun, caller, failing = [], threading.get_ident(), threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if threading.get_ident() == caller:
            failing.set()
            raise KeyboardInterrupt
        failing.wait(60.0)
        time.sleep(0.5)

    with pytest.raises(KeyboardInterrupt):
        Team(2).each(work, range(100))
    assert len(begun) <= 3
