"""A relying party while its issuer changes keys: no good token is refused, and a revoked key is believed no more."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
from tests.integration.attestation.scene import (
    AT,
    ISSUER,
    SIMULATED,
    Service,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.core.errors import MalformedToken, TokenRejected
from ambergate.core.token.certified import MAX_CRL, read_roots
from ambergate.services.attestation.app import State, open_state
from ambergate.services.attestation.certificates import CA_CRL_PATH, ROOT_CRL_PATH
from ambergate.services.keybroker.fetch import BoundedUrl, KeySetUrl
from ambergate.services.keybroker.pinned import SigningRoot
from ambergate.services.keybroker.trust import MAX_AGE, IssuerKeys, TrustedIssuer, TrustedIssuers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambergate.services.attestation.config import Config
    from ambergate.services.web.tls import TlsFiles

MINUTE = timedelta(minutes=1)


@dataclass
class Site:
    """A running attestation service, and relying parties that keep its keys: by its address, and under its root."""

    service: Service
    state: State
    config: Config
    parties: dict[str, TrustedIssuers]
    fetched: dict[str, int] = field(default_factory=dict)

    def token(self) -> str:
        """A token that the service gives at this instant."""
        service = self.service
        return str(service.attest(service.evidence(service.nonce())).json()["token"])

    def believed(self, token: str) -> None:
        """Every relying party takes it at this instant."""
        for party in self.parties.values():
            assert party.claims(token, self.service.clock.instant).issuer == ISSUER


@pytest.fixture
def site(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rotating")
    platform = new_platform(folder)
    config = configure(folder, tls, SIMULATED)
    with ExitStack() as stack:
        state = stack.enter_context(open_state(config, at=AT))
        service = stack.enter_context(serving(config, state, directory_roots(config), platform))
        base = f"https://127.0.0.1:{service.port}"
        chain = service.client.get("/certs").json()["keys"][0]["x5c"]
        pem = "-----BEGIN CERTIFICATE-----\n" + chain[-1] + "\n-----END CERTIFICATE-----\n"
        paths = (ROOT_CRL_PATH, CA_CRL_PATH)
        lists = tuple(BoundedUrl(base + path, cacerts=service.ca, limit=MAX_CRL) for path in paths)
        site = Site(service, state, config, {})

        def counted(name: str) -> Callable[[], str]:
            fetch = KeySetUrl(f"{base}/certs", cacerts=service.ca)

            def once() -> str:
                site.fetched[name] = site.fetched.get(name, 0) + 1
                return fetch()

            return once

        vouch = SigningRoot(read_roots(pem.encode()), lists)
        for name, keys in (
            ("by address", IssuerKeys(counted("by address"))),
            ("under the root", IssuerKeys(counted("under the root"), vouch=vouch)),
        ):
            trusted = TrustedIssuer(issuer=ISSUER, keys=keys, accept_simulated=True)
            site.parties[name] = TrustedIssuers([trusted])
        yield site


def test_no_good_token_is_refused_while_keys_rotate(site: Site) -> None:
    """Each minute a token of that minute and the one before; keys are fetched as often as they age, and no oftener."""
    clock = site.service.clock
    before = site.token()
    signers = [jwt.get_unverified_header(before)["kid"]]
    site.believed(before)
    site.state.token_keys.rotate(clock.instant, site.config.key_rules)
    for _ in range(20):
        clock.instant += MINUTE
        token = site.token()
        signers.append(jwt.get_unverified_header(token)["kid"])
        site.believed(token)
        site.believed(before)
        before = token
    assert len(set(signers)) == 2
    for times in site.fetched.values():
        assert times <= 20 * MINUTE / MAX_AGE + 2


def test_a_revoked_key_is_believed_no_more_once_the_key_set_is_old(site: Site) -> None:
    clock = site.service.clock
    stolen = site.token()
    site.believed(stolen)
    kid = jwt.get_unverified_header(stolen)["kid"]
    site.state.token_keys.revoke(kid, clock.instant, site.config.key_rules)
    clock.instant += MAX_AGE - timedelta(seconds=10)  # the token lives for five minutes
    fresh = site.token()
    assert jwt.get_unverified_header(fresh)["kid"] != kid
    for party in site.parties.values():
        party.claims(fresh, clock.instant)  # an unknown key: fetched at once
        with pytest.raises(TokenRejected) as caught:
            party.claims(stolen, clock.instant)
        assert caught.value.code == "unknown-signing-key"


def test_who_serves_another_key_set_is_not_believed_under_a_root(site: Site) -> None:
    """The root that is pinned is the issuer's; a set of somebody's own chain is no set at all."""
    key_set = site.service.client.get("/certs").json()
    vouch = site.parties["under the root"]._issuers[ISSUER].keys._vouch
    assert vouch is not None
    leaf = base64.b64decode(key_set["keys"][0]["x5c"][0])
    changed = leaf[:-1] + bytes([leaf[-1] ^ 1])
    key_set["keys"][0]["x5c"][0] = base64.b64encode(changed).decode()
    with pytest.raises(MalformedToken):
        vouch(json.dumps(key_set), AT)
