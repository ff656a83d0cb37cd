"""The bounded memory: what was used longest ago goes first, whether it was read or written."""

from __future__ import annotations

from ambergate.core.verify.recent import Recent


def kept(memory: Recent[str, int], keys: str) -> str:
    """Which of these are still there. Asking counts as use: it is the last thing that a test asks."""
    return "".join(key for key in keys if memory.get(key) is not None)


def test_what_was_put_first_goes_first() -> None:
    memory: Recent[str, int] = Recent(2)
    for number, key in enumerate("abc"):
        memory.put(key, number)
    assert len(memory) == 2
    assert kept(memory, "abc") == "bc"


def test_reading_counts_as_use() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    assert memory.get("x") is None
    memory.put("c", 3)
    assert kept(memory, "abc") == "ac"


def test_writing_again_counts_as_use_and_replaces() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.put("a", 3)
    assert len(memory) == 2
    memory.put("c", 4)
    assert kept(memory, "abc") == "ac"
    assert memory.get("a") == 3


def test_a_memory_without_room_keeps_nothing() -> None:
    memory: Recent[str, int] = Recent(0)
    memory.put("a", 1)
    assert len(memory) == 0
