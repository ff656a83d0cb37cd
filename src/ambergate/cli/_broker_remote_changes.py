"""`amber keybroker change` over HTTP: each function is the command of its name, about a running broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ambergate.cli._broker_change import read_approval, tell_changes, tell_standing, tell_withdrawn
from ambergate.cli._broker_told import read_key_id, read_policy
from ambergate.cli._common import echo_json
from ambergate.cli._http import ask, ask_all
from ambergate.core.errors import Conflict, NotFound

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    import httpx

_PATH = "/broker/v1/policy-changes"
_STANDS = ("approved_by", "needed", "in_force")


def propose(client: httpx.Client, *, key_id: str, policy_file: Path, days: int) -> None:
    """Propose another policy for a key, and print what its owners are to sign."""
    body = {
        "key_id": str(read_key_id(key_id)),
        "policy": {"release_policy": read_policy(policy_file).to_mapping()},
        "days": days,
    }
    echo_json(ask(client, "POST", _PATH, body=body)[0])


def show(client: httpx.Client, *, change_id: UUID) -> None:
    """Print a change that waits, as its owners are to sign it, and how it stands."""
    echo_json(ask(client, "GET", f"{_PATH}/{change_id}")[0])


def hand_in(client: httpx.Client, *, change_id: UUID, approval: Path, as_json: bool) -> None:
    """Hand in an owner's approval."""
    body = {"approval": read_approval(approval)}
    tell_standing(ask(client, "POST", f"{_PATH}/{change_id}/approvals", body=body)[0], as_json=as_json)


def list_changes(client: httpx.Client, *, as_json: bool) -> None:
    """Show which changes wait, for which key, and who approved."""
    found = ask_all(client, _PATH)
    tell_changes([{**each, **_stands(client, each["id"])} for each in found], as_json=as_json)


def withdraw(client: httpx.Client, *, change_id: UUID, as_json: bool) -> None:
    """Ask no more."""
    ask(client, "DELETE", f"{_PATH}/{change_id}")
    tell_withdrawn(change_id, as_json=as_json)


def _stands(client: httpx.Client, change_id: str) -> dict[str, Any]:
    """How it stands; nothing where its key has moved away from it, or it is gone by now."""
    try:
        whole = ask(client, "GET", f"{_PATH}/{change_id}")[0]
    except (Conflict, NotFound):
        return {}
    return {name: whole[name] for name in _STANDS}
