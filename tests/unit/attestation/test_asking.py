"""Whom the service asks for collateral about: platforms that a root's holder certified, and no other."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import NotGenuine
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.services.attestation.evidence import Evidence
from ambergate.services.attestation.key_making import first_keys
from ambergate.services.attestation.known import TOLD_EVERY
from ambergate.services.attestation.nonces import Nonces
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.attestation.ports import ANYBODY
from ambergate.services.attestation.usecase import MAX_AT_HAND, Attestation, Issuer, Trust
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.pki import pem_chain
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.core.verify.forecast import PlatformKind
    from ambergate.services.attestation.decision import Decision

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("asking"))
FORGER = SimulatedPlatform.create(at=AT, random=stream("asking for more"))
LIFETIME = timedelta(seconds=300)
BOUND = hashlib.sha256(b"data").digest() + bytes(32)


class Counting:
    """A source that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        self.asked.append(f"{tee} {fmspc} {ca}")
        return PLATFORM.collateral(at=AT)


class Kept:
    """A log that notes what was decided."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    async def record(self, decision: Decision, /) -> None:
        self.decisions.append(decision)


@functools.cache
def keys() -> TokenPki:
    return TokenPki(first_keys({}, "https://attest.example", AT, LIFETIME), AT)


def service(source: Counting, seen: Telling | None = None) -> Attestation:
    return Attestation(
        roots=[Trust(anchor=TrustAnchor.from_pem(PLATFORM.root_pem), collateral=source, simulated=True)],
        policy=AppraisalPolicy(),
        nonces=Nonces(bytes(32), lifetime=LIFETIME, token_bytes=stream("nonces")),
        keys=keys(),
        audit=Kept(),
        seen=seen,
        issuer=Issuer(
            base_url="https://attest.example", instance_id=UUID(int=1), token_lifetime=LIFETIME, new_id=uuid4
        ),
    )


def attest(attestation: Attestation, raw: bytes) -> str:
    evidence = Evidence(quote=raw, nonce=None, runtime_data=b"data", policy_ids=(), algorithm="ES256")
    return asyncio.run(attestation.told(attestation.judge(evidence, ANYBODY, at=AT)))


def forged() -> bytes:
    """A forger's own platform and CA, behind them the root that the service believes: that one is public."""
    quote = parse_quote(FORGER.quote(SPECIMEN, BOUND))
    pki = FORGER.state.pki
    data = pem_chain(pki.pck, pki.pck_ca, PLATFORM.state.pki.root).encode()
    return encode_quote(replace(quote, certification=replace(quote.certification, data=data)))


def test_a_forged_chain_makes_nobody_be_asked() -> None:
    source = Counting()
    attestation = service(source)
    raw = forged()
    assert needs_of(parse_quote(raw)).root_key == TrustAnchor.from_pem(PLATFORM.root_pem).key
    for _ in range(2):  # and it is not remembered as one that may be asked for
        with pytest.raises(NotGenuine) as refusal:
            attest(attestation, raw)
        assert refusal.value.step == "2.4.intermediate_signature"
    assert source.asked == []


def test_a_certificate_that_the_ca_did_not_sign_makes_nobody_be_asked() -> None:
    source = Counting()
    quote = parse_quote(FORGER.quote(SPECIMEN, BOUND))
    data = pem_chain(FORGER.state.pki.pck, PLATFORM.state.pki.pck_ca, PLATFORM.state.pki.root).encode()
    raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
    with pytest.raises(NotGenuine) as refusal:
        attest(service(source), raw)
    assert refusal.value.step == "2.5.pck_signature"
    assert source.asked == []


def test_of_a_platform_that_was_certified_the_source_is_asked() -> None:
    source = Counting()
    attestation = service(source)
    for _ in range(2):
        assert attest(attestation, PLATFORM.quote(SPECIMEN, BOUND)).count(".") == 2
    assert source.asked == [f"SGX {PLATFORM.fmspc} {PLATFORM.ca}"] * 2


class Held(Counting):
    """A source that has things at hand once it was asked for them."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Collateral | None = None
        self.out = False

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        self.held = self.held or super().collateral(fmspc=fmspc, ca=ca, tee=tee)
        return self.held

    def at_hand(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral | None:
        del fmspc, ca, tee
        return None if self.out else self.held


def sent(raw: bytes, data: bytes = b"data") -> Evidence:
    return Evidence(quote=raw, nonce=None, runtime_data=data, policy_ids=(), algorithm="ES256")


def test_a_platform_is_at_hand_once_it_was_proven() -> None:
    source = Held()
    attestation = service(source)
    first, second = (PLATFORM.quote(SPECIMEN, BOUND) for _ in range(2))
    assert attestation.judge_at_hand(sent(first), ANYBODY, at=AT) is None
    attestation.judge(sent(first), ANYBODY, at=AT)
    judged = attestation.judge_at_hand(sent(second), ANYBODY, at=AT)
    assert judged is not None
    assert judged.token.count(".") == 2
    assert "ey" not in repr(judged)
    source.out = True
    assert attestation.judge_at_hand(sent(second), ANYBODY, at=AT) is None
    assert attestation.judge_at_hand(sent(b"no quote"), ANYBODY, at=AT) is None


def test_what_is_refused_at_hand_is_refused_and_recorded() -> None:
    """A signature that does not hold, data that is not bound: memory accepts, and makes nothing true."""
    attestation = service(Held())
    raw = PLATFORM.quote(SPECIMEN, BOUND)
    attestation.judge(sent(raw), ANYBODY, at=AT)
    changed = raw[:40] + bytes((raw[40] ^ 1,)) + raw[41:]
    for evidence, step in ((sent(changed), "8.1.quote_signature"), (sent(raw, b"other"), "10.2.report_data")):
        judged = attestation.judge_at_hand(evidence, ANYBODY, at=AT)
        assert judged is not None
        assert judged.token == ""
        with pytest.raises(NotGenuine) as refusal:
            asyncio.run(attestation.told(judged))
        assert refusal.value.step == step
        kept = attestation._audit
        assert isinstance(kept, Kept)
        assert kept.decisions[-1].error is refusal.value


class Telling:
    def __init__(self) -> None:
        self.told: list[datetime] = []

    def saw(self, kind: PlatformKind, *, at: datetime) -> None:
        del kind
        self.told.append(at)


def test_who_has_to_be_told_of_a_kind_may_be_waited_for_and_is_told_now_and_then() -> None:
    telling = Telling()
    attestation = service(Held(), telling)
    sibling = PLATFORM.sibling(at=AT, random=stream("asking, a sibling"))
    for platform in (PLATFORM, sibling):
        attestation.judge(sent(platform.quote(SPECIMEN, BOUND)), ANYBODY, at=AT)
    assert telling.told == [AT], "one kind"
    later, due = AT + TOLD_EVERY - timedelta(seconds=1), AT + TOLD_EVERY
    raw = PLATFORM.quote(SPECIMEN, BOUND)
    assert attestation.judge_at_hand(sent(raw), ANYBODY, at=later) is not None
    assert attestation.judge_at_hand(sent(raw), ANYBODY, at=due) is None
    assert attestation.judge_at_hand(sent(raw), ANYBODY, at=AT - timedelta(seconds=1)) is None, "a clock went back"
    attestation.judge(sent(raw), ANYBODY, at=due)
    assert telling.told == [AT, due]
    assert attestation.judge_at_hand(sent(sibling.quote(SPECIMEN, BOUND)), ANYBODY, at=due) is not None


def test_much_data_is_not_judged_where_others_wait() -> None:
    attestation = service(Held())
    data = b"d" * MAX_AT_HAND
    raw = PLATFORM.quote(SPECIMEN, hashlib.sha256(data).digest() + bytes(32))
    attestation.judge(sent(raw, data), ANYBODY, at=AT)
    assert attestation.judge_at_hand(sent(raw, data), ANYBODY, at=AT) is not None
    assert attestation.judge_at_hand(sent(raw, data + b"d"), ANYBODY, at=AT) is None


class Waiting(Kept):
    """A log that is durable when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.durable = asyncio.Event()

    async def record(self, decision: Decision, /) -> None:
        await super().record(decision)
        await self.durable.wait()


def test_nothing_is_told_before_it_is_recorded() -> None:
    attestation = service(Held())
    good = attestation.judge(sent(PLATFORM.quote(SPECIMEN, BOUND)), ANYBODY, at=AT)
    bad = attestation.judge(sent(b"no quote"), ANYBODY, at=AT)

    async def main() -> None:
        attestation._audit = log = Waiting()
        token, refusal = (asyncio.create_task(attestation.told(each)) for each in (good, bad))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(log.decisions) == 2
        assert not token.done()
        assert not refusal.done()
        log.durable.set()
        assert await token == good.token
        with pytest.raises(NotGenuine):
            await refusal

    asyncio.run(main())
