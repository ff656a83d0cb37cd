"""`amber keybroker change`: other policies for keys whose owners must approve."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._broker_place import FILE, also_remote
from ambergate.cli._broker_told import policy_words, read_key_id, read_policy, tell
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config
from ambergate.core.errors import Conflict, MalformedPolicy, NotFound, SettingsError
from ambergate.core.release.owners import PolicyChange, approve, digest
from ambergate.core.release.resource_policy import ResourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from ambergate.core.release.owners import PrivateKey
    from ambergate.services.keybroker.policy_changes import PolicyChanges, Standing
    from ambergate.stores.policy_changes import PendingChange
    from ambergate.stores.secrets import StoredSecret

_MAX_FILE = 256 * 1024  # bytes; two policies
_MAX_KEY = 64 * 1024  # bytes
_place = also_remote("ambergate.cli._broker_remote_changes")


@click.group(name="change")
def changes() -> None:
    """Policy changes that a key's owners must approve."""


@changes.command()
@_place
@click.option("--id", "key_id", required=True, help="The key's UUID.")
@click.option("--policy", "policy_file", type=FILE, required=True, help="The policy that it is to be under.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="Until the change lapses.")
@reports_errors
def propose(config: Path, *, key_id: str, policy_file: Path, days: int) -> None:
    """Propose another policy for a key, and print what its owners are to sign. The key stays under the one it has."""
    policy, identity = read_policy(policy_file), read_key_id(key_id)
    with _opened(config) as use:
        pending = use.propose(identity, policy, at=now(), lifetime=timedelta(days=days))
        echo_json(_whole(use, pending.change.id))


@changes.command()
@_place
@click.argument("change_id", type=click.UUID)
@reports_errors
def show(change_id: UUID, config: Path) -> None:
    """Print a change that waits, as its owners are to sign it, and how it stands."""
    with _opened(config) as use:
        echo_json(_whole(use, str(change_id)))


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
@_place
@click.argument("change_id", type=click.UUID)
@click.option("--approval", type=FILE, required=True, help="What an owner's `sign` printed.")
@json_option
@reports_errors
def hand_in(change_id: UUID, config: Path, *, approval: Path, as_json: bool) -> None:
    """Hand in an owner's approval of CHANGE_ID. With the last that is needed the key goes under the other policy."""
    with _opened(config) as use:
        standing = use.approve(str(change_id), read_approval(approval), at=now())
    tell_standing({"id": str(change_id), **_standing_form(standing)}, as_json=as_json)


@changes.command("list")
@_place
@json_option
@reports_errors
def list_changes(config: Path, *, as_json: bool) -> None:
    """Show which changes wait, for which key, and who approved."""
    from ambergate.services.keybroker.change_wire import change_form

    with _opened(config) as use:
        found = [{**change_form(each), **_stands(use, each)} for each in use.store.page()]
    tell_changes(found, as_json=as_json)


@changes.command()
@_place
@click.argument("change_id", type=click.UUID)
@json_option
@reports_errors
def withdraw(change_id: UUID, config: Path, *, as_json: bool) -> None:
    """Ask no more: CHANGE_ID is forgotten, and the key stays under the policy it has."""
    with _opened(config) as use:
        use.withdraw(str(change_id), at=now())
    tell_withdrawn(change_id, as_json=as_json)


def read_approval(file: Path) -> str:
    """What an owner's `sign` printed into this file. Raises `SettingsError` when it cannot be read."""
    return _read(file, _MAX_KEY).decode("ascii", "replace").strip()


def tell_standing(told: dict[str, Any], *, as_json: bool) -> None:
    """How a change stands after an approval."""
    words = "the key is under the other policy" if told["in_force"] else _words(told)
    tell(told, words, as_json=as_json)


def tell_changes(found: list[dict[str, Any]], *, as_json: bool) -> None:
    """Every change, the one that lapses first before the others."""
    found.sort(key=lambda each: (each["expires_at"], each["id"]))
    if as_json:
        echo_json(found)
        return
    for each in found:
        until = datetime.fromisoformat(each["expires_at"])
        lapsed = ", lapsed" if until <= now() else ""
        click.echo(f"{each['id']}  key {each['key_id']}  until {until:%Y-%m-%d %H:%M}Z{lapsed}")
        words = _words(each) if "needed" in each else "its key is under another policy by now"
        click.echo(f"    by {each['proposed_by']}; {words}")
    if not found:
        click.echo("no change waits")


def tell_withdrawn(change_id: UUID, *, as_json: bool) -> None:
    """That a change is forgotten."""
    tell({"id": str(change_id), "withdrawn": True}, f"{change_id} is withdrawn", as_json=as_json)


@contextmanager
def _opened(config: Path) -> Iterator[PolicyChanges[StoredSecret]]:
    from ambergate.services.keybroker.app import open_state
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.ports import LOCAL

    with open_state(keybroker_config(config), now=now) as state:
        yield state.policy_changes(AuditTrail(state.audit, lambda: (None, None)), by=LOCAL)


def _whole(use: PolicyChanges[StoredSecret], change_id: str) -> dict[str, object]:
    from ambergate.services.keybroker.change_wire import whole_change

    pending = use.store.find(change_id)
    return whole_change(pending, use.asked(pending.change), use.standing(pending.change))


def _standing_form(standing: Standing) -> dict[str, object]:
    from ambergate.services.keybroker.change_wire import standing_form

    return standing_form(standing)


def _stands(use: PolicyChanges[StoredSecret], pending: PendingChange) -> dict[str, object]:
    """How it stands; nothing where its key has moved away from it, or is no more."""
    try:
        return _standing_form(use.standing(pending.change))
    except (Conflict, NotFound):
        return {}


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


def _words(told: dict[str, Any]) -> str:
    by = ", ".join(each[:16] for each in told["approved_by"]) or "nobody"
    return f"{len(told['approved_by'])} of {told['needed']} approvals, by {by}"
