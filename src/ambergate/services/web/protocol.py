"""uvicorn's HTTP protocol with two bounds that it lacks: a request head's size, and the time it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

MAX_HEAD: Final = 32 * 1024  # bytes of URL and headers; the longest real request head is below 4 KiB
HEAD_SECONDS: Final = 15.0  # from connection or first byte until the head is whole
GOODBYE_SECONDS: Final = 0.2  # that an idle TLS peer has to answer `close_notify` when the service stops


class HeadTooLarge(ValueError):  # named for what it says; the parser turns it into a 400
    """More bytes before the body than `MAX_HEAD`."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 to an endless head, and hangs up on one that does not come."""

    _head = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in the parent
        """A connection: its first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of a connection."""
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_came()
        super().on_headers_complete()

    def shutdown(self) -> None:
        """The service stops: an idle peer need not answer our goodbye, or one of them would hold us for `GRACE`."""
        super().shutdown()
        if self.transport.is_closing():  # idle; a busy one is let end first
            self.loop.call_later(GOODBYE_SECONDS, self.transport.abort)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise HeadTooLarge

    def _await_head(self) -> None:
        self._head_came()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
