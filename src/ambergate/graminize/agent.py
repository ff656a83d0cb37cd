"""The agent's files: interpreter, libraries and modules that the launcher takes, and no other, in one directory.

    measured = measure(gather(rehearsal, secrets=True, shim=Path("libamber_dev.so")))
    with staged(measured, Path("amber-agent")):
        ...

Which files these are is found by running it (`cli/_rehearsal.py`): an interpreter does what the launcher does,
and tells what it loaded. They are copied, so that the directory can be moved, measured and put into an image as
it is: no link in it, no compiled file, nothing of the machine that it was made on but the interpreter itself.

    bin/python3  lib/python3.x/...  lib/*.so  site/...  launch.py  cacerts.pem
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError, TooLarge, Unavailable
from ambergate.graminize.linking import linked
from ambergate.graminize.writing import whole_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_FILE: Final = 256 * 1024 * 1024  # bytes; the largest is cryptography's library, of about 10 MiB
MAX_FILES: Final = 2000
REHEARSAL_SECONDS: Final = 120.0
# 1980-01-01: the earliest that archives can hold. Given by SOURCE_DATE_EPOCH where that is set.
BORN: Final = 315_532_800
ROOTS: Final = "cacerts.pem"
SCRIPT_NAME: Final = "launch.py"
SCRIPT: Final = """\
import sys

sys.path.append(__file__.rpartition("/")[0] + "/site")

from ambergate.cli.enclave import main

main()
"""
# glibc's own, which Gramine brings patched in its runtime directory. Source: gramine, subprojects/glibc.
_OF_GRAMINE: Final = re.compile(
    r"(?:ld-linux-x86-64|ld-\d[\d.]*|libc|libm|libdl|libpthread|librt|libutil|libresolv|libanl|libnss_\w+|libthread_db)"
    r"(?:-\d[\d.]*)?\.so[.\d]*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The agent's files.

    Attributes:
        files: where each is from, by its path in the directory.
        texts: files that are made, by theirs.
    """

    files: Mapping[str, Path]
    texts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The agent's files, read.

    Attributes:
        contents: of each file, by its path in the directory, sorted.
    """

    contents: Mapping[str, bytes]

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each, in hex."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contents.items()}


def gather(rehearsal: Path, *, secrets: bool, shim: Path | None, roots: bytes | None = None) -> Agent:
    """The files that the launcher takes, of this interpreter and this installation.

    Args:
        rehearsal: the program that does what the launcher does, and tells what it loaded (`cli/_rehearsal.py`).
        secrets: whether it is to unwrap secrets, which takes cryptography.
        shim: the compiled library; None for prefetching.
        roots: PEM certificates that it verifies services with.

    Raises:
        Unavailable: the interpreter does not tell, or loads something from a place that nobody knows.
    """
    loaded = _rehearse(rehearsal, secrets=secrets)
    interpreter = Path(sys.executable).resolve()
    library = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    # Not by the environment's own names for them: in a virtual environment they stay in the interpreter's place.
    compiled = Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})).resolve()
    places = [*((site.resolve(), "site") for site in _sites(secrets=secrets)), (compiled, library), (standard, library)]
    # By os.py an interpreter finds its library, though it needs it not.
    files = {"bin/python3": interpreter, f"{library}/os.py": standard / "os.py"}
    files.update({_placed(file, places): file for file in loaded.modules})
    known = {file.resolve() for file in files.values()}
    others = {file.resolve() for file in loaded.mapped} - known
    for name, file in _named(others, (file for file in known if file.suffix == ".so" or file == interpreter)):
        files[f"lib/{name}"] = file
    if shim is not None:
        files["site/ambergate/devices/shim/libamber_dev.so"] = shim
    texts = {SCRIPT_NAME: SCRIPT.encode(), **({ROOTS: roots} if roots is not None else {})}
    return Agent(files=dict(sorted(files.items())), texts=texts)


def measure(agent: Agent) -> Measured:
    """Read the agent's files, each once: what is hashed is what is copied.

    Raises:
        SettingsError: one cannot be read.
        TooLarge: there are too many, or one is too long.
    """
    if len(agent.files) > MAX_FILES:
        raise TooLarge("the agent has too many files", seen=len(agent.files), wanted=f"<= {MAX_FILES}")
    contents = {**{name: _content(path) for name, path in agent.files.items()}, **agent.texts}
    return Measured(contents=dict(sorted(contents.items())))


@contextlib.contextmanager
def staged(measured: Measured, directory: Path, *, born: int = BORN) -> Iterator[None]:
    """Copy the agent's files into a directory, which is put in its place, whole, when what is done inside went well.

    Args:
        measured: the files.
        directory: where to; an earlier one of ours is replaced.
        born: the files' times, in seconds since the epoch.

    Raises:
        SettingsError: a file cannot be written, or the directory is none of ours; nothing is changed then.
    """
    if os.path.lexists(directory) and not _is_ours(directory):
        hint = "give another place by --agent-dir, or remove it"
        raise SettingsError(
            "the agent's directory is something else", code="settings-output", seen=directory, hint=hint
        )
    library = next(name for name in measured.contents if name.endswith("/os.py"))
    with whole_directory(directory) as fresh:
        for name, content in measured.contents.items():
            _put(fresh / name, content, executable=name.startswith("bin/"), born=born)
        # An interpreter complains where there is no such place, even if it needs nothing from it.
        (fresh / library).with_name("lib-dynload").mkdir(exist_ok=True)
        for folder in (*fresh.rglob("*"), fresh):
            if folder.is_dir():
                folder.chmod(0o755)
                os.utime(folder, (born, born))
        yield


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What an interpreter loaded: files of modules, and files that are mapped to be executed."""

    modules: tuple[Path, ...]
    mapped: tuple[Path, ...]


def _rehearse(rehearsal: Path, *, secrets: bool) -> _Loaded:
    sites = json.dumps([str(site) for site in _sites(secrets=secrets)])
    command = [sys.executable, "-I", "-S", "-B", str(rehearsal), sites, "secrets" if secrets else "tokens"]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and our own program
            command, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=REHEARSAL_SECONDS, check=True
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        said = getattr(exc, "stderr", None) or str(exc).encode()
        raise Unavailable(
            "the agent's files cannot be found out",
            code="no-agent",
            seen=said.decode("utf-8", "replace").strip()[-300:],
            hint="the launcher must be importable by this interpreter: is ambergate installed whole?",
        ) from exc
    return _Loaded(tuple(map(Path, told["modules"])), tuple(map(Path, told["mapped"])))


def _sites(*, secrets: bool) -> list[Path]:
    """Where the packages are that the launcher takes."""
    found: dict[Path, None] = {}
    for name in ("ambergate", *(("cryptography", "_cffi_backend") if secrets else ())):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise Unavailable("a package of the agent is not here", code="no-agent", seen=name)
        origin = Path(spec.origin)
        found[origin.parent.parent if spec.submodule_search_locations else origin.parent] = None
    return list(found)


def _placed(file: Path, places: Iterable[tuple[Path, str]]) -> str:
    """Where a module's file goes."""
    real = file.parent.resolve() / file.name
    for place, inside in places:
        if real.is_relative_to(place):
            return f"{inside}/{real.relative_to(place)}"
    raise Unavailable("a module of the agent is in a place that is none of Python's", code="no-agent", seen=file)


def _named(libraries: set[Path], users: Iterable[Path]) -> list[tuple[str, Path]]:
    """Libraries by the names under which they are looked for, but for glibc's own."""
    left = {file for file in libraries if not _OF_GRAMINE.fullmatch(file.name)}
    found = []
    for user in users:
        if not left:
            break
        for name, file in linked(user):
            if file.resolve() in left and not _OF_GRAMINE.fullmatch(name):
                left.discard(file.resolve())
                found.append((name, file))
    if left:
        seen = ", ".join(sorted(map(str, left)))
        raise Unavailable("a library of the agent has a name that nobody knows", code="no-agent", seen=seen)
    return found


def _content(path: Path) -> bytes:
    """A file's bytes. Links are followed to a file, which is looked at when it is open: it cannot change under us."""
    try:
        with path.resolve(strict=True).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_FILE + 1) if stat.S_ISREG(mode) else None
    except (OSError, RuntimeError) as exc:  # a loop of links
        seen = f"{path}: {exc.strerror if isinstance(exc, OSError) else exc}"
        raise SettingsError("a file of the agent cannot be read", code="settings-file", seen=seen) from exc
    if content is None:
        raise SettingsError("a file of the agent is no file", code="settings-file", seen=path)
    if len(content) > MAX_FILE:
        raise TooLarge("a file of the agent is too long", seen=path, wanted=f"<= {MAX_FILE} bytes")
    return content


def _put(path: Path, content: bytes, *, executable: bool, born: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if executable else 0o644)
    os.utime(path, (born, born))


def _is_ours(directory: Path) -> bool:
    try:
        return not directory.is_symlink() and (directory / SCRIPT_NAME).read_bytes() == SCRIPT.encode()
    except OSError:
        return False
