"""The agent as the shim speaks to it: one connection for each open, and nobody waits for another."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import socket
import struct
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ambergate.client.settings import Settings
from ambergate.core.errors import NotGenuine
from ambergate.devices import agent as agents
from ambergate.devices.agent import Agent
from ambergate.devices.agent_wire import MAGIC, Request
from ambergate.devices.directory import private_directory
from ambergate.devices.model import Tree
from ambergate.devices.nodes import MAX_CONTENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ambergate.client.attempt import Attempt

WAIT = 10.0  # seconds until a test that waits has failed


class Fetcher:
    """Numbered tokens; those asked for with the userdata `wait` come when the gate opens."""

    def __init__(self) -> None:
        self.numbers = 0
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.fault: Exception | None = None

    def token(self, settings: Settings, _attempt: Attempt, /) -> str:
        if settings.userdata == b"wait":
            self.entered.release()
            assert self.gate.wait(WAIT)
        if self.fault is not None:
            raise self.fault
        self.numbers += 1
        return f"token {self.numbers}"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        return self.token(settings, attempt).encode()


class Listener(socket.socket):
    """Runs out of descriptors when a test says so."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX)
        self.exhausted = False
        self.tried = 0
        self.ran_out = threading.Event()

    def accept(self) -> tuple[socket.socket, Any]:
        self.tried += 1
        if self.exhausted:
            self.exhausted = False
            self.ran_out.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


class Scene:
    """An agent at work."""

    def __init__(self, place: Path) -> None:
        self.path = str(place / "agent")
        self.fetcher = Fetcher()
        self.seconds = 0.0
        self.tree = Tree(self.fetcher, Settings(), now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
        self.listener = Listener()
        self.listener.bind(self.path)
        self.listener.listen(agents.BACKLOG)
        self.ends, self.kept = os.pipe()
        self.agent = Agent(self.tree, self.listener, self.ends, workers=2, clock=lambda: self.seconds)
        self.thread = threading.Thread(target=self.agent.run, daemon=True)
        self.thread.start()

    def connect(self, first: bytes = b"") -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WAIT)
        connection.connect(self.path)
        connection.sendall(first)
        return connection

    def opened(self, name: str, flags: int = os.O_RDONLY) -> socket.socket:
        return self.connect(request(name, flags))

    def read(self, name: str, flags: int = os.O_RDONLY) -> bytes | int:
        with self.opened(name, flags) as connection:
            return reply(connection)

    def write(self, name: str, *pieces: bytes, flags: int = os.O_WRONLY | os.O_TRUNC) -> None:
        with self.opened(name, flags) as connection:
            assert reply(connection) == b""
            for piece in pieces:
                connection.sendall(piece)

    def end(self) -> None:
        self.fetcher.gate.set()
        os.close(self.kept)
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        os.close(self.ends)
        self.listener.close()


def request(name: str, flags: int = os.O_RDONLY) -> bytes:
    return MAGIC + struct.pack("=IB", flags, len(name)) + name.encode()


def exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        came = connection.recv(size - len(received))
        assert came, "the connection ended too early"
        received += came
    return received


def reply(connection: socket.socket) -> bytes | int:
    """The content, or the errno."""
    number, length = struct.unpack("=II", exactly(connection, 8))
    return int(number) or exactly(connection, length)


def unanswered(*connections: socket.socket) -> bool:
    return select.select(connections, [], [], 0)[0] == []


@pytest.fixture
def scene() -> Iterator[Scene]:
    with private_directory() as place:  # its path is short enough for a socket's
        made = Scene(place)
        yield made
        made.end()


def test_each_open_is_answered_on_its_own(scene: Scene) -> None:
    assert [scene.read("token"), scene.read("secret"), scene.read("token")] == [b"token 1", b"token 2", b"token 3"]


@pytest.mark.parametrize(
    ("name", "flags", "number"),
    [
        ("none", os.O_RDONLY, errno.ENOENT),
        ("../token", os.O_RDONLY, errno.ENOENT),
        ("", os.O_RDONLY, errno.ENOENT),
        ("token", os.O_WRONLY, errno.EACCES),
        ("status", os.O_RDONLY | os.O_TRUNC, errno.EACCES),
    ],
)
def test_an_open_that_cannot_be_is_its_errno(scene: Scene, name: str, flags: int, number: int) -> None:
    assert scene.read(name, flags) == number


def test_what_a_fetch_fails_with_is_its_errno(scene: Scene) -> None:
    scene.fetcher.fault = NotGenuine("no", step="8")
    assert scene.read("token") == errno.EACCES


def test_a_value_holds_from_the_writers_end(scene: Scene) -> None:
    for number in range(50):
        scene.write("userdata", b"value ", b"%d" % number)
        assert scene.read("userdata") == b"value %d" % number


def test_a_value_holds_only_when_the_last_copy_is_closed(scene: Scene) -> None:
    with scene.opened("userdata", os.O_WRONLY) as writer:
        assert reply(writer) == b""
        copy = writer.dup()
        writer.sendall(b"new")
    assert scene.read("userdata") == b""
    copy.close()
    assert scene.read("userdata") == b"new"


def test_an_empty_write_unsets_only_what_was_to_be_emptied(scene: Scene) -> None:
    scene.write("userdata", b"old")
    scene.write("userdata", flags=os.O_WRONLY)
    assert scene.read("userdata") == b"old"
    scene.write("userdata")
    assert scene.read("userdata") == b""


@pytest.mark.parametrize("pieces", [(b"x" * (MAX_CONTENT + 1),), (b"x" * MAX_CONTENT, b"x"), (b"x" * 9 * MAX_CONTENT,)])
def test_a_value_too_long_is_no_value(scene: Scene, pieces: tuple[bytes, ...]) -> None:
    scene.write("userdata", b"old")
    scene.write("userdata", *pieces)
    assert scene.read("userdata") == b"old"


def test_a_value_of_the_longest_kind_is_one(scene: Scene) -> None:
    scene.write("userdata", b"x" * MAX_CONTENT)
    assert scene.read("userdata") == b"x" * MAX_CONTENT


def test_who_writes_without_end_holds_up_nobody(scene: Scene) -> None:
    scene.write("userdata", b"old")
    with scene.opened("userdata", os.O_WRONLY) as writer:
        assert reply(writer) == b""
        ended = threading.Event()

        def flood() -> None:
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    writer.sendall(b"x" * MAX_CONTENT)

        flooding = threading.Thread(target=flood)
        flooding.start()
        assert [scene.read("userdata") for _ in range(20)] == [b"old"] * 20
        ended.set()
        flooding.join(WAIT)
        with contextlib.suppress(OSError):  # more than a value may have, however little was flooded
            writer.sendall(b"x" * (MAX_CONTENT + 1))
    assert scene.read("userdata") == b"old"


def test_one_turn_takes_so_much_of_a_writer_and_no_more(scene: Scene) -> None:
    """However fast it writes: `recv` here always has more."""

    class Endless(socket.socket):
        asked = 0

        def recv(self, size: int, _flags: int = 0) -> bytes:
            self.asked += 1
            return b"x" * min(size, 8)

    with Endless(socket.AF_UNIX) as endless:
        handle = scene.tree.open("userdata", os.O_WRONLY)
        writer = agents._Writer(endless, Request("userdata", os.O_WRONLY), handle)
        scene.agent._writers.add(writer)
        scene.agent._take(writer)
        scene.agent._writers.remove(writer)
        assert endless.asked == agents._MAX_PIECES


def test_both_ways(scene: Scene) -> None:
    scene.write("kbs_keyid", b"old")
    with scene.opened("kbs_keyid", os.O_RDWR) as both:
        assert reply(both) == b""
        assert exactly(both, 3) == b"old"
        assert both.recv(1) == b""  # a reader finds the end
        both.sendall(b"new")
    assert scene.read("kbs_keyid") == b"new"


def test_opening_to_empty_empties(scene: Scene) -> None:
    scene.write("userdata", b"old")
    assert scene.read("userdata", os.O_RDONLY | os.O_TRUNC) == b""


def test_who_waits_for_a_service_holds_up_nobody(scene: Scene) -> None:
    scene.write("userdata", b"wait")
    waiting = scene.opened("token")
    assert scene.fetcher.entered.acquire(timeout=WAIT)
    scene.write("userdata", b"go")
    assert scene.read("userdata") == b"go"
    assert scene.read("token") == b"token 1"
    scene.fetcher.gate.set()
    assert reply(waiting) == b"token 2"
    waiting.close()


def test_status_waits_for_a_renewal_that_was_asked_before(scene: Scene) -> None:
    scene.write("userdata", b"wait")
    scene.write("renew", b"to", b"ken\n")
    assert scene.fetcher.entered.acquire(timeout=WAIT)
    status, renewed = scene.opened("status"), scene.opened("renew")
    assert scene.read("endpoint_ip") == b""  # others do not wait
    assert unanswered(status, renewed)
    scene.fetcher.gate.set()
    told = reply(status)
    assert isinstance(told, bytes)
    assert told.startswith(b"[INFO] renewed\n")
    assert reply(renewed) == b"token"
    status.close()
    renewed.close()


def test_renew_obeys_line_by_line_while_it_is_open(scene: Scene) -> None:
    with scene.opened("renew", os.O_WRONLY) as writer:
        assert reply(writer) == b""
        for word in (b"token", b"secret"):
            writer.sendall(word + b"\n")
            assert scene.read("renew") == word
    scene.write("renew", b"token")
    assert scene.read("renew") == b"token"
    assert scene.fetcher.numbers == 3


def test_a_silent_client_is_dropped(scene: Scene) -> None:
    silent, half = scene.connect(), scene.connect(request("token")[:-1])
    assert scene.read("kbs_ip") == b""  # both are known by now
    scene.seconds = agents.ASK_SECONDS
    assert scene.read("kbs_ip") == b""
    for one in (silent, half):
        assert one.recv(1) == b""
        one.close()


def test_a_request_may_come_in_pieces(scene: Scene) -> None:
    with scene.connect() as slow:
        for byte in request("token"):
            slow.sendall(bytes([byte]))
            assert scene.read("kbs_ip") == b""
        assert reply(slow) == b"token 1"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", request("token") + b"x", b"\0" * 70_000, b"AMB2"])
def test_who_speaks_otherwise_is_dropped(scene: Scene, garbage: bytes) -> None:
    with scene.connect() as stranger:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stranger.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert scene.read("token") == b"token 1"


def test_a_fault_of_ours_is_eio_and_costs_no_thread(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: told.put(kind))
    scene.fetcher.fault = RuntimeError("a fault")
    assert [scene.read("token") for _ in range(5)] == [errno.EIO] * 5
    scene.fetcher.fault = None
    assert scene.read("token") == b"token 1"
    assert [told.get(timeout=WAIT) for _ in range(5)] == [RuntimeError] * 5


def test_writers_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "MAX_WRITERS", 2)
    held = [scene.opened("userdata", os.O_WRONLY) for _ in range(2)]
    assert [reply(one) for one in held] == [b"", b""]
    assert scene.read("userdata", os.O_WRONLY) == errno.ENFILE
    assert scene.read("userdata") == b""
    held.pop().close()
    scene.write("userdata", b"again")
    held.pop().close()


def test_connections_are_bounded_and_the_others_wait(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "MAX_CONNECTIONS", 2)
    held = [scene.opened("userdata", os.O_WRONLY) for _ in range(2)]
    assert [reply(one) for one in held] == [b"", b""]
    waiting = scene.opened("token")
    assert unanswered(waiting)
    held.pop().close()
    assert reply(waiting) == b"token 1"
    waiting.close()
    held.pop().close()


def test_without_descriptors_it_waits_for_one(scene: Scene) -> None:
    """And does not ask again and again meanwhile."""
    with scene.opened("userdata", os.O_WRONLY) as held:
        assert reply(held) == b""
        scene.listener.exhausted = True
        waiting = scene.opened("token")
        assert scene.listener.ran_out.wait(WAIT)
        assert unanswered(waiting)
    assert reply(waiting) == b"token 1"
    assert scene.listener.tried == 3
    waiting.close()


def test_readers_that_go_away_leave_nothing(scene: Scene) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    scene.write("userdata", b"wait")
    for _ in range(20):
        scene.opened("token").close()
        scene.opened("status").close()
    assert scene.fetcher.entered.acquire(timeout=WAIT)
    scene.fetcher.gate.set()
    scene.write("userdata", b"")
    # Who went before it was seen is not counted, and nobody is twice.
    assert scene.read("token") in {b"token %d" % number for number in range(1, 22)}
    deadline = time.monotonic() + WAIT
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:  # noqa: PTH208
        assert scene.read("kbs_ip") == b""
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
