"""JSON as services write it: by msgspec, a tenth of the standard library's time, and by that where msgspec will not."""

from __future__ import annotations

import json

import msgspec


def json_bytes(value: object) -> bytes:
    """`value` as JSON. It holds finite numbers only: of others, one writer makes null, and the other no JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a character in something that was sent to us: told as an escape
        return json.dumps(value).encode()


def ascii_json_bytes(value: object) -> bytes:
    """The same in ASCII, for readers that are too small for more."""
    text = json_bytes(value)
    return text if text.isascii() else json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
