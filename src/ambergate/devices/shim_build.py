"""Finding the shim: built into the package, or compiled here once for each user and each version of its source."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from ambergate.core.errors import Unavailable

SOURCES: Final = Path(__file__).parent / "shim"
LIBRARY: Final = "libamber_dev.so"
COMPILERS: Final = ("cc", "gcc", "clang")
_SECONDS: Final = 60  # a compiler that takes longer hangs
_SEPARATORS: Final = (" ", ":")  # ld.so(8), LD_PRELOAD
_NOBODY_ELSE: Final = stat.S_IWGRP | stat.S_IWOTH


def shim_available() -> Path | None:
    """The compiled library; None where there is none and no compiler to make it (`why_no_shim` says so)."""
    try:
        return find_shim()
    except Unavailable:
        return None


def why_no_shim() -> str | None:
    """Why there is no shim, with what brings it; None when there is one."""
    try:
        find_shim()
    except Unavailable as error:
        return f"{error.message}: {error.seen}"
    return None


def find_shim() -> Path:
    """The compiled library, compiled now if it must be.

    Raises:
        Unavailable: (`no-shim`) there is none and it cannot be compiled.
    """
    built = SOURCES / LIBRARY
    library = built if built.is_file() else _compiled_here()
    if any(mark in str(library) for mark in _SEPARATORS):
        raise _none(f"{library} cannot be named in LD_PRELOAD, where spaces and colons separate")
    return library


def compile_shim(target: Path, *flags: str, compiler: str) -> None:
    """Compile the library.

    Args:
        target: where to; replaced as a whole.
        flags: more flags for the compiler.
        compiler: its name or path.

    Raises:
        Unavailable: (`no-shim`) it cannot be compiled, or written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".shim-") as place:
            made = Path(place) / LIBRARY
            command = ("/bin/sh", str(SOURCES / "build.sh"), str(made), *flags)
            environ = {**os.environ, "CC": compiler}
            # The command is our own script; the compiler is the user's.
            subprocess.run(command, env=environ, capture_output=True, check=True, timeout=_SECONDS)  # noqa: S603
            made.replace(target)
    except subprocess.CalledProcessError as exc:
        told = exc.stderr.decode("utf-8", "replace").strip().splitlines() or [f"{compiler} gave {exc.returncode}"]
        raise _none(f"{compiler} failed: {told[0]}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise _none(f"it could not be compiled: {exc}") from exc


def _compiled_here() -> Path:
    place = _cache() / _version()
    library = place / LIBRARY
    if library.is_file():
        _only_ours(place, library)
        return library
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise _none("the package was built without it, and there is no C compiler to make it with")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _none(f"{place} cannot be made: {exc.strerror}") from exc
    _only_ours(place)
    compile_shim(library, compiler=compiler)
    _only_ours(library)
    _loadable(library)
    return library


def _loadable(library: Path) -> None:
    """The dynamic linker only warns of a library that it cannot load, and the program would go on without."""
    import ctypes  # noqa: PLC0415 - costs only who compiles

    try:
        ctypes.CDLL(str(library))
    except OSError as exc:
        library.unlink()
        raise _none(f"{exc} (is the directory mounted noexec? XDG_CACHE_HOME names another)") from exc


def _only_ours(*paths: Path) -> None:
    """What is loaded into the program must be of this user's making: nobody else may have put it there."""
    for path in paths:
        try:
            found = path.lstat()
        except OSError as exc:
            raise _none(f"{path}: {exc.strerror}") from exc
        if found.st_uid != os.geteuid() or found.st_mode & _NOBODY_ELSE or stat.S_ISLNK(found.st_mode):
            raise _none(f"{path} may be written by others than this user: remove it")


def _version() -> str:
    """Changes with every byte that the library is made from."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in {".c", ".h", ".sh"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _cache() -> Path:
    """XDG Base Directory Specification, section 3; relative paths there count as not set."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if named.startswith("/") else Path.home() / ".cache") / "ambergate" / "shim"


def _none(why: str) -> Unavailable:
    return Unavailable(
        "there is no shim here",
        code="no-shim",
        seen=why,
        hint="install a C compiler (Debian package gcc and libc6-dev), or a wheel that was built for this system",
    )
