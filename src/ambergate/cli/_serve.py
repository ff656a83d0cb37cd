"""Serving a configuration that may change, in one process or in several: what both services' `serve` do."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import click

from ambergate.cli._common import describe, exit_code
from ambergate.core.errors import AmberError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import ExitStack
    from socket import socket

    from _typeshed import DataclassInstance
    from starlette.applications import Starlette

    from ambergate.services.web.limits import Limits
    from ambergate.services.web.live import Generation
    from ambergate.services.web.settings.observing import Log, MetricsPlace
    from ambergate.services.web.tls import TlsFiles
    from ambergate.services.web.workers import Place

    class ServedConfig(DataclassInstance, Protocol):
        """What both services' configurations say of serving."""

        @property
        def host(self) -> str: ...
        @property
        def port(self) -> int: ...
        @property
        def workers(self) -> int: ...
        @property
        def tls(self) -> TlsFiles: ...
        @property
        def limits(self) -> Limits: ...
        @property
        def metrics(self) -> MetricsPlace | None: ...
        @property
        def log(self) -> Log: ...


C = TypeVar("C", bound="ServedConfig")
_LOG = logging.getLogger("ambergate.cli")

workers_option: Callable[[Any], Any] = click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes that serve; listen.workers of the configuration."
)


@dataclass(frozen=True, slots=True)
class Opened(Generic[C]):
    """A service's state, open in this process.

    Attributes:
        make: a configuration's application on it; what has to be closed behind that goes onto the stack.
        metrics: where this process tells its metrics.
    """

    make: Callable[[C, ExitStack], Starlette]
    metrics: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Served(Generic[C]):
    """A service as it is served.

    Attributes:
        load: reads its configuration.
        fixed: field of the configuration -> setting: what stays as it was, until a restart.
        opened: opens the state of a configuration onto the stack, for the process of this number.
        announce: called once connections are accepted, with the configuration, host and port, and the metrics' address.
        beside: binds more listeners, before any process serves; they stay until a restart.
        locked: called before anything is opened, with all listeners, which it leaves open; the configuration once it
            may be, None: stopped before that.
    """

    load: Callable[[], C]
    fixed: Mapping[str, str]
    opened: Callable[[C, ExitStack, int], Opened[C]]
    announce: Callable[[C, str, int, tuple[str, int] | None], None]
    beside: Callable[[C], Sequence[socket]] = lambda _: ()
    locked: Callable[[C, Sequence[socket]], C | None] = lambda config, _listeners: config


class _Current(Generic[C]):
    """The configuration in force, and how the next one takes its place."""

    def __init__(self, service: Served[C], first: C) -> None:
        self._service = service
        self.config = first

    def renewed(self) -> C:
        """The configuration as it is now, with what is fixed as it was.

        Raises:
            SettingsError: it cannot be used.
        """
        from ambergate.services.web.settings.fixed import keep_fixed

        config, kept = keep_fixed(self.config, self._service.load(), self._service.fixed)
        for name in kept:
            _LOG.warning("%s was changed: that takes a restart, and it stays as it was until then", name)
        return config

    def renew(self) -> bool:
        """Put it in force, for workers that start from now on; whether it could be used."""
        try:
            self.config = self.renewed()
        except AmberError as error:
            _LOG.error("the configuration is not taken, the old one stays: %s", error.as_dict())
            return False
        return True


def serve_service(service: Served[C], workers: int | None) -> None:
    """Serve until SIGTERM or SIGINT; read the configuration again at SIGHUP. With several workers, end the process.

    Args:
        service: what is served.
        workers: how many processes serve; None: what the configuration says.
    """
    from ambergate.services.web.logs import log_to
    from ambergate.services.web.server import bound_socket
    from ambergate.services.web.workers import Place, Watcher

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it serves: the start itself reads what there is
    first = service.load()
    first = first if workers is None else replace(first, workers=workers)
    log_to(form=first.log.format, level=first.log.level)
    listener = bound_socket(first.host, first.port)
    host, port = listener.getsockname()[:2]
    listeners = (listener, *service.beside(first))
    unlocked = service.locked(first, listeners)
    if unlocked is None:
        _close(listeners)
        return
    first = unlocked
    current = _Current(service, first)

    def announce(metrics: tuple[str, int] | None) -> None:
        service.announce(first, host, port, metrics)
        sys.stdout.flush()

    if first.workers == 1:
        _serve(service, current, listeners, Place(lambda: None, lambda: True, 0), announce)
        return

    def work(place: Place) -> int:
        try:
            _serve(service, current, listeners, place, lambda _metrics: place.ready())
        except AmberError as error:
            click.echo(describe(error), err=True)
            return exit_code(error)
        return 0

    for each in listeners:
        each.listen()  # from now on who connects waits, whichever worker comes and goes
    watcher = Watcher(
        first.workers,
        work,
        reload=current.renew,
        on_start=lambda: announce(None if first.metrics is None else (first.metrics.host, first.metrics.port)),
        on_stop=lambda: _close(listeners),
        clock=time.monotonic,
    )
    sys.exit(watcher.run())


def _close(listeners: Sequence[socket]) -> None:
    for each in listeners:
        each.close()


def _serve(
    service: Served[C],
    current: _Current[C],
    listeners: Sequence[socket],
    place: Place,
    on_start: Callable[[tuple[str, int] | None], None],
) -> None:
    from ambergate.services.web.live import Generation, Live
    from ambergate.services.web.server import serve

    with contextlib.ExitStack() as stack:
        opened = service.opened(current.config, stack, place.number)

        def generation(config: C) -> Generation:
            with contextlib.ExitStack() as behind:
                app = opened.make(config, behind)
                return Generation(app, config.tls, behind.pop_all().close, config.limits)

        def remake() -> Generation:
            config = current.renewed()
            made = generation(config)
            current.config = config
            return made

        live = Live(generation(current.config), remake, clock=time.monotonic)
        serve(live, *listeners, on_start=lambda: on_start(opened.metrics), watched=place.watched)
