"""A running service, a key that manages its policies, and keys that attest."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
from tests.integration.attestation.scene import (
    AT,
    SIMULATED,
    Service,
    configure,
    directory_roots,
    new_platform,
    serving,
)

from ambergate.services.attestation.app import State, open_state
from ambergate.services.attestation.memory import REFRESH
from ambergate.stores.key_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from ambergate.services.web.server import TlsFiles

PATH: Final = "/management/v1/policies"
NONE: Final = "00000000-0000-0000-0000-000000000000"
MANAGE: Final = Terms(scopes=frozenset({"manage"}))
# As the published documentation writes them: the first dialect, which has no `if`.
MATCHES: Final = "default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 3 }\n"
DOES_NOT: Final = "default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 4 }\n"


@dataclass(frozen=True)
class Managed:
    """The service, and a client whose key manages."""

    service: Service
    state: State
    admin: httpx.Client
    admin_id: UUID

    def body(self, name: str, policy: str = MATCHES, **more: object) -> dict[str, Any]:
        """What the published command line sends to make one."""
        return {
            "policy_id": NONE,
            "policy": policy,
            "policy_name": name,
            "policy_type": "Appraisal policy",
            "service_offer_id": NONE,
            "attestation_type": "SGX Attestation",
            **more,
        }

    def made(self, name: str, policy: str = MATCHES, **more: object) -> dict[str, Any]:
        answer = self.admin.post(PATH, json=self.body(name, policy, **more))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def known(self) -> None:
        """Let the service know of what has changed."""
        self.service.clock.instant += REFRESH

    @contextlib.contextmanager
    def holder(self, terms: Terms) -> Iterator[httpx.Client]:
        """Somebody with a new key, which the service knows of."""
        _, text = self.state.api_keys.create("somebody", at=AT, terms=terms)
        self.known()
        with client(self.service, text) as holding:
            yield holding


@contextlib.contextmanager
def client(service: Service, key: str) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(service.ca))
    headers = {"x-api-key": key, "accept": "application/json"}
    with httpx.Client(base_url=service.client.base_url, verify=context, trust_env=False, headers=headers) as made:
        yield made


@contextlib.contextmanager
def managed(folder: Path, tls: TlsFiles, more: str = SIMULATED) -> Iterator[Managed]:
    platform = new_platform(folder)
    config = configure(folder, tls, more)
    with open_state(config, at=AT) as state:
        key, text = state.api_keys.create("policy pipeline", at=AT, terms=MANAGE)
        with (
            serving(config, state, directory_roots(config), platform) as service,
            client(service, text) as admin,
        ):
            yield Managed(service, state, admin, key.id)
