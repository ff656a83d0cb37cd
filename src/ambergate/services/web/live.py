"""An application that is exchanged for its successor while it serves, without a request that notices.

Each configuration makes a generation: an application, the certificate's files, and what is closed after its last
request. A request belongs to the generation that was there when its head was whole; the next one on the same
connection may belong to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette

from ambergate.core.errors import AmberError
from ambergate.services.web.certificates import Certificates
from ambergate.services.web.limits import Limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ambergate.services.web.tls import TlsFiles

LOOK_EVERY: Final = 5.0  # seconds between two looks at the certificate's files; a health check (`ready`) reads them too
_LOG = logging.getLogger("ambergate.web")


def _nothing() -> None:
    """There is nothing to close."""


@dataclass(slots=True)
class Generation:
    """What one configuration made.

    Attributes:
        app: the application; one of Starlette's has a lifespan, another lives from request to request.
        tls: its certificate and key.
        close: called in a thread when its last request has been answered.
        limits: of who connects.
    """

    app: ASGIApp
    tls: TlsFiles
    close: Callable[[], None] = _nothing
    limits: Limits = field(default_factory=Limits)
    requests: int = 0
    retired: bool = False
    lifespan: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)


class Live:
    """The newest generation, as an ASGI application. Everything but the constructor runs in one event loop.

    Args:
        first: what is served from the start.
        remake: reads the configuration again and makes its generation, in a thread; raises one of our errors if that
            cannot be used. None: there is no other.
        clock: seconds that only grow.

    Raises:
        SettingsError: the first certificate cannot be used.
    """

    def __init__(
        self, first: Generation, remake: Callable[[], Generation] | None = None, *, clock: Callable[[], float]
    ) -> None:
        self._current = first
        self._remake = remake
        self._clock = clock
        self._certificates = Certificates(first.tls)
        self._looked = clock()
        self._unusable: dict[str, object] = {}  # why the certificate's files are not shown, as the log was told
        self._busy = asyncio.Lock()
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def limits(self) -> Limits:
        """Those in force for who connects from now on."""
        return self._current.limits

    @property
    def context(self) -> ssl.SSLContext:
        """For the listener."""
        return self._certificates.context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start and the end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        generation = self._current
        generation.requests += 1
        try:
            await generation.app(scope, receive, send)
        finally:
            generation.requests -= 1
            self._end_if_done(generation)

    @classmethod
    def lasting(cls, app: ASGIApp, tls: TlsFiles) -> Live:
        """An application that stays; only its certificate may change."""
        return cls(Generation(app, tls), clock=time.monotonic)

    async def reload(self) -> bool:
        """Put the configuration as it is now in the place of the old; whether that was done.

        What cannot be used is logged, with the reasons, and the old one stays.
        """
        if self._remake is None:
            return False
        async with self._busy:
            try:
                await self._take(await asyncio.to_thread(self._remake))
            except AmberError as error:
                _LOG.error("the configuration is not taken, the old one stays: %s", error.as_dict())
                return False
            except Exception:  # a fault of ours stops no service that runs  # noqa: BLE001
                _LOG.exception("the configuration is not taken, the old one stays")
                return False
        _LOG.info("the configuration was read again and is in force")
        return True

    @property
    def due(self) -> bool:
        """Whether it is time to `look`."""
        return self._clock() - self._looked >= LOOK_EVERY

    async def look(self) -> None:
        """Show the certificate's files as they are now, if they were changed. Takes as long as to read them."""
        async with self._busy:
            self._looked = self._clock()
            try:
                if await asyncio.to_thread(self._certificates.refresh):
                    _LOG.info("the TLS certificate was changed and is shown to new connections")
                self._unusable = {}
            except AmberError as error:  # perhaps half of the pair is written: the next look sees it whole
                told, self._unusable = self._unusable, error.as_dict()
                if told != self._unusable:  # once, not with every look
                    _LOG.error("the changed TLS certificate is not taken, the old one stays: %s", self._unusable)
            except Exception:  # a fault of ours stops no service that runs  # noqa: BLE001
                _LOG.exception("the TLS certificate could not be looked at, the old one stays")

    async def _take(self, new: Generation) -> None:
        try:
            await self._begin(new)
            await asyncio.to_thread(self._certificates.replace, new.tls)
        except BaseException:
            await self._end(new)
            raise
        self._looked = self._clock()
        old, self._current = self._current, new
        old.retired = True
        self._end_if_done(old)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's own start and end."""
        await receive()
        await self._begin(self._current)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._end(self._current)
        if self._endings:
            await asyncio.wait(self._endings)
        await send({"type": "lifespan.shutdown.complete"})

    async def _begin(self, generation: Generation) -> None:
        app = generation.app
        if isinstance(app, Starlette):
            await generation.lifespan.enter_async_context(app.router.lifespan_context(app))

    def _end_if_done(self, generation: Generation) -> None:
        if generation.retired and not generation.requests:
            task = asyncio.create_task(self._end(generation))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _end(self, generation: Generation) -> None:
        try:
            await generation.lifespan.aclose()
        finally:
            await asyncio.to_thread(generation.close)
