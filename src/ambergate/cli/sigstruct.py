"""`amber sigstruct`: what the signer of an enclave signed, and the policies that welcome it."""

from __future__ import annotations

from pathlib import Path

import click

from ambergate.cli._client import fail_write, write_out
from ambergate.cli._common import echo_json, json_option, reports_errors


@click.group()
def group() -> None:
    """Show the measurement that an enclave was signed with."""


@group.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--policy",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the attestation policy and the release policy for this enclave into a directory.",
)
@click.option("--by-signer", is_flag=True, help="They name signer, product and least version, not the very program.")
@json_option
@reports_errors
def show(file: Path, *, directory: Path | None, by_signer: bool, as_json: bool) -> None:
    """Show what FILE, as gramine-sgx-sign writes it, says of its enclave; as TOML unless --json."""
    from ambergate.graminize import sigstruct

    said = sigstruct.read_sigstruct(file)
    members = sigstruct.described(said)
    written: dict[str, str] = {}
    if directory is not None:
        texts = {
            sigstruct.ATTESTATION_POLICY: sigstruct.attestation_policy(said, by_signer=by_signer),
            sigstruct.RELEASE_POLICY: sigstruct.release_policy(said, by_signer=by_signer),
        }
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise fail_write(directory, exc) from exc
        for name, text in texts.items():
            write_out(text.encode(), directory / name)
            written[name.partition("-")[0]] = str(directory / name)
    if as_json:
        echo_json({**members, "policies": written} if written else members)
    else:
        click.echo(sigstruct.as_toml(members), nl=False)
        for kind, path in written.items():
            click.echo(f"{kind} policy: {path}", err=True)
    if said.debug:
        click.echo("note: what runs under debug keeps no secret; the policies refuse it", err=True)
