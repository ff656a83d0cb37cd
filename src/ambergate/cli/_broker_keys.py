"""`amber keybroker key`: the keys that a broker holds, over their life."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID, uuid4

import click

from ambergate.cli._broker_place import FILE, also_remote
from ambergate.cli._broker_told import policy_words, read_key_id, read_policy, tell
from ambergate.cli._broker_under import under
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import keybroker_config, version_keys_of
from ambergate.core.errors import Malformed, NotFound, SettingsError
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import KeyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ambergate.core.release.resource_policy import ResourcePolicy
    from ambergate.services.keybroker.app import State
    from ambergate.services.keybroker.keys import Keys
    from ambergate.stores.secrets import StoredSecret

_place = also_remote("ambergate.cli._broker_remote_keys")
_policy: Callable[[Any], Any] = click.option(
    "--policy", "policy_file", type=FILE, help="Who may have the key: a TOML file."
)
_policy_id: Callable[[Any], Any] = click.option("--policy-id", type=click.UUID, help="The same, by a policy's id.")
_new_id: Callable[[Any], Any] = click.option("--id", "key_id", help="The key's UUID; a fresh one when not given.")
_id: Callable[[Any], Any] = click.option("--id", "key_id", required=True, help="The key's UUID.")
_label: Callable[[Any], Any] = click.option("--label", default="", help="Words for people; not secret.")
_manager: Callable[[Any], Any] = click.option(
    "--manager", default="built-in", show_default=True, help="The key manager that keeps it, by its name in the file."
)
_version: Callable[[Any], Any] = click.option(
    "--version", type=click.IntRange(1, 999_999_999), help="Only this version."
)
_algorithm: Callable[[Any], Any] = click.option(
    "--algorithm",
    type=click.Choice(["AES", "RSA", "EC", "OPAQUE"], case_sensitive=False),
    default="OPAQUE",
    show_default=True,
)
_bits: Callable[[Any], Any] = click.option("--bits", type=int, help="Length of an AES or RSA key.")
_curve: Callable[[Any], Any] = click.option("--curve", help="secp256r1, secp384r1 or secp521r1, of an EC key.")


@click.group(name="key")
def keys() -> None:
    """The keys the broker holds."""


@keys.command("import")
@_place
@_policy
@_policy_id
@_new_id
@_label
@_manager
@_algorithm
@_bits
@_curve
@click.option("--file", "source", type=click.File("rb"), default="-", help="The key; standard input when not given.")
@json_option
@reports_errors
def import_key(*, config: Path, policy_file: Path | None, source: BinaryIO, as_json: bool, **given: Any) -> None:  # noqa: ANN401  options
    """Keep a key read from a file or from standard input. Never from the command line.

    AES keys and opaque secrets are taken byte for byte; RSA and EC private keys as PEM or DER, without a password.
    """
    material = source.read(MAX_SECRET_SIZE + 1)
    kind = kind_of_options(given, material)
    with _making(config, policy_file, given) as (held, identity, policy):
        held.add(identity, material, policy, at=now(), label=given["label"], kind=kind, manager=given["manager"])
        _tell_new(held, identity, as_json=as_json)


@keys.command()
@_place
@_policy
@_policy_id
@_new_id
@_label
@_manager
@_algorithm
@_bits
@_curve
@click.option("--bytes", "size", type=click.IntRange(16, 64), help="Length of an opaque secret; 32 when not given.")
@json_option
@reports_errors
def generate(*, config: Path, policy_file: Path | None, size: int | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401  as above
    """Have a key made at random, in its key manager, that nobody but an approved enclave will see."""
    import secrets

    kind = kind_of_options(given)
    if size is not None and (kind.algorithm != "OPAQUE" or given["manager"] != "built-in"):
        raise SettingsError("--bytes is for opaque secrets of the built-in key manager", hint="--bits for other keys")
    with _making(config, policy_file, given) as (held, identity, policy):
        if size is not None:
            held.add(identity, secrets.token_bytes(size), policy, at=now(), label=given["label"])
        else:
            held.create(identity, kind, policy, at=now(), label=given["label"], manager=given["manager"])
        _tell_new(held, identity, as_json=as_json)


@keys.command()
@_place
@_policy
@_policy_id
@_new_id
@_label
@_manager
@_algorithm
@_bits
@_curve
@click.option("--known-as", required=True, help="Its name there: a label, a unique identifier, a path, a key's name.")
@json_option
@reports_errors
def adopt(*, config: Path, policy_file: Path | None, known_as: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401  as above
    """Release a key that a key manager has already. Destroying it here leaves it there."""
    kind = kind_of_options(given)
    with _making(config, policy_file, given) as (held, identity, policy):
        held.adopt(identity, known_as, policy, at=now(), label=given["label"], kind=kind, manager=given["manager"])
        _tell_new(held, identity, as_json=as_json)


@keys.command("list")
@_place
@json_option
@reports_errors
def list_keys(config: Path, *, as_json: bool) -> None:
    """Show the keys' ids, kinds, states and policies; never the keys."""
    with _state(config) as state:
        stored = state.secrets.all()
    if as_json:
        echo_json([_shown(one) for one in stored])
        return
    for one in stored:
        click.echo(f"{_line(one)}  {one.label}")
        click.echo("\n".join(f"    {line}" for line in policy_words(one.policy)))
    if not stored:
        click.echo("no keys; `amber keybroker key generate` or `import` makes one")


@keys.command()
@_place
@_id
@json_option
@reports_errors
def versions(config: Path, *, key_id: str, as_json: bool) -> None:
    """Show every version of a key, with its state; never the key."""
    identity = read_key_id(key_id)
    with _state(config) as state:
        found = state.secrets.versions(identity)
    if not found:
        raise NotFound("there is no key of this id", seen=identity, hint="amber keybroker key list shows them")
    if as_json:
        echo_json([_shown(one) for one in found])
    else:
        click.echo("\n".join(map(_line, found)))


@keys.command("set-policy")
@_place
@_policy
@_policy_id
@_id
@json_option
@reports_errors
def set_policy(config: Path, *, policy_file: Path | None, policy_id: UUID | None, key_id: str, as_json: bool) -> None:
    """Put a key under another policy, from its next release on."""
    identity = read_key_id(key_id)
    with _state(config) as state, under(state, identity, policy_file, policy_id, read_policy) as policy:
        local_keys(state).set_policy(identity, policy, at=now())
    tell({"id": str(identity), "policy": policy.to_mapping()}, f"{identity} is under the new policy", as_json=as_json)


@keys.command()
@_place
@_id
@click.option("--file", "source", type=click.File("rb"), help="The new version; one is made when this is not given.")
@json_option
@reports_errors
def rotate(config: Path, *, key_id: str, source: BinaryIO | None, as_json: bool) -> None:
    """Add a version, which is released from now on. Earlier ones can still be asked for by number: disable them."""
    identity = read_key_id(key_id)
    material = None if source is None else source.read(MAX_SECRET_SIZE + 1)
    with _opened(config) as held, _of_the_user():
        number = held.rotate(identity, at=now(), material=material)
    tell({"id": str(identity), "version": number}, f"{identity} is at version {number}", as_json=as_json)


def _of_versions(command: Callable[..., None]) -> click.Command:
    """A command about a key, or one version of it."""
    return keys.command()(_place(_id(_version(json_option(reports_errors(command))))))


@_of_versions
def disable(config: Path, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Release a key, or one version of it, no more, until it is enabled again."""
    _set_state(config, key_id, version, enabled=False, as_json=as_json)


@_of_versions
def enable(config: Path, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Release a key, or one version of it, again."""
    _set_state(config, key_id, version, enabled=True, as_json=as_json)


@_of_versions
def destroy(config: Path, *, key_id: str, version: int | None, as_json: bool) -> None:
    """Destroy a key, or one version of it, in its key manager and here. Nothing brings it back.

    Where version keys are in the broker's database itself, backups of it from before do: that is told.
    """
    identity = read_key_id(key_id)
    with _opened(config) as held:
        gone = held.destroy(identity, at=now(), version=version)
    words = f"{identity}: destroyed {', '.join(f'version {number}' for number in gone)}"
    tell({"id": str(identity), "destroyed": list(gone), **_within_reach(config)}, words, as_json=as_json)


@keys.command()
@_place
@_id
@json_option
@reports_errors
def delete(config: Path, *, key_id: str, as_json: bool) -> None:
    """Destroy a key, and forget its id. Nothing brings it back."""
    identity = read_key_id(key_id)
    with _state(config) as state:
        local_keys(state).remove(identity, at=now())
        state.policies.forget(identity)
    told = {"id": str(identity), "deleted": True, **_within_reach(config)}
    tell(told, f"{identity} is deleted", as_json=as_json)


def _set_state(config: Path, key_id: str, version: int | None, *, enabled: bool, as_json: bool) -> None:
    identity, state = read_key_id(key_id), "enabled" if enabled else "disabled"
    with _opened(config) as held:
        (held.enable if enabled else held.disable)(identity, at=now(), version=version)
    which = "all versions" if version is None else f"version {version}"
    document: dict[str, object] = {"id": str(identity), "version": version, "state": state}
    tell(document, f"{identity}: {which} {state}", as_json=as_json)


def _within_reach(config: Path) -> dict[str, object]:
    """Whether backups of the database still open what was destroyed; warned of, where they do."""
    shared = version_keys_of(keybroker_config(config)) is None
    if shared:
        click.echo(
            "warning: version keys are in the database itself: its backups from before still open what was destroyed; "
            "[store] version_keys keeps them apart",
            err=True,
        )
    return {"opened_by_backups": shared}


def _state(config: Path) -> AbstractContextManager[State]:
    """What the broker of this configuration keeps, whether it runs or not."""
    from ambergate.services.keybroker.app import open_state

    return open_state(keybroker_config(config), now=now)


@contextmanager
def _opened(config: Path) -> Iterator[Keys[StoredSecret]]:
    """Its keys, to be changed by who runs this command."""
    with _state(config) as state:
        yield local_keys(state)


def local_keys(state: State) -> Keys[StoredSecret]:
    from ambergate.services.keybroker.audit import AuditTrail
    from ambergate.services.keybroker.ports import LOCAL

    return state.keys(AuditTrail(state.audit, lambda: (None, None)), by=LOCAL)


def kind_of_options(given: dict[str, Any], material: bytes | None = None) -> KeyKind:
    """What the options say; of RSA and EC keys that are imported, what they leave to the key itself.

    Raises:
        SettingsError: no kind that is kept.
    """
    from ambergate.core.release.material import kind_of

    algorithm, bits, curve = given["algorithm"], given["bits"], given["curve"]
    with _of_the_user():
        if material is not None and algorithm in {"RSA", "EC"} and bits is None and curve is None:
            found = kind_of(material)
            bits, curve = found.bits, found.curve
        if material is not None and algorithm == "AES" and bits is None:
            bits = 8 * len(material)
        return KeyKind.of(algorithm, bits=bits, curve=curve)


@contextmanager
def _of_the_user() -> Iterator[None]:
    """A key that is none is what our user gave us here, and no evidence."""
    try:
        yield
    except Malformed as exc:
        raise SettingsError(exc.message, code=exc.code, seen=exc.seen, wanted=exc.wanted) from exc


@contextmanager
def _making(
    config: Path, policy_file: Path | None, given: dict[str, Any]
) -> Iterator[tuple[Keys[StoredSecret], UUID, ResourcePolicy]]:
    """The broker's keys, and id and policy of one more."""
    identity = uuid4() if given["key_id"] is None else read_key_id(given["key_id"])
    with _state(config) as state:
        if state.ring.find(identity) is not None:
            raise SettingsError("a key of this id exists already", seen=identity, hint="delete it first")
        with under(state, identity, policy_file, given["policy_id"], read_policy) as policy, _of_the_user():
            yield local_keys(state), identity, policy


def _tell_new(held: Keys[StoredSecret], identity: UUID, *, as_json: bool) -> None:
    made = held.ring.find(identity)
    assert made is not None
    tell(_shown(made), str(identity), as_json=as_json)


def _line(one: StoredSecret) -> str:
    made = f"{one.created_at:%Y-%m-%d %H:%M:%S}Z"
    size = f"  {one.size:5} bytes" if one.manager == "built-in" else ""
    return f"{one.id}  version {one.version}  {one.state}  {one.kind}{size}  {one.manager}  {made}"


def _shown(stored: StoredSecret) -> dict[str, object]:
    return {
        "id": str(stored.id),
        "label": stored.label,
        "algorithm": stored.kind.algorithm,
        "bits": stored.kind.bits,
        "curve": stored.kind.curve,
        "manager": stored.manager,
        "version": stored.version,
        "state": stored.state,
        "bytes": stored.size if stored.manager == "built-in" else None,
        "created_at": stored.created_at.isoformat(),
        "changed_at": None if stored.changed_at is None else stored.changed_at.isoformat(),
        "policy": stored.policy.to_mapping(),
    }
