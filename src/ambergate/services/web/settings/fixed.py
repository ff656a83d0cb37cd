"""Settings that hold from the start to the end of a process, whatever the file says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


def keep_fixed(old: C, new: C, fixed: Mapping[str, str]) -> tuple[C, list[str]]:
    """The new configuration with what cannot be changed as it was; the settings that were to be.

    Args:
        old: in force.
        new: read again.
        fixed: field of the configuration -> the setting's name.
    """
    was: dict[str, Any] = {name: getattr(old, name) for name in fixed if getattr(old, name) != getattr(new, name)}
    return replace(new, **was), [fixed[name] for name in was]
