"""Images are really built, signed and started: by buildah, with a double in the place of Gramine's tools."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.integration.gsc.conftest import APP, BASE, CONFIG, PASSPHRASE, Bench, build_app

from ambergate.graminize.gsc.signing import load_key

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = '#!/usr/bin/env bash\necho "$GREETING from $PWD as $(id -u):$(id -g): $*"\n'
RECIPE = """\
COPY run.sh /srv/run.sh
WORKDIR /srv
USER app
ENTRYPOINT ["./run.sh"]
CMD ["one", "two words"]
"""
EPOCH = "1700000000"
SIZES = 'sgx.enclave_size = "1G"\nsgx.max_threads = 32\n'


@dataclass(frozen=True)
class Graminized:
    bench: Bench
    digest: str  # of the unsigned image
    said: dict[str, object]  # of its signature


def built(bench: Bench, manifest: str, *options: str, **environ: str) -> dict[str, object]:
    bench.write("app.manifest", manifest)
    done = bench.amber("gsc", "build", *options, "--json", APP, "app.manifest", **environ)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def signed(bench: Bench, key: Path) -> dict[str, object]:
    passphrase = str(key.with_name("passphrase"))
    done = bench.amber("gsc", "sign-image", APP, str(key), "--passphrase-file", passphrase, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def app(bench: Bench) -> None:
    build_app(bench, RECIPE, run__sh=SCRIPT)
    container = bench.buildah("from", "--pull=never", APP).strip()
    bench.buildah("config", "--env", "GREETING=hello\n{{ 6 * 7 }}", container)
    bench.buildah("commit", "--quiet", "--timestamp", "0", "--rm", container, APP)


def started(bench: Bench, image: str) -> str:
    """What the image's entrypoint says."""
    entrypoint = json.loads(bench.buildah("inspect", "--type", "image", image))["OCIv1"]["config"]["Entrypoint"]
    container = bench.buildah("from", "--pull=never", image).strip()
    try:
        # To a file: buildah's chroot was once seen to end before it had passed on what was said.
        script = ("sh", "-c", '"$@" > /said', "sh", *entrypoint)
        bench.buildah("run", "--isolation", "chroot", container, "--", *script)
        return (bench.folder / bench.buildah("mount", container).strip() / "said").read_text()
    finally:
        bench.buildah("rm", container)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, storage: dict[str, str], signing_key: Path) -> Graminized:
    """An image that was graminized and signed."""
    bench = Bench(tmp_path_factory.mktemp("graminized"), storage)
    bench.write("config.yaml", CONFIG)
    app(bench)
    told = built(bench, SIZES, "--rm", SOURCE_DATE_EPOCH=EPOCH)
    assert told["image"] == f"gsc-{APP}-unsigned"
    digest = digest_of(bench, f"gsc-{APP}-unsigned")
    return Graminized(bench=bench, digest=digest, said=signed(bench, signing_key))


def digest_of(bench: Bench, image: str) -> str:
    return str(json.loads(bench.buildah("inspect", "--type", "image", image))["FromImageDigest"])


def test_the_program_is_started_as_its_image_says(done: Graminized) -> None:
    assert "hello\n{{ 6 * 7 }} from /srv as 1000:1000: one two words" in started(done.bench, f"gsc-{APP}")


def test_what_the_signature_says_and_the_policies_for_it(done: Graminized) -> None:
    bench = done.bench
    info = bench.amber("gsc", "info-image", f"gsc-{APP}", "--policy", "policies")
    assert info.returncode == 0, info.stderr
    assert f'mr_enclave = "{done.said["mr_enclave"]}"' in info.stdout
    for name in ("release-policy.toml", "attestation-policy.toml"):
        assert str(done.said["mr_enclave"]) in (bench.folder / "policies" / name).read_text()


def test_the_key_is_in_no_layer(done: Graminized, signing_key: Path) -> None:
    layout = done.bench.folder / "layout"
    done.bench.buildah("push", "--quiet", f"gsc-{APP}", f"oci:{layout}")
    blobs = [each.read_bytes() for each in (layout / "blobs/sha256").iterdir()]
    plain = b"".join(gzip.decompress(each) if each.startswith(b"\x1f\x8b") else each for each in blobs)
    assert b"entrypoint.manifest.sgx" in plain
    key = load_key(signing_key, PASSPHRASE.encode())
    clear = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).splitlines()
    assert len(clear) > 30
    for secret in (PASSPHRASE.encode(), *signing_key.read_bytes().splitlines()[1:-2], *clear[10:-2]):
        assert secret not in plain


def test_a_second_reader_finds_what_the_recipe_says(done: Graminized) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (scripts/system-packages)")
    done.bench.buildah("push", "--quiet", f"gsc-{APP}", f"oci:{done.bench.folder}/second")
    told = done.bench.run(["skopeo", "inspect", "--config", f"oci:{done.bench.folder}/second"])
    assert told.returncode == 0, told.stderr
    config = json.loads(told.stdout)["config"]
    assert config["Entrypoint"] == ["/bin/sh", "/gramine/app_files/apploader.sh"]
    assert config["WorkingDir"] == "/gramine/app_files"


def test_the_same_again_is_the_same_image_and_measurement(done: Graminized, bench: Bench, signing_key: Path) -> None:
    built(bench, SIZES, "-nc", "--rm", SOURCE_DATE_EPOCH=EPOCH)
    assert digest_of(bench, f"gsc-{APP}-unsigned") == done.digest
    assert signed(bench, signing_key)["mr_enclave"] == done.said["mr_enclave"]


def test_another_machine_can_sign(done: Graminized) -> None:
    bench = done.bench
    told = bench.amber("gsc", "sign-image", APP, "--export-for-signing", "there")
    assert told.returncode == 0, told.stderr
    there = bench.folder / "there"
    assert {each.name for each in there.iterdir()} == {"HOW-TO-SIGN.txt", "entrypoint.manifest", "libpal.so"}
    with_signature(bench, there)
    told = bench.amber("gsc", "sign-image", APP, "--import-signature", "there", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["mr_enclave"] == done.said["mr_enclave"]
    assert "as 1000:1000" in started(bench, f"gsc-{APP}")

    other = (there / "entrypoint.manifest.sgx").read_text().replace("/srv/run.sh", "/srv/other.sh", 1)
    (there / "entrypoint.manifest.sgx").write_text(other)
    told = bench.amber("gsc", "sign-image", APP, "--import-signature", "there")
    assert told.returncode == 1
    assert "the manifest of another image" in told.stderr
    (there / "entrypoint.manifest.sgx").write_text("sgx = 3\n")
    told = bench.amber("gsc", "sign-image", APP, "--import-signature", "there")
    assert (told.returncode, "no list of trusted files" in told.stderr) == (1, True)


def with_signature(bench: Bench, there: Path) -> None:
    container = bench.buildah("from", "--pull=never", f"gsc-{APP}").strip()
    root = bench.buildah("mount", container).strip()
    for name in ("entrypoint.sig", "entrypoint.manifest.sgx"):
        (there / name).write_bytes((bench.folder / root / "gramine/app_files" / name).read_bytes())
    bench.buildah("rm", container)


def test_a_failing_step_is_told_with_its_output(bench: Bench) -> None:
    image = "localhost/broken:1"
    build_app(bench, 'RUN cp /usr/bin/test /usr/bin/apt-get\nENTRYPOINT ["bash"]\n', image)
    bench.write("app.manifest", SIZES)
    done = bench.amber("gsc", "build", image, "app.manifest")
    assert done.returncode == 1
    assert re.search(r"error: buildah build failed in \[2/2\] STEP \d+/\d+: RUN apt-get", done.stderr)
    assert "--file-only" in done.stderr
    assert "gsc-localhost/broken" not in bench.buildah("images", "--all")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "app; id", "app.manifest"), "name is not usable"),
        (("build", "localhost/none:1", "app.manifest"), "no such image"),
        (("build", BASE, "app.manifest"), "starts nothing"),
        (("sign-image", "localhost/none:1", "key.pem"), "cannot be read"),
        (("info-image", BASE), "no such file"),
        (("sign-image", APP, "key.pem", "-p", "open sesame"), "seen by every user"),
    ],
)
def test_what_cannot_be_done_is_one_error(bench: Bench, arguments: tuple[str, ...], says: str) -> None:
    bench.write("app.manifest", SIZES)
    done = bench.amber("gsc", *arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "open sesame" not in done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_context_is_written_when_asked(bench: Bench) -> None:
    image = "localhost/planned:1"
    build_app(bench, 'ENTRYPOINT ["bash"]\n', image)
    bench.write("app.manifest", SIZES)
    done = bench.amber("gsc", "build", "--file-only", "context", image, "app.manifest")
    assert done.returncode == 0, done.stderr
    assert (bench.folder / "context/Dockerfile").read_text().startswith("FROM localhost/gramine-double:1 AS gramine")
    assert "gsc-localhost/planned" not in bench.buildah("images", "--all")
