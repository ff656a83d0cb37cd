"""Whose name tokens carry: the operator's, or one that a client insists on; and never by accident about software."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import jwt
import pytest
from tests.integration.attestation.scene import (
    AT,
    BASE_URL,
    ENCLAVE,
    ISSUER,
    SIMULATED,
    Service,
    b64,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.core.errors import TokenRejected
from ambergate.core.token.check import KeySet, check_token
from ambergate.services.attestation.app import open_state
from ambergate.services.attestation.usecase import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles

INTELS = "Intel Trust Authority"
COMPATIBLE = f'[tokens]\nissuer = "{INTELS}"\n'


@contextmanager
def service_with(
    tokens: str, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory, *, hardware: bool = False
) -> Iterator[Service]:
    """A service of its own. With `hardware` the software platform's root is trusted as if it were hardware's: there is
    no other way to see what a token about hardware says without any."""
    folder = tmp_path_factory.mktemp("issuer")
    platform = new_platform(folder)
    config = configure(folder, tls, SIMULATED + tokens)
    roots = [
        Trust(anchor=trust.anchor, collateral=trust.collateral, simulated=not hardware)
        for trust in directory_roots(config)
    ]
    with open_state(config, at=AT) as state, serving(config, state, roots, platform) as service:
        yield service


def token_of(service: Service, path: str = "/appraisal/v1/attest", **more: object) -> str:
    return str(service.attest({**service.evidence(None), **more}, path=path).json()["token"])


def said(token: str, name: str) -> object:
    return jwt.decode(token, options={"verify_signature": False}).get(name)


def test_by_default_it_is_the_operators(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    with service_with("", tls, tmp_path_factory, hardware=True) as service:
        assert said(token_of(service), "iss") == BASE_URL
        assert said(token_of(service), "tee_simulated") is None


def test_a_name_for_hardware(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In every profile but Azure's, whose clients compare it with the address that they asked."""
    with service_with(COMPATIBLE, tls, tmp_path_factory, hardware=True) as service:
        for profile in ("v1", "v2", "amber-2022", "slim"):
            assert said(token_of(service, token_profile=profile), "iss") == INTELS
        check_token(token_of(service), service.keys(), issuer=INTELS, at=AT)
        assert service.client.get("/.well-known/openid-configuration").json()["issuer"] == INTELS
        data = b"held"
        quote = service.platform.quote(ENCLAVE, hashlib.sha256(data).digest() + bytes(32))
        body = {"quote": b64(quote), "runtimeData": {"data": b64(data), "dataType": "Binary"}}
        answer = service.attest(body, path="/attest/SgxEnclave?api-version=2022-08-01")
        assert said(answer.json()["token"], "iss") == BASE_URL


def test_a_name_for_hardware_is_not_software(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    with service_with(COMPATIBLE, tls, tmp_path_factory) as service:
        for profile in ("v1", "v2", "amber-2022", "slim"):
            token = token_of(service, token_profile=profile)
            assert (said(token, "iss"), said(token, "tee_simulated")) == (ISSUER, True)


@pytest.mark.parametrize("profile", ["v1", "v2", "amber-2022", "slim"])
def test_a_simulated_token_under_another_name_is_refused_all_the_same(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory, profile: str
) -> None:
    insecure = f'[tokens]\ninsecure_simulated_issuer = "{INTELS}"\n'
    with service_with(insecure, tls, tmp_path_factory) as service:
        token = token_of(service, token_profile=profile)
        assert said(token, "iss") == INTELS
        keys: KeySet = service.keys()
        with pytest.raises(TokenRejected) as caught:
            check_token(token, keys, issuer=INTELS, at=AT)
        assert caught.value.code == "simulated"
        assert check_token(token, keys, issuer=INTELS, at=AT, accept_simulated=True).simulated


def test_the_default_profile_is_the_operators_choice(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It counts at the first version's endpoints; the request may say otherwise, the other paths have their own."""
    with service_with('[tokens]\nprofile = "amber-2022"\n', tls, tmp_path_factory) as service:
        assert said(token_of(service), "ver") == "1.0"
        assert said(token_of(service, token_profile="v1"), "ver") == "1.0.0"
        assert said(token_of(service, "/appraisal/v2/attest"), "ver") == "2.0.0"
