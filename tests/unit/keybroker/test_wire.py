"""Key ids and bodies at the border."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest

from ambergate.core.errors import Malformed
from ambergate.core.release.envelope import Envelope
from ambergate.services.keybroker.wire import TransferRequest, TransferResponse, parse_key_id


@pytest.mark.parametrize("version", range(16))
def test_key_ids_of_any_version(version: int) -> None:
    text = f"ae6281b3-e4fe-{version:x}db5-82fd-000000000001"
    assert parse_key_id(text) == parse_key_id(text.upper()) == UUID(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ae6281b3e4fe3db582fd000000000001",
        "{ae6281b3-e4fe-3db5-82fd-000000000001}",
        "urn:uuid:ae6281b3-e4fe-3db5-82fd-000000000001",
        "ae6281b3-e4fe-3db5-82fd-00000000000",
        "ae6281b3-e4fe-3db5-82fd-0000000000011",
        "ae6281b3-e4fe-3db5-82fd-00000000000g",
        "ae6281b3-e4fe-3db5-82fd-00000000000\u0661",
        "ae6281b3-e4fe-3db5-82fd-000000000001\n",
    ],
)
def test_other_spellings_are_no_key_ids(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_key_id(text)
    assert caught.value.code == "malformed-key-id"


def test_the_response_is_two_members_of_standard_base64() -> None:
    response = TransferResponse.of(Envelope(wrapped_key=b"\xfb\xff", wrapped_swk=b"\x00"))
    assert msgspec.json.encode(response) == b'{"wrapped_key":"+/8=","wrapped_swk":"AA=="}'


def test_unknown_members_of_a_request_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"attestation_token":"t","quote":"q"}', type=TransferRequest)
