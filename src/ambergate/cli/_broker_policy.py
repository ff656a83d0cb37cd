"""`amber keybroker policy`: write a release policy, see what is wrong with it, and what it would say to a token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambergate.cli import _policy_files as files
from ambergate.cli._broker_place import FILE
from ambergate.cli._broker_told import policy_text, read_key_id, read_policy
from ambergate.cli._common import (
    EXIT_NOT_GENUINE,
    EXIT_REFUSED,
    echo_json,
    instant,
    json_option,
    now,
    reports_errors,
)
from ambergate.cli._services import keybroker_config
from ambergate.core.errors import NotFound
from ambergate.core.release.kbs_form import is_kbs
from ambergate.core.release.resource_policy import ResourcePolicy, problems_of

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.release.decision import Judgement
    from ambergate.core.release.rules import Finding
    from ambergate.core.release.terms import Problem
    from ambergate.core.token.claims import AttestationClaims
    from ambergate.policies.first import Known

_INPUT = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
_MAX_TOKEN = 64 * 1024 + 2  # bytes: a token, and the end of its line


@click.command()
@click.option("--from-sigstruct", "sigstruct", type=_INPUT, help="FILE.sig, as gramine-sgx-sign writes it.")
@click.option("--from-token", "token", type=_INPUT, help="A token about it; its signature is not checked.")
@click.option("--from-quote", "quote", type=_INPUT, help="A quote; what it claims is not verified.")
@click.option("--by-signer", is_flag=True, help="Name signer, product and least version, not the very program.")
@json_option
@reports_errors
def new(sigstruct: Path | None, token: Path | None, quote: Path | None, *, by_signer: bool, as_json: bool) -> None:
    """Write a release policy for one enclave or TD to standard output."""
    from ambergate.policies import first

    if sum(each is not None for each in (sigstruct, token, quote)) != 1:
        message = "give one of --from-sigstruct, --from-token and --from-quote"
        raise click.UsageError(message)
    known = _known(sigstruct, token, quote)
    text = first.as_release(known, by_signer=by_signer)
    if as_json:
        members = ResourcePolicy.from_toml(text).to_mapping()
        echo_json({"origin": known.origin, "debug": known.debug, "text": text, "policy": members})
        return
    click.echo(text, nl=False)
    if known.debug:
        click.echo("note: what runs under debug keeps no secret; the policy refuses it", err=True)


def _known(sigstruct: Path | None, token: Path | None, quote: Path | None) -> Known:
    from ambergate.core.quote.layout import MAX_QUOTE
    from ambergate.policies import first

    if sigstruct is not None:
        return first.of_sigstruct(files.read_bytes(sigstruct, first.MAX_SIGSTRUCT))
    if quote is not None:
        return first.of_quote(files.read_bytes(quote, MAX_QUOTE))
    assert token is not None
    return first.of_claims(_claims_of(_token(token)))


def refuse_problems(file: Path, *, as_json: bool) -> None:
    """Returns if the policy in this file loads; else tells all that is wrong with it, and exits."""
    text = policy_text(file)
    problems = () if is_kbs(text) else problems_of(text)
    if problems:
        _tell_problems(file, text, problems, as_json=as_json)
        sys.exit(EXIT_NOT_GENUINE)


@click.command()
@click.argument("token", type=_INPUT)
@click.argument("key", required=False)
@click.option("--config", type=FILE, help="The broker's TOML file: its issuers check the token, its store has the key.")
@click.option("--policy", "policy_file", type=FILE, help="A policy in a file, instead of KEY's.")
@click.option("--at", metavar="ISO8601", help="The instant to judge at; now when not given.")
@json_option
@reports_errors
def explain(
    token: Path, key: str | None, *, config: Path | None, policy_file: Path | None, at: str | None, as_json: bool
) -> None:
    """Say whether the broker would release KEY for the token in the file TOKEN, and what each rule makes of it.

    Exits with 3 when it would not. Without --config the token's signature is not checked: who forged one learns
    nothing, and nothing is proven. Releases nothing and counts nothing.
    """
    from ambergate.core.release.decision import judge
    from ambergate.core.release.rules import Circumstances

    if (key is None) == (policy_file is None):
        message = "give KEY, or --policy in its stead"
        raise click.UsageError(message)
    if key is not None and config is None:
        message = "KEY is looked up in the store of --config"
        raise click.UsageError(message)
    when, text = instant(at), _token(token)
    claims = _claims_of(text) if config is None else keybroker_config(config).trust.claims(text, when)
    counted: str | None = None
    if policy_file is not None:
        policy = read_policy(policy_file)
    else:
        assert key is not None
        assert config is not None
        policy, counted = _stored(config, key)
    judgement = judge(claims, policy, Circumstances(when))
    released = not judgement.mismatches and counted is None
    if as_json:
        echo_json(_shown(judgement, claims, when, released=released, checked=config is not None, counted=counted))
    else:
        _say(judgement, released=released, checked=config is not None, counted=counted)
    if not released:
        sys.exit(EXIT_REFUSED)


def _stored(config: Path, key: str) -> tuple[ResourcePolicy, str | None]:
    """A key's policy; and why it would not be released by any token, if so."""
    from ambergate.services.keybroker.app import open_state
    from ambergate.stores.releases import ReleaseCounter

    identity = read_key_id(key)
    with open_state(keybroker_config(config), now=now) as state:
        stored = state.secrets.find(identity)
        if stored is None:
            hint = "amber keybroker key list shows them"
            raise NotFound("there is no key of this id", code="unknown-key", seen=identity, hint=hint)
        limit = stored.policy.max_releases
        taken = 0 if limit is None else ReleaseCounter(state.database).taken(identity)
    if limit is not None and taken >= limit:
        return stored.policy, f"it was released {taken} times, and may be {limit} times in all"
    return stored.policy, None


def _shown(
    judgement: Judgement,
    claims: AttestationClaims,
    at: datetime,
    *,
    released: bool,
    checked: bool,
    counted: str | None,
) -> dict[str, object]:
    return {
        "released": released,
        "at": at.isoformat(),
        "token": {"issuer": claims.issuer, "signature_checked": checked},
        "spent": counted,
        "general": [_finding(each) for each in judgement.general],
        "alternatives": [
            {"table": each.path.rstrip("."), "met": _met(found), "rules": [_finding(one) for one in found]}
            for each, found in judgement.alternatives
        ],
        "mismatches": judgement.mismatches,
    }


def _say(judgement: Judgement, *, released: bool, checked: bool, counted: str | None) -> None:
    if not checked:
        click.echo("the token's signature was not checked; --config names issuers to check it by")
    for each in judgement.general:
        click.echo(_line(each))
    several = len(judgement.alternatives) > 1
    for alternative, found in judgement.alternatives:
        if several:
            click.echo(
                f"{_mark(good=_met(found))} alternative {alternative.path.rstrip('.') or 'of the policy itself'}"
            )
        for each in found:
            click.echo(("  " if several else "") + _line(each))
    if counted is not None:
        click.echo(f"{_mark(good=False)} max_releases: {counted}")
    click.echo("it would be released" if released else "it would not be released")


def _line(found: Finding) -> str:
    wanted = "" if found.holds and found.seen == found.wanted else f", wanted {found.wanted}"
    return f"{_mark(good=found.holds)} {found.rule}: {found.seen}{wanted}"


def _finding(found: Finding) -> dict[str, object]:
    return {"holds": found.holds, **found.as_dict()}


def _met(found: tuple[Finding, ...]) -> bool:
    return all(each.holds for each in found)


def _mark(*, good: bool) -> str:
    return "ok  " if good else "FAIL"


def _tell_problems(file: Path, text: str, problems: tuple[Problem, ...], *, as_json: bool) -> None:
    lines = _lines(text)
    told = [
        {"where": each.where or None, "line": _line_of(each.where, lines), **each.error.as_dict()} for each in problems
    ]
    if as_json:
        echo_json({"error": problems[0].error.as_dict(), "problems": told})
        return
    for each, problem in zip(told, problems, strict=True):
        place = "" if each["line"] is None else f":{each['line']}"
        click.echo(f"{file}{place}: {problem.error.message}", err=True)
        for name in ("seen", "wanted", "hint"):
            if name in each:
                click.echo(f"    {name}: {each[name]}", err=True)
    click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: the policy does not load", err=True)


def _lines(text: str) -> dict[str, int]:
    """The line of each member of a TOML text, by the path that problems name."""
    from ambergate.graminize.lines import lines_of

    if text.lstrip().startswith("{"):
        return {}
    found = {}
    for path, line in lines_of(text).items():
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        found[name.removeprefix(".")] = line
    return found


def _line_of(where: str, lines: dict[str, int]) -> int | None:
    """The line of what is named, or of what it stands in."""
    while where and where not in lines:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return lines.get(where)


def _token(path: Path) -> str:
    return files.read_bytes(path, _MAX_TOKEN).decode("utf-8", "replace").strip()


def _claims_of(token: str) -> AttestationClaims:
    """What a token says of itself. Nothing of it is proven."""
    from ambergate.core.token.claims import read_claims
    from ambergate.core.token.jose import take_apart

    return read_claims(take_apart(token)[1])
