"""`amber collateral`: Intel's statements, fetched, looked into, carried to sites without a network, and compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from ambergate.cli._collateral_fetch import anchor_option, fetch, rollback_option
from ambergate.cli._collateral_files import look, place, read_file, write_file
from ambergate.cli._collateral_forecast import forecast
from ambergate.cli._collateral_proof import judge, read_anchors, require_all
from ambergate.cli._collateral_tell import (
    archive_members,
    change_members,
    found_members,
    iso,
    tell_archive,
    tell_changes,
    tell_found,
)
from ambergate.cli._common import EXIT_NOT_GENUINE, echo_json, instant, json_option, now, reports_errors
from ambergate.core.collateral.archive import decode_archive, encode_archive, pack

_ANY: Final = click.Path(exists=True, path_type=Path)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_DIRECTORY: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def group() -> None:
    """Fetch, show, carry and compare Intel's statements about platforms."""


@group.command()
@click.argument("place_", metavar="FILE_OR_DIR", type=_ANY)
@anchor_option
@click.option("--at", metavar="ISO8601", help="The instant to judge at; now when not given.")
@json_option
@reports_errors
def show(place_: Path, anchor_files: tuple[Path, ...], at: str | None, *, as_json: bool) -> None:
    """Show what collateral says, who signed it, how long it holds, and whether it verifies.

    FILE_OR_DIR is a file made by export or fetch, the bare statements about one family, or a directory of such.
    """
    when = instant(at)
    found = look(place_, read_anchors(anchor_files), at=when)
    if as_json:
        echo_json(found_members(found, when))
    else:
        tell_found(found, when)
    if any(each.verified is None for each in found.judged):
        sys.exit(EXIT_NOT_GENUINE)


@group.command()
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@anchor_option
@json_option
@reports_errors
def export(directory: Path, out: Path, anchor_files: tuple[Path, ...], *, as_json: bool) -> None:
    """Put all collateral in DIR into one file, for a site that has no network.

    Every family must verify now: a file that cannot be imported is not written.
    """
    at = now()
    found = look(directory, read_anchors(anchor_files), at=at)
    archive = pack(require_all(found.judged, "nothing is exported"), created_at=at)
    write_file(out, encode_archive(archive))
    if as_json:
        echo_json({"out": str(out), **archive_members(archive)})
    else:
        tell_archive(out, archive)


@group.command("import")
@click.argument("file", type=_FILE)
@click.option(
    "--into", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The directory."
)
@anchor_option
@rollback_option
@json_option
@reports_errors
def import_(
    file: Path, directory: Path, anchor_files: tuple[Path, ...], *, allow_rollback: bool, as_json: bool
) -> None:
    """Put what FILE carries into a directory that services read, if all of it is genuine and none of it older.

    The file itself is not believed: each statement is verified, now, under the root. All is written, or nothing.
    """
    anchors = read_anchors(anchor_files)
    archive = decode_archive(read_file(file))
    entries = require_all(judge(archive.entries, anchors, at=now()), "nothing is imported")
    changes = place(directory, entries, allow_rollback=allow_rollback)
    if as_json:
        echo_json({"into": str(directory), "sha256": archive.digest, "entries": change_members(changes)})
        return
    click.echo(f"{file} of {iso(archive.created_at)}, SHA-256 {archive.digest}, into {directory}:")
    tell_changes(changes)


group.add_command(fetch)
group.add_command(forecast)
