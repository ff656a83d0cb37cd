"""What the rules look at: the manifest, what it starts, its settings; and how a rule says what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ambergate.core.errors import SettingsError
from ambergate.graminize.application import DEFAULT_DELIVERY, Start, settings_of, start_of
from ambergate.graminize.deprecated import modernised
from ambergate.graminize.problems import Problem, Severity
from ambergate.graminize.source import value_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ambergate.graminize.application import Setting
    from ambergate.graminize.source import Document, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A manifest as the rules see it.

    Attributes:
        manifest: the manifest.
        document: what it says, with the names that options have today.
        start: what it starts; None where that cannot be told.
        settings: its amber settings by name.
        delivery: how the application gets its files: as the manifest says, or as it will be converted.
        secret_to: where the launcher hands the secret over before the application starts.
        converting: whether it is about to be converted: what lacks, is mended.
    """

    manifest: Manifest
    document: Document
    start: Start | None
    settings: Mapping[str, Setting]
    delivery: str
    secret_to: tuple[str, ...]
    converting: bool

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        delivery: str | None = None,
        *,
        secret_to: tuple[str, ...] = (),
        converting: bool = False,
    ) -> Subject:
        """The subject that a manifest is."""
        document, _ = modernised(manifest.document)
        try:
            start: Start | None = start_of(document)
        except SettingsError:
            start = None
        found = start.delivery if start and not converting else None
        return cls(
            manifest=manifest,
            document=document,
            start=start,
            settings=settings_of(document),
            delivery=found or delivery or DEFAULT_DELIVERY,
            secret_to=secret_to or (start.told("--secret-to") if start else ()),
            converting=converting,
        )

    def get(self, *path: str, default: object = None) -> Any:  # noqa: ANN401  whatever TOML can say
        """What a key says; the default where it is not there."""
        return value_at(self.document, path, default)

    def is_set(self, name: str) -> bool:
        """Whether a setting has a value, be it the host's."""
        setting = self.settings.get(name)
        return setting is not None and setting.text != ""

    @property
    def mounts(self) -> list[tuple[int, dict[str, Any]]]:
        """Entries of `fs.mounts` that are tables, with their numbers there."""
        found = self.get("fs", "mounts", default=[])
        entries = enumerate(found) if isinstance(found, list) else ()
        return [(index, mount) for index, mount in entries if isinstance(mount, dict)]

    @property
    def converted(self) -> bool:
        """Whether a launcher starts the application already."""
        return self.start is not None and self.start.converted

    @property
    def mended(self) -> Severity:
        """How bad it is that something is lacking which `convert` puts there."""
        if self.converting:
            return Severity.CONVERTED
        return Severity.ERROR if self.converted or self.delivery == "native" else Severity.CONVERTED

    def problem(  # noqa: PLR0913  each part of a problem has its name
        self,
        rule: str,
        path: tuple[str | int, ...],
        message: str,
        *,
        seen: object,
        wanted: str,
        why: str,
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """A problem with a key of this manifest."""
        return Problem(
            rule=rule,
            severity=severity,
            path=path,
            line=self.manifest.line_of(*path),
            message=message,
            seen=str(seen),
            wanted=wanted,
            why=why,
        )


class Rule(Protocol):
    """One rule: all that it finds wrong."""

    def __call__(self, subject: Subject, /) -> Iterator[Problem]:
        """The problems of one manifest."""
        ...
