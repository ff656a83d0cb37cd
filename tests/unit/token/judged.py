"""A simulated platform's quote, proven and welcomed, and the keys of a service: what tokens are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from tests.unit.simulator.stream import stream

from ambergate.core.appraise.appraisal import Appraisal, appraise
from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage, PolicyOutcome
from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import MrEnclave, MrSigner
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import TeeType
from ambergate.core.token.profiles import Issuance
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.memo import Verifier
from ambergate.services.attestation.key_making import first_keys
from ambergate.services.attestation.pki import TokenPki
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.td import TdIdentity

WHEN: Final = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
BASE_URL: Final = "https://attest.example:8443"
ENCLAVE: Final = EnclaveIdentity(
    mr_enclave=MrEnclave(bytes(range(32))), mr_signer=MrSigner(bytes(range(32, 64))), isv_prod_id=513, isv_svn=65535
)
TD: Final = TdIdentity.of_image([b"a virtual machine"])
REPORT_DATA: Final = bytes(range(64, 128))
ALL: Final = AppraisalPolicy(tcb_statuses=frozenset(TcbStatus) - {TcbStatus.REVOKED}, dangerously_allow_debug=True)


@dataclass(frozen=True)
class Laboratory:
    """A platform whose quotes are judged under its own root."""

    platform: SimulatedPlatform

    @classmethod
    def open(cls) -> Laboratory:
        return cls(SimulatedPlatform.create(at=WHEN, random=stream("token laboratory")))

    def appraisal(
        self,
        *,
        status: TcbStatus = TcbStatus.UP_TO_DATE,
        debug: bool = False,
        policy: AppraisalPolicy = ALL,
        enclave: EnclaveIdentity = ENCLAVE,
    ) -> Appraisal:
        return self._judged(self.platform.quote(replace(enclave, debug=debug), REPORT_DATA), status, policy)

    def td_appraisal(self, *, status: TcbStatus = TcbStatus.UP_TO_DATE, debug: bool = False) -> Appraisal:
        return self._judged(self.platform.td_quote(replace(TD, debug=debug), REPORT_DATA), status, ALL)

    def _judged(self, quote: bytes, status: TcbStatus, policy: AppraisalPolicy) -> Appraisal:
        sgx = parse_quote(quote).tee is TeeType.SGX
        made = self.platform.collateral if sgx else self.platform.td_collateral
        collateral = made(at=WHEN, status=status)
        anchor = TrustAnchor.from_pem(self.platform.root_pem)
        return appraise(Verifier(anchor=anchor).verify(quote, collateral, at=WHEN), policy)


def issuance(**changes: object) -> Issuance:
    issued = WHEN.replace(microsecond=0)
    usual = Issuance(
        issuer=f"{BASE_URL}/simulated",
        base_url=BASE_URL,
        token_id=UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
        instance_id=UUID("7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"),
        issued_at=issued,
        expires_at=issued + timedelta(seconds=300),
        simulated=True,
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def outcome(number: int, *, matched: bool, **exports: object) -> PolicyOutcome:
    """What an engine said of the policy of this number."""
    policy = Policy(
        id=UUID(int=number),
        version=number,
        name=f"policy-{number}",
        kind=PolicyKind.APPRAISAL,
        language=PolicyLanguage.REGO,
        text=f"the text of {number}",
    )
    return PolicyOutcome(policy=policy, matched=matched, exports=exports)


def service_keys() -> TokenPki:
    return TokenPki(first_keys({}, BASE_URL, WHEN, timedelta(minutes=5)), WHEN)
