"""`amber token`: get attestation tokens, and check them."""

from __future__ import annotations

import click

from ambergate.cli.token_check import check
from ambergate.cli.token_get import get


@click.group()
def group() -> None:
    """Get and check attestation tokens."""


group.add_command(check)
group.add_command(get)
