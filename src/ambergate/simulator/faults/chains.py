"""Faults of the PCK certificate chain that a quote brings along (steps 1.2, 2.1 to 2.5, 2.12, 5.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.core.quote.codec import encode_quote
from ambergate.core.quote.layout import Certification
from ambergate.simulator.faults.scene import Fault, Scene, fault, in_quote
from ambergate.simulator.period import Period
from ambergate.simulator.pki import (
    Entity,
    Hierarchy,
    Template,
    pck_ca_template,
    pck_template,
    pem_chain,
    root_template,
    sign_certificate,
)
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.quoting import certification_data
from ambergate.simulator.sgx_extension import encode_sgx_extension

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.layout import Quote

_ENCRYPTED_PPID: Final = 2  # certification data type: the verifier would have to fetch the certificate itself


def _with_data(quote: Quote, data: bytes) -> Quote:
    """The same quote with other certification data: no signature covers it."""
    return replace(quote, certification=replace(quote.certification, data=data))


def _chain(choose: Callable[[Scene, Hierarchy], tuple[Entity, ...]]) -> Callable[[Scene, Quote], Quote]:
    """Put these certificates into the quote, the honest ones being `Hierarchy`'s."""

    def change(scene: Scene, quote: Quote) -> Quote:
        entities = choose(scene, scene.platform.state.pki)
        return _with_data(quote, certification_data(pem_chain(*entities)))

    return change


def _leaf(change: Callable[[Scene, Template], Template]) -> Callable[[Scene, Quote], Quote]:
    """Certify the same PCK key by another certificate, properly signed."""

    def choose(scene: Scene, pki: Hierarchy) -> tuple[Entity, ...]:
        template = change(scene, pck_template(scene.platform.state.hardware, scene.at, scene.random))
        return pki.pck_ca.issue(template, pki.pck.key), pki.pck_ca, pki.root

    return _chain(choose)


def _same_leaf(scene: Scene, issuer: Entity) -> Entity:
    """The platform's own PCK key certified by somebody else."""
    template = pck_template(scene.platform.state.hardware, scene.at, scene.random)
    return issuer.issue(template, scene.platform.state.pki.pck.key)


def _other_root(scene: Scene) -> tuple[bytes, Collateral]:
    stranger = scene.stranger()
    return stranger.quote(scene.enclave, scene.report_data), stranger.collateral(at=scene.at)


def _other_root_honest_collateral(scene: Scene) -> tuple[bytes, Collateral]:
    return scene.stranger().quote(scene.enclave, scene.report_data), scene.publication().collateral()


def _root_signed_by_stranger(scene: Scene, pki: Hierarchy) -> tuple[Entity, ...]:
    template = root_template(scene.at, scene.random)
    certificate = sign_certificate(template, pki.root.key, issuer=None, signer=scene.key())
    return pki.pck, pki.pck_ca, replace(pki.root, certificate=certificate)


def _ca_of_stranger(scene: Scene, pki: Hierarchy) -> tuple[Entity, ...]:
    """An intermediate of the right names, signed by a root of the right name and the wrong key."""
    forged = scene.stranger().state.pki.pck_ca
    return _same_leaf(scene, forged), forged, pki.root


def _ca_expired(scene: Scene, pki: Hierarchy) -> tuple[Entity, ...]:
    template = pck_ca_template(pki.ca, scene.at, scene.random)
    expired = pki.root.issue(replace(template, period=Period.ended_before(scene.at)), pki.pck_ca.key)
    return pki.pck, expired, pki.root


def _root_expired(scene: Scene, pki: Hierarchy) -> tuple[Entity, ...]:
    template = replace(root_template(scene.at, scene.random), period=Period.ended_before(scene.at))
    certificate = sign_certificate(template, pki.root.key, issuer=None, signer=pki.root.key)
    return pki.pck, pki.pck_ca, replace(pki.root, certificate=certificate)


def _extension_too_short(scene: Scene, template: Template) -> Template:
    hardware = scene.platform.state.hardware
    extension = encode_sgx_extension(replace(hardware, components=hardware.components[:15]))
    return replace(template, sgx_extension=extension)


def _sibling_with_our_chain(scene: Scene) -> tuple[bytes, Collateral]:
    """Another platform under the same root, whose own quotes are genuine, sends this platform's certificates."""
    state = scene.platform.state
    pck = state.pki.pck_ca.issue(pck_template(state.hardware, scene.at, scene.random), scene.key())
    sibling = SimulatedPlatform(
        replace(state, pki=replace(state.pki, pck=pck), attestation_key=scene.key(), platform_id=scene.random(16))
    )
    quote = sibling.quoting_enclave.quote(sibling.report(scene.enclave, scene.report_data))
    ours = certification_data(scene.platform.quoting_enclave.certificates)
    return encode_quote(_with_data(quote, ours)), scene.publication().collateral()


FAULTS: Final[tuple[Fault, ...]] = (
    in_quote(
        "certification-type-2",
        "1.2.certification_data",
        "The quote names its platform by an encrypted PPID and brings no certificates.",
        lambda scene, quote: replace(quote, certification=Certification(kind=_ENCRYPTED_PPID, data=scene.random(404))),
    ),
    in_quote(
        "certification-type-1",
        "1.2.certification_data",
        "The quote calls its certificate chain a plain PPID (certification data type 1).",
        lambda _, quote: replace(quote, certification=replace(quote.certification, kind=1)),
    ),
    in_quote(
        "chain-empty",
        "2.1.pck_chain_format",
        "The quote brings a certificate chain without certificates.",
        lambda _, quote: _with_data(quote, b""),
    ),
    in_quote(
        "chain-broken-pem",
        "2.1.pck_chain_format",
        "The chain breaks off inside a certificate.",
        lambda _, quote: _with_data(quote, quote.certification.data[:-200]),
    ),
    in_quote(
        "chain-truncated",
        "2.1.pck_chain_format",
        "The chain lacks its root.",
        _chain(lambda _, pki: (pki.pck, pki.pck_ca)),
    ),
    in_quote(
        "chain-without-intermediate",
        "2.1.pck_chain_format",
        "The chain lacks its intermediate CA.",
        _chain(lambda _, pki: (pki.pck, pki.root)),
    ),
    in_quote(
        "chain-two-leaves",
        "2.1.pck_chain_format",
        "The chain holds the PCK certificate twice and no intermediate CA.",
        _chain(lambda _, pki: (pki.pck, pki.pck, pki.root)),
    ),
    in_quote(
        "pck-issued-by-pck",
        "2.1.pck_chain_format",
        "A platform's PCK key, which is no CA's, has issued another PCK certificate.",
        _chain(lambda scene, pki: (_same_leaf(scene, pki.pck), pki.pck, pki.root)),
    ),
    in_quote(
        "pck-issued-by-tcb-signing",
        "2.1.pck_chain_format",
        "The TCB signing key, which is no CA's, has issued the PCK certificate.",
        _chain(lambda scene, pki: (_same_leaf(scene, pki.tcb_signing), pki.tcb_signing, pki.root)),
    ),
    fault(
        "root-of-another-ca",
        "2.2.pck_chain_anchor",
        "Quote and collateral are sound, under another root of the same name.",
        _other_root,
    ),
    fault(
        "quote-of-another-root",
        "2.2.pck_chain_anchor",
        "The quote is of a platform under another root; the collateral is this platform's.",
        _other_root_honest_collateral,
    ),
    in_quote(
        "chain-with-another-root",
        "2.2.pck_chain_anchor",
        "The chain's root is another one of the same name.",
        _chain(lambda scene, pki: (pki.pck, pki.pck_ca, scene.stranger().state.pki.root)),
    ),
    in_quote(
        "root-not-self-signed",
        "2.3.root_signature",
        "The root certificate holds the right key, and another key signed it.",
        _chain(_root_signed_by_stranger),
    ),
    in_quote(
        "ca-of-another-root",
        "2.4.intermediate_signature",
        "The intermediate CA bears the right names, and another root of the same name signed it.",
        _chain(_ca_of_stranger),
    ),
    in_quote(
        "pck-of-another-ca",
        "2.5.pck_signature",
        "The PCK certificate was issued by the other of the two intermediate CAs.",
        _chain(lambda scene, pki: (_same_leaf(scene, pki.other_pck_ca), pki.pck_ca, pki.root)),
    ),
    in_quote(
        "pck-signed-by-another-key",
        "2.5.pck_signature",
        "The PCK certificate names the right issuer, and another key signed it.",
        _chain(
            lambda scene, pki: (_same_leaf(scene, replace(pki.pck_ca, key=scene.key())), pki.pck_ca, pki.root),
        ),
    ),
    in_quote(
        "pck-without-extension",
        "2.12.pck_extension",
        "The PCK certificate does not describe its platform.",
        _leaf(lambda _, template: replace(template, sgx_extension=None)),
    ),
    in_quote(
        "pck-extension-malformed",
        "2.12.pck_extension",
        "The PCK certificate describes a platform of fifteen TCB components.",
        _leaf(_extension_too_short),
    ),
    in_quote(
        "pck-expired",
        "5.3.pck_chain_dates",
        "The PCK certificate has expired.",
        _leaf(lambda scene, template: replace(template, period=Period.ended_before(scene.at))),
    ),
    in_quote(
        "pck-not-yet-valid",
        "5.3.pck_chain_dates",
        "The PCK certificate is not valid yet.",
        _leaf(lambda scene, template: replace(template, period=Period.starting_after(scene.at))),
    ),
    in_quote(
        "ca-expired",
        "5.3.pck_chain_dates",
        "The intermediate CA's certificate has expired.",
        _chain(_ca_expired),
    ),
    in_quote(
        "root-expired",
        "5.3.pck_chain_dates",
        "The root's certificate has expired.",
        _chain(_root_expired),
    ),
    fault(
        "certificates-of-another-platform",
        "7.1.qe_report_signature",
        "A genuine platform quotes, and sends another platform's certificates under the same root.",
        _sibling_with_our_chain,
    ),
)
