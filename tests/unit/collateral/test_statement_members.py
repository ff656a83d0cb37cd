"""Each member of Intel's statements that may not be otherwise, and what is said when it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.bundle import MAX_BUNDLE, MAX_DOCUMENT, Collateral
from ambergate.core.collateral.documents import MAX_ADVISORIES, MAX_PARTS
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import MalformedCollateral
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("members"))
SGX = PLATFORM.collateral(at=AT)
TDX = PLATFORM.td_collateral(at=AT)
GONE = object()


def changed(text: str, path: str, value: object) -> str:
    """The document with the member at `path` another, or gone."""
    document: Any = json.loads(text)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    spot = document
    for part in way:
        spot = spot[part]
    if value is GONE:
        del spot[last]
    else:
        spot[last] = value
    return json.dumps(document)


COMPONENTS = "tcbLevels.0.tcb.sgxtcbcomponents"
TCB_INFO = [
    ("version", 4, "version is not supported"),
    ("version", True, "not an integer"),
    ("tcbType", 1, "not an integer in range"),
    ("id", "QVE", "id is unknown"),
    ("id", GONE, "not text"),
    ("tdxModule", {}, "speaks of a TDX module"),
    ("tdxModuleIdentities", [], "speaks of a TDX module"),
    ("issueDate", "2026-05-01T12:00:00", "not an instant"),
    ("issueDate", "2026-02-30T12:00:00Z", "not a real date"),
    ("nextUpdate", 5, "not text"),
    ("fmspc", "00906ed5000", "not hex of its width"),
    ("fmspc", "00906ed5000g", "not hex of its width"),
    ("pceId", "000", "not hex of its width"),
    ("tcbEvaluationDataNumber", -1, "not an integer in range"),
    ("tcbEvaluationDataNumber", 1.0, "not an integer in range"),
    ("tcbLevels", [], "not an array"),
    ("tcbLevels", {}, "not an array"),
    ("tcbLevels.0", [], "not an object"),
    ("tcbLevels.0.tcb", None, "not an object"),
    ("tcbLevels.0.tcb.pcesvn", 0x10000, "not an integer in range"),
    ("tcbLevels.0.tcbStatus", "Fine", "status is unknown"),
    ("tcbLevels.0.tcbStatus", "TDRelaunchAdvised", "status is unknown"),
    ("tcbLevels.0.tcbDate", "yesterday", "not an instant"),
    ("tcbLevels.0.advisoryIDs", "INTEL-SA-1", "not an array of text"),
    ("tcbLevels.0.advisoryIDs", [1], "not an array of text"),
    ("tcbLevels.0.advisoryIDs", ["x"] * (MAX_ADVISORIES + 1), "not an array of text"),
    (COMPONENTS, [{"svn": 1}] * 15, "another length"),
    (COMPONENTS, [{"svn": 1}] * 17, "another length"),
    (f"{COMPONENTS}.3.svn", 256, "not an integer in range"),
    (f"{COMPONENTS}.3.svn", -1, "not an integer in range"),
    (f"{COMPONENTS}.3.svn", 1 << 80, "not an integer in range"),
    (f"{COMPONENTS}.3.svn", True, "not an integer in range"),
    (f"{COMPONENTS}.3.svn", 1.0, "not an integer in range"),
    (f"{COMPONENTS}.3.svn", "1", "not an integer in range"),
    (f"{COMPONENTS}.3.svn", GONE, "not an integer in range"),
    (f"{COMPONENTS}.3", 1, "not an object"),
    (f"{COMPONENTS}.3", ["svn"], "not an object"),
]
MODULE = "tdxModuleIdentities.0"
TD_INFO = [
    ("tdxModule", GONE, "not an object"),
    ("tdxModule.mrsigner", "00", "not hex of its width"),
    ("tdxModule.attributes", GONE, "not text"),
    ("tdxModule.attributesMask", GONE, "not text"),
    ("tdxModuleIdentities", [], "not an array"),
    (f"{MODULE}.id", 1, "not text"),
    (f"{MODULE}.tcbLevels", [], "not an array"),
    (f"{MODULE}.tcbLevels.0.tcb.isvsvn", 0x10000, "not an integer in range"),
    (f"{MODULE}.tcbLevels.0.tcbStatus", "Fine", "status is unknown"),
    ("tcbLevels.0.tcb.tdxtcbcomponents", GONE, "not an array"),
]
QE_IDENTITY = [
    ("version", 3, "version is not supported"),
    ("id", "TDX", "id is unknown"),
    ("miscselect", "000000", "not hex of its width"),
    ("attributesMask", GONE, "not text"),
    ("mrsigner", "0" * 63, "not hex of its width"),
    ("isvprodid", 0x10000, "not an integer in range"),
    ("tcbLevels.0.tcb.isvsvn", GONE, "not an integer in range"),
    ("tcbLevels.0.tcbStatus", GONE, "not text"),
]


@pytest.mark.parametrize(("path", "value", "words"), TCB_INFO)
def test_tcb_info(path: str, value: object, words: str) -> None:
    with pytest.raises(MalformedCollateral, match=words):
        read_tcb_info(changed(SGX.tcb_info, path, value))


@pytest.mark.parametrize(("path", "value", "words"), TD_INFO)
def test_tcb_info_of_tds(path: str, value: object, words: str) -> None:
    with pytest.raises(MalformedCollateral, match=words):
        read_tcb_info(changed(TDX.tcb_info, path, value))


@pytest.mark.parametrize(("path", "value", "words"), QE_IDENTITY)
def test_qe_identity(path: str, value: object, words: str) -> None:
    with pytest.raises(MalformedCollateral, match=words):
        read_qe_identity(changed(SGX.qe_identity, path, value))


def test_a_module_has_each_level_once() -> None:
    levels = json.loads(TDX.tcb_info)["tdxModuleIdentities"][0]["tcbLevels"]
    with pytest.raises(MalformedCollateral, match="two levels of a TDX module are equal"):
        read_tcb_info(changed(TDX.tcb_info, f"{MODULE}.tcbLevels", [*levels, levels[0]]))


def test_tcb_info_of_tds_may_describe_version_0_alone() -> None:
    info = read_tcb_info(changed(TDX.tcb_info, "tdxModuleIdentities", GONE))
    assert info.tdx_module_identities == ()
    assert info.module_of_version(0) == info.tdx_module
    assert info.module_of_version(1) is None


def test_a_bundle_and_its_members_are_bounded() -> None:
    long = json.loads(SGX.to_json()) | {"tcb_info": "x" * (MAX_DOCUMENT + 1)}
    with pytest.raises(MalformedCollateral, match="tcb_info is too long"):
        Collateral.from_json(json.dumps(long))
    with pytest.raises(MalformedCollateral, match="the collateral is too long"):
        Collateral.from_json(" " * (MAX_BUNDLE + 1))
    with pytest.raises(MalformedCollateral, match="not an object"):
        Collateral.from_json("[]")
    with pytest.raises(MalformedCollateral, match="lacks members"):
        Collateral.from_json("{}")


def test_a_bundle_is_utf_8_and_of_a_bounded_number_of_parts() -> None:
    assert Collateral.from_json(SGX.to_json().encode()) == SGX
    with pytest.raises(MalformedCollateral, match="not UTF-8"):
        Collateral.from_json(SGX.to_json().encode() + b"\xff")
    for text in ("[" * (MAX_PARTS + 1), '{"a":' * (MAX_PARTS + 1)):
        with pytest.raises(MalformedCollateral, match="too many parts"):
            Collateral.from_json(text)
