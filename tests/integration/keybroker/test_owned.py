"""A key whose policy names owners, over HTTP: who may update keys puts it under no other policy."""

from __future__ import annotations

from uuid import UUID

from tests.integration.keybroker.forge import AT, MR_ENCLAVE, Forge
from tests.integration.keybroker.scene import SECRET, Broker, Person
from tests.integration.keybroker.test_management import JSON, KEYS, policy
from tests.unit.release.test_owners import OWNERS

from ambergate.core.release.resource_policy import ResourcePolicy

OWNED = UUID("5f3c4a9e-0d5c-4c3b-9d3f-0d1c2b3a4f77")


def test_a_user_cannot_take_the_owners_word(broker: Broker, forge: Forge) -> None:
    """The old policy holds: it goes on being released by that one."""
    owned = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "owners": OWNERS.to_mapping()})
    broker.store.add(OWNED, SECRET, owned, at=AT)
    admin = Person(broker)
    refused = admin("PUT", f"{KEYS}/{OWNED}", json={"transfer_policy_id": policy(admin)}, headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (401, "approval-needed")
    found = broker.store.find(OWNED)
    assert found is not None
    assert found.policy == owned
    assert broker.transfer(forge.token(), OWNED).status_code == 200
