"""Callers return once their own item is committed, groups form under load, and a failure is its group's alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import Unavailable
from ambergate.stores import group_commit
from ambergate.stores.group_commit import _CONTENT, ENOUGH, GroupCommit, _Pace

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


def learnt(*sizes: int) -> int:
    """What a group waits for after groups of these sizes; 0 stands for as many as were waited for."""
    pace = _Pace()
    for size in sizes:
        pace.learn(size or pace.wanted)
    return pace.wanted


def test_who_comes_alone_waits_for_nobody() -> None:
    assert learnt(*[1] * 1000) == 1


def test_where_more_come_a_group_waits_for_as_many_as_do_come() -> None:
    assert learnt(2) == 3
    assert learnt(2, 0, 0, 0) == 6
    assert learnt(*[0, 2] + [0] * 100) == ENOUGH
    assert learnt(900) == ENOUGH


def test_one_more_that_did_not_come_is_not_waited_for_again_at_once() -> None:
    assert learnt(5, 5) == 5, "six were waited for"
    assert learnt(5, 5, *[5] * _CONTENT) == 5
    assert learnt(5, 5, *[5] * (_CONTENT + 1)) == 6
    assert learnt(5, 5, 1) == 1, "and fewer are enough as soon as fewer come"


def test_a_group_lingers_for_more_and_no_longer_than_it_may(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two is waited for, here until it comes; the third does not come, and the two go."""
    commits = GroupCommit(held)
    held.go.release(100)
    with ThreadPoolExecutor(2) as pool:
        commits._pace.wanted = 2
        monkeypatch.setattr(group_commit, "LINGER", 30.0)
        first = pool.submit(commits.put, 1)
        waiting(commits, 1)
        assert (commits.put(2), first.result(30)) == (20, 10)
        monkeypatch.setattr(group_commit, "LINGER", 0.001)
        assert commits._pace.wanted == 3
        assert commits.put(3) == 30
    commits.close()
    assert [sorted(group) for group in held.groups] == [[1, 2], [3]]
