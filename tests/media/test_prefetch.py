"""Work done ahead of time: in order, no further ahead than asked for, and errors where they belong."""

from __future__ import annotations

import threading
import time

import pytest

from cornernet.media.prefetch import ahead


def test_results_come_in_order_whichever_is_done_first():
    def slow_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return -number

    assert list(ahead(slow_if_even, range(12), workers=3, depth=5)) == [-number for number in range(12)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_items_than_it_looks_ahead(count):
    assert list(ahead(str, range(count), depth=8)) == [str(number) for number in range(count)]


def test_an_error_is_raised_in_its_place():
    found = ahead(lambda number: 1 / number, [1, 2, 0, 4])
    assert [next(found), next(found)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(found)


@pytest.mark.parametrize(("options", "depth"), [({}, 3), ({"workers": 4}, 5), ({"workers": 1, "depth": 2}, 2)])
def test_no_more_results_wait_than_asked_for(options, depth):
    taken = []
    source = (taken.append(number) or number for number in range(20))
    for given, _ in enumerate(ahead(abs, source, **options), start=1):
        assert len(taken) == min(given + depth, 20)


def test_leaving_early_stops_what_has_not_begun():
    begun, go_on = [], threading.Event()

    def wait(number: int) -> None:
        begun.append(number)
        if number:
            go_on.wait(10)

    found = ahead(wait, range(100), workers=1, depth=5)
    next(found)
    threading.Timer(0.1, go_on.set).start()
    found.close()  # waits for the one at work
    assert begun in ([0], [0, 1])
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
