"""Words that other programs read, and what is said to raise a component of each category that Intel names."""

from __future__ import annotations

import pytest
from tests.unit.verify.test_gaps import at, level

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify.forecast import Change
from ambergate.core.verify.gaps import PLATFORM, QUOTING_ENCLAVE, TDX_MODULE, Label, platform_gaps


def test_words_that_stand_in_answers() -> None:
    assert [each.value for each in Change] == ["worse", "same", "better"]
    assert (PLATFORM, TDX_MODULE, QUOTING_ENCLAVE) == ("platform", "tdx-module", "quoting-enclave")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Label("BIOS"), "update the BIOS"),
        (Label("OS/VMM"), "update what the OS or VMM loads"),
        (Label("BIOS", "Early Microcode Update"), "the microcode that is loaded first"),
        (Label("OS/VMM", "SGX Late Microcode Update"), "the microcode that the OS or VMM loads"),
        (Label("OS/VMM", "TXT SINIT"), "SINIT"),
        (Label("OS/VMM", "SEAMLDR ACM"), "SEAM loader"),
        (Label("BIOS", "a type that is new"), "update the BIOS"),
        (Label("a category that is new", ""), "Intel names no part"),
        (Label(), "Intel names no part"),
    ],
)
def test_what_raises_a_component(label: Label, words: str) -> None:
    (gap,) = platform_gaps(at(0, 1, 1, 0, 1, 1), level((1, 1), 1, 0, TcbStatus.UP_TO_DATE), {("SGX", 0): label})
    assert (gap.part, gap.category, gap.type) == ("SGX component 1", label.category, label.type)
    assert words in gap.remedy
