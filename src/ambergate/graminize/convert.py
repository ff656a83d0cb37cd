"""From a manifest with `sgx.amber_*` settings to one that stock Gramine accepts, with the launcher in it.

    conversion = converted(manifest, Plan(delivery="shim", agent=mounted))
    conversion.document, conversion.notes

Settings become measured variables, the launcher the program that Gramine starts, and the application what it becomes.
Only what is needed changes; what a manifest that was converted before holds of ours is taken out first, so that doing
it twice is doing it once. `native` goes the other way, for a Gramine with the client built in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ambergate.client.loading import read_file
from ambergate.core.errors import SettingsError
from ambergate.graminize.application import Start, start_of
from ambergate.graminize.checks import check
from ambergate.graminize.deprecated import modernised
from ambergate.graminize.making import EXTERNAL, Making, Mounted, Plan
from ambergate.graminize.problems import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ambergate.graminize.lines import KeyPath
    from ambergate.graminize.problems import Problem
    from ambergate.graminize.source import Document, Manifest

__all__ = ["Conversion", "Mounted", "NotConvertible", "Plan", "converted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A converted manifest.

    Attributes:
        document: what it says.
        notes: what was changed that its user should know.
        external: settings that are left to the external file, by their keys there.
        moves: keys whose values are from another key of the manifest as it was.
    """

    document: Document
    notes: tuple[str, ...]
    external: Mapping[str, str] = field(default_factory=dict)
    moves: Mapping[KeyPath, KeyPath] = field(default_factory=dict)


class NotConvertible(SettingsError):
    """A manifest with errors that no conversion can mend.

    Args:
        problems: the errors.
    """

    CODE = "settings-not-convertible"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        where = f"line {first.line}: " if first.line else ""
        super().__init__(
            f"the manifest has {len(problems)} errors that have to be mended first",
            seen=f"{where}{first.key} {first.message} ({first.seen})",
            wanted=first.wanted,
            hint="amber manifest check says all of them",
        )
        self.found = problems


def converted(manifest: Manifest, plan: Plan) -> Conversion:
    """A manifest by a plan.

    Raises:
        NotConvertible: it has errors that this does not mend.
        SettingsError: it starts no program.
    """
    _refuse_errors(manifest, plan)
    document, old = modernised(manifest.document)
    notes = [f"{'.'.join(each.path)} is now {each.instead}" for each in old]
    if document.get("loader", {}).get("argv_src_file") is not None and plan.delivery != "native":
        _inline_arguments(document, manifest.directory)
        notes.append("loader.argv_src_file: its content is in loader.argv, behind the launcher's")
    start = start_of(document)
    plan = _with_what_was(plan, start, document) if start.converted and plan.delivery != "native" else plan
    made = Making(document=document, plan=plan, notes=notes, start=start)
    made.take_out_ours()
    if plan.delivery == "native":
        made.put_native()
    else:
        made.put_launcher()
    made.put_attestation()
    return Conversion(document=made.document, notes=tuple(made.notes), external=made.external, moves=made.moves)


def _refuse_errors(manifest: Manifest, plan: Plan) -> None:
    mended = {"dcap-missing"}
    if plan.external is not None or plan.insecure_measure_apikey or plan.delivery == "native":
        mended.add("apikey-measured")
    if plan.external is not None and plan.allow_arguments:
        mended.add("host-arguments")
    found = check(manifest, delivery=plan.delivery, secret_to=plan.secret_to, converting=True)
    left = tuple(each for each in found if each.severity is Severity.ERROR and each.rule not in mended)
    if left:
        raise NotConvertible(left)


def _with_what_was(plan: Plan, start: Start, document: Document) -> Plan:
    """What an earlier conversion was told, where this one is told nothing else."""
    external = next((each.get("uri") for each in document["fs"]["mounts"] if each.get("path") == EXTERNAL), None)
    return replace(
        plan,
        external=plan.external or external,
        require=plan.require or tuple(name for told in start.told("--require") for name in told.split(",")),
        secret_to=plan.secret_to or start.told("--secret-to"),
        allow_arguments=plan.allow_arguments or start.told("--allow-argument"),
    )


def _inline_arguments(document: Document, directory: Path) -> None:
    """Arguments in a file, as gramine-argv-serializer writes it, become the manifest's: the launcher's come first.

    Raises:
        SettingsError: the file cannot be read, or is none.
    """
    uri = document.get("loader", {}).pop("argv_src_file", None)
    if uri is None:
        return
    content = read_file(directory / str(uri).removeprefix("file:"), "loader.argv_src_file")
    try:
        words = content.decode("utf-8").split("\0")
    except UnicodeDecodeError as exc:
        raise SettingsError("loader.argv_src_file is not UTF-8", code="settings-file", seen=uri) from exc
    if words.pop() or not words:
        wanted = "what gramine-argv-serializer writes"
        raise SettingsError("loader.argv_src_file holds no arguments", code="settings-file", seen=uri, wanted=wanted)
    document["loader"]["argv"] = words
