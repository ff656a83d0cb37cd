"""The Helm chart: what it renders is held to Kubernetes' schemas and to its promises; what could not run is refused."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import shlex
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner
from tests.unit.deploy.chart import CHART, SERVICES, SQLITE, Refused, laid, render
from tests.unit.deploy.conftest import PROJECT
from tests.unit.deploy.pages import blocks

from ambergate.cli.main import main

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
FOREIGN = {"Certificate", "ServiceMonitor"}  # of cert-manager and Prometheus' operator: no schema of theirs is at hand
EVERYTHING: dict[str, Any] = {
    "image": {"registry": "registry.example/team", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "defaults": {
        "workers": 3,
        "autoscaling": {"enabled": True},
        "database": {"caConfigMap": {"name": "db-ca"}},
        "tls": {
            "secret": "",
            "certManager": {"enabled": True, "issuer": {"name": "ours"}, "dnsNames": ["attest.example"]},
        },
        "service": {
            "type": "LoadBalancer",
            "annotations": {"a": "b"},
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "externalTrafficPolicy": "Local",
        },
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"team": "a"}, "tlsConfig": {"serverName": "x"}}},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
        },
        "files": [{"name": "roots", "configMap": "roots"}, {"name": "pin", "secret": "pin"}],
        "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "https://otel.example"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "nodeSelector": {"e": "f"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
    "keybroker": {"admin": {"exposed": True, "from": [{"podSelector": {"matchLabels": {"role": "admin"}}}]}},
}
INSTALLATIONS = {
    "least": {},
    "everything": EVERYTHING,
    "sqlite": {"attestation": SQLITE, "keybroker": laid(SQLITE, {"database": {"urlSecret": {"name": ""}}})},
    "attestation alone": {"keybroker": {"enabled": False}},
    "key broker alone": {"attestation": {"enabled": False}},
}


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_every_object_is_one_of_kubernetes(name: str) -> None:
    rendered = render(INSTALLATIONS[name])
    assert [one for one in rendered.findings if one["severity"] > 1] == []
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered.objects]
    assert len(set(names)) == len(names)
    for one in rendered.objects:
        assert one["metadata"]["namespace"] == "apart"
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, OLDEST if name == "everything" else NEWEST, strict=True)


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_has_no_right_that_it_does_not_need(service: str) -> None:
    rendered = render()
    pod = rendered.pod(service)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not rendered.get("ServiceAccount", f"amber-{service}")["automountServiceAccountToken"]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for volume in pod["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440
    writable = {
        mount["mountPath"] for mount in rendered.container(service)["volumeMounts"] if not mount.get("readOnly")
    }
    assert writable == {"/tmp", "/var/lib/ambergate"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_in_the_config_map(service: str) -> None:
    config = render().config(service)
    assert config["store"]["password"] == {"file": "/run/ambergate/database/password"}
    assert config["store"]["key_encryption_key"] == "/run/ambergate/kek/kek"


def test_metrics_and_management_are_in_no_public_service() -> None:
    rendered = render(EVERYTHING)
    for service in SERVICES:
        ports = rendered.get("Service", f"amber-{service}")["spec"]["ports"]
        assert [port["targetPort"] for port in ports] == ["https"]
        metrics = rendered.get("Service", f"amber-{service}-metrics")["spec"]["ports"]
        assert [port["targetPort"] for port in metrics] == ["metrics", "metrics-1", "metrics-2"]
    assert [port["targetPort"] for port in rendered.get("Service", "amber-keybroker-admin")["spec"]["ports"]] == [
        "admin"
    ]
    assert rendered.config("keybroker")["admin"] == {"host": "0.0.0.0", "port": 9444}


def test_a_broker_is_managed_from_inside_its_pod_unless_told() -> None:
    rendered = render()
    assert rendered.config("keybroker")["admin"] == {"host": "127.0.0.1", "port": 9444}
    assert "amber-keybroker-admin" not in rendered.names("Service")


def test_nobody_comes_in_and_nothing_goes_out_but_who_is_named() -> None:
    closed: dict[str, Any] = {"defaults": {"networkPolicy": {"from": [], "databaseTo": [], "dnsTo": []}}}
    spec = render(closed).get("NetworkPolicy", "amber-attestation")["spec"]
    assert (spec["ingress"], spec["egress"]) == ([], []), "a rule with an empty list of peers lets everybody in"
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "Nobody may connect yet" in render(closed).notes
    opened = render(EVERYTHING).get("NetworkPolicy", "amber-keybroker")["spec"]
    assert opened["ingress"] == [
        {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": "https"}]},
        {
            "from": [{"podSelector": {"matchLabels": {"role": "admin"}}}],
            "ports": [{"protocol": "TCP", "port": "admin"}],
        },
        {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 9464, "endPort": 9466}]},
    ]
    assert [[port["port"] for port in rule["ports"]] for rule in opened["egress"]] == [[53, 53], [5432], [443]]
    assert all(rule["to"] for rule in opened["egress"])


def test_management_is_open_to_nobody_who_is_not_named() -> None:
    spec = render({"keybroker": {"admin": {"exposed": True}}}).get("NetworkPolicy", "amber-keybroker")["spec"]
    assert [rule["ports"][0]["port"] for rule in spec["ingress"]] == ["https"]


def test_pods_are_spread_and_drained_one_by_one() -> None:
    rendered = render()
    deployment = rendered.get("Deployment", "amber-attestation")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert rendered.get("PodDisruptionBudget", "amber-attestation")["spec"]["maxUnavailable"] == 1
    assert len(rendered.pod("attestation")["topologySpreadConstraints"]) == 2
    alone = render({"defaults": {"replicas": 1}})
    assert alone.names("PodDisruptionBudget") == [], "it would keep a node from ever being emptied"


def test_who_scales_by_itself_has_no_fixed_number() -> None:
    rendered = render(EVERYTHING)
    assert "replicas" not in rendered.get("Deployment", "amber-attestation")["spec"]
    assert rendered.get("HorizontalPodAutoscaler", "amber-attestation")["spec"]["maxReplicas"] == 6


def test_a_database_file_has_one_pod_and_stays() -> None:
    rendered = render(INSTALLATIONS["sqlite"])
    assert rendered.get("Deployment", "amber-attestation")["spec"]["strategy"] == {"type": "Recreate"}
    claim = rendered.get("PersistentVolumeClaim", "amber-attestation")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [state] = [volume for volume in rendered.pod("attestation")["volumes"] if volume["name"] == "state"]
    assert state["persistentVolumeClaim"] == {"claimName": "amber-attestation"}
    assert rendered.config("attestation")["store"]["database"] == "/var/lib/ambergate/attestation.sqlite"


def test_a_changed_configuration_starts_new_pods() -> None:
    def sums(over: dict[str, Any]) -> list[str]:
        rendered = render(over)
        pods = [rendered.get("Deployment", f"amber-{one}")["spec"]["template"]["metadata"] for one in SERVICES]
        return [pod["annotations"]["checksum/config"] for pod in pods]

    before = sums({})
    after = sums({"attestation": {"config": {"tokens": {"lifetime_seconds": 60}}}})
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)


def test_what_is_said_arrives_as_it_is() -> None:
    said = {
        "policies": {
            "signers": [
                "".join(map(chr, (*range(1, 0x80), 0x85, *range(0xA0, 0x2100)))),
                "a\"b'c\\d",
                "#",
                "[x]",
                "{{ .Values }}",
                "\U0001f511",
            ]
        },
        "limits": {"requests_per_second": 0.25, "burst": 1000000, "trusted_proxies": []},
        "policy": {"dangerously_allow_debug": False, "isv_prod_id": [0, 65535]},
        "anchors": [
            {"intel": True, "collateral": ["held", "https://a"]},
            {"pem": "x.pem", "simulated": True, "collateral": "b"},
        ],
    }
    config = render({"attestation": {"config": said}}).config("attestation")
    assert {name: config[name] for name in said} == said
    assert isinstance(config["limits"]["burst"], int)


def test_what_one_service_says_stands_over_the_defaults() -> None:
    over = {"defaults": {"replicas": 4}, "keybroker": {"replicas": 1, "networkPolicy": {"enabled": False}}}
    rendered = render(over)
    assert rendered.get("Deployment", "amber-attestation")["spec"]["replicas"] == 4
    assert rendered.get("Deployment", "amber-keybroker")["spec"]["replicas"] == 1
    assert rendered.names("NetworkPolicy") == ["amber-attestation"], "false is said, not left out"


def test_the_program_is_where_the_images_have_it() -> None:
    recipe = PROJECT / "deploy" / "container" / "Containerfile"
    if not recipe.exists():
        pytest.skip("deploy/container is not there")
    entrypoints = [
        json.loads(found) for found in re.findall(r"^ENTRYPOINT (\[.*\])$", recipe.read_text(), re.MULTILINE)
    ]
    for service in SERVICES:
        assert render().container(service)["command"] in entrypoints


def test_images_are_named_by_digest_where_there_is_one() -> None:
    digest = "sha256:" + "ab" * 32
    rendered = render({**EVERYTHING, "attestation": {"digest": digest}})
    assert rendered.container("attestation")["image"] == f"registry.example/team/ambergate-attestation@{digest}"
    assert rendered.container("keybroker")["image"] == "registry.example/team/ambergate-keybroker:1.2.3"
    assert render().container("keybroker")["image"] == "ambergate-keybroker:0.1.0"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "SQLite and two pods": ({"attestation": {**SQLITE, "replicas": 2}}, "SQLite is for one pod"),
    "SQLite that scales": ({"attestation": {**SQLITE, "autoscaling": {"enabled": True}}}, "SQLite is for one pod"),
    "SQLite and a password": (
        {"attestation": {**SQLITE, "database": {"sqlite": {"enabled": True}, "url": ""}}},
        "database.passwordSecret is for PostgreSQL",
    ),
    "no database": ({"attestation": {"database": {"url": ""}}}, "there is none"),
    "two databases": (
        {"attestation": {"database": {"urlSecret": {"name": "x"}}}},
        "there is database.url and database.urlSecret",
    ),
    "a password in a URL": (
        {"attestation": {"database": {"url": "postgresql://amber:hunter2@db/x"}}},
        "database.url holds a password",
    ),
    "a password in the other URL": (
        {"keybroker": {"versionKeys": {"url": "postgresql://amber:hunter2@db/x"}}},
        "versionKeys.url holds a password",
    ),
    "a password for no database": (
        {"keybroker": {"versionKeys": {"passwordSecret": {"name": "keys"}}}},
        "versionKeys.passwordSecret is for versionKeys.url",
    ),
    "no key-encryption key": (
        {"defaults": {"keyEncryptionKey": {"secret": {"name": ""}}}},
        "the key-encryption key is in one place",
    ),
    "two key-encryption keys": (
        {"defaults": {"keyEncryptionKey": {"place": "pkcs11:token=x"}}},
        "the key-encryption key is in one place",
    ),
    "a key in the environment": ({"defaults": {"keyEncryptionKey": {"place": "env:KEK"}}}, "place"),
    "no certificate": ({"defaults": {"tls": {"secret": ""}}}, "certificate and key come from one place"),
    "a certificate for nobody": (
        {"defaults": {"tls": {"secret": "", "certManager": {"enabled": True}}}},
        "cert-manager needs",
    ),
    "no issuer of tokens": ({"attestation": {"baseUrl": ""}}, "give attestation.baseUrl"),
    "no trusted issuer": ({"keybroker": {"config": {"issuers": []}}}, "give keybroker.config.issuers"),
    "nothing enabled": ({"attestation": {"enabled": False}, "keybroker": {"enabled": False}}, "nothing is enabled"),
    "more at least than at most": (
        {"defaults": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "autoscaling.minReplicas is more",
    ),
    "an unknown value": ({"attestation": {"replica": 3}}, "replica"),
    "an unknown setting": ({"attestation": {"config": {"tokens": {"lifetime": 60}}}}, "lifetime"),
    "a setting that is the chart's": ({"attestation": {"config": {"listen": {"port": 1}}}}, "listen"),
    "a setting out of bounds": ({"attestation": {"config": {"tokens": {"nonce_seconds": 0}}}}, "nonce_seconds"),
    "a setting by the environment": ({"defaults": {"env": [{"name": "AMBER_ATTESTATION__X", "value": "1"}]}}, "env"),
    "a port that takes a capability": ({"attestation": {"port": 443}}, "port"),
    "a file from two places": ({"defaults": {"files": [{"name": "x", "secret": "a", "configMap": "b"}]}}, "files"),
    "a peer that is everybody": ({"defaults": {"networkPolicy": {"egress": [{}]}}}, "egress"),
    "a base URL without TLS": ({"attestation": {"baseUrl": "http://attest.example"}}, "baseUrl"),
}


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED)
def test_what_could_not_run_is_refused_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=re.escape(words)) as caught:
        render(values)
    assert "hunter2" not in str(caught.value)


def test_values_that_are_not_given_are_asked_for() -> None:
    with pytest.raises(Refused, match="attestation: its state is in one place"):
        render(bare=True)


def test_version_keys_can_be_apart() -> None:
    url = "postgresql://amber@keys.example/keys?sslcert=/run/ambergate/files/keys/tls.crt"
    assert render({"keybroker": {"versionKeys": {"url": url}}}).config("keybroker")["store"]["version_keys"] == url
    assert "version_keys" not in render().config("keybroker")["store"]


def test_the_password_of_version_keys_is_a_file_of_a_secret() -> None:
    given = {"url": "postgresql://amber@keys.example/keys", "passwordSecret": {"name": "keys", "key": "word"}}
    rendered = render({"keybroker": {"versionKeys": given}})
    place = rendered.config("keybroker")["store"]["version_keys_password"]["file"]
    [mounted] = [one for one in rendered.container("keybroker")["volumeMounts"] if one["name"] == "version-keys"]
    assert place == f"{mounted['mountPath']}/word"
    [volume] = [one for one in rendered.pod("keybroker")["volumes"] if one["name"] == "version-keys"]
    assert volume["secret"] == {"secretName": "keys", "defaultMode": 0o440, "items": [{"key": "word", "path": "word"}]}
    assert all(one["name"] != "version-keys" for one in rendered.pod("attestation")["volumes"])


def test_the_commands_that_it_tells_are_ours() -> None:
    commands = re.findall(r" -- /opt/ambergate/bin/amber (.*)$", render().notes, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)
        names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        told = CliRunner().invoke(main, [*names, "--help"])
        assert told.exit_code == 0, told.output
        assert all(word in told.output for word in words if word.startswith("--")), command


def test_the_schema_is_what_the_types_say() -> None:
    script = PROJECT / "scripts" / "chart_schema.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def leaves(table: dict[str, Any], under: str = "") -> list[str]:
    found = []
    for name, value in table.items():
        path = f"{under}{name}"
        deeper = isinstance(value, dict) and value and name not in {"resources", "config"}
        found += leaves(value, f"{path}.") if deeper else [path]
    return found


def test_every_value_is_in_the_schema_and_on_the_page() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    page = (CHART / "README.md").read_text()
    missing = [path for path in leaves(values) if f"`{path.removeprefix('defaults.')}`" not in page]
    assert missing == []
    schema = json.loads((CHART / "values.schema.json").read_text())
    promised = set(schema["properties"]["defaults"]["properties"])
    assert promised == set(values["defaults"]), "what a service may say, has a default"


def test_the_pages_values_are_taken() -> None:
    [example] = blocks(CHART / "README.md", "yaml")
    rendered = render(yaml.safe_load(example), bare=True)
    assert rendered.names("Deployment") == ["amber-attestation"]
    assert rendered.config("attestation")["policy"]["mr_signer"]


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert (chart["version"], chart["appVersion"]) == (version[1], version[1])


def test_yaml_is_read_the_same_by_everybody() -> None:
    if importlib.util.find_spec("yamllint") is None:
        pytest.skip("yamllint is not installed")
    rules = (
        "{extends: default, rules: {document-start: disable, line-length: {max: 160}, braces: {max-spaces-inside: 1}}}"
    )
    files = [CHART / "values.yaml", CHART / "Chart.yaml"]
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
