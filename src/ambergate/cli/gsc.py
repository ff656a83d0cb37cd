"""`amber gsc`: container images under Gramine, by the commands and arguments of Gramine Shielded Containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambergate.cli._common import echo_json, json_option, reports_errors
from ambergate.cli._gsc_register import Registering, register, register_options
from ambergate.cli._launching import epoch, refuse_without_launcher, secret_to_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.quote.sigstruct import Sigstruct
    from ambergate.graminize.gsc.building import Job
    from ambergate.graminize.gsc.config import GscConfig

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)
engine_option: Callable[[Any], Any] = click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["buildah", "podman", "docker"]),
    help="What builds; the first of these that is installed when not given.",
)
config_option: Callable[[Any], Any] = click.option(
    "-c",
    "--config",
    "config_file",
    type=_FILE,
    default=Path("config.yaml"),
    show_default=True,
    help="Where Gramine comes from; without the file, packages of the image's own distribution.",
)
passphrase_option: Callable[[Any], Any] = click.option(
    "--passphrase-file", type=_FILE, help="The key's passphrase, in a file's first line; else it is asked for."
)


@click.group()
def group() -> None:
    """Build and sign graminized container images."""


def _pairs(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        if not text.partition("=")[0] or "=" not in text:
            message = f"{text!r} is not KEY=VALUE"
            raise click.BadParameter(message)
    return dict(text.split("=", 1) for text in texts)


@group.command()
@click.argument("image")
@click.argument("manifest", type=_FILE, required=False)
@config_option
@engine_option
@click.option("-d", "--debug", is_flag=True, help="Let the enclave be debugged: it then keeps no secret.")
@click.option("--insecure-args", is_flag=True, help="Take arguments from the host at every start, unmeasured.")
@click.option(
    "--allow-argument",
    "allow_arguments",
    multiple=True,
    metavar="PATTERN",
    help="Arguments that the host may give, each matched whole by one such measured pattern.",
)
@click.option("-nc", "--no-cache", is_flag=True, help="Use nothing that earlier builds left.")
@click.option("--rm", "remove", is_flag=True, help="Remove the image of the first step afterwards.")
@click.option("--build-arg", "build_args", multiple=True, callback=_pairs, metavar="KEY=VALUE", help="For the engine.")
@click.option(
    "--file-only", type=_DIRECTORY, metavar="DIRECTORY", help="Write the first step's context there, and build nothing."
)
@click.option(
    "--delivery",
    type=click.Choice(["shim", "prefetch", "native"]),
    default="shim",
    show_default=True,
    help="How the application gets its files.",
)
@click.option("--cacerts", type=_FILE, help="PEM roots that the agent verifies services with, put into the image.")
@click.option(
    "--external-config",
    "external",
    metavar="URI",
    help="A file that settings which may vary come from, such as file:/config/amber.toml.",
)
@click.option(
    "--require",
    multiple=True,
    type=click.Choice(["token", "secret"]),
    help="What the application does not start without.",
)
@secret_to_option
@click.option(
    "--insecure-measure-apikey",
    is_flag=True,
    help="Put the manifest's API key into the image, for everybody who has it.",
)
@click.option("--sign-with", type=_FILE, metavar="KEY", help="Go on to gsc-IMAGE, as sign-image does.")
@passphrase_option
@register_options
@json_option
@reports_errors
def build(
    image: str,
    manifest: Path | None,
    *,
    remove: bool,
    debug: bool,
    registering: Registering,
    as_json: bool,
    **told: Any,  # noqa: ANN401  options by their names
) -> None:
    """Make gsc-IMAGE-unsigned of IMAGE and MANIFEST, and gsc-IMAGE where a KEY is given.

    MANIFEST holds what the image does not say: sizes, sgx.amber_* settings, more mounts. It may be left out.
    """
    from ambergate.graminize.gsc import building, signing
    from ambergate.graminize.gsc.engine import find_engine

    flags = ("require", "secret_to", "allow_arguments", "external", "cacerts")
    names = {"allow_arguments": "--allow-argument", "external": "--external-config"}
    launcher = {names.get(flag, f"--{flag.replace('_', '-')}"): told[flag] for flag in flags}
    refuse_without_launcher(told["delivery"], launcher)
    registering.check(signed=told["sign_with"] is not None and told["file_only"] is None)
    key = None if told["sign_with"] is None else _key(told["sign_with"], told["passphrase_file"])
    job = _job(image, manifest, debug=debug, keep=not remove, told=told)
    engine = find_engine(told["engine_name"])
    if told["file_only"] is not None:
        planned = building.plan(job, engine, _say)
        building.write_whole_context(planned, told["file_only"], job.epoch)
        _tell({"context": str(told["file_only"]), "notes": list(planned.notes)}, as_json=as_json)
        return
    built = building.build(job, engine, _say)
    told_of = {"image": built.image, "trusted_files": built.trusted, "notes": list(built.notes)}
    if key is None:
        _tell({**told_of, "next": f"amber gsc sign-image {image} KEY.pem"}, as_json=as_json)
        return
    said = signing.sign(image, key, engine, epoch=job.epoch, say=_say)
    _tell({**told_of, **_signed(image, said, registering)}, as_json=as_json)


def _job(image: str, manifest: Path | None, *, debug: bool, keep: bool, told: dict[str, Any]) -> Job:
    from ambergate.cli._manifest_convert import REHEARSAL
    from ambergate.client.loading import read_file
    from ambergate.devices.shim_build import find_shim
    from ambergate.graminize.gsc.building import Job
    from ambergate.graminize.gsc.composition import PKGLIBDIR, Rules
    from ambergate.graminize.source import read_manifest
    from ambergate.graminize.template import Surroundings

    surroundings = Surroundings(environ=dict(os.environ), pkglibdir=PKGLIBDIR)
    user = {} if manifest is None else dict(read_manifest(manifest, surroundings).document)
    return Job(
        image=image,
        user=user,
        config=_config(told["config_file"]),
        rehearsal=REHEARSAL,
        shim=find_shim() if told["delivery"] == "shim" else None,
        delivery=told["delivery"],
        rules=Rules(insecure_args=told["insecure_args"], debug=debug),
        allow_arguments=told["allow_arguments"],
        external=told["external"],
        roots=None if told["cacerts"] is None else read_file(told["cacerts"], "the roots"),
        require=told["require"],
        secret_to=told["secret_to"],
        insecure_measure_apikey=told["insecure_measure_apikey"],
        epoch=epoch(),
        no_cache=told["no_cache"],
        keep=keep,
        build_args=told["build_args"],
    )


@group.command("build-gramine")
@click.argument("name")
@config_option
@engine_option
@click.option(
    "-f", "--file-only", type=_DIRECTORY, metavar="DIRECTORY", help="Write the recipe there, and build nothing."
)
@click.option("-nc", "--no-cache", is_flag=True, help="Use nothing that earlier builds left.")
@json_option
@reports_errors
def build_gramine(
    name: str, config_file: Path, engine_name: str | None, file_only: Path | None, *, no_cache: bool, as_json: bool
) -> None:
    """Compile Gramine into an image NAME, for Gramine.Image of config.yaml."""
    import tempfile

    from ambergate.graminize.gsc.building import write_gramine_context
    from ambergate.graminize.gsc.engine import Build, find_engine
    from ambergate.graminize.gsc.names import checked

    checked(name)
    config = _config(config_file)
    if file_only is not None:
        write_gramine_context(config, file_only)
        _tell({"context": str(file_only), "notes": list(config.notes)}, as_json=as_json)
        return
    engine = find_engine(engine_name)
    with tempfile.TemporaryDirectory(prefix="amber-gsc-") as place:
        write_gramine_context(config, Path(place))
        engine.build(Build(context=Path(place), tag=name, epoch=epoch(), no_cache=no_cache), _say)
    _tell({"image": name, "notes": list(config.notes), "next": f'Gramine: Image: "{name}"'}, as_json=as_json)


@group.command("sign-image")
@click.argument("image")
@click.argument("key", type=_FILE, required=False)
@config_option
@engine_option
@passphrase_option
@click.option("-p", "--passphrase", hidden=True, help="Refused: every user of a machine can list arguments.")
@click.option(
    "--export-for-signing", "export_to", type=_DIRECTORY, help="Write there what another machine needs to sign."
)
@click.option("--import-signature", "import_from", type=_DIRECTORY, help="Take what another machine has signed.")
@register_options
@json_option
@reports_errors
def sign_image(image: str, key: Path | None, *, registering: Registering, as_json: bool, **told: Any) -> None:  # noqa: ANN401  options by their names
    """Make gsc-IMAGE of gsc-IMAGE-unsigned with KEY, which never becomes part of an image."""
    from ambergate.graminize.gsc import signing
    from ambergate.graminize.gsc.engine import find_engine

    export_to, import_from = told["export_to"], told["import_from"]
    if told["passphrase"] is not None:
        message = "a passphrase in arguments is seen by every user of this machine: give --passphrase-file, or be asked"
        raise click.UsageError(message)
    if [key, export_to, import_from].count(None) != 2:
        message = "give a KEY, --export-for-signing or --import-signature"
        raise click.UsageError(message)
    registering.check(signed=export_to is None)
    engine, born = find_engine(told["engine_name"]), epoch()
    if export_to is not None:
        signing.export_for_signing(image, export_to, engine, say=_say)
        _tell({"directory": str(export_to), "next": f"read {signing.HOW_TO} in it"}, as_json=as_json)
        return
    if import_from is not None:
        said = signing.import_signature(image, import_from, engine, epoch=born, say=_say)
    else:
        assert key is not None
        said = signing.sign(image, _key(key, told["passphrase_file"]), engine, epoch=born, say=_say)
    _tell(_signed(image, said, registering), as_json=as_json)


@group.command("info-image")
@click.argument("image")
@engine_option
@click.option(
    "--policy",
    "policies",
    type=_DIRECTORY,
    help="Write the attestation policy and the release policy for this very image there.",
)
@register_options
@json_option
@reports_errors
def info_image(
    image: str, engine_name: str | None, policies: Path | None, *, registering: Registering, as_json: bool
) -> None:
    """What the signature in gsc-IMAGE says: measurement, signer, product, version, date, flags."""
    from ambergate.graminize import sigstruct
    from ambergate.graminize.gsc import signing
    from ambergate.graminize.gsc.engine import find_engine
    from ambergate.graminize.writing import write_file

    registering.check(signed=True)
    by_signer = registering.by_signer
    said = signing.signature_of(image, find_engine(engine_name), say=_say)
    described = {**_described(said), **register(image, said, registering)}
    if policies is not None:
        policies.mkdir(parents=True, exist_ok=True)
        write_file(
            policies / sigstruct.ATTESTATION_POLICY, sigstruct.attestation_policy(said, by_signer=by_signer).encode()
        )
        write_file(policies / sigstruct.RELEASE_POLICY, sigstruct.release_policy(said, by_signer=by_signer).encode())
    if as_json:
        echo_json(described)
    else:
        click.echo(sigstruct.as_toml(described), nl=False)


def _signed(image: str, said: Sigstruct, registering: Registering) -> dict[str, Any]:
    """What there is to tell of a signed image, once the services know it."""
    from ambergate.graminize.gsc.names import signed

    name = signed(image)
    return {"image": name, **_described(said), **register(name, said, registering)}


def _config(path: Path) -> GscConfig:
    from ambergate.graminize.gsc.config import GscConfig, read_config

    return read_config(path) if path.exists() or path != Path("config.yaml") else GscConfig()


def _key(path: Path, passphrase_file: Path | None) -> Any:  # noqa: ANN401  a private key; cryptography is imported late
    from ambergate.client.loading import read_file
    from ambergate.graminize.gsc.signing import load_key

    if passphrase_file is not None:
        lines = read_file(passphrase_file, "the passphrase").splitlines()
        return load_key(path, lines[0] if lines else b"")
    if b"ENCRYPTED" in read_file(path, "the signing key"):
        return load_key(path, click.prompt("Passphrase", hide_input=True, err=True).encode())
    return load_key(path, None)


def _described(said: Sigstruct) -> dict[str, Any]:
    from ambergate.graminize.sigstruct import described

    return dict(described(said))


def _say(line: str) -> None:
    """Progress is for people, and never on standard output."""
    click.echo(line, err=True)


def _tell(members: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        echo_json(members)
        return
    for name, value in members.items():
        for each in value if isinstance(value, list) else [value]:
            click.echo(f"{name.rstrip('s') if isinstance(value, list) else name}: {each}")
