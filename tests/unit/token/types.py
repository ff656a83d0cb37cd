"""Shapes of the fixtures beside this file."""

from __future__ import annotations

from typing import Protocol


class Refuses(Protocol):
    """Checks a token that must not be believed."""

    def __call__(self, token: str, **options: object) -> str:
        """The code of the refusal."""
        ...
