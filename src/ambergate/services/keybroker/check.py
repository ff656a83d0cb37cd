"""Everything that the key broker's configuration names, looked at before the broker needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.errors import AmberError, SettingsError
from ambergate.core.token.check import KeySet
from ambergate.services.keybroker.fetch import KeySetFile
from ambergate.services.web.settings.files import check_database, check_tls, check_writable
from ambergate.stores.key_encryption import check_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ambergate.services.keybroker.config import Config
    from ambergate.services.web.settings.problems import Problems


def check_named(config: Config, at: datetime, problems: Problems) -> None:
    """Look at the files that the configuration names. Nothing is made, written or fetched.

    Roots of `[[issuers]]` and what `[verifier]` names were read when the configuration was.

    Args:
        config: the configuration.
        at: now, aware.
        problems: takes what is wrong.
    """
    problems.attempt(check_tls, config.tls, at)
    problems.attempt(check_database, config.database)
    if config.version_keys is not None:
        problems.attempt(check_database, config.version_keys)
    problems.attempt(check_key, config.key_encryption_key)
    problems.attempt(check_writable, config.checkpoint, "audit.checkpoint")
    if config.metrics is not None and config.metrics.tls is not None:
        problems.attempt(check_tls, config.metrics.tls, at, "metrics")
    for file in config.key_set_files:
        problems.attempt(_check_key_set, file)


def _check_key_set(file: Path) -> None:
    try:
        KeySet.from_json(KeySetFile(file)())
    except AmberError as exc:
        raise SettingsError(
            "issuers.jwks_file cannot be used", seen=f"{file}: {exc.message}", wanted=exc.wanted
        ) from exc
