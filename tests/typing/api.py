"""Checked by mypy, never run: the public names have the types that users rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from ambergate import (
    AmberError,
    AttestationClaims,
    Collateral,
    KeySet,
    MalformedEvidence,
    NotGenuine,
    Quote,
    TcbStatus,
    TrustAnchor,
    VerifiedQuote,
    Verifier,
    check_token,
    encode_quote,
    explain,
    parse_quote,
    verify_quote,
)
from ambergate.core.measurements import MrEnclave
from ambergate.core.verify import Explanation, Refusal
from ambergate.core.verify.verdict import CheckRecord

if TYPE_CHECKING:
    from datetime import datetime


def evidence(raw: bytes, text: str, when: datetime) -> None:
    quote = parse_quote(raw)
    assert_type(quote, Quote)
    assert_type(encode_quote(quote), bytes)
    collateral = Collateral.from_json(text)
    assert_type(collateral, Collateral)
    verified = verify_quote(quote, collateral, at=when)
    assert_type(verified, VerifiedQuote)
    assert_type(verified.tcb_status, TcbStatus)
    assert_type(verified.advisory_ids, tuple[str, ...])
    assert_type(verified.enclave.mr_enclave, MrEnclave)
    assert_type(verified.report.debug, bool)
    assert_type(verified.checks, tuple[CheckRecord, ...])
    assert_type(explain(verified), Explanation)
    assert_type(explain(verified).text(), str)


def anchors(pem: str, raw: bytes, collateral: Collateral, when: datetime) -> None:
    anchor = TrustAnchor.from_pem(pem)
    assert_type(anchor, TrustAnchor)
    assert_type(Verifier(anchor=anchor).verify(raw, collateral, at=when), VerifiedQuote)
    assert_type(verify_quote(parse_quote(raw), collateral, at=when, anchor=TrustAnchor.intel()), VerifiedQuote)


def errors(error: NotGenuine) -> None:
    assert_type(error.step, str)
    assert_type(explain(error), Refusal)
    base: AmberError = error
    assert_type(base.as_dict(), dict[str, object])
    kinds: tuple[type[AmberError], ...] = (NotGenuine, MalformedEvidence)
    del kinds


def tokens(token: str, keys: KeySet, when: datetime) -> None:
    claims = check_token(token, keys, issuer="https://attest.example", at=when, require={"sgx_isvprodid": 7})
    assert_type(claims, AttestationClaims)
    assert_type(claims.mr_enclave, str | None)
    assert_type(claims.simulated, bool)
