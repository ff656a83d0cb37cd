"""Every command is listed, and every command helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from ambergate.cli.main import COMMANDS, main

if TYPE_CHECKING:
    from collections.abc import Iterator


def _helped(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def _paths(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _paths(below, (*path, name))


def test_the_list_names_every_command() -> None:
    listed = _helped().split("Commands:")[1]
    assert {line.split()[0] for line in listed.strip().splitlines()} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_and_all_below_it_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    for path in _paths(command, (name,)):
        assert _helped(*path).startswith("Usage: ")
        assert command.help


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_is_for(name: str) -> None:
    """One sentence for the list, as a sentence."""
    line = COMMANDS[name][1]
    assert line[0].isupper()
    assert line.endswith(".")


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["forge"])
    assert result.exit_code == 2
    assert "No such command 'forge'" in result.output
