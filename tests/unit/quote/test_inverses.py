"""`parse_quote` and `encode_quote` undo each other for every kind of quote, in both directions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.quote.test_versions import of_version, td_reports

from ambergate.core.quote import TdReport, encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_TRAILING, Certification

# Version, and which body: an enclave's, a TD's of version 1.0, a TD's of version 1.5.
KINDS = [(3, None), (4, None), (5, None), (4, "1.0"), (5, "1.0"), (5, "1.5")]


@pytest.mark.parametrize("kind", KINDS)
@given(
    td=td_reports(),
    header=st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=20, max_size=20)),
    certification=st.builds(Certification, kind=st.integers(1, 5), data=st.binary(max_size=600)),
    qe_auth_data=st.binary(max_size=300),
    trailing=st.binary(max_size=64) | st.just(bytes(MAX_TRAILING)),
)
def test_every_kind_with_every_certification_and_padding(
    kind: tuple[int, str | None],
    td: TdReport,
    header: tuple[bytes, bytes],
    certification: Certification,
    qe_auth_data: bytes,
    trailing: bytes,
) -> None:
    version, body = kind
    report = td if body is not None else None
    if body == "1.0":
        report = replace(td, tee_tcb_svn2=None, mr_service_td=None)
    elif body == "1.5" and td.tee_tcb_svn2 is None:
        report = replace(td, tee_tcb_svn2=td.tee_tcb_svn, mr_service_td=td.mr_config_id)
    plain = of_version(version, report)
    quote = replace(
        plain,
        header=replace(plain.header, reserved=header[0], user_data=header[1]),
        certification=certification,
        qe_auth_data=qe_auth_data,
        trailing=trailing,
    )
    raw = encode_quote(quote)
    assert parse_quote(raw) == quote
    assert encode_quote(parse_quote(raw)) == raw
