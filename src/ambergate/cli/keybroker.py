"""`amber keybroker`: serve secrets to approved enclaves, and manage what it holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ambergate.cli._broker_keys import FILE, keys, policy_words, read_policy, tell
from ambergate.cli._broker_users import group as users
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._observing import metrics_told, telling_metrics
from ambergate.cli._serve import Reloading, serve_reloading, survive_hangup
from ambergate.cli._services import (
    check_config_command,
    keybroker_config,
    keybroker_service,
    print_config_option,
    print_settings,
    serve_config_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from starlette.applications import Starlette

    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.keybroker.trust import TrustedIssuers


@click.group()
def group() -> None:
    """The key broker: secrets for enclaves that their owners approve."""


group.add_command(check_config_command(keybroker_service))


@group.command()
@serve_config_option
@print_config_option
@json_option
@reports_errors
def serve(config: Path | None, *, print_config: bool, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    if print_config:
        print_settings(keybroker_service(), config, as_json=as_json)
        return
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.config import FIXED
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.web.logs import log_to
    from ambergate.services.web.server import bound_socket

    survive_hangup()
    settings = keybroker_config(config)
    log_to(form=settings.log.format, level=settings.log.level)
    metrics = None if settings.metrics is None else BrokerMetrics()
    with telling_metrics(metrics, settings.metrics) as told_at, open_state(settings, now=now) as state:
        listener = bound_socket(settings.host, settings.port)
        host, port = listener.getsockname()[:2]

        def announce() -> None:
            if as_json:
                echo_json({"listening": {"host": host, "port": port}, **metrics_told(told_at)})
            else:
                click.echo(f"key broker listening on https://{host}:{port}/kbs/v1/")
            sys.stdout.flush()

        site = Reloading(
            settings,
            FIXED,
            load=lambda: keybroker_config(config),
            tls=lambda config: config.tls,
            make=_maker(state, metrics),
        )
        serve_reloading(site, listener, on_start=announce)


def _maker(state: State, metrics: BrokerMetrics | None) -> Callable[[Config, ExitStack], Starlette]:
    """Applications on one state, which hand on the issuers' keys that they have."""
    from ambergate.services.keybroker.app import Options, create_app
    from ambergate.services.web.logs import log_to

    before: TrustedIssuers | None = None

    def make(config: Config, stack: ExitStack) -> Starlette:
        nonlocal before
        if before is not None:
            config.trust.take_over(before)
        before = config.trust
        log_to(form=config.log.format, level=config.log.level)
        if config.verifier is not None:
            stack.callback(config.verifier.close)
        return create_app(state, config.trust, now=now, options=Options.of(config), metrics=metrics)

    return make


group.add_command(users, "user")


group.add_command(keys)


@group.group()
def policy() -> None:
    """Release policies."""


@policy.command()
@click.argument("file", type=FILE)
@json_option
@reports_errors
def check(file: Path, *, as_json: bool) -> None:
    """Load a policy as the broker would, and say what it asks, defaults written out."""
    found = read_policy(file)
    tell({"policy": found.to_mapping()}, "\n".join(policy_words(found)), as_json=as_json)
