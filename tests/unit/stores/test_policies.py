"""Named policies: every version is kept, names are single, and what a key names is not deleted. On both engines."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ambergate.core.appraise.named import MAX_TEXT, Policy, PolicyKind, PolicyLanguage
from ambergate.core.errors import Conflict, MalformedPolicy, NotFound, SettingsError
from ambergate.stores import policies
from ambergate.stores.api_keys import ApiKeyStore
from ambergate.stores.key_terms import Terms
from ambergate.stores.policies import Draft, PolicyStore, StoredPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = UUID(int=77)


@pytest.fixture
def store(engine: Engine) -> PolicyStore:
    return PolicyStore(engine)


def draft(name: str = "web-servers", text: str = "default matches = false", **more: object) -> Draft:
    return Draft(name=name, language=PolicyLanguage.REGO, text=text, **more)  # type: ignore[arg-type]


def made(store: PolicyStore, name: str = "web-servers") -> StoredPolicy:
    return store.create(draft(name), PolicyKind.APPRAISAL, at=AT)


def test_a_policy_comes_back_as_it_was(store: PolicyStore) -> None:
    offer = uuid4()
    stored = store.create(
        draft(text="größe", jwt="eyJ.a.b", signer=bytes(range(32))),
        PolicyKind.TOKEN_CUSTOMIZATION,
        at=AT,
        by=KEY,
        attestation_type="SGX Attestation",
        service_offer_id=offer,
    )
    assert stored.policy == Policy(
        id=stored.policy.id,
        version=1,
        name="web-servers",
        kind=PolicyKind.TOKEN_CUSTOMIZATION,
        language=PolicyLanguage.REGO,
        text="größe",
    )
    assert (stored.attestation_type, stored.service_offer_id) == ("SGX Attestation", offer)
    assert (stored.created_at, stored.created_by, stored.modified_at, stored.modified_by) == (AT, KEY, AT, KEY)
    assert (stored.jwt, stored.signer, stored.deleted_at, stored.deleted_by) == (
        "eyJ.a.b",
        bytes(range(32)),
        None,
        None,
    )
    assert stored.policy.id.version == 4
    assert store.get(stored.policy.id) == store.named("web-servers") == stored
    assert store.all() == (stored,)


def test_every_version_is_kept(store: PolicyStore) -> None:
    first = made(store)
    later = AT + timedelta(hours=1)
    second = store.update(first.policy.id, draft("renamed", "default matches = true"), at=later, by=KEY)
    assert (second.policy.version, second.policy.name) == (2, "renamed")
    assert (second.created_at, second.modified_at, second.modified_by) == (AT, later, KEY)
    assert store.get(first.policy.id) == second
    assert store.get(first.policy.id, version=1).policy == first.policy
    assert store.get(first.policy.id, version=2) == second
    assert second.policy.hash != first.policy.hash
    store.delete(first.policy.id, at=later, by=KEY)
    kept = store.get(first.policy.id, version=1)
    assert kept.policy == first.policy, "what a record cites is there when the policy is not any more"
    assert (kept.deleted_at, kept.deleted_by) == (later, KEY)
    with pytest.raises(NotFound):
        store.get(first.policy.id, version=3)


def test_a_deleted_policy_is_not_there(store: PolicyStore) -> None:
    policy = made(store).policy
    store.delete(policy.id, at=AT)
    assert store.all() == ()
    uses: list[Callable[[], object]] = [
        lambda: store.get(policy.id),
        lambda: store.named(policy.name),
        lambda: store.update(policy.id, draft(), at=AT),
        lambda: store.delete(policy.id, at=AT),
    ]
    for use in uses:
        with pytest.raises(NotFound) as caught:
            use()
        assert caught.value.code == "unknown-policy"


def test_a_name_is_one_policys(store: PolicyStore) -> None:
    first, other = made(store), made(store, "other")
    uses: list[Callable[[], object]] = [
        lambda: made(store),
        lambda: store.update(other.policy.id, draft(), at=AT),
    ]
    for use in uses:
        with pytest.raises(Conflict) as caught:
            use()
        assert caught.value.code == "policy-name-taken"
        assert str(first.policy.id) in str(caught.value.seen)
    assert store.get(other.policy.id) == other
    store.update(first.policy.id, draft(), at=AT)  # its own
    store.delete(first.policy.id, at=AT)
    made(store)  # free again


@pytest.mark.parametrize("wrong", [{"name": "x"}, {"name": "a b c"}, {"text": "a" * (MAX_TEXT + 1)}])
def test_what_is_no_policy_is_not_kept(store: PolicyStore, wrong: dict[str, str]) -> None:
    policy = made(store, "before").policy
    with pytest.raises(MalformedPolicy):
        store.create(draft(**wrong), PolicyKind.APPRAISAL, at=AT)
    with pytest.raises(MalformedPolicy):
        store.update(policy.id, draft(**wrong), at=AT)
    assert [each.policy for each in store.all()] == [policy]


def test_what_a_key_names_is_not_deleted(store: PolicyStore, engine: Engine) -> None:
    keys = ApiKeyStore(engine)
    policy = made(store).policy
    key, _ = keys.create("x", at=AT, terms=Terms(policy_ids=(policy.id,), expires_at=AT + timedelta(days=1)))
    other, _ = keys.create("y", at=AT, terms=Terms(policy_ids=(policy.id,)))
    keys.revoke(other.id, at=AT)
    with pytest.raises(Conflict) as caught:
        store.delete(policy.id, at=AT)
    assert (caught.value.code, caught.value.seen) == ("policy-attached", str([str(key.id)]))
    keys.set_policies(key.id, [], must_match=False)
    store.delete(policy.id, at=AT)


def test_keys_that_have_ended_hold_nothing(store: PolicyStore, engine: Engine) -> None:
    policy = made(store).policy
    ends = (AT + timedelta(days=1)).astimezone()
    ApiKeyStore(engine).create("x", at=AT, terms=Terms(policy_ids=(policy.id,), expires_at=ends))
    with pytest.raises(Conflict):
        store.delete(policy.id, at=AT + timedelta(hours=23))
    store.delete(policy.id, at=AT + timedelta(days=1))


def test_a_key_names_only_what_there_is(store: PolicyStore, engine: Engine) -> None:
    keys = ApiKeyStore(engine)
    policy = made(store).policy
    key, _ = keys.create("x", at=AT)
    gone = uuid4()
    uses: list[Callable[[], object]] = [
        lambda: keys.create("y", at=AT, terms=Terms(policy_ids=(policy.id, gone))),
        lambda: keys.set_policies(key.id, [gone], must_match=False),
    ]
    for use in uses:
        with pytest.raises(SettingsError) as caught:
            use()
        assert caught.value.seen == str([str(gone)])
    store.delete(policy.id, at=AT)
    with pytest.raises(SettingsError):
        keys.set_policies(key.id, [policy.id], must_match=False)
    assert keys.all() == (key,)


def test_there_is_a_limit(store: PolicyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MAX_LIVE", 2)
    monkeypatch.setattr(policies, "MAX_VERSIONS", 2)
    first = made(store, "number-1")
    made(store, "number-2")
    with pytest.raises(Conflict) as caught:
        made(store, "number-3")
    assert caught.value.code == "too-many-policies"
    store.update(first.policy.id, draft("number-1"), at=AT)
    with pytest.raises(Conflict) as caught:
        store.update(first.policy.id, draft("number-1"), at=AT)
    assert caught.value.code == "too-many-versions"
    store.delete(first.policy.id, at=AT)
    made(store, "number-3")


def test_who_asks_what_has_changed_is_told_that_alone(store: PolicyStore) -> None:
    assert store.since(0) == (0, {})
    first = made(store)
    number, changed = store.since(0)
    assert changed == {first.policy.id: first}
    other = made(store, "other")
    later, changed = store.since(number)
    assert changed == {other.policy.id: other}
    assert store.since(later) == (later, {})
    store.delete(first.policy.id, at=AT)
    last, changed = store.since(later)
    assert [each.deleted_at for each in changed.values()] == [AT]
    second = store.update(other.policy.id, draft("other"), at=AT)
    assert store.since(last)[1] == {other.policy.id: second}


def test_writers_come_one_after_the_other(store: PolicyStore) -> None:
    policy = made(store).policy
    versions: list[int] = []

    def work() -> None:
        versions.append(store.update(policy.id, draft(), at=AT).policy.version)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(2, 10))
