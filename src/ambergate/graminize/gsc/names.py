"""Names of images, and of those that are made of them, as Gramine Shielded Containers has them.

Source of the grammar: OCI Distribution Specification 1.1, "Pulling manifests", and the reference grammar that the
engines share. A name that fits it holds no character that a shell or an option parser would take for its own.
"""

from __future__ import annotations

import re
from typing import Final

from ambergate.core.errors import SettingsError

MAX_NAME: Final = 255  # characters of a name without its tag
_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_NAME: Final = re.compile(
    rf"(?:{_HOST}/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


def checked(name: str, what: str = "the image's name") -> str:
    """The name, if it is one.

    Raises:
        SettingsError: it is none; it is never shown to a shell.
    """
    if len(name) > MAX_NAME + 200 or _NAME.fullmatch(name) is None:
        raise SettingsError(
            f"{what} is not usable",
            seen=repr(name[:80]),
            wanted="[host[:port]/]name[:tag][@sha256:...], in small letters, digits and . _ - /",
        )
    return name


def unsigned(image: str) -> str:
    """The name of the graminized image before it is signed."""
    return checked(f"gsc-{_without_digest(image)}-unsigned", "the graminized image's name")


def signed(image: str) -> str:
    """The name of the graminized image once it is signed."""
    return checked(f"gsc-{_without_digest(image)}", "the graminized image's name")


def under_way(image: str) -> str:
    """The name of the image with Gramine and the agent in it, before its files are measured."""
    return checked(f"gsc-{_without_digest(image)}-files", "the graminized image's name")


def _without_digest(image: str) -> str:
    """A digest names other bytes than ours will have, and cannot stand in a tag."""
    return checked(image).partition("@")[0]
