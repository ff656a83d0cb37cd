"""The configuration of either service, for commands about what both have: a database, its key, an audit log."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from ambergate.stores.key_encryption import KeyPlace


class ServiceFiles(Protocol):
    """What both configurations name."""

    @property
    def database(self) -> Path | str:
        """A file, or a PostgreSQL URL."""

    @property
    def key_encryption_key(self) -> KeyPlace:
        """Where the key is that the database's secrets are sealed under."""

    @property
    def checkpoint(self) -> Path:
        """The audit log's pin."""


def load_either(config: Path) -> ServiceFiles:
    """The configuration in this file, of whichever service it is: a key broker's names whose tokens it believes.

    Raises:
        SettingsError: it does not load.
    """
    from ambergate.services.attestation.config import load as load_attestation
    from ambergate.services.keybroker.config import load as load_keybroker

    try:
        broker = "issuers" in tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        broker = False  # whoever loads it strictly says what is the matter
    return load_keybroker(config) if broker else load_attestation(config)
