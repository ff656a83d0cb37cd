"""An issuer whose tokens are made by hand, and what a relying party holds of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, Forge

from ambergate.core.errors import MalformedToken, TokenRejected
from ambergate.core.token.check import KeySet, check_token

if TYPE_CHECKING:
    from tests.unit.token.types import Refuses


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge()


@pytest.fixture(scope="session")
def keys(forge: Forge) -> KeySet:
    return KeySet.from_json(json.dumps(forge.key_set()))


@pytest.fixture(scope="session")
def refuses(keys: KeySet) -> Refuses:
    """Checks a token that must not be believed; gives the code of the refusal."""

    def check(token: str, **options: object) -> str:
        with pytest.raises((MalformedToken, TokenRejected)) as caught:
            check_token(token, keys, **{"issuer": ISSUER, "at": AT, **options})  # type: ignore[arg-type]
        return caught.value.code

    return check
