"""`amber`: one group whose commands are loaded when they are called, so that start-up stays fast."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

import ambergate

# Command -> "module:attribute" below ambergate.cli, and its line in the help.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "apikey": ("apikey:group", "Create API keys of the attestation service."),
    "attestation": ("attestation:group", "The attestation service."),
    "audit": ("audit:group", "Read, prove and verify a service's audit log."),
    "backup": ("backup:backup_command", "Copy a service's database into one file, while it runs."),
    "collateral": ("collateral:group", "Fetch, show, carry and compare collateral."),
    "demo": ("demo:command", "Run the whole system on this machine and show the six steps."),
    "doctor": ("doctor:command", "Say what this host has and lacks for SGX, and how to mend it."),
    "gsc": ("gsc:group", "Build and sign container images that run under Gramine."),
    "keybroker": ("keybroker:group", "The key broker."),
    "manifest": ("manifest:group", "Check, convert and compare Gramine manifests."),
    "mount": ("mount:command", "Keep the /dev/amber files mounted in a directory."),
    "policy": ("policy:group", "Write, check, test, explain and manage policies."),
    "quote": ("quote:group", "Show and verify quotes."),
    "rekey": ("rekey:command", "Put a service's database under another key-encryption key."),
    "restore": ("backup:restore_command", "Put a backup of a service's database back."),
    "run": ("run:command", "Run a program with /dev/amber mounted for it alone."),
    "secret": ("secret:group", "Get a secret from the key broker."),
    "sigstruct": ("sigstruct:group", "Show the measurement that an enclave was signed with."),
    "simulator": ("simulator:group", "The software platform."),
    "token": ("token:group", "Get and check attestation tokens."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in alphabetical order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, loaded now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"ambergate.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ambergate.__version__, prog_name="amber")
def main() -> None:
    """Remote attestation and secret delivery for applications in SGX enclaves under Gramine."""
