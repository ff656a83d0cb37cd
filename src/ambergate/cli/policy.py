"""`amber policy`: write a policy, check it, test it, see what it would do before it does it, and put it to use."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli import _policy_files as files
from ambergate.cli._common import EXIT_REFUSED, echo_json, instant, json_option, now, reports_errors
from ambergate.cli._policy_store import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.appraise.named import PolicyOutcome

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
kind_option: Callable[[Any], Any] = click.option(
    "--kind", type=click.Choice(sorted(files.KINDS)), default="appraisal", show_default=True, help="What it is for."
)
language_option: Callable[[Any], Any] = click.option(
    "--language", type=click.Choice(["rego", "typed"]), help="What it is written in; by the file's name when not given."
)


@click.group()
def group() -> None:
    """Write, check, test and explain policies, try them over what was recorded, and manage those of a service."""


@group.command()
@click.option("--from-sigstruct", "sigstruct", type=_FILE, help="FILE.sig, as gramine-sgx-sign writes it.")
@click.option("--from-quote", "quote", type=_FILE, help="A quote; what it claims is not verified.")
@click.option("--language", type=click.Choice(["toml", "rego"]), default="toml", show_default=True)
@click.option("--by-signer", is_flag=True, help="Name signer, product and least version, not the very program.")
@json_option
@reports_errors
def new(sigstruct: Path | None, quote: Path | None, *, language: str, by_signer: bool, as_json: bool) -> None:
    """Write a policy for one enclave or TD to standard output."""
    from ambergate.core.quote.layout import MAX_QUOTE
    from ambergate.policies import first as write

    if (sigstruct is None) == (quote is None):
        message = "give one of --from-sigstruct and --from-quote"
        raise click.UsageError(message)
    if sigstruct is not None:
        known = write.of_sigstruct(files.read_bytes(sigstruct, write.MAX_SIGSTRUCT))
    else:
        assert quote is not None
        known = write.of_quote(files.read_bytes(quote, MAX_QUOTE))
    text = (write.as_toml if language == "toml" else write.as_rego)(known, by_signer=by_signer)
    if as_json:
        echo_json({"language": language, "origin": known.origin, "debug": known.debug, "policy": text})
        return
    click.echo(text, nl=False)
    if known.debug:
        click.echo("note: what runs under debug keeps no secret; the policy refuses it", err=True)


@group.command()
@click.argument("file", type=_FILE)
@kind_option
@language_option
@json_option
@reports_errors
def check(file: Path, *, kind: str, language: str | None, as_json: bool) -> None:
    """Say whether the policy in FILE loads, in which line it does not, and what its hash is."""
    policy = files.read_policy(file, kind, language)
    with files.engine_for(policy) as engine:
        engine.check(policy)
        notes = getattr(engine, "notes", lambda _policy: ())(policy)
    hashed = base64.b64encode(policy.hash).decode()
    if as_json:
        members = {"loads": True, "language": policy.language.value, "kind": policy.kind.value}
        echo_json({**members, "hash": hashed, "notes": list(notes)})
        return
    click.echo(f"{file} loads: {policy.kind.value}, {policy.language.value}")
    click.echo(f"  hash (SHA-384) {hashed}")
    for note in notes:
        click.echo(f"  note: {note}")


@group.command()
@click.argument("file", type=_FILE)
@click.argument("cases", type=_FILE)
@kind_option
@language_option
@json_option
@reports_errors
def test(file: Path, cases: Path, *, kind: str, language: str | None, as_json: bool) -> None:
    """Hold the policy in FILE to the CASES; exit with 3 if one is not as expected."""
    from ambergate.cli._policy_cases import judge, read_cases

    policy = files.read_policy(file, kind, language)
    expected = read_cases(files.read_table(cases, "the file of cases"))
    at = now()
    results = []
    with files.engine_for(policy) as engine:
        engine.check(policy)
        for case in expected:
            outcome = engine.evaluate(policy, case.claims, at=case.at or at)
            results.append((case, outcome, judge(case, outcome)))
    failed = sum(bool(wrong) for _, _, wrong in results)
    if as_json:
        told = [
            {"name": case.name, "ok": not wrong, "wrong": wrong, **_told(outcome)} for case, outcome, wrong in results
        ]
        echo_json({"cases": len(results), "failed": failed, "results": told})
    else:
        for case, outcome, wrong in results:
            click.echo(f"{_mark(good=not wrong)} {case.name}")
            for line in (*wrong, *(_words(outcome) if wrong else ())):
                click.echo(f"    {line}")
        click.echo(f"{len(results)} cases, {failed} not as expected")
    if failed:
        sys.exit(EXIT_REFUSED)


@group.command()
@click.argument("file", type=_FILE)
@click.option(
    "--claims", type=_FILE, help="Claims about evidence, as JSON, TOML or YAML; or a record of the audit log."
)
@click.option("--quote", type=_FILE, help="A quote, which is verified first.")
@click.option("--collateral", type=_FILE, help="Intel's statements for the quote, as JSON; else Intel's PCS is asked.")
@click.option("--anchor", type=_FILE, help="Root certificate in PEM; Intel's when not given.")
@click.option("--at", metavar="ISO8601", help="The instant to judge at; now when not given.")
@kind_option
@language_option
@json_option
@reports_errors
def explain(  # noqa: PLR0913  click passes one argument an option
    file: Path,
    claims: Path | None,
    quote: Path | None,
    collateral: Path | None,
    anchor: Path | None,
    at: str | None,
    *,
    kind: str,
    language: str | None,
    as_json: bool,
) -> None:
    """Say what the policy in FILE makes of one piece of evidence: which rule, what it saw, what it wanted."""
    if (claims is None) == (quote is None):
        message = "give one of --claims and --quote"
        raise click.UsageError(message)
    policy = files.read_policy(file, kind, language)
    if claims is not None:
        table = files.read_table(claims, "the file of claims")
        known = table.get("evidence", table)
    else:
        from ambergate.cli._policy_quote import proven_claims

        assert quote is not None
        known = proven_claims(quote, collateral, anchor, instant(at))
    with files.engine_for(policy) as engine:
        engine.check(policy)
        outcome = engine.evaluate(policy, known, at=instant(at))
    if as_json:
        echo_json({**_told(outcome), "claims": known})
    else:
        click.echo(f"{_mark(good=outcome.matched)} {policy.name}: {'matches' if outcome.matched else 'does not match'}")
        for line in _words(outcome):
            click.echo(f"  {line}")
    if not outcome.matched:
        sys.exit(EXIT_REFUSED)


@group.command("try")
@click.argument("draft", type=_FILE)
@click.option("--records", type=_FILE, required=True, help="What `amber audit export` wrote: JSON, line by line.")
@click.option("--strict", is_flag=True, help="Exit with 3 if somebody would be cut off.")
@language_option
@json_option
@reports_errors
def try_draft(draft: Path, records: Path, *, strict: bool, language: str | None, as_json: bool) -> None:
    """Judge recorded attestations by the DRAFT: whom would it cut off?"""
    from ambergate.cli._policy_trial import Trial

    policy = files.read_policy(draft, "appraisal", language)
    with files.engine_for(policy) as engine:
        engine.check(policy)
        trial = Trial(policy, engine)
        trial.run(files.records_in(records))
    if as_json:
        echo_json(trial.as_dict())
    else:
        click.echo("\n".join(trial.lines()))
    if strict and trial.cut_off:
        sys.exit(EXIT_REFUSED)


for each in COMMANDS:
    group.add_command(each)


def _told(outcome: PolicyOutcome) -> dict[str, object]:
    return {
        "matched": outcome.matched,
        "mismatches": [dict(each) for each in outcome.mismatches],
        "exports": dict(outcome.exports),
    }


def _words(outcome: PolicyOutcome) -> list[str]:
    lines = [f"{each['rule']}: seen {each['seen']}, wanted {each['wanted']}" for each in outcome.mismatches]
    return [*lines, *(f"the token says {name}: {value}" for name, value in outcome.exports.items())]


def _mark(*, good: bool) -> str:
    return click.style("✓", fg="green") if good else click.style("✗", fg="red")
