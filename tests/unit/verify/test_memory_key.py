"""What a platform is remembered by: all octets that its verdict depends on, but those that are checked each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.measurements import Measurement384, TeeTcbSvn
from ambergate.core.quote import Quote, TdReport, TeeType, encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_TRAILING
from ambergate.core.verify.cut import cut_for_memory
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("memory key"))
SGX = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
TD = parse_quote(PLATFORM.td_quote(TD_SPECIMEN, bytes(64), version=4))
USER_DATA = range(28, 48)
# Of a TD's report: TEE_TCB_SVN; MRSIGNERSEAM and SEAMATTRIBUTES; TEE_TCB_SVN_2.
JUDGED = {*range(16), *range(64, 120), *range(584, 600)}


def of_version(quote: Quote, version: int, *, extended: bool = False) -> bytes:
    body = quote.body
    if extended and isinstance(body, TdReport):
        body = replace(body, tee_tcb_svn2=TeeTcbSvn(bytes(16)), mr_service_td=Measurement384(bytes(48)))
    return encode_quote(replace(quote, header=replace(quote.header, version=version), body=body))


QUOTES = {
    "SGX 3": (of_version(SGX, 3), 48, 384),
    "SGX 4": (of_version(SGX, 4), 48, 384),
    "SGX 5": (of_version(SGX, 5), 54, 384),
    "TDX 4": (of_version(TD, 4), 48, 584),
    "TDX 5": (of_version(TD, 5), 54, 584),
    "TDX 5, report 1.5": (of_version(TD, 5, extended=True), 54, 648),
}


@pytest.mark.parametrize("name", list(QUOTES))
def test_each_octet_is_part_of_the_key_or_checked_each_time(name: str) -> None:
    raw, begins, size = QUOTES[name]
    ends = begins + size
    whole = cut_for_memory(raw + b"\1")
    assert whole is not None
    assert whole.signed == raw[:ends]
    assert whole.signature == parse_quote(raw).signature == raw[ends + 4 : ends + 68]
    judged = JUDGED if parse_quote(raw).tee is TeeType.TDX else set()
    free = {
        *USER_DATA,
        *(begins + at for at in range(size) if at not in judged),
        *range(ends + 4, ends + 68),
        len(raw),  # padding
    }
    data = range(begins + (520 if judged else 320), begins + (584 if judged else 384))
    assert whole.report_data == raw[data.start : data.stop]
    of_kind = free - {*range(begins, ends)} | {*data}  # what differs between quotes of one kind
    for at in range(len(raw) + 1):
        changed = bytearray(raw + b"\1")
        changed[at] ^= 1
        parts = cut_for_memory(bytes(changed))
        same = parts is not None and parts.digest == whole.digest
        assert same is (at in free), at
        assert (same and parts is not None and parts.rest == whole.rest) is (at in of_kind), at


@pytest.mark.parametrize("name", list(QUOTES))
def test_what_is_no_whole_quote_is_left_to_the_parser(name: str) -> None:
    raw, begins, size = QUOTES[name]
    whole = cut_for_memory(raw)
    assert whole is not None
    for cut in (0, 7, 8, 47, 53, begins + size, begins + size + 3, begins + size + 4, begins + size + 67, len(raw) - 1):
        assert cut_for_memory(raw[:cut]) is None
    padded = raw + bytes(MAX_TRAILING)
    assert cut_for_memory(padded) == whole._replace(raw=padded)
    assert cut_for_memory(raw + bytes(MAX_TRAILING + 1)) is None
    for version in (0, 2, 6):
        assert cut_for_memory(bytes((version,)) + raw[1:]) is None
