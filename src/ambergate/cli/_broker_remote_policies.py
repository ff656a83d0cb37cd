"""`amber keybroker policy` over HTTP: each function is the command of its name, about a running broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.cli._broker_policies import tell_all, tell_one
from ambergate.cli._broker_told import read_policy, tell
from ambergate.cli._http import ask, ask_all

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    import httpx

_PATH = "/kbs/v1/key-transfer-policies"


def create(client: httpx.Client, *, file: Path, as_json: bool) -> None:
    """Give a release policy an id."""
    made = ask(client, "POST", _PATH, body={"release_policy": read_policy(file).to_mapping()})[0]
    tell(made, str(made["id"]), as_json=as_json)


def list_policies(client: httpx.Client, *, as_json: bool) -> None:
    """Show every release policy that has an id."""
    tell_all(ask_all(client, _PATH), as_json=as_json)


def show(client: httpx.Client, *, policy_id: UUID, as_json: bool) -> None:
    """Show a release policy."""
    tell_one(ask(client, "GET", f"{_PATH}/{policy_id}")[0], as_json=as_json)


def delete(client: httpx.Client, *, policy_id: UUID, as_json: bool) -> None:
    """Forget a release policy that no key is under."""
    ask(client, "DELETE", f"{_PATH}/{policy_id}")
    tell({"id": str(policy_id), "deleted": True}, f"{policy_id} is deleted", as_json=as_json)
