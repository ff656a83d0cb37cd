"""A program with the files, by one delivery, as `amber run` starts it: starter.py DELIVERY root|user PROGRAM [ARGS]...

Its tokens come from nowhere but a counter: what is measured is the delivery. They are of many lengths, and say
themselves what they must be (`readers.c`). With the userdata `wait` they never come.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ambergate.client.settings import Settings
from ambergate.devices import delivery
from ambergate.devices.model import Tree

if TYPE_CHECKING:
    from ambergate.client.attempt import Attempt

PATIENCE: Final = 600  # seconds that a token takes which never comes
LENGTHS: Final = 6000  # bytes of the longest; tokens of services have about 2,000 to 5,000
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz" * (LENGTHS // 26 + 2)


class Numbered:
    """Counts its tokens."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def token(self, settings: Settings, _attempt: Attempt, /) -> str:
        if settings.userdata == b"wait":
            threading.Event().wait(PATIENCE)
        number = next(self._numbers)
        length = 1 + number * 7919 % LENGTHS
        return f"{number} {length} {_LETTERS[number % 26 : number % 26 + length]}"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        return self.token(settings, attempt).encode()


def main(way: str, user: str, *program: str) -> int:
    settings = Settings().changed("endpoint_url", b"https://host.example/")
    tree = Tree(Numbered(), settings, now=lambda: datetime.now(UTC))
    job = delivery.Job(program=program, environ=os.environ, tree=tree, born=0, user_namespace=user == "user")
    return delivery.run(job, way)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
