"""`amber token get`: one attestation token."""

from __future__ import annotations

from pathlib import Path

import click

from ambergate.cli._client import Choice, client_options, program_option, write_out
from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._late import session


@click.command()
@client_options
@program_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE, mode 0600.")
@json_option
@reports_errors
def get(*, chosen: Choice, program: str, output: Path | None, as_json: bool) -> None:
    """Get a fresh token and print it."""
    from ambergate.client.attempt import Attempt

    settings = chosen.settings()
    attempt = Attempt()
    attested = session(settings, chosen.source(program)).attested(settings, attempt)
    if output is not None or not as_json:
        write_out(attested.token.encode() + (b"" if output else b"\n"), output)
    if as_json:
        told = {"output": str(output)} if output else {"token": attested.token}
        echo_json({**told, "expires_at": attested.expires_at, "notes": attempt.notes})
