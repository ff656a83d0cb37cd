"""Everything that the attestation service's configuration names, looked at before the service needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ambergate.services.web.settings.files import (
    check_database,
    check_folder,
    check_roots,
    check_tls,
    check_writable,
)
from ambergate.stores.key_encryption import check_key

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.services.attestation.anchors import Anchor
    from ambergate.services.attestation.config import Config
    from ambergate.services.web.settings.problems import Problems


def check_named(config: Config, at: datetime, problems: Problems) -> None:
    """Look at the files that the configuration names. Nothing is made, written or fetched.

    Certificates of `[[anchors]]` and `[policies]` were read when the configuration was.

    Args:
        config: the configuration.
        at: now, aware.
        problems: takes what is wrong.
    """
    problems.attempt(check_tls, config.tls, at)
    problems.attempt(check_database, config.database)
    problems.attempt(check_key, config.key_encryption_key)
    problems.attempt(check_writable, config.checkpoint, "audit.checkpoint")
    if config.metrics is not None and config.metrics.tls is not None:
        problems.attempt(check_tls, config.metrics.tls, at, "metrics")
    for anchor in config.anchors:
        _check_anchor(anchor, problems)


def _check_anchor(anchor: Anchor, problems: Problems) -> None:
    for place in anchor.collateral:
        if isinstance(place, Path):
            problems.attempt(check_folder, place, "anchors.collateral")
    if (cacerts := anchor.cacerts) is not None:
        problems.attempt(check_roots, cacerts, "anchors.collateral_cacerts")
