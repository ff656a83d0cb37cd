"""`amber apikey`: who may ask the attestation service, for what, until when and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from ambergate.cli._common import echo_json, instant, json_option, now, reports_errors
from ambergate.cli._services import attestation_config
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.stores.api_keys import ApiKey
    from ambergate.stores.engine import Server
    from ambergate.stores.key_terms import Terms

DEFAULT_BURST = 10  # requests at once, where --rate is given without --burst
DEFAULT_OVERLAP = 24  # hours
MAX_OVERLAP = 90 * 24  # hours
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
config_option: Callable[[Any], Any] = click.option(
    "--config", type=_FILE, required=True, help="The service's TOML file."
)
id_option: Callable[[Any], Any] = click.option(
    "--id", "key_id", required=True, help="The key's id, as `list` shows it."
)


@click.group()
def group() -> None:
    """API keys of the attestation service."""


@group.command()
@config_option
@click.option("--label", required=True, help="Whose key it is, in words.")
@click.option("--scope", "scopes", multiple=True, help="What it is for: attest (the default) or manage. Repeatable.")
@click.option("--expires", help="The first instant at which it opens nothing, e.g. 2027-01-31T12:00:00Z.")
@click.option("--days", type=click.IntRange(1, 36500), help="How long it opens, instead of --expires.")
@click.option("--policy", "policies", multiple=True, help="Id of a policy for its requests. Repeatable.")
@click.option("--policy-must-match", is_flag=True, help="No token unless all evaluated policies match.")
@click.option("--algorithm", help="Signs its tokens unless a request says otherwise.")
@click.option("--profile", help="Shape of its tokens unless a request says otherwise.")
@click.option("--rate", type=float, help="Requests per second, in each process of the service.")
@click.option("--burst", type=int, help=f"Requests at once; {DEFAULT_BURST} if --rate is given.")
@json_option
@reports_errors
def create(config: Path, *, label: str, as_json: bool, **terms: Any) -> None:  # noqa: ANN401  # the options above
    """Make a key. It is shown this once and kept as a hash."""
    from ambergate.services.attestation.app import open_api_keys

    given = _terms(now(), **terms)
    with open_api_keys(_database(config)) as keys:
        key, text = keys.create(label, at=now(), terms=given)
    _tell_new(key, text, as_json=as_json)


@group.command("list")
@config_option
@json_option
@reports_errors
def list_keys(config: Path, *, as_json: bool) -> None:
    """Show the keys' ids, labels and terms; never the keys."""
    from ambergate.services.attestation.app import open_api_keys

    with open_api_keys(_database(config)) as keys:
        known = keys.all()
    if as_json:
        echo_json([_shown(key) for key in known])
        return
    for key in known:
        made = f"{key.created_at:%Y-%m-%d %H:%M:%S}Z"
        click.echo(f"{key.id}  {made}  {_state(key, now()):18}  {'+'.join(sorted(key.terms.scopes)):6}  {key.label}")
    if not known:
        click.echo("no keys; `amber apikey create` makes one")


@group.command()
@config_option
@id_option
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, MAX_OVERLAP),
    default=DEFAULT_OVERLAP,
    show_default=True,
    help="For how long the old key still opens.",
)
@json_option
@reports_errors
def rotate(config: Path, *, key_id: str, overlap_hours: int, as_json: bool) -> None:
    """Make a key in place of another, on the same terms. It is shown this once; the old one ends after the overlap."""
    from ambergate.services.attestation.app import open_api_keys

    identity = identity_of(key_id, "--id")
    with open_api_keys(_database(config)) as keys:
        key, text = keys.rotate(identity, at=now(), overlap=timedelta(hours=overlap_hours))
    _tell_new(key, text, as_json=as_json)


@group.command()
@config_option
@id_option
@json_option
@reports_errors
def revoke(config: Path, *, key_id: str, as_json: bool) -> None:
    """End a key for good, within five seconds on every node."""
    from ambergate.services.attestation.app import open_api_keys

    identity = identity_of(key_id, "--id")
    with open_api_keys(_database(config)) as keys:
        keys.revoke(identity, at=now())
    if as_json:
        echo_json({"id": str(identity), "revoked": True})
    else:
        click.echo(f"{identity} is revoked")


def identity_of(text: str, option: str) -> UUID:
    """The id that an option gives.

    Raises:
        SettingsError: it is none.
    """
    try:
        return UUID(text)
    except ValueError as exc:
        raise SettingsError(f"{option} is no id", seen=text, wanted="a UUID") from exc


def _terms(  # noqa: PLR0913  # one for each option
    at: datetime,
    *,
    scopes: tuple[str, ...],
    expires: str | None,
    days: int | None,
    policies: tuple[str, ...],
    policy_must_match: bool,
    algorithm: str | None,
    profile: str | None,
    rate: float | None,
    burst: int | None,
) -> Terms:
    from ambergate.stores.key_terms import Terms

    if expires is not None and days is not None:
        raise SettingsError("--expires and --days say the same", wanted="one of them")
    ends = instant(expires) if expires is not None else None
    return Terms(
        scopes=frozenset(scopes or ("attest",)),
        expires_at=ends if days is None else at + timedelta(days=days),
        policy_ids=tuple(identity_of(each, "--policy") for each in policies),
        policy_must_match=policy_must_match,
        default_algorithm=algorithm,
        profile=profile,
        rate=rate,
        burst=DEFAULT_BURST if rate is not None and burst is None else burst,
    )


def _tell_new(key: ApiKey, text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json({**_shown(key), "key": text})
        return
    click.echo(text)
    ends = key.terms.expires_at
    until = "" if ends is None else f", until {ends.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    click.echo(f"key {key.id} for {key.label!r}{until}; it will not be shown again", err=True)


def _database(config: Path) -> Path | str | Server:
    return attestation_config(config).database


def _state(key: ApiKey, at: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    ends = key.terms.expires_at
    if ends is None:
        return "good"
    return f"{'good until' if key.holds(at) else 'ended'} {ends.astimezone(UTC):%Y-%m-%d}"


def _shown(key: ApiKey) -> dict[str, object]:
    terms = key.terms
    return {
        "id": str(key.id),
        "label": key.label,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "expires_at": terms.expires_at.isoformat() if terms.expires_at else None,
        "scopes": sorted(terms.scopes),
        "policy_ids": [str(each) for each in terms.policy_ids],
        "policy_must_match": terms.policy_must_match,
        "algorithm": terms.default_algorithm,
        "profile": terms.profile,
        "rate": terms.rate,
        "burst": terms.burst,
        "replaces": str(key.replaces) if key.replaces else None,
    }
