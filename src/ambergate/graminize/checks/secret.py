"""Rules about the secret that the launcher hands over, and about the encrypted mounts that open with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.graminize.application import GRAMINE_KEY
from ambergate.graminize.problems import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.graminize.checks.subject import Subject

DEFAULT_KEY: Final = "default"  # of a mount without key_name. Gramine documentation, "Encrypted files"
# Keys that the processor makes for the enclave, or for its signer: nobody gives them (ibid.).
MADE_BY_SGX: Final = ("_sgx_mrenclave", "_sgx_mrsigner")


def secret_is_to_be_had(subject: Subject, /) -> Iterator[Problem]:
    """A secret that is to be handed over takes a broker, and a launcher."""
    if not subject.secret_to:
        return
    lacking = [name for name in ("kbs_url", "kbs_keyid") if not subject.is_set(name)]
    if lacking:
        yield subject.problem(
            "secret-none",
            ("loader", "argv"),
            "hands over a secret that nobody is asked for",
            seen=f"--secret-to {subject.secret_to[0]}, and no {' and no '.join(lacking)}",
            wanted="sgx.kbs_url and sgx.kbs_keyid",
            why="the application would not start",
        )


def keys_have_a_place(subject: Subject, /) -> Iterator[Problem]:
    """A key goes where a mount opens with it."""
    names = [name for name, _ in _opening(subject)]
    for place in subject.secret_to:
        name = place.removeprefix(GRAMINE_KEY)
        if name == place or name in names:
            continue
        by_sgx = name in MADE_BY_SGX
        yield subject.problem(
            "secret-key",
            ("fs", "mounts"),
            "has a key that the processor makes" if by_sgx else f"has no encrypted mount that opens with {name[:80]}",
            seen=f"--secret-to {place[:80]}",
            wanted=f'{{ type = "encrypted", path = "/...", uri = "file:...", key_name = "{name[:80]}" }}'
            if not by_sgx
            else "a key_name of your own",
            why="Gramine takes no such key, and the application would not start",
        )


def mounts_open(subject: Subject, /) -> Iterator[Problem]:
    """Somebody gives the key of each encrypted mount."""
    given = {place.removeprefix(GRAMINE_KEY) for place in subject.secret_to if place.startswith(GRAMINE_KEY)}
    known = subject.get("fs", "insecure__keys", default={})  # `keys_in_manifest` says what is wrong with these
    given |= set(known) if isinstance(known, dict) else set()
    for name, path in _opening(subject):
        if name not in given:
            yield subject.problem(
                "mount-key",
                path,
                "is a mount that nobody opens before the application starts",
                seen=f'key_name "{name[:80]}"',
                wanted=f"amber manifest convert --secret-to {GRAMINE_KEY}{name[:80]}",
                why=f"its files cannot be opened until a program writes 16 bytes to /dev/attestation/keys/{name[:80]}",
                severity=Severity.WARNING,
            )


def _opening(subject: Subject) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Each encrypted mount that opens with a key which somebody gives: the key's name, and the mount's path."""
    mounts: list[tuple[object, tuple[str | int, ...]]] = [(subject.get("fs", "root"), ("fs", "root"))]
    mounts += [(mount, ("fs", "mounts", index)) for index, mount in subject.mounts]
    for mount, path in mounts:
        if isinstance(mount, dict) and mount.get("type") == "encrypted":
            name = mount.get("key_name", DEFAULT_KEY)
            if isinstance(name, str) and name not in MADE_BY_SGX:
                yield name, path


RULES: Final = (secret_is_to_be_had, keys_have_a_place, mounts_open)
