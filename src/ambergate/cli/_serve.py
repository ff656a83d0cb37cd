"""Serving from a configuration that may change: the first generation, and each that SIGHUP asks for."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from socket import socket

    from _typeshed import DataclassInstance
    from starlette.applications import Starlette

    from ambergate.services.web.live import Generation
    from ambergate.services.web.tls import TlsFiles

C = TypeVar("C", bound="DataclassInstance")
_LOG = logging.getLogger("ambergate.cli")


class Reloading(Generic[C]):
    """Makes a generation of each configuration.

    Args:
        first: the configuration that the process started with.
        fixed: field of the configuration -> setting: what stays as it was, until a restart.
        load: reads the configuration again.
        tls: a configuration's certificate and key.
        make: a configuration's application; what has to be closed behind it goes onto the stack.
    """

    def __init__(
        self,
        first: C,
        fixed: Mapping[str, str],
        *,
        load: Callable[[], C],
        tls: Callable[[C], TlsFiles],
        make: Callable[[C, ExitStack], Starlette],
    ) -> None:
        self._config = first
        self._fixed = fixed
        self._load = load
        self._tls = tls
        self._make = make

    def first(self) -> Generation:
        """The generation to start with."""
        return self._generation(self._config)

    def next(self) -> Generation:
        """The generation of the configuration as it is now.

        Raises:
            SettingsError: it cannot be used.
        """
        from ambergate.services.web.settings.fixed import keep_fixed

        config, kept = keep_fixed(self._config, self._load(), self._fixed)
        for name in kept:
            _LOG.warning("%s was changed: that takes a restart, and it stays as it was until then", name)
        generation = self._generation(config)
        self._config = config
        return generation

    def _generation(self, config: C) -> Generation:
        from ambergate.services.web.live import Generation

        with contextlib.ExitStack() as stack:
            app = self._make(config, stack)
            return Generation(app, self._tls(config), stack.pop_all().close)


def serve_reloading(site: Reloading[C], listener: socket, *, on_start: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; read the configuration again at SIGHUP."""
    from ambergate.services.web.live import Live
    from ambergate.services.web.server import serve

    serve(Live(site.first(), site.next, clock=time.monotonic), listener, on_start=on_start)


def survive_hangup() -> None:
    """Until the service serves, a reload that is asked for is done by the start itself."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
