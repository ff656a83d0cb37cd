"""The files as a state machine: what one open sees, what a writer changes, what a failure leaves."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ambergate.client.settings import Settings
from ambergate.core.errors import AmberError, NotGenuine, ReleaseRefused, TimedOut, Unavailable
from ambergate.devices.model import Tree
from ambergate.devices.nodes import FILES, MAX_CONTENT, SETTING_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.client.attempt import Attempt

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
URL = "https://host.example/appraisal/v1/"
SECRET = b"a secret\n\x00\xff"
READ_ONLY = sorted(name for name, mode in FILES.items() if mode == 0o444)


class Fetcher:
    """Numbered tokens that tell the settings they were asked with; fails or waits when a test says so."""

    def __init__(self) -> None:
        self.asked: list[Settings] = []
        self.failure: AmberError | None = None
        self.secret_bytes = SECRET
        self.entered = threading.Semaphore(0)
        self.gate: threading.Event | None = None

    def token(self, settings: Settings, attempt: Attempt, /) -> str:
        attempt.begin("attest")
        self.asked.append(settings)
        number = len(self.asked)
        self.entered.release()
        if self.gate is not None:
            self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        return f"token-{number}-{settings.shown('endpoint_url').decode()}"

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        self.token(settings, attempt)
        return self.secret_bytes


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher()


@pytest.fixture
def tree(fetcher: Fetcher) -> Tree:
    return Tree(fetcher, Settings().changed("endpoint_url", URL.encode()), now=lambda: NOW)


@contextlib.contextmanager
def opened(tree: Tree, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    handle = tree.open(name, flags)
    try:
        yield handle
    finally:
        tree.release(handle)


def read(tree: Tree, name: str) -> bytes:
    with opened(tree, name) as handle:
        return tree.read(handle, MAX_CONTENT, 0)


def write(tree: Tree, name: str, *pieces: bytes, flags: int = os.O_WRONLY | os.O_TRUNC) -> None:
    with opened(tree, name, flags) as handle:
        offset = 0
        for piece in pieces:
            offset += tree.write(handle, piece, offset)
        tree.flush(handle)


def first_line(tree: Tree) -> str:
    return read(tree, "status").decode().splitlines()[0]


@contextlib.contextmanager
def fails_with(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what counts
        yield
    assert caught.value.errno == number


def test_reads_of_one_open_are_pieces_of_one_token(tree: Tree, fetcher: Fetcher) -> None:
    with opened(tree, "token") as handle:
        pieces = b"".join(tree.read(handle, 5, offset) for offset in range(0, 100, 5))
        assert pieces == f"token-1-{URL}".encode()
        assert tree.read(handle, 10, 10_000) == b""
    assert len(fetcher.asked) == 1


def test_each_open_that_is_read_has_a_token_of_its_own(tree: Tree, fetcher: Fetcher) -> None:
    with opened(tree, "token") as never_read, opened(tree, "token") as first, opened(tree, "token") as second:
        assert tree.read(first, 7, 0) == b"token-1"
        assert tree.read(second, 7, 0) == b"token-2"
        assert tree.read(first, 7, 0) == b"token-1"
        del never_read
    assert len(fetcher.asked) == 2


def test_opening_and_closing_fetches_nothing(tree: Tree, fetcher: Fetcher) -> None:
    for name in FILES:
        with opened(tree, name):
            pass
    assert fetcher.asked == []


def test_a_secret_comes_byte_for_byte(tree: Tree) -> None:
    assert read(tree, "secret") == SECRET
    assert first_line(tree) == "[INFO] provisioned"


def test_a_failed_read_gives_an_errno_and_the_next_tries_again(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.failure = TimedOut("too slow", hint="wait")
    with opened(tree, "token") as handle:
        with fails_with(errno.ETIMEDOUT):
            tree.read(handle, 100, 0)
        assert first_line(tree) == "[ERROR] Token retrieval failed with error: too slow"
        assert "step: attest\n" in read(tree, "status").decode()
        fetcher.failure = None
        assert tree.read(handle, 7, 0) == b"token-2"
    assert first_line(tree) == "[INFO] renewed"


@pytest.mark.parametrize(
    ("name", "failure", "number", "line"),
    [
        ("token", NotGenuine("x", step="1"), errno.EACCES, "Token retrieval failed with error: x"),
        ("secret", ReleaseRefused("x"), errno.EACCES, "provision rejected: x"),
        ("secret", Unavailable("x"), errno.EIO, "provision failed: x"),
    ],
)
def test_who_refused_decides_errno_and_status(
    tree: Tree, fetcher: Fetcher, name: str, failure: AmberError, number: int, line: str
) -> None:
    fetcher.failure = failure
    with fails_with(number):
        read(tree, name)
    assert first_line(tree) == f"[ERROR] {line}"


def test_content_beyond_the_limit_is_e2big_and_never_cut(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.secret_bytes = bytes(MAX_CONTENT)
    assert len(read(tree, "secret")) == MAX_CONTENT
    fetcher.secret_bytes = bytes(MAX_CONTENT + 1)
    with fails_with(errno.E2BIG):
        read(tree, "secret")


def test_a_read_in_progress_uses_the_settings_it_began_with(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.gate = threading.Event()
    results: list[bytes] = []
    reader = threading.Thread(target=lambda: results.append(read(tree, "token")))
    reader.start()
    assert fetcher.entered.acquire(timeout=10)
    write(tree, "endpoint_url", b"https://other.example/a/")
    assert read(tree, "endpoint_url") == b"https://other.example/a/"
    fetcher.gate.set()
    reader.join()
    assert results == [f"token-1-{URL}".encode()]
    assert read(tree, "token") == b"token-2-https://other.example/a/"


def test_readers_do_not_wait_for_each_other(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.gate = threading.Event()
    results: list[bytes] = []
    readers = [threading.Thread(target=lambda: results.append(read(tree, "token"))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert fetcher.entered.acquire(timeout=10)  # all four are under way at once
    assert first_line(tree) == "[INFO] initialized"
    fetcher.gate.set()
    for reader in readers:
        reader.join()
    assert len(set(results)) == 4


def test_two_readers_of_one_open_see_one_token(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.gate = threading.Event()
    results: list[bytes] = []
    with opened(tree, "token") as handle:
        readers = [threading.Thread(target=lambda: results.append(tree.read(handle, 100, 0))) for _ in range(2)]
        for reader in readers:
            reader.start()
        assert fetcher.entered.acquire(timeout=10)
        fetcher.gate.set()
        for reader in readers:
            reader.join()
    assert len(fetcher.asked) == 1
    assert results[0] == results[1]


def test_a_setting_is_replaced_at_close_as_a_whole(tree: Tree) -> None:
    with opened(tree, "endpoint_url", os.O_WRONLY) as handle:
        assert tree.write(handle, b"https://ne", 0) == 10
        assert tree.write(handle, b"w.example/", 10) == 10
        assert read(tree, "endpoint_url") == URL.encode()
        tree.flush(handle)
        assert read(tree, "endpoint_url") == b"https://new.example/appraisal/v1/"
    assert first_line(tree) == "[INFO] endpoint_url saved"


def test_a_value_that_breaks_its_rule_leaves_the_old_one(tree: Tree) -> None:
    with fails_with(errno.EINVAL):
        write(tree, "endpoint_url", b"http://plain.example/")
    assert read(tree, "endpoint_url") == URL.encode()
    assert first_line(tree).startswith("[ERROR] endpoint_url not saved: ")


def test_a_failed_commit_is_told_once(tree: Tree) -> None:
    with opened(tree, "endpoint_ip", os.O_WRONLY) as handle:
        tree.write(handle, b"nowhere", 0)
        with fails_with(errno.EINVAL):
            tree.flush(handle)
        tree.flush(handle)  # a second descriptor of the same open is closed


def test_descriptors_closed_before_the_first_write_change_nothing(tree: Tree) -> None:
    """What a shell's redirection does: open with O_TRUNC, dup2, close, and only then write."""
    with opened(tree, "userdata", os.O_WRONLY | os.O_TRUNC) as handle:
        tree.flush(handle)
        tree.write(handle, b"data", 0)
        tree.flush(handle)
    assert read(tree, "userdata") == b"data"


def test_a_file_emptied_and_not_written_is_a_setting_unset(tree: Tree) -> None:
    write(tree, "userdata", b"data")
    write(tree, "userdata")
    assert read(tree, "userdata") == b""
    write(tree, "userdata", b"data")
    write(tree, "userdata", flags=os.O_WRONLY)
    assert read(tree, "userdata") == b"data"
    tree.truncate("userdata", 0)
    assert read(tree, "userdata") == b""


@pytest.mark.parametrize(("name", "size", "number"), [("token", 0, 13), ("none", 0, 2), ("userdata", 1, 22)])
def test_only_settings_are_emptied(tree: Tree, name: str, size: int, number: int) -> None:
    with fails_with(number):
        tree.truncate(name, size)


def test_appended_pieces_are_one_value(tree: Tree) -> None:
    with opened(tree, "userdata", os.O_WRONLY | os.O_APPEND) as handle:
        tree.write(handle, b"one ", 0)
        tree.write(handle, b"two", 0)
        tree.flush(handle)
    assert read(tree, "userdata") == b"one two"


@pytest.mark.parametrize(("offset", "size", "number"), [(1, 1, errno.EINVAL), (0, MAX_CONTENT + 1, errno.E2BIG)])
def test_a_write_with_a_hole_or_beyond_the_limit_fails(tree: Tree, offset: int, size: int, number: int) -> None:
    with opened(tree, "userdata", os.O_WRONLY) as handle, fails_with(number):
        tree.write(handle, bytes(size), offset)


@pytest.mark.parametrize(("pieces", "offset"), [((bytes(MAX_CONTENT), b"x"), None), ((b"new", b"x"), 9)])
def test_a_writer_that_failed_replaces_nothing(tree: Tree, pieces: tuple[bytes, bytes], offset: int | None) -> None:
    write(tree, "userdata", b"old")
    with opened(tree, "userdata", os.O_WRONLY | os.O_TRUNC) as handle:
        tree.write(handle, pieces[0], 0)
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011 - which one is tested above
                tree.write(handle, pieces[1], len(pieces[0]) if offset is None else offset)
        assert first_line(tree).startswith("[ERROR] userdata not saved: ")
        tree.flush(handle)
    assert read(tree, "userdata") == b"old"


def test_a_writer_that_empties_its_file_begins_again(tree: Tree) -> None:
    with opened(tree, "userdata", os.O_RDWR) as handle:
        tree.write(handle, b"a long value", 0)
        with fails_with(errno.EINVAL):
            tree.write(handle, b"x", 99)
        tree.truncate("userdata", 0, handle)
        assert read(tree, "userdata") == b""  # what it was: nothing is in force before the close
        tree.write(handle, b"short", 0)
        tree.flush(handle)
    assert read(tree, "userdata") == b"short"
    with opened(tree, "userdata") as handle, fails_with(errno.EBADF):
        tree.truncate("userdata", 0, handle)


def test_an_open_after_the_close_of_an_emptied_file_finds_it_empty(tree: Tree) -> None:
    """The file system hears of the last close a moment after close(2) returned."""
    write(tree, "userdata", b"old")
    emptied = tree.open("userdata", os.O_WRONLY | os.O_TRUNC)
    tree.flush(emptied)
    began = threading.Event()
    results: list[bytes] = []

    def reads() -> None:
        began.set()
        results.append(read(tree, "userdata"))

    reader = threading.Thread(target=reads)
    reader.start()
    assert began.wait(10)
    tree.release(emptied)
    reader.join()
    assert results == [b""]


def test_a_file_kept_open_after_it_was_emptied_holds_nobody_up_twice(tree: Tree) -> None:
    with opened(tree, "userdata", os.O_WRONLY | os.O_TRUNC) as handle:
        tree.flush(handle)
        read(tree, "status")
        began = time.monotonic()
        for _ in range(100):
            read(tree, "status")
        assert time.monotonic() - began < 2.5  # half of what waiting each time would take


@pytest.mark.parametrize(("name", "number"), [("token", errno.EPERM), ("none", errno.ENOENT)])
def test_names_stay(tree: Tree, name: str, number: int) -> None:
    with fails_with(number):
        tree.remove(name)
    with fails_with(number):
        tree.rename(name, "userdata")
    with fails_with(errno.EEXIST if name == "token" else errno.EPERM):
        tree.create(name)


@pytest.mark.parametrize("name", READ_ONLY)
@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_a_read_only_file_is_not_opened_for_writing(tree: Tree, name: str, flags: int) -> None:
    with fails_with(errno.EACCES):
        tree.open(name, flags)


def test_a_handle_does_what_it_was_opened_for(tree: Tree) -> None:
    with opened(tree, "userdata", os.O_WRONLY) as handle, fails_with(errno.EBADF):
        tree.read(handle, 1, 0)
    with opened(tree, "userdata") as handle, fails_with(errno.EBADF):
        tree.write(handle, b"x", 0)
    with fails_with(errno.EBADF):
        tree.read(handle, 1, 0)
    with fails_with(errno.ENOENT):
        tree.open("passwd", os.O_RDONLY)


def test_the_api_key_reads_back_masked_and_is_nowhere_in_status(tree: Tree) -> None:
    key = b"bm90LWEtcmVhbC1rZXk="
    write(tree, "endpoint_apikey", key, b"\n")
    assert read(tree, "endpoint_apikey") == b"****ZXk="
    assert tree.settings.endpoint_apikey is not None
    assert tree.settings.endpoint_apikey.reveal() == key.decode()
    with fails_with(errno.EINVAL):
        write(tree, "endpoint_apikey", key + b" " + key)
    assert key not in read(tree, "status")


@pytest.mark.parametrize("name", SETTING_FILES)
def test_writing_a_setting_fetches_nothing(tree: Tree, fetcher: Fetcher, name: str) -> None:
    values = {"endpoint_ip": b"::1", "kbs_ip": b"::1", "kbs_url": b"https://h/", "endpoint_url": b"https://h/"}
    write(tree, name, values.get(name, b"k1"))
    assert fetcher.asked == []


def test_status_without_settings_says_so(fetcher: Fetcher) -> None:
    assert first_line(Tree(fetcher, Settings(), now=lambda: NOW)) == "[INFO] uninitialized: endpoint_url is not set"
