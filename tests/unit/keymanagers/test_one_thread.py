"""One thread for all calls: in order, and for nobody longer than told."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from ambergate.core.errors import TimedOut, Unavailable
from ambergate.keymanagers.one_thread import OneThread


def test_all_work_is_done_on_one_thread_in_order() -> None:
    thread, seen = OneThread(), []

    def work(number: int) -> int:
        seen.append(threading.get_ident())
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: thread.run(lambda: work(number)), range(8))) == list(range(8))
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen


@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError])
def test_what_the_work_raises_is_its_callers(error: type[Exception]) -> None:
    def work() -> None:
        raise error

    with pytest.raises(error):
        OneThread().run(work)


def test_what_is_done_in_the_last_moment_is_done() -> None:
    """Between the end of the wait and the look at it."""

    class Late(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            if timeout is not None:
                self.set_result(7)
                raise TimeoutError
            return super().result()

    assert OneThread()._awaited(Late()) == 7


def test_work_that_hangs_keeps_nobody_for_ever() -> None:
    """Nor does what was behind it run later, for nobody."""
    thread, hanging = OneThread(wait=0.05), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        hanging.wait()
        done.append(number)

    for number in range(3):
        with pytest.raises(TimedOut):
            thread.run(partial(work, number))
    hanging.set()
    thread._wait = 30
    thread.run(partial(work, 3))
    assert done == [0, 3]


def test_a_crowd_is_served_where_the_work_goes_on() -> None:
    thread = OneThread(most=1, room=30)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda number: thread.run(lambda: number), range(64))) == list(range(64))


def test_not_all_threads_of_a_service_wait_for_it() -> None:
    thread, hanging = OneThread(wait=30, most=2, room=0.01), threading.Event()
    waiting = threading.Barrier(3)

    def caller() -> None:
        waiting.wait(30)
        thread.run(lambda: hanging.wait(30))

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(caller) for _ in range(2)]
        waiting.wait(30)
        refused = None
        while refused is None:
            try:
                thread.run(hanging.is_set) if thread._room._value == 0 else None
            except Unavailable as error:
                refused = error
        assert refused.code == "key-manager-unavailable"
        hanging.set()
        for future in futures:
            future.result(30)
    assert thread.run(lambda: 7) == 7
