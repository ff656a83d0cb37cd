"""`amber keybroker policy`: release policies that have an id, which keys can be put under."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._broker_place import FILE, also_remote
from ambergate.cli._broker_told import policy_words, read_policy, tell
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from ambergate.services.keybroker.policies import Policies

_PAGE = 1000  # policies that are read at a time
_place = also_remote("ambergate.cli._broker_remote_policies")


@click.command()
@click.argument("file", type=FILE)
@_place
@json_option
@reports_errors
def create(file: Path, config: Path, *, as_json: bool) -> None:
    """Give a release policy an id. It is never changed: keys are put under another."""
    from ambergate.services.keybroker.policy_routes import shown
    from ambergate.services.keybroker.ports import LOCAL

    found = read_policy(file)
    with _policies(config) as policies:
        made = policies.create(found, by=LOCAL, at=now())
    tell(shown(made), str(made.id), as_json=as_json)


@click.command("list")
@_place
@json_option
@reports_errors
def list_policies(config: Path, *, as_json: bool) -> None:
    """Show every release policy that has an id."""
    from ambergate.services.keybroker.policy_routes import shown

    with _policies(config) as policies:
        found = policies.store.page(limit=_PAGE)
        while len(found) % _PAGE == 0 and found and (more := policies.store.page(after=found[-1].id, limit=_PAGE)):
            found += more
    tell_all([shown(each) for each in found], as_json=as_json)


@click.command()
@click.argument("policy_id", type=click.UUID)
@_place
@json_option
@reports_errors
def show(policy_id: UUID, config: Path, *, as_json: bool) -> None:
    """Show a release policy: as it was given, and what it asks."""
    from ambergate.services.keybroker.policy_routes import shown

    with _policies(config) as policies:
        tell_one(shown(policies.store.get(policy_id)), as_json=as_json)


@click.command()
@click.argument("policy_id", type=click.UUID)
@_place
@json_option
@reports_errors
def delete(policy_id: UUID, config: Path, *, as_json: bool) -> None:
    """Forget a release policy that no key is under."""
    from ambergate.services.keybroker.ports import LOCAL

    with _policies(config) as policies:
        policies.remove(policy_id, by=LOCAL, at=now())
    tell({"id": str(policy_id), "deleted": True}, f"{policy_id} is deleted", as_json=as_json)


def add_to(group: click.Group) -> None:
    """Make these commands of that group."""
    for command in (create, list_policies, show, delete):
        group.add_command(command)


def tell_all(found: list[dict[str, Any]], *, as_json: bool) -> None:
    """Every policy, one a line."""
    if as_json:
        echo_json(found)
        return
    for each in found:
        rest = {name: value for name, value in each.items() if name not in {"id", "created_at"}}
        click.echo(f"{each['id']}  {each['created_at'][:19]}  {json.dumps(rest, sort_keys=True)}")
    if not found:
        click.echo("no policies; `amber keybroker policy create` makes one")


def tell_one(found: dict[str, Any], *, as_json: bool) -> None:
    """One policy, and what it asks, one member a line."""
    from ambergate.core.release.kbs_form import from_kbs

    words = "\n".join([f"{found['id']}  {found['created_at'][:19]}", *policy_words(from_kbs(found))])
    tell(found, words, as_json=as_json)


@contextmanager
def _policies(config: Path) -> Iterator[Policies]:
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.policies import Policies

    with open_state(keybroker_config(config), now=now) as state:
        yield Policies(store=state.policies, journal=AuditTrail(state.audit, lambda: (None, None)))
