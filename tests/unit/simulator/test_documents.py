from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import DOCUMENTED, TcbStatus, read_tcb_info
from ambergate.simulator.quoting import QUOTING_ENCLAVE

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.simulator.platform import SimulatedPlatform

# Intel's members, in Intel's order.
TCB_INFO_V3 = [
    "id",
    "version",
    "issueDate",
    "nextUpdate",
    "fmspc",
    "pceId",
    "tcbType",
    "tcbEvaluationDataNumber",
    "tcbLevels",
]
QE_IDENTITY = [
    "id",
    "version",
    "issueDate",
    "nextUpdate",
    "tcbEvaluationDataNumber",
    "miscselect",
    "miscselectMask",
    "attributes",
    "attributesMask",
    "mrsigner",
    "isvprodid",
    "tcbLevels",
]


def test_tcb_info_has_intels_members_in_intels_order(platform: SimulatedPlatform, at: datetime) -> None:
    text = platform.publication(at=at).tcb_info.text()
    members = json.loads(text)
    assert list(members) == TCB_INFO_V3
    assert text == json.dumps(members, separators=(",", ":"))
    level = members["tcbLevels"][0]
    assert list(level) == ["tcb", "tcbDate", "tcbStatus"]
    assert list(level["tcb"]) == ["sgxtcbcomponents", "pcesvn"]
    assert len(level["tcb"]["sgxtcbcomponents"]) == 16
    assert list(members["tcbLevels"][1]) == ["tcb", "tcbDate", "tcbStatus", "advisoryIDs"]


def test_tcb_info_of_tdx_has_intels_members_in_intels_order(platform: SimulatedPlatform, at: datetime) -> None:
    members = json.loads(platform.td_publication(at=at).tcb_info.text())
    assert list(members) == [*TCB_INFO_V3[:-1], "tdxModule", "tdxModuleIdentities", "tcbLevels"]
    assert list(members["tdxModule"]) == ["mrsigner", "attributes", "attributesMask"]
    (module,) = members["tdxModuleIdentities"]
    assert list(module) == ["id", "mrsigner", "attributes", "attributesMask", "tcbLevels"]
    assert list(module["tcbLevels"][0]) == ["tcb", "tcbDate", "tcbStatus"]
    assert list(members["tcbLevels"][0]["tcb"]) == ["sgxtcbcomponents", "pcesvn", "tdxtcbcomponents"]
    assert len(members["tcbLevels"][0]["tcb"]["tdxtcbcomponents"]) == 16


@pytest.mark.parametrize("status", list(DOCUMENTED.values()))
def test_a_tds_own_level_has_the_status_asked_for(platform: SimulatedPlatform, at: datetime, status: TcbStatus) -> None:
    info = read_tcb_info(platform.td_publication(at=at, status=status).tcb_info.text())
    of_platform = [level for level in info.levels if level.components == platform.state.hardware.components]
    own, older = of_platform
    assert own.status is status
    assert own.tdx_components[2] > older.tdx_components[2]
    assert older.status is not TcbStatus.UP_TO_DATE


def test_version_2_numbers_its_components_and_has_no_id(platform: SimulatedPlatform, at: datetime) -> None:
    members = json.loads(replace(platform.publication(at=at).tcb_info, version=2).text())
    assert list(members) == TCB_INFO_V3[1:]
    tcb = members["tcbLevels"][0]["tcb"]
    assert list(tcb) == [f"sgxtcbcomp{place:02}svn" for place in range(1, 17)] + ["pcesvn"]
    assert [tcb[name] for name in list(tcb)[:16]] == list(platform.state.hardware.components)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("status", list(DOCUMENTED.values()))
def test_the_platforms_own_level_has_the_status_asked_for(
    platform: SimulatedPlatform, at: datetime, status: TcbStatus, version: int
) -> None:
    info = read_tcb_info(replace(platform.publication(at=at, status=status).tcb_info, version=version).text())
    own = next(level for level in info.levels if level.components == platform.state.hardware.components)
    assert own.status is status
    assert bool(own.advisory_ids) is (status is not TcbStatus.UP_TO_DATE)
    assert info.fmspc == platform.fmspc


def test_an_outdated_platform_has_a_newer_level_above_it(platform: SimulatedPlatform, at: datetime) -> None:
    outdated = read_tcb_info(platform.publication(at=at, status=TcbStatus.OUT_OF_DATE).tcb_info.text())
    current = read_tcb_info(platform.publication(at=at).tcb_info.text())
    assert outdated.levels[0].components > platform.state.hardware.components
    assert outdated.levels[0].status is TcbStatus.UP_TO_DATE
    assert current.levels[0].components == platform.state.hardware.components


def test_qe_identity_has_intels_members_in_intels_order(platform: SimulatedPlatform, at: datetime) -> None:
    text = platform.publication(at=at).qe_identity.text()
    members = json.loads(text)
    assert list(members) == QE_IDENTITY
    assert text == json.dumps(members, separators=(",", ":"))
    assert members["attributes"] == "11" + "00" * 15
    assert list(members["tcbLevels"][1]) == ["tcb", "tcbDate", "tcbStatus", "advisoryIDs"]


def test_qe_identity_describes_the_simulated_quoting_enclave(platform: SimulatedPlatform, at: datetime) -> None:
    identity = read_qe_identity(platform.publication(at=at).qe_identity.text())
    masked = bytes(a & m for a, m in zip(QUOTING_ENCLAVE.attributes.value, identity.attributes_mask, strict=True))
    assert masked == identity.attributes
    assert identity.mr_signer == QUOTING_ENCLAVE.mr_signer
    assert identity.isv_prod_id == QUOTING_ENCLAVE.isv_prod_id
    assert identity.levels[0].isv_svn == QUOTING_ENCLAVE.isv_svn
    assert [level.isv_svn for level in identity.levels] == sorted(
        (level.isv_svn for level in identity.levels), reverse=True
    )
