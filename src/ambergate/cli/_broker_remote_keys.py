"""`amber keybroker key` over HTTP: each function is the command of its name, about a running broker."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ambergate.cli._broker_keys import kind_of_options
from ambergate.cli._broker_told import read_key_id, read_policy, tell
from ambergate.cli._broker_under import check_one
from ambergate.cli._common import echo_json
from ambergate.cli._http import ask, ask_all
from ambergate.core.errors import SettingsError
from ambergate.core.release.envelope import MAX_SECRET_SIZE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO
    from uuid import UUID

    import httpx

_PATH = "/broker/v1/keys"


def import_key(client: httpx.Client, *, source: BinaryIO, as_json: bool, **given: Any) -> None:  # noqa: ANN401  options
    """Keep a key read from a file or from standard input."""
    _create(client, source.read(MAX_SECRET_SIZE + 1), given, as_json=as_json)


def adopt(client: httpx.Client, *, known_as: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401  options
    """Release a key that a key manager has already."""
    _create(client, None, given, as_json=as_json, known_as=known_as)


def generate(client: httpx.Client, *, size: int | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401  options
    """Have a key made at random, in its key manager."""
    if size not in {None, 32}:
        raise SettingsError("over HTTP, opaque secrets are made of 32 bytes", seen=size, hint="import one")
    _create(client, None, given, as_json=as_json)


def list_keys(client: httpx.Client, *, as_json: bool) -> None:
    """Show the keys' ids, kinds and states; never the keys."""
    found = ask_all(client, _PATH)
    if as_json:
        echo_json(found)
        return
    for key in found:
        tell(key, _line(key), as_json=False)


def versions(client: httpx.Client, *, key_id: str, as_json: bool) -> None:
    """Show every version of a key, with its state; never the key."""
    key = ask(client, "GET", _one(key_id))[0]
    lines = [_line(key), *(f"    version {each['version']}  {each['state']}" for each in key["versions"])]
    tell(key, "\n".join(lines), as_json=as_json)


def set_policy(
    client: httpx.Client, *, policy_file: Path | None, policy_id: UUID | None, key_id: str, as_json: bool
) -> None:
    """Put a key under another policy, from its next release on."""
    chosen = _policy(client, policy_file, policy_id)
    path = f"/kbs/v1/keys/{read_key_id(key_id)}"
    key = ask(client, "PUT", path, body={"transfer_policy_id": chosen})[0]
    tell(key, f"{key['id']} is under policy {chosen}", as_json=as_json)


def rotate(client: httpx.Client, *, key_id: str, source: BinaryIO | None, as_json: bool) -> None:
    """Add a version, which is released from now on."""
    body = {} if source is None else {"material": _text(source.read(MAX_SECRET_SIZE + 1))}
    key = ask(client, "POST", f"{_one(key_id)}/versions", body=body)[0]
    tell(key, f"{key['id']} is at version {key['version']}", as_json=as_json)


def disable(client: httpx.Client, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Release a key, or one version of it, no more, until it is enabled again."""
    _state(client, key_id, version, "disabled", as_json=as_json)


def enable(client: httpx.Client, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Release a key, or one version of it, again."""
    _state(client, key_id, version, "enabled", as_json=as_json)


def destroy(client: httpx.Client, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Destroy a key, or one version of it. Nothing brings it back."""
    one = _one(key_id)
    known = [each["version"] for each in ask(client, "GET", one)[0]["versions"]]
    numbers = known if version is None else [version]
    for number in numbers:
        ask(client, "DELETE", f"{one}/versions/{number}")
    words = f"{key_id}: destroyed {', '.join(f'version {number}' for number in numbers)}"
    tell({"id": key_id, "destroyed": numbers}, words, as_json=as_json)


def delete(client: httpx.Client, *, key_id: str, as_json: bool) -> None:
    """Destroy a key, and forget its id. Nothing brings it back."""
    identity = read_key_id(key_id)
    ask(client, "DELETE", f"/kbs/v1/keys/{identity}")
    tell({"id": str(identity), "deleted": True}, f"{identity} is deleted", as_json=as_json)


def _create(
    client: httpx.Client,
    material: bytes | None,
    given: dict[str, Any],
    *,
    as_json: bool,
    known_as: str | None = None,
) -> None:
    if given["key_id"] is not None:
        raise SettingsError("over HTTP, the broker chooses the key's id", hint="leave --id out")
    kind = kind_of_options(given, material)
    body = {
        "policy_id": _policy(client, given["policy_file"], given["policy_id"]),
        "algorithm": kind.algorithm,
        "bits": kind.bits,
        "curve": kind.curve,
        "label": given["label"],
        "manager": given["manager"],
        "material": None if material is None else _text(material),
        "known_as": known_as,
    }
    key = ask(client, "POST", _PATH, body=body)[0]
    tell(key, str(key["id"]), as_json=as_json)


def _policy(client: httpx.Client, file: Path | None, identity: UUID | None) -> str:
    """The id of the policy that the options name; one in a file is made first."""
    check_one(file, identity)
    if file is None:
        return str(identity)
    body = {"release_policy": read_policy(file).to_mapping()}
    return str(ask(client, "POST", "/kbs/v1/key-transfer-policies", body=body)[0]["id"])


def _state(client: httpx.Client, key_id: str, version: int | None, state: str, *, as_json: bool) -> None:
    body = {"state": state, "version": version}
    key = ask(client, "PUT", f"{_one(key_id)}/state", body=body)[0]
    which = "all versions" if version is None else f"version {version}"
    tell(key, f"{key['id']}: {which} {state}", as_json=as_json)


def _one(key_id: str) -> str:
    return f"{_PATH}/{read_key_id(key_id)}"


def _text(material: bytes) -> str:
    return base64.b64encode(material).decode()


def _line(key: dict[str, Any]) -> str:
    kind = " ".join(str(key[part]) for part in ("algorithm", "bits", "curve") if key[part] is not None)
    return f"{key['id']}  version {key['version']}  {key['state']}  {kind}  {key['manager']}  {key['label']}"
