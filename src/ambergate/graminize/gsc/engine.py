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
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from ambergate.core.errors import AmberError, SettingsError, Unavailable
from ambergate.graminize.gsc.layout import ImageConfig, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Say = Callable[[str], None]

ENGINES: Final = ("buildah", "podman", "docker")  # in the order in which they are looked for
RECIPE: Final = "Dockerfile"
KEPT_LINES: Final = 25  # of a failed step's output
MAX_LINE: Final = 400  # characters of one of them
_STEP: Final = re.compile(r"(?:\[[0-9/]+\] )?(?:STEP|Step) [0-9]+/[0-9]+ ?:")
# Names that an OCI layout needs (Image Layout); as they are, they lead nowhere else.
_OF_LAYOUT: Final = re.compile(r"index\.json|blobs/sha256/[0-9a-f]{64}", re.ASCII)
MAX_INSPECTED: Final = 4 * 1024 * 1024  # bytes of what an engine says of an image


class BuildFailed(AmberError):
    """A step of a build failed, or an engine did: with its last lines."""

    CODE = "build-failed"


class Engine(Protocol):
    """What builds images."""

    name: str

    def config(self, image: str) -> ImageConfig:
        """What a local image says of its start."""
        ...

    def export(self, image: str, directory: Path) -> None:
        """A local image as an OCI layout."""
        ...

    def build(
        self,
        context: Path,
        tag: str,
        *,
        epoch: int,
        say: Say,
        no_cache: bool = False,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """An image by the recipe in a directory, all its times being `epoch`."""
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
    """
    wanted = ENGINES if name is None else (name,)
    for each in wanted:
        program = shutil.which(each)
        if program is None or (name is None and each == "docker" and not _answers((program, "version"))):
            continue
        return Buildah(program) if each == "buildah" else Docker(program, each)
    raise SettingsError(
        "there is no engine that builds images here",
        seen=f"no {' and no '.join(wanted)} on PATH",
        wanted=" or ".join(ENGINES),
        hint="apt-get install buildah: it needs no daemon",
    )


@dataclass(slots=True)
class Buildah:
    """buildah: no daemon, and by chroot no privilege but to write its own storage."""

    program: str
    name: str = field(default="buildah", init=False)

    def config(self, image: str) -> ImageConfig:
        """As `Engine`. Raises: SettingsError: there is no such image here."""
        said = _json(_output((self.program, "inspect", "--type", "image", image), image))
        return read_config(said.get("OCIv1") or {})

    def export(self, image: str, directory: Path) -> None:
        """As `Engine`."""
        _run((self.program, "push", "--quiet", "--disable-compression", image, f"oci:{directory}"), _silent)

    def build(
        self,
        context: Path,
        tag: str,
        *,
        epoch: int,
        say: Say,
        no_cache: bool = False,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """As `Engine`."""
        options = ["--isolation", "chroot", "--pull=false", "--timestamp", str(epoch), "--tag", tag]
        options += ["--layers", *(["--no-cache"] if no_cache else [])]  # in layers either way: it is one image
        for name, value in (build_args or {}).items():
            options += ["--build-arg", f"{name}={value}"]
        _run((self.program, "build", *options, "--file", str(context / RECIPE), str(context)), say)

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
    """docker, and podman, which is spoken to alike."""

    program: str
    name: str

    def config(self, image: str) -> ImageConfig:
        """As `Engine`. Raises: SettingsError: there is no such image here."""
        said = json.loads(_output((self.program, "image", "inspect", image), image))
        first = said[0] if isinstance(said, list) and said and isinstance(said[0], dict) else {}
        return read_config({"config": first.get("Config"), "architecture": first.get("Architecture")})

    def export(self, image: str, directory: Path) -> None:
        """As `Engine`. Docker has written layouts since its release 25."""
        archive = directory.with_suffix(".tar")
        kind = ("--format", "oci-archive") if self.name == "podman" else ()
        _run((self.program, "save", *kind, "--output", str(archive), image), _silent)
        try:
            unpack_layout(archive, directory)
        finally:
            archive.unlink(missing_ok=True)
        if not (directory / "index.json").is_file():
            raise SettingsError(
                f"{self.name} exports images in an older form", wanted="an OCI layout", hint="docker 25, or buildah"
            )

    def build(
        self,
        context: Path,
        tag: str,
        *,
        epoch: int,
        say: Say,
        no_cache: bool = False,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """As `Engine`."""
        options = ["--tag", tag, *(["--no-cache"] if no_cache else [])]
        if self.name == "podman":
            options += ["--timestamp", str(epoch), "--pull=never"]
        else:
            options += ["--progress", "plain", "--build-arg", f"SOURCE_DATE_EPOCH={epoch}"]
        for name, value in (build_args or {}).items():
            options += ["--build-arg", f"{name}={value}"]
        _run((self.program, "build", *options, "--file", str(context / RECIPE), str(context)), say)

    def run(self, image: str, command: Sequence[str], volumes: Mapping[Path, str], say: Say) -> None:
        """As `Engine`."""
        mounts = [part for path, inside in volumes.items() for part in ("--volume", f"{path}:{inside}")]
        entry = ("--entrypoint", command[0])
        options = ("--rm", "--network", "none", "--user", "0:0", *mounts, *entry)
        _run((self.program, "run", *options, image, *command[1:]), say)

    def remove(self, image: str) -> None:
        """As `Engine`."""
        _run((self.program, "rmi", image), _silent)


def unpack_layout(archive: Path, directory: Path) -> None:
    """The index and the blobs of an archived OCI layout, and nothing else that stands in the archive.

    Raises:
        BuildFailed: it is no tar archive, or cannot be written.
    """
    try:
        (directory / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, mode="r|") as packed:
            for member in packed:
                content = packed.extractfile(member) if member.isreg() and _OF_LAYOUT.fullmatch(member.name) else None
                if content is not None:
                    with (directory / member.name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (OSError, tarfile.TarError, EOFError, ValueError) as exc:
        raise BuildFailed("the exported image cannot be unpacked", seen=str(exc)[:200]) from exc


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


def _run(command: Sequence[str], say: Say) -> None:
    """Run a command to its end, its lines told as they come.

    Raises:
        BuildFailed: with the step that failed and its last lines.
        Unavailable: it does not start.
    """
    kept: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
    step = ""
    try:
        with subprocess.Popen(  # noqa: S603  a list
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
        ) as process:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.rstrip("\n")[:MAX_LINE]
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
        ("gramine: not found", "the image has no Gramine: look at Gramine.Image in config.yaml"),
    )
    found = next((advice for words, advice in known if words.lower() in text.lower()), None)
    return found or "amber gsc build --file-only DIRECTORY leaves what is built, to be built and looked at by hand"


def _json(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError as exc:
        raise SettingsError("an engine does not speak JSON", seen=text[:120]) from exc
    return said if isinstance(said, dict) else {}
