from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedCollateral, Unavailable
from ambergate.core.measurements import Fmspc
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_reads_what_the_software_platform_published(tmp_path: Path) -> None:
    platform = SimulatedPlatform.create(at=AT, random=stream("offline"))
    platform.save_collateral(tmp_path, at=AT)
    source = DirectoryCollateral(tmp_path / "collateral")
    assert source.collateral(fmspc=platform.fmspc, ca=platform.ca, tee="SGX").tcb_info


def test_what_is_not_there_is_unavailable_and_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refusal:
        DirectoryCollateral(tmp_path).collateral(fmspc=Fmspc(bytes(6)), ca="platform", tee="SGX")
    assert str(tmp_path) in (refusal.value.wanted or "")


@pytest.mark.parametrize(("ca", "tee"), [("../platform", "SGX"), ("platform", "../SGX")])
def test_names_never_leave_the_directory(tmp_path: Path, ca: str, tee: str) -> None:
    with pytest.raises(Unavailable):
        DirectoryCollateral(tmp_path).collateral(fmspc=Fmspc(bytes(6)), ca=ca, tee=tee)


def test_a_file_that_is_not_collateral_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "sgx-000000000000-platform.json").write_text("{}")
    with pytest.raises(MalformedCollateral):
        DirectoryCollateral(tmp_path).collateral(fmspc=Fmspc(bytes(6)), ca="platform", tee="SGX")
