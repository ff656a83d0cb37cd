"""Does what the launcher does, late imports included, and tells which files that took. Nobody imports this.

python3 -I -S -B _rehearsal.py '["SITE", ...]' tokens|secrets
"""

from __future__ import annotations

import contextlib
import json
import sys
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def rehearse(*, secrets: bool) -> None:
    """Load all that a token takes, and a secret."""
    import http.client  # noqa: F401
    import ssl
    import tomllib  # noqa: F401

    import ambergate.cli.enclave
    import ambergate.client.session
    import ambergate.devices.shim_launch  # noqa: F401

    ssl.create_default_context()
    "host.example".encode("idna")
    try:
        json.loads("no JSON")
    except ValueError:
        sys.excepthook(*sys.exc_info())  # how a fault is told takes modules of its own
    if secrets:
        from cryptography.hazmat.primitives.asymmetric import rsa

        from ambergate.core.release.envelope import NONCE_SIZE, SWK_SIZE, open_sealed, seal

        # Smaller than the launcher's, which takes a second to make; no other code is run for it.
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        envelope = seal(b"a secret", key.public_key(), swk=bytes(SWK_SIZE), nonce=bytes(NONCE_SIZE))
        assert open_sealed(key, envelope.wrapped_key, envelope.wrapped_swk) == b"a secret"
        rehearse_other_forms(key)


def rehearse_other_forms(key: RSAPrivateKey) -> None:
    """Load what it takes to open a JWE, and what a token wrapped. What is given here opens nothing."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.client import keybroker
    from ambergate.core.errors import AmberError
    from ambergate.core.release.jwe import EC_ALGORITHM, ENCRYPTION, RSA_ALGORITHM, encode_held_ec

    on_curve = ec.generate_private_key(ec.SECP384R1())
    encode_held_ec(on_curve.public_key())
    for private, algorithm in ((key, RSA_ALGORITHM), (on_curve, EC_ALGORITHM)):
        header = json.dumps({"alg": algorithm, "enc": ENCRYPTION, "epk": {}}).encode()
        text = ".".join([urlsafe_b64encode(header).decode().rstrip("="), "AA", "A" * 16, "AA", "A" * 22])
        with contextlib.suppress(AmberError):
            keybroker.opened_jwe(private, text.encode())
    wrapped = {
        "wrapped_key": "A" * 64,
        "wrapped_swk": "A" * 344,
        "wrapping": "RSA-OAEP-256+A256KWP",
        "algorithm": "AES",
    }
    with contextlib.suppress(AmberError):
        keybroker.opened(key, {**wrapped, "key_length": 256}, limit=1024)


def loaded() -> dict[str, list[str]]:
    """Files of modules, and files that are mapped to be executed."""
    modules = (getattr(module, "__file__", None) for name, module in sys.modules.items() if name != "__main__")
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:  # noqa: PTH123
        mapped = {line.split(None, 5)[5].strip() for line in maps if " r-xp " in line and "/" in line}
    return {"modules": sorted(file for file in modules if file and file.startswith("/")), "mapped": sorted(mapped)}


if __name__ == "__main__":
    sys.path.extend(json.loads(sys.argv[1]))
    rehearse(secrets=sys.argv[2] == "secrets")
    print(json.dumps(loaded()))
