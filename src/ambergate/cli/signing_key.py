"""`amber attestation signing-key`: the keys that sign tokens, rotated and revoked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.cli._services import attestation_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ambergate.stores.token_keys import TokenKey

_REASONS = ("keyCompromise", "superseded", "cessationOfOperation", "unspecified")
config_option: Callable[[Any], Any] = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The service's TOML file.",
)


@click.group("signing-key")
def group() -> None:
    """The keys that sign tokens."""


@group.command("list")
@config_option
@click.option("--all", "history", is_flag=True, help="Those too that are published no more.")
@json_option
@reports_errors
def list_keys(config: Path, *, history: bool, as_json: bool) -> None:
    """Show which keys sign, stand by, have retired or are revoked; never the keys."""
    from ambergate.services.attestation.app import open_token_keys

    at = now()
    with open_token_keys(attestation_config(config)) as keeper:
        keys = keeper.store.all()
    told = [_told(keys, key, at) for key in keys]
    shown = [each for each in told if history or each["state"] not in ("gone", "revoked", "replaced")]
    if as_json:
        echo_json(shown)
        return
    for each in shown:
        start = each["signs_from"] or "-"
        click.echo(
            f"{each['id']}  {each['kind']:4}  {each['state']:11}  signs from {start}, until {each['until'] or '-'}"
        )


@group.command()
@config_option
@json_option
@reports_errors
def rotate(config: Path, *, as_json: bool) -> None:
    """Have other keys sign: at once if those that stand by are known to everybody, else as soon as they are."""
    from ambergate.services.attestation.app import open_token_keys

    settings = attestation_config(config)
    at = now()
    with open_token_keys(settings) as keeper:
        started = keeper.rotate(at, settings.key_rules)
    if as_json:
        echo_json([{"id": key.id, "kind": key.kind, "signs_from": _text(key.active_from)} for key in started])
        return
    for key in started:
        assert key.active_from is not None
        when = "now" if key.active_from <= at else _text(key.active_from)
        click.echo(f"{key.id} ({key.kind}) signs from {when}")


@group.command()
@config_option
@click.option("--id", "key_id", required=True, help="The key's id, as `list` shows it and as tokens name it (`kid`).")
@click.option("--reason", type=click.Choice(_REASONS), default=_REASONS[0], show_default=True, help="As in RFC 5280.")
@json_option
@reports_errors
def revoke(config: Path, *, key_id: str, reason: str, as_json: bool) -> None:
    """Take a key out of the key set for good, within five seconds on every node; it is on the revocation list then."""
    from ambergate.services.attestation.app import open_token_keys

    settings = attestation_config(config)
    with open_token_keys(settings) as keeper:
        done = keeper.revoke(key_id, now(), settings.key_rules, reason=reason)
    successor = None if done.successor is None else done.successor.id
    if as_json:
        told = {"id": key_id, "revoked_at": _text(done.key.revoked_at), "reason": reason}
        echo_json({**told, "successor": successor, "trusted_from": _text(done.trusted_from)})
        return
    click.echo(f"{key_id} is revoked; its tokens count for nothing where the key set is fetched anew")
    if successor is not None:
        click.echo(f"{successor} signs from now on")
    if done.trusted_from is not None:
        click.echo(f"WARNING: who keeps the key set may refuse its tokens until {_text(done.trusted_from)}")


@group.command("revoke-ca")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@reports_errors
def revoke_ca(config: Path, *, yes: bool, as_json: bool) -> None:
    """Revoke the CA that certifies these keys, with all that it certified, and make another: its key has leaked."""
    from ambergate.services.attestation.app import open_token_keys

    settings = attestation_config(config)
    if not yes:
        click.confirm("Tokens will be refused by who keeps the key set, for five minutes. Revoke the CA", abort=True)
    with open_token_keys(settings) as keeper:
        started = keeper.revoke_ca(now(), settings.key_rules)
    if as_json:
        echo_json([{"id": key.id, "kind": key.kind, "signs_from": _text(key.active_from)} for key in started])
        return
    click.echo("the signing CA is revoked, with every key that it certified")
    for key in started:
        click.echo(f"{key.id} ({key.kind}) signs from now on")


def _told(keys: Sequence[TokenKey], key: TokenKey, at: datetime) -> dict[str, object]:
    from ambergate.services.attestation import key_plan as plan
    from ambergate.services.attestation.certificates import ends_at

    state: str = plan.state_of(keys, key, at)
    if key.kind not in plan.LEAVES:
        latest = plan.authority(keys, key.kind)
        replaced = "replaced" if key.revoked_at is None else "revoked"
        state = "active" if latest is not None and latest.id == key.id else replaced
    ends = plan.retired_from(keys, key)
    return {
        "id": key.id,
        "kind": key.kind,
        "state": state,
        "published_at": _text(key.published_at),
        "signs_from": _text(key.active_from),
        "until": _text(ends),
        "published_until": None if ends is None else _text(ends + key.lifetime + plan.MARGIN),
        "certificate_ends": _text(ends_at(key.certificate)),
        "revoked_at": _text(key.revoked_at),
        "reason": key.reason,
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
