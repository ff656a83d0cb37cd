"""The certificate that the services here use."""

from __future__ import annotations

from tests.integration.attestation.conftest import tls

__all__ = ["tls"]
