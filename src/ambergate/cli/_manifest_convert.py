"""`amber manifest convert`: settings, agent's files, external file and manifest, put together and written as one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.cli._launching import epoch, refuse_without_launcher
from ambergate.client.loading import MAX_MANIFEST, read_file
from ambergate.core.errors import SettingsError
from ambergate.devices.shim_build import find_shim
from ambergate.graminize import agent
from ambergate.graminize.application import AGENT, settings_of
from ambergate.graminize.convert import Conversion, Mounted, Plan, converted
from ambergate.graminize.edits import toml_value
from ambergate.graminize.output import Form, output_of
from ambergate.graminize.writing import write_file

if TYPE_CHECKING:
    from ambergate.graminize.output import Output
    from ambergate.graminize.source import Manifest
    from ambergate.graminize.template import Surroundings

REHEARSAL: Final = Path(__file__).with_name("_rehearsal.py")
AGENT_DIRECTORY: Final = "amber-agent"
_ROOTS: Final = f"{AGENT}/{agent.ROOTS}"
_CERTIFICATE: Final = "-----BEGIN"
_FORMS: Final = {
    Form.KEPT: "comments and order are kept",
    Form.RENDERED: "it is the rendered template: this one cannot be edited as it is written",
    Form.REWRITTEN: "comments and order are lost: this manifest cannot be edited as it is written",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked for.

    Attributes:
        out: the manifest to write.
        delivery: how the application gets its files.
        agent_directory: where the agent's files go; beside `out` when None.
        external: file for the settings that may vary; None: all are measured.
        cacerts: PEM roots instead of the manifest's.
        require: what the application does not start without.
        secret_to: where the launcher hands the secret over, before the application starts.
        allow_arguments: patterns of arguments from outside.
        insecure_measure_apikey: leave an API key where everybody finds it.
    """

    out: Path
    delivery: str
    agent_directory: Path | None
    external: Path | None
    cacerts: Path | None
    require: tuple[str, ...]
    secret_to: tuple[str, ...]
    allow_arguments: tuple[str, ...]
    insecure_measure_apikey: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was written."""

    conversion: Conversion
    output: Output
    notes: tuple[str, ...]
    agent_directory: Path | None
    files: int
    size: int


def convert(manifest: Manifest, surroundings: Surroundings, asked: Asked) -> Done:
    """Convert a manifest and write what it became; all of it, or nothing.

    Raises:
        NotConvertible: it has errors.
        SettingsError: something cannot be read or written.
        click.UsageError: nothing would heed an option.
    """
    if asked.delivery == "native":
        _refuse_options(asked)
        conversion = converted(manifest, Plan(delivery="native"))
        output = output_of(manifest, conversion, surroundings)
        write_file(asked.out, output.text.encode())
        notes = (*conversion.notes, _FORMS[output.form])
        return Done(conversion=conversion, output=output, notes=notes, agent_directory=None, files=0, size=0)
    directory = asked.agent_directory or asked.out.with_name(AGENT_DIRECTORY)
    roots, note = _roots(manifest, asked, directory)
    settings = settings_of(manifest.document)
    secrets = bool((found := settings.get("kbs_url")) and found.text)
    shim = find_shim() if asked.delivery == "shim" else None
    measured = agent.measure(agent.gather(REHEARSAL, secrets=secrets, shim=shim, roots=roots))
    plan = Plan(
        delivery=asked.delivery,
        agent=Mounted(uri=_uri(directory, asked.out), hashes=measured.hashes()),
        roots=_ROOTS if roots is not None else None,
        external=_uri(asked.external, asked.out) if asked.external is not None else None,
        require=asked.require,
        secret_to=asked.secret_to,
        allow_arguments=asked.allow_arguments,
        insecure_measure_apikey=asked.insecure_measure_apikey,
    )
    conversion = converted(manifest, plan)
    output = output_of(manifest, conversion, surroundings)
    with agent.staged(measured, directory, born=epoch()):
        _write(asked, conversion, output)
    read = (f"the template depends on the variable {name}, and with it the measurement" for name in manifest.read)
    notes = (*conversion.notes, *note, *read, *_about_secrets(secrets=secrets), _FORMS[output.form])
    size = sum(map(len, measured.contents.values()))
    return Done(
        conversion=conversion,
        output=output,
        notes=notes,
        agent_directory=directory,
        files=len(measured.contents),
        size=size,
    )


def _refuse_options(asked: Asked) -> None:
    launcher = {
        "--require": asked.require,
        "--secret-to": asked.secret_to,
        "--external-config": asked.external,
        "--allow-argument": asked.allow_arguments,
        "--cacerts": asked.cacerts,
        "--agent-dir": asked.agent_directory,
    }
    refuse_without_launcher(asked.delivery, launcher)


def write_agent(directory: Path, cacerts: Path | None) -> agent.Measured:
    """Write the agent's files alone, with shim and cryptography, for an image that applications are built on.

    Raises:
        SettingsError: something cannot be read or written, or the directory is none of ours.
        Unavailable: the files cannot be found out, or there is no shim.
    """
    roots = None if cacerts is None else _pem(cacerts)
    measured = agent.measure(agent.gather(REHEARSAL, secrets=True, shim=find_shim(), roots=roots))
    with agent.staged(measured, directory, born=epoch()):
        return measured


def _write(asked: Asked, conversion: Conversion, output: Output) -> None:
    """The manifest last: where the external file cannot be written, nothing says that it is there."""
    made = asked.external if asked.external is not None and _write_external(asked.external, conversion) else None
    try:
        write_file(asked.out, output.text.encode())
    except SettingsError:
        if made is not None:
            made.unlink(missing_ok=True)
        raise


def _write_external(path: Path, conversion: Conversion) -> bool:
    """A new file; one that is there holds what an earlier conversion, or its user, put into it."""
    if path.exists():
        if conversion.external:
            hint = "move its settings there by hand, or remove it"
            raise SettingsError("the external file is there already", code="settings-output", seen=path, hint=hint)
        return False
    lines = ["# Settings that may vary: nobody measures this file, and nothing else is taken from it.\n"]
    lines += [f"{name} = {toml_value(text)}\n" for name, text in conversion.external.items()]
    write_file(path, "".join(lines).encode(), mode=0o600)
    return True


def _roots(manifest: Manifest, asked: Asked, directory: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """PEM roots to be measured as a file, and what to say of them; None where the manifest holds them as text."""
    if asked.cacerts is not None:
        return _pem(asked.cacerts), ()
    setting = settings_of(manifest.document).get("cacerts")
    text = (setting.text or "").strip() if setting is not None else ""
    if _CERTIFICATE in text:
        return None, ()
    if text == _ROOTS:
        return _pem(directory / agent.ROOTS), ()
    if text:
        return _pem(manifest.directory / text), ()
    system = ssl.get_default_verify_paths().cafile
    if system is None:
        raise SettingsError(
            "nobody vouches for the services", code="settings-cacerts", seen="neither sgx.amber_cacerts nor roots here"
        )
    note = f"no amber_cacerts: the roots of this system ({system}) are measured, any of which may vouch for a service"
    return _pem(Path(system)), (note,)


def _pem(path: Path) -> bytes:
    content = read_file(path, "cacerts", limit=MAX_MANIFEST)
    if _CERTIFICATE.encode() not in content:
        raise SettingsError("cacerts holds no PEM certificate", code="settings-cacerts", seen=path)
    return content


def _about_secrets(*, secrets: bool) -> tuple[str, ...]:
    return () if secrets else ("no kbs_url: the agent is without cryptography, and can get no secret",)


def _uri(path: Path, out: Path) -> str:
    """A file or directory as the manifest names it: from where the manifest is, if it is there or below."""
    there, here = path.absolute(), out.absolute().parent
    return f"file:{there.relative_to(here)}" if there.is_relative_to(here) else f"file:{there}"
