"""Randomness that is the same in every run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def stream(seed: str) -> Callable[[int], bytes]:
    """A source like `secrets.token_bytes` whose output depends on the seed and on what was drawn before."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"{seed}/{drawn}".encode()).digest(size)

    return draw
