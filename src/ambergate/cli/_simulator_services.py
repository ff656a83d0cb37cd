"""`amber simulator services`: an attestation service and a key broker to write programs and policies against."""

from __future__ import annotations

import json
import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._stage import found, prepare, services
from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.cli._stage import Service, Stage

ENVIRONMENT: Final = "environment"  # below DIR: to be read by a shell
APIKEY: Final = "apikey"
_LOOK_SECONDS: Final = 0.5  # how soon the end of a service is noticed
_STOP: Final = (signal.SIGTERM, signal.SIGINT)


@click.command("services")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
@reports_errors
def services_command(directory: Path, *, as_json: bool) -> None:
    """Serve attestation and keys for a software platform in DIR, on loopback, until SIGTERM or Ctrl-C.

    Makes platform, certificate, API key and both configurations in DIR, which must be new or empty, or one that it has
    made before: then all that was kept there is there again. DIR/environment is for your shell; standard error is what
    the services log. They are the real ones. Their tokens say that the platform is software, and prove nothing.
    """
    stage = _stage(directory)
    stopped = threading.Event()
    for signum in _STOP:
        signal.signal(signum, lambda *_: stopped.set())
    with services(stage, lambda name, line: click.echo(f"{name}: {line}", nl=False, err=True)) as running:
        _tell(stage, as_json=as_json)
        _watch(running, stopped)


def _stage(directory: Path) -> Stage:
    if (directory / ENVIRONMENT).exists():
        return found(directory.absolute())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        message = "the directory holds something else"
        raise SettingsError(message, seen=directory, wanted="a new or empty one, or one made by this command")
    stage = prepare(directory.absolute())
    made = stage.amber("apikey", "create", "--config", "attestation.toml", "--label", "simulator services", "--json")
    for name, text in ((APIKEY, f"{json.loads(made)['key']}\n"), (ENVIRONMENT, _environment(stage))):
        path = stage.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    return stage


def _environment(stage: Stage) -> str:
    addresses = {"ATTESTATION_URL": stage.attestation_url, "BROKER_URL": stage.broker_url}
    settings = {**addresses, **stage.settings(), "AMBER_APIKEY_FILE": str(stage.folder / APIKEY)}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())


def _tell(stage: Stage, *, as_json: bool) -> None:
    if as_json:
        told = {"directory": str(stage.folder), "attestation_url": stage.attestation_url, "issuer": stage.issuer}
        echo_json({**told, "broker_url": stage.broker_url, "environment": str(stage.folder / ENVIRONMENT)})
        return
    click.echo(f"attestation service {stage.attestation_url}, key broker {stage.broker_url}")
    click.echo(f"ready: . {shlex.quote(str(stage.folder / ENVIRONMENT))}")


def _watch(running: Mapping[str, Service], stopped: threading.Event) -> None:
    """Until a signal comes.

    Raises:
        Unavailable: a service ended by itself.
    """
    while not stopped.wait(_LOOK_SECONDS):
        for name, service in running.items():
            if service.process.poll() is not None:
                raise Unavailable(f"the {name} service ended", seen="".join(list(service.log)[-5:]).strip())
