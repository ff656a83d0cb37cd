"""From an image and a manifest to the unsigned graminized image: the three steps of a build, in their order.

    built = build(Job(image="app:1", user=document, ...), engine, say=print)

Nothing is left half-made: contexts are temporary directories, names are given by the engine once a build is whole.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from ambergate.core.errors import AmberError, NotFound, SettingsError
from ambergate.graminize.agent import BORN, ROOTS, Measured, gather, measure, staged
from ambergate.graminize.application import AGENT, amber_keys, settings_of
from ambergate.graminize.convert import Mounted, Plan, converted
from ambergate.graminize.gsc import distro as distros
from ambergate.graminize.gsc import names, recipe
from ambergate.graminize.gsc.composition import Rules, as_template, composed, with_files
from ambergate.graminize.gsc.config import AUTO
from ambergate.graminize.gsc.engine import RECIPE, Build
from ambergate.graminize.gsc.files import read_files
from ambergate.graminize.gsc.layout import read_layout
from ambergate.graminize.gsc.program import program_of
from ambergate.graminize.lines import lines_of
from ambergate.graminize.schema import violations
from ambergate.graminize.source import Manifest
from ambergate.graminize.writing import whole_directory, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ambergate.graminize.gsc.config import GscConfig
    from ambergate.graminize.gsc.distro import Distro
    from ambergate.graminize.gsc.engine import Engine
    from ambergate.graminize.gsc.files import ImageFiles
    from ambergate.graminize.gsc.layout import Image

    Say = Callable[[str], None]

_SO_FAR: Final = "manifest.toml"  # of a context: the manifest as far as it is known
_OF_CONTEXT: Final = frozenset({RECIPE, _SO_FAR, recipe.AGENT_CONTEXT})
MAX_RELEASE: Final = 64 * 1024  # bytes of /etc/os-release; our limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be built.

    Attributes:
        image: name of the application's image.
        user: the user's manifest, read.
        config: config.yaml, read.
        rehearsal: the program by which the agent's files are found out (see `graminize.agent`).
        shim: the compiled library; None for prefetching.
        delivery: `shim`, `prefetch` or `native`.
        rules: what else the build was told.
        allow_arguments: patterns of arguments that the host may give.
        external: URI of the file with settings that vary.
        roots: PEM certificates that the agent verifies services with.
        require: what the application does not start without.
        secret_to: where the launcher hands the secret over, before the application starts.
        insecure_measure_apikey: put an API key into the image, where everybody who has it finds it.
        epoch: all times of the image, in seconds since 1970.
        no_cache: do not use what earlier builds left.
        keep: keep the image of the first step.
        build_args: arguments for the engine.
    """

    image: str
    user: Mapping[str, Any]
    config: GscConfig
    rehearsal: Path
    shim: Path | None = None
    delivery: str = "shim"
    rules: Rules = field(default_factory=Rules)
    allow_arguments: tuple[str, ...] = ()
    external: str | None = None
    roots: bytes | None = None
    require: tuple[str, ...] = ()
    secret_to: tuple[str, ...] = ()
    insecure_measure_apikey: bool = False
    epoch: int = BORN
    no_cache: bool = False
    keep: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was built.

    Attributes:
        image: its name.
        notes: what the user should know.
        trusted: how many files are measured.
    """

    image: str
    notes: tuple[str, ...]
    trusted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A build before anything is built.

    Attributes:
        recipe: of the first step.
        document: the manifest, but for the image's files.
        agent: its files by their paths; None: the manifest has no amber settings.
        notes: what the user should know.
    """

    recipe: str
    document: dict[str, Any]
    agent: Measured | None
    notes: tuple[str, ...]


def plan(job: Job, engine: Engine, say: Say) -> Planned:
    """Look at the image and decide. Nothing is built.

    Raises:
        SettingsError: image, manifest or configuration cannot be graminized, with what to do.
        TooLarge: the image is longer than our limits.
    """
    names.checked(job.image)
    say(f"looking at {job.image}")
    with exported(job.image, engine, say) as (image, files):
        program = program_of(image.config, files)
        where = None if job.config.image == job.image else _distro(job.config, files)
    document = composed(program, job.user, job.rules)
    first = recipe.files_recipe(job.image, where, job.config)
    notes = list(job.config.notes)
    agent = None
    if amber_keys(document) or settings_of(document):
        agent = measure(gather(job.rehearsal, secrets=_wants_secrets(document), shim=job.shim, roots=job.roots))
        document, told = _converted(document, job, agent.hashes())
        notes += told
    else:
        notes.append("the manifest has no sgx.amber_* settings: the image gets no agent and no /dev/amber")
    broken = violations(document)
    if broken:
        raise SettingsError(
            "the manifest is not one that Gramine accepts",
            seen=f"{broken[0].key}: {broken[0].message} ({broken[0].seen})",
            wanted=broken[0].wanted,
            hint="amber manifest check says all that is wrong with it",
        )
    return Planned(recipe=first, document=document, agent=agent, notes=tuple(notes))


def build(job: Job, engine: Engine, say: Say) -> Built:
    """Build `gsc-IMAGE-unsigned`.

    Raises:
        BuildFailed: a step failed.
        AmberError: as `plan`.
    """
    planned = plan(job, engine, say)
    files_image, target = names.under_way(job.image), names.unsigned(job.image)
    with tempfile.TemporaryDirectory(prefix="amber-gsc-") as name:
        context = Path(name) / "files"
        write_context(planned, context, job.epoch)
        say(f"building {files_image}: Gramine and the agent")
        first = Build(context=context, tag=files_image, epoch=job.epoch, no_cache=job.no_cache)
        engine.build(replace(first, build_args=job.build_args), say)
        try:
            say("measuring every file of it")
            with exported(files_image, engine, say) as (_, files):
                document = with_files(planned.document, files)
            over = Path(name) / "unsigned"
            app_files = {recipe.MANIFEST_TEMPLATE: as_template(document), recipe.LOADER: recipe.LOADER_SCRIPT}
            write_app_files(over, {name: text.encode() for name, text in app_files.items()})
            write_file(over / RECIPE, recipe.unsigned_recipe(files_image).encode())
            say(f"building {target}: the manifest, with {len(document['sgx']['trusted_files'])} trusted files")
            engine.build(replace(first, context=over, tag=target), say)
        finally:
            if not job.keep:
                _forget(engine, files_image)
    return Built(image=target, notes=planned.notes, trusted=len(document["sgx"]["trusted_files"]))


def write_whole_context(planned: Planned, context: Path, epoch: int) -> None:
    """As `write_context`, all of it or nothing, in the place of an earlier one.

    Raises:
        SettingsError: it cannot be written, or something else is there.
    """
    strangers = sorted({each.name for each in context.iterdir()} - _OF_CONTEXT) if context.is_dir() else []
    if strangers or (context.exists() and not context.is_dir()):
        raise SettingsError(
            "the context's directory holds something else",
            code="settings-output",
            seen=f"{context}: {', '.join(strangers[:3])}",
            wanted="a new directory, or one of an earlier --file-only",
        )
    with whole_directory(context.absolute()) as fresh:
        write_context(planned, fresh, epoch)


def write_context(planned: Planned, context: Path, epoch: int) -> None:
    """The first step's recipe and files, in a directory; and the manifest as far as it is known.

    Raises:
        SettingsError: it cannot be written.
    """
    context.mkdir(parents=True, exist_ok=True)
    write_file(context / RECIPE, planned.recipe.encode())
    write_file(context / _SO_FAR, tomli_w.dumps(planned.document).encode())
    if planned.agent is None:
        (context / recipe.AGENT_CONTEXT).mkdir(exist_ok=True)
        return
    with staged(planned.agent, context / recipe.AGENT_CONTEXT, born=epoch):
        pass


def write_app_files(context: Path, contents: Mapping[str, bytes]) -> None:
    """Files for `/gramine/app_files`, in a build's context.

    Raises:
        SettingsError: one cannot be written.
    """
    folder = context / recipe.APP_CONTEXT
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_file(folder / name, content)


@contextlib.contextmanager
def exported(image: str, engine: Engine, say: Say) -> Iterator[tuple[Image, ImageFiles]]:
    """An image and its files, which can be read inside.

    Raises:
        SettingsError: there is none, or it is not read here.
    """
    engine.config(image)
    with tempfile.TemporaryDirectory(prefix="amber-gsc-") as name:
        directory = Path(name) / "layout"
        engine.export(image, directory)
        read = read_layout(directory)
        yield read, read_files(read, say=say)


def _converted(document: dict[str, Any], job: Job, hashes: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The launcher in the place of the program, by the means of `amber manifest convert`."""
    text = tomli_w.dumps(document)
    # Not parsed again: the image's variables may hold what a template does, and are no template.
    manifest = Manifest(
        name="the composed manifest",
        directory=Path("/"),
        source=text,
        text=text,
        template=False,
        document=document,
        lines=lines_of(text),
    )
    told = Plan(
        delivery=job.delivery,
        agent=None if job.delivery == "native" else Mounted(uri=f"file:{AGENT}", hashes=hashes),
        roots=f"{AGENT}/{ROOTS}" if job.roots is not None else None,
        external=job.external,
        require=job.require,
        secret_to=job.secret_to,
        allow_arguments=job.allow_arguments,
        insecure_measure_apikey=job.insecure_measure_apikey,
    )
    made = converted(manifest, told)
    return made.document, made.notes


def _wants_secrets(document: Mapping[str, Any]) -> bool:
    return any(name.startswith("kbs_") for name in settings_of(document))


def _distro(config: GscConfig, files: ImageFiles) -> Distro:
    if config.distro != AUTO:
        return distros.of_name(config.distro)
    has = {path: files.find(path) is not None for path in distros.tools()}
    try:
        release = files.read("/etc/os-release", limit=MAX_RELEASE).decode("utf-8", "replace")
    except NotFound:
        release = ""
    return distros.of_release(release, has)


def _forget(engine: Engine, image: str) -> None:
    """What is left over is no reason to fail."""
    with contextlib.suppress(AmberError):
        engine.remove(image)


def write_gramine_context(config: GscConfig, context: Path) -> None:
    """The recipe of an image in which Gramine is compiled, in a directory.

    Raises:
        SettingsError: config.yaml does not say of which source, or for which distribution.
    """
    if config.repository is None or config.distro == AUTO:
        raise SettingsError(
            "config.yaml does not say what to compile, and for what",
            seen=f"Distro {config.distro}, Gramine.Repository {config.repository}",
            wanted="Distro, Gramine.Repository and Gramine.Branch",
        )
    context.mkdir(parents=True, exist_ok=True)
    write_file(context / RECIPE, recipe.compiled_recipe(config, distros.of_name(config.distro)).encode())
