"""Certificate chains and revocation lists up to the trust anchor's key.

Steps 2.1 to 2.11 (PCK chain) and the chain steps of 3 and 4 (signing chains). Nothing here looks at the time: what
was proven is returned together with the windows in which it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.certificates import Certificate, read_pem_chain
from ambergate.core.collateral.crl import RevocationList, read_crl
from ambergate.core.verify.signatures import is_signed
from ambergate.core.verify.verdict import Dated, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.trail import Trail

# Parts of the common names by which the reference knows the roles (QVL `VerifyPCKCertificate`, `VerifyTCBInfo`).
ROOT_NAME: Final = "SGX Root CA"
CA_NAME: Final = "CA"
PCK_NAME: Final = "SGX PCK Certificate"
SIGNER_NAME: Final = "SGX TCB Signing"
# Which of the two CAs that certify platforms an intermediate is (PCK Certificate and CRL Profile, 1.3.3 and 1.3.4).
PCK_CAS: Final = {"SGX PCK Processor CA": "processor", "SGX PCK Platform CA": "platform"}
PCK_CHAIN_DATES: Final = "5.3.pck_chain_dates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The revocation lists of root and intermediate, each signed by its CA; neither revokes the intermediate."""

    root: RevocationList
    pck: RevocationList
    dates: tuple[Dated, ...]  # of both CAs' certificates, then of both lists


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningChain:
    """A TCB signing certificate, proven up to the anchor and not revoked by the root CRL."""

    signer: Certificate
    dates: tuple[Dated, ...]


@dataclass(frozen=True, slots=True)
class SigningSteps:
    """The ids of one signing chain's steps: TCB info's (3) or QE identity's (4)."""

    chain_format: str
    anchor: str
    signature: str
    revoked: str
    dates: str


TCB_CHAIN: Final = SigningSteps(
    "3.1.tcb_chain_format",
    "3.2.tcb_chain_anchor",
    "3.3.tcb_chain_signature",
    "3.4.tcb_signing_revoked",
    "5.6.tcb_chain_dates",
)
QE_CHAIN: Final = SigningSteps(
    "4.1.qe_chain_format",
    "4.2.qe_chain_anchor",
    "4.3.qe_chain_signature",
    "4.4.qe_signing_revoked",
    "5.7.qe_chain_dates",
)


def prove_issuers(trail: Trail, root: Certificate, intermediate: Certificate, anchor: TrustAnchor) -> None:
    """Steps 2.2 to 2.4: the intermediate is vouched for by the anchor.

    Raises:
        NotGenuine: at the first step that fails.
    """
    _anchored(trail, "2.2.pck_chain_anchor", root, anchor)
    if not (root.self_issued and is_signed(root.public_key, root.signature, root.to_be_signed)):
        raise trail.failed("2.3.root_signature", "the root did not sign itself", seen=root.common_name)
    trail.passed("2.3.root_signature", f"{root.common_name} signed itself")
    _issued(trail, "2.4.intermediate_signature", intermediate, root)


def prove_lists(trail: Trail, root: Certificate, intermediate: Certificate, root_crl: str, pck_crl: str) -> Lists:
    """Steps 2.6 to 2.10: both lists are their CA's, and the intermediate is not revoked.

    Args:
        trail: where the steps are recorded.
        root: proven by `prove_issuers`.
        intermediate: proven by `prove_issuers`.
        root_crl: the root CA's list, as the bundle holds it.
        pck_crl: the intermediate CA's list.

    Raises:
        NotGenuine: at the first step that fails.
    """
    roots_list = _crl(trail, ("2.6.root_crl_format", "2.7.root_crl_signature"), root_crl, root)
    platforms_list = _crl(trail, ("2.8.pck_crl_format", "2.9.pck_crl_signature"), pck_crl, intermediate)
    _not_revoked(trail, "2.10.intermediate_revoked", intermediate, roots_list)
    dates = (
        dated(PCK_CHAIN_DATES, root),
        dated(PCK_CHAIN_DATES, intermediate),
        _dated_crl("5.4.root_crl_dates", "the root CA's revocation list", roots_list),
        _dated_crl("5.5.pck_crl_dates", "the PCK revocation list", platforms_list),
    )
    return Lists(root=roots_list, pck=platforms_list, dates=dates)


def prove_pck(trail: Trail, pck: Certificate, intermediate: Certificate) -> None:
    """Step 2.5: the intermediate issued the PCK certificate.

    Raises:
        NotGenuine: it did not.
    """
    _issued(trail, "2.5.pck_signature", pck, intermediate)


def check_pck_revocation(trail: Trail, pck: Certificate, lists: Lists) -> None:
    """Step 2.11: the PCK certificate is not revoked.

    Raises:
        NotGenuine: it is.
    """
    _not_revoked(trail, "2.11.pck_revoked", pck, lists.pck)


def prove_signing_chain(
    trail: Trail, steps: SigningSteps, pem: str, root_crl: RevocationList, anchor: TrustAnchor
) -> SigningChain:
    """The chain steps of 3 or 4: a TCB signing certificate vouched for by the anchor and not revoked.

    The root CRL is the one that `prove_lists` has proven: it was issued and signed by the anchor's key.

    Raises:
        NotGenuine: at the first step that fails.
    """
    with trail.parsing(steps.chain_format):
        chain = read_pem_chain(pem.encode("utf-8", "replace"))
    root = _only(chain, _is_root)
    signer = _only(chain, lambda c: SIGNER_NAME in c.common_name and not c.self_issued)
    if len(chain) != 2 or root is None or signer is None:
        raise trail.failed(
            steps.chain_format,
            "the chain is not a root and a TCB signing certificate",
            seen=", ".join(c.common_name for c in chain),
            wanted=f"one {SIGNER_NAME!r} and one {ROOT_NAME!r}",
        )
    trail.passed(steps.chain_format, f"{signer.common_name}, {root.common_name}")
    _anchored(trail, steps.anchor, root, anchor)
    _issued(trail, steps.signature, signer, root)
    _not_revoked(trail, steps.revoked, signer, root_crl)
    return SigningChain(signer=signer, dates=(dated(steps.dates, root), dated(steps.dates, signer)))


def read_pck_chain(trail: Trail, pem: bytes) -> tuple[Certificate, Certificate, Certificate]:
    """Step 2.1: root, intermediate and PCK certificate, in whatever order they stand. Nothing of them is proven.

    Raises:
        NotGenuine: they are not these three.
    """
    with trail.parsing("2.1.pck_chain_format"):
        chain = read_pem_chain(pem)
    root = _only(chain, _is_root)
    intermediate = _only(chain, _is_intermediate)
    pck = _only(chain, lambda c: not c.self_issued and PCK_NAME in c.common_name)
    if len(chain) != 3 or root is None or intermediate is None or pck is None:
        raise trail.failed(
            "2.1.pck_chain_format",
            "the chain is not a root, an intermediate CA and a PCK certificate",
            seen=", ".join(c.common_name for c in chain),
            wanted=f"one each of {ROOT_NAME!r}, {CA_NAME!r}, {PCK_NAME!r}",
        )
    trail.passed("2.1.pck_chain_format", f"{pck.common_name}, {intermediate.common_name}, {root.common_name}")
    return root, intermediate, pck


def read_issuers(trail: Trail, pem: str) -> tuple[Certificate, Certificate]:
    """Step 2.1 for a bundle's own CRL issuer chain: root and intermediate. Nothing of them is proven.

    Raises:
        NotGenuine: they are not these two.
    """
    with trail.parsing("2.1.pck_chain_format"):
        chain = read_pem_chain(pem.encode("utf-8", "replace"))
    root = _only(chain, _is_root)
    intermediate = _only(chain, _is_intermediate)
    if len(chain) != 2 or root is None or intermediate is None:
        raise trail.failed(
            "2.1.pck_chain_format",
            "the CRL's issuer chain is not a root and an intermediate CA",
            seen=", ".join(c.common_name for c in chain),
            wanted=f"one each of {ROOT_NAME!r}, {CA_NAME!r}",
        )
    trail.passed("2.1.pck_chain_format", f"{intermediate.common_name}, {root.common_name}")
    return root, intermediate


def _is_root(certificate: Certificate) -> bool:
    return certificate.self_issued and certificate.is_ca and ROOT_NAME in certificate.common_name


def _is_intermediate(certificate: Certificate) -> bool:
    # The reference goes by names alone; a leaf that issues is refused here besides (RFC 5280, 6.1.4 k).
    named = CA_NAME in certificate.common_name and PCK_NAME not in certificate.common_name
    return not certificate.self_issued and certificate.is_ca and named


def _only(chain: tuple[Certificate, ...], role: Callable[[Certificate], bool]) -> Certificate | None:
    found = [certificate for certificate in chain if role(certificate)]
    return found[0] if len(found) == 1 else None


def _anchored(trail: Trail, step: str, root: Certificate, anchor: TrustAnchor) -> None:
    """Compare keys, not certificates: Intel has published two root certificates with one key."""
    if root.point != anchor.key:
        raise trail.failed(
            step,
            "the chain ends at another root",
            seen=f"{root.common_name}, key {root.point.hex()[:16]}…",
            wanted=f"{anchor.name}, key {anchor.key.hex()[:16]}…",
        )
    trail.passed(step, f"{root.common_name} holds the key of {anchor.name}")


def _issued(trail: Trail, step: str, subject: Certificate, issuer: Certificate) -> None:
    if subject.issuer != issuer.subject:
        raise trail.failed(step, f"{subject.common_name} names another issuer", wanted=issuer.common_name)
    if not is_signed(issuer.public_key, subject.signature, subject.to_be_signed):
        raise trail.failed(step, f"{subject.common_name} is not signed by {issuer.common_name}")
    trail.passed(step, f"{issuer.common_name} signed {subject.common_name}")


def _crl(trail: Trail, steps: tuple[str, str], text: str, issuer: Certificate) -> RevocationList:
    parse_step, signature_step = steps
    with trail.parsing(parse_step):
        crl = read_crl(text)
    trail.passed(parse_step, f"{len(crl.der)} bytes, next update {crl.next_update.isoformat()}")
    if crl.issuer != issuer.subject:
        raise trail.failed(signature_step, "the revocation list is of another CA", wanted=issuer.common_name)
    if not is_signed(issuer.public_key, crl.signature, crl.to_be_signed):
        raise trail.failed(signature_step, f"the revocation list is not signed by {issuer.common_name}")
    trail.passed(signature_step, f"{issuer.common_name} signed it")
    return crl


def _not_revoked(trail: Trail, step: str, certificate: Certificate, crl: RevocationList) -> None:
    if crl.revokes(certificate.serial):
        raise trail.failed(step, f"{certificate.common_name} is revoked", seen=f"serial {certificate.serial:x}")
    trail.passed(step, f"serial {certificate.serial:x} is not on the list")


def dated(step: str, certificate: Certificate) -> Dated:
    """The stretch for which a certificate says that it holds."""
    return Dated(step, certificate.common_name, Window(certificate.not_before, certificate.not_after))


def _dated_crl(step: str, what: str, crl: RevocationList) -> Dated:
    return Dated(step, what, Window(crl.this_update, crl.next_update))
