"""uvicorn's HTTP protocol with bounds that it lacks: a request head's size and time, and the time to take an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ambergate.services.web.bodies import WHOLE

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from ambergate.services.web.seats import Seat

MAX_HEAD: Final = 32 * 1024  # bytes of URL and headers; the longest real request head is below 4 KiB
MAX_HEADERS: Final = 100  # of one request; clients send about ten
HEAD_SECONDS: Final = 15.0  # from connection or first byte until the head is whole
WRITE_SECONDS: Final = 30.0  # that a client may leave an answer lying that no buffer takes any more
GOODBYE_SECONDS: Final = 0.2  # that an idle TLS peer has to answer `close_notify` when the service stops


class HeadTooLarge(ValueError):  # named for what it says; the parser turns it into a 400
    """More bytes before the body than `MAX_HEAD`, or more headers than `MAX_HEADERS`."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 to an endless head, and hangs up on one that does not come and on who does not take an answer.

    Args:
        config, server_state, app_state: uvicorn's.
        seat: the connection's.
    """

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], seat: Seat) -> None:
        super().__init__(config, server_state, app_state)
        self._seat = seat
        self._head = 0
        self._headers = 0
        self._deadline: TimerHandle | None = None
        self._unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in the parent
        """A connection: its first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of a connection."""
        self._head_came()
        self._taken()
        self._seat.leave()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head = self._headers = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise HeadTooLarge
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_came()
        self._seat.busy()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; before its application is asked, where it came in one piece."""
        super().on_message_complete()
        if not self.cycle.more_body:
            self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]  # one of ours

    def on_response_complete(self) -> None:
        """The answer is out; the next request may be waiting already."""
        if not self.pipeline:
            self._seat.idle()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as the answer comes."""
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self._taken()

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

    def _taken(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
