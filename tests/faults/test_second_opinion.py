"""dcap-qvl on the same faults: it refuses what we refuse, reports what we report, or the difference is named here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.simulator.oracle import ask
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import CpuSvn
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.faults import FAULTS, SPECIMEN
from ambergate.simulator.pki import pck_template, pem_chain

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.verify import VerifiedQuote
    from ambergate.simulator.faults import Fault
    from ambergate.simulator.platform import SimulatedPlatform

# What we refuse and dcap-qvl accepts, with the reason of each difference.
MORE_LENIENT: Final = {
    "chain-broken-pem": "it needs two certificates of the chain, and takes the root from its caller",
    "chain-truncated": "as above; Intel's library wants exactly three",
    "chain-with-another-root": "it does not look at the chain's root",
    "root-not-self-signed": "it does not look at the chain's root",
    "root-expired": "it does not look at the chain's root",
    "root-crl-not-yet-valid": "it does not look at thisUpdate; Intel's library does",
    "pck-crl-not-yet-valid": "it does not look at thisUpdate; Intel's library does",
    "tcb-info-unknown-version": "it does not look at the version of SGX TCB info; Intel's library does",
    "tcb-info-wrong-pceid": "it does not compare the PCEID; Intel's library does",
}
# What we report, for a policy to judge, and dcap-qvl refuses by default.
STRICTER: Final = {"debug": "Debug mode is enabled", "td-debug": "Debug mode is enabled"}


def _name(fault: Fault) -> str:
    return fault.name


def _ours(platform: SimulatedPlatform, raw: bytes, collateral: Collateral, at: datetime) -> VerifiedQuote:
    return Verifier(anchor=TrustAnchor.from_pem(platform.root_pem)).verify(raw, collateral, at=at)


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.expected_step is not None], ids=_name)
def test_it_refuses_what_we_refuse(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    opinion = ask(raw, collateral, at=at, root_pem=platform.root_pem)
    assert (opinion.status is not None) is (fault.name in MORE_LENIENT), opinion


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.expected_status is not None], ids=_name)
def test_it_reports_what_we_report(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    opinion = ask(raw, collateral, at=at, root_pem=platform.root_pem)
    if fault.name in STRICTER:
        assert STRICTER[fault.name] in str(opinion.refusal)
        return
    verified = _ours(platform, raw, collateral, at)
    assert opinion.status == verified.tcb_status.value
    assert sorted(opinion.advisory_ids) == sorted(verified.advisory_ids)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=_name)
def test_it_takes_nothing_for_intels(platform: SimulatedPlatform, at: datetime, fault: Fault) -> None:
    raw, collateral = fault.apply(platform, at, random=stream(fault.name))
    assert ask(raw, collateral, at=at, root_pem=None).status is None


def test_every_difference_is_of_a_known_fault() -> None:
    assert {*MORE_LENIENT, *STRICTER} <= set(FAULTS)


def test_cpusvn_and_components_are_read_by_different_verifiers(platform: SimulatedPlatform, at: datetime) -> None:
    """The one platform whose CPUSVN octets are not its components: dcap-qvl goes by the former, Intel by the latter."""
    state = platform.state
    older = CpuSvn(bytes((state.hardware.components[0] - 1, *state.hardware.components[1:])))
    template = pck_template(replace(state.hardware, cpu_svn=older), at, stream("cpusvn"))
    pki = replace(state.pki, pck=state.pki.pck_ca.issue(template, state.pki.pck.key))
    odd = replace(platform, state=replace(state, pki=pki))
    raw, collateral = odd.quote(SPECIMEN, bytes(64)), odd.collateral(at=at)
    assert _ours(odd, raw, collateral, at).tcb_status is TcbStatus.UP_TO_DATE
    assert ask(raw, collateral, at=at, root_pem=odd.root_pem).status == "OutOfDate"


def test_a_signature_has_two_encodings_and_both_are_genuine(platform: SimulatedPlatform, at: datetime) -> None:
    """s and n - s: why a quote's bytes must not serve as its identity."""
    quote = parse_quote(platform.quote(SPECIMEN, bytes(64)))
    order = ec.SECP256R1().group_order
    other = order - int.from_bytes(quote.signature[32:], "big")
    raw = encode_quote(replace(quote, signature=quote.signature[:32] + other.to_bytes(32, "big")))
    collateral = platform.collateral(at=at)
    assert _ours(platform, raw, collateral, at).tcb_status is TcbStatus.UP_TO_DATE
    assert ask(raw, collateral, at=at, root_pem=platform.root_pem).status == "UpToDate"


def test_the_order_of_certificates_is_free_for_us(platform: SimulatedPlatform, at: datetime) -> None:
    pki = platform.state.pki
    quote = parse_quote(platform.quote(SPECIMEN, bytes(64)))
    data = pem_chain(pki.root, pki.pck_ca, pki.pck).encode()
    raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
    assert _ours(platform, raw, platform.collateral(at=at), at).tcb_status is TcbStatus.UP_TO_DATE
