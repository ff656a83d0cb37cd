"""`amber manifest`: from a manifest as users write it to one that stock Gramine builds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._common import EXIT_ERROR, echo_json, json_option, reports_errors
from ambergate.cli._launching import secret_to_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.graminize.problems import Problem
    from ambergate.graminize.template import Surroundings

_FILE = click.Path(dir_okay=False, path_type=Path)
_MARKS = {"error": ("✗", "red"), "warning": ("!", "yellow"), "converted": ("→", "blue")}


def _defines(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        if not text.partition("=")[0].isidentifier() or "=" not in text:
            message = f"{text!r} is not NAME=VALUE"
            raise click.BadParameter(message)
    return dict(text.split("=", 1) for text in texts)


define_option: Callable[[Any], Any] = click.option(
    "-D",
    "--define",
    "defines",
    multiple=True,
    callback=_defines,
    metavar="NAME=VALUE",
    help="A value for the template.",
)
libdir_option: Callable[[Any], Any] = click.option(
    "--gramine-libdir", metavar="DIR", help="Where Gramine's own files are, as templates see it."
)
delivery_option: Callable[[Any], Any] = click.option(
    "--delivery",
    type=click.Choice(["shim", "prefetch", "native"]),
    help="How the application gets its files; shim when not given.",
)


@click.group()
def group() -> None:
    """Check, convert and compare Gramine manifests."""


@group.command()
@click.argument("file", type=_FILE)
@define_option
@libdir_option
@delivery_option
@json_option
@reports_errors
def check(
    file: Path, *, defines: dict[str, str], gramine_libdir: str | None, delivery: str | None, as_json: bool
) -> None:
    """Say everything that is wrong with the manifest or template in FILE; exit with 1 if there is an error.

    What `amber manifest convert` mends by itself is marked by an arrow, and is no error.
    """
    from ambergate.graminize.checks import check as look
    from ambergate.graminize.source import read_manifest

    manifest = read_manifest(file, surroundings(defines, gramine_libdir))
    problems = look(manifest, delivery=delivery)
    counts = {name: sum(each.severity == name for each in problems) for name in _MARKS}
    if as_json:
        told = {"file": str(file), "template": manifest.template, "environment_read": list(manifest.read)}
        echo_json({**told, "counts": counts, "problems": [each.as_dict() for each in problems]})
    else:
        for each in problems:
            click.echo("\n".join(_words(file, each)))
        for name in manifest.read:
            click.echo(f"! {file}: the template depends on the variable {name}, and with it the measurement")
        click.echo(f"{counts['error']} errors, {counts['warning']} warnings, {counts['converted']} for convert to mend")
    if counts["error"]:
        sys.exit(EXIT_ERROR)


@group.command()
@click.argument("file", type=_FILE)
@click.option("-o", "--out", type=_FILE, required=True, help="The manifest to write; replaced as a whole.")
@define_option
@libdir_option
@delivery_option
@click.option(
    "--agent-dir", type=click.Path(file_okay=False, path_type=Path), help="Where the agent's files go; beside OUT."
)
@click.option("--external-config", type=_FILE, help="Leave addresses and API key to this file, which nobody measures.")
@click.option("--cacerts", type=_FILE, help="PEM roots of the services, to be measured with the agent.")
@click.option("--require", metavar="token,secret", default="", help="Do not start the application without these.")
@secret_to_option
@click.option("--allow-argument", multiple=True, metavar="PATTERN", help="Arguments that may come from outside.")
@click.option("--insecure-measure-apikey", is_flag=True, help="Leave the API key where everybody can read it.")
@json_option
@reports_errors
def convert(  # noqa: PLR0913  click passes one argument an option
    file: Path,
    *,
    out: Path,
    defines: dict[str, str],
    gramine_libdir: str | None,
    delivery: str | None,
    agent_dir: Path | None,
    external_config: Path | None,
    cacerts: Path | None,
    require: str,
    secret_to: tuple[str, ...],
    allow_argument: tuple[str, ...],
    insecure_measure_apikey: bool,
    as_json: bool,
) -> None:
    """Make of the manifest in FILE one that stock Gramine accepts, with the agent in it.

    What was not ours stays as it is written. Beside OUT there will be a directory with the agent's files.
    """
    from ambergate.cli._manifest_convert import Asked, convert
    from ambergate.graminize.convert import NotConvertible
    from ambergate.graminize.source import read_manifest

    around = surroundings(defines, gramine_libdir)
    asked = Asked(
        out=out,
        delivery=delivery or "shim",
        agent_directory=agent_dir,
        external=external_config,
        cacerts=cacerts,
        require=tuple(name.strip() for name in require.split(",") if name.strip()),
        secret_to=secret_to,
        allow_arguments=allow_argument,
        insecure_measure_apikey=insecure_measure_apikey,
    )
    try:
        done = convert(read_manifest(file, around), around, asked)
    except NotConvertible as error:
        if not as_json:
            for each in error.found:
                click.echo("\n".join(_words(file, each)), err=True)
        raise
    if as_json:
        agent = {"directory": done.agent_directory, "files": done.files, "bytes": done.size}
        told = {"out": str(out), "delivery": asked.delivery, "form": done.output.form.value, "notes": list(done.notes)}
        echo_json({**told, "external": list(done.conversion.external), "agent": agent})
        return
    click.echo(f"{out}: {asked.delivery}")
    if done.agent_directory is not None:
        click.echo(f"  {done.agent_directory}: {done.files} files of the agent, {done.size / 1e6:.0f} MB, all trusted")
    for note in done.notes:
        click.echo(f"  {note}")


@group.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cacerts", type=_FILE, help="PEM roots of the services, to be measured with the agent.")
@json_option
@reports_errors
def agent(directory: Path, *, cacerts: Path | None, as_json: bool) -> None:
    """Write the agent's files into DIRECTORY: for an image that applications under Gramine are built on.

    They are those that `convert` puts beside a manifest; an earlier directory of ours is replaced.
    """
    from ambergate.cli._manifest_convert import write_agent

    measured = write_agent(directory, cacerts)
    size = sum(map(len, measured.contents.values()))
    if as_json:
        echo_json({"directory": str(directory), "bytes": size, "files": measured.hashes()})
        return
    click.echo(f"{directory}: {len(measured.contents)} files of the agent, {size / 1e6:.0f} MB")


@group.command()
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@define_option
@libdir_option
@json_option
@reports_errors
def diff(before: Path, after: Path, *, defines: dict[str, str], gramine_libdir: str | None, as_json: bool) -> None:
    """Say what is different in AFTER, and what that means for MRENCLAVE and for who trusts it."""
    from ambergate.graminize.difference import Effect, differences
    from ambergate.graminize.source import read_manifest

    around = surroundings(defines, gramine_libdir)
    changes = differences(read_manifest(before, around).document, read_manifest(after, around).document)
    weaker = sum(each.effect is Effect.WEAKER for each in changes)
    if as_json:
        echo_json({"same_measurement": not changes, "weaker": weaker, "changes": [each.as_dict() for each in changes]})
        return
    for each in changes:
        sign = "+" if each.before is None else "-" if each.after is None else "~"
        values = " → ".join(text for text in (each.before, each.after) if text)
        click.echo(f"{sign} {each.key or 'the manifest'}: {values}\n    {each.effect.value}: {each.meaning}")
    if not changes:
        click.echo("MRENCLAVE: the same, if the files that are named without a hash are the same")
        return
    click.echo(f"MRENCLAVE: another one; {len(changes)} changes, of which {weaker} make the enclave weaker")


def surroundings(defines: dict[str, str], libdir: str | None) -> Surroundings:
    """What a template is rendered with here."""
    from ambergate.graminize.template import PKGLIBDIR, Surroundings

    return Surroundings(defines=defines, environ=os.environ, pkglibdir=libdir or PKGLIBDIR)


def _words(file: Path, problem: Problem) -> list[str]:
    mark, colour = _MARKS[problem.severity.value]
    place = f"{file}:{problem.line}" if problem.line else str(file)
    return [
        f"{click.style(mark, fg=colour)} {place}: {problem.key or 'the manifest'} {problem.message} [{problem.rule}]",
        f"    seen:   {problem.seen}",
        f"    wanted: {problem.wanted}",
        f"    why:    {problem.why}",
    ]
