"""Write the chart's values.schema.json, or check that it is what this says (--check).

What the chart itself has is written here. What stands below `config` is a service's own configuration, so it is made of
the types that the services read theirs with, without what the chart says itself: a setting that a service would not
take is refused by Helm already.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from ambergate.services.attestation import tables as attestation
from ambergate.services.keybroker import tables as keybroker
from ambergate.services.web.settings.secret import SecretText

SCHEMA = Path(__file__).resolve().parents[1] / "deploy" / "helm" / "ambergate" / "values.schema.json"
# Tables and members that templates/_toml.tpl writes.
THE_CHARTS = frozenset({"base_url", "listen", "store", "audit", "metrics", "admin"})

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
# An empty object would be everybody, or nothing that Kubernetes takes.
OBJECTS: Schema = {"type": "array", "items": {"type": "object", "minProperties": 1}}
OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
KEY: Schema = {"type": "string", "pattern": r"^[-._a-zA-Z0-9]+$"}
NAME: Schema = {"type": "string", "pattern": r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$", "maxLength": 253}
PORT: Schema = {"type": "integer", "minimum": 1024, "maximum": 65535}  # below it takes a capability
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2}
DIGEST: Schema = {"type": "string", "pattern": r"^(sha256:[0-9a-f]{64})?$"}


def number(least: int, most: int) -> Schema:
    """A whole number between two others."""
    return {"type": "integer", "minimum": least, "maximum": most}


def table(**members: Schema) -> Schema:
    """An object that has these members and no others."""
    return {"type": "object", "additionalProperties": False, "properties": members}


def one_of(*words: str) -> Schema:
    """One of these texts."""
    return {"enum": list(words)}


REFERENCE = table(name=NAME, key=KEY)
FILE: Schema = {
    **table(name={"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,56}[a-z0-9])?$"}, secret=NAME, configMap=NAME),
    "required": ["name"],
    "oneOf": [{"required": ["secret"]}, {"required": ["configMap"]}],
}
# Variables of the services themselves would stand over the configuration, unseen by what the chart checks.
VARIABLE: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"pattern": "^AMBER_"}}},
}
IMAGE = table(registry=TEXT, tag=TEXT, pullPolicy=one_of("Always", "IfNotPresent", "Never"), pullSecrets=OBJECTS)
POSTGRESQL: Schema = {"type": "string", "pattern": "^(postgresql://.+)?$"}
DATABASE = table(
    url=POSTGRESQL,
    urlSecret=REFERENCE,
    passwordSecret=REFERENCE,
    caConfigMap=REFERENCE,
    sqlite=table(enabled=FLAG, size=TEXT, storageClass=NAME, existingClaim=NAME),
)
TLS = table(
    secret=NAME,
    certManager=table(
        enabled=FLAG,
        issuer=table(name=NAME, kind=one_of("Issuer", "ClusterIssuer")),
        dnsNames={"type": "array", "items": {"type": "string", "minLength": 1}},
        duration=DURATION,
        renewBefore=DURATION,
    ),
)
SERVICE = table(
    type=one_of("ClusterIP", "LoadBalancer", "NodePort"),
    port=number(1, 65535),
    annotations=TEXTS,
    loadBalancerSourceRanges={"type": "array", "items": TEXT},
    externalTrafficPolicy=one_of("", "Cluster", "Local"),
)
METRICS = table(
    enabled=FLAG,
    port=PORT,
    serviceMonitor=table(enabled=FLAG, interval=DURATION, labels=TEXTS, tlsConfig=OBJECT),
)
NETWORK = table(
    enabled=FLAG,
    metricsFrom=OBJECTS,
    dnsTo=OBJECTS,
    databaseTo=OBJECTS,
    databasePort=number(1, 65535),
    egress=OBJECTS,
    **{"from": OBJECTS},
)
COMMON: dict[str, Schema] = {
    "digest": DIGEST,
    "replicas": number(1, 100),
    "workers": number(1, 64),
    "listenHost": one_of("0.0.0.0", "::"),
    "updateStrategy": one_of("RollingUpdate", "Recreate"),
    "startupSeconds": number(10, 86400),
    "resources": OBJECT,
    "autoscaling": table(
        enabled=FLAG, minReplicas=number(1, 100), maxReplicas=number(1, 100), targetCpuPercent=number(1, 100)
    ),
    "disruptionBudget": table(enabled=FLAG, maxUnavailable=number(1, 100)),
    "database": DATABASE,
    "keyEncryptionKey": table(secret=REFERENCE, place={"type": "string", "pattern": "^((pkcs11|shares):.+)?$"}),
    "tls": TLS,
    "service": SERVICE,
    "metrics": METRICS,
    "networkPolicy": NETWORK,
    "files": {"type": "array", "items": FILE},
    "env": {"type": "array", "items": VARIABLE},
    "podAnnotations": TEXTS,
    "podLabels": TEXTS,
    "nodeSelector": TEXTS,
    "tolerations": OBJECTS,
    "affinity": OBJECT,
    "spreadOver": {"type": "array", "items": TEXT},
    "priorityClassName": NAME,
}


def schema() -> Schema:
    """The whole schema."""
    defaults, own = _configurations()
    url: Schema = {"type": "string", "pattern": "^(https://.+)?$"}
    admin = table(port=PORT, exposed=FLAG, **{"from": OBJECTS})
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart ambergate. Made by scripts/chart_schema.py",
        **table(
            image=IMAGE,
            defaults=table(**COMMON),
            attestation=table(enabled=FLAG, baseUrl=url, port=PORT, config=own["attestation"], **COMMON),
            keybroker=table(
                enabled=FLAG,
                admin=admin,
                versionKeys=table(url=POSTGRESQL, passwordSecret=REFERENCE),
                port=PORT,
                config=own["keybroker"],
                **COMMON,
            ),
            **{"global": OBJECT},  # Helm's own, when this is a part of another chart
        ),
        "$defs": defaults,
    }


def _configurations() -> tuple[Schema, dict[str, Schema]]:
    """The types that the configurations refer to, and what may stand in each."""
    types = (attestation.Tables, keybroker.Tables)
    made, known = msgspec.json.schema_components(types, schema_hook=_foreign, ref_template="#/$defs/{name}")
    own = {}
    for service, reference in zip(("attestation", "keybroker"), made, strict=True):
        whole = known.pop(reference["$ref"].rpartition("/")[2])
        members = {name: _bare(each) for name, each in whole["properties"].items() if name not in THE_CHARTS}
        own[service] = table(**members)
    return _used(known, own), own


def _used(known: Schema, own: Schema) -> Schema:
    """What is referred to, also by what is referred to."""
    found: Schema = {}
    waiting = [own]
    while waiting:
        text = json.dumps(waiting.pop())
        for name in known:
            if name not in found and f'"#/$defs/{name}"' in text:
                found[name] = known[name]
                waiting.append(known[name])
    return {name: _bare(found[name]) for name in sorted(found)}


def _bare(schema: Schema) -> Schema:
    """Without titles and defaults: what is not given is the service's business."""
    members = {name: _bare(each) if isinstance(each, dict) else each for name, each in schema.items()}
    is_schema = members.keys() & {"type", "anyOf", "allOf", "enum", "$ref"}
    return {name: each for name, each in members.items() if not (is_schema and name in {"title", "default"})}


def _foreign(kind: type) -> Schema:
    if kind is SecretText:
        return {"type": "object"}
    raise NotImplementedError(kind)


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(
            0
            if SCHEMA.read_text() == text()
            else "the chart's schema is not what the types say: scripts/chart_schema.py"
        )
    SCHEMA.write_text(text())
