"""What the quick readers of Intel's statements read, the full ones read alike; everything else they leave to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.collateral import qe_identity, tcb_info
from ambergate.core.collateral.documents import MAX_ADVISORIES, MAX_PARTS
from ambergate.core.errors import MalformedCollateral
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("plain"))
SGX = PLATFORM.collateral(at=AT)
TDX = PLATFORM.td_collateral(at=AT)
# One short level, so that an edit somewhere is likely to be an edit of something that is read.
LEVEL = SGX.tcb_info[SGX.tcb_info.index('[{"tcb"') + 1 : -2].split(',{"tcb"')[0]
SHORT = SGX.tcb_info[: SGX.tcb_info.index('{"tcb"')] + LEVEL + "]}"
SHORT_QE = SGX.qe_identity
FRAGMENTS = (
    *'{}[]",:-+.eE0129aTZ \\\n\u00e9\u0661',
    *('""', '","', "},{", '"svn":1', ',"svn":2', '"type":"x"', ',"category":"x"', "00", "255", "256", "65536", "1e1"),
    *('"UpToDate"', '"Revoked"', ',"advisoryIDs":[]', ',"advisoryIDs":["a"]', '"2026-02-30T00:00:00Z"', "null", "-0"),
)


@st.composite
def edited(draw: st.DrawFn, text: str) -> str:
    """The text with a few pieces gone, doubled, or others in their place."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 3) | st.integers(0, 40)))
        text = text[:at] + draw(st.sampled_from(FRAGMENTS) | st.just("") | st.just(text[at:end] * 2)) + text[end:]
    return text


@pytest.mark.parametrize("text", [SGX.tcb_info, SHORT])
def test_tcb_info_as_intel_writes_it_is_read_plainly(text: str) -> None:
    assert tcb_info.read_plain(text) == tcb_info.read_any(text) == tcb_info.read_tcb_info(text)


@pytest.mark.parametrize("text", [SGX.qe_identity, TDX.qe_identity])
def test_a_qe_identity_as_intel_writes_it_is_read_plainly(text: str) -> None:
    assert qe_identity.read_plain(text) == qe_identity.read_any(text) == qe_identity.read_qe_identity(text)


@settings(max_examples=400)
@given(edited(SHORT) | edited(SGX.tcb_info))
def test_tcb_info_that_is_read_plainly_is_read_alike_in_full(text: str) -> None:
    plain = tcb_info.read_plain(text)
    if plain is not None:
        assert tcb_info.read_any(text) == plain


@settings(max_examples=400)
@given(edited(SHORT_QE))
def test_a_qe_identity_that_is_read_plainly_is_read_alike_in_full(text: str) -> None:
    plain = qe_identity.read_plain(text)
    if plain is not None:
        assert qe_identity.read_any(text) == plain


def _changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


DATE = LEVEL[LEVEL.index('"tcbDate":') : LEVEL.index(',"tcbStatus"')]
STATUS = LEVEL[LEVEL.index('"tcbStatus":') :].rstrip("}").split(",")[0]
FIRST = LEVEL[LEVEL.index('{"svn"') : LEVEL.index("},{") + 1]
LABELS = FIRST[FIRST.index(',"category"') : -1]
ISSUED = SHORT[SHORT.index('"issueDate":') : SHORT.index(',"nextUpdate"')]
WRONG = {
    "one component too few": (f"{FIRST},", ""),
    "one component too many": (FIRST, f"{FIRST},{FIRST}"),
    "an SVN of 256": (FIRST, '{"svn":256}'),
    "an SVN with a zero before it": (FIRST, '{"svn":01}'),
    "a comma and no labels": (FIRST, '{"svn":1,}'),
    "labels that nobody closed": (LABELS, ',"category":"BIOS'),
    "labels without a comma between them": (LABELS, ',"category":"BIOS""type":"x"'),
    "a brace in a component": (FIRST, '{"svn":1},{}'),
    "a PCE SVN with a zero before it": ('"pcesvn":', '"pcesvn":0'),
    "an unknown status": (STATUS, '"tcbStatus":"Fine"'),
    "a status of no document": (STATUS, '"tcbStatus":"TDRelaunchAdvised"'),
    "a date of no calendar": (DATE, '"tcbDate":"2026-02-30T00:00:00Z"'),
    "an issue date of no calendar": (ISSUED, '"issueDate":"2026-02-30T00:00:00Z"'),
    "a date in another form": (DATE, '"tcbDate":"2026-02-03T00:00:00+"'),
    "another version": ('"version":3', '"version":4'),
    "another id": ('"id":"SGX"', '"id":"SGY"'),
    "the same level twice": (LEVEL, f"{LEVEL},{LEVEL}"),
    "a comma behind the last level": (LEVEL, f"{LEVEL},"),
    "no level": (LEVEL, ""),
    "text behind it": ("]}", "]} x"),
    "a quote that is open": (STATUS, f'{STATUS},"advisoryIDs":["A",B"]'),
    "a quote between advisories": (STATUS, f'{STATUS},"advisoryIDs":["A"","B"]'),
    "too many advisories": (
        STATUS,
        f'{STATUS},"advisoryIDs":[{",".join(["%s"] * (MAX_ADVISORIES + 1))}]'.replace("%s", '"x"'),
    ),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_wrong_tcb_info_is_left_to_the_reader_that_words_refusals(old: str, new: str) -> None:
    at = SHORT.rindex(old) if old == "]}" else SHORT.index(old)
    text = SHORT[:at] + new + SHORT[at + len(old) :]
    assert tcb_info.read_plain(text) is None
    with pytest.raises(MalformedCollateral):
        tcb_info.read_tcb_info(text)


WRONG_QE = {
    "an unknown id": ('"id":"QE"', '"id":"QU"'),
    "another version": ('"version":2', '"version":3'),
    "an issue date of no calendar": ('"issueDate":"2026-', '"issueDate":"0000-'),
    "an unknown status": ('"tcbStatus":"UpToDate"', '"tcbStatus":"Fine"'),
    "text behind it": ("", " x"),
    "no comma between levels": ('},{"tcb"', '}{"tcb"'),
    "half an octet": ('"miscselect":"00000000"', '"miscselect":"0000000"'),
}


@pytest.mark.parametrize(("old", "new"), WRONG_QE.values(), ids=WRONG_QE)
def test_a_wrong_qe_identity_is_left_to_the_reader_that_words_refusals(old: str, new: str) -> None:
    text = _changed(SHORT_QE, old, new) if old else SHORT_QE + new
    assert qe_identity.read_plain(text) is None
    with pytest.raises(MalformedCollateral):
        qe_identity.read_qe_identity(text)


def _spaced(text: str) -> str:
    return json.dumps(json.loads(text))


def _turned(text: str) -> str:
    return json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"))


def _escaped(text: str) -> str:
    return _changed(text, '"UpToDate"', '"\\u0055pToDate"')


def _long(text: str) -> str:
    status = '"tcbStatus":"UpToDate"'
    return _changed(text, status, f'{status},"advisoryIDs":["{"A" * MAX_PARTS}"]')


def _larger(text: str) -> str:
    at = text.index('"tcbEvaluationDataNumber":')
    return text[:at] + '"tcbEvaluationDataNumber":70000' + text[text.index(",", at) :]


def _none(text: str) -> str:
    return _changed(text, '"tcbStatus":"UpToDate"', '"tcbStatus":"UpToDate","advisoryIDs":[]')


@pytest.mark.parametrize("form", [_spaced, _turned, _escaped, _long, _larger, _none])
def test_another_form_of_the_same_is_read_by_the_other_reader(form: Callable[[str], str]) -> None:
    assert tcb_info.read_plain(form(SHORT)) is None
    assert tcb_info.read_tcb_info(form(SHORT)).levels[0].pce_svn == tcb_info.read_any(SHORT).levels[0].pce_svn
    assert qe_identity.read_plain(form(SHORT_QE)) is None
    assert qe_identity.read_qe_identity(form(SHORT_QE)).kind == "QE"


def test_a_text_that_ends_early_is_not_read() -> None:
    for read_plain, read, whole in (
        (tcb_info.read_plain, tcb_info.read_tcb_info, SGX.tcb_info),
        (qe_identity.read_plain, qe_identity.read_qe_identity, SGX.qe_identity),
    ):
        first = whole.index('{"tcb"')
        for text in (whole[:first], whole[: whole.index(',{"tcb"') + 1], *(whole[:-cut] for cut in range(1, 80))):
            assert read_plain(text) is None
            with pytest.raises(MalformedCollateral):
                read(text)


def test_levels_in_another_order_are_ranked_alike() -> None:
    document = json.loads(SGX.tcb_info)
    document["tcbLevels"].reverse()
    text = json.dumps(document, separators=(",", ":"))
    assert tcb_info.read_plain(text) == tcb_info.read_any(text) == tcb_info.read_tcb_info(SGX.tcb_info)


def test_labels_that_intel_does_not_write_are_read_by_the_other_reader() -> None:
    text = _changed(SHORT, LABELS, ',"category":"something new"')
    assert tcb_info.read_plain(text) is None
    assert tcb_info.read_tcb_info(text) == tcb_info.read_plain(SHORT)


def test_every_edit_of_one_character_is_read_alike_or_not_plainly() -> None:
    read = 0
    for at in range(len(SHORT)):
        for put in ("", "0", "x", '"', ",", "}"):
            text = SHORT[:at] + put + SHORT[at + 1 :]
            plain = tcb_info.read_plain(text)
            if plain is not None:
                read += 1
                assert tcb_info.read_any(text) == plain
    assert read > 100  # digits of numbers and dates, letters of labels
