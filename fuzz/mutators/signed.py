"""Changes that are signed again by whoever would have signed them: only what is read, not who said it, is in question.

For specimens of simulated platforms, whose keys are here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from fuzz.draft import Mutator
from fuzz.mutators.json_text import mutate_json, mutate_spelling
from fuzz.platforms import draw_period

from ambergate.core.measurements import Attributes, CpuSvn, MrSigner, ReportData
from ambergate.core.quote import EnclaveReport, encode_quote
from ambergate.core.quote.report import write_enclave_report
from ambergate.simulator.keys import sign_raw
from ambergate.simulator.period import Period
from ambergate.simulator.pki import pck_ca_template, pck_template, pem_chain, root_template, tcb_signing_template
from ambergate.simulator.quoting import binding, certification_data, sign_quote

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fuzz.draft import Draft
    from fuzz.specimens import Maker

    from ambergate.core.quote import Quote, TdReport
    from ambergate.simulator.pki import Entity, Template

_SECOND: Final = timedelta(seconds=1)
_MONTH: Final = timedelta(days=30)


def document(rng: Random, draft: Draft) -> str | None:
    """TCB info or QE identity with its JSON changed, signed again."""
    maker = _maker(draft)
    name = rng.choice(("tcb_info", "tcb_info", "qe_identity"))
    text = draft.members[name]
    changed = mutate_json(rng, text) if rng.random() < 0.8 else mutate_spelling(rng, text)
    if changed is None:
        return None
    way, text = changed
    draft.members[name] = text
    signed = text.encode("utf-8", "surrogatepass")
    draft.members[f"{name}_signature"] = sign_raw(maker.publication.tcb_signing.key, signed).hex()
    return f"{name}: {way}"


def report(rng: Random, draft: Draft) -> str | None:
    """A field of the report, or of the header, signed by the attestation key."""
    quote = _maker(draft).quote
    header = quote.header
    noise = rng.randbytes(20)
    changed = {
        "user data": replace(quote, header=replace(header, user_data=noise)),
        "header's reserved bytes": replace(quote, header=replace(header, reserved=noise[:4])),
        "version": replace(quote, header=replace(header, version=rng.choice((3, 4, 5)))),
        "body": replace(quote, body=_other_body(rng, quote.body)),
    }
    name = rng.choice(sorted(changed))
    draft.raw = encode_quote(sign_quote(changed[name], _maker(draft).attestation_key))
    return name


def qe_report(rng: Random, draft: Draft) -> str | None:
    """A field of the quoting enclave's report, signed by the PCK."""
    maker = _maker(draft)
    now = maker.quote.qe_report
    octet = rng.randrange(16)
    noise = rng.randbytes(64)
    changed = {
        "attributes": replace(now, attributes=Attributes(_flipped(rng, now.attributes.value, octet))),
        "MISCSELECT": replace(now, misc_select=1 << rng.randrange(32)),
        "signer": replace(now, mr_signer=MrSigner(noise[:32])),
        "product": replace(now, isv_prod_id=rng.choice((0, 1, 2, 257))),
        "ISVSVN": replace(now, isv_svn=rng.choice((0, 1, 4, 9, 65535))),
        "CPUSVN": replace(now, cpu_svn=CpuSvn(noise[:16])),
        "REPORTDATA, upper half": replace(now, report_data=ReportData(now.report_data.value[:32] + noise[32:])),
        "REPORTDATA, lower half": replace(now, report_data=ReportData(noise)),
        "reserved bytes": replace(now, reserved1=noise[:12], reserved4=noise[:42]),
    }
    name = rng.choice(sorted(changed))
    draft.raw = encode_quote(_certified(maker, replace(maker.quote, qe_report=changed[name])))
    return name


def auth_data(rng: Random, draft: Draft) -> str | None:
    """Authentication data of another length, named by the QE report."""
    maker = _maker(draft)
    data = rng.randbytes(rng.choice((0, 1, 16, 31, 32, 33, 64, 1000, 65535)))
    bound = replace(maker.quote.qe_report, report_data=binding(maker.quote.attestation_key, data))
    draft.raw = encode_quote(_certified(maker, replace(maker.quote, qe_report=bound, qe_auth_data=data)))
    return f"{len(data)} bytes"


def certificate(rng: Random, draft: Draft) -> str | None:
    """One certificate issued again, with something else in it, by its rightful issuer."""
    maker = _maker(draft)
    pki, at = maker.platform.state.pki, _instant(draft)
    role = rng.choice(("root", "intermediate", "PCK", "TCB signing"))
    templates = {
        "root": (root_template(at, rng.randbytes), pki.root, pki.root),
        "intermediate": (pck_ca_template(pki.ca, at, rng.randbytes), pki.pck_ca, pki.root),
        "PCK": (pck_template(maker.platform.state.hardware, at, rng.randbytes), pki.pck, pki.pck_ca),
        "TCB signing": (tcb_signing_template(at, rng.randbytes), pki.tcb_signing, pki.root),
    }
    template, entity, issuer = templates[role]
    name = rng.choice(sorted(_CERTIFICATE_CHANGES))
    made = issuer.issue(_CERTIFICATE_CHANGES[name](rng, template, draft), entity.key)
    _placed(draft, role, made)
    return f"{role}: {name}"


def revocation_list(rng: Random, draft: Draft) -> str | None:
    """One of the lists with another period or other serials, signed by its issuer, or by another CA."""
    maker = _maker(draft)
    pki = maker.platform.state.pki
    name, now = rng.choice((("root_ca_crl", maker.publication.root_crl), ("pck_crl", maker.publication.pck_crl)))
    at = _instant(draft)
    mine = rng.choice((pki.root, pki.pck_ca, pki.other_pck_ca, pki.pck, pki.tcb_signing))
    changed = {
        "period": replace(now, period=draw_period(rng, at, days=20)),
        "not yet": replace(now, period=Period(at + _SECOND, at + _MONTH)),
        "over": replace(now, period=Period(at - _MONTH, at - _SECOND)),
        "revokes": replace(now, revoked=(*now.revoked, mine.certificate.serial_number)),
        "issuer": replace(now, issuer=mine),
        "long": replace(now, revoked=tuple(range(1, rng.choice((50, 300))))),
        "number 0": replace(now, number=0),
        "large number": replace(now, number=1 << 150),
    }
    way = rng.choice(sorted(changed))
    draft.members[name] = changed[way].der().hex()
    return f"{name}: {way}"


def bare_revocation_list(rng: Random, draft: Draft) -> str | None:
    """A list that lacks what Intel's lists have, or that is signed with another hash."""
    pki = _maker(draft).platform.state.pki
    name, issuer = rng.choice((("root_ca_crl", pki.root), ("pck_crl", pki.pck_ca)))
    period = draw_period(rng, _instant(draft), days=20)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(period.start)
        .next_update(period.end)
    )
    way = rng.choice(("no extensions", "a number only", "SHA-384"))
    builder = builder.add_extension(x509.CRLNumber(7), critical=False) if way == "a number only" else builder
    algorithm = hashes.SHA384() if way == "SHA-384" else hashes.SHA256()
    draft.members[name] = builder.sign(issuer.key, algorithm).public_bytes(Encoding.DER).hex()
    return f"{name}: {way}"


def _maker(draft: Draft) -> Maker:
    assert draft.specimen.maker is not None
    return draft.specimen.maker


def _instant(draft: Draft) -> datetime:
    return datetime.fromtimestamp(draft.specimen.at, UTC)


def _certified(maker: Maker, quote: Quote) -> Quote:
    signed = sign_raw(maker.platform.state.pki.pck.key, write_enclave_report(quote.qe_report))
    return replace(quote, qe_report_signature=signed)


def _other_body(rng: Random, body: EnclaveReport | TdReport) -> EnclaveReport | TdReport:
    """One octet of the report's flags changed: attributes, XFRM or XFAM, TD attributes."""
    if isinstance(body, EnclaveReport):
        return replace(body, attributes=Attributes(_flipped(rng, body.attributes.value, rng.randrange(16))))
    if rng.random() < 0.5:
        return replace(body, xfam=_flipped(rng, body.xfam, rng.randrange(8)))
    flags = type(body.td_attributes)(_flipped(rng, body.td_attributes.value, rng.randrange(8)))
    return replace(body, td_attributes=flags)


def _flipped(rng: Random, data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1 << rng.randrange(8),)) + data[place + 1 :]


def _placed(draft: Draft, role: str, made: Entity) -> None:
    """The new certificate in every chain that has the old one."""
    pki = _maker(draft).platform.state.pki
    root = made if role == "root" else pki.root
    if role != "TCB signing":
        chain = (made if role == "PCK" else pki.pck, made if role == "intermediate" else pki.pck_ca, root)
        quote = _maker(draft).quote
        certification = replace(quote.certification, data=certification_data(pem_chain(*chain)))
        draft.raw = encode_quote(replace(quote, certification=certification))
    if role in ("root", "TCB signing"):
        text = pem_chain(made if role == "TCB signing" else pki.tcb_signing, root)
        draft.members |= {"tcb_info_issuer_chain": text, "qe_identity_issuer_chain": text}


_CERTIFICATE_CHANGES: Final[dict[str, Callable[[Random, Template, Draft], Template]]] = {
    "nothing": lambda _rng, template, _draft: template,
    "period": lambda rng, template, draft: replace(template, period=draw_period(rng, _instant(draft), days=99)),
    "over": lambda _rng, template, draft: replace(
        template, period=Period(_instant(draft) - _MONTH, _instant(draft) - _SECOND)
    ),
    "not yet": lambda _rng, template, draft: replace(
        template, period=Period(_instant(draft) + _SECOND, _instant(draft) + _MONTH)
    ),
    "name": lambda rng, template, _draft: replace(
        template, name=rng.choice(("Another", f"{template.name} 2", "SGX Root CA", "SGX PCK Certificate", "CA"))
    ),
    "is a CA": lambda _rng, template, _draft: replace(template, path_length=0),
    "is no CA": lambda _rng, template, _draft: replace(template, path_length=None),
    "SGX extension": lambda rng, template, _draft: replace(
        template, sgx_extension=_other_extension(rng, template.sgx_extension)
    ),
}


def _other_extension(rng: Random, data: bytes | None) -> bytes | None:
    """The extension with an octet changed, or missing; one where none belongs."""
    if data is None:
        return b"\x30\x00"
    if rng.random() < 0.2:
        return None
    return _flipped(rng, data, rng.randrange(len(data)))


MUTATORS: Final = (
    Mutator("signed-document", 20, document, signs=True),
    Mutator("signed-report", 4, report, signs=True),
    Mutator("signed-qe-report", 6, qe_report, signs=True),
    Mutator("signed-auth-data", 1, auth_data, signs=True),
    Mutator("signed-certificate", 7, certificate, signs=True),
    Mutator("signed-crl", 5, revocation_list, signs=True),
    Mutator("signed-bare-crl", 1, bare_revocation_list, signs=True),
)
