"""A refusal in words: where its remedy, its source and the steps around it come from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence, NotGenuine
from ambergate.core.quote import parse_quote
from ambergate.core.verify import TrustAnchor, explain, verify_quote
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.verdict import CheckRecord
from ambergate.simulator.faults import FAULTS
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("refusals told"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
ORDER = list(BY_ID)


def test_the_steps_before_it_held_and_those_after_it_were_not_looked_at() -> None:
    raw, collateral = FAULTS["pck-revoked"].apply(PLATFORM, AT)
    with pytest.raises(NotGenuine) as caught:
        verify_quote(parse_quote(raw), collateral, at=AT, anchor=ANCHOR)
    told = explain(caught.value)
    at = ORDER.index("2.11.pck_revoked")
    assert told.step == ORDER[at]
    assert list(told.held) == ORDER[:at]
    assert list(told.not_looked_at) == ORDER[at + 1 :]
    known = BY_ID[told.step]
    assert (told.would_prove, told.source, told.code) == (known.proves, known.source, known.code)
    assert told.remedy == known.remedy


def test_bytes_that_are_no_quote() -> None:
    with pytest.raises(MalformedEvidence) as caught:
        parse_quote(b"")
    told = explain(caught.value)
    known = BY_ID["1.1.quote_format"]
    assert (told.step, told.remedy, told.source) == (known.id, known.remedy, known.source)
    assert told.held == ()
    assert list(told.not_looked_at) == ORDER[1:]


def test_what_an_error_advises_itself_comes_first() -> None:
    told = explain(NotGenuine("no", step="2.11.pck_revoked", hint="do this"))
    assert told.remedy == "do this"
    assert explain(NotGenuine("no", step="2.11.pck_revoked")).remedy == BY_ID["2.11.pck_revoked"].remedy


def test_a_step_of_another_party_than_the_verifier() -> None:
    """The service adds steps of its own, and may keep records of its own."""
    records = (CheckRecord("1.1.quote_format", ok=True, detail=""), {"id": "10.1.nonce"})
    told = explain(NotGenuine("no", step="10.2.report_data", checks=records))
    assert (told.would_prove, told.source, told.remedy, told.not_looked_at) == (None, None, None, ())
    assert told.held == ("1.1.quote_format",)


def test_a_step_that_fails_again_after_others_held() -> None:
    """The module that runs today is looked for after the quote's signature: what held by then was looked at."""
    later = ("7.1.qe_report_signature", "8.1.quote_signature")
    records = [
        CheckRecord(step, ok=True, detail="") for step in (*ORDER[: ORDER.index("6.5.tdx_module_signer")], *later)
    ]
    told = explain(NotGenuine("no", step="6.4.tdx_module_identity", checks=records))
    assert not set(later) & set(told.not_looked_at)
    assert told.not_looked_at[0] == "6.5.tdx_module_signer"
    assert "6.4.tdx_module_identity" not in told.held
