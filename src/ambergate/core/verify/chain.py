"""Certificate chains and revocation lists up to the trust anchor's key.

Steps 2.1 to 2.11 (PCK chain) and the chain steps of 3 and 4 (signing chains). Nothing here looks at the time: what
was proven is returned together with the windows in which it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.certificates import NONE_KNOWN, Certificate, read_pem_chain
from ambergate.core.collateral.crl import RevocationList, read_crl
from ambergate.core.verify.signatures import is_signed
from ambergate.core.verify.verdict import Dated, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ambergate.core.collateral.certificates import KnownCertificates
    from ambergate.core.errors import NotGenuine
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.trail import Trail

# Parts of the common names by which the reference knows the roles (QVL `VerifyPCKCertificate`, `VerifyTCBInfo`).
ROOT_NAME: Final = "SGX Root CA"
CA_NAME: Final = "CA"
PCK_NAME: Final = "SGX PCK Certificate"
SIGNER_NAME: Final = "SGX TCB Signing"
# Which of the two CAs that certify platforms an intermediate is (PCK Certificate and CRL Profile, 1.3.3 and 1.3.4).
PCK_CAS: Final = {"SGX PCK Processor CA": "processor", "SGX PCK Platform CA": "platform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The revocation lists of root and intermediate, each signed by its CA; neither revokes the intermediate."""

    root: RevocationList
    pck: RevocationList
    dates: tuple[Dated, ...]  # of both CAs' certificates, then of both lists


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningChain:
    """A TCB signing certificate, proven up to the anchor and not revoked by the root CRL."""

    root: Certificate
    signer: Certificate
    steps: SigningSteps
    anchor: TrustAnchor

    @property
    def dates(self) -> tuple[Dated, Dated]:
        """When root and signing certificate say that they hold."""
        return _dated(self.steps.dates, self.root), _dated(self.steps.dates, self.signer)

    def again(self, trail: Trail, steps: SigningSteps) -> SigningChain:
        """The same chain in another place: what was proven of these very bytes holds there too."""
        trail.passed(steps.chain_format, "{}, {}", self.signer.common_name, self.root.common_name)
        trail.passed(steps.anchor, "{} holds the key of {}", self.root.common_name, self.anchor.name)
        trail.passed(steps.signature, "{} signed {}", self.root.common_name, self.signer.common_name)
        trail.passed(steps.revoked, "serial {:x} is not on the list", self.signer.serial)
        return SigningChain(root=self.root, signer=self.signer, steps=steps, anchor=self.anchor)


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
    known = anchor.get(root.der) is not None
    if not known and not (root.self_issued and is_signed(root.public_key, root.signature, root.to_be_signed)):
        raise trail.failed("2.3.root_signature", "the root did not sign itself", seen=root.common_name)
    trail.passed("2.3.root_signature", "{} signed itself", root.common_name)
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
        _dated("5.3.pck_chain_dates", root),
        _dated("5.3.pck_chain_dates", intermediate),
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


def check_pck_revocation(trail: Trail, pck: Certificate, crl: RevocationList) -> None:
    """Step 2.11: the PCK certificate is not revoked.

    Raises:
        NotGenuine: it is.
    """
    _not_revoked(trail, "2.11.pck_revoked", pck, crl)


def prove_signing_chain(
    trail: Trail,
    steps: SigningSteps,
    pem: str,
    root_crl: RevocationList,
    anchor: TrustAnchor,
    known: KnownCertificates,
) -> SigningChain:
    """The chain steps of 3 or 4: a TCB signing certificate vouched for by the anchor and not revoked.

    The root CRL is the one that `prove_lists` has proven: it was issued and signed by the anchor's key. `known` holds
    certificates read before, by their DER.

    Raises:
        NotGenuine: at the first step that fails.
    """
    found = _roles(trail, steps.chain_format, pem.encode("utf-8", "replace"), (ROOT_NAME, SIGNER_NAME), known)
    root, signer = found[ROOT_NAME], found[SIGNER_NAME]
    _anchored(trail, steps.anchor, root, anchor)
    _issued(trail, steps.signature, signer, root)
    _not_revoked(trail, steps.revoked, signer, root_crl)
    return SigningChain(root=root, signer=signer, steps=steps, anchor=anchor)


def read_pck_chain(
    trail: Trail, pem: bytes, known: KnownCertificates
) -> tuple[Certificate, Certificate, Certificate, bool]:
    """Step 2.1: root, intermediate and PCK certificate, in whatever order they stand. Nothing of them is proven.

    The last value says whether the PCK certificate stands first.

    Raises:
        NotGenuine: they are not these three.
    """
    found = _roles(trail, "2.1.pck_chain_format", pem, (ROOT_NAME, CA_NAME, PCK_NAME), known)
    return found[ROOT_NAME], found[CA_NAME], found[PCK_NAME], next(iter(found)) == PCK_NAME


def read_pck(trail: Trail, pem: bytes) -> Certificate:
    """Step 2.1 for a PCK certificate whose CAs are known already. Nothing of it is proven.

    Raises:
        NotGenuine: it is not one.
    """
    step = "2.1.pck_chain_format"
    chain = trail.read(step, read_pem_chain, pem)
    if len(chain) != 1 or _role(chain[0]) != PCK_NAME:
        raise _not_these(trail, step, chain, (PCK_NAME,))
    trail.passed(step, "{}", chain[0].common_name)
    return chain[0]


def read_issuers(trail: Trail, pem: str) -> tuple[Certificate, Certificate]:
    """Step 2.1 for a bundle's own CRL issuer chain: root and intermediate. Nothing of them is proven.

    Raises:
        NotGenuine: they are not these two.
    """
    found = _roles(trail, "2.1.pck_chain_format", pem.encode("utf-8", "replace"), (ROOT_NAME, CA_NAME))
    return found[ROOT_NAME], found[CA_NAME]


def _role(certificate: Certificate) -> str:
    """Root, intermediate, PCK or signer, by what the reference goes by: names, and who names itself as its issuer.

    A leaf that issues is none of the CAs here besides (RFC 5280, 6.1.4 k).
    """
    name = certificate.common_name
    if certificate.self_issued:
        return ROOT_NAME if certificate.is_ca and ROOT_NAME in name else ""
    if PCK_NAME in name:
        return PCK_NAME
    if SIGNER_NAME in name:
        return SIGNER_NAME
    return CA_NAME if certificate.is_ca and CA_NAME in name else ""


def _roles(
    trail: Trail, step: str, pem: bytes, wanted: tuple[str, ...], known: KnownCertificates = NONE_KNOWN
) -> dict[str, Certificate]:
    """The certificates of these roles, one each and no others, in the order in which they stand in the chain."""
    chain = trail.read(step, lambda text: read_pem_chain(text, known), pem)
    found = {_role(certificate): certificate for certificate in chain}
    if len(chain) != len(wanted) or not found.keys() >= set(wanted):
        raise _not_these(trail, step, chain, wanted)
    trail.passed(step, ", ".join(("{}",) * len(chain)), *(c.common_name for c in chain))
    return found


def _not_these(trail: Trail, step: str, chain: Sequence[Certificate], wanted: tuple[str, ...]) -> NotGenuine:
    return trail.failed(
        step,
        "the chain does not hold the certificates that it should",
        seen=", ".join(c.common_name for c in chain),
        wanted="one each of " + ", ".join(repr(role) for role in wanted),
    )


def _anchored(trail: Trail, step: str, root: Certificate, anchor: TrustAnchor) -> None:
    """Compare keys, not certificates: Intel has published two root certificates with one key."""
    if root.point != anchor.key:
        raise trail.failed(
            step,
            "the chain ends at another root",
            seen=f"{root.common_name}, key {root.point.hex()[:16]}…",
            wanted=f"{anchor.name}, key {anchor.key.hex()[:16]}…",
        )
    trail.passed(step, "{} holds the key of {}", root.common_name, anchor.name)


def _issued(trail: Trail, step: str, subject: Certificate, issuer: Certificate) -> None:
    if subject.issuer != issuer.subject:
        raise trail.failed(step, f"{subject.common_name} names another issuer", wanted=issuer.common_name)
    if not is_signed(issuer.public_key, subject.signature, subject.to_be_signed):
        raise trail.failed(step, f"{subject.common_name} is not signed by {issuer.common_name}")
    trail.passed(step, "{} signed {}", issuer.common_name, subject.common_name)


def _crl(trail: Trail, steps: tuple[str, str], text: str, issuer: Certificate) -> RevocationList:
    parse_step, signature_step = steps
    crl = trail.read(parse_step, read_crl, text)
    trail.passed(parse_step, "{} bytes, next update {}", len(crl.der), crl.next_update)
    if crl.issuer != issuer.subject:
        raise trail.failed(signature_step, "the revocation list is of another CA", wanted=issuer.common_name)
    if not is_signed(issuer.public_key, crl.signature, crl.to_be_signed):
        raise trail.failed(signature_step, f"the revocation list is not signed by {issuer.common_name}")
    trail.passed(signature_step, "{} signed it", issuer.common_name)
    return crl


def _not_revoked(trail: Trail, step: str, certificate: Certificate, crl: RevocationList) -> None:
    if crl.revokes(certificate.serial):
        raise trail.failed(step, f"{certificate.common_name} is revoked", seen=f"serial {certificate.serial:x}")
    trail.passed(step, "serial {:x} is not on the list", certificate.serial)


def _dated(step: str, certificate: Certificate) -> Dated:
    return Dated(step, certificate.common_name, Window(certificate.not_before, certificate.not_after))


def _dated_crl(step: str, what: str, crl: RevocationList) -> Dated:
    return Dated(step, what, Window(crl.this_update, crl.next_update))
