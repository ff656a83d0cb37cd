"""A proof as it travels, and whether it proves: for whoever has a token's record, the log's key, and nothing else."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.audit import Proof
from ambergate.stores.audit_rows import MAX_RECORD
from ambergate.stores.checkpoints import MAX_NOTE
from ambergate.stores.merkle import HASH_SIZE, MAX_PROOF, MAX_SIZE, inclusion_holds, leaf_hash

if TYPE_CHECKING:
    from ambergate.stores.checkpoints import Checkpoint, CheckpointKey

MAX_TEXT: Final = 2 * MAX_RECORD + MAX_NOTE + 64 * MAX_PROOF  # characters of one proof: a record's quotes are escaped
_MEMBERS: Final = frozenset({"index", "record", "hashes", "checkpoint"})


def read_proof(text: str | bytes) -> Proof:
    """A proof, from the JSON that the service gives.

    Raises:
        Malformed: anything else.
    """
    if len(text) > MAX_TEXT:
        raise _malformed(f"{len(text)} characters", f"<= {MAX_TEXT}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise _malformed(ascii(exc), "JSON") from exc
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        raise _malformed(type(value).__name__, f"an object of {', '.join(sorted(_MEMBERS))}")
    index, record, hashes, checkpoint = (value[name] for name in ("index", "record", "hashes", "checkpoint"))
    if type(index) is not int or not 0 <= index < MAX_SIZE:
        raise _malformed(ascii(index)[:32], "index: a place")
    if not isinstance(record, str) or not record.isascii() or len(record) > MAX_RECORD:
        raise _malformed(type(record).__name__, "record: JSON in ASCII")
    if not isinstance(checkpoint, str):
        raise _malformed(type(checkpoint).__name__, "checkpoint: a signed note")
    if not isinstance(hashes, list) or len(hashes) > MAX_PROOF:
        raise _malformed(type(hashes).__name__, f"hashes: {MAX_PROOF} at most")
    return Proof(seq=index, record=record, hashes=tuple(_hash(each) for each in hashes), checkpoint=checkpoint)


def check_proof(proof: Proof, key: CheckpointKey) -> Checkpoint:
    """The checkpoint under which the record stands in the log.

    Proves that the holder of the key stated a log that has this record at this place. Not that the record is true.

    Raises:
        Malformed: its checkpoint is none.
        NotIntact: of another log, not signed by this key, or the record is not where it says.
    """
    stated = key.opened(proof.checkpoint)
    if not inclusion_holds(leaf_hash(proof.record.encode()), proof.seq, stated.size, proof.hashes, stated.root):
        raise NotIntact(
            "the record does not stand in the log where the proof says",
            code="proof-fails",
            seen=f"entry {proof.seq}",
            wanted=f"root {stated.root.hex()[:16]} of {stated.size} entries",
        )
    return stated


def _hash(value: object) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (ValueError, binascii.Error) as exc:
        raise _malformed("another text", "hashes: base64") from exc
    if len(raw) != HASH_SIZE:
        raise _malformed(f"{len(raw)} bytes", f"hashes: {HASH_SIZE} bytes each")
    return raw


def _malformed(seen: str, wanted: str) -> Malformed:
    return Malformed("that is no proof of an audit record", code="malformed-proof", seen=seen, wanted=wanted)
