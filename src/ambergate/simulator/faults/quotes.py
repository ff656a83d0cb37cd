"""Faults of the quote itself: format, quoting enclave, signatures (steps 1.1, 1.3, 7.1 to 7.7, 8.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ambergate.core.measurements import MrEnclave, MrSigner, ReportData
from ambergate.core.quote.codec import encode_quote
from ambergate.simulator.faults.scene import Fault, Scene, fault, in_bytes, in_quote
from ambergate.simulator.keys import public_octets
from ambergate.simulator.quoting import QUOTING_ENCLAVE, QuotingEnclave, binding, sign_quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.quote.layout import Quote
    from ambergate.simulator.cpu import EnclaveIdentity

# Offsets in a quote: DCAP API appendix A.4.
_VERSION: Final = 0
_KEY_TYPE: Final = 2
_TEE_TYPE: Final = 4
_VENDOR: Final = 12
_SIGNATURE_SIZE: Final = 432
_CERTIFICATION_TYPE: Final = 1046  # after 32 bytes of authentication data
_NOT_ON_THE_CURVE: Final = b"\x01" * 64


def _patched(offset: int, octets: bytes) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:offset] + octets + raw[offset + len(octets) :]


def _rogue(change: Callable[[Scene, QuotingEnclave], QuotingEnclave]) -> Callable[[Scene], tuple[bytes, Collateral]]:
    """Another quoting enclave on the same platform quotes, certified by the same PCK."""

    def forge(scene: Scene) -> tuple[bytes, Collateral]:
        enclave = change(scene, scene.platform.quoting_enclave)
        quote = enclave.quote(scene.platform.report(scene.enclave, scene.report_data))
        return encode_quote(quote), scene.publication().collateral()

    return forge


def _rogue_identity(identity: EnclaveIdentity) -> Callable[[Scene], tuple[bytes, Collateral]]:
    return _rogue(lambda _, enclave: replace(enclave, identity=identity))


def _key_replaced(scene: Scene, quote: Quote) -> Quote:
    """An attacker's key signs the quote; the quoting enclave never reported that key."""
    key = scene.key()
    return sign_quote(replace(quote, attestation_key=public_octets(key)), key)


def _recertified(scene: Scene, quote: Quote, attestation_key: bytes) -> Quote:
    """The quoting enclave's report names this key, and the PCK has signed it so."""
    report = replace(quote.qe_report, report_data=binding(attestation_key, quote.qe_auth_data))
    return replace(quote, qe_report=report, qe_report_signature=scene.platform.quoting_enclave.certify(report))


def _off_curve(scene: Scene, quote: Quote) -> Quote:
    return replace(_recertified(scene, quote, _NOT_ON_THE_CURVE), attestation_key=_NOT_ON_THE_CURVE)


def _debug_bit_cleared(scene: Scene, _: Quote) -> Quote:
    debug = replace(scene, enclave=replace(scene.enclave, debug=True)).quote()
    return replace(debug, body=replace(debug.enclave, attributes=replace(scene.enclave, debug=False).attributes))


_FORMAT: Final[tuple[Fault, ...]] = (
    in_bytes("empty", "1.1.quote_format", "There are no bytes at all.", lambda _: b""),
    in_bytes("truncated", "1.1.quote_format", "The quote lacks its last bytes.", lambda raw: raw[:-100]),
    in_bytes("truncated-header", "1.1.quote_format", "The quote breaks off inside its header.", lambda raw: raw[:40]),
    in_bytes(
        "unknown-version",
        "1.1.quote_format",
        "The quote is of version 9.",
        _patched(_VERSION, b"\x09\x00"),
    ),
    in_bytes(
        "attestation-key-type-p384",
        "1.1.quote_format",
        "The header announces an ECDSA P-384 key.",
        _patched(_KEY_TYPE, b"\x03\x00"),
    ),
    in_bytes(
        "tee-type-tdx",
        "1.1.quote_format",
        "A version 3 quote, whose body is an SGX report, claims to speak of TDX.",
        _patched(_TEE_TYPE, b"\x81\x00\x00\x00"),
    ),
    in_bytes(
        "unknown-vendor",
        "1.1.quote_format",
        "The quoting enclave's vendor is not Intel.",
        _patched(_VENDOR, bytes(16)),
    ),
    in_bytes(
        "signature-data-too-long",
        "1.1.quote_format",
        "The signature data claims to be longer than the quote.",
        _patched(_SIGNATURE_SIZE, b"\xff\xff\xff\x7f"),
    ),
    in_bytes(
        "certification-type-unknown",
        "1.1.quote_format",
        "The certification data is of no known type.",
        _patched(_CERTIFICATION_TYPE, b"\x09\x00"),
    ),
)

_QUOTING_ENCLAVE: Final[tuple[Fault, ...]] = (
    fault(
        "qe-report-signed-by-another-key",
        "7.1.qe_report_signature",
        "Another key than the certified PCK key has signed the QE report.",
        _rogue(lambda scene, enclave: replace(enclave, certification_key=scene.key())),
    ),
    in_quote(
        "qe-report-tampered",
        "7.1.qe_report_signature",
        "The quoting enclave's ISVSVN was raised after signing.",
        lambda _, quote: replace(quote, qe_report=replace(quote.qe_report, isv_svn=quote.qe_report.isv_svn + 1)),
    ),
    in_quote(
        "attestation-key-replaced",
        "7.2.attestation_key_binding",
        "An attestation key that the quoting enclave never reported has signed the quote.",
        _key_replaced,
    ),
    in_quote(
        "qe-auth-data-changed",
        "7.2.attestation_key_binding",
        "The authentication data is not what the quoting enclave reported.",
        lambda _, quote: replace(quote, qe_auth_data=quote.qe_auth_data[::-1]),
    ),
    in_quote(
        "qe-report-hash-wrong",
        "7.2.attestation_key_binding",
        "The quoting enclave's report, properly certified, names another attestation key.",
        lambda scene, quote: _recertified(scene, quote, public_octets(scene.key())),
    ),
    fault(
        "qe-miscselect",
        "7.4.qe_miscselect",
        "The quoting enclave's MISCSELECT is not the published one.",
        _rogue_identity(replace(QUOTING_ENCLAVE, misc_select=1)),
    ),
    fault(
        "qe-debug",
        "7.5.qe_attributes",
        "The quoting enclave runs under debug: its attestation key is no secret.",
        _rogue_identity(replace(QUOTING_ENCLAVE, debug=True)),
    ),
    fault(
        "qe-without-provision-key",
        "7.5.qe_attributes",
        "The quoting enclave lacks an attribute that the published one has.",
        _rogue_identity(replace(QUOTING_ENCLAVE, provision_key=False)),
    ),
    fault(
        "qe-mrsigner",
        "7.6.qe_mrsigner",
        "Somebody else has signed the quoting enclave.",
        _rogue_identity(replace(QUOTING_ENCLAVE, mr_signer=MrSigner(bytes(32)))),
    ),
    fault(
        "qe-isvprodid",
        "7.7.qe_isvprodid",
        "Another product of the same signer has quoted.",
        _rogue_identity(replace(QUOTING_ENCLAVE, isv_prod_id=2)),
    ),
)

_SIGNATURE: Final[tuple[Fault, ...]] = (
    in_quote(
        "attestation-key-off-curve",
        "1.3.attestation_key",
        "The attestation key, properly certified, is no point of P-256.",
        _off_curve,
    ),
    in_quote(
        "quote-signature-zero",
        "8.1.quote_signature",
        "The quote's signature is all zeros.",
        lambda _, quote: replace(quote, signature=bytes(64)),
    ),
    in_quote(
        "quote-signature-by-another-key",
        "8.1.quote_signature",
        "Another key than the certified attestation key has signed the quote.",
        lambda scene, quote: sign_quote(quote, scene.key()),
    ),
    in_quote(
        "body-tampered",
        "8.1.quote_signature",
        "The enclave's measurement was changed after signing.",
        lambda _, quote: replace(quote, body=replace(quote.enclave, mr_enclave=MrEnclave(bytes(32)))),
    ),
    in_quote(
        "report-data-tampered",
        "8.1.quote_signature",
        "The report data was replaced after signing: somebody else's nonce.",
        lambda _, quote: replace(quote, body=replace(quote.body, report_data=ReportData(b"\xff" * 64))),
    ),
    in_quote(
        "debug-bit-cleared",
        "8.1.quote_signature",
        "A debug enclave's quote had its debug bit cleared after signing.",
        _debug_bit_cleared,
    ),
    in_quote(
        "header-tampered",
        "8.1.quote_signature",
        "The header's user data was changed after signing.",
        lambda _, quote: replace(quote, header=replace(quote.header, user_data=bytes(20))),
    ),
)


FAULTS: Final[tuple[Fault, ...]] = (*_FORMAT, *_QUOTING_ENCLAVE, *_SIGNATURE)
