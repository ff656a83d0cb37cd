"""What commands about a broker read and tell alike: policies in files, ids of keys, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ambergate.cli._common import echo_json
from ambergate.core.errors import Malformed, MalformedPolicy, SettingsError
from ambergate.core.release.kbs_form import read_release
from ambergate.core.release.resource_policy import MAX_POLICY_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from ambergate.core.release.resource_policy import ResourcePolicy


def read_policy(file: Path) -> ResourcePolicy:
    """The release policy in this file.

    Raises:
        MalformedPolicy: it cannot be read, or is none.
    """
    return read_release(policy_text(file))


def policy_text(file: Path) -> str:
    """The text of a policy file, cut where none is longer.

    Raises:
        MalformedPolicy: it cannot be read.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(MAX_POLICY_SIZE + 1)
    except (OSError, UnicodeDecodeError) as exc:
        raise MalformedPolicy("the policy file cannot be read", seen=f"{file}: {exc}") from exc


def policy_words(found: ResourcePolicy) -> list[str]:
    """The policy, one member a line."""
    return list(_lines(found.to_mapping(), ""))


def _lines(members: Mapping[str, object], path: str) -> Iterator[str]:
    for name, value in members.items():
        items = value if isinstance(value, list) else [value]
        if isinstance(items[0], dict):
            for index, item in enumerate(items):
                yield from _lines(item, f"{path}{name}[{index}]." if isinstance(value, list) else f"{path}{name}.")
        else:
            told = (str(item).lower() if isinstance(item, bool) else str(item) for item in items)
            yield f"{path}{name} = {', '.join(told)}"


def tell(document: dict[str, object], words: str, *, as_json: bool) -> None:
    """The result, for machines or for people."""
    if as_json:
        echo_json(document)
    else:
        click.echo(words)


def read_key_id(text: str) -> UUID:
    """The id that `--id` gives.

    Raises:
        SettingsError: it is none.
    """
    from ambergate.services.keybroker.wire import parse_key_id

    try:
        return parse_key_id(text)
    except Malformed as exc:
        raise SettingsError("--id is no key id", seen=exc.seen, wanted=exc.wanted) from exc
