"""`amber simulator`: make a software platform, have it quote, have it lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._simulator_attestation import attestation_group
from ambergate.cli._simulator_pcs import pcs_group
from ambergate.cli._simulator_services import services_command
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import SettingsError
from ambergate.core.measurements import ReportData
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.documents import ADVISORIES
from ambergate.simulator.faults import FAULTS, SPECIMEN, TD_SPECIMEN
from ambergate.simulator.pki import PCK_CA_NAMES
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.state import ROOT
from ambergate.simulator.td import TdIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.simulator.faults import Fault

_FAULTS_FOLDER: Final = "faults"


def _report_data(context: click.Context, parameter: click.Parameter, value: str) -> bytes:
    """Exactly 64 bytes in hex; anything else is a usage error."""
    try:
        return ReportData.from_hex(value).value
    except ValueError as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


_directory = click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
_status = click.option(
    "--tcb-status",
    "status",
    type=click.Choice([status.value for status in ADVISORIES]),
    default=TcbStatus.UP_TO_DATE.value,
    show_default=True,
    help="What the TCB info shall say of this platform.",
)
_DATA_HELP: Final = "The 64 bytes of whoever reports, as 128 hex digits"
_data = click.option("--report-data", required=True, metavar="HEX", callback=_report_data, help=f"{_DATA_HELP}.")
_data_or_zeros = click.option(
    "--report-data",
    metavar="HEX",
    callback=_report_data,
    default="00" * ReportData.WIDTH,
    help=f"{_DATA_HELP}; zeros when not given.",
)


@click.group()
def group() -> None:
    """The software platform. It forges evidence under its own root: never trust that root for anything real."""


group.add_command(pcs_group)
group.add_command(attestation_group)
group.add_command(services_command)


@group.command()
@_directory
@click.option(
    "--ca",
    type=click.Choice(list(PCK_CA_NAMES)),
    default="platform",
    show_default=True,
    help="Which CA certifies the platform.",
)
@_status
@json_option
@reports_errors
def init(directory: Path, ca: str, status: str, *, as_json: bool) -> None:
    """Make a platform and its collateral in DIR."""
    at = now()
    platform = SimulatedPlatform.create(at=at, ca=ca)
    platform.save(directory)
    platform.save_collateral(directory, at=at, status=TcbStatus(status))
    _print(_describe_platform(platform, directory), as_json=as_json)


@group.command()
@_directory
@_status
@json_option
@reports_errors
def refresh(directory: Path, status: str, *, as_json: bool) -> None:
    """Sign the collateral in DIR anew, for thirty days from now."""
    platform = SimulatedPlatform.load(directory)
    platform.save_collateral(directory, at=now(), status=TcbStatus(status))
    _print(_describe_platform(platform, directory), as_json=as_json)


@group.command()
@_directory
@json_option
@reports_errors
def show(directory: Path, *, as_json: bool) -> None:
    """Show the platform in DIR, without its keys."""
    _print(_describe_platform(SimulatedPlatform.load(directory), directory), as_json=as_json)


@group.command()
@_directory
@_data
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where the quote goes."
)
@click.option(
    "--program",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that is measured as the reporting program; a specimen when not given.",
)
@click.option("--debug", is_flag=True, help="The enclave runs under debug.")
@json_option
@reports_errors
def quote(
    directory: Path, report_data: bytes, output: Path, program: Path | None, *, debug: bool, as_json: bool
) -> None:
    """Have an enclave on the platform in DIR quoted."""
    platform = SimulatedPlatform.load(directory)
    enclave = replace(EnclaveIdentity.of_program([program]) if program else SPECIMEN, debug=debug)
    _write(output, platform.quote(enclave, report_data))
    description = {
        "quote": str(output),
        "mr_enclave": enclave.mr_enclave.hex(),
        "mr_signer": enclave.mr_signer.hex(),
        "isv_prod_id": enclave.isv_prod_id,
        "isv_svn": enclave.isv_svn,
        "debug": enclave.debug,
        "report_data": report_data.hex(),
    }
    _print(description, as_json=as_json)


@group.command("td-quote")
@_directory
@_data
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where the quote goes."
)
@click.option(
    "--image",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that is measured as the reporting TD's image; a specimen when not given.",
)
@click.option("--debug", is_flag=True, help="The TD runs under debug.")
@json_option
@reports_errors
def td_quote(
    directory: Path, report_data: bytes, output: Path, image: Path | None, *, debug: bool, as_json: bool
) -> None:
    """Have a TD on the platform in DIR quoted, by a quote of version 4."""
    platform = SimulatedPlatform.load(directory)
    td = replace(TdIdentity.of_image([image]) if image else TD_SPECIMEN, debug=debug)
    _write(output, platform.td_quote(td, report_data))
    description = {
        "quote": str(output),
        "mr_td": td.mr_td.hex(),
        **{f"rtmr{index}": rtmr.hex() for index, rtmr in enumerate(td.rtmrs)},
        "td_attributes": td.attributes.hex(),
        "debug": td.debug,
        "report_data": report_data.hex(),
    }
    _print(description, as_json=as_json)


@group.group("fault")
def fault_group() -> None:
    """Named lies, to see that a verifier refuses them and where."""


@fault_group.command("list")
@json_option
@reports_errors
def list_faults(*, as_json: bool) -> None:
    """List the faults, and what each must lead to."""
    if as_json:
        echo_json([_describe_fault(fault) for fault in FAULTS.values()])
        return
    width = max(map(len, FAULTS))
    for fault in FAULTS.values():
        click.echo(f"{fault.name:{width}}  {_expectation(fault)}\n{'':{width}}  {fault.description}")


@fault_group.command("emit")
@click.argument("name", metavar="NAME")
@_directory
@_data_or_zeros
@json_option
@reports_errors
def emit_fault(name: str, directory: Path, report_data: bytes, *, as_json: bool) -> None:
    """Write the fault's quote and collateral to DIR/faults, DIR being a platform's directory."""
    fault = FAULTS.get(name)
    if fault is None:
        raise SettingsError(
            "there is no such fault", seen=name, wanted="a name on the list", hint="run: amber simulator fault list"
        )
    raw, collateral = fault.apply(SimulatedPlatform.load(directory), now(), report_data=report_data)
    quote_path = directory / _FAULTS_FOLDER / f"{name}.quote"
    collateral_path = directory / _FAULTS_FOLDER / f"{name}.collateral.json"
    _write(quote_path, raw)
    _write(collateral_path, collateral.to_json().encode())
    description = {**_describe_fault(fault), "quote": str(quote_path), "collateral": str(collateral_path)}
    _print(description, as_json=as_json)


def _describe_platform(platform: SimulatedPlatform, directory: Path) -> dict[str, object]:
    hardware = platform.state.hardware
    collateral, td_collateral = directory / platform.collateral_path, directory / platform.td_collateral_path
    return {
        "directory": str(directory),
        "root": str(directory / ROOT),
        "collateral": str(collateral) if collateral.exists() else None,
        "td_collateral": str(td_collateral) if td_collateral.exists() else None,
        "fmspc": hardware.fmspc.hex(),
        "pce_id": hardware.pce_id.hex(),
        "ca": platform.ca,
        "components": list(hardware.components),
        "pce_svn": hardware.pce_svn,
        "pck_serial": f"{platform.state.pki.pck.certificate.serial_number:x}",
    }


def _describe_fault(fault: Fault) -> dict[str, object]:
    status = fault.expected_status
    return {
        "name": fault.name,
        "tee": fault.tee.name,
        "description": fault.description,
        "expected_step": fault.expected_step,
        "expected_status": None if status is None else status.value,
    }


def _expectation(fault: Fault) -> str:
    if fault.expected_status is not None:
        return f"genuine, {fault.expected_status.value}"
    return f"refused at {fault.expected_step}"


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as exc:
        raise SettingsError(
            f"{path} cannot be written", seen=exc.strerror, wanted="a writable file", hint="choose another path"
        ) from exc


def _print(description: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        echo_json(description)
        return
    width = max(map(len, description))
    for name, value in description.items():
        click.echo(f"{name:{width}}  {'-' if value is None else value}")
