"""A disk that is full while an image is built: one error that says so, and nothing half-made, wherever it happens."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.devices.conftest import AMBER
from tests.integration.gsc.conftest import Bench, build_app
from tests.integration.gsc.test_images import SIZES

if TYPE_CHECKING:
    import subprocess

IMAGE = "localhost/full:1"
# In a mount namespace of its own, with a file system of so many bytes at a directory: what is left there is told last.
FULL = """
mount -t tmpfs -o size="$2" tmpfs "$1" || exit 99
cd "$3"; place=$1; shift 3
code=0; "$@" || code=$?
find "$place" -mindepth 1 -not -path '*/store*' | sed 's/^/left: /'
exit $code
"""


def on_a_small_disk(
    bench: Bench, place: Path, size: str, *command: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    place.mkdir()
    alone = ("unshare", "--mount", "--propagation", "private", "sh", "-c", FULL, "sh")
    return bench.run([*alone, str(place), size, str(bench.folder), *command], **environ)


def says_so(done: subprocess.CompletedProcess[str]) -> None:
    """One error, with what to do; of the small disk nothing is used but by the engine's own storage."""
    assert done.returncode == 1, done.stderr
    assert "left: " not in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\nerror: ") == 1, done.stderr
    error = done.stderr[done.stderr.index("\nerror: ") :]
    assert "no space left on device" in error.lower()
    assert "make room" in error, error


@pytest.mark.parametrize(("where", "size"), [("temporary", "4m"), ("storage", "24m"), ("out", "4k")])
def test_a_full_disk(bench: Bench, tmp_path: Path, where: str, size: str) -> None:
    """Where images are unpacked, where the engine keeps them, and where only the context goes."""
    build_app(bench, 'ENTRYPOINT ["bash"]\n', IMAGE)
    bench.write("app.manifest", SIZES)
    small = tmp_path / "small"
    more: tuple[str, ...] = ()
    environ = {}
    if where == "temporary":
        environ["TMPDIR"] = str(small)
    elif where == "out":
        more = ("--file-only", str(small / "context"))
    else:
        kept = tomllib.loads(Path(bench.environ["CONTAINERS_STORAGE_CONF"]).read_text())["storage"]
        text = f'[storage]\ndriver = "vfs"\ngraphroot = "{small}/store"\nrunroot = "{small}/store-run"\n'
        conf = bench.write("small.conf", f'{text}[storage.options]\nadditionalimagestores = ["{kept["graphroot"]}"]\n')
        environ["CONTAINERS_STORAGE_CONF"] = str(conf)
    says_so(on_a_small_disk(bench, small, size, *AMBER, "gsc", "build", *more, IMAGE, "app.manifest", **environ))
    assert f"gsc-{IMAGE}" not in bench.buildah("images", "--all")
