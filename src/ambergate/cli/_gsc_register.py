"""`--register` of `amber gsc`: the policies for a signed image, made known to the services, each once.

What is registered is what the SIGSTRUCT says, so it takes a signed image: only Gramine's tool knows MRENCLAVE, and it
measures when it signs. A second run finds what the first one sent, and sends it no more. A policy of the same name that
welcomes another enclave is replaced only if that is asked for: it may be somebody else's.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from ambergate.core.errors import AmberError, Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambergate.core.quote.sigstruct import Sigstruct

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH: Final = "/kbs/v1/key-transfer-policies"
_LONGEST_NAME: Final = 64  # characters of a policy's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """Where the policies go, as the options say.

    Attributes:
        url: the attestation service; None: not there.
        apikey_file: holds an API key whose scope is manage.
        broker: the key broker; None: not there.
        user: who asks there.
        password: a file whose first line is their password.
        cacerts: PEM roots of both.
        name: of the attestation policy; made of the image's where None.
        by_signer: welcome later versions by the same signer too.
        replace: make another enclave's policy of this name the next version.
    """

    url: str | None
    apikey_file: Path | None
    broker: str | None
    user: str | None
    password: TextIO | None
    cacerts: Path | None
    name: str | None
    by_signer: bool
    replace: bool

    @property
    def wanted(self) -> bool:
        """Whether anything is to be registered."""
        return self.url is not None or self.broker is not None

    def check(self, *, signed: bool) -> None:
        """Look, before anything is built, whether all is said that asking takes.

        Args:
            signed: whether there will be a signed image.

        Raises:
            click.UsageError: something is not.
        """
        if self.wanted and not signed:
            message = "nothing can be registered of an unsigned image: MRENCLAVE is measured when it is signed"
            raise click.UsageError(f"{message}; give --sign-with KEY, or --register to amber gsc sign-image")
        if self.url is not None and self.apikey_file is None:
            message = "--register takes --apikey-file: an API key whose scope is manage"
            raise click.UsageError(message)
        if self.url is None and (self.name is not None or self.replace):
            message = "--name and --replace are for --register: they say which of its policies is meant"
            raise click.UsageError(message)
        if self.broker is not None and (self.user is None or self.password is None):
            message = "--register-broker takes --broker-user and --broker-password-file"
            raise click.UsageError(message)


def register_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets them as one `Registering` named `registering`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:  # noqa: ANN401  options
        given["registering"] = Registering(
            **{each.name: given.pop(f"register_{each.name}") for each in fields(Registering)}
        )
        return command(**given)

    found: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--register", "register_url", metavar="URL", help="Make the attestation policy known to the service there."
    ),
    click.option(
        "--apikey-file",
        "register_apikey_file",
        type=_FILE,
        help="Holds an API key whose scope is manage, for --register.",
    ),
    click.option(
        "--register-broker", "register_broker", metavar="URL", help="Make the release policy known to the broker there."
    ),
    click.option("--broker-user", "register_user", metavar="NAME", help="Who asks the broker."),
    click.option(
        "--broker-password-file",
        "register_password",
        type=click.File("r", encoding="utf-8"),
        help="Its first line is their password; - is standard input.",
    ),
    click.option(
        "--register-cacerts",
        "register_cacerts",
        type=_FILE,
        help="PEM roots that verify service and broker; the system's when not given.",
    ),
    click.option("--name", "register_name", help="The registered policy's name; made of the image's when not given."),
    click.option(
        "--by-signer",
        "register_by_signer",
        is_flag=True,
        help="Policies by signer, product and least version: later versions are welcome too.",
    ),
    click.option(
        "--replace",
        "register_replace",
        is_flag=True,
        help="Where a policy of this name welcomes another enclave, make this its next version.",
    ),
)


def register(image: str, said: Sigstruct, told: Registering) -> dict[str, str]:
    """Make the policies for a signed image known; what became of them, by member.

    Args:
        image: the signed image's name.
        said: its signature.
        told: where to.

    Raises:
        AmberError: a service did not take its policy; says which, and what was sent before.
    """
    from ambergate.graminize import sigstruct

    done: dict[str, str] = {}
    if told.url is not None:
        with _of("the attestation service", told.url, done):
            text = sigstruct.attestation_policy(said, by_signer=told.by_signer)
            done["policy_id"], done["policy_was"] = _appraised(image, text, told)
    if told.broker is not None:
        with _of("the key broker", told.broker, done):
            text = sigstruct.release_policy(said, by_signer=told.by_signer)
            done["release_policy_id"], done["release_policy_was"] = _released(text, told.broker, told)
    return done


@contextlib.contextmanager
def _of(service: str, url: str, done: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except AmberError as error:
        error.message = f"{service} at {url} did not take its policy: {error.message}"
        if done:
            sent = f"the attestation policy was sent before ({done['policy_id']}); again, it is not sent twice"
            error.hint = f"{error.hint}; {sent}" if error.hint else sent
        raise


def _appraised(image: str, text: str, told: Registering) -> tuple[str, str]:
    """Id of the attestation policy, and whether it was there."""
    from ambergate.cli._policy_files import KINDS
    from ambergate.cli._policy_places import place
    from ambergate.core.appraise.named import PolicyLanguage

    name = told.name or re.sub("[^A-Za-z0-9]+", "-", image).strip("-")[:_LONGEST_NAME].strip("-")
    with place(None, told.url, told.apikey_file, told.cacerts) as policies:
        there = next((each for each in policies.all() if each.get("policy_name") == name), None)
        if there is None:
            made = policies.create(name, text, KINDS["appraisal"], PolicyLanguage.TYPED)
            return str(made["policy_id"]), "created"
        identity = str(there["policy_id"])
        if _says(str(there.get("policy"))) == tomllib.loads(text):
            return identity, "there already"
        if not told.replace:
            raise Conflict(
                "a policy of this name is there, and is not for this enclave",
                seen=f"{name}, {identity}",
                wanted="another --name, or --replace to make this its next version",
            )
        policies.update(identity, None, text, PolicyLanguage.TYPED)
        return identity, "replaced"


def _says(text: str) -> dict[str, Any] | None:
    """What a typed policy says; its comments tell only where it is from."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None  # Rego, YAML: another's


def _released(text: str, url: str, told: Registering) -> tuple[str, str]:
    """Id of the release policy, and whether it was there. They have no names: what it says is what it is."""
    from ambergate.cli._broker_place import logged_in
    from ambergate.cli._http import ask, ask_all
    from ambergate.core.release.kbs_form import RELEASE_POLICY, from_kbs, read_release

    policy = read_release(text)
    with logged_in(url, user=told.user, user_password_file=told.password, cacerts=told.cacerts, socket=None) as client:
        ours = (each for each in ask_all(client, _PATH) if RELEASE_POLICY in each)
        there = next((each for each in ours if from_kbs(each).to_json() == policy.to_json()), None)
        if there is not None:
            return str(there["id"]), "there already"
        return str(ask(client, "POST", _PATH, body={RELEASE_POLICY: policy.to_mapping()})[0]["id"]), "created"
