"""The key that signs an audit log's checkpoints: made once, sealed at rest, together with the log's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.stores.checkpoints import KEY_SIZE, MAX_ORIGIN, CheckpointSigner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.stores.checkpoints import CheckpointKey
    from ambergate.stores.signing_keys import SigningMaterialStore

NAME: Final = "audit.key"  # of the material: the private key, and behind it the log's origin
_SUFFIX: Final = "/audit/v1"


def checkpoint_signer(
    material: SigningMaterialStore, base_url: str, *, token_bytes: Callable[[int], bytes]
) -> CheckpointSigner:
    """The signer of this database's log. Its name is the service's address at the first start, and stays it.

    Raises:
        SettingsError: sealed under another key-encryption key, or changed since.
        Unavailable: the database does not answer.
    """
    return _signer(material.ensure(NAME, lambda: token_bytes(KEY_SIZE) + _origin(base_url).encode()))


def checkpoint_key(material: SigningMaterialStore) -> CheckpointKey | None:
    """What this database's checkpoints are checked with; None: the service has not been started yet.

    Raises:
        SettingsError: sealed under another key-encryption key, or changed since.
        Unavailable: the database does not answer.
    """
    kept = material.find(NAME)
    return None if kept is None else _signer(kept).key


def _signer(kept: bytes) -> CheckpointSigner:
    return CheckpointSigner(kept[KEY_SIZE:].decode(), kept[:KEY_SIZE])


def _origin(base_url: str) -> str:
    """Without the scheme, as logs are named; what a name may not hold stands in percent."""
    named = "".join(c if "!" <= c <= "~" and c != "+" else "".join(f"%{o:02X}" for o in c.encode()) for c in base_url)
    return named.removeprefix("https://")[: MAX_ORIGIN - len(_SUFFIX)] + _SUFFIX
