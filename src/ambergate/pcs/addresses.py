"""Where each document of a platform family is served.

Source: Intel PCS API v3 and v4, "Get TCB Info", "Get Quoting Enclave Identity", "Get Revocation List". A PCCS serves
the same paths, and the root CA's revocation list besides; Intel serves that one at another host, for both versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ambergate.core.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from ambergate.pcs.fetcher import Wanted

INTEL_PCS: Final = "https://api.trustedservices.intel.com"
INTEL_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
APIS: Final = ("v4", "v3")
# Two sets of TCB info: `standard` gives platform owners time after a TCB recovery, `early` does not.
UPDATES: Final = ("standard", "early")

# Headers with the issuer chains, in any case. The first is named otherwise in v3, and services mix the two up.
TCB_CHAIN: Final = ("tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain")
QE_CHAIN: Final = ("sgx-enclave-identity-issuer-chain",)
CRL_CHAIN: Final = ("sgx-pck-crl-issuer-chain",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses of one service.

    Attributes:
        base: `https://HOST[:PORT][/PATH]`, without a slash at the end.
        api: "v4" or "v3".
        update: "standard" or "early".
        root_crl: where the root CA's revocation list is.
    """

    base: str
    api: str
    update: str
    root_crl: str

    @classmethod
    def of(cls, base_url: str, *, api: str = "v4", update: str = "standard", root_crl: str | None = None) -> Addresses:
        """The addresses below a base.

        Args:
            base_url: `https://HOST[:PORT][/PATH]`.
            api: "v4" or "v3".
            update: "standard" or "early".
            root_crl: the address of the root CA's revocation list; Intel's for Intel's PCS, a PCCS's own otherwise.

        Raises:
            SettingsError: not such a base, no such API, no such set.
        """
        if api not in APIS:
            raise SettingsError("there is no such API of Intel's PCS", seen=api, wanted=" or ".join(APIS))
        if update not in UPDATES:
            raise SettingsError("there is no such set of TCB info", seen=update, wanted=" or ".join(UPDATES))
        base = checked(base_url).rstrip("/")
        intel = urlsplit(base).hostname == urlsplit(INTEL_PCS).hostname
        usual = INTEL_ROOT_CRL if intel else f"{base}/sgx/certification/{api}/rootcacrl"
        return cls(base=base, api=api, update=update, root_crl=usual if root_crl is None else checked(root_crl))

    def tcb_info(self, wanted: Wanted) -> str:
        """The TCB info of a family.

        Raises:
            Unavailable: version 3 of the API does not speak of TDX.
        """
        return f"{self._family(wanted.tee)}/tcb?fmspc={wanted.fmspc.hex()}{self._update('&')}"

    def qe_identity(self, wanted: Wanted) -> str:
        """The identity of the quoting enclave for a TEE.

        Raises:
            Unavailable: version 3 of the API does not speak of TDX.
        """
        return f"{self._family(wanted.tee)}/qe/identity{self._update('?')}"

    def pck_crl(self, wanted: Wanted) -> str:
        """The revocation list of the CA of a platform's certificate; asked for as DER, answered as anything."""
        return f"{self.base}/sgx/certification/{self.api}/pckcrl?ca={wanted.ca}&encoding=der"

    def _family(self, tee: str) -> str:
        if self.api == "v3" and tee != "SGX":
            raise Unavailable(
                f"version 3 of Intel's API exists for SGX only, and this is {tee}",
                seen=f"api = {self.api!r} of {self.base}",
                wanted="v4",
                hint='set api = "v4" for this source',
            )
        return f"{self.base}/{tee.lower()}/certification/{self.api}"

    def _update(self, mark: str) -> str:
        """Said only when it is not the default, which old services answer without knowing of the choice."""
        return "" if self.update == "standard" else f"{mark}update={self.update}"


def checked(url: str) -> str:
    """The address, when it is one that collateral may come from.

    Raises:
        SettingsError: not `https://HOST[:PORT][/PATH]`.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, urlsplit("")
    printable = url.isascii() and url.isprintable() and " " not in url
    if not usable or not printable or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError("collateral is fetched over HTTPS only", seen=url, wanted="https://HOST[:PORT][/PATH]")
    return url
