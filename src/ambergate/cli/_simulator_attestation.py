"""`amber simulator attestation`: Gramine's `/dev/attestation` in a directory, on the software platform."""

from __future__ import annotations

import errno
import importlib
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from ambergate.cli._client import SIMULATOR_VARIABLE, say
from ambergate.cli._common import echo_json, json_option, now, reports_errors
from ambergate.core.errors import SettingsError, Unavailable
from ambergate.devices import fuse
from ambergate.simulator.attestation_mount import MODES, AttestationFiles, Process, process_of
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LOUD: Final = "SIMULATED attestation: whoever trusts this platform's root trusts what anybody can forge"
_MAX_THREADS: Final = 8  # requests answered at once; none waits for anything but this processor
_MAX_THREADS_SINCE: Final = 312  # libfuse 3.12 took the option of that name
_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


class _OpenFile(Protocol):
    """What libfuse keeps of an open file."""

    flags: int
    fh: int
    direct_io: int


class _Operations:
    """The operations that libfuse calls, in mfusepy's form; each raises `OSError` for its errno.

    Args:
        files: the files' rules.
        caller: the thread that asks, as libfuse tells it.
        born: the files' times, in nanoseconds since the epoch.
        on_ready: called once the kernel has been told that somebody answers.
    """

    use_ns: Final = True  # mfusepy: times are nanoseconds

    def __init__(
        self, files: AttestationFiles, *, caller: Callable[[], int], born: int, on_ready: Callable[[], None]
    ) -> None:
        self._files = files
        self._caller = caller
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._open: dict[int, bytes] = {}  # handle -> the value as it was when the file was opened
        self._last = 0
        self._common = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        self._common |= dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), born)

    def init(self, _path: str) -> None:
        """The file system begins."""
        self._on_ready()

    def getattr(self, path: str, _fi: object = None) -> Mapping[str, int]:
        """What a file or the directory is."""
        if path == "/":
            return {**self._common, "st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2}
        name = _name(path)
        return {
            **self._common,
            "st_mode": stat.S_IFREG | MODES[name],
            "st_nlink": 1,
            "st_size": self._files.size(name),
        }

    def readdir(self, _path: str, _fh: object) -> Iterable[str]:
        """The names below the directory."""
        return (".", "..", *MODES)

    def open(self, path: str, fi: _OpenFile) -> int:
        """A file is opened: its value is made now, and stays for as long as it is open."""
        name = _name(path)
        process = self._process()
        reads = fi.flags & os.O_ACCMODE != os.O_WRONLY
        value = self._files.content(name, process) if reads else b""
        with self._lock:
            self._last += 1
            fi.fh = self._last
            self._open[fi.fh] = value
        fi.direct_io = 1  # every read and write comes here, each write as the program made it
        return 0

    def read(self, _path: str, size: int, offset: int, fi: _OpenFile) -> bytes:
        """Bytes are asked for."""
        return self._open[fi.fh][offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, _fi: _OpenFile) -> int:
        """Bytes come."""
        return self._files.write(_name(path), data, offset, self._process())

    def truncate(self, path: str, length: int) -> int:
        """A shell's redirection empties a file before it writes; the value stays until another comes."""
        _name(path)
        if length != 0:
            raise _error(errno.EINVAL, path)
        return 0

    def create(self, path: str, _mode: int, _fi: object) -> int:
        """There are no other files."""
        raise _error(errno.EACCES, path)

    def unlink(self, path: str) -> int:
        """These files stay."""
        raise _error(errno.EACCES, path)

    def release(self, _path: str, fi: _OpenFile) -> int:
        """The last descriptor is closed."""
        with self._lock:
            self._open.pop(fi.fh, None)
        return 0

    def _process(self) -> Process:
        """Whose values are meant: a process that cannot be told from others gets none."""
        process = process_of(self._caller())
        if process is None:
            raise _error(errno.EACCES, "a process of another pid namespace")
        return process


@click.group("attestation")
def attestation_group() -> None:
    """Gramine's /dev/attestation on the software platform, for gramine-direct and for programs written for it."""


@attestation_group.command()
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@click.option(
    "--platform",
    "place",
    required=True,
    type=_DIRECTORY,
    envvar=SIMULATOR_VARIABLE,
    help=f"The software platform's directory [{SIMULATOR_VARIABLE}].",
)
@click.option(
    "--program",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that is measured as every asking program; a specimen when not given.",
)
@click.option("--debug", is_flag=True, help="The enclave runs under debug.")
@json_option
@reports_errors
def mount(directory: Path, place: Path, program: Path | None, *, debug: bool, as_json: bool) -> None:
    """Keep attestation_type, user_report_data, quote and their kin mounted on DIR until SIGTERM or Ctrl-C.

    Only this user can use them. Each process has report data of its own, as in Gramine. Quotes are signed by the
    software platform: they prove nothing about hardware, and verify under its root alone.
    """
    reason = fuse.why_not()
    if reason is not None:
        raise Unavailable("there is no FUSE here", code="no-fuse", seen=reason)
    if not directory.is_dir():
        raise SettingsError("the directory is not there", seen=directory)
    target = directory.resolve()
    platform = SimulatedPlatform.load(place)
    enclave = replace(EnclaveIdentity.of_program([program]) if program else SPECIMEN, debug=debug)
    described = {
        "directory": str(target),
        "simulated": True,
        "root": str(place.absolute() / ROOT),
        "mr_enclave": enclave.mr_enclave.hex(),
        "mr_signer": enclave.mr_signer.hex(),
        "debug": enclave.debug,
    }
    _serve(AttestationFiles(platform, enclave), target, on_ready=lambda: _announce(described, as_json=as_json))


def _announce(described: Mapping[str, object], *, as_json: bool) -> None:
    say(LOUD)
    if as_json:
        echo_json(described)
        return
    width = max(map(len, described))
    for name, value in described.items():
        click.echo(f"{name:{width}}  {value}")


def _serve(files: AttestationFiles, directory: Path, *, on_ready: Callable[[], None]) -> None:
    """Answer the kernel until a signal ends it, or somebody unmounts it."""
    found = fuse.library()
    assert found is not None, "asked before"
    name, libfuse = found
    # By itself mfusepy would take libfuse2 where both are there; it looks for its library when it is imported.
    os.environ["FUSE_LIBRARY_PATH"] = name
    mfusepy: Any = importlib.import_module("mfusepy")
    # Both or none: libfuse complains of the idle ones when they are not given.
    threads = {"max_threads": _MAX_THREADS, "max_idle_threads": _MAX_THREADS}
    if libfuse.fuse_version() < _MAX_THREADS_SINCE:
        threads = {}
    answered = threading.Event()

    def ready() -> None:
        answered.set()
        on_ready()

    operations = _Operations(
        files,
        caller=lambda: int(mfusepy.fuse_get_context()[2]),
        born=int(now().timestamp() * 1e9),
        on_ready=ready,
    )
    try:
        mfusepy.FUSE(
            operations,
            str(directory),
            raw_fi=True,
            foreground=True,
            fsname="amber-simulated-attestation",
            default_permissions=True,
            **threads,
        )
    except RuntimeError as exc:  # mfusepy's way to give libfuse's exit code; a signal counts as a failure
        if not answered.is_set():
            raise Unavailable(
                "the file system could not be mounted",
                code="no-fuse",
                seen=f"libfuse ended with {exc}",
                hint="libfuse said more above; without root it needs the Debian package fuse3",
            ) from exc


def _name(path: str) -> str:
    name = path[1:]
    if name not in MODES:
        raise _error(errno.ENOENT, path)
    return name


def _error(number: int, what: str) -> OSError:
    return OSError(number, os.strerror(number), what)
