"""What the commands of the client share: where settings and evidence come from."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from ambergate.client.loading import load, read_file
from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.client.ports import EvidenceSource
    from ambergate.client.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

SIMULATOR_VARIABLE: Final = "AMBER_SIMULATOR"
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


program_option: Final = click.option(
    "--program",
    default=sys.executable,
    metavar="FILE",
    help="What the software platform measures; this interpreter when not given.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user chose by flags; None and False where nothing was chosen."""

    manifest: Path | None
    url: str | None
    ip: str | None
    apikey_file: Path | None
    userdata: str | None
    cacerts: Path | None
    kbs_url: str | None
    kbs_ip: str | None
    kbs_keyid: str | None
    kbs_envelope: str | None
    timeout: str | None
    simulate: bool
    simulator: Path | None

    def settings(self) -> Settings:
        """The settings, with warnings told.

        Raises:
            SettingsError: one of them is unusable.
        """
        texts = {
            "endpoint_url": self.url,
            "endpoint_ip": self.ip,
            "userdata": self.userdata,
            "kbs_url": self.kbs_url,
            "kbs_ip": self.kbs_ip,
            "kbs_keyid": self.kbs_keyid,
            "kbs_envelope": self.kbs_envelope,
            "timeout": self.timeout,
        }
        flags = {name: None if text is None else os.fsencode(text) for name, text in texts.items()}
        flags["cacerts"] = None if self.cacerts is None else read_file(self.cacerts, "--cacerts")
        flags["endpoint_apikey"] = None if self.apikey_file is None else read_file(self.apikey_file, "--apikey-file")
        loaded = load(manifest=self.manifest, environ=os.environ, flags=flags)
        # The software platform has no manifest to obey; inside SGX the warning decides whether there is a quote.
        for warning in loaded.warnings:
            say(f"warning: {warning}")
        return loaded.settings

    def source(self, program: str) -> EvidenceSource:
        """Where evidence comes from: the software platform only when the user said so.

        Args:
            program: what the software platform measures.

        Raises:
            SettingsError: there is no software platform there, or no such program.
            Unavailable: this process runs in no trusted execution environment.
        """
        if not self.simulate and self.simulator is None:
            from ambergate.attester.detect import detect

            return detect()
        directory = self.simulator or Path(os.environ.get(SIMULATOR_VARIABLE) or _default_simulator())
        if not directory.is_dir():
            raise SettingsError(
                "there is no software platform here",
                seen=directory,
                wanted=f"--simulator DIR, or its directory in {SIMULATOR_VARIABLE}",
                hint=f"make one: amber simulator init {directory}",
            )
        return SimulatedProgram(directory.absolute(), measured_file(program))


class SimulatedProgram:
    """A program on the software platform, measured and loaded at first need: the program's start does not wait."""

    tee: Final = "SGX"

    def __init__(self, directory: Path, program: Path) -> None:
        self._directory = directory
        self._program = program
        self._lock = threading.Lock()
        self._loaded: EvidenceSource | None = None

    def quote(self, report_data: bytes, /) -> bytes:
        """A quote by the software platform. Raises as it does."""
        return self.load().quote(report_data)

    def load(self) -> EvidenceSource:
        """The platform, loaded and the program measured.

        Raises:
            SettingsError: one of them cannot be read.
        """
        with self._lock:
            if self._loaded is None:
                from ambergate.simulator.cpu import EnclaveIdentity
                from ambergate.simulator.evidence import SimulatedEvidenceSource
                from ambergate.simulator.platform import SimulatedPlatform

                identity = EnclaveIdentity.of_program([self._program])
                self._loaded = SimulatedEvidenceSource(SimulatedPlatform.load(self._directory), identity)
            return self._loaded


def client_options(command: Callable[P, R]) -> Callable[..., R]:
    """The flags of a client; the command gets them as one `Choice` named `chosen`."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs["chosen"] = Choice(**{field.name: kwargs.pop(field.name) for field in fields(Choice)})  # type: ignore[arg-type]  # click made them so
        return command(*args, **kwargs)

    decorated: Any = wrapped
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators keep the type


def measured_file(program: str) -> Path:
    """The file of a program as the shell would find it.

    Raises:
        SettingsError: there is none.
    """
    found = shutil.which(program)
    if found is None:
        raise SettingsError("the program is not there or not executable", code="settings-program", seen=program)
    return Path(found).resolve()


def say(line: str) -> None:
    """One line for the user, beside whatever the program prints."""
    click.echo(f"amber: {line}", err=True)


def fail_write(path: Path, error: OSError) -> SettingsError:
    """The error for an output file that cannot be written."""
    return SettingsError("the output cannot be written", seen=f"{path}: {error.strerror}")


def write_out(content: bytes, output: Path | None) -> None:
    """Bytes to a new or replaced file that only its owner can read, or to standard output.

    Raises:
        SettingsError: the file cannot be written.
    """
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(f".{output.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - from a descriptor
            file.write(content)
        fresh.replace(output)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise fail_write(output, exc) from exc


def _default_simulator() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "ambergate" / "simulator"


_OPTIONS: Final = (
    click.option("--manifest", type=_FILE, help="A Gramine manifest with sgx.amber_* and sgx.kbs_* settings."),
    click.option("--url", metavar="URL", help="The attestation API, https://host:443/appraisal/v1/ [AMBER_URL]."),
    click.option("--ip", metavar="ADDRESSES", help="Where to connect instead of asking the resolver [AMBER_IP]."),
    click.option("--apikey-file", type=_FILE, help="A file that holds the API key [AMBER_APIKEY_FILE]."),
    click.option("--userdata", metavar="TEXT", help="Data that the evidence binds [AMBER_USERDATA]."),
    click.option("--cacerts", type=_FILE, help="PEM roots that verify the services [AMBER_CACERTS]."),
    click.option("--kbs-url", metavar="URL", help="The key broker, https://host:9443/kbs/v1/keys/ [AMBER_KBS_URL]."),
    click.option("--kbs-ip", metavar="ADDRESSES", help="As --ip, for the key broker [AMBER_KBS_IP]."),
    click.option("--kbs-keyid", metavar="ID", help="The secret's id [AMBER_KBS_KEYID]."),
    click.option(
        "--kbs-envelope",
        metavar="ALGORITHM",
        help="Have the secret as a JWE: RSA-OAEP-256 or ECDH-ES+A256KW [AMBER_KBS_ENVELOPE].",
    ),
    click.option("--timeout", metavar="SECONDS", help="For one request, 30 when not given [AMBER_TIMEOUT]."),
    click.option("--simulate", is_flag=True, help="Make evidence on the software platform: it proves nothing."),
    click.option("--simulator", type=_DIRECTORY, help=f"The software platform's directory [{SIMULATOR_VARIABLE}]."),
)
