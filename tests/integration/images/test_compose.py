"""deploy/compose, started for real where a Docker daemon answers: its page's commands, as they are written."""

from __future__ import annotations

import faulthandler
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scripts.pages import blocks_of
from tests.integration.images.conftest import PROJECT, SECONDS, Images, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE = PROJECT / "deploy" / "compose"
PLUGIN = PROJECT / "build" / "deploy-tools" / "bin" / "docker-compose"
POSTGRES = "/usr/lib/postgresql/15/bin"
PACKAGES = "postgresql-15,python3-minimal,libpython3-stdlib,dash,tzdata"
OWNER = 999  # as compose.yaml has it


@pytest.fixture(scope="session")
def daemon() -> None:
    """Skips, with the reason, where there is none: before anything is built for it."""
    if not PLUGIN.exists():
        pytest.skip("build/deploy-tools is not there (make deploy-tools)")
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    if subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=60).returncode != 0:
        pytest.skip("no Docker daemon answers")


@pytest.fixture
def names(daemon: None, images: Images) -> Iterator[dict[str, str]]:
    """The images, under names of this run's own in the daemon: for compose's variables."""
    del daemon
    faulthandler.cancel_dump_traceback_later()  # as for the images: each program has its own time
    mark = secrets.token_hex(4)
    _postgres(images)
    given = {}
    for variable, image in (
        ("ATTESTATION_IMAGE", name_of("attestation")),
        ("KEYBROKER_IMAGE", name_of("keybroker")),
        ("POSTGRES_IMAGE", "localhost/postgres"),
    ):
        given[variable] = f"{image}:{mark}"
        images.run("buildah", "push", "--quiet", image, f"docker-daemon:{given[variable]}")
    yield given
    subprocess.run(["docker", "rmi", "--force", *given.values()], capture_output=True, check=False)


def _postgres(images: Images) -> None:
    """Debian's PostgreSQL, where the official image cannot be had."""
    container = images.run("buildah", "from", "scratch").stdout.strip()
    root = Path(images.run("buildah", "mount", container).stdout.strip())
    options = ("--quiet", "--variant=extract", "--mode=root", f"--include={PACKAGES}")
    images.run("mmdebstrap", *options, "bookworm", str(root))
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/i18n"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for library in root.glob("usr/lib/x86_64-linux-gnu/libLLVM*"):  # compiles queries, if one asks for it
        library.unlink()
    for folder, mode in (
        ("docker-entrypoint-initdb.d", 0o755),
        ("var/lib/postgresql/data", 0o700),
        ("var/run/postgresql", 0o1777),
        ("proc", 0o755),
        ("sys", 0o755),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder).chmod(mode)
    os.chown(root / "var/lib/postgresql/data", OWNER, OWNER)
    (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/false\npostgres:x:{OWNER}:{OWNER}::/:/bin/false\n")
    shutil.copy(Path(__file__).with_name("postgres_start"), root / "usr/bin/postgres_start")
    images.run("buildah", "config", "--entrypoint", '["/usr/bin/postgres_start"]', container)
    images.run("buildah", "config", "--env", f"PATH={POSTGRES}:/usr/bin:/bin", container)
    images.run("buildah", "commit", "--quiet", "--rm", container, "localhost/postgres")


def _port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.usefixtures("daemon")
def test_the_page_from_nothing_to_a_secret(images: Images, names: dict[str, str], tmp_path: Path) -> None:
    (block,) = blocks_of((COMPOSE / "README.md").read_text(encoding="utf-8"))
    folder = tmp_path / "compose"
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns("secrets", "laptop"))
    plugins = tmp_path / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(PLUGIN)
    first, second = _port(), _port()
    text = block.text.replace("8443", first).replace("9443", second).replace("sudo ", "")  # the test is root
    environ = {
        **images.environ,
        **names,
        "DOCKER_CONFIG": str(plugins.parent),
        "COMPOSE_PROJECT_NAME": f"ambergate-{secrets.token_hex(4)}",
        "ATTESTATION_PORT": first,
        "KEYBROKER_PORT": second,
        "ATTESTATION_URL": f"https://localhost:{first}",
    }
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", text]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 0, done.stderr[-4000:]
        for words in block.shows:
            assert words in done.stdout
    finally:
        down = ["docker", "compose", "--file", "compose.yaml", "down", "--volumes", "--timeout", "2"]
        subprocess.run(down, cwd=folder, env=environ, capture_output=True, check=False, timeout=SECONDS)
