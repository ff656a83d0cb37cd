"""How a document is answered with: headers, encodings and statuses of Intel's PCS, and of Intel's PCCS.

Sources: Intel PCS API v4 and v3; the PCCS in Intel's DCAP sources (`QuoteGeneration/pccs`: controllers, services,
constants), whose CRLs are hex text under another Content-Type.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ambergate.core.measurements import CpuSvn, PceId
from ambergate.simulator.pcs.request import (
    ROOT_CRL_PATH,
    Document,
    Rejected,
    Route,
    choice_of,
    fmspc_of,
    octets_of,
    parameters_of,
    wanted_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.simulator.pcs.shelf import Page, Recast, Shelf

_JSON: Final = "application/json"
_PEM: Final = "application/x-pem-file"
_CRL: Final = "application/pkix-crl"

_CHAIN_HEADERS: Final = {
    Document.IDENTITY: "SGX-Enclave-Identity-Issuer-Chain",
    Document.PCK_CRL: "SGX-PCK-CRL-Issuer-Chain",
    Document.PCK_CERT: "SGX-PCK-Certificate-Issuer-Chain",
    Document.NUMBERS: "TCB-Evaluation-Data-Numbers-Issuer-Chain",
}
_TCB_CHAIN_HEADERS: Final = {"v3": "SGX-TCB-Info-Issuer-Chain", "v4": "TCB-Info-Issuer-Chain"}

# What a PCCS answers beside the number: constants/pccs_status_code.js there.
PCCS_MESSAGES: Final = {
    400: "Invalid request parameters.",
    404: "No cache data for this platform.",
    460: "The integrity of the data can't be verified.",
    461: "The platform was not found in the cache.",
    462: "Certificates are not available for this platform.",
    500: "Internal server error occurred.",
    502: "Unable to retrieve the collateral from the Intel SGX PCS.",
    503: "Server is currently unable to process the request.",
}
_ENCRYPTED_PPID_SIZE: Final = 384  # bytes: one block of RSA-3072
_QE_ID_SIZE: Final = 16  # bytes


class Dialect(StrEnum):
    """Whose manners the server has."""

    PCS = "pcs"
    PCCS = "pccs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response before it is sent; Content-Length and Request-ID are the server's to add."""

    status: int = 200
    headers: Mapping[str, str]
    body: bytes = b""

    def saying(self, **headers: str) -> Answer:
        """The same with other headers; `Content_Type` for `Content-Type`."""
        return replace(self, headers={**self.headers, **{name.replace("_", "-"): headers[name] for name in headers}})


class Desk:
    """Answers requests from a shelf, in a dialect.

    Args:
        shelf: the documents.
        dialect: whose manners to have.
    """

    def __init__(self, shelf: Shelf, dialect: Dialect = Dialect.PCS) -> None:
        self.shelf = shelf
        self.dialect = dialect

    def answer(self, route: Route | None, target: str, recast: Recast | None = None) -> Answer:
        """What the service says to a GET.

        Args:
            route: where the request leads.
            target: path and query of the request.
            recast: a lie about what is published; the truth when not given.
        """
        if route is None or not self._serves(route, target):
            return self.refusal(404)
        try:
            given = parameters_of(target)
            wanted = wanted_of(route, given, numbered=self.dialect is Dialect.PCS)
            refused = self._refused(route, given)
            if refused is not None:
                return self.refusal(refused)
            return self._told(route, given, self.shelf.page(wanted, recast))
        except Rejected as exc:
            return self.refusal(exc.status, str(exc))

    def refusal(self, status: int, detail: str = "") -> Answer:
        """A status without a document: a PCS explains in headers, and that for 400 only; a PCCS in words."""
        if self.dialect is Dialect.PCCS:
            message = PCCS_MESSAGES.get(status, "")
            return Answer(status=status, headers={"Content-Type": "text/html; charset=utf-8"}, body=message.encode())
        explained = {"Error-Code": "InvalidRequest", "Error-Message": detail} if status == 400 else {}
        return Answer(status=status, headers=explained)

    def _serves(self, route: Route, target: str) -> bool:
        """Whether this dialect has the address at all.

        Intel's root CRL is on another host than its PCS. This server stands for both, and has it at a PCCS's address
        too, so that a client needs to know one address only.
        """
        if self.dialect is Dialect.PCS:
            return True
        return route.document not in (Document.FMSPCS, Document.NUMBERS) and not target.startswith(ROOT_CRL_PATH)

    def _refused(self, route: Route, given: Mapping[str, str]) -> int | None:
        """The status that says the service has no such document; None when it has."""
        platform = self.shelf.platform
        if route.document is Document.TCB:
            return None if fmspc_of(given) == platform.fmspc else 404
        if route.document is not Document.PCK_CERT:
            return None
        if not self._knows(given):
            return 404 if self.dialect is Dialect.PCS else 461
        hardware = platform.state.hardware
        components = octets_of(given, "cpusvn", CpuSvn.WIDTH)
        pce_svn = int.from_bytes(octets_of(given, "pcesvn", 2), "little")
        reached = all(raw >= own for raw, own in zip(components, hardware.components, strict=True))
        if reached and pce_svn >= hardware.pce_svn:
            return None
        return 404 if self.dialect is Dialect.PCS else 462

    def _knows(self, given: Mapping[str, str]) -> bool:
        """Whether the certificate asked for is of this platform.

        Nobody holds a key to the simulator's encrypted PPID, so it is not encrypted: the PPID, and zeros up to the
        length. A PCCS knows platforms by the id of their quoting enclave.
        """
        state = self.shelf.platform.state
        pce_id = octets_of(given, "pceid", PceId.WIDTH) == state.hardware.pce_id.value
        if self.dialect is Dialect.PCCS:
            return pce_id and octets_of(given, "qeid", _QE_ID_SIZE) == state.platform_id
        ppid = octets_of(given, "encrypted_ppid", _ENCRYPTED_PPID_SIZE)
        return pce_id and ppid == state.hardware.ppid.value.ljust(_ENCRYPTED_PPID_SIZE, b"\0")

    def _told(self, route: Route, given: Mapping[str, str], page: Page) -> Answer:
        """The page in the encoding asked for, with the headers of its kind."""
        body, content_type = page.content, _JSON
        if route.document is Document.PCK_CERT:
            content_type = _PEM
        elif route.document is Document.PCK_CRL:
            body, content_type = self._revocations(given, page.content)
        elif route.document is Document.ROOT_CRL:
            body, content_type = (body.hex().encode() if self.dialect is Dialect.PCCS else body), _CRL
        headers = {"Content-Type": content_type}
        if page.chain:
            name = _TCB_CHAIN_HEADERS[route.api] if route.document is Document.TCB else _CHAIN_HEADERS[route.document]
            headers[name] = quote(page.chain, safe="")
        if route.document is Document.PCK_CERT:
            headers |= self._certified()
        return Answer(headers=headers, body=body)

    def _revocations(self, given: Mapping[str, str], der: bytes) -> tuple[bytes, str]:
        """A PCK CRL, and the Content-Type, which at a PCCS tells of PEM where hex text of the DER comes."""
        if self.dialect is Dialect.PCCS:
            return (der, _CRL) if given.get("encoding", "").lower() == "der" else (der.hex().encode(), _PEM)
        if choice_of(given, "encoding", ("pem", "der"), "pem") == "der":
            return der, _CRL
        return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM), _PEM

    def _certified(self) -> dict[str, str]:
        """Headers about a PCK certificate: the TCB that it is for (CPUSVN, then PCESVN), its family and its CA."""
        hardware = self.shelf.platform.state.hardware
        tcb = hardware.cpu_svn.value + hardware.pce_svn.to_bytes(2, "little")
        return {
            "SGX-TCBm": tcb.hex().upper(),
            "SGX-FMSPC": hardware.fmspc.hex().upper(),
            "SGX-PCK-Certificate-CA-Type": self.shelf.platform.ca,
        }
