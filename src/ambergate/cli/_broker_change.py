"""`amber keybroker change`: other policies for keys whose owners must approve."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._broker_place import FILE, config_option
from ambergate.cli._broker_told import policy_words, read_key_id, read_policy, tell
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config
from ambergate.core.errors import MalformedPolicy, SettingsError
from ambergate.core.release.owners import PolicyChange, approve, digest
from ambergate.core.release.resource_policy import ResourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ambergate.core.release.owners import PrivateKey
    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.policy_changes import PolicyChanges, Standing
    from ambergate.stores.policy_changes import PendingChange
    from ambergate.stores.secrets import StoredSecret

_MAX_FILE = 256 * 1024  # bytes; two policies
_MAX_KEY = 64 * 1024  # bytes


@click.group(name="change")
def changes() -> None:
    """Policy changes that a key's owners must approve."""


@changes.command()
@config_option
@click.option("--id", "key_id", required=True, help="The key's UUID.")
@click.option("--policy", "policy_file", type=FILE, required=True, help="The policy that it is to be under.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="Until the change lapses.")
@reports_errors
def propose(config: Path, *, key_id: str, policy_file: Path, days: int) -> None:
    """Propose another policy for a key, and print what its owners are to sign. The key stays under the one it has."""
    policy, identity = read_policy(policy_file), read_key_id(key_id)
    with _opened(config) as (use, state):
        pending = use.propose(identity, policy, at=now(), lifetime=timedelta(days=days))
        stored = state.secrets.find(identity)
    assert stored is not None
    change = pending.change
    echo_json(
        {
            "id": change.id,
            "key_id": change.key_id,
            "before": stored.policy.to_mapping(),
            "after": policy.to_mapping(),
            "expires_at": change.expires_at.isoformat(),
        }
    )


@changes.command()
@click.argument("file", type=FILE)
@click.option("--key", "key_file", type=FILE, required=True, help="The owner's private key in PEM.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reports_errors
def sign(file: Path, *, key_file: Path, yes: bool) -> None:
    """Approve of the change in FILE, as `propose` printed it: prints what to hand in. Needs no broker."""
    change, before, after = _proposed(file)
    click.echo(f"change {change.id} of key {change.key_id}, until {change.expires_at.isoformat()}", err=True)
    for title, policy in (("is under", before), ("is to be under", after)):
        click.echo(f"{title}:", err=True)
        click.echo("\n".join(f"    {line}" for line in policy_words(policy)), err=True)
    if not yes:
        click.confirm("approve of this?", abort=True, err=True)
    click.echo(approve(change, _private_key(key_file)))


@changes.command("approve")
@config_option
@click.argument("change_id")
@click.option("--approval", type=FILE, required=True, help="What an owner's `sign` printed.")
@json_option
@reports_errors
def hand_in(config: Path, *, change_id: str, approval: Path, as_json: bool) -> None:
    """Hand in an owner's approval of CHANGE_ID. With the last that is needed the key goes under the other policy."""
    text = _read(approval, _MAX_KEY).decode("ascii", "replace").strip()
    with _opened(config) as (use, state):
        key_id = use.store.find(change_id).change.key_id
        standing = use.approve(change_id, text, at=now())
        if standing.in_force:
            state.policies.forget(read_key_id(key_id))  # it is under none of those with an id any more
    words = "the key is under the other policy" if standing.in_force else _words(standing)
    tell({"id": change_id, "key_id": key_id, **_shown(standing)}, words, as_json=as_json)


@changes.command("list")
@config_option
@json_option
@reports_errors
def list_changes(config: Path, *, as_json: bool) -> None:
    """Show which changes wait, for which key, and who approved."""
    with _opened(config) as (use, _):
        found = [(each, _standing(use, each)) for each in use.store.all()]
    if as_json:
        echo_json([{**_line(each), **({} if stands is None else _shown(stands))} for each, stands in found])
        return
    for each, stands in found:
        words = "its key is under another policy by now" if stands is None else _words(stands)
        lapsed = ", lapsed" if each.change.expires_at <= now() else ""
        click.echo(
            f"{each.change.id}  key {each.change.key_id}  until {each.change.expires_at:%Y-%m-%d %H:%M}Z{lapsed}"
        )
        click.echo(f"    by {each.proposed_by}; {words}")
    if not found:
        click.echo("no change waits")


@changes.command()
@config_option
@click.argument("change_id")
@json_option
@reports_errors
def withdraw(config: Path, *, change_id: str, as_json: bool) -> None:
    """Ask no more: CHANGE_ID is forgotten, and the key stays under the policy it has."""
    with _opened(config) as (use, _):
        use.withdraw(change_id, at=now())
    tell({"id": change_id, "withdrawn": True}, f"{change_id} is withdrawn", as_json=as_json)


@contextmanager
def _opened(config: Path) -> Iterator[tuple[PolicyChanges[StoredSecret], State]]:
    from ambergate.cli._broker_keys import local_keys
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.policy_changes import PolicyChanges
    from ambergate.stores.policy_changes import PolicyChangeStore

    with open_state(keybroker_config(config), now=now) as state:
        yield PolicyChanges(keys=local_keys(state), store=PolicyChangeStore(state.database)), state


def _standing(use: PolicyChanges[StoredSecret], pending: PendingChange) -> Standing | None:
    from ambergate.core.errors import NotFound

    try:
        return use.standing(pending.change)
    except (SettingsError, NotFound):
        return None


def _proposed(file: Path) -> tuple[PolicyChange, ResourcePolicy, ResourcePolicy]:
    """The change in a file: what is signed is computed from the policies that are shown."""
    try:
        members: dict[str, Any] = json.loads(_read(file, _MAX_FILE))
        before, after = (ResourcePolicy.from_mapping(members[name]) for name in ("before", "after"))
        expires_at = datetime.fromisoformat(members["expires_at"])
        change = PolicyChange(
            id=str(members["id"]),
            key_id=str(members["key_id"]),
            before=digest(before.to_json()),
            after=after.to_json(),
            expires_at=expires_at,
        )
        change.claims()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        seen, hint = f"{file}: {type(exc).__name__}", "amber keybroker change propose prints one"
        raise MalformedPolicy("the file is no proposed change", seen=seen, hint=hint) from exc
    return change, before, after


def _private_key(file: Path) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _read(file, _MAX_KEY)
    try:
        if b"ENCRYPTED" in pem:
            password = click.prompt("password", hide_input=True, err=True).encode()
            key = load_pem_private_key(pem, password)
        else:
            key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise SettingsError("the private key cannot be read", seen=file, wanted="PEM, and its password") from exc
    on_curve = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    if not on_curve and not isinstance(key, rsa.RSAPrivateKey):
        raise SettingsError("the private key is of another kind", seen=type(key).__name__, wanted="P-256 or RSA")
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key


def _read(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as exc:
        raise SettingsError("the file cannot be read", seen=f"{file}: {exc.strerror}") from exc
    if len(data) > limit:
        raise SettingsError("the file is too long", seen=file, wanted=f"<= {limit} bytes")
    return data


def _shown(standing: Standing) -> dict[str, object]:
    return {
        "approved_by": sorted(standing.approved_by),
        "needed": standing.needed,
        "in_force": standing.in_force,
    }


def _line(pending: PendingChange) -> dict[str, object]:
    change = pending.change
    return {
        "id": change.id,
        "key_id": change.key_id,
        "policy": json.loads(change.after),
        "proposed_by": pending.proposed_by,
        "proposed_at": pending.proposed_at.isoformat(),
        "expires_at": change.expires_at.isoformat(),
    }


def _words(standing: Standing) -> str:
    by = ", ".join(each[:16] for each in sorted(standing.approved_by)) or "nobody"
    return f"{len(standing.approved_by)} of {standing.needed} approvals, by {by}"
