"""Who is who in a chain, who issued whom, and lists: each rule broken alone by certificates that are rightly signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.certificates import END_OF_CERTIFICATE
from ambergate.core.errors import NotGenuine
from ambergate.core.quote import Quote, encode_quote, parse_quote
from ambergate.core.quote.layout import Certification
from ambergate.core.verify import TrustAnchor, Verifier, verify_collateral, verify_quote
from ambergate.core.verify.signatures import is_signed
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.keys import make_key
from ambergate.simulator.pki import (
    Entity,
    RevocationList,
    Template,
    pck_ca_template,
    pck_template,
    pem_chain,
    root_template,
    self_signed,
    sign_certificate,
    tcb_signing_template,
)
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
RANDOM = stream("chains")
PLATFORM = SimulatedPlatform.create(at=AT, random=RANDOM)
PKI = PLATFORM.state.pki
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)
QUOTE = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
ROOT, CA = root_template(AT, RANDOM), pck_ca_template("platform", AT, RANDOM)
PCK, SIGNER = pck_template(PLATFORM.state.hardware, AT, RANDOM), tcb_signing_template(AT, RANDOM)
STRANGER = self_signed(replace(ROOT, name="Another SGX Root CA"), make_key(RANDOM))


def bringing(*chain: Entity) -> Quote:
    """The honest quote with another chain: no signature covers it."""
    return replace(QUOTE, certification=Certification(kind=5, data=pem_chain(*chain).encode()))


def quote_refused_at(*chain: Entity, anchor: TrustAnchor = ANCHOR) -> NotGenuine:
    with pytest.raises(NotGenuine) as refusal:
        verify_quote(bringing(*chain), COLLATERAL, at=AT, anchor=anchor)
    return refusal.value


def bundle_refused_at(bundle: Collateral) -> NotGenuine:
    with pytest.raises(NotGenuine) as refusal:
        verify_collateral(bundle, at=AT, anchor=ANCHOR)
    return refusal.value


def in_the_name_of(name: Entity, template: Template, of: Entity, signer: Entity) -> Entity:
    """`of` certified by `signer`'s key, in the name of another issuer."""
    return replace(of, certificate=sign_certificate(template, of.key, issuer=name.certificate, signer=signer.key))


@pytest.mark.parametrize(
    "template",
    [
        replace(ROOT, path_length=None),  # no CA
        replace(ROOT, name="Simulated Root"),
        replace(ROOT, name="Simulated Root", path_length=None),
    ],
)
def test_a_root_names_itself_one_and_is_a_ca(template: Template) -> None:
    root = self_signed(template, PKI.root.key)
    ca = root.issue(CA, PKI.platform_ca.key)
    refused = quote_refused_at(PKI.pck, ca, root, anchor=TrustAnchor.from_pem(root.pem))
    assert refused.step == "2.1.pck_chain_format"
    assert "'SGX Root CA'" in str(refused.wanted)
    chain = pem_chain(root.issue(SIGNER, PKI.tcb_signing.key), root)
    assert bundle_refused_at(replace(COLLATERAL, tcb_info_issuer_chain=chain)).step == "3.1.tcb_chain_format"


@pytest.mark.parametrize(
    "template",
    [
        replace(CA, path_length=None),  # no CA
        replace(CA, name="Simulated SGX PCK Platform"),
        replace(CA, name="Simulated SGX TCB Signing CA"),
        replace(CA, name="Simulated SGX PCK Certificate CA"),
    ],
)
def test_an_intermediate_names_itself_ca_and_nothing_else_and_is_one(template: Template) -> None:
    ca = PKI.root.issue(template, PKI.platform_ca.key)
    refused = quote_refused_at(ca.issue(PCK, PKI.pck.key), ca, PKI.root)
    assert refused.step == "2.1.pck_chain_format"
    assert "'CA'" in str(refused.wanted)


@pytest.mark.parametrize("name", ["Simulated SGX PCK", "Simulated SGX TCB Signing"])
def test_a_pck_certificate_names_itself_one(name: str) -> None:
    pck = PKI.pck_ca.issue(replace(PCK, name=name), PKI.pck.key)
    assert quote_refused_at(pck, PKI.pck_ca, PKI.root).step == "2.1.pck_chain_format"


def test_a_signing_certificate_names_itself_one() -> None:
    signer = PKI.root.issue(replace(SIGNER, name="Simulated SGX Signing"), PKI.tcb_signing.key)
    refused = bundle_refused_at(replace(COLLATERAL, tcb_info_issuer_chain=pem_chain(signer, PKI.root)))
    assert refused.step == "3.1.tcb_chain_format"


def test_a_list_is_of_a_ca_that_certifies_platforms() -> None:
    other = PKI.root.issue(replace(CA, name="Simulated SGX PCK Other CA"), PKI.platform_ca.key)
    refused = bundle_refused_at(replace(COLLATERAL, pck_crl_issuer_chain=pem_chain(other, PKI.root)))
    assert refused.step == "2.1.pck_chain_format"
    assert refused.seen == "Simulated SGX PCK Other CA"


def test_each_certificate_stands_there_once() -> None:
    for chain in (
        (PKI.pck, PKI.pck_ca, PKI.root, PKI.root),
        (PKI.pck, PKI.pck, PKI.pck_ca, PKI.root),
        (PKI.pck, PKI.pck_ca, PKI.other_pck_ca, PKI.root),
        (PKI.pck, PKI.root),
    ):
        assert quote_refused_at(*chain).step == "2.1.pck_chain_format"


def test_a_key_that_is_the_anchors_is_not_enough_for_a_root() -> None:
    """Its own words about itself must be signed too."""
    root = replace(PKI.root, certificate=sign_certificate(ROOT, PKI.root.key, issuer=None, signer=STRANGER.key))
    assert quote_refused_at(PKI.pck, PKI.pck_ca, root).step == "2.3.root_signature"


def test_the_issuer_that_a_certificate_names_is_the_one_that_signed_it() -> None:
    ca = in_the_name_of(STRANGER, CA, PKI.platform_ca, PKI.root)
    refused = quote_refused_at(PKI.pck, ca, PKI.root)
    assert (refused.step, refused.wanted) == ("2.4.intermediate_signature", "Simulated SGX Root CA")
    assert "names another issuer" in refused.message

    pck = in_the_name_of(PKI.other_pck_ca, PCK, PKI.pck, PKI.pck_ca)
    refused = quote_refused_at(pck, PKI.pck_ca, PKI.root)
    assert refused.step == "2.5.pck_signature"
    assert "names another issuer" in refused.message

    signer = in_the_name_of(STRANGER, SIGNER, PKI.tcb_signing, PKI.root)
    for member, step in (
        ("tcb_info_issuer_chain", "3.3.tcb_chain_signature"),
        ("qe_identity_issuer_chain", "4.3.qe_chain_signature"),
    ):
        refused = bundle_refused_at(replace(COLLATERAL, **{member: pem_chain(signer, PKI.root)}))
        assert refused.step == step
        assert "names another issuer" in refused.message


def test_the_issuer_that_a_list_names_is_the_one_that_signed_it() -> None:
    period = PLATFORM.publication(at=AT).root_crl.period
    roots = RevocationList(issuer=replace(PKI.root, certificate=STRANGER.certificate), period=period)
    refused = bundle_refused_at(replace(COLLATERAL, root_ca_crl=roots.der().hex()))
    assert refused.step == "2.7.root_crl_signature"
    assert "of another CA" in refused.message
    cas = RevocationList(issuer=replace(PKI.pck_ca, certificate=PKI.other_pck_ca.certificate), period=period)
    refused = bundle_refused_at(replace(COLLATERAL, pck_crl=cas.der().hex()))
    assert refused.step == "2.9.pck_crl_signature"
    assert "of another CA" in refused.message


@pytest.mark.parametrize(
    ("member", "step"),
    [
        ("pck_crl_issuer_chain", "2.1.pck_chain_format"),
        ("tcb_info_issuer_chain", "3.1.tcb_chain_format"),
        ("qe_identity_issuer_chain", "4.1.qe_chain_format"),
        ("root_ca_crl", "2.6.root_crl_format"),
        ("pck_crl", "2.8.pck_crl_format"),
    ],
)
def test_text_that_no_bytes_can_be_made_of_fails_its_step(member: str, step: str) -> None:
    block = "-----BEGIN CERTIFICATE-----\n\ud800\n-----END CERTIFICATE-----\n"
    assert bundle_refused_at(replace(COLLATERAL, **{member: block})).step == step


def test_a_known_chain_behind_another_certificate_is_refused_as_ever() -> None:
    verifier = Verifier(anchor=ANCHOR)
    verifier.verify(encode_quote(QUOTE), COLLATERAL, at=AT)
    _, end, rest = QUOTE.certification.data.partition(END_OF_CERTIFICATE)
    for leaf in (PKI.tcb_signing, PKI.root, PKI.pck_ca):
        data = leaf.pem.encode().partition(END_OF_CERTIFICATE)[0] + end + rest
        changed = replace(QUOTE, certification=replace(QUOTE.certification, data=data))
        with pytest.raises(NotGenuine) as refusal:
            verifier.verify(encode_quote(changed), COLLATERAL, at=AT)
        assert refusal.value.step == "2.1.pck_chain_format"


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_a_known_chain_in_certification_data_of_another_type_is_refused_as_ever(kind: int) -> None:
    verifier = Verifier(anchor=ANCHOR)
    verifier.verify(encode_quote(QUOTE), COLLATERAL, at=AT)
    changed = replace(QUOTE, certification=replace(QUOTE.certification, kind=kind))
    with pytest.raises(NotGenuine) as refusal:
        verifier.verify(encode_quote(changed), COLLATERAL, at=AT)
    assert refusal.value.step == "1.2.certification_data"


def test_everything_dated_stands_in_the_order_of_its_steps() -> None:
    """Of two that have expired, the first is named."""
    ca, root, signer = "Simulated SGX PCK Platform CA", "Simulated SGX Root CA", "Simulated SGX TCB Signing"
    of_bundle = [
        ("5.1.tcb_info_dates", "the TCB info"),
        ("5.2.qe_identity_dates", "the QE identity"),
        ("5.3.pck_chain_dates", root),
        ("5.3.pck_chain_dates", ca),
        ("5.4.root_crl_dates", "the root CA's revocation list"),
        ("5.5.pck_crl_dates", "the PCK revocation list"),
        ("5.6.tcb_chain_dates", root),
        ("5.6.tcb_chain_dates", signer),
        ("5.7.qe_chain_dates", root),
        ("5.7.qe_chain_dates", signer),
    ]
    of_quote = [*of_bundle[:4], ("5.3.pck_chain_dates", "Simulated SGX PCK Certificate"), *of_bundle[4:]]
    verified = verify_quote(QUOTE, COLLATERAL, at=AT, anchor=ANCHOR)
    recalled = Verifier(anchor=ANCHOR).verify(encode_quote(QUOTE), COLLATERAL, at=AT)
    assert [(each.step, each.what) for each in verified.dates] == of_quote
    assert recalled.dates == verified.dates
    proven = verify_collateral(COLLATERAL, at=AT, anchor=ANCHOR)
    assert [(each.step, each.what) for each in proven.dates] == of_bundle


def test_a_signature_is_good_or_not() -> None:
    key = TrustAnchor.from_pem(PLATFORM.root_pem).get(PKI.root.certificate.public_bytes(Encoding.DER))
    assert key is not None
    assert is_signed(key.public_key, key.signature, key.to_be_signed) is True
    assert is_signed(key.public_key, key.signature, key.to_be_signed + b"\0") is False
    assert is_signed(key.public_key, b"no DER", key.to_be_signed) is False
