"""Fetches behind FUSE are bounded, also by readers that come, give up and come again."""

from __future__ import annotations

import errno
import os
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from ambergate.client.settings import Settings
from ambergate.devices import fuse
from ambergate.devices.model import Tree

if TYPE_CHECKING:
    import ctypes

    from ambergate.client.attempt import Attempt

WAIT = 10.0  # seconds until a test that waits has failed
BOUND = 3


class Fetcher:
    """Tokens that come when the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = 0

    def token(self, _settings: Settings, _attempt: Attempt, /) -> str:
        self.begun += 1
        assert self.gate.wait(WAIT)
        return "token"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        return self.token(settings, attempt).encode()


def test_readers_that_give_up_leave_no_more_threads_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "MAX_FETCHES", BOUND)
    monkeypatch.setattr(fuse, "LOOK", 0.001)
    given_up = SimpleNamespace(fuse_interrupted=lambda: 1)
    fetcher = Fetcher()
    tree = Tree(fetcher, Settings(), now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    files = fuse.Files(tree, cast("ctypes.CDLL", given_up), born=0, on_ready=lambda: None)
    for _ in range(3 * BOUND):
        opened: Any = SimpleNamespace(fh=tree.open("token", os.O_RDONLY))
        with pytest.raises(OSError, match="read") as caught:
            files.read("/token", 100, 0, opened)
        assert caught.value.errno == errno.EINTR
    assert fetcher.begun == BOUND
    assert sum(thread.name == "amber" for thread in threading.enumerate()) == BOUND
    fetcher.gate.set()
    given_up.fuse_interrupted = lambda: 0
    assert files.read("/token", 100, 0, SimpleNamespace(fh=tree.open("token", os.O_RDONLY))) == b"token"
