"""What is different between two manifests, and what that means for who trusts the enclave.

Gramine measures the manifest as a whole, so that any difference makes another MRENCLAVE, one in the order of keys too.
That says nothing yet: this says which differences make the enclave weaker, which bring other code, which only room.
What is in the files that a manifest names is not looked at, unless it has their hashes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.external import MAY_VARY, WHY_MEASURED
from ambergate.client.loading import MANIFEST_KEYS
from ambergate.graminize.application import VARIABLES
from ambergate.graminize.schema import dotted, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ambergate.graminize.lines import KeyPath
    from ambergate.graminize.source import Document


class Effect(StrEnum):
    """What a difference means for whoever trusts the enclave."""

    WEAKER = "weaker"
    STRONGER = "stronger"
    IDENTITY = "identity"  # what policies look at
    CODE = "code"  # other code, or other data, is run
    SETTING = "setting"  # whom the enclave itself trusts
    ROOM = "room"
    OTHER = "other"
    NONE = "none"  # only the order


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        key: as a manifest writes it; of a list's element its name in brackets.
        before: its value, cut where it is long; None: it is new.
        after: as `before`; None: it is gone.
        effect: what it means.
        meaning: the same in words.
    """

    key: str
    before: str | None
    after: str | None
    effect: Effect
    meaning: str

    def as_dict(self) -> dict[str, str | None]:
        """JSON-ready members."""
        return {
            "key": self.key,
            "before": self.before,
            "after": self.after,
            "effect": self.effect.value,
            "meaning": self.meaning,
        }


# Flags by which the host gets a say, or the enclave loses protection, when they are set: key and what that means.
_WEAKENING: Final[Mapping[str, str]] = {
    "sgx.debug": "the host can read and change the enclave; its attributes say so, and policies refuse it",
    "loader.insecure__use_cmdline_argv": "the host chooses the arguments",
    "loader.insecure__use_host_env": "the host chooses the environment, and with it the code",
    "loader.insecure__disable_aslr": "addresses are the same in every run",
    "sgx.insecure__rpc_thread_num": "system calls pass through memory that the host writes",
    "sgx.insecure__allow_memfaults_without_exinfo": "the host can invent memory faults",
    "sys.insecure__allow_eventfd": "the host sees and changes what eventfds say",
    "sgx.enable_stats": "works in debug enclaves only",
    "fs.insecure__keys": "keys of encrypted files that everybody with the manifest has",
    "sgx.file_check_policy": "the host chooses the content of every file that is not trusted",
}
_ROOM: Final = (
    "sgx.enclave_size",
    "sgx.max_threads",
    "sgx.edmm_enable",
    "sgx.preheat_enclave",
    "sys.stack",
    "sys.brk",
    "sys.fds",
)
_CODE: Final = ("libos.entrypoint", "loader.entrypoint", "loader.argv", "loader.argv_src_file", "loader.env_src_file")
_IDENTITY: Final[Mapping[str, str]] = {
    "sgx.isvprodid": "another product: policies by signer name it",
    "sgx.isvsvn": "another security version: policies by signer ask for a least one",
    "sgx.seal_key": "other sealing keys: what was sealed before cannot be opened",
    "sgx.cpu_features": "other attributes; the enclave starts on other machines only",
    "sgx.remote_attestation": "whether, and how, there are quotes",
}
_SETTINGS: Final = {
    **{f"sgx.{key}": name for key, name in MANIFEST_KEYS.items()},
    **{f"loader.env.{variable}": name.removesuffix("_file") for variable, name in VARIABLES.items()},
}
# Lists whose elements have names: by which member.
_NAMED: Final = {"sgx.trusted_files": "uri", "sgx.allowed_files": "uri", "fs.mounts": "path"}
_FALSE: Final[tuple[object, ...]] = (None, False, 0, {}, "strict")


def differences(before: Document, after: Document) -> list[Change]:
    """All differences, those that weaken first."""
    found = list(_tables(before, after, ()))
    if not found and json.dumps(before, default=str) != json.dumps(after, default=str):
        meaning = "the same is said in another order; the measurement is another one"
        found.append(Change(key="", before=None, after=None, effect=Effect.NONE, meaning=meaning))
    order = list(Effect)
    return sorted(found, key=lambda change: order.index(change.effect))


def _tables(before: Mapping[str, Any], after: Mapping[str, Any], path: KeyPath) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        old, new, key = before.get(name), after.get(name), (*path, name)
        text = dotted(key)
        if text in _NAMED and isinstance(old, list | None) and isinstance(new, list | None):
            yield from _lists(text, old or [], new or [])
        elif isinstance(old, dict | None) and isinstance(new, dict | None) and not _is_entry(key):
            yield from _tables(old or {}, new or {}, key)
        elif old != new or type(old) is not type(new):
            yield _change(text, key, old, new)


def _is_entry(key: KeyPath) -> bool:
    """An entry of `loader.env`, or an entry point, is one value, whichever way it is written."""
    return (len(key) == 3 and key[:2] == ("loader", "env")) or key == ("loader", "entrypoint")


def _lists(key: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    member = _NAMED[key]
    old, new = _by_name(before, member), _by_name(after, member)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            effect, meaning = _EFFECTS[key](old.get(name), new.get(name))
            yield Change(
                key=f"{key}[{name}]",
                before=_element(old.get(name)),
                after=_element(new.get(name)),
                effect=effect,
                meaning=meaning,
            )
    common = [name for name in old if name in new]
    if common != [name for name in new if name in old] and key == "fs.mounts":
        meaning = "a later mount covers an earlier one: other files may be seen"
        yield Change(key=key, before="in another order", after="", effect=Effect.CODE, meaning=meaning)


def _by_name(elements: list[Any], member: str) -> dict[str, dict[str, Any]]:
    tables = [each if isinstance(each, dict) else {member: each} for each in elements]
    return {str(each.get(member)): each for each in tables}


def _element(table: Mapping[str, Any] | None) -> str | None:
    if table is None:
        return None
    return ", ".join(f"{name} {value}" for name, value in table.items())


def _trusted(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> tuple[Effect, str]:
    if old is None:
        return Effect.CODE, "one more file that may be read, or run, by its hash"
    if new is None:
        return Effect.CODE, "this file cannot be opened any more"
    if new.get("sha256") is None:
        return Effect.CODE, "hashed when the manifest is signed: with whatever is in it then"
    return Effect.CODE, "another content"


def _allowed(old: object, _new: object) -> tuple[Effect, str]:
    if old is None:
        return Effect.WEAKER, "the host chooses what is in this file, and may change it while it is read"
    return Effect.STRONGER, "the host has no say about this file any more"


def _mount(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> tuple[Effect, str]:
    kinds = [each.get("type", "chroot") if each else None for each in (old, new)]
    if kinds[0] in {"tmpfs", "encrypted"} and kinds[1] in {"chroot", "untrusted_shm"}:
        return Effect.WEAKER, "what was in the enclave's memory, or encrypted, is the host's"
    if kinds[0] in {"chroot", "untrusted_shm"} and kinds[1] in {"tmpfs", "encrypted"}:
        return Effect.STRONGER, "what was the host's is in the enclave's memory, or encrypted"
    if kinds[1] == "untrusted_shm":
        return Effect.WEAKER, "memory that the host reads and writes"
    return Effect.CODE, "other files are seen there; which of them can be opened, trusted files say"


_EFFECTS: Final = {"sgx.trusted_files": _trusted, "sgx.allowed_files": _allowed, "fs.mounts": _mount}


def _change(text: str, path: KeyPath, old: Any, new: Any) -> Change:  # noqa: ANN401  whatever TOML can say
    effect, meaning = _effect(text, old, new)
    return Change(
        key=text,
        before=None if old is None else _value(old, path),
        after=None if new is None else _value(new, path),
        effect=effect,
        meaning=meaning,
    )


def _effect(key: str, old: Any, new: Any) -> tuple[Effect, str]:  # noqa: ANN401  as above
    known = (_of_protection(key, old, new), _of_setting(key, new), _of_identity(key, old, new), _of_start(key))
    return next((each for each in known if each is not None), (Effect.OTHER, "measured with the manifest"))


def _of_protection(key: str, old: object, new: object) -> tuple[Effect, str] | None:
    meaning = _under(key, _WEAKENING)
    return None if meaning is None else _more_or_less(old, new, meaning)


def _of_setting(key: str, new: object) -> tuple[Effect, str] | None:
    if isinstance(new, dict) and new.get("passthrough"):
        return Effect.WEAKER, "the host gives this variable"
    setting = _SETTINGS.get(key)
    if setting is None:
        return None
    return Effect.SETTING, f"{setting}: {WHY_MEASURED.get(setting) or MAY_VARY[setting]}"


def _of_identity(key: str, old: object, new: object) -> tuple[Effect, str] | None:
    meaning = _under(key, _IDENTITY)
    if meaning is None:
        return None
    older = key == "sgx.isvsvn" and isinstance(old, int) and isinstance(new, int | None) and (new or 0) < old
    return (Effect.WEAKER, "an earlier security version") if older else (Effect.IDENTITY, meaning)


def _of_start(key: str) -> tuple[Effect, str] | None:
    if _under(key, dict.fromkeys(_CODE, "")) is not None:
        return Effect.CODE, "what is started, and how"
    if key.startswith("loader.env."):
        code = key.startswith(("loader.env.LD_", "loader.env.PYTHON"))
        return Effect.CODE, "what is loaded" if code else "what the application is told"
    if _under(key, dict.fromkeys(_ROOM, "")) is not None:
        return Effect.ROOM, "room: it is measured, and trusted as before"
    return (Effect.OTHER, "what the host is told") if key == "loader.log_level" else None


def _more_or_less(old: object, new: object, meaning: str) -> tuple[Effect, str]:
    if new in _FALSE:
        return (Effect.STRONGER, f"no longer: {meaning}") if old not in _FALSE else (Effect.OTHER, "said, not implied")
    return Effect.WEAKER, meaning


def _under(key: str, table: Mapping[str, str]) -> str | None:
    return next((text for name, text in table.items() if key == name or key.startswith((f"{name}.", f"{name}["))), None)


def _value(value: Any, path: KeyPath) -> str:  # noqa: ANN401  as above
    if isinstance(value, list):
        return json.dumps(value, default=str)[:200]
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(each, path)}" for name, each in value.items())
    return shown(value, path)
