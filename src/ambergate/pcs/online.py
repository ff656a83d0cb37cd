"""Collateral from a PCCS, or from Intel's PCS itself, over HTTPS.

Source: Intel PCS API v4 ("Get TCB Info", "Get Quoting Enclave Identity", "Get Revocation List") and the PCCS of
Intel's DCAP, whose CRLs are hex text of the DER.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import httpx

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.signed import split_signed
from ambergate.core.errors import MalformedCollateral, SettingsError, TimedOut, Unavailable

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from ambergate.core.measurements import Fmspc

INTEL_PCS: Final = "https://api.trustedservices.intel.com"
INTEL_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
MAX_RESPONSE: Final = 1024 * 1024  # bytes; the largest published document is below 64 KiB
TIMEOUT: Final = 20.0  # seconds for each request, connecting included

_TCB_CHAIN: Final = ("TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain")
_QE_CHAIN: Final = ("SGX-Enclave-Identity-Issuer-Chain",)
_CRL_CHAIN: Final = ("SGX-PCK-CRL-Issuer-Chain",)


class OnlineCollateral:
    """Fetches the four documents of one platform family. TLS is always verified; nothing is cached.

    Args:
        base_url: e.g. `https://pccs.example:8081`; Intel's PCS when not given.
        verify: trust for TLS; the system's roots when not given.
        timeout: seconds for each request.
    """

    def __init__(
        self, base_url: str = INTEL_PCS, *, verify: ssl.SSLContext | None = None, timeout: float = TIMEOUT
    ) -> None:
        if urlsplit(base_url).scheme != "https":
            raise SettingsError("collateral is fetched over HTTPS only", seen=base_url, wanted="https://HOST[:PORT]")
        self._base = base_url.rstrip("/")
        self._http = httpx.Client(
            verify=verify if verify is not None else True, timeout=timeout, follow_redirects=False, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        """The statements for a platform family (see `CollateralSource`).

        Raises:
            Unavailable: no answer, or another status than 200. `TimedOut` when it was too slow.
            MalformedCollateral: a document is not what its address promises.
        """
        family = f"{self._base}/{tee.lower()}/certification/v4"
        tcb, tcb_chain = self._get(f"{family}/tcb?fmspc={fmspc.hex()}", _TCB_CHAIN)
        qe, qe_chain = self._get(f"{family}/qe/identity", _QE_CHAIN)
        crl, crl_chain = self._get(f"{self._base}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der", _CRL_CHAIN)
        root_crl, _ = self._get(self._root_crl_url(), ())
        tcb_info, tcb_signature = split_signed(_text(tcb), "tcbInfo")
        qe_identity, qe_signature = split_signed(_text(qe), "enclaveIdentity")
        return Collateral(
            pck_crl_issuer_chain=crl_chain,
            root_ca_crl=_crl_hex(root_crl),
            pck_crl=_crl_hex(crl),
            tcb_info_issuer_chain=tcb_chain,
            tcb_info=tcb_info,
            tcb_info_signature=tcb_signature,
            qe_identity_issuer_chain=qe_chain,
            qe_identity=qe_identity,
            qe_identity_signature=qe_signature,
        )

    def _root_crl_url(self) -> str:
        """Intel's PCS publishes the root CRL at another host; a PCCS serves it itself."""
        return INTEL_ROOT_CRL if self._base == INTEL_PCS else f"{self._base}/sgx/certification/v4/rootcacrl"

    def _get(self, url: str, chain_headers: tuple[str, ...]) -> tuple[bytes, str]:
        """The body, bounded, and the issuer chain from the first of the headers that is there."""
        try:
            with self._http.stream("GET", url) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_RESPONSE:
                        raise MalformedCollateral("a reply is too long", seen=f"over {MAX_RESPONSE} bytes from {url}")
        except httpx.TimeoutException as exc:
            raise TimedOut("the collateral service did not answer in time", seen=url) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable("the collateral service cannot be reached", seen=f"{url}: {exc}") from exc
        if response.status_code != httpx.codes.OK:
            raise Unavailable(
                "the collateral service has no such document",
                seen=f"HTTP {response.status_code} from {url}",
                wanted="HTTP 200",
                hint="check the address, and that the service knows this platform's FMSPC",
            )
        chain = next((response.headers[name] for name in chain_headers if name in response.headers), None)
        if chain_headers and chain is None:
            raise MalformedCollateral("a reply has no issuer chain", seen=url, wanted=" or ".join(chain_headers))
        return bytes(body), unquote(chain or "")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MalformedCollateral("a signed document is not UTF-8", seen=str(exc)) from exc


def _crl_hex(body: bytes) -> str:
    """The CRL as hex of its DER, whether DER or hex text came."""
    stripped = body.strip()
    if stripped and all(octet in b"0123456789abcdefABCDEF" for octet in stripped):
        return stripped.decode("ascii").lower()
    return body.hex()
