"""A graminized image with amber settings: its program gets a token, by the launcher that was put into it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import AMBER
from tests.integration.graminize.conftest import platform_files, reader, scene
from tests.integration.gsc.conftest import SECONDS, Bench, build_app
from tests.integration.gsc.test_images import SIZES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.devices.conftest import Scene

__all__ = ["platform_files", "reader", "scene"]  # fixtures
IMAGE = "localhost/token:1"
SCRIPT = "#!/bin/sh\nprintf 'token '\nexec cat /dev/amber/token\n"


# What Gramine makes of its own, and an engine's chroot lacks: /dev/attestation, and the tmpfs of the manifest.
START = """
set -eu
cd "$1"
mkdir -p dev/attestation dev/amber
for each in null urandom; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mount --bind "$2" dev/attestation
mount -t tmpfs tmpfs dev/amber
mount -t proc proc proc
shift 2
exec chroot . "$@"
"""


def started_with(bench: Bench, image: str, platform_files: Path) -> str:
    """What the image's entrypoint says, on the software platform."""
    entrypoint = json.loads(bench.buildah("inspect", "--type", "image", image))["OCIv1"]["config"]["Entrypoint"]
    container = bench.buildah("from", "--pull=never", image).strip()
    try:
        root = bench.buildah("mount", container).strip()
        alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", START, "sh"]
        ran = bench.run([*alone, root, str(platform_files), *entrypoint])
    finally:
        bench.buildah("rm", container)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("delivery", ["shim", "prefetch"])
def test_a_token_inside_an_image_that_was_built_signed_and_registered_in_one_go(
    bench: Bench, signing_key: Path, scene: Scene, platform_files: Path, delivery: str
) -> None:
    build_app(bench, 'COPY read.sh /srv/read.sh\nENTRYPOINT ["/srv/read.sh"]\n', IMAGE, read__sh=SCRIPT)
    settings = {
        "amber_url": scene.environ["AMBER_URL"],
        "amber_ip": "127.0.0.1",
        "amber_apikey": scene.api_key,
    }
    lines = "".join(f'sgx.{name} = "{value}"\n' for name, value in settings.items())
    bench.write("app.manifest", SIZES + lines)
    roots = scene.environ["AMBER_CACERTS"]
    flags = ("--delivery", delivery, "--cacerts", roots, "--insecure-measure-apikey", "--require", "token")
    made = scene.stage.amber(
        "apikey", "create", "--config", "attestation.toml", "--label", "o", "--scope", "manage", "--json"
    )
    bench.write("manage.key", json.loads(made)["key"])
    where = ("--register", scene.stage.attestation_url, "--apikey-file", "manage.key", "--register-cacerts", roots)
    key = ("--sign-with", str(signing_key), "--passphrase-file", str(signing_key.with_name("passphrase")))
    done = bench.amber(
        "gsc", "build", IMAGE, "app.manifest", "--rm", *flags, *key, *where, "--name", f"by-{delivery}", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == f"gsc-{IMAGE}"
    assert json.loads(done.stdout)["policy_was"] == "created"

    said = started_with(bench, f"gsc-{IMAGE}", platform_files)
    token = said.removeprefix("token ").strip()
    checked = subprocess.run(
        [
            *(*AMBER, "token", "check", "-", "--jwks", f"{scene.stage.attestation_url}/certs", "--cacerts", roots),
            *("--issuer", scene.stage.issuer, "--accept-simulated", "--json"),
        ],
        input=token,
        env=scene.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert checked.returncode == 0, checked.stderr
