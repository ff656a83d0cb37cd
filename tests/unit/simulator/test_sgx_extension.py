from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.collateral.pck import PckExtension, read_pck_extension
from ambergate.core.measurements import CpuSvn, Fmspc, PceId, PlatformInstanceId, Ppid
from ambergate.simulator.sgx_extension import encode_sgx_extension

PROCESSOR = PckExtension(
    ppid=Ppid(bytes(range(16))),
    components=(1, 127, 128, 255, *range(12)),
    pce_svn=13,
    cpu_svn=CpuSvn(bytes((1, 127, 128, 255, *range(12)))),
    pce_id=PceId(b"\x00\x01"),
    fmspc=Fmspc(b"SIM\x00\x01\x02"),
    sgx_type=0,
)
PLATFORM = replace(
    PROCESSOR,
    sgx_type=1,
    platform_instance_id=PlatformInstanceId(bytes(16)),
    dynamic_platform=True,
    cached_keys=False,
    smt_enabled=True,
)


@pytest.mark.parametrize("extension", [PROCESSOR, PLATFORM], ids=["five entries", "seven entries"])
def test_what_is_written_is_read(extension: PckExtension) -> None:
    assert read_pck_extension(encode_sgx_extension(extension)) == extension


def test_a_processor_extension_has_five_entries_and_a_platform_extension_seven() -> None:
    identifiers = [bytes((*bytes.fromhex("060a2a864886f84d010d01"), entry)) for entry in range(1, 8)]
    assert [i in encode_sgx_extension(PROCESSOR) for i in identifiers] == [True] * 5 + [False] * 2
    assert all(i in encode_sgx_extension(PLATFORM) for i in identifiers)


def test_an_svn_above_127_is_a_two_byte_integer() -> None:
    der = encode_sgx_extension(PROCESSOR)
    arc = bytes.fromhex("060b2a864886f84d010d0102")
    assert arc + bytes.fromhex("0202017f") in der
    assert arc + bytes.fromhex("0302020080") in der
    assert arc + bytes.fromhex("04020200ff") in der


@given(st.lists(st.integers(0, 255), min_size=16, max_size=16), st.integers(0, 0xFFFF))
def test_every_svn_survives(components: list[int], pce_svn: int) -> None:
    extension = replace(PLATFORM, components=tuple(components), pce_svn=pce_svn, cpu_svn=CpuSvn(bytes(components)))
    assert read_pck_extension(encode_sgx_extension(extension)) == extension
