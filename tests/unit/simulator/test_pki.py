from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from tests.unit.simulator.stream import stream

from ambergate.simulator.keys import make_key
from ambergate.simulator.period import Period, iso, utc_seconds
from ambergate.simulator.pki import Entity, Hierarchy, RevocationList, root_template, self_signed, serial_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.simulator.platform import SimulatedPlatform

INTEL_INSISTS_ON = {
    x509.AuthorityKeyIdentifier,
    x509.SubjectKeyIdentifier,
    x509.CRLDistributionPoints,
    x509.KeyUsage,
    x509.BasicConstraints,
}


def _entities(pki: Hierarchy) -> dict[str, Entity]:
    return {name: getattr(pki, name) for name in ("root", "platform_ca", "processor_ca", "pck", "tcb_signing")}


def _common_name(entity: Entity) -> str:
    (attribute,) = entity.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attribute.value)


def test_every_certificate_is_signed_by_its_issuer(platform: SimulatedPlatform) -> None:
    pki = platform.state.pki
    for issuer, subject in (
        (pki.root, pki.root),
        (pki.root, pki.platform_ca),
        (pki.root, pki.processor_ca),
        (pki.root, pki.tcb_signing),
        (pki.platform_ca, pki.pck),
    ):
        subject.certificate.verify_directly_issued_by(issuer.certificate)


def test_the_processor_ca_issues_the_pck_of_a_processor(processor_platform: SimulatedPlatform) -> None:
    pki = processor_platform.state.pki
    assert pki.pck_ca is pki.processor_ca
    assert pki.other_pck_ca is pki.platform_ca
    pki.pck.certificate.verify_directly_issued_by(pki.processor_ca.certificate)


def test_the_names_hold_the_words_that_verifiers_look_for(platform: SimulatedPlatform) -> None:
    names = {role: _common_name(entity) for role, entity in _entities(platform.state.pki).items()}
    assert "SGX Root CA" in names["root"]
    assert "CA" in names["platform_ca"]
    assert "CA" in names["processor_ca"]
    assert "SGX PCK Certificate" in names["pck"]
    assert "SGX TCB Signing" in names["tcb_signing"]
    assert all(name.startswith("Simulated ") for name in names.values())


def test_no_name_claims_to_be_intel(platform: SimulatedPlatform) -> None:
    for entity in _entities(platform.state.pki).values():
        assert "intel" not in entity.certificate.subject.rfc4514_string().lower()


def test_every_certificate_has_the_extensions_that_intels_library_insists_on(platform: SimulatedPlatform) -> None:
    for entity in _entities(platform.state.pki).values():
        present = {type(extension.value) for extension in entity.certificate.extensions}
        assert present >= INTEL_INSISTS_ON


def test_only_cas_may_sign_certificates_and_lists(platform: SimulatedPlatform) -> None:
    for role, entity in _entities(platform.state.pki).items():
        usage = entity.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = entity.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = role in {"root", "platform_ca", "processor_ca"}
        assert (constraints.ca, usage.key_cert_sign, usage.crl_sign) == (is_ca, is_ca, is_ca)
        assert usage.digital_signature is not is_ca


def test_authority_key_ids_name_the_issuers_key(platform: SimulatedPlatform) -> None:
    pki = platform.state.pki
    authority = pki.pck.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = pki.platform_ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == subject.digest


def test_a_revocation_list_has_a_number_and_an_authority_key_id(platform: SimulatedPlatform, at: datetime) -> None:
    pki = platform.state.pki
    listed = RevocationList(issuer=pki.root, period=Period.around(at, after=timedelta(days=30)))
    crl = x509.load_der_x509_crl(listed.revoking(pki.platform_ca.certificate).der())
    assert crl.is_signature_valid(pki.root.key.public_key())
    assert crl.issuer == pki.root.certificate.subject
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier is not None
    assert crl.get_revoked_certificate_by_serial_number(pki.platform_ca.certificate.serial_number) is not None
    assert crl.get_revoked_certificate_by_serial_number(pki.pck.certificate.serial_number) is None
    assert (crl.last_update_utc, crl.next_update_utc) == (at - timedelta(hours=1), at + timedelta(days=30))


def test_two_roots_of_one_name_do_not_vouch_for_each_other(at: datetime, random: Callable[[int], bytes]) -> None:
    first, second = (self_signed(root_template(at, random), make_key(random)) for _ in range(2))
    assert first.certificate.subject == second.certificate.subject
    with pytest.raises(InvalidSignature):
        first.certificate.verify_directly_issued_by(second.certificate)


def test_serials_are_positive_and_of_at_most_twenty_octets() -> None:
    for draw in (stream("serial"), bytes, lambda size: b"\xff" * size):
        serial = serial_number(draw)
        assert 0 < serial < 1 << 159


def test_keys_depend_on_the_randomness_alone() -> None:
    first, same, other = (make_key(stream(seed)) for seed in ("a", "a", "b"))
    assert first.private_numbers() == same.private_numbers()
    assert first.private_numbers() != other.private_numbers()


@pytest.mark.parametrize("draw", [bytes, lambda size: b"\xff" * size], ids=["all zeros", "all ones"])
def test_extreme_randomness_still_makes_a_key(draw: Callable[[int], bytes]) -> None:
    assert make_key(draw).private_numbers().private_value > 0


def test_instants_are_utc_and_whole_seconds() -> None:
    elsewhere = datetime.fromisoformat("2026-03-01T14:30:15.999+02:00")
    assert utc_seconds(elsewhere) == datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
    assert iso(elsewhere) == "2026-03-01T12:30:15Z"


def test_an_instant_without_time_zone_names_none() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Period.around(datetime(2026, 3, 1), after=timedelta(days=1))  # noqa: DTZ001 - that is what is refused
