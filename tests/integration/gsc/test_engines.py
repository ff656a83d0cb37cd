"""The other engines: the same image, the same measurement, and it starts. Each is really run where it is at hand."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.gsc.conftest import APP, GRAMINE, Bench
from tests.integration.gsc.test_images import EPOCH, SIZES, done

from ambergate.core.errors import Unavailable
from ambergate.graminize.gsc.engine import find_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.gsc.test_images import Graminized

__all__ = ["done"]  # fixtures
# Of containers.conf: where a machine's cgroups are not what podman's own runtime wants, as in many containers.
BY_RUNC = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""


@dataclass(frozen=True)
class Other:
    """An engine with the application's image in it, under a name of this test's own."""

    name: str
    image: str
    bench: Bench

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.bench.run([self.name, *arguments])

    def amber(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.bench.amber("gsc", *arguments, "--engine", self.name, SOURCE_DATE_EPOCH=EPOCH)


def podman(bench: Bench) -> Bench:
    """podman by the storage that buildah filled, with settings by which it starts containers here."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (scripts/system-packages)")
    said = ""
    for settings in (BY_RUNC, ""):
        conf = bench.write("containers.conf", settings)
        environ = {**bench.environ, "CONTAINERS_CONF": str(conf), "BUILDAH_ISOLATION": "chroot"}
        able = replace(bench, environ=environ)
        tried = able.run(["podman", "run", "--rm", "--network", "none", GRAMINE, "sh", "-c", ":"])
        if tried.returncode == 0:
            return able
        said = tried.stderr.strip()[-200:]
    pytest.skip(f"podman starts no containers here: {said}")


def docker(bench: Bench, images: dict[str, str]) -> Bench:
    """docker, with the images that buildah built."""
    program = shutil.which("docker")
    if program is None:
        pytest.skip("docker is not installed")
    if subprocess.run([program, "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no daemon here")
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (scripts/system-packages)")
    for image, name in images.items():
        # By a layout, which knows no names: docker would take others than ours for its own.
        bench.buildah("push", "--quiet", image, f"oci:{bench.folder}/layout")
        archive = bench.folder / "image.tar"
        bench.done("skopeo", "copy", "--quiet", f"oci:{bench.folder}/layout", f"docker-archive:{archive}:{name}")
        bench.done(program, "load", "--quiet", "--input", str(archive))
        archive.unlink()
        shutil.rmtree(bench.folder / "layout")
    return bench


def stages_over(docker: Other, image: str) -> list[str]:
    """What docker's older builder keeps of a build's first stage: images without names over this one."""

    def ids(*command: str) -> list[str]:
        return docker.run(*command).stdout.split()

    below = ids("image", "inspect", "--format", "{{.Id}}", image)
    over = []
    for each in ids("images", "--quiet", "--no-trunc", "--filter", "dangling=true"):
        parent = [each]
        while parent and parent != below:
            parent = ids("image", "inspect", "--format", "{{.Parent}}", *parent)
        over += [each] if parent else []
    return over


@pytest.fixture(params=["podman", "docker"])
def other(request: pytest.FixtureRequest, done: Graminized, tmp_path: Path) -> Iterator[Other]:
    name = f"localhost/amber-{secrets.token_hex(6)}"
    images = {APP: f"{name}:1", GRAMINE: f"{name}-gramine:1"}
    bench = Bench(tmp_path, done.bench.environ)
    if request.param == "docker":
        bench = docker(bench, images)
    else:
        bench = podman(bench)
        for image, known_as in images.items():
            bench.buildah("tag", image, known_as)
    bench.write("config.yaml", f'Gramine:\n  Image: "{name}-gramine:1"\n')
    bench.write("app.manifest", SIZES)
    engine = Other(request.param, f"{name}:1", bench)
    try:
        yield engine
    finally:
        made = (f"gsc-{name}:1", f"gsc-{name}:1-unsigned", *images.values())
        stages = [] if request.param == "podman" else stages_over(engine, images[GRAMINE])
        engine.run("rmi", "--force", *made, *stages)


def test_another_engine_measures_the_same(other: Other, done: Graminized, signing_key: Path) -> None:
    built = other.amber("build", other.image, "app.manifest", "--rm", "--json")
    assert built.returncode == 0, built.stderr
    passphrase = str(signing_key.with_name("passphrase"))
    signed = other.amber("sign-image", other.image, str(signing_key), "--passphrase-file", passphrase)
    assert signed.returncode == 0, signed.stderr
    info = other.amber("info-image", f"gsc-{other.image}", "--json")
    assert info.returncode == 0, info.stderr
    assert json.loads(info.stdout)["mr_enclave"] == done.said["mr_enclave"]
    started = other.run("run", "--rm", "--network", "none", f"gsc-{other.image}")
    assert "from /srv as 1000:1000: one two words" in started.stdout, started.stderr
    none = other.amber("info-image", "localhost/amber-none:1")
    assert (none.returncode, none.stderr.startswith("error: there is no such image here")) == (1, True)


def test_an_engine_without_its_daemon_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:

    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="daemon does not answer"):
        find_engine("docker")
