"""Whatever processes do with the files, in whatever order: the promises of `devices/model.py` hold."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ambergate.client.settings import Settings
from ambergate.core.errors import AmberError, NotGenuine, ReleaseRefused, TimedOut, Unavailable
from ambergate.devices.model import Tree
from ambergate.devices.nodes import FILES, MAX_CONTENT, SETTING_FILES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.client.attempt import Attempt

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILURES: Final[dict[AmberError, int]] = {
    NotGenuine("no", step="1"): errno.EACCES,
    ReleaseRefused("no"): errno.EACCES,
    TimedOut("no"): errno.ETIMEDOUT,
    Unavailable("no", code="connection-refused"): errno.ECONNREFUSED,
    Unavailable("no"): errno.EIO,
}
ACCESS: Final = [os.O_RDONLY, os.O_WRONLY, os.O_RDWR]
VALUES: Final = [b"127.0.0.1", b"::1,", b"https://", b"other/", b"key-1", b" ", b"\n", b"x" * 20, b"\xff"]
SIZES: Final = st.one_of(st.integers(0, 40), st.just(MAX_CONTENT))


@dataclass
class Description:
    """What open(2) makes: shared by all descriptors that dup and fork make of it, with one position."""

    name: str
    flags: int
    handle: int
    descriptors: int = 1
    position: int = 0
    content: bytes | None = None
    written: bytearray = field(default_factory=bytearray)
    dirty: bool = False
    wrote: bool = False  # ever, or tried to
    spoiled: int = 0

    @property
    def reads(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_WRONLY

    @property
    def writes(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_RDONLY


class Processes(RuleBasedStateMachine):
    """Processes and their descriptors beside a tree, and the little that its promises say of it."""

    def __init__(self) -> None:
        super().__init__()
        start = Settings().changed("endpoint_url", b"https://host/")
        self.tree = Tree(self, start, now=lambda: NOW)
        self.shadow = start
        self.failure: AmberError | None = None
        self.fetched: list[str] = []
        self.given: list[bytes] = []  # what each open that was read saw of `token`
        self.processes: list[list[Description]] = [[]]

    # What the tree fetches with.

    def token(self, settings: Settings, _attempt: Attempt, /) -> str:
        if self.failure is not None:
            raise self.failure
        self.fetched.append("token")
        return f"{len(self.fetched)}:{settings.userdata.hex()}:{settings.shown('endpoint_ip').decode()}"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        return b"secret of " + self.token(settings, attempt).encode()

    # What processes do.

    @initialize(count=st.integers(0, 2))
    def more_processes(self, count: int) -> None:
        self.processes += [[] for _ in range(count)]

    @rule(
        data=st.data(), name=st.sampled_from(sorted(FILES)), access=st.sampled_from(ACCESS), empties=st.booleans(),
        appends=st.booleans(),
    )  # fmt: skip
    def open(self, data: st.DataObject, name: str, access: int, empties: bool, appends: bool) -> None:  # noqa: FBT001
        process = data.draw(st.sampled_from(self.processes))
        flags = access | (os.O_TRUNC if empties else 0) | (os.O_APPEND if appends else 0)
        if FILES[name] == 0o444 and (access != os.O_RDONLY or empties):
            self.fails(errno.EACCES, lambda: self.tree.open(name, flags))
            return
        process.append(Description(name, flags, self.tree.open(name, flags)))

    @rule(name=st.text(max_size=8).filter(lambda name: name not in FILES))
    def open_what_is_not_there(self, name: str) -> None:
        self.fails(errno.ENOENT, lambda: self.tree.open(name, os.O_RDONLY))
        self.fails(errno.EPERM, lambda: self.tree.create(name))

    @precondition(lambda self: self.any_open)
    @rule(data=st.data(), size=SIZES, seek=st.none() | SIZES)
    def read(self, data: st.DataObject, size: int, seek: int | None) -> None:
        opened = self.one_of(data)
        opened.position = opened.position if seek is None else seek
        if not opened.reads:
            self.fails(errno.EBADF, lambda: self.tree.read(opened.handle, size, opened.position))
            return
        fetches = opened.name in {"token", "secret"} and opened.content is None
        before = len(self.fetched)
        if fetches and self.failure is not None:
            self.fails(FAILURES[self.failure], lambda: self.tree.read(opened.handle, size, opened.position))
            assert self.status().startswith("[ERROR] ")
            return
        piece = self.tree.read(opened.handle, size, opened.position)
        assert len(self.fetched) == before + fetches
        if opened.content is None:
            opened.content = self.tree.read(opened.handle, MAX_CONTENT, 0)
            self.check_first(opened)
        assert piece == opened.content[opened.position : opened.position + size]
        opened.position += len(piece)

    def check_first(self, opened: Description) -> None:
        """The content that an open keeps: never empty where there was something to fetch, never old."""
        assert opened.content is not None
        if opened.name == "token":
            assert opened.content.startswith(f"{len(self.fetched)}:{self.shadow.userdata.hex()}:".encode())
            self.given.append(opened.content)
        elif opened.name == "secret":
            assert opened.content.startswith(b"secret of ")
        elif opened.name in SETTING_FILES:
            assert opened.content == self.shadow.shown(opened.name)

    @precondition(lambda self: self.any_open)
    @rule(data=st.data(), value=st.sampled_from(VALUES), seek=st.none() | SIZES, long=st.booleans())
    def write(self, data: st.DataObject, value: bytes, seek: int | None, long: bool) -> None:  # noqa: FBT001
        opened = self.one_of(data)
        if opened.name == "renew":
            return
        opened.position = opened.position if seek is None else seek
        value = value * 4096 if long else value
        start = len(opened.written) if opened.flags & os.O_APPEND else opened.position
        if not opened.writes:
            self.fails(errno.EBADF, lambda: self.tree.write(opened.handle, value, opened.position))
            return
        opened.wrote = True
        if start + len(value) > MAX_CONTENT:
            opened.spoiled = opened.spoiled or errno.E2BIG
        elif start > len(opened.written):
            opened.spoiled = opened.spoiled or errno.EINVAL
        if opened.spoiled:
            opened.dirty = False
            self.fails(opened.spoiled, lambda: self.tree.write(opened.handle, value, opened.position))
            return
        assert self.tree.write(opened.handle, value, opened.position) == len(value)
        opened.written[start : start + len(value)] = value
        opened.position = start + len(value)
        opened.dirty = True

    @precondition(lambda self: self.any_open)
    @rule(data=st.data(), size=st.sampled_from([0, 0, 3]))
    def truncate_an_open(self, data: st.DataObject, size: int) -> None:
        opened = self.one_of(data)
        wanted = errno.EACCES if FILES[opened.name] == 0o444 else errno.EINVAL if size else errno.EBADF
        if wanted != errno.EBADF or not opened.writes:
            self.fails(wanted, lambda: self.tree.truncate(opened.name, size, opened.handle))
            return
        self.tree.truncate(opened.name, size, opened.handle)
        opened.written.clear()
        opened.spoiled = 0
        opened.wrote = opened.dirty = opened.name in SETTING_FILES

    @rule(name=st.sampled_from(SETTING_FILES))
    def truncate_by_name(self, name: str) -> None:
        self.tree.truncate(name, 0)
        self.shadow = self.shadow.changed(name, b"")

    @rule(name=st.sampled_from(sorted(FILES)), new=st.sampled_from([*sorted(FILES), "other"]))
    def rename_and_remove(self, name: str, new: str) -> None:
        self.fails(errno.EPERM, lambda: self.tree.rename(name, new))
        self.fails(errno.EPERM, lambda: self.tree.remove(name))
        self.fails(errno.EEXIST, lambda: self.tree.create(name))

    @precondition(lambda self: self.any_open)
    @rule(data=st.data())
    def dup(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from([process for process in self.processes if process]))
        opened = data.draw(st.sampled_from(process))
        opened.descriptors += 1
        process.append(opened)

    @precondition(lambda self: len(self.processes) < 5)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        child = list(data.draw(st.sampled_from(self.processes)))
        for opened in child:
            opened.descriptors += 1
        self.processes.append(child)

    @precondition(lambda self: self.any_open)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from([process for process in self.processes if process]))
        self.close_one(process.pop(data.draw(st.integers(0, len(process) - 1))))

    @precondition(lambda self: len(self.processes) > 1)
    @rule(data=st.data())
    def exit(self, data: st.DataObject) -> None:
        for opened in self.processes.pop(data.draw(st.integers(0, len(self.processes) - 1))):
            self.close_one(opened)

    def close_one(self, opened: Description) -> None:
        refused = 0
        if opened.dirty:
            opened.dirty = False
            try:
                self.shadow = self.shadow.changed(opened.name, bytes(opened.written))
            except AmberError:
                refused = errno.EINVAL
        if refused:
            self.fails(refused, lambda: self.tree.flush(opened.handle))
        else:
            self.tree.flush(opened.handle)
        opened.descriptors -= 1
        if opened.descriptors:
            return
        self.tree.release(opened.handle)
        self.fails(errno.EBADF, lambda: self.tree.read(opened.handle, 1, 0))
        if opened.flags & os.O_TRUNC and not opened.wrote and opened.name in SETTING_FILES:
            self.shadow = self.shadow.changed(opened.name, b"")

    @rule(failure=st.none() | st.sampled_from(sorted(FAILURES, key=repr)))
    def service_changes(self, failure: AmberError | None) -> None:
        self.failure = failure

    @rule(word=st.sampled_from([b"token\n", b"SECRET", b"nonsense\n"]))
    def renew(self, word: bytes) -> None:
        handle = self.tree.open("renew", os.O_WRONLY | os.O_TRUNC)
        wanted = errno.EINVAL if word == b"nonsense\n" else FAILURES[self.failure] if self.failure else 0
        if wanted:
            self.fails(wanted, lambda: self.tree.write(handle, word, 0))
        else:
            self.tree.write(handle, word, 0)
            assert self.status().startswith(("[INFO] renewed", "[INFO] provisioned"))
        self.tree.flush(handle)
        self.tree.release(handle)

    # What holds all the time.

    @invariant()
    def settings_are_those_of_the_last_close(self) -> None:
        assert self.tree.settings == self.shadow

    @invariant()
    def tokens_are_all_different(self) -> None:
        assert len(set(self.given)) == len(self.given)

    @invariant()
    def what_was_read_once_is_read_again(self) -> None:
        for opened in (opened for process in self.processes for opened in process):
            if opened.content is not None:
                assert self.tree.read(opened.handle, MAX_CONTENT, 0) == opened.content

    @property
    def any_open(self) -> bool:
        return any(self.processes)

    def one_of(self, data: st.DataObject) -> Description:
        return data.draw(st.sampled_from([opened for process in self.processes for opened in process]))

    def status(self) -> str:
        handle = self.tree.open("status", os.O_RDONLY)
        text = self.tree.read(handle, MAX_CONTENT, 0).decode()
        self.tree.release(handle)
        return text

    @staticmethod
    def fails(number: int, call: Callable[[], object]) -> None:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what counts
            call()
        assert caught.value.errno == number


TestProcesses = Processes.TestCase
TestProcesses.settings = hypothesis_settings(max_examples=60, stateful_step_count=25, deadline=None)
