"""Where each field of a quote stands: name -> range of bytes. The verifier's parser is not asked."""

from __future__ import annotations

from typing import Final, TypeAlias

Fields: TypeAlias = tuple[tuple[str, int], ...]  # names and sizes in bytes

_HEADER: Final[Fields] = (
    ("version", 2),
    ("key_type", 2),
    ("tee", 4),
    ("reserved", 4),
    ("vendor", 16),
    ("user_data", 20),
)
_ENCLAVE: Final[Fields] = (
    ("cpu_svn", 16), ("misc_select", 4), ("reserved1", 12), ("isv_ext_prod_id", 16), ("attributes", 16),
    ("mr_enclave", 32), ("reserved2", 32), ("mr_signer", 32), ("reserved3", 32), ("config_id", 64), ("isv_prod_id", 2),
    ("isv_svn", 2), ("config_svn", 2), ("reserved4", 42), ("isv_family_id", 16), ("report_data", 64),
)  # fmt: skip
_TD: Final[Fields] = (
    ("tee_tcb_svn", 16), ("mr_seam", 48), ("mr_signer_seam", 48), ("seam_attributes", 8), ("td_attributes", 8),
    ("xfam", 8), ("mr_td", 48), ("mr_config_id", 48), ("mr_owner", 48), ("mr_owner_config", 48), ("rtmr0", 48),
    ("rtmr1", 48), ("rtmr2", 48), ("rtmr3", 48), ("report_data", 64),
)  # fmt: skip
_TD_15: Final[Fields] = (*_TD, ("tee_tcb_svn2", 16), ("mr_service_td", 48))
_BODIES: Final[dict[int, Fields]] = {1: _ENCLAVE, 2: _TD, 3: _TD_15}  # by the type in a version 5 descriptor


def fields_of(raw: bytes) -> dict[str, range]:
    """The fields of a whole quote of version 3, 4 or 5. Its sizes are believed: empty where they do not fit."""
    version, tee = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[4:8], "little")
    names: list[tuple[str, int]] = [(f"header.{name}", size) for name, size in _HEADER]
    body = _TD if tee else _ENCLAVE
    if version == 5:
        names += [("body.type", 2), ("body.size", 4)]
        body = _BODIES.get(int.from_bytes(raw[48:50], "little"), _ENCLAVE)
    names += [(f"body.{name}", size) for name, size in body]
    names += [("signature_data.size", 4), ("signature", 64), ("attestation_key", 64)]
    names += [("outer.type", 2), ("outer.size", 4)] if version > 3 else []
    names += [(f"qe_report.{name}", size) for name, size in _ENCLAVE]
    names += [("qe_report_signature", 64), ("auth.size", 2)]
    fields = _placed(names)
    end = fields["auth.size"].stop
    auth = range(end, end + _number(raw, fields["auth.size"]))
    tail = _placed([("certification.type", 2), ("certification.size", 4)], auth.stop)
    start = tail["certification.size"].stop
    chain = range(start, start + _number(raw, tail["certification.size"]))
    if chain.stop > len(raw):
        return {}
    return {**fields, "auth": auth, **tail, "certification": chain, "trailing": range(chain.stop, len(raw))}


def _placed(names: list[tuple[str, int]], start: int = 0) -> dict[str, range]:
    fields: dict[str, range] = {}
    for name, size in names:
        fields[name] = range(start, start + size)
        start += size
    return fields


def _number(raw: bytes, place: range) -> int:
    return int.from_bytes(raw[place.start : place.stop], "little")
