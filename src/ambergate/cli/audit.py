"""`amber audit`: read a service's audit log, prove what is in it, and find what was done to it."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli._audit_source import config_option, database_option, key_option, opened, read_key
from ambergate.cli._common import EXIT_NOT_GENUINE, echo_json, json_option, reports_errors
from ambergate.core.errors import NotIntact, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from ambergate.cli._audit_source import Source
    from ambergate.stores.audit_check import Finding
    from ambergate.stores.audit_rows import Entry

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHOWN = 20  # records


@click.group()
def group() -> None:
    """The audit log of the attestation service, or of the key broker."""


@group.command()
@config_option
@database_option
@key_option
@click.option("--checkpoint", "kept", type=_FILE, multiple=True, help="A signed checkpoint that was kept elsewhere.")
@click.option("--proof", type=_FILE, help="A proof to check, with --key and without any database.")
@json_option
@reports_errors
def verify(  # one for each option
    config: Path | None,
    database: Path | None,
    key_text: str | None,
    kept: tuple[Path, ...],
    proof: Path | None,
    *,
    as_json: bool,
) -> None:
    """Whether the log is the one that was written; exits with 4 when it is not."""
    if proof is not None:
        if key_text is None or config is not None or database is not None or kept:
            raise SettingsError("a proof is checked by itself", wanted="--proof FILE --key KEY and no other option")
        _verify_proof(proof, key_text, as_json=as_json)
        return
    with opened(config, database, key_text) as source:
        finding, checked = _whole(source, kept)
    if as_json:
        told = {"entries": finding.size, "root": finding.root.hex(), "checkpoints": checked, "faults": finding.faults}
        echo_json({"intact": finding.intact, **told})
    elif finding.intact:
        click.echo(f"intact: {finding.size} entries, root {finding.root.hex()}")
        click.echo(f"continues {checked} checkpoint{'' if checked == 1 else 's'} kept outside of the database")
    else:
        for fault in finding.faults:
            click.echo(f"NOT INTACT: {fault}", err=True)
    if not finding.intact:
        sys.exit(EXIT_NOT_GENUINE)


@group.command()
@config_option
@database_option
@click.option("--last", type=click.IntRange(1, 10_000), default=_SHOWN, help=f"How many records (default {_SHOWN}).")
@click.option("--jti", type=click.UUID, help="The record of this token alone.")
@click.option("--entry", type=click.IntRange(0), help="The record at this place alone.")
@click.option("--checkpoint", is_flag=True, help="The newest signed checkpoint alone: keep it elsewhere.")
@click.option("--key", "show_key", is_flag=True, help="The log's key alone.")
@json_option
@reports_errors
def show(  # noqa: PLR0913  # one for each option
    config: Path | None,
    database: Path | None,
    last: int,
    jti: UUID | None,
    entry: int | None,
    *,
    checkpoint: bool,
    show_key: bool,
    as_json: bool,
) -> None:
    """Show the newest records, or one."""
    from ambergate.stores.audit import known
    from ambergate.stores.audit_rows import read_entries, read_head
    from ambergate.stores.transactions import reading

    with opened(config, database) as source, reading(source.engine) as connection:
        head = known(read_head(connection))
        if checkpoint:
            click.echo(head.note, nl=False)
        elif show_key:
            click.echo(source.known_key.text())
        elif jti is not None or entry is not None:
            _tell_one(_found(connection, jti, entry), as_json=as_json)
        else:
            size = head.frontier.size
            _tell(read_entries(connection, max(size - last, 0), size), as_json=as_json)


@group.command()
@click.argument("jti", type=click.UUID, required=False)
@click.option("--entry", type=click.IntRange(0), help="The record at this place, instead of a token's.")
@config_option
@database_option
@reports_errors
def prove(jti: UUID | None, entry: int | None, config: Path | None, database: Path | None) -> None:
    """Print the proof that a token's record is in the log, as JSON."""
    from ambergate.stores.audit import prove as prove_entry
    from ambergate.stores.transactions import reading

    with opened(config, database) as source:
        with reading(source.engine) as connection:
            found = _found(connection, jti, entry)
        proof = prove_entry(source.engine, found)
    hashes = [base64.b64encode(step).decode() for step in proof.hashes]
    echo_json({"index": proof.seq, "record": proof.record, "hashes": hashes, "checkpoint": proof.checkpoint})


@group.command()
@config_option
@database_option
@click.option("--from", "start", type=click.IntRange(0), default=0, help="The first entry (default 0).")
@click.option("--to", "end", type=click.IntRange(0), help="The one after the last (default: the log's end).")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the output.")
@reports_errors
def export(config: Path | None, database: Path | None, start: int, end: int | None, output: Path | None) -> None:
    """Print records as JSON lines, each the very text that is hashed."""
    from ambergate.stores.audit import known
    from ambergate.stores.audit_rows import read_entries, read_head
    from ambergate.stores.transactions import reading

    with opened(config, database) as source, reading(source.engine) as connection:
        size = known(read_head(connection)).frontier.size
        with click.open_file(str(output or "-"), "w", encoding="utf-8") as file:
            for entry in read_entries(connection, start, size if end is None else min(end, size)):
                file.write(entry.record + "\n")


def _whole(source: Source, kept: Sequence[Path]) -> tuple[Finding, int]:
    """What is wrong with the log, and how many checkpoints from outside it was held to."""
    from ambergate.stores.audit import read_pin
    from ambergate.stores.audit_check import check_whole
    from ambergate.stores.transactions import reading

    places = [*kept, *([source.pin] if source.pin is not None else [])]
    notes = [note for note in map(read_pin, places) if note is not None]
    with reading(source.engine) as connection:
        return check_whole(connection, source.known_key, notes, progress=_progress), len(notes)


def _progress(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{count} entries", err=True, nl=False)


def _verify_proof(path: Path, key_text: str, *, as_json: bool) -> None:
    from ambergate.stores.audit_proof import MAX_TEXT, check_proof, read_proof

    with path.open("rb") as file:
        proof = read_proof(file.read(MAX_TEXT + 1))
    stated = check_proof(proof, read_key(key_text))
    if as_json:
        told = {"entry": proof.seq, "entries": stated.size, "origin": stated.origin, "at": stated.at.isoformat()}
        echo_json({"holds": True, **told, "record": json.loads(proof.record)})
    else:
        click.echo(
            f"holds: entry {proof.seq} of {stated.size} in {stated.origin}, stated {stated.at:%Y-%m-%d %H:%M:%S}Z"
        )
        click.echo(proof.record)


def _found(connection: Connection, jti: UUID | None, place: int | None) -> Entry:
    from ambergate.stores.audit_rows import find_entry, read_entries

    if (jti is None) == (place is None):
        raise SettingsError("one record is asked for by one name", wanted="its token's id, or --entry")
    if jti is not None:
        found = find_entry(connection, jti)
    else:
        assert place is not None
        found = next(read_entries(connection, place, place + 1), None)
    if found is None:
        raise SettingsError("there is no such record", seen=jti if place is None else place)
    return found


def _tell(entries: Iterable[Entry], *, as_json: bool) -> None:
    if as_json:
        echo_json([{"entry": entry.seq, **_record(entry)} for entry in entries])
        return
    for entry in entries:
        record = _record(entry)
        why = next((record[name] for name in ("step", "code", "jti", "event") if record.get(name)), None)
        at, key = _plain(record.get("at"))[:19], _plain(record.get("key_id"))[:8]
        click.echo(f"{entry.seq:>9}  {at}  {_plain(record.get('verdict')):8}  {key:8}  {_plain(why)}")


def _tell_one(entry: Entry, *, as_json: bool) -> None:
    record = {"entry": entry.seq, **_record(entry)}
    if as_json:
        echo_json(record)
        return
    for name, value in record.items():
        click.echo(f"{name + ':':12} {_plain(value)}")


def _plain(value: object) -> str:
    """For a terminal: what others chose cannot steer it."""
    if value is None:
        return "-"
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _record(entry: Entry) -> dict[str, object]:
    try:
        value = json.loads(entry.record)
    except (ValueError, RecursionError) as exc:
        raise NotIntact("an entry of the audit log is no record", seen=f"entry {entry.seq}") from exc
    return dict(value) if isinstance(value, dict) else {"record": value}
