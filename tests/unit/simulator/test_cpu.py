from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import SettingsError
from ambergate.core.measurements import CpuSvn, ReportData
from ambergate.core.quote.report import read_enclave_report, write_enclave_report
from ambergate.simulator.cpu import PAGE, SIMULATED_SIGNER, EnclaveIdentity, Processor, measure

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_program_has_the_same_measurement(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"print('hello')")
    assert measure([program]) == measure([b"print('hello')"]) == measure([program])


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.lists(st.binary(max_size=40), min_size=1, max_size=4)
)
def test_two_programs_share_a_measurement_only_if_they_are_the_same(first: list[bytes], second: list[bytes]) -> None:
    assert (measure(first) == measure(second)) is (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([b"a"], [b"a\0"]),
        ([b"a", b""], [b"a"]),
        ([b"ab"], [b"a", b"b"]),
        ([b"a", b"b"], [b"b", b"a"]),
        ([bytes(PAGE)], [bytes(2 * PAGE)]),
        ([bytes(PAGE), bytes(PAGE)], [bytes(2 * PAGE)]),
    ],
    ids=["trailing zero", "empty file", "cut", "order", "zero pages", "page boundary"],
)
def test_padding_hides_no_difference(first: list[bytes], second: list[bytes]) -> None:
    assert measure(first) != measure(second)


def test_the_build_log_is_the_processors() -> None:
    """ECREATE, then for each page EADD and sixteen EEXTENDs with their data (SDM volume 3D, 38.1)."""
    table = struct.pack("<2Q", 1, 5).ljust(PAGE, b"\0")
    log = b"ECREATE\0" + struct.pack("<IQ", 1, 2 * PAGE) + bytes(44)
    for number, page in enumerate((table, b"hello".ljust(PAGE, b"\0"))):
        log += b"EADD\0\0\0\0" + struct.pack("<QQ", number * PAGE, 0x205) + bytes(40)
        for chunk in range(0, PAGE, 256):
            log += b"EEXTEND\0" + struct.pack("<Q", number * PAGE + chunk) + bytes(48) + page[chunk : chunk + 256]
    assert measure([b"hello"]).value == hashlib.sha256(log).digest()


def test_an_unreadable_program_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        measure([tmp_path / "absent"])
    assert "absent" in caught.value.message
    assert caught.value.hint is not None


def test_no_files_are_no_program() -> None:
    with pytest.raises(SettingsError, match="without files"):
        measure([])


def test_attributes_are_those_of_a_running_enclave() -> None:
    enclave = EnclaveIdentity.of_program([b"x"])
    assert enclave.attributes.hex() == "0500000000000000e700000000000000"
    assert not enclave.attributes.debug
    assert EnclaveIdentity.of_program([b"x"], debug=True).attributes.debug


def test_a_report_says_what_the_enclave_is() -> None:
    enclave = EnclaveIdentity(
        mr_enclave=measure([b"x"]),
        mr_signer=SIMULATED_SIGNER,
        isv_prod_id=3,
        isv_svn=4,
        misc_select=1,
        config_id=b"c" * 64,
        config_svn=5,
        isv_family_id=b"f" * 16,
        isv_ext_prod_id=b"e" * 16,
    )
    report = Processor(CpuSvn(bytes(range(16)))).ereport(enclave, ReportData(b"d" * 64))
    read = read_enclave_report(write_enclave_report(report))
    assert read == report
    assert (read.mr_enclave, read.mr_signer) == (enclave.mr_enclave, enclave.mr_signer)
    assert (read.isv_prod_id, read.isv_svn, read.config_svn, read.misc_select) == (3, 4, 5, 1)
    assert (read.config_id, read.isv_family_id, read.isv_ext_prod_id) == (b"c" * 64, b"f" * 16, b"e" * 16)
    assert read.report_data.value == b"d" * 64
    assert read.cpu_svn.value == bytes(range(16))
