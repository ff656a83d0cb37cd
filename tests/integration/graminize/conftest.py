"""Manifests that are converted and then started, in a closed root, on the software platform."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import (
    AMBER,
    SECONDS,
    Scene,
    clean_environment,
    line,
    reader,
    scene,
    why_no_fuse,
)

from ambergate.devices.shim_build import why_no_shim
from ambergate.graminize.linking import linked

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reader", "scene"]  # fixtures of the devices' tests

LOADER = Path(__file__).parent / "loader.py"
MANIFEST = """\
# An application as its user describes it.
loader.entrypoint.uri = "file:libsysdb.so"
libos.entrypoint = "/app/reader" # compiled from C
loader.argv = ["reader"]
loader.env.LD_LIBRARY_PATH = "/lib"

fs.mounts = [
  { path = "/lib", uri = "file:runtime" }, # Gramine's libc
  { path = "/app", uri = "file:app" },
]

sgx.trusted_files = [
  "file:runtime/",
  "file:app/reader",
]

"""
READS_BOTH = MANIFEST.replace('["reader"]', '["reader", "/dev/amber/token", "/dev/amber/secret"]')


@dataclass(frozen=True)
class Yard:
    """A directory with an application and its manifest, and a running platform.

    `manifest` and `outside` are what a conversion wrote, where there was one.
    """

    folder: Path
    attestation: Path
    scene: Scene
    manifest: str = ""
    outside: str = ""

    def write(self, text: str, name: str = "app.manifest") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def settings(self, **other: str) -> str:
        """The settings for the services that run."""
        environ = self.scene.environ
        values = {
            "amber_url": environ["AMBER_URL"],
            "amber_ip": "127.0.0.1",
            "amber_cacerts": environ["AMBER_CACERTS"],
            "amber_apikey": self.scene.api_key,
            "kbs_url": environ["AMBER_KBS_URL"],
            "kbs_ip": "127.0.0.1",
            "kbs_keyid": environ["AMBER_KBS_KEYID"],
            **other,
        }
        return "".join(f'sgx.{name} = "{value}"\n' for name, value in values.items() if value)

    def amber(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*AMBER, *arguments],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def convert(self, *flags: str, name: str = "app.manifest") -> subprocess.CompletedProcess[str]:
        done = self.amber("manifest", "convert", name, "-o", "out.manifest", *flags)
        assert done.returncode == 0, done.stderr
        return done

    def start(self, *host: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        """What the converted manifest starts, to its end."""
        return subprocess.run(
            [sys.executable, str(LOADER), str(self.folder / "out.manifest"), str(self.attestation), *host],
            env={**clean_environment(), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )


@contextlib.contextmanager
def attestation(platform: Path, program: Path, directory: Path) -> Iterator[None]:
    """Gramine's pseudo-files for this program, while it lasts."""
    directory.mkdir()
    command = (
        "simulator",
        "attestation",
        "mount",
        str(directory),
        "--platform",
        str(platform),
        "--program",
        str(program),
    )
    with subprocess.Popen(
        [*AMBER, *command], env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert line(process).startswith("directory")
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def shim() -> None:
    """Converting carries the shim into the enclave."""
    if (reason := why_no_shim()) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def platform_files(tmp_path_factory: pytest.TempPathFactory, scene: Scene, reader: Path) -> Iterator[Path]:
    """`/dev/attestation` of a platform that both services know."""
    reason = why_no_fuse()
    if reason is not None:
        pytest.skip(f"FUSE: {reason}")
    if os.geteuid() != 0:
        pytest.skip("a root of one's own with devices in it takes root")
    directory = tmp_path_factory.mktemp("attestation") / "files"
    with attestation(Path(scene.environ["AMBER_SIMULATOR"]), reader, directory):
        yield directory


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This system's libc, where Gramine's would be."""
    directory = tmp_path_factory.mktemp("runtime") / "runtime"
    directory.mkdir()
    for name in ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2"):
        found = next(iter(Path("/lib").glob(f"*/{name}")), None)
        if found is not None:
            shutil.copy(found, directory / name)
    for name, path in linked(Path("/bin/sh")):
        shutil.copy(path, directory / Path(name).name)
    return directory


def laid_out(folder: Path, scene: Scene, reader: Path, files: Path, runtime: Path) -> Yard:
    (folder / "app").mkdir()
    shutil.copy(reader, folder / "app" / "reader")
    (folder / "runtime").symlink_to(runtime)
    return Yard(folder, files, scene)


@pytest.fixture
def yard(
    tmp_path: Path,
    scene: Scene,
    reader: Path,
    platform_files: Path,
    runtime: Path,
) -> Yard:
    return laid_out(tmp_path, scene, reader, platform_files, runtime)


@pytest.fixture(scope="session")
def converted_once(
    tmp_path_factory: pytest.TempPathFactory,
    scene: Scene,
    reader: Path,
    platform_files: Path,
    runtime: Path,
) -> Yard:
    """A manifest that was converted for the shim, with an external file."""
    yard = laid_out(tmp_path_factory.mktemp("converted"), scene, reader, platform_files, runtime)
    yard.write(READS_BOTH + yard.settings())
    yard.convert("--external-config", "outside.toml")
    texts = [(yard.folder / name).read_text() for name in ("out.manifest", "outside.toml")]
    return replace(yard, manifest=texts[0], outside=texts[1])


@pytest.fixture
def converted(converted_once: Yard) -> Yard:
    """The same, as it was written."""
    converted_once.write(converted_once.manifest, "out.manifest")
    converted_once.write(converted_once.outside, "outside.toml")
    return converted_once
