"""The roots that the configuration believes in, each with where its holder's statements are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import MalformedCollateral, SettingsError
from ambergate.core.verify.anchors import TrustAnchor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ambergate.services.attestation import tables

INTEL: Final = "https://api.trustedservices.intel.com"
MAX_PEM: Final = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A root, whether it is a software platform's, and where its holder's statements are.

    Attributes:
        anchor: the root.
        simulated: whether it is a software platform's.
        collateral: directories and addresses, in the order they are asked.
        cacerts: PEM roots of the addresses; the system's when None.
        api: of the addresses, "v4" or "v3".
        update: of the addresses, "standard" or "early".
    """

    anchor: TrustAnchor
    simulated: bool
    collateral: tuple[Path | str, ...]
    cacerts: Path | None = None
    api: str = "v4"
    update: str = "standard"


def anchors_of(given: Sequence[tables.Anchor], folder: Path) -> tuple[Anchor, ...]:
    """Each root by name: evidence of genuine and of simulated platforms is taken together only if both stand here.

    Intel's alone when none is given.

    Raises:
        SettingsError: a root that cannot be used, or statements that cannot be had so.
    """
    if not given:
        return (Anchor(anchor=TrustAnchor.intel(), simulated=False, collateral=(INTEL,)),)
    anchors = tuple(_anchor(table, folder) for table in given)
    if len({anchor.anchor.key for anchor in anchors}) != len(anchors):
        raise SettingsError("a root stands twice in [[anchors]]", wanted="each key once")
    return anchors


def _anchor(table: tables.Anchor, folder: Path) -> Anchor:
    if table.intel == (table.pem is not None):
        raise SettingsError("an anchor names one root", seen=table.pem, wanted="either intel = true or pem = FILE")
    anchor = TrustAnchor.intel() if table.pem is None else _pem(folder / table.pem)
    if table.simulated == anchor.is_intel:
        said = "is simulated" if table.simulated else "is not simulated"
        hint = "every root but Intel's is somebody's software platform: say simulated = true, or leave it out"
        raise SettingsError(f"the configuration says that {anchor.name} {said}", hint=hint)
    places = _places(table, folder)
    return Anchor(
        anchor=anchor,
        simulated=table.simulated,
        collateral=places,
        cacerts=None if table.collateral_cacerts is None else folder / table.collateral_cacerts,
        api=_one_of("api", table.api or "v4", ("v4", "v3")),
        update=_one_of("update", table.update or "standard", ("standard", "early")),
    )


def _places(table: tables.Anchor, folder: Path) -> tuple[Path | str, ...]:
    named = [table.collateral] if isinstance(table.collateral, str) else table.collateral
    if not named or len(set(named)) != len(named):
        raise SettingsError("collateral must name each source, and once", seen=named, wanted="one source at least")
    places = tuple(_place(name, folder) for name in named)
    of_addresses = {"api": table.api, "update": table.update, "collateral_cacerts": table.collateral_cacerts}
    idle = [name for name, value in of_addresses.items() if value is not None]
    if idle and not any(isinstance(place, str) for place in places):
        raise SettingsError(
            f"{idle[0]} is about addresses, and collateral names none",
            seen=named,
            wanted="https://... in collateral",
            hint="a directory holds what it holds: leave it out, or name an address",
        )
    return places


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise SettingsError(f"[[anchors]] {name} is unknown", seen=value, wanted=" or ".join(known))
    return value


def _place(collateral: str, folder: Path) -> Path | str:
    if collateral.startswith("https://"):
        return collateral
    if "://" in collateral:
        raise SettingsError("collateral comes over https alone", seen=collateral, wanted="a directory or https://...")
    return folder / collateral


def _pem(path: Path) -> TrustAnchor:
    try:
        with path.open("rb") as file:
            return TrustAnchor.from_pem(file.read(MAX_PEM))
    except OSError as exc:
        raise SettingsError("a root cannot be read", seen=f"{path}: {exc.strerror}") from exc
    except MalformedCollateral as exc:
        raise SettingsError(exc.message, seen=str(path), wanted=exc.wanted, hint=exc.hint) from exc
