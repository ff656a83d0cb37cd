"""Installing what was built, as somebody without a network does, and using it there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scripts.release.build import digest
from scripts.release.fault import Fault, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Verifies the quote in argv[1] by nothing but the package: collateral argv[2], root argv[3].
_VERIFY: Final = """\
import sys
from datetime import UTC, datetime
from pathlib import Path
from ambergate import Collateral, TrustAnchor, parse_quote, verify_quote
quote, collateral, anchor = (Path(name) for name in sys.argv[1:])
verified = verify_quote(
    parse_quote(quote.read_bytes()), Collateral.from_json(collateral.read_text()),
    at=datetime.now(UTC), anchor=TrustAnchor.from_pem(anchor.read_text()),
)
print(verified.tcb_status.value)
"""
_QUOTED: Final = ("--report-data", "00" * 64, "-o", "cat.quote")
_WHERE: Final = "import ambergate; print(ambergate.__file__)"
_SHIM: Final = "from ambergate.devices.shim_build import find_shim; print(find_shim())"


@dataclass(frozen=True)
class Place:
    """A virtual environment of its own, and an empty directory to work in."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Place:
        """An empty environment.

        Raises:
            Fault: this interpreter cannot make one.
        """
        (folder / "work").mkdir(parents=True)
        command = [sys.executable, "-m", "venv", str(folder / "venv")]
        run(command, cwd=folder, environ=os.environ, wanted="a virtual environment (Debian package python3-venv)")
        return cls(folder)

    def run(self, program: str, *words: str, exit_code: int = 0, path: str = "/usr/bin:/bin") -> str:
        """Run a program of this environment, in its working directory, with nothing of ours around it."""
        environ = {"PATH": f"{self._bin}:{path}", "HOME": str(self.folder / "work"), "LC_ALL": "C.UTF-8"}
        command = [str(self._bin / program), *words]
        return run(
            command, cwd=self.folder / "work", environ=environ, wanted=f"exit code {exit_code}", exit_code=exit_code
        )

    def pip(self, *words: str, online: bool = False) -> str:
        """Run pip; offline unless told: it then asks no index, whatever this machine has configured."""
        options = [] if online else ["--isolated"]
        environ = (
            dict(os.environ) if online else {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "HOME": str(self.folder)}
        )
        command = [str(self._bin / "python"), "-m", "pip", "--disable-pip-version-check", *options, *words]
        return run(command, cwd=self.folder / "work", environ=environ, wanted="pip to succeed")

    @property
    def _bin(self) -> Path:
        return self.folder / "venv" / "bin"


def fill(wheelhouse: Path, requirements: Sequence[Path], *, place: Place, carried: Path) -> None:
    """Put the wheels that files of requirements name into a directory: the one step that may need a network.

    Args:
        wheelhouse: where to; made here if need be.
        requirements: the files.
        place: an environment with pip.
        carried: the project's wheels/; where it is there, no index is asked.
    """
    wheelhouse.mkdir(parents=True, exist_ok=True)
    source = ["--no-index", "--find-links", str(carried)] if carried.is_dir() else []
    for file in requirements:
        place.pip(
            *("download", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", *source),
            *("--dest", str(wheelhouse), "--requirement", str(file)),
            online=True,
        )


def install_wheel(place: Place, wheel: Path, *, extra: str, requirements: Path, wheelhouse: Path) -> None:
    """Install a wheel and what comes along, every file by its hash, and have pip say whether all fits.

    Raises:
        Fault: something is missing, or is another file.
    """
    name = f"ambergate[{extra}]" if extra else "ambergate"
    ours = place.folder / "ours.txt"
    ours.write_text(f"{name} @ {wheel.as_uri()} --hash=sha256:{digest(wheel)}\n")
    place.pip(
        *("install", "--quiet", "--no-index", "--find-links", str(wheelhouse), "--require-hashes"),
        *("--only-binary", ":all:", "--requirement", str(requirements), "--requirement", str(ours)),
    )
    place.pip("check")


def install_sdist(place: Place, sdist: Path, *, requirements: Path, wheelhouse: Path) -> None:
    """Install from source, building in isolation by what the wheelhouse holds.

    Raises:
        Fault: something is missing.
    """
    offline = ("install", "--quiet", "--no-index", "--find-links", str(wheelhouse))
    place.pip(*offline, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements))
    place.pip(*offline, str(sdist))
    place.pip("check")


def use_bare(place: Place) -> str:
    """Quote a program on a software platform, and verify that quote: by the command, and by Python.

    Returns:
        The TCB status that was found.

    Raises:
        Fault: something else came out.
    """
    work = place.folder / "work"
    installed = place.run("python", "-c", _WHERE).strip()
    if not installed.startswith(str(place.folder / "venv")):
        raise Fault("not the installed package was used", seen=installed, wanted=f"one in {place.folder}")
    place.run("amber", "simulator", "init", "platform")
    place.run("amber", "simulator", "quote", "platform", "--program", "/bin/cat", *_QUOTED)
    (collateral,) = (work / "platform" / "collateral").glob("sgx-*.json")
    anchor = work / "platform" / "root_ca.pem"
    shown = place.run("amber", "quote", "verify", "cat.quote", "--collateral", str(collateral), "--anchor", str(anchor))
    if "GENUINE" not in shown:
        raise Fault("amber quote verify does not call a genuine quote one", seen=shown, wanted="GENUINE")
    # Without the option, the root is Intel's: nobody else's may pass.
    place.run("amber", "quote", "verify", "cat.quote", "--collateral", str(collateral), exit_code=4)
    return place.run("python", "-c", _VERIFY, "cat.quote", str(collateral), str(anchor)).strip()


def use_all(place: Place) -> str:
    """Run the whole system from the installed package.

    Returns:
        The last line that the demo printed.
    """
    return place.run("amber", "demo").strip().splitlines()[-1]


def shim_of(place: Place) -> str:
    """Where the shim is found on a machine without a compiler, or the word `none`."""
    # No directory is on PATH, so that no compiler is.
    try:
        return place.run("python", "-c", _SHIM, path=str(place.folder)).strip()
    except Fault as error:
        if "no C compiler" not in (error.seen or ""):
            raise
        return "none"
