"""Changes of collateral by somebody without keys: members exchanged, chains, lists, signatures, spelling."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from fuzz.draft import Mutator
from fuzz.mutators.chains import mutate_chain, mutate_der
from fuzz.mutators.json_text import mutate_json, mutate_spelling
from fuzz.mutators.quote_parts import mutate_signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from fuzz.draft import Draft

_CHAINS: Final = ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain")
_LISTS: Final = ("root_ca_crl", "pck_crl")
_SIGNATURES: Final = ("tcb_info_signature", "qe_identity_signature")
_RAW: Final = re.compile("[0-9a-fA-F]{128}")
_DOCUMENTS: Final = ("tcb_info", "qe_identity")


def another_ones(rng: Random, draft: Draft) -> str | None:
    """Members of another bundle in this one: one, a document with its signature, or all."""
    other = rng.choice(draft.others)
    theirs = asdict(other.collateral)
    one = rng.choice(sorted(theirs))
    sets = (
        (one,),
        (one,),
        ("tcb_info", "tcb_info_signature"),
        ("qe_identity", "qe_identity_signature"),
        ("tcb_info", "tcb_info_signature", "tcb_info_issuer_chain"),
        ("qe_identity", "qe_identity_signature", "qe_identity_issuer_chain"),
        ("pck_crl", "pck_crl_issuer_chain"),
        ("root_ca_crl", "pck_crl"),
        tuple(theirs),
    )
    chosen = rng.choice(sets)
    draft.members |= {name: theirs[name] for name in chosen}
    return f"{', '.join(chosen)} of {other.name}" if len(chosen) < len(theirs) else f"all of {other.name}"


def exchanged(rng: Random, draft: Draft) -> str | None:
    """Two members of one kind in each other's place."""
    first, second = rng.choice((_LISTS, _SIGNATURES, _DOCUMENTS, _CHAINS[1:], _CHAINS[:2]))
    draft.members[first], draft.members[second] = draft.members[second], draft.members[first]
    return f"{first}, {second}"


def chain(rng: Random, draft: Draft) -> str | None:
    """One of the chains."""
    name = rng.choice(_CHAINS[1:] + _CHAINS)
    other = asdict(rng.choice(draft.others).collateral)[rng.choice(_CHAINS)]
    changed = mutate_chain(rng, draft.members[name].encode(), other.encode())
    if changed is None:
        return None
    way, text = changed
    draft.members[name] = text.decode("latin-1")
    return f"{name}: {way}"


def revocation_list(rng: Random, draft: Draft) -> str | None:
    """One of the revocation lists: its spelling as text, or its DER."""
    name = rng.choice(_LISTS)
    way = rng.choice(sorted(_LIST_WAYS))
    draft.members[name] = _LIST_WAYS[way](rng, draft.members[name])
    return f"{name}: {way}"


def signature(rng: Random, draft: Draft) -> str | None:
    """One of the signatures: another spelling, or another one."""
    name = rng.choice(_SIGNATURES)
    now = draft.members[name]
    other = asdict(rng.choice(draft.others).collateral)[name]
    if rng.random() < 0.5 and _RAW.fullmatch(now) and _RAW.fullmatch(other):
        way, raw = mutate_signature(rng, bytes.fromhex(now), bytes.fromhex(other))
        draft.members[name] = raw.hex()
        return f"{name}: {way}"
    ways = {
        "upper case": now.upper(),
        "space": " ".join((now[:64], now[64:])),
        "line break behind": now + "\n",
        "longer": now + "00",
        "shorter": now[:-2],
        "odd": now[:-1],
        "0x": "0x" + now,
        "empty": "",
        "not hex": "z" * 128,
        "other digits": "\u0661" + now[1:],
        "DER": "30" + now[2:],
    }
    way = rng.choice(sorted(ways))
    draft.members[name] = ways[way]
    return f"{name}: {way}"


def document(rng: Random, draft: Draft) -> str | None:
    """One of the signed documents, not signed again."""
    name = rng.choice(_DOCUMENTS)
    text = draft.members[name]
    changed = mutate_json(rng, text) if rng.random() < 0.6 else mutate_spelling(rng, text)
    if changed is None:
        return None
    way, draft.members[name] = changed
    return f"{name}: {way}"


def bundle(rng: Random, draft: Draft) -> str | None:
    """The bundle's own JSON."""
    changed = mutate_json(rng, draft.bundle) if rng.random() < 0.6 else mutate_spelling(rng, draft.bundle)
    if changed is None:
        return None
    way, draft.text = changed
    return way


def _with_bytes(change: Callable[[Random, bytes], bytes]) -> Callable[[Random, str], str]:
    def changed(rng: Random, text: str) -> str:
        try:
            return change(rng, bytes.fromhex(text)).hex()
        except ValueError:
            return text + "00"

    return changed


def _pem(text: str) -> str:
    try:
        body = base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        body = text
    return f"-----BEGIN X509 CRL-----\n{body}\n-----END X509 CRL-----\n"


_LIST_WAYS: Final[dict[str, Callable[[Random, str], str]]] = {
    "upper case": lambda _rng, text: text.upper(),
    "space inside": lambda rng, text: text[:10] + rng.choice((" ", "\n", "\t", "\r\n")) + text[10:],
    "space around": lambda rng, text: rng.choice((" ", "\n")) + text + rng.choice((" ", "\n")),
    "odd": lambda _rng, text: text[:-1],
    "empty": lambda _rng, _text: "",
    "not hex": lambda _rng, text: "zz" + text[2:],
    "0x": lambda _rng, text: "0x" + text,
    "PEM": lambda _rng, text: _pem(text),
    "base64": lambda _rng, text: _pem(text).split("\n")[1],
    "DER": _with_bytes(mutate_der),
    "DER, again": _with_bytes(mutate_der),
    "DER, once more": _with_bytes(mutate_der),
    "twice": lambda _rng, text: text * 2,
}

MUTATORS: Final = (
    Mutator("members-of-another", 10, another_ones),
    Mutator("members-exchanged", 2, exchanged),
    Mutator("collateral-chain", 10, chain),
    Mutator("crl", 8, revocation_list),
    Mutator("collateral-signature", 4, signature),
    Mutator("document", 4, document),
    Mutator("bundle", 6, bundle),
)
