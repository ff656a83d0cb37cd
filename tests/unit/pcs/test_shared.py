"""What families have in common is fetched once at a time; who waits for it waits within its own deadline."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.pcs.site import Clock

from ambergate.core.errors import Unavailable
from ambergate.pcs.shared import Shared
from ambergate.pcs.transport import Deadline


def test_who_shares_a_fetch_waits_no_longer_than_the_deadline() -> None:
    shared: Shared[str] = Shared(Clock().seconds)
    deadline = Deadline(0.05, Clock().seconds)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(30)
        return "fetched"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shared.get, "a", slow, deadline)
        assert begun.wait(30)
        with pytest.raises(TimeoutError):
            shared.get("a", slow, deadline)
        go_on.set()
        assert first.result(30) == "fetched"
    assert shared.get("a", slow, deadline) == "fetched"


def test_a_failure_is_not_shared() -> None:
    shared: Shared[str] = Shared(Clock().seconds)
    deadline = Deadline(1, Clock().seconds)

    def fails() -> str:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        shared.get("a", fails, deadline)
    assert shared.get("a", lambda: "fetched", deadline) == "fetched"
