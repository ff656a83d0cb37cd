"""What dcap-qvl makes of each choice (ADR 0016 to 0019): where it goes another way, here is why it refuses or takes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.unit.simulator.oracle import ask
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.measurements import Measurement384
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.keys import sign_raw
from ambergate.simulator.period import Period
from ambergate.simulator.pki import pem_chain
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.simulator.pki import Entity

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("beside dcap-qvl"))
PKI = PLATFORM.state.pki
ENCLAVE = PLATFORM.quoting_enclave
REPORT = PLATFORM.report(SPECIMEN, bytes(64))
QUOTE = ENCLAVE.quote(REPORT)
RAW = encode_quote(QUOTE)
COLLATERAL = PLATFORM.collateral(at=AT)
Case = tuple[bytes, "Collateral"]


def chained(*entities: Entity) -> Case:
    data = pem_chain(*entities).encode()
    return encode_quote(replace(QUOTE, certification=replace(QUOTE.certification, data=data))), COLLATERAL


def of_td(**changes: Any) -> Case:  # noqa: ANN401  members of many types
    raw = PLATFORM.td_quote(replace(TD_SPECIMEN, **changes), bytes(64), version=5, extended=True)
    return raw, PLATFORM.td_collateral(at=AT)


def with_attributes(octets: bytes) -> Case:
    report = PLATFORM.td_report(TD_SPECIMEN, bytes(64))
    report = replace(report, td_attributes=type(report.td_attributes)(octets))
    return encode_quote(PLATFORM.td_quoting_enclave.quote(report)), PLATFORM.td_collateral(at=AT)


def stated(tcb_info: str) -> Case:
    signature = sign_raw(PKI.tcb_signing.key, tcb_info.encode()).hex()
    return RAW, replace(COLLATERAL, tcb_info=tcb_info, tcb_info_signature=signature)


def of_version_2() -> Case:
    published = PLATFORM.publication(at=AT)
    return RAW, replace(published, tcb_info=replace(published.tcb_info, version=2)).collateral()


def slack() -> Case:
    size = int.from_bytes(RAW[432:436], "little")
    return RAW[:432] + (size + 8).to_bytes(4, "little") + RAW[436 : 436 + size] + bytes(8), COLLATERAL


def outer_type() -> Case:
    raw = PLATFORM.td_quote(TD_SPECIMEN, bytes(64))
    place = 48 + 584 + 4 + 64 + 64
    return raw[:place] + b"\x05" + raw[place + 1 :], PLATFORM.td_collateral(at=AT)


NUMBER: Final = '"tcbEvaluationDataNumber":17'
OF_MEMBERS: Final = PLATFORM.publication(at=AT).tcb_info.text()
# Why dcap-qvl refuses what we take.
STRICTER: Final[dict[str, tuple[Case, str]]] = {
    "SGX in version 4": ((encode_quote(ENCLAVE.quote(REPORT, version=4)), COLLATERAL), "must have version 3"),
    "SGX in version 5": ((encode_quote(ENCLAVE.quote(REPORT, version=5)), COLLATERAL), "must have version 3"),
    "QE authentication data of 33 bytes": (
        (encode_quote(replace(ENCLAVE, auth_data=bytes(33)).quote(REPORT)), COLLATERAL),
        "Invalid QE auth data length",
    ),
    "chain that starts with the root": (chained(PKI.root, PKI.pck_ca, PKI.pck), ""),
    "debug": ((PLATFORM.quote(replace(SPECIMEN, debug=True), bytes(64)), COLLATERAL), "Debug mode is enabled"),
    "no SEPT_VE_DISABLE": (of_td(sept_ve_disable=False), "SEPT_VE_DISABLE is not enabled"),
    "MRSERVICETD": (of_td(mr_service_td=Measurement384(b"\1" * 48)), "Invalid MR service TD"),
    "another bit of TUD": (with_attributes(bytes((2, 0, 0, 0x10, 0, 0, 0, 0))), "Reserved bits in TD attributes"),
    "an undefined bit": (with_attributes(bytes((0, 0x80, 0, 0x10, 0, 0, 0, 0))), "Reserved bits in TD attributes"),
    "TCB info of version 2": (of_version_2(), ""),
    "a repeated member": (stated(OF_MEMBERS.replace(NUMBER, f"{NUMBER},{NUMBER}")), "duplicate field"),
}
# What it takes and we refuse.
MORE_LENIENT: Final[dict[str, Case]] = {
    "chain without its root": chained(PKI.pck, PKI.pck_ca),
    "root twice": chained(PKI.pck, PKI.pck_ca, PKI.root, PKI.root),
    "PCK certificate twice": chained(PKI.pck, PKI.pck, PKI.pck_ca, PKI.root),
    "slack inside the signature data": slack(),
    "outer certification data of type 5": outer_type(),
    "much padding": (RAW + bytes(4097), COLLATERAL),
}
# Where some verifier differs, and it does not.
ALIKE: Final[dict[str, Case]] = {
    "padding": (RAW + bytes(4096), COLLATERAL),
    "unknown members": stated(OF_MEMBERS[:-1] + ',"more":[1]}'),
    "no CRL issuer chain": (RAW, replace(COLLATERAL, pck_crl_issuer_chain="")),
}


def ours(case: Case, at: datetime = AT) -> str | None:
    try:
        verified = Verifier(anchor=TrustAnchor.from_pem(PLATFORM.root_pem)).verify(*case, at=at)
    except (NotGenuine, MalformedEvidence):
        return None
    return verified.tcb_status.value


@pytest.mark.parametrize("name", STRICTER)
def test_it_refuses_what_we_take(name: str) -> None:
    case, why = STRICTER[name]
    opinion = ask(*case, at=AT, root_pem=PLATFORM.root_pem)
    assert (ours(case), opinion.status) == ("UpToDate", None)
    assert why in str(opinion.refusal)


@pytest.mark.parametrize("name", MORE_LENIENT)
def test_it_takes_what_we_refuse(name: str) -> None:
    case = MORE_LENIENT[name]
    assert (ours(case), ask(*case, at=AT, root_pem=PLATFORM.root_pem).status) == (None, "UpToDate")


@pytest.mark.parametrize("name", ALIKE)
def test_it_takes_what_we_take(name: str) -> None:
    case = ALIKE[name]
    assert (ours(case), ask(*case, at=AT, root_pem=PLATFORM.root_pem).status) == ("UpToDate", "UpToDate")


def _asking_for_one_component() -> Iterator[Case]:
    published = PLATFORM.td_publication(at=AT)
    newest, *older = published.tcb_info.levels
    raw = PLATFORM.td_quote(TD_SPECIMEN, bytes(64))
    for index in range(16):
        components = tuple(255 if i == index else svn for i, svn in enumerate(newest.tdx_components))
        levels = (replace(newest, tdx_components=components), *older)
        yield raw, replace(published, tcb_info=replace(published.tcb_info, levels=levels)).collateral()


def test_it_compares_the_tdx_components_that_we_compare() -> None:
    cases = list(_asking_for_one_component())
    assert [ask(*case, at=AT, root_pem=PLATFORM.root_pem).status for case in cases] == [ours(case) for case in cases]


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity", "root_crl", "pck_crl"])
def test_it_looks_at_the_same_dates_but_for_one_second_of_lists(part: str) -> None:
    """A revocation list ends for it where nextUpdate begins; for us, and Intel's library, that instant belongs to it.

    That it does not look at thisUpdate is in tests/faults/test_second_opinion.py.
    """
    published = PLATFORM.publication(at=AT)
    hour = Period.around(AT, after=timedelta(hours=1))
    collateral = replace(published, **{part: replace(getattr(published, part), period=hour)}).collateral()
    instants = [hour.end + timedelta(seconds=seconds) for seconds in (-1, 0, 1)]
    theirs = [ask(RAW, collateral, at=at, root_pem=PLATFORM.root_pem).status for at in instants]
    assert [ours((RAW, collateral), at) for at in instants] == ["UpToDate", "UpToDate", None]
    assert theirs == ["UpToDate", None if part.endswith("crl") else "UpToDate", None]


def test_a_quote_that_all_take() -> None:
    assert parse_quote(RAW) == QUOTE
    assert ask(RAW, COLLATERAL, at=AT, root_pem=PLATFORM.root_pem).status == ours((RAW, COLLATERAL)) == "UpToDate"
