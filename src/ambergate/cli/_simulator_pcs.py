"""`amber simulator pcs`: the software platform's own collateral service."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import SettingsError
from ambergate.simulator.documents import ADVISORIES
from ambergate.simulator.pcs import FAULTS, Armed, Dialect, Shelf, SimulatedPcs
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.state import ROOT, write_atomically

if TYPE_CHECKING:
    from ambergate.simulator.pcs import Fault

TRUST: Final = "pcs_ca.pem"  # below DIR: what to trust the server's certificate by
_STATUSES: Final = click.Choice([status.value for status in ADVISORIES])
_STOP: Final = (signal.SIGTERM, signal.SIGINT)


def _address(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """`HOST:PORT`; anything else is a usage error."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        message = "an address is HOST:PORT, e.g. 127.0.0.1:8081; port 0 is any free one"
        raise click.BadParameter(message, context, parameter)
    return host, int(port)


@click.group("pcs")
def pcs_group() -> None:
    """The platform's collateral over HTTPS, as Intel's PCS serves it, or a PCCS, or neither when all goes wrong."""


@pcs_group.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:0",
    show_default=True,
    callback=_address,
    help="Where to listen.",
)
@click.option(
    "--dialect",
    type=click.Choice([dialect.value for dialect in Dialect]),
    default=Dialect.PCS.value,
    show_default=True,
    help="Whose manners to have: Intel's PCS, or Intel's PCCS with its hex CRLs and statuses of its own.",
)
@click.option(
    "--tcb-status",
    "status",
    type=_STATUSES,
    default=TcbStatus.UP_TO_DATE.value,
    show_default=True,
    help="What the standard set says of this platform.",
)
@click.option(
    "--early-tcb-status",
    "early_status",
    type=_STATUSES,
    default=TcbStatus.OUT_OF_DATE.value,
    show_default=True,
    help="What the early set says of it.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME[:FIRST][@DOCUMENT]",
    multiple=True,
    help="What goes wrong: with the FIRST so many requests, when given; with one kind of DOCUMENT, when given. "
    "Repeat for more: each request meets the first that concerns it. See `amber simulator pcs faults`.",
)
@json_option
@reports_errors
def serve(  # noqa: PLR0913  click passes one argument an option
    directory: Path,
    listen: tuple[str, int],
    dialect: str,
    status: str,
    early_status: str,
    faults: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Serve the collateral of the platform in DIR until SIGTERM or Ctrl-C.

    Signed anew every day. DIR/pcs_ca.pem is the authority of the server's certificate, made anew at every start.
    """
    platform = SimulatedPlatform.load(directory)
    shelf = Shelf(
        platform,
        now=now,
        random=secrets.token_bytes,
        status=TcbStatus(status),
        early_status=TcbStatus(early_status),
    )
    server = SimulatedPcs(
        shelf,
        dialect=Dialect(dialect),
        faults=[Armed.parse(text) for text in faults],
        host=listen[0],
        port=listen[1],
        report=_report,
    )
    trust = directory / TRUST
    _keep(trust, server.ca_pem)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)  # before there are threads, which inherit it
    try:
        with server:
            _announce(server, platform, directory, as_json=as_json)
            signal.sigwait(_STOP)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


@pcs_group.command("faults")
@json_option
@reports_errors
def list_faults(*, as_json: bool) -> None:
    """List what can go wrong, and what a sound client makes of it."""
    if as_json:
        echo_json([_describe(fault) for fault in FAULTS.values()])
        return
    width = max(map(len, FAULTS))
    for fault in FAULTS.values():
        click.echo(f"{fault.name:{width}}  {fault.outcome}\n{'':{width}}  {fault.description}")


def _describe(fault: Fault) -> dict[str, object]:
    return {
        "name": fault.name,
        "description": fault.description,
        "outcome": fault.outcome.value,
        "documents": sorted(fault.documents),
    }


def _announce(server: SimulatedPcs, platform: SimulatedPlatform, directory: Path, *, as_json: bool) -> None:
    description = {
        "url": server.url,
        "ca": str(directory / TRUST),
        "root": str(directory / ROOT),
        "dialect": server.desk.dialect.value,
        "fmspc": platform.fmspc.hex(),
        "pck_ca": platform.ca,
    }
    if as_json:
        echo_json(description)
        return
    width = max(map(len, description))
    for name, value in description.items():
        click.echo(f"{name:{width}}  {value}")


def _report(target: str, status: int, fault: Fault | None) -> None:
    """One line for each request, on standard error."""
    click.echo(f"{status} {target}{'' if fault is None else f'  ({fault.name})'}", err=True)


def _keep(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as exc:
        raise SettingsError(f"{path} cannot be written", seen=exc.strerror, wanted="a writable directory") from exc
