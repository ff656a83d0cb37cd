"""Which collateral a quote needs: read from the quote before anything of it is proven, only to fetch by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.collateral.certificates import Certificate, read_pem_chain
from ambergate.core.collateral.pck import read_pck_extension
from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote.layout import PCK_CERT_CHAIN

if TYPE_CHECKING:
    from ambergate.core.measurements import Fmspc
    from ambergate.core.quote.layout import Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What to ask a collateral source for, and the root that the quote itself names. Claims, not facts."""

    fmspc: Fmspc
    ca: str  # "processor" or "platform"
    tee: str  # "SGX" or "TDX"
    root_key: bytes  # x || y of the root in the quote's chain; lets a service choose among its anchors


def needs_of(quote: Quote) -> Needs:
    """What must be fetched to verify this quote.

    Raises:
        MalformedEvidence: the quote brings no PCK certificate chain.
        MalformedCollateral: its chain or SGX extension does not parse.
    """
    if quote.certification.kind != PCK_CERT_CHAIN:
        raise MalformedEvidence(
            "the quote does not bring its PCK certificate chain",
            seen=f"certification data type {quote.certification.kind}",
            wanted=PCK_CERT_CHAIN,
        )
    chain = read_pem_chain(quote.certification.data)
    leaf = next((c for c in chain if c.sgx_extension is not None), None)
    # The last one: a PCK certificate that another one issued bears its issuer's name as well.
    root = next((c for c in reversed(chain) if c.self_issued), None)
    if leaf is None or leaf.sgx_extension is None or root is None:
        raise MalformedEvidence("the quote's chain has no PCK certificate and root", seen=_names(chain))
    platform = read_pck_extension(leaf.sgx_extension)
    # Seven entries, with a platform instance id, only come from the Platform CA (PCK Certificate Profile, 1.3.5).
    ca = "processor" if platform.platform_instance_id is None else "platform"
    return Needs(fmspc=platform.fmspc, ca=ca, tee=quote.tee.name, root_key=root.point)


def _names(chain: tuple[Certificate, ...]) -> str:
    return ", ".join(c.common_name for c in chain)
