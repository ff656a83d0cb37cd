"""docs/broker.md: its commands run as written, on the broker's machine and from another; its bodies are taken."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.pages import blocks_of, run_block
from tests.integration.keybroker.forge import MR_ENCLAVE
from tests.integration.keybroker.test_cli import serving

from ambergate.core.release.kbs_form import from_kbs
from ambergate.services.keybroker.key_wire import KeyRequest
from ambergate.services.keybroker.login import LONGEST_WAIT, USER_FREE
from ambergate.services.keybroker.passwords import MAX_PASSWORD, MIN_PASSWORD
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.services.web.bodies import decode

if TYPE_CHECKING:
    from tests.integration.keybroker.forge import Forge

    from ambergate.services.web.server import TlsFiles

PAGE = (Path(__file__).parents[3] / "docs" / "broker.md").read_text(encoding="utf-8")
URL = "https://broker.example:9443"


def site(folder: Path, tls: TlsFiles, forge: Forge) -> None:
    """The files that the page names."""
    (folder / "broker.toml").write_text(
        f'[listen]\nport = 0\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
        '[store]\ndatabase = "broker.sqlite"\nkey_encryption_key = "broker.kek"\n'
        '[[issuers]]\nissuer = "https://attest.example"\njwks_file = "keys.json"\n'
    )
    (folder / "keys.json").write_text(json.dumps(forge.key_set()))
    (folder / "web.toml").write_text(f'mr_enclave = "{MR_ENCLAVE}"\n')
    (folder / "database.password").write_text("hunter2")
    for name in ("admin", "ci"):
        (folder / f"{name}.password").write_text("a good password\n")
    shutil.copy(tls.certificate.with_name("ca.pem"), folder / "ca.pem")


def test_the_commands_do_what_the_page_says(tmp_path: Path, tls: TlsFiles, forge: Forge) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == len(re.findall(r"^```bash$", PAGE, re.MULTILINE)) == 2
    site(tmp_path, tls, forge)
    here, afar = blocks
    run_block(here, tmp_path)
    with serving(tmp_path) as told:
        address = f"https://127.0.0.1:{told['listening']['port']}"
        run_block(replace(afar, text=afar.text.replace(URL, address)), tmp_path)


def test_the_bodies_are_taken() -> None:
    (bodies,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    policy, key = (line.replace("83d7...", "83" * 32) for line in bodies.splitlines())
    assert from_kbs(json.loads(policy)).tees == ("SGX",)
    assert decode(key.encode(), KeyRequest).new_key().kind.bits == 256


def test_the_permissions_are_those_that_there_are() -> None:
    listed = set()
    for line in re.findall(r"^\| (`[a-z-]+:[a-z]+`.*?) \|", PAGE, re.MULTILINE):
        first = re.findall(r"`([a-z-]*):", line)[0]
        listed |= {f"{first}:{verb}" for verb in re.findall(r"`[a-z-]*:([a-z]+)`", line)}
    assert listed == set(PERMISSIONS)


def test_the_limits_are_those_of_the_code() -> None:
    words = " ".join(PAGE.split())
    assert f"{MIN_PASSWORD} to {MAX_PASSWORD} characters" in words
    assert USER_FREE == 5
    assert "After five failed logins" in words
    assert LONGEST_WAIT.total_seconds() == 3600
    assert "up to an hour" in words
