"""All of Intel's statements that one verification needs, as received.

The JSON shape is the one that dcap-qvl and other verifiers exchange: PEM chains (signer first), CRLs as DER in hex,
and the signed JSON documents as text, because their signatures cover the exact bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Final, Self

from ambergate.core.collateral import documents
from ambergate.core.errors import MalformedCollateral

MAX_DOCUMENT: Final = 1024 * 1024  # characters of one member; the largest published TCB info is below 64 KiB
MAX_BUNDLE: Final = 4 * MAX_DOCUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """Endorsements as received: nothing in it is parsed or believed yet, only bounded in size.

    `root_ca_crl` and `pck_crl` are DER in hex; signatures are 128 hex digits (r || s) over the text beside them.
    """

    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str

    def __post_init__(self) -> None:
        """Bound every member.

        Raises:
            MalformedCollateral: a member is longer than `MAX_DOCUMENT`.
        """
        for field in fields(self):
            size = len(getattr(self, field.name))
            if size > MAX_DOCUMENT:
                raise MalformedCollateral(
                    f"the collateral's {field.name} is too long",
                    seen=f"{size} characters",
                    wanted=f"at most {MAX_DOCUMENT}",
                )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a bundle. Members beyond those named are ignored, since other verifiers add their own.

        Raises:
            MalformedCollateral: not a JSON object with these members as strings.
        """
        if len(text) > MAX_BUNDLE:
            raise MalformedCollateral(
                "the collateral is too long", seen=f"{len(text)} bytes", wanted=f"at most {MAX_BUNDLE}"
            )
        try:
            decoded = text if isinstance(text, str) else text.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise MalformedCollateral("the collateral is not UTF-8", seen=str(exc), wanted="a JSON object") from exc
        members = documents.load_json(decoded, "the collateral", documents.EACH_ONCE)
        names = [field.name for field in fields(cls)]
        wrong = [name for name in names if not isinstance(members.get(name), str)]
        if wrong:
            raise MalformedCollateral(
                "the collateral lacks members", seen=f"no text in {', '.join(wrong)}", wanted=", ".join(names)
            )
        return cls(**{name: documents.text(members, name, "the collateral") for name in names})

    def to_json(self) -> str:
        """The bundle as `from_json` reads it."""
        return json.dumps(asdict(self), indent=1)
