"""The files that `amber policy` reads: policies, cases, claims, records."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from ambergate.core.appraise.named import MAX_TEXT, Policy, PolicyKind, PolicyLanguage
from ambergate.core.collateral.documents import EACH_ONCE
from ambergate.core.errors import Malformed, MalformedPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ambergate.core.appraise.named import PolicyEngine

MAX_FILE: Final = 4 * 1024 * 1024  # bytes of a file of cases or claims
MAX_RECORD: Final = 256 * 1024  # bytes of one line of records
KINDS: Final = {"appraisal": PolicyKind.APPRAISAL, "token": PolicyKind.TOKEN_CUSTOMIZATION}
# A draft has no id yet.
DRAFT: Final = UUID(int=0)
_SUFFIXES: Final = {
    ".rego": PolicyLanguage.REGO,
    ".toml": PolicyLanguage.TYPED,
    ".json": PolicyLanguage.TYPED,
    ".yaml": PolicyLanguage.TYPED,
    ".yml": PolicyLanguage.TYPED,
}


def read_bytes(file: Path, limit: int) -> bytes:
    """The file, `-` for standard input, if it has no more than `limit` bytes.

    Raises:
        click.BadParameter: it cannot be read.
        MalformedPolicy: it is longer.
    """
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(limit + 1)
    except OSError as exc:
        message = f"{file}: {exc.strerror}"
        raise click.BadParameter(message) from exc
    if len(data) > limit:
        raise MalformedPolicy("the file is too long", seen=str(file), wanted=f"at most {limit} bytes")
    return data


def read_text(file: Path, limit: int) -> str:
    """The same as text.

    Raises:
        MalformedPolicy: it is longer, or not UTF-8.
    """
    try:
        return read_bytes(file, limit).decode()
    except UnicodeDecodeError as exc:
        raise MalformedPolicy("the file is not UTF-8", seen=f"{file}: {exc.reason}") from exc


def language_of(file: Path, language: str | None) -> PolicyLanguage:
    """The language that is given, or else the one that the file's name tells.

    Raises:
        click.BadParameter: neither does.
    """
    spoken = PolicyLanguage(language) if language else _SUFFIXES.get(file.suffix)
    if spoken is None:
        message = f"{file}: is it Rego or typed? Name it .rego, .toml, .yaml or .json, or say --language"
        raise click.BadParameter(message)
    return spoken


def read_policy(file: Path, kind: str, language: str | None) -> Policy:
    """The draft in this file; its language by the file's name where none is given.

    Raises:
        MalformedPolicy: it is longer than any policy, or not UTF-8.
        click.BadParameter: nothing says which language it is in.
    """
    spoken = language_of(file, language)
    text = read_text(file, MAX_TEXT)
    name = re.sub(r"[^a-zA-Z0-9_-]+", "-", file.stem).strip("-_")[:64].strip("-_")
    name = name if len(name) >= 3 else f"draft-{name}".strip("-")
    return Policy(id=DRAFT, version=1, name=name, kind=KINDS[kind], language=spoken, text=text)


@contextmanager
def engine_for(policy: Policy) -> Iterator[PolicyEngine]:
    """The engine of the policy's language, as the service has it."""
    if policy.language is PolicyLanguage.REGO:
        from ambergate.rego.engine import RegoEngine

        with RegoEngine(workers=1) as engine:
            yield engine
        return
    from ambergate.core.appraise.typed import TypedEngine
    from ambergate.policies.yaml_text import yaml_reader

    yield TypedEngine(yaml_reader())


def read_table(file: Path, what: str) -> dict[str, Any]:
    """A table from a TOML, YAML or JSON file, by its name; JSON where the name says nothing.

    Raises:
        MalformedPolicy: it is none of that, or no table.
    """
    if file.suffix in (".yaml", ".yml"):
        from ambergate.policies.yaml_text import read_yaml

        table = read_yaml(read_text(file, MAX_TEXT))
    else:
        table = _table(read_text(file, MAX_FILE), what, toml=file.suffix == ".toml")
    if not isinstance(table, dict):
        raise MalformedPolicy(f"{what} is no table", seen=str(file))
    return table


def _table(text: str, what: str, *, toml: bool) -> object:
    try:
        return tomllib.loads(text) if toml else EACH_ONCE.decode(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedPolicy(f"{what} is not {'TOML' if toml else 'JSON'}", seen=str(exc)[:200]) from exc


def records_in(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line by line, what `amber audit export` wrote: the line's number and the record.

    Raises:
        Malformed: a line that is too long, or no JSON object.
    """
    try:
        stream = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as exc:
        message = f"{file}: {exc.strerror}"
        raise click.BadParameter(message) from exc
    with stream:
        number = 0
        while line := stream.readline(MAX_RECORD + 1):
            number += 1
            if len(line) > MAX_RECORD:
                raise Malformed("a record is too long", seen=f"line {number}", wanted=f"at most {MAX_RECORD} bytes")
            if line.strip():
                yield number, _record(line, number)


def _record(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Malformed("a record is not JSON", seen=f"line {number}: {exc}"[:200]) from exc
    if not isinstance(record, dict):
        raise Malformed("a record is no object", seen=f"line {number}")
    return record
