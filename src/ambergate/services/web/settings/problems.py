"""All that is wrong with a configuration, not only the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from ambergate.core.errors import SettingsError, UnusableSettings

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Problems:
    """Collects problems, so that a person reads of all of them at once."""

    def __init__(self) -> None:
        self.found: list[SettingsError] = []

    def attempt(self, make: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `make` returns when called so.

        If it raises a `SettingsError`, that is kept, and what comes back is nothing to be used: `settle` stands between
        here and any use.
        """
        try:
            return make(*args, **kwargs)
        except UnusableSettings as error:
            self.found.extend(error.problems)
        except SettingsError as error:
            self.found.append(error)
        return cast("R", None)

    def settle(self) -> None:
        """Returns if there is no problem.

        Raises:
            SettingsError: the problem, or `UnusableSettings` with all of them.
        """
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise UnusableSettings(self.found)
