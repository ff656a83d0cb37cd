"""`amber attestation`: the service that verifies evidence and issues tokens."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._observing import metrics_told, sending_traces, telling_metrics
from ambergate.cli._ready import ready_command
from ambergate.cli._serve import Opened, Served, serve_service, workers_option
from ambergate.cli._services import (
    attestation_config,
    attestation_service,
    check_config_command,
    print_config_option,
    print_settings,
    serve_config_option,
)
from ambergate.cli.signing_key import group as signing_key_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from starlette.applications import Starlette

    from ambergate.pcs.fetcher import CollateralSource
    from ambergate.services.attestation.anchors import Anchor
    from ambergate.services.attestation.config import Config
    from ambergate.services.attestation.usecase import Trust
    from ambergate.stores.collateral import CollateralStore


@click.group()
def group() -> None:
    """The attestation service."""


group.add_command(check_config_command(attestation_service))
group.add_command(ready_command(attestation_config))
group.add_command(signing_key_group)


@group.command()
@serve_config_option
@workers_option
@print_config_option
@json_option
@reports_errors
def serve(config: Path | None, *, workers: int | None, print_config: bool, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C. SIGHUP reads the configuration again."""
    if print_config:
        print_settings(attestation_service(), config, as_json=as_json)
        return
    from ambergate.services.attestation.config import FIXED

    announce = partial(_announce, as_json=as_json)
    serve_service(Served(partial(attestation_config, config), FIXED, _opened, announce), workers)


def _opened(config: Config, stack: contextlib.ExitStack, number: int) -> Opened[Config]:
    """Applications on one state. Each has its own sources of collateral; what is known of API keys they share."""
    from ambergate.services.attestation.app import create_app, open_state
    from ambergate.services.attestation.callers import Callers
    from ambergate.services.attestation.metrics import AttestationMetrics
    from ambergate.services.web.logs import log_to

    metrics = None if config.metrics is None else AttestationMetrics()
    told_at = stack.enter_context(telling_metrics(metrics, config.metrics, number))
    spans = stack.enter_context(sending_traces("attestation", config.traces))
    state = stack.enter_context(open_state(config, at=now(), now=now))
    callers = Callers(state.api_keys, now=now)

    def make(config: Config, behind: contextlib.ExitStack) -> Starlette:
        roots = behind.enter_context(open_roots(config, state.collateral))
        log_to(form=config.log.format, level=config.log.level)
        return create_app(config, state, roots, now=now, callers=callers, metrics=metrics, spans=spans)

    return Opened(make, told_at)


@contextlib.contextmanager
def open_roots(config: Config, store: CollateralStore, *, clock: Callable[[], datetime] = now) -> Iterator[list[Trust]]:
    """The configuration's anchors, each with its sources of collateral and what is kept of them."""
    from ambergate.pcs.cache import CachedCollateral
    from ambergate.pcs.holding import CachePolicy
    from ambergate.pcs.online import OnlineCollateral
    from ambergate.pcs.several import FirstOf
    from ambergate.services.attestation.usecase import Trust

    with contextlib.ExitStack() as stack:
        roots = []
        policy = CachePolicy(grace=config.policy.collateral_grace)
        for anchor in config.anchors:
            sources = [(str(place), _source(place, anchor)) for place in anchor.collateral]
            kept = CachedCollateral(
                FirstOf(sources), now=clock, anchor=anchor.anchor, store=store, line=anchor.update, policy=policy
            )
            stack.enter_context(kept)
            # Closed before the cache, which waits for its refreshes: whoever waits for a next try is told at once.
            for _, source in sources:
                if isinstance(source, OnlineCollateral):
                    stack.enter_context(source)
            roots.append(Trust(anchor=anchor.anchor, collateral=kept, simulated=anchor.simulated))
        yield roots


def _source(place: Path | str, anchor: Anchor) -> CollateralSource:
    from ambergate.pcs.offline import DirectoryCollateral
    from ambergate.pcs.online import OnlineCollateral
    from ambergate.pcs.transport import tls_context

    if isinstance(place, Path):
        return DirectoryCollateral(place)
    return OnlineCollateral(place, api=anchor.api, update=anchor.update, verify=tls_context(anchor.cacerts))


def _announce(config: Config, host: str, port: int, metrics: tuple[str, int] | None, *, as_json: bool) -> None:
    if as_json:
        told = [{"name": root.anchor.name, "simulated": root.simulated} for root in config.anchors]
        listening = {"listening": {"host": host, "port": port}, **metrics_told(metrics)}
        echo_json({**listening, "issuer": config.issuer or config.base_url, "anchors": told})
    else:
        issuer = config.issuer or config.base_url
        click.echo(f"attestation service listening on https://{host}:{port}/appraisal/v1/, issuer {issuer}")
        for root in config.anchors:
            click.echo(f"  takes evidence under {root.anchor.name}")
            if root.simulated:
                click.echo("  WARNING: that root is a software platform: its tokens prove nothing about hardware")
        if config.insecure_simulated_issuer is not None:
            click.echo(f"  WARNING: tokens about software platforms name {config.insecure_simulated_issuer} too")
        if config.insecure_allow_anonymous:
            click.echo("  WARNING: anybody may ask for tokens, without an API key")
