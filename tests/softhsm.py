"""A token of SoftHSM in a folder of its own: a real PKCS#11 module, whose keys are made as an operator would."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

PIN = "4711"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class Token:
    """A token called `amber`, and the file of its PIN."""

    module: str
    folder: Path

    def make_aes(self, label: str, *, extractable: bool = False) -> str:
        """A key of 256 bits in it; its URI."""
        import pkcs11  # noqa: PLC0415  an extra

        template = {pkcs11.Attribute.EXTRACTABLE: extractable}
        with pkcs11.lib(self.module).get_token(token_label="amber").open(rw=True, user_pin=PIN) as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True, template=template)
        return self.uri(label)

    def uri(self, label: str) -> str:
        return f"pkcs11:token=amber;object={label}?module-path={self.module}&pin-source=file:{self.folder / 'pin'}"


def new_token(folder: Path, patch: pytest.MonkeyPatch) -> Token:
    """A fresh token; the test is skipped where there is no SoftHSM. One for a process, as the module has it."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed: scripts/system-packages")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    command = ["softhsm2-util", "--init-token", "--free", "--label", "amber", "--so-pin", "0815", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pin = folder / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    # On another thread: it leaves an error in this one's OpenSSL, which TLS in any later test would take for its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(importlib.import_module("pkcs11").lib, module).result()
    return Token(module, folder)
