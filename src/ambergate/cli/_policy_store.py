"""`amber policy list | show | create | update | delete | attach | detach`: the policies of a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli import _policy_files as files
from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._services import attestation_config
from ambergate.cli.apikey import config_option, identity_of
from ambergate.core.token.policy_jwt import MAX_JWT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.cli._policy_places import Shown
    from ambergate.core.appraise.named import PolicyLanguage
    from ambergate.stores.api_keys import ApiKey

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOURCE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
_language: Callable[[Any], Any] = click.option(
    "--language", type=click.Choice(["rego", "typed"]), help="What it is written in; by the file's name when not given."
)
_which: Callable[[Any], Any] = click.argument("policy")


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the policies are."""
    for option in (
        click.option("--cacerts", type=_FILE, help="PEM roots that verify the service; the system's when not given."),
        click.option("--apikey-file", type=_FILE, help="Holds an API key whose scope is manage; goes with --url."),
        click.option("--url", help="The running service, e.g. https://attest.example:8443."),
        click.option("--config", type=_FILE, help="The service's TOML file, on its own machine."),
    ):
        command = option(command)
    return command


@click.command("list")
@_where
@json_option
@reports_errors
def list_policies(*, as_json: bool, **where: Any) -> None:  # noqa: ANN401  # the options above
    """Show the service's policies."""
    from ambergate.cli._policy_places import place

    with place(**where) as policies:
        known = policies.all()
    if as_json:
        echo_json(known)
        return
    for each in known:
        signed = "signed" if each["signed_by_tenant"] else "unsigned"
        kind = "appraisal" if each["policy_type"].startswith("Appraisal") else "token"
        click.echo(f"{each['policy_id']}  {each['version']:4}  {kind:9}  {signed:8}  {each['policy_name']}")
    if not known:
        click.echo("no policies; `amber policy create` makes one")


@click.command()
@_which
@click.option("--version", type=click.IntRange(1, 999_999_999), help="An older version; with --config only.")
@_where
@json_option
@reports_errors
def show(policy: str, *, version: int | None, as_json: bool, **where: Any) -> None:  # noqa: ANN401
    """Print the text of POLICY, an id or a name."""
    from ambergate.cli._policy_places import place

    with place(**where) as policies:
        found = policies.one(policy, version)
    if as_json:
        echo_json(found)
    else:
        click.echo(found["policy"], nl=not found["policy"].endswith("\n"))
        click.echo(_words(found), err=True)


@click.command()
@click.argument("file", type=_SOURCE)
@click.option("--name", required=True, help="3 to 64 letters, digits, - and _.")
@click.option(
    "--kind", type=click.Choice(sorted(files.KINDS)), default="appraisal", show_default=True, help="What it is for."
)
@_language
@_where
@json_option
@reports_errors
def create(file: Path, *, name: str, kind: str, language: str | None, as_json: bool, **where: Any) -> None:  # noqa: ANN401
    """Make a policy of what is in FILE: its text, or a JWT that holds it and is signed."""
    from ambergate.cli._policy_places import place

    spoken = files.language_of(file, language)
    text = files.read_text(file, MAX_JWT)
    with place(**where) as policies:
        made = policies.create(name, text, files.KINDS[kind], spoken)
    _tell(made, as_json=as_json)


@click.command()
@_which
@click.option("--file", type=_SOURCE, help="Its next text; as before when not given.")
@click.option("--name", help="Its next name; as before when not given.")
@_language
@_where
@json_option
@reports_errors
def update(
    policy: str,
    *,
    file: Path | None,
    name: str | None,
    language: str | None,
    as_json: bool,
    **where: Any,  # noqa: ANN401
) -> None:
    """Make the next version of POLICY, an id or a name. It counts within five seconds; older versions are kept."""
    from ambergate.cli._policy_places import place

    if file is None and name is None:
        message = "give --file or --name, or both"
        raise click.UsageError(message)
    spoken: PolicyLanguage | None = None if file is None else files.language_of(file, language)
    text = None if file is None else files.read_text(file, MAX_JWT)
    with place(**where) as policies:
        made = policies.update(policy, name, text, spoken)
    _tell(made, as_json=as_json)


@click.command()
@_which
@_where
@json_option
@reports_errors
def delete(policy: str, *, as_json: bool, **where: Any) -> None:  # noqa: ANN401
    """Take POLICY, an id or a name, out of use. Its versions are kept; one that is attached to keys is not deleted."""
    from ambergate.cli._policy_places import place

    with place(**where) as policies:
        identity = policies.delete(policy)
    if as_json:
        echo_json({"policy_id": identity, "deleted": True})
    else:
        click.echo(f"{identity} is deleted")


@click.command()
@_which
@config_option
@click.option("--key", required=True, help="Id of the API key, as `amber apikey list` shows it.")
@click.option("--must-match/--need-not-match", default=None, help="Whether all of the key's policies must match.")
@json_option
@reports_errors
def attach(policy: str, *, config: Path, key: str, must_match: bool | None, as_json: bool) -> None:
    """Let POLICY, an id or a name, count for the requests of an API key that name none."""
    _tell_key(_changed(policy, config, key, attached=True, must_match=must_match), as_json=as_json)


@click.command()
@_which
@config_option
@click.option("--key", required=True, help="Id of the API key, as `amber apikey list` shows it.")
@json_option
@reports_errors
def detach(policy: str, *, config: Path, key: str, as_json: bool) -> None:
    """Let POLICY, an id or a name, count no longer for an API key's requests."""
    _tell_key(_changed(policy, config, key, attached=False, must_match=None), as_json=as_json)


COMMANDS = (list_policies, show, create, update, delete, attach, detach)


def _changed(policy: str, config: Path, key: str, *, attached: bool, must_match: bool | None) -> ApiKey:
    from ambergate.cli._policy_places import Local
    from ambergate.services.attestation.app import open_management

    identity = identity_of(key, "--key")
    with open_management(attestation_config(config)) as (management, keys):
        policy_id = identity_of(Local(management).one(policy)["policy_id"], "the policy's id")
        if attached:
            return keys.attach(identity, policy_id, must_match=must_match)
        return keys.detach(identity, policy_id)


def _tell(shown: Shown, *, as_json: bool) -> None:
    if as_json:
        echo_json(shown)
    else:
        click.echo(shown["policy_id"])
        click.echo(_words(shown), err=True)


def _words(shown: Shown) -> str:
    signed = "signed" if shown["signed_by_tenant"] else "not signed"
    return (
        f"{shown['policy_name']} {shown['version']}, {shown['policy_type']}, {signed}, SHA-384 {shown['policy_hash']}"
    )


def _tell_key(key: ApiKey, *, as_json: bool) -> None:
    terms = key.terms
    if as_json:
        ids = [str(each) for each in terms.policy_ids]
        echo_json({"id": str(key.id), "policy_ids": ids, "policy_must_match": terms.policy_must_match})
        return
    must = "all must match" if terms.policy_must_match else "none need match"
    click.echo(f"key {key.id} ({key.label}): {len(terms.policy_ids)} policies, {must}")
    for each in terms.policy_ids:
        click.echo(f"  {each}")
