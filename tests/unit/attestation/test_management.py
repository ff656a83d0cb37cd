"""Management of named policies, whoever asks: nothing is kept that was not looked at, and looking is done in turn."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from tests.unit.token.test_policy_jwt import AT, certificate, der, signed, unsigned

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage, PolicyOutcome
from ambergate.core.appraise.typed import TypedEngine
from ambergate.core.errors import MalformedPolicy, NotFound
from ambergate.core.token.policy_jwt import CLAIM, MAX_JWT, signer_of
from ambergate.services.attestation.management import Management, Submitted
from ambergate.stores.policies import PolicyStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

TYPED: Final = "dangerously_allow_any_enclave = true\n"


def typed(name: str | None = "web-servers", text: str | None = TYPED) -> Submitted:
    return Submitted(name=name, text=text, language=PolicyLanguage.TYPED)


@pytest.fixture
def management(engine: Engine) -> Management:
    return Management(PolicyStore(engine), {PolicyLanguage.TYPED: TypedEngine()})


@pytest.mark.parametrize(
    "wrong",
    [
        typed(name=None),
        typed(text=None),
        typed(text="nothing = 1\n"),
        typed(text="x" * (MAX_JWT + 1)),
        Submitted(name="rego", text="default a = true", language=None),  # which is Rego, and not judged here
    ],
)
def test_what_is_no_policy_is_not_kept(management: Management, wrong: Submitted) -> None:
    with pytest.raises(MalformedPolicy):
        management.create(wrong, PolicyKind.APPRAISAL, at=AT)
    assert management.store.all() == ()


def test_what_is_not_submitted_stays(management: Management) -> None:
    token = signed(claims={CLAIM: TYPED})
    made = management.create(typed(text=token), PolicyKind.APPRAISAL, at=AT)
    assert (made.jwt, made.signer, made.policy.text) == (token, signer_of(der(certificate())), TYPED)
    renamed = management.update(made.policy.id, Submitted(name="renamed", text=None), at=AT)
    assert (renamed.jwt, renamed.signer) == (made.jwt, made.signer)
    assert (renamed.policy.name, renamed.policy.language, renamed.policy.version) == (
        "renamed",
        PolicyLanguage.TYPED,
        2,
    )
    plain = management.update(made.policy.id, Submitted(name=None, text=TYPED), at=AT)
    assert (plain.jwt, plain.signer, plain.policy.name) == (None, None, "renamed")
    with pytest.raises(NotFound):
        management.update(uuid4(), typed(), at=AT)


def test_an_update_is_looked_at_as_a_new_one_is(management: Management) -> None:
    made = management.create(typed(), PolicyKind.APPRAISAL, at=AT)
    for wrong in (
        typed(text="nothing = 1\n"),
        typed(name="x"),
        Submitted(name=None, text=TYPED, language=PolicyLanguage.REGO),
    ):
        with pytest.raises(MalformedPolicy):
            management.update(made.policy.id, wrong, at=AT)
    assert management.store.all() == (made,)


def test_signers(engine: Engine) -> None:
    signers = frozenset({signer_of(der(certificate()))})
    management = Management(PolicyStore(engine), {PolicyLanguage.TYPED: TypedEngine()}, signers=signers)
    for text, seen in ((TYPED, "no signature"), (unsigned({CLAIM: TYPED}), "no signature")):
        with pytest.raises(MalformedPolicy) as caught:
            management.create(typed(text=text), PolicyKind.APPRAISAL, at=AT)
        assert (caught.value.code, caught.value.seen) == ("policy-not-signed", seen)
    made = management.create(typed(text=signed(claims={CLAIM: TYPED})), PolicyKind.APPRAISAL, at=AT)
    assert management.update(made.policy.id, Submitted(name="renamed", text=None), at=AT).signer in signers


class Narrow:
    """An engine that notices when two use it at once."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self.met = False
        self.checked = 0

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        raise NotImplementedError

    def check(self, policy: Policy, /) -> None:
        if not self._one.acquire(blocking=False):
            self.met = True
            return
        for _ in range(400):  # long enough for the others to come by
            TypedEngine().check(policy)
        self.checked += 1
        self._one.release()


def test_policies_are_tried_one_at_a_time(engine: Engine) -> None:
    """What judges them is needed for requests meanwhile, and has few workers."""
    narrow = Narrow()
    management = Management(PolicyStore(engine), {PolicyLanguage.TYPED: narrow})

    def work(number: int) -> None:
        management.create(typed(f"policy-{number}"), PolicyKind.APPRAISAL, at=datetime(2026, 3, 1, tzinfo=UTC))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (narrow.met, narrow.checked) == (False, 8)
