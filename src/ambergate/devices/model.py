"""The files below `/dev/amber` as a state machine, without a file system: opens, reads, writes, closes.

What it promises:

- The first read of an open makes its content; every later read of that open sees the same bytes.
- Each open of `token` that is read has a token of its own.
- A read that fails gives an errno, and the open stays empty: the next read tries again.
- A read in progress uses the settings that held when it began.
- A setting is replaced when its writer closes, wholly or not at all, and that holds for every open that starts later.
- A writer that failed once (too long, a hole) replaces nothing, unless it empties its file and begins again.
- No lock is held while a token or a secret is fetched, except that of the one open it is for.

Safe for any number of threads.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from ambergate.client.attempt import Attempt
from ambergate.core.errors import AmberError, SettingsError, TooLarge
from ambergate.devices import status
from ambergate.devices.nodes import FILES, MAX_CONTENT, READ_ONLY, SETTING_FILES, errno_of, os_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ambergate.client.settings import Settings

RENEW_WORDS: Final = ("token", "secret")
# Seconds in which a writer that emptied its file and closed a descriptor may show whether that was the last one. File
# systems tell the end of an open after close(2) returned, microseconds later; a shell goes on to write instead.
_SETTLED_WITHIN: Final = 0.05
_WRITABLE: Final = f"at most {MAX_CONTENT} bytes, from the first one on without a hole"


class Fetches(Protocol):
    """What gets tokens and secrets: `ambergate.client.session.Session`."""

    def token(self, settings: Settings, attempt: Attempt, /) -> str:
        """A fresh token, or one that these settings let be given again; or `AmberError`."""
        ...

    def secret(self, settings: Settings, attempt: Attempt, /) -> bytes:
        """The secret, or `AmberError`."""
        ...


@dataclass(slots=True)
class _Open:
    """One open file."""

    name: str
    flags: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    content: bytes | None = None  # what it reads as, once it was read
    written: bytearray = field(default_factory=bytearray)
    dirty: bool = False  # written since the last commit
    replaced: bool = False  # a commit happened, or was given up
    spoiled: int = 0  # the errno of a write that failed: what came before it is no value
    undecided: bool = False  # emptied and closed once: either the value is unset now, or more is to come

    @property
    def writable(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_RDONLY

    @property
    def emptied(self) -> bool:
        """Whether opening it emptied the file, of which nobody hears unless it is closed without a write."""
        return bool(self.flags & os.O_TRUNC) and self.name != "renew"

    @property
    def readable(self) -> bool:
        return self.flags & os.O_ACCMODE != os.O_WRONLY


class Tree:
    """The files, their settings and their status.

    Args:
        fetches: gets tokens and secrets.
        settings: the initial settings.
        now: the clock, for `status`.
    """

    def __init__(self, fetches: Fetches, settings: Settings, *, now: Callable[[], datetime]) -> None:
        self._fetches = fetches
        self._settings = settings
        self._now = now
        self._renewed = ""
        self._lock = threading.Lock()  # guards what follows and the two above; held for moments only
        self._decided = threading.Condition(self._lock)  # told when an open stops being `undecided`
        self._opens: dict[int, _Open] = {}
        self._last_handle = 0
        ready = settings.endpoint_url is not None
        self._status = status.succeeded(
            "initialized" if ready else "uninitialized: endpoint_url is not set", {}, at=now()
        )

    @property
    def settings(self) -> Settings:
        """The settings of this moment."""
        with self._lock:
            return self._settings

    def open(self, name: str, flags: int) -> int:
        """Open a file; nothing is fetched yet.

        Args:
            name: one of `FILES`.
            flags: as of open(2); the access mode and `O_TRUNC`, `O_APPEND` count.

        Returns:
            A handle for the other calls.

        Raises:
            OSError: ENOENT, or EACCES for writing a read-only file, whoever asks.
        """
        mode = FILES.get(name)
        if mode is None:
            raise os_error(errno.ENOENT, name)
        opened = _Open(name=name, flags=flags)
        if mode == READ_ONLY and (opened.writable or flags & os.O_TRUNC):
            raise os_error(errno.EACCES, name)
        with self._decided:
            self._settle()
            self._last_handle += 1
            self._opens[self._last_handle] = opened
            return self._last_handle

    def ready(self, handle: int) -> bool:
        """Whether a read will be answered at once, without fetching anything."""
        opened = self._opened(handle)
        return opened.content is not None or opened.name not in RENEW_WORDS

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """At most `size` bytes of an open's content from `offset`; empty at its end.

        Raises:
            OSError: EBADF, or the errno of the failed fetch (`nodes.errno_of`); `status` says why.
        """
        opened = self._opened(handle)
        if not opened.readable:
            raise os_error(errno.EBADF, opened.name)
        if opened.content is None:
            with opened.lock:
                if opened.content is None:
                    opened.content = self._content(opened.name)
        return opened.content[offset : offset + size]

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Take bytes for a setting; it is replaced at `flush`. A word written to `renew` is obeyed here and now.

        Raises:
            OSError: EBADF; E2BIG beyond `MAX_CONTENT`; EINVAL for a hole or an unknown word, or what an earlier write
                of this open failed with; or the errno of the failed fetch that was asked for.
        """
        opened = self._opened(handle)
        if not opened.writable:
            raise os_error(errno.EBADF, opened.name)
        if not data:
            return 0  # as POSIX has it: no write at all
        with opened.lock:
            appends = opened.flags & os.O_APPEND or opened.name == "renew"
            start = len(opened.written) if appends else offset
            if start + len(data) > MAX_CONTENT:
                opened.spoiled = opened.spoiled or errno.E2BIG
            elif start > len(opened.written):
                opened.spoiled = opened.spoiled or errno.EINVAL
            if opened.spoiled:
                raise self._give_up(opened)
            opened.written[start : start + len(data)] = data
            opened.dirty = True
            self._decide(opened)
            if opened.name == "renew":
                self._obey(opened, complete=opened.written.endswith(b"\n"))
        return len(data)

    def truncate(self, name: str, size: int, handle: int | None = None) -> None:
        """Empty a file: values are replaced as a whole, never cut.

        By its name that unsets the setting at once. By an open of it, it is a write: what this open wrote before is
        gone, and what it has written when it is closed becomes the setting.

        Raises:
            OSError: ENOENT, EACCES, EBADF or EINVAL.
        """
        mode = FILES.get(name)
        if mode is None:
            raise os_error(errno.ENOENT, name)
        if mode == READ_ONLY:
            raise os_error(errno.EACCES, name)
        if size != 0:
            raise os_error(errno.EINVAL, name)
        if handle is not None:
            self._begin_again(self._opened(handle))
        elif name in SETTING_FILES:
            self._commit(name, b"")

    def create(self, name: str) -> NoReturn:
        """There are no other files, not even for root. Raises `OSError` (EEXIST, EPERM)."""
        raise os_error(errno.EEXIST if name in FILES else errno.EPERM, name)

    def remove(self, name: str) -> NoReturn:
        """These files stay. Raises `OSError` (ENOENT, EPERM)."""
        raise os_error(errno.EPERM if name in FILES else errno.ENOENT, name)

    def rename(self, name: str, new: str) -> NoReturn:
        """These files keep their names, and none takes the place of another. Raises `OSError` (ENOENT, EPERM)."""
        del new
        raise os_error(errno.EPERM if name in FILES else errno.ENOENT, name)

    def flush(self, handle: int) -> None:
        """A descriptor of this open was closed: what was written becomes the setting.

        Raises:
            OSError: EINVAL or E2BIG, when the value breaks the setting's rule; the old value stays.
        """
        opened = self._opened(handle)
        with opened.lock:
            if not opened.dirty:
                opened.undecided = opened.emptied and not opened.replaced
                return
            opened.dirty = False
            opened.replaced = True
            if opened.name == "renew":
                self._obey(opened, complete=True)
            else:
                self._commit(opened.name, bytes(opened.written))

    def release(self, handle: int) -> None:
        """The last descriptor of this open is gone. A file emptied and not written is a setting unset."""
        with self._lock:
            opened = self._opens.get(handle)
        if opened is None:
            return
        with opened.lock:
            if opened.emptied and not opened.dirty and not opened.replaced:
                self._commit(opened.name, b"")
            self._decide(opened)
        with self._lock:
            self._opens.pop(handle, None)

    def _opened(self, handle: int) -> _Open:
        with self._lock:
            opened = self._opens.get(handle)
        if opened is None:
            raise os_error(errno.EBADF, str(handle))
        return opened

    def _settle(self) -> None:
        """Wait, with `_decided` held, for what was emptied and closed before now; for each such open only once."""
        undecided = [opened for opened in self._opens.values() if opened.undecided]
        if undecided:
            self._decided.wait_for(lambda: not any(opened.undecided for opened in undecided), _SETTLED_WITHIN)
            for opened in undecided:
                opened.undecided = False

    def _decide(self, opened: _Open) -> None:
        if opened.undecided:
            with self._decided:
                opened.undecided = False
                self._decided.notify_all()

    def _give_up(self, opened: _Open) -> OSError:
        """Let a writer that failed replace nothing; the error for its write."""
        if opened.name == "renew":
            number, opened.spoiled = opened.spoiled, 0  # a word is whole or unknown: the next is a new one
            opened.written.clear()
        else:
            number, opened.replaced = opened.spoiled, True
        opened.dirty = False
        self._decide(opened)
        error = SettingsError("the value is not one piece of bytes", code=f"settings-{opened.name}", wanted=_WRITABLE)
        self._tell(status.failed(f"{opened.name} not saved", error, {"step": "write"}, at=self._now()))
        return os_error(number, opened.name)

    def _begin_again(self, opened: _Open) -> None:
        if not opened.writable:
            raise os_error(errno.EBADF, opened.name)
        with opened.lock:
            opened.written.clear()
            opened.spoiled = 0
            opened.dirty = opened.name != "renew"
            self._decide(opened)

    def _content(self, name: str) -> bytes:
        """What an open of this file reads as, made now."""
        if name == "token":
            return self._fetch_token(self.settings)
        if name == "secret":
            return self._fetch_secret()
        with self._lock:
            if name == "status":
                return self._status.text().encode()
            return self._renewed.encode() if name == "renew" else self._settings.shown(name)

    def _fetch_token(self, settings: Settings) -> bytes:
        attempt = Attempt()
        try:
            token = _bounded(self._fetches.token(settings, attempt).encode(), "token")
        except AmberError as error:
            self._tell(status.token_failed(error, attempt.notes, at=self._now()))
            raise os_error(errno_of(error), "token") from error
        self._tell(status.succeeded("renewed", attempt.notes, at=self._now()))
        return token

    def _fetch_secret(self) -> bytes:
        attempt = Attempt()
        try:
            secret = _bounded(self._fetches.secret(self.settings, attempt), "secret")
        except AmberError as error:
            self._tell(status.secret_failed(error, attempt.notes, at=self._now()))
            raise os_error(errno_of(error), "secret") from error
        self._tell(status.succeeded("provisioned", attempt.notes, at=self._now()))
        return secret

    def _commit(self, name: str, value: bytes) -> None:
        assert name in SETTING_FILES
        try:
            with self._lock:
                self._settings = self._settings.changed(name, value)
        except AmberError as error:
            self._tell(status.failed(f"{name} not saved", error, {"step": "write"}, at=self._now()))
            raise os_error(errno_of(error), name) from error
        self._tell(status.succeeded(f"{name} saved", {}, at=self._now()))

    def _obey(self, opened: _Open, *, complete: bool) -> None:
        """Do what was written to `renew`, as soon as it is a word: a shell's `echo` does not look at close."""
        text = opened.written.decode("ascii", "replace").strip().lower()
        if text in RENEW_WORDS:
            opened.dirty = False
            opened.written.clear()
            if text == "token":
                self._fetch_token(replace(self.settings, token_cache=0.0))  # does it now, whatever may be kept
            else:
                self._fetch_secret()
            with self._lock:
                self._renewed = text
        elif text and (complete or not any(word.startswith(text) for word in RENEW_WORDS)):
            opened.dirty = False
            opened.written.clear()
            error = SettingsError("this word is not known", code="settings-renew", wanted=" or ".join(RENEW_WORDS))
            self._tell(status.failed("renew failed", error, {"step": "write"}, at=self._now()))
            raise os_error(errno.EINVAL, "renew") from error

    def _tell(self, told: status.Status) -> None:
        with self._lock:
            self._status = told


def _bounded(content: bytes, name: str) -> bytes:
    if len(content) > MAX_CONTENT:
        raise TooLarge(f"the {name} is too long", seen=f"{len(content)} bytes", wanted=f"<= {MAX_CONTENT} bytes")
    return content
