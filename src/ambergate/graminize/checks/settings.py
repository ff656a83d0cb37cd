"""Rules about the amber settings: each for itself, and all of them together."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from ambergate.client.external import WHY_MEASURED
from ambergate.client.loading import MANIFEST_KEYS
from ambergate.client.settings import Url, is_address, parse, parse_url
from ambergate.core.errors import AmberError
from ambergate.graminize.application import MANIFEST_NAMES, amber_keys
from ambergate.graminize.problems import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.graminize.checks.subject import Subject

_CERTIFICATE: Final = "-----BEGIN"
_NAMED: Final = {"endpoint_ip": "endpoint_url", "kbs_ip": "kbs_url"}
_DOMAIN_NAMES: Final = ("sys", "enable_extra_runtime_domain_names_conf")


def unknown_settings(subject: Subject, /) -> Iterator[Problem]:
    """Keys that look like ours, and are none; and both forms at once."""
    known = ", ".join(f"sgx.{key}" for key in MANIFEST_KEYS)
    for key in amber_keys(subject.manifest.document):
        value = subject.get("sgx", key)
        if key not in MANIFEST_KEYS:
            why = "a misspelt setting is a setting that is not there"
            yield subject.problem(
                "amber-unknown", ("sgx", key), "is no amber setting", seen=f"sgx.{key}", wanted=known, why=why
            )
        elif not isinstance(value, str):
            why = "nothing else can be a setting"
            yield subject.problem(
                "amber-kind", ("sgx", key), "is not text", seen=type(value).__name__, wanted="text in quotes", why=why
            )
        elif (other := subject.settings[MANIFEST_KEYS[key]]).path != ("sgx", key) and other.text != value:
            yield subject.problem(
                "amber-twice",
                ("sgx", key),
                "is set twice, and not to the same",
                seen=f"also {'.'.join(other.path)}",
                wanted="one of them",
                why="the environment's is the one that acts",
            )


def endpoint_url(subject: Subject, /) -> Iterator[Problem]:
    """The one setting without which there is no token."""
    if not subject.is_set("endpoint_url"):
        yield _not_set(
            subject,
            "endpoint_url",
            "amber-url",
            wanted='"https://host:443/appraisal/v1/"',
            why="without it there is no token",
        )


def each_setting(subject: Subject, /) -> Iterator[Problem]:
    """Every value by the client's own rule for it."""
    for setting in subject.settings.values():
        if setting.text is None or setting.name == "endpoint_apikey_file":
            continue
        if setting.name == "cacerts" and _CERTIFICATE not in setting.text:
            continue  # a path: `files` looks at it
        try:
            parse(setting.name, setting.text.encode("utf-8", "surrogateescape"))
        except AmberError as error:
            yield subject.problem(
                "amber-value",
                setting.path,
                error.message,
                seen=error.seen or "a value",
                wanted=error.wanted or "a value by this setting's rule",
                why="the client would not start with it",
            )


def trailing_slash(subject: Subject, /) -> Iterator[Problem]:
    """Base URLs end with a slash."""
    for name in ("endpoint_url", "kbs_url"):
        setting = subject.settings.get(name)
        if setting is not None and setting.text and not setting.text.strip().endswith("/"):
            yield subject.problem(
                "amber-slash",
                setting.path,
                "does not end with a slash",
                seen=setting.text[:80],
                wanted=f"{setting.text.strip()[:80]}/",
                why="clients that put names behind it ask for another path; ours adds the slash",
                severity=Severity.WARNING,
            )


def address_and_host(subject: Subject, /) -> Iterator[Problem]:
    """Address and URL name the same peer, as far as that can be told without asking anybody."""
    for name, url_name in _NAMED.items():
        setting, url = subject.settings.get(name), _url(subject, url_name)
        if setting is None or not setting.text:
            continue
        if url is None:
            if not (subject.settings.get(url_name) and subject.settings[url_name].text):
                why = "an address alone says nobody whom to ask there, nor whose certificate to want"
                wanted = f"{url_name} too"
                yield subject.problem(
                    "amber-address", setting.path, "has no URL", seen=setting.text[:80], wanted=wanted, why=why
                )
        elif is_address(url.host) and not _among(url.host, setting.text):
            yield subject.problem(
                "amber-address",
                setting.path,
                "is another address than the one in the URL",
                seen=f"{setting.text[:80]}, and {url.host} in the URL",
                wanted=url.host,
                why="the connection goes to the one, and the certificate has to be for the other",
            )


def names_resolve(subject: Subject, /) -> Iterator[Problem]:
    """A host that is a name needs an address, or Gramine's configuration of the resolver."""
    for address_name, url_name in _NAMED.items():
        url, address = _url(subject, url_name), subject.settings.get(address_name)
        if url is None or is_address(url.host) or (address is not None and address.text != ""):
            continue
        if subject.get(*_DOMAIN_NAMES) is not True:
            yield subject.problem(
                "amber-resolver",
                subject.settings[url_name].path,
                "names a host that nothing in the enclave can look up",
                seen=url.host,
                wanted=f"{'.'.join(_DOMAIN_NAMES)} = true, or {address_name}",
                why="Gramine has no resolver configuration of its own",
                severity=subject.mended,
            )


def broker_complete(subject: Subject, /) -> Iterator[Problem]:
    """The key broker's settings come together, or not at all."""
    given = [name for name in ("kbs_url", "kbs_keyid") if subject.is_set(name)]
    if len(given) == 1:
        lacking = "kbs_keyid" if given[0] == "kbs_url" else "kbs_url"
        yield subject.problem(
            "kbs-incomplete",
            subject.settings[given[0]].path,
            "is half of what a secret takes",
            seen=f"no {lacking}",
            wanted="kbs_url and kbs_keyid, or neither",
            why="/dev/amber/secret would give EINVAL",
        )


def measured_api_key(subject: Subject, /) -> Iterator[Problem]:
    """An API key in a file that is measured, published with the image, and given to whoever verifies."""
    setting = subject.settings.get("endpoint_apikey")
    if setting is not None and setting.text:
        yield subject.problem(
            "apikey-measured",
            setting.path,
            "is in a file that is measured and that everybody with the enclave can read",
            seen="an API key",
            wanted="amber manifest convert --external-config FILE, or endpoint_apikey written by the program",
            why="whoever has the manifest asks in your name; a new key makes another MRENCLAVE",
        )
    named = subject.settings.get("endpoint_apikey_file")
    if named is not None and named.text:
        yield subject.problem(
            "apikey-file",
            named.path,
            "names a file whose content may be measured",
            seen=named.text[:80],
            wanted="a file on an encrypted mount, or --external-config",
            why="a trusted file is as public as the manifest",
            severity=Severity.WARNING,
        )


def trusted_roots(subject: Subject, /) -> Iterator[Problem]:
    """Who may vouch for the services is part of what is measured."""
    if not subject.is_set("cacerts"):
        yield _not_set(
            subject,
            "cacerts",
            "amber-cacerts",
            wanted="the PEM root of your services",
            why="every authority of the system could then issue a certificate for your services' names",
            severity=Severity.WARNING,
        )


def passed_through(subject: Subject, /) -> Iterator[Problem]:
    """What the host may give through the environment."""
    for setting in subject.settings.values():
        reason = WHY_MEASURED.get(setting.name)
        if setting.text is None and reason is not None:
            yield subject.problem(
                "amber-passthrough",
                setting.path,
                "is given by the host",
                seen="passthrough = true",
                wanted="a value",
                why=reason,
            )


def _not_set(
    subject: Subject, name: str, rule: str, *, wanted: str, why: str, severity: Severity = Severity.ERROR
) -> Problem:
    setting = subject.settings.get(name)
    path = setting.path if setting else ("sgx", MANIFEST_NAMES[name])
    return subject.problem(rule, path, "is not set", seen="nothing", wanted=wanted, why=why, severity=severity)


def _url(subject: Subject, name: str) -> Url | None:
    setting = subject.settings.get(name)
    try:
        return parse_url(name, setting.text.strip()) if setting is not None and setting.text else None
    except AmberError:
        return None  # `each_setting` says so


def _among(host: str, addresses: str) -> bool:
    wanted = ipaddress.ip_address(host)
    return any(
        is_address(each) and ipaddress.ip_address(each) == wanted for each in addresses.replace(",", " ").split()
    )


RULES: Final = (
    unknown_settings,
    endpoint_url,
    each_setting,
    trailing_slash,
    address_and_host,
    names_resolve,
    broker_complete,
    measured_api_key,
    trusted_roots,
    passed_through,
)
