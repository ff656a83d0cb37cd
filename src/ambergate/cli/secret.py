"""`amber secret`: secrets from the key broker."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from ambergate.cli._client import Choice, client_options, program_option, write_out
from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._late import session


@click.group()
def group() -> None:
    """Get a secret from the key broker."""


@group.command()
@client_options
@program_option
@click.option(
    "-o", "--output", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE, mode 0600."
)
@json_option
@reports_errors
def get(*, chosen: Choice, program: str, output: Path | None, as_json: bool) -> None:
    """Get the secret --kbs-keyid and print it, byte for byte."""
    from ambergate.client.attempt import Attempt

    settings = chosen.settings()
    attempt = Attempt()
    secret = session(settings, chosen.source(program)).secret(settings, attempt)
    if output is not None or not as_json:
        write_out(secret, output)
    if as_json:
        told = {"output": str(output)} if output else {"secret": base64.b64encode(secret).decode()}
        echo_json({**told, "kbs_keyid": settings.kbs_keyid, "notes": attempt.notes})
