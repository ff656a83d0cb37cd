"""The programs that build images: buildah, podman and docker, each by its own command line.

    engine = find_engine(None)
    engine.build(context, "name:tag", epoch=0, say=print)

Arguments are lists, never shell text; names were checked before. What an engine prints is passed on while it runs, and
when it fails the step and its last lines are in the error.
"""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ambergate.core.errors import AmberError, SettingsError, Unavailable
from ambergate.graminize.gsc.archive import unpack
from ambergate.graminize.gsc.layout import ImageConfig, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Say = Callable[[str], None]

ENGINES: Final = ("buildah", "podman", "docker")  # in the order in which they are looked for
RECIPE: Final = "Dockerfile"
KEPT_LINES: Final = 25  # of a failed step's output
MAX_LINE: Final = 400  # characters of one of them
# As buildah and podman write a step, docker's older builder, and BuildKit.
_STEP: Final = re.compile(r"(?:\[[0-9/]+\] )?(?:STEP|Step) [0-9]+/[0-9]+ ?:|#[0-9]+ \[[^\]]*[0-9]+/[0-9]+\] ")
# BuildKit's lines as they come, and images without statements about the build beside them.
_PLAIN: Final = {"BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
MAX_INSPECTED: Final = 4 * 1024 * 1024  # bytes of what an engine says of an image


class BuildFailed(AmberError):
    """A step of a build failed, or an engine did: with its last lines."""

    CODE = "build-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What an engine is to build.

    Attributes:
        context: directory with the recipe and the files that it names.
        tag: the image's name.
        epoch: all times of the image, in seconds since 1970; docker writes its own.
        no_cache: do not use what earlier builds left.
        build_args: values for the recipe's ARG.
    """

    context: Path
    tag: str
    epoch: int
    no_cache: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)

    def command(self, program: str, *options: str) -> tuple[str, ...]:
        """The command that builds it, in the words that all engines know, and what this one is told besides."""
        arguments = [part for name, value in self.build_args.items() for part in ("--build-arg", f"{name}={value}")]
        cache = ("--no-cache",) if self.no_cache else ()
        place = ("--file", str(self.context / RECIPE), str(self.context))
        return (program, "build", *options, "--tag", self.tag, *cache, *arguments, *place)


class Engine(Protocol):
    """What builds images."""

    name: str

    def config(self, image: str) -> ImageConfig:
        """What a local image says of its start."""
        ...

    def export(self, image: str, directory: Path) -> None:
        """A local image as an OCI layout, in a new directory; what else it writes is beside that."""
        ...

    def build(self, told: Build, say: Say) -> None:
        """An image by the recipe in a directory."""
        ...

    def run(self, image: str, command: Sequence[str], volumes: Mapping[Path, str], say: Say) -> None:
        """A command in an image, as root, with directories of ours in it; without a network where that can be had."""
        ...

    def remove(self, image: str) -> None:
        """Forget a local image's name."""
        ...


def find_engine(name: str | None) -> Engine:
    """The engine of this name; without one, the first that is installed and works.

    Raises:
        SettingsError: there is none.
        Unavailable: docker is asked for, and has no daemon.
    """
    wanted = ENGINES if name is None else (name,)
    for each in wanted:
        program = shutil.which(each)
        if program is None:
            continue
        if each == "docker" and not _answers((program, "version")):
            if name is None:
                continue
            raise Unavailable("docker's daemon does not answer", seen="docker version failed", hint="--engine buildah")
        return _adapter(each, program)
    raise SettingsError(
        "there is no engine that builds images here",
        seen=f"no {' and no '.join(wanted)} on PATH",
        wanted=" or ".join(ENGINES),
        hint="apt-get install buildah: it needs no daemon",
    )


def _adapter(name: str, program: str) -> Engine:
    if name == "buildah":
        return Buildah(program)
    return Podman(program) if name == "podman" else Docker(program)


@dataclass(slots=True)
class Buildah:
    """buildah: no daemon, and by chroot no privilege but to write its own storage."""

    program: str
    name: str = field(default="buildah", init=False)

    def config(self, image: str) -> ImageConfig:
        """As `Engine`. Raises: SettingsError: there is no such image here."""
        said = _json(_output((self.program, "inspect", "--type", "image", image), image))
        found = said.get("OCIv1") if isinstance(said, dict) else None
        return read_config(found if isinstance(found, dict) else {})

    def export(self, image: str, directory: Path) -> None:
        """As `Engine`."""
        _run(
            (self.program, "push", "--quiet", "--disable-compression", image, f"oci:{directory}"),
            _silent,
            directory.parent,
        )

    def build(self, told: Build, say: Say) -> None:
        """As `Engine`. In layers with a cache or without: it is one image."""
        _run(told.command(self.program, "--isolation", "chroot", *_as_given(told.epoch), "--layers"), say)

    def run(self, image: str, command: Sequence[str], volumes: Mapping[Path, str], say: Say) -> None:
        """As `Engine`."""
        container = _output((self.program, "from", "--pull=never", image), image).strip()
        try:
            mounts = [part for path, inside in volumes.items() for part in ("--volume", f"{path}:{inside}")]
            options = ("--isolation", "chroot", "--user", "0:0", *mounts)
            _run((*_alone(), self.program, "run", *options, container, "--", *command), say)
        finally:
            _run((self.program, "rm", container), _silent)

    def remove(self, image: str) -> None:
        """As `Engine`."""
        _run((self.program, "rmi", image), _silent)


@dataclass(slots=True)
class Docker:
    """docker, by its daemon: on this machine, since directories of ours are lent to it."""

    program: str
    name: str = field(default="docker", init=False)

    def config(self, image: str) -> ImageConfig:
        """As `Engine`. Raises: SettingsError: there is no such image here."""
        said = _json(_output((self.program, "image", "inspect", image), image))
        first = said[0] if isinstance(said, list) and said and isinstance(said[0], dict) else {}
        return read_config({"config": first.get("Config"), "architecture": first.get("Architecture")})

    def export(self, image: str, directory: Path) -> None:
        """As `Engine`."""
        archive = directory.with_suffix(".tar")
        try:
            _run((self.program, "save", "--output", str(archive), image), _silent, directory.parent)
            unpack(archive, directory)
        finally:
            archive.unlink(missing_ok=True)

    def build(self, told: Build, say: Say) -> None:
        """As `Engine`."""
        epoch = {"SOURCE_DATE_EPOCH": str(told.epoch)}  # BuildKit heeds it, the older builder nothing
        _run(replace(told, build_args={**told.build_args, **epoch}).command(self.program), say)

    def run(self, image: str, command: Sequence[str], volumes: Mapping[Path, str], say: Say) -> None:
        """As `Engine`."""
        mounts = [part for path, inside in volumes.items() for part in ("--volume", f"{path}:{inside}")]
        entry = ("--entrypoint", command[0])
        options = ("--rm", "--network", "none", "--user", "0:0", *mounts, *entry)
        _run((self.program, "run", *options, image, *command[1:]), say)

    def remove(self, image: str) -> None:
        """As `Engine`."""
        _run((self.program, "rmi", image), _silent)


@dataclass(slots=True)
class Podman(Docker):
    """podman, which is spoken to as docker is, and needs no daemon."""

    name: str = field(default="podman", init=False)

    def build(self, told: Build, say: Say) -> None:
        """As `Engine`."""
        _run(told.command(self.program, *_as_given(told.epoch)), say)


def _as_given(epoch: int) -> tuple[str, ...]:
    """Nothing is fetched, and no time is that of the build: buildah's options, which podman shares."""
    return ("--pull=never", "--timestamp", str(epoch))


def _alone() -> tuple[str, ...]:
    """A network of its own, with nothing in it, for what runs by chroot: where this user may have one."""
    unshare = shutil.which("unshare")
    return (unshare, "--net") if unshare is not None and os.geteuid() == 0 else ()


def _silent(line: str) -> None:
    del line


def _answers(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0  # noqa: S603  a list
    except (OSError, subprocess.TimeoutExpired):
        return False


def _output(command: Sequence[str], image: str) -> str:
    """What a command prints. Raises: SettingsError: it fails, for want of the image most of the time."""
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  a list
    except OSError as exc:
        raise Unavailable("the engine does not start", seen=f"{command[0]}: {exc.strerror}") from exc
    if done.returncode:
        raise SettingsError(
            "there is no such image here",
            seen=f"{image}: {done.stderr.decode('utf-8', 'replace').strip()[-200:]}",
            hint=f"pull or build it first: {command[0].rpartition('/')[2]} pull {image}",
        )
    if len(done.stdout) > MAX_INSPECTED:
        raise SettingsError("an engine says too much of an image", seen=f"{len(done.stdout)} bytes")
    return done.stdout.decode("utf-8", "replace")


def _run(command: Sequence[str], say: Say, temporary: Path | None = None) -> None:
    """Run a command to its end, its lines told as they come.

    Args:
        command: its words.
        say: told each line.
        temporary: where it has its temporary files, which some leave when they fail; None: where it likes.

    Raises:
        BuildFailed: with the step that failed and its last lines.
        Unavailable: it does not start.
    """
    kept: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
    step = ""
    try:
        with subprocess.Popen(  # noqa: S603  a list
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            env={**os.environ, **_PLAIN, **({} if temporary is None else {"TMPDIR": str(temporary)})},
        ) as process:
            assert process.stdout is not None
            for raw in process.stdout:
                line = _cut(raw.rstrip("\n"))
                if _STEP.match(line):
                    step = line
                kept.append(line)
                say(line)
    except OSError as exc:
        raise Unavailable("the engine does not start", seen=f"{command[0]}: {exc.strerror}") from exc
    if process.returncode:
        raise BuildFailed(
            f"{_called(command)} failed" + (f" in {step}" if step else ""),
            seen=f"exit code {process.returncode}; its last lines:\n  " + "\n  ".join(kept),
            hint=_advice("\n".join(kept)),
        )


def _cut(line: str) -> str:
    """A line without its middle, where it is long: at its beginning is what was done, at its end why it failed."""
    half = MAX_LINE // 2
    return line if len(line) <= MAX_LINE else f"{line[:half]} ... {line[-half:]}"


def _called(command: Sequence[str]) -> str:
    """Engine and verb, for messages."""
    words = command[2:] if command[1] == "--net" else command
    return f"{words[0].rpartition('/')[2]} {words[1]}"


def _advice(text: str) -> str:
    """What to try, by what an engine said."""
    known = (
        ("no space left on device", "make room, or set another storage directory (STORAGE_ROOT, --root, data-root)"),
        ("Could not resolve", "the build has no network or no name server: check it on this machine first"),
        ("Temporary failure", "the build has no network or no name server: check it on this machine first"),
        ("permission denied", "rootless engines need /etc/subuid and /etc/subgid; or run it as root"),
        (
            "cgroup",
            "containers do not start here: BUILDAH_ISOLATION=chroot builds without any, --engine buildah signs too",
        ),
        ("gramine: not found", "the image has no Gramine: look at Gramine.Image in config.yaml"),
    )
    found = next((advice for words, advice in known if words.lower() in text.lower()), None)
    return found or "amber gsc build --file-only DIRECTORY leaves what is built, to be built and looked at by hand"


def _json(text: str) -> Any:  # noqa: ANN401  whatever an engine says
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SettingsError("an engine does not speak JSON", seen=text[:120]) from exc
