"""The simulator's own certificate authorities, in the shape of Intel's SGX hierarchy.

Names, extensions and lifetimes follow Intel "SGX PCK Certificate and CRL Profile Specification"; verifiers insist on
words in the common names ("SGX Root CA", "CA", "SGX PCK Certificate", "SGX TCB Signing") and on the extensions below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ambergate.simulator.keys import make_key
from ambergate.simulator.period import Period
from ambergate.simulator.sgx_extension import SGX_EXTENSION_OID, encode_sgx_extension

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from ambergate.core.collateral.pck import PckExtension

ORGANISATION: Final = "ambergate simulator"
ROOT_NAME: Final = "Simulated SGX Root CA"
PCK_CA_NAMES: Final = {"platform": "Simulated SGX PCK Platform CA", "processor": "Simulated SGX PCK Processor CA"}
PCK_NAME: Final = "Simulated SGX PCK Certificate"
TCB_SIGNING_NAME: Final = "Simulated SGX TCB Signing"

# Nothing is published there: .invalid never resolves (RFC 2606). Verifiers want the extension, not the document.
ROOT_CRL_URL: Final = "https://simulator.invalid/root.crl"
PCK_CRL_URL: Final = "https://simulator.invalid/pck.crl?ca={ca}"

# Lifetimes as Intel's: root 31 years, intermediates 15, PCK and TCB signing certificates 7; root CRL about one year.
ROOT_LIFETIME: Final = timedelta(days=31 * 365)
CA_LIFETIME: Final = timedelta(days=15 * 365)
LEAF_LIFETIME: Final = timedelta(days=7 * 365)
ROOT_CRL_LIFETIME: Final = timedelta(days=379)
ISSUED_EARLIER: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a certificate shall say, apart from its key and issuer."""

    name: str
    period: Period
    serial: int
    crl_url: str = ROOT_CRL_URL
    path_length: int | None = None  # a number makes it a CA certificate
    sgx_extension: bytes | None = None  # DER; only PCK certificates have one


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, template: Template, key: ec.EllipticCurvePrivateKey) -> Entity:
        """A certificate for `key`, signed by this entity, whether or not it is a CA: forging is the point."""
        certificate = sign_certificate(template, key, issuer=self.certificate, signer=self.key)
        return Entity(certificate=certificate, key=key)


def self_signed(template: Template, key: ec.EllipticCurvePrivateKey) -> Entity:
    """A root: issuer and subject are one."""
    return Entity(certificate=sign_certificate(template, key, issuer=None, signer=key), key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A CRL before it is signed; `issuer.key` signs, `issuer.certificate` names the issuer."""

    issuer: Entity
    period: Period
    revoked: tuple[int, ...] = ()
    number: int = 1

    def revoking(self, certificate: x509.Certificate) -> RevocationList:
        """The same list with one certificate more."""
        return replace(self, revoked=(*self.revoked, certificate.serial_number), number=self.number + 1)

    def der(self) -> bytes:
        """The signed list: version 2, with CRL number and authority key identifier."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.issuer.certificate.subject)
            .last_update(self.period.start)
            .next_update(self.period.end)
            .add_extension(x509.CRLNumber(self.number), critical=False)
            .add_extension(_authority_key(self.issuer.certificate), critical=False)
        )
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.period.start)
            reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
            builder = builder.add_revoked_certificate(entry.add_extension(reason, critical=False).build())
        return builder.sign(self.issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """One root and everything below it that one platform needs."""

    root: Entity
    platform_ca: Entity
    processor_ca: Entity
    pck: Entity
    tcb_signing: Entity
    ca: str  # which of the two CAs issued the PCK certificate

    @classmethod
    def create(cls, platform: PckExtension, *, at: datetime, random: Callable[[int], bytes]) -> Self:
        """New keys, and certificates that are valid at `at` and for years after it."""
        root = self_signed(root_template(at, random), make_key(random))
        cas = {ca: root.issue(pck_ca_template(ca, at, random), make_key(random)) for ca in PCK_CA_NAMES}
        ca = ca_of(platform)
        return cls(
            root=root,
            platform_ca=cas["platform"],
            processor_ca=cas["processor"],
            pck=cas[ca].issue(pck_template(platform, at, random), make_key(random)),
            tcb_signing=root.issue(tcb_signing_template(at, random), make_key(random)),
            ca=ca,
        )

    def sibling(self, platform: PckExtension, *, at: datetime, random: Callable[[int], bytes]) -> Hierarchy:
        """The same CAs, and a new PCK key and certificate for another platform of theirs."""
        pck = self.pck_ca.issue(pck_template(platform, at, random), make_key(random))
        return replace(self, pck=pck)

    @property
    def pck_ca(self) -> Entity:
        """The CA that issued the PCK certificate."""
        return self.platform_ca if self.ca == "platform" else self.processor_ca

    @property
    def other_pck_ca(self) -> Entity:
        """The CA that did not."""
        return self.processor_ca if self.ca == "platform" else self.platform_ca


def ca_of(platform: PckExtension) -> str:
    """Which CA certifies such hardware: `platform` when it has an instance id, else `processor`."""
    return "processor" if platform.platform_instance_id is None else "platform"


def root_template(at: datetime, random: Callable[[int], bytes]) -> Template:
    """The root's certificate."""
    period = Period.around(at, before=ISSUED_EARLIER, after=ROOT_LIFETIME)
    return Template(name=ROOT_NAME, period=period, serial=serial_number(random), path_length=1)


def pck_ca_template(ca: str, at: datetime, random: Callable[[int], bytes]) -> Template:
    """An intermediate CA's certificate; `ca` is `platform` or `processor`."""
    period = Period.around(at, before=ISSUED_EARLIER, after=CA_LIFETIME)
    return Template(name=PCK_CA_NAMES[ca], period=period, serial=serial_number(random), path_length=0)


def pck_template(platform: PckExtension, at: datetime, random: Callable[[int], bytes]) -> Template:
    """The certificate of the platform's provisioning certification key."""
    return Template(
        name=PCK_NAME,
        period=Period.around(at, before=ISSUED_EARLIER, after=LEAF_LIFETIME),
        serial=serial_number(random),
        crl_url=PCK_CRL_URL.format(ca=ca_of(platform)),
        sgx_extension=encode_sgx_extension(platform),
    )


def tcb_signing_template(at: datetime, random: Callable[[int], bytes]) -> Template:
    """The certificate of the key that signs TCB info and QE identity."""
    period = Period.around(at, before=ISSUED_EARLIER, after=LEAF_LIFETIME)
    return Template(name=TCB_SIGNING_NAME, period=period, serial=serial_number(random))


def serial_number(random: Callable[[int], bytes]) -> int:
    """A positive serial of 20 octets at most (RFC 5280, 4.1.2.2)."""
    return 1 << 158 | int.from_bytes(random(19), "big")


def pem_chain(*entities: Entity) -> str:
    """The certificates in PEM, in the order given."""
    return "".join(entity.pem for entity in entities)


def sign_certificate(
    template: Template,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """A certificate for `key`, signed by `signer` in the name of `issuer` (of itself when None), true or not."""
    subject = _distinguished_name(template.name)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority_key = (
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key)
        if issuer is None
        else _authority_key(issuer)
    )
    crl = x509.DistributionPoint([x509.UniformResourceIdentifier(template.crl_url)], None, None, None)
    is_ca = template.path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(template.serial)
        .not_valid_before(template.period.start)
        .not_valid_after(template.period.end)
        .add_extension(authority_key, critical=False)
        .add_extension(x509.CRLDistributionPoints([crl]), critical=False)
        .add_extension(subject_key, critical=False)
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=template.path_length), critical=True)
    )
    if template.sgx_extension is not None:
        oid = x509.ObjectIdentifier(SGX_EXTENSION_OID)
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, template.sgx_extension), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _distinguished_name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
        ]
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    subject_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    """CAs sign certificates and CRLs; leaves sign data (digitalSignature, nonRepudiation), as Intel's do."""
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
