"""One case: a quote, a collateral bundle and an instant, with the root that both verifiers hold it to."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """What two verifiers are asked about, and how it came to be.

    `bundle` is text as received, so that both read the same JSON. `root_der` is the root certificate of a software
    platform; None stands for Intel's.
    """

    raw: bytes
    bundle: str
    at: int  # seconds since 1970, UTC
    root_der: bytes | None
    origin: str  # what was mutated
    mutations: tuple[str, ...]  # in the order in which they were made

    @property
    def instant(self) -> datetime:
        """`at` as our verifier wants it."""
        return datetime.fromtimestamp(self.at, UTC)

    def to_json(self) -> str:
        """The case as a file, for `--replay`."""
        members = {
            "origin": self.origin,
            "mutations": list(self.mutations),
            "at": self.at,
            "root": None if self.root_der is None else _armoured(self.root_der),
            "quote": _armoured(self.raw),
            "bundle": self.bundle,
        }
        return json.dumps(members, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The case that `to_json` wrote; further members (the verdicts) are ignored."""
        members = json.loads(text)
        return cls(
            raw=base64.b64decode(members["quote"]),
            bundle=members["bundle"],
            at=members["at"],
            root_der=None if members["root"] is None else base64.b64decode(members["root"]),
            origin=members["origin"],
            mutations=tuple(members["mutations"]),
        )


def _armoured(data: bytes) -> str:
    return base64.b64encode(data).decode()
