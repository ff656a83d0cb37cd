"""One workload key and one issuer for all: making RSA keys is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.keybroker.forge import Forge

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="session")
def workload_key(forge: Forge) -> rsa.RSAPrivateKey:
    return forge.workload_key
