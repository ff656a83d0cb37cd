"""`amber keybroker`: serve secrets to approved enclaves, and manage what it holds."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from ambergate.cli import _broker_policy as releases
from ambergate.cli._broker_change import changes
from ambergate.cli._broker_keys import keys
from ambergate.cli._broker_managers import managers
from ambergate.cli._broker_place import FILE
from ambergate.cli._broker_policies import add_to as add_policies
from ambergate.cli._broker_seal import Gate, note_unsealing, seal_init, unseal
from ambergate.cli._broker_told import policy_words, read_policy, tell
from ambergate.cli._broker_users import group as users
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._observing import metrics_told, sending_traces, telling_metrics
from ambergate.cli._ready import ready_command
from ambergate.cli._serve import Opened, Served, serve_service, workers_option
from ambergate.cli._services import (
    check_config_command,
    keybroker_config,
    keybroker_service,
    print_config_option,
    print_settings,
    serve_config_option,
)

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path
    from socket import socket

    from starlette.applications import Starlette

    from ambergate.services.keybroker.admin_place import Listening
    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.trust import TrustedIssuers
    from ambergate.stores.shares import ShareSet


@click.group()
def group() -> None:
    """The key broker: secrets for enclaves that their owners approve."""


group.add_command(check_config_command(keybroker_service))
group.add_command(ready_command(keybroker_config))


@group.command()
@serve_config_option
@workers_option
@print_config_option
@json_option
@reports_errors
def serve(config: Path | None, *, workers: int | None, print_config: bool, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C. SIGHUP reads the configuration again."""
    if print_config:
        print_settings(keybroker_service(), config, as_json=as_json)
        return
    from ambergate.services.keybroker.config import FIXED

    managed: list[Listening] = []

    def beside(config: Config) -> list[socket]:
        if config.admin is None:
            return []
        listener, listening = config.admin.bind()
        managed.append(listening)
        return [listener]

    def announce(_config: Config, host: str, port: int, metrics: tuple[str, int] | None) -> None:
        admin = {"admin": managed[0].told()} if managed else {}
        if as_json:
            echo_json({"listening": {"host": host, "port": port}, **admin, **metrics_told(metrics)})
            return
        click.echo(f"key broker listening on https://{host}:{port}/kbs/v1/")
        for each in managed:
            click.echo(f"  managed at {each.words()}")

    def sealed(shares: ShareSet, host: str, port: int) -> None:
        if as_json:
            told = {"host": host, "port": port, "threshold": shares.threshold, "shares": shares.count}
            echo_json({"sealed": told, **({"admin": managed[0].told()} if managed else {})})
        else:
            where = managed[0].words() if managed else f"https://{host}:{port}"
            click.echo(f"sealed: {shares.threshold} of {shares.count} shares open it, at {where}/unseal")
        sys.stdout.flush()

    gate = Gate(partial(keybroker_config, config), sealed, managed)
    opened = partial(_opened, managed)
    serve_service(Served(gate.load, FIXED, opened, announce, beside, gate.unlocked), workers)


def _opened(managed: list[Listening], config: Config, stack: ExitStack, number: int) -> Opened[Config]:
    """Applications on one state, which hand on the issuers' keys that they have."""
    from ambergate.services.keybroker.app import Options, create_app, open_state
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.web.logs import log_to

    metrics = None if config.metrics is None else BrokerMetrics()
    told_at = stack.enter_context(telling_metrics(metrics, config.metrics, number))
    spans = stack.enter_context(sending_traces("keybroker", config.traces))
    state = stack.enter_context(open_state(config, now=now))
    if number == 0:
        note_unsealing(config, state)
    before: TrustedIssuers | None = None

    def make(config: Config, behind: ExitStack) -> Starlette:
        nonlocal before
        if before is not None and before is not config.trust:
            config.trust.take_over(before)
        before = config.trust
        log_to(form=config.log.format, level=config.log.level)
        if config.verifier is not None:
            behind.callback(config.verifier.close)
        options = Options.of(config, managed[0] if managed else None)
        return create_app(state, config.trust, now=now, options=options, metrics=metrics, spans=spans)

    return Opened(make, told_at)


group.add_command(users, "user")


group.add_command(keys)
group.add_command(managers)
group.add_command(seal_init)
group.add_command(unseal)


@group.group()
def policy() -> None:
    """Release policies."""


add_policies(policy)


@policy.command()
@click.argument("file", type=FILE)
@json_option
@reports_errors
def check(file: Path, *, as_json: bool) -> None:
    """Load the policy in FILE as the broker would, and say what it asks; or all that is wrong, and where.

    FILE is TOML, JSON, or a key transfer policy as Intel's Key Broker Service has it.
    """
    releases.refuse_problems(file, as_json=as_json)
    found = read_policy(file)
    tell({"policy": found.to_mapping()}, "\n".join(policy_words(found)), as_json=as_json)


policy.add_command(releases.new)
policy.add_command(releases.explain)
group.add_command(changes)
