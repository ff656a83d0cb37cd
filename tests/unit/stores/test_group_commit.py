"""Callers return once their own item is committed, groups form under load, and a failure is its group's alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import Unavailable
from ambergate.stores import group_commit
from ambergate.stores.group_commit import ENOUGH, GroupCommit, _Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Held:
    """A committer that waits until it is let go, and notes its groups."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.groups: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.entered.release()
        assert self.go.acquire(timeout=30)
        self.groups.append(list(items))
        if -1 in items:
            raise Unavailable("no")
        return [item * 10 for item in items]


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def commits(held: Held) -> Iterator[GroupCommit[int, int]]:
    commits = GroupCommit(held)
    yield commits
    held.go.release(100)
    commits.close()


def waiting(commits: GroupCommit[int, int], count: int) -> None:
    """Until so many items wait."""
    done = threading.Event()
    while len(commits._waiting) < count:
        done.wait(0.001)


def test_what_comes_meanwhile_goes_together(held: Held, commits: GroupCommit[int, int]) -> None:
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(commits.put, 1)
        assert held.entered.acquire(timeout=30)
        others = [pool.submit(commits.put, item) for item in range(2, 20)]
        waiting(commits, 18)
        assert not any(one.done() for one in (first, *others)), "nobody returns before the commit"
        held.go.release(2)
        assert first.result(30) == 10
        assert [one.result(30) for one in others] == [item * 10 for item in range(2, 20)]
    assert [len(group) for group in held.groups] == [1, 18]


def test_a_failure_is_told_to_its_group_and_ends_nothing(held: Held, commits: GroupCommit[int, int]) -> None:
    held.go.release(2)
    with pytest.raises(Unavailable, match="no"):
        commits.put(-1)
    assert commits.put(4) == 40


def test_groups_and_the_queue_are_bounded(
    held: Held, commits: GroupCommit[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_GROUP", 3)
    monkeypatch.setattr(group_commit, "MAX_WAITING", 5)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(commits.put, 1)
        assert held.entered.acquire(timeout=30)
        others = [pool.submit(commits.put, item) for item in range(2, 7)]
        waiting(commits, 5)
        with pytest.raises(Unavailable, match="nothing more"):
            commits.put(7)
        held.go.release(100)
        assert [one.result(30) for one in (first, *others)] == [item * 10 for item in range(1, 7)]
    assert [len(group) for group in held.groups] == [1, 3, 2]


def test_a_commit_that_hangs_is_not_waited_for_for_ever(
    commits: GroupCommit[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAIT", 0.01)
    with pytest.raises(Unavailable, match="too slow"):
        commits.put(1)


def test_closing_commits_what_waits_and_takes_no_more(held: Held) -> None:
    commits = GroupCommit(held)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(commits.put, 1)
        assert held.entered.acquire(timeout=30)
        second = pool.submit(commits.put, 2)
        waiting(commits, 1)
        held.go.release(2)
        commits.close()
        assert (first.result(30), second.result(30)) == (10, 20)
    with pytest.raises(Unavailable):
        commits.put(3)


def idle_that(calls: list[int], enough: threading.Event) -> Callable[[], None]:
    def idle() -> None:
        calls.append(len(calls))
        if len(calls) > 3:
            enough.set()
        raise RuntimeError

    return idle


def test_what_is_done_between_commits_cannot_stop_them() -> None:
    calls: list[int] = []
    enough = threading.Event()
    commits: GroupCommit[int, int] = GroupCommit(list[int], idle=idle_that(calls, enough), idle_seconds=0.001)
    assert enough.wait(30)
    assert commits.put(1) == 1
    commits.close()


def test_what_callers_on_a_loop_hand_over_goes_together_and_each_is_told(
    held: Held, commits: GroupCommit[int, int]
) -> None:
    async def main() -> list[int | BaseException]:
        first = commits.submit(1)
        assert await asyncio.to_thread(held.entered.acquire, timeout=30)
        others = [commits.submit(item) for item in range(2, 10)]
        held.go.release(100)
        return await asyncio.gather(first, *others, return_exceptions=True)

    assert asyncio.run(main()) == [item * 10 for item in range(1, 10)]
    assert held.groups == [[1], list(range(2, 10))]


def test_a_failure_is_told_on_the_loop_too_and_ends_nothing(held: Held, commits: GroupCommit[int, int]) -> None:
    held.go.release(100)

    async def main() -> None:
        with pytest.raises(Unavailable, match="no"):
            await commits.submit(-1)
        assert await commits.submit(4) == 40

    asyncio.run(main())


def test_on_a_loop_a_commit_that_hangs_is_not_waited_for_for_ever(
    held: Held, commits: GroupCommit[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its late end disturbs nobody."""
    monkeypatch.setattr(group_commit, "WAIT", 0.01)

    async def main() -> int:
        with pytest.raises(Unavailable, match="too slow"):
            await commits.submit(1)
        monkeypatch.setattr(group_commit, "WAIT", 30.0)
        held.go.release(100)
        return await commits.submit(2)

    assert asyncio.run(main()) == 20


def test_a_loop_that_ends_meanwhile_stops_nothing(held: Held, commits: GroupCommit[int, int]) -> None:
    async def leave() -> None:
        commits.submit(1).cancel()
        commits.submit(2)

    asyncio.run(leave())
    held.go.release(100)
    assert commits.put(3) == 30


class Turns:
    """Hands items over in some turns of the loop, and lets others go by."""

    def __init__(self, commits: GroupCommit[int, int]) -> None:
        self._commits = commits
        self._done: list[asyncio.Future[int]] = []

    async def __call__(self, *counts: int) -> None:
        for count in counts:
            self._done += [self._commits.submit(item) for item in range(count)]
            await asyncio.sleep(0)

    async def end(self) -> None:
        await asyncio.gather(*self._done)


def groups(held: Held, *counts: int) -> list[int]:
    """How many were committed together, of so many handed over in each turn of a loop. Each group is taken at once."""
    given: list[int] = []

    async def main() -> None:
        commits = GroupCommit(held)
        give = commits._take_all

        def noted(promises: list[_Promise[int, int]]) -> None:
            given.append(len(promises))
            give(promises)

        commits._take_all = noted  # type: ignore[method-assign]
        turns = Turns(commits)
        await turns(*counts)
        held.go.release(100)
        await turns.end()
        commits.close()

    asyncio.run(main())
    return given


def test_an_idle_loop_waits_for_nobody(held: Held) -> None:
    """What was handed over in a turn goes when the next adds nothing."""
    assert groups(held, 1, 0, 0, 1, 0, 0, 3, 0, 0) == [1, 1, 3]


def test_a_loop_under_load_gathers_until_it_is_enough(held: Held) -> None:
    assert groups(held, 1, 1, 2, 3, 0, 0, 1) == [7, 1]
    assert groups(held, *[1] * (ENOUGH + 2)) == [ENOUGH, 2]
    assert groups(held, ENOUGH + 2) == [ENOUGH, 2]


def test_a_loop_under_load_does_not_gather_for_long(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LINGER", 0.0)
    assert groups(held, 1, 1, 1) == [1, 1, 1]


def test_what_was_gathered_when_all_was_closed_is_refused(commits: GroupCommit[int, int], held: Held) -> None:
    held.go.release(100)

    async def main() -> None:
        last = commits.submit(1)
        commits.close()
        with pytest.raises(Unavailable, match="nothing more"):
            await last
        with pytest.raises(Unavailable, match="nothing more"):
            commits.submit(2)

    asyncio.run(main())
