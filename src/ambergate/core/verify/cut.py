"""A quote cut up for whoever remembers: what is new in each quote, and the digest of what its platform decides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING, TeeType
from ambergate.core.quote.report import REPORT_DATA, read_enclave_report
from ambergate.core.quote.td_report import REPORT_DATA as TD_REPORT_DATA
from ambergate.core.quote.td_report import read_td_report

if TYPE_CHECKING:
    from ambergate.core.quote.report import EnclaveReport
    from ambergate.core.quote.td_report import TdReport

# First eight bytes of the header (version, attestation key type, TEE type) -> where the report begins and ends.
_SHAPES: Final = {
    bytes.fromhex("0300020000000000"): (48, 432),
    bytes.fromhex("0400020000000000"): (48, 432),
    bytes.fromhex("0400020081000000"): (48, 632),
    bytes.fromhex("0500020000000000"): (54, 438),
    bytes.fromhex("0500020081000000"): (54, None),  # the body's descriptor says
}
_TDX: Final = TeeType.TDX.value  # the first octet of the TEE type


class Cut(NamedTuple):
    """A quote cut into what is always checked and the digest of what may be remembered. Nothing of it is proven.

    `digest` names all of a quote that its platform decides: two quotes of one digest have one shape, one kind of TEE,
    and one certificate chain. Whatever was read from these of one, holds of the other.
    """

    raw: bytes
    report: bytes  # of the enclave or TD
    signed: bytes
    signature: bytes
    digest: bytes
    data: slice  # where REPORTDATA stands in the report

    @property
    def tee(self) -> TeeType:
        """Whose report it is."""
        return TeeType.TDX if self.raw[4] == _TDX else TeeType.SGX

    @property
    def report_data(self) -> bytes:
        """REPORTDATA: 64 bytes of the enclave's or TD's choice."""
        return self.report[self.data]

    @property
    def rest(self) -> bytes:
        """The report without it."""
        return self.report[: self.data.start] + self.report[self.data.stop :]

    def read_report(self) -> EnclaveReport | TdReport:
        """The report, parsed."""
        return read_enclave_report(self.report) if self.tee is TeeType.SGX else read_td_report(self.report)


def cut_for_memory(raw: bytes) -> Cut | None:
    """The quote cut up; None where its shape is not plain, which the parser then judges."""
    begins, ends = _SHAPES.get(raw[:8], (0, None))
    if begins == 54:
        ends = 54 + int.from_bytes(raw[50:54], "little")
    if ends is None or len(raw) > MAX_QUOTE:
        return None
    data = ends + 4
    stops = data + int.from_bytes(raw[ends:data], "little")
    if not data + 128 <= stops <= len(raw) <= stops + MAX_TRAILING:
        return None
    # What the verdict depends on besides the signature: header (but for user data), descriptor, parts of a TD's report.
    digest = hashlib.sha256(raw[data + 64 : stops])
    if begins == 48:
        digest.update(raw[:28])
    else:
        digest.update(raw[:28] + raw[48:54])
    report = raw[begins:ends]
    digest.update(judged_of(raw, report))
    where = TD_REPORT_DATA if raw[4] == _TDX else REPORT_DATA
    return Cut(raw, report, raw[:ends], raw[data : data + 64], digest.digest(), where)


def judged_of(header: bytes, report: bytes) -> bytes:
    """What the verdict depends on of a report: of a TD's, SVNs, module signer and module attributes."""
    return report[:16] + report[64:120] + report[584:600] if header[4] == _TDX else b""
