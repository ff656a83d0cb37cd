"""Whatever the order of opens, reads, writes and closes: the promises of the model hold."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ambergate.client.settings import Settings
from ambergate.core.errors import Unavailable
from ambergate.devices.model import Tree

if TYPE_CHECKING:
    from ambergate.client.attempt import Attempt

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Promises(RuleBasedStateMachine):
    """A tree beside the little that its promises say of it: one setting, and the tokens handed out."""

    readers = Bundle("readers")
    writers = Bundle("writers")

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree(self, Settings().changed("endpoint_url", b"https://host/"), now=lambda: NOW)
        self.fails = False
        self.fetched = 0
        self.userdata = b""
        self.seen: dict[int, bytes] = {}
        self.written: dict[int, bytes] = {}

    def token(self, settings: Settings, _attempt: Attempt, /) -> str:
        if self.fails:
            raise Unavailable("no")
        self.fetched += 1
        return f"{self.fetched}:{settings.userdata.hex()}"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        raise NotImplementedError

    @rule(target=readers, flags=st.sampled_from([os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK]))
    def open_token(self, flags: int) -> int:
        return self.tree.open("token", flags)

    @rule(target=writers, truncates=st.booleans())
    def open_userdata(self, truncates: bool) -> tuple[int, bool]:  # noqa: FBT001
        return self.tree.open("userdata", os.O_WRONLY | (os.O_TRUNC if truncates else 0)), truncates

    @rule(fails=st.booleans())
    def service_changes(self, fails: bool) -> None:  # noqa: FBT001
        self.fails = fails

    @rule(handle=readers, offset=st.integers(0, 30), size=st.integers(0, 30))
    def read_token(self, handle: int, offset: int, size: int) -> None:
        before = self.fetched
        try:
            piece = self.tree.read(handle, size, offset)
        except OSError:
            assert self.fails
            assert handle not in self.seen
            return
        if handle not in self.seen:
            assert self.fetched == before + 1
            self.seen[handle] = f"{self.fetched}:{self.userdata.hex()}".encode()
        else:
            assert self.fetched == before
        assert piece == self.seen[handle][offset : offset + size]

    @rule(handle=consumes(readers))
    def close_token(self, handle: int) -> None:
        self.tree.release(handle)
        assert self.tree.read(self.tree.open("status", os.O_RDONLY), 6, 0) in {b"[INFO]", b"[ERROR"}

    @rule(writer=writers, data=st.binary(max_size=20))
    def write(self, writer: tuple[int, bool], data: bytes) -> None:
        handle = writer[0]
        before = self.written.get(handle, b"")
        assert self.tree.write(handle, data, len(before)) == len(data)
        self.written[handle] = before + data

    @rule(writer=consumes(writers))
    def close(self, writer: tuple[int, bool]) -> None:
        handle, truncates = writer
        self.tree.flush(handle)
        self.tree.release(handle)
        if handle in self.written:
            self.userdata = self.written.pop(handle)
        elif truncates:
            self.userdata = b""

    @invariant()
    def settings_are_those_of_the_last_close(self) -> None:
        assert self.tree.settings.userdata == self.userdata

    @invariant()
    def tokens_are_all_different(self) -> None:
        assert len(set(self.seen.values())) == len(self.seen)


TestPromises = Promises.TestCase
TestPromises.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
