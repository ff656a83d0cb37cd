"""A sample of single-bit flips, and all that are listed: exactly the listed ones are accepted. `make fuzz` does all."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from fuzz.flips import ALLOWANCES, flip_some, flip_triples, listed_bits
from fuzz.layout import fields_of

from ambergate.core.quote import parse_quote

if TYPE_CHECKING:
    from fuzz.triple import Triple

SAMPLE = 600
BOTH = flip_triples()


@pytest.mark.parametrize("triple", BOTH, ids=lambda triple: triple.origin)
@pytest.mark.parametrize("part", range(2))
def test_exactly_the_listed_flips_are_accepted(triple: Triple, part: int) -> None:
    listed = set(listed_bits(triple.raw))
    sample = Random(part).sample(range(8 * len(triple.raw)), SAMPLE // 2)
    flips = flip_some(triple, [*sample, *sorted(listed - set(sample))[part::2]])
    assert flips.flipped > SAMPLE // 2
    assert (flips.unlisted, flips.refused, flips.stray) == ([], [], [])


@pytest.mark.parametrize("triple", BOTH, ids=lambda triple: triple.origin)
def test_no_listed_bit_is_outside_chain_and_padding(triple: Triple) -> None:
    fields = fields_of(triple.raw)
    places = {bit // 8 for bit in listed_bits(triple.raw)}
    assert places <= {*fields["certification"], *fields["trailing"]}
    assert len(places) < 0.05 * len(triple.raw)


def test_a_flip_off_the_list_and_a_listed_one_that_is_refused_both_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    triple = BOTH[0]
    padding = 8 * fields_of(triple.raw)["trailing"].start
    monkeypatch.setattr("fuzz.flips.ALLOWANCES", (replace(ALLOWANCES[0], bits=lambda _: iter((0,))),))
    flips = flip_some(triple, (0, padding))
    assert (flips.unlisted, flips.refused, flips.clean) == ([padding], [0], False)


@pytest.mark.parametrize("triple", BOTH, ids=lambda triple: triple.origin)
def test_fields_are_where_the_parser_finds_them(triple: Triple) -> None:
    """The layout of `fuzz` is its own: both readings of a quote must be one."""
    quote, fields = parse_quote(triple.raw), fields_of(triple.raw)

    def at(name: str) -> bytes:
        return triple.raw[fields[name].start : fields[name].stop]

    assert at("signature") == quote.signature
    assert at("attestation_key") == quote.attestation_key
    assert at("qe_report.report_data") == quote.qe_report.report_data.value
    assert at("body.report_data") == quote.body.report_data.value
    assert at("qe_report_signature") == quote.qe_report_signature
    assert at("auth") == quote.qe_auth_data
    assert at("certification") == quote.certification.data
    assert at("trailing") == quote.trailing
