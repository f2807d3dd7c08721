"""The Helm chart, rendered by the real helm: valid, like the manifests, and configured as its values say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitor import __version__
from monitor.config.shapes import group_of
from monitor.daemon.pipeline.wiring import build_rules
from monitor.model.bans import Mode
from monitor.settings.detectors import Detectors
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.manifests import KUBERNETES, ROOT, documents, one

CHART = ROOT / "deploy/helm/nodewarden"
_HELM = Path(sys.prefix, "bin/helm")
_ROLES = ("worker", "control-plane")
_FOREIGN = ("ServiceMonitor", "SecurityContextConstraints")
"""Kinds of others, of which there is no schema here."""
_CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "k3s": {"platform": "k3s"},
    "managed": {"platform": "managed", "allowlist": ["10.0.0.0/8"]},
    "kernel log": {"kernelLog": {"enabled": True}},
    "monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "x"}, "cluster": "blue"}},
    "openshift": {"openshift": {"enabled": True}, "kernelLog": {"enabled": True}},
    "notifications": {"notify": {"enabled": True, "secretName": "hooks"}},
    "everything": {
        "image": {"repository": "registry.example/nodewarden", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "secret"}],
        "observe": False,
        "allowlist": ["192.0.2.0/24", "2001:db8::/32"],
        "detectors": {"port_scan": {"maxretry": 30}, "failures": {"own": {"filter": "sshd"}}},
        "config": {"bans": {"max_bans": 65536}},
        "podLogs": {"ingress": {"filter": "nginx-scan", "files": ["/var/log/pods/ingress_*/c/*.log"]}},
        "serviceMonitor": {"enabled": True},
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"pool": "a"},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "x"},
        "seLinuxOptions": {"type": "spc_t"},
    },
}


def rendered(
    directory: Path, values: dict[str, Any], *, release: str = "nodewarden", namespace: str = "guard"
) -> list[dict[str, Any]]:
    """Return what helm makes of the chart with these values."""
    (directory / "values.yaml").write_text(yaml.safe_dump(values))
    command: list[str | Path] = [_HELM, "template", release, CHART, "--namespace", namespace]
    done = subprocess.run([*command, "-f", directory / "values.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def pod_of(objects: list[dict[str, Any]], role: str, release: str = "nodewarden") -> dict[str, Any]:
    """Return the pod of a role."""
    pod: dict[str, Any] = one(objects, "DaemonSet", f"{release}-{role}")["spec"]["template"]["spec"]
    return pod


def configured(objects: list[dict[str, Any]], role: str, directory: Path) -> Settings:
    """Return what a daemon of this role makes of its mounted configuration, over the one of the image."""
    (mounted,) = [volume["projected"] for volume in pod_of(objects, role)["volumes"] if volume["name"] == "config"]
    (directory / "conf.d").mkdir(parents=True)
    (directory / "nodewarden.yaml").write_text((ROOT / "systemd/nodewarden.yaml").read_text())
    for source in mounted["sources"]:
        if not source["configMap"].get("optional"):
            for file, text in one(objects, "ConfigMap", source["configMap"]["name"])["data"].items():
                (directory / "conf.d" / file).write_text(text)
    return load(directory / "nodewarden.yaml").settings


@pytest.mark.parametrize("case", _CASES)
def test_what_comes_out_is_valid(case: str, tmp_path: Path) -> None:
    """Every object is what Kubernetes expects; what refers to another finds it; the configuration loads."""
    objects = rendered(tmp_path, _CASES[case])
    for what in objects:
        if what["kind"] not in _FOREIGN:
            kubernetes_validate.validate(what, kubernetes_validate.latest_version(), strict=True)
    for role in _ROLES:
        pod = pod_of(objects, role)
        one(objects, "ServiceAccount", pod["serviceAccountName"])
        mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert sorted(mounts) == sorted(volume["name"] for volume in pod["volumes"])
        daemon_set = one(objects, "DaemonSet", f"nodewarden-{role}")["spec"]
        assert daemon_set["selector"]["matchLabels"].items() <= daemon_set["template"]["metadata"]["labels"].items()
        configured(objects, role, tmp_path / role)


def test_the_schema_of_values_knows_every_detector_and_section() -> None:
    """One that the configuration gets is one that the chart takes."""
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(known["detectors"]["properties"]) == set(group_of(Detectors).fields)
    assert set(known["config"]["propertyNames"]["enum"]) == set(group_of(Settings).fields)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"detectors": {"port_scann": {"maxretry": 30}}}, "port_scann"),
        ({"detectors": {"sshd": {"mode": "enforce"}}}, "sshd"),
        ({"detectors": {"port_scan": {"mode": "observed"}}}, "mode"),
        ({"detectors": {"failures": {"sshd": "enforce"}}}, "sshd"),
        ({"config": {"ban": {"max_bans": 65536}}}, "config"),
    ],
)
def test_what_the_configuration_does_not_know_is_refused(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    """By helm, before a pod fails on it; the message names the place."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    command: list[str | Path] = [_HELM, "template", "nodewarden", CHART, "-f", tmp_path / "values.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert named in done.stderr


@pytest.mark.parametrize("role", _ROLES)
def test_the_pod_is_that_of_the_manifests(role: str, tmp_path: Path) -> None:
    """Without values both ways of installing run the same: one of them cannot fall behind."""
    pod = pod_of(rendered(tmp_path, {}), role)
    (base,) = documents((KUBERNETES / "base/daemonset.yaml").read_text())
    wanted = base["spec"]["template"]["spec"]
    (affinity,) = documents((KUBERNETES / role / "affinity.yaml").read_text())
    wanted["affinity"] = affinity["spec"]["template"]["spec"]["affinity"]
    wanted["priorityClassName"] = "guard-nodewarden"
    wanted["containers"][0]["image"] = f"nodewarden:{__version__}"
    names = ["nodewarden-config", f"nodewarden-role-{role}", "nodewarden-local"]
    for source, name in zip(wanted["volumes"][0]["projected"]["sources"], names, strict=True):
        source["configMap"]["name"] = name
    assert pod == wanted


def test_it_observes_until_it_is_allowed_to_enforce(tmp_path: Path) -> None:
    """By default every detector of the configuration observes."""
    settings = configured(rendered(tmp_path, {}), "worker", tmp_path / "etc")
    rules = build_rules(settings, settings.detectors.failures)
    assert {policy.mode for policy in rules.detectors.values()} == {Mode.OBSERVE}


def test_values_become_configuration(tmp_path: Path) -> None:
    """Networks, detectors, logs of pods, any other section, and the address for Prometheus."""
    settings = configured(rendered(tmp_path, _CASES["everything"]), "worker", tmp_path / "etc")
    assert [str(one) for one in settings.bans.allowlist] == ["192.0.2.0/24", "2001:db8::/32"]
    assert settings.bans.max_bans == 65536
    assert (settings.detectors.port_scan.mode, settings.detectors.port_scan.maxretry) == (Mode.ENFORCE, 30)
    assert {"ingress", "own"} <= set(settings.detectors.failures)
    assert str(settings.metrics.listen) == "0.0.0.0:9843"
    assert "nodewarden-metrics" in settings.detectors.protected_port.services


@pytest.mark.parametrize(
    ("namespace", "given", "wanted", "is_made"),
    [
        ("guard", "", "guard-nodewarden", True),
        ("kube-system", "", "system-node-critical", False),
        ("guard", "mine", "mine", False),
    ],
)
def test_priority(tmp_path: Path, namespace: str, given: str, wanted: str, *, is_made: bool) -> None:
    """System classes are used in kube-system only: some providers refuse them elsewhere."""
    objects = rendered(tmp_path, {"priorityClassName": given}, namespace=namespace)
    assert {pod_of(objects, role)["priorityClassName"] for role in _ROLES} == {wanted}
    assert [what["metadata"]["name"] for what in objects if what["kind"] == "PriorityClass"] == [wanted] * is_made


def test_openshift_admits_the_pod_and_no_more(tmp_path: Path) -> None:
    """The constraints name what the pod has: capabilities, kinds of volumes, the account."""
    objects = rendered(tmp_path, {"openshift": {"enabled": True}})
    (constraints,) = [what for what in objects if what["kind"] == "SecurityContextConstraints"]
    for role in _ROLES:
        pod = pod_of(objects, role)
        assert pod["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
        kinds = {next(key for key in volume if key != "name") for volume in pod["volumes"]}
        assert kinds <= set(constraints["volumes"])
        added = pod["containers"][0]["securityContext"]["capabilities"]["add"]
        assert sorted(added) == sorted(constraints["allowedCapabilities"])
    assert constraints["users"] == ["system:serviceaccount:guard:nodewarden"]
    assert not constraints["allowPrivilegedContainer"]


@pytest.mark.parametrize(
    "values",
    [
        {"platform": "eks"},
        {"allowList": []},
        {"image": {"repository": ""}},
        {"metrics": {"listen": "9843"}},
        {"podLogs": {"x": {}}},
        {"openshift": True},
    ],
    ids=json.dumps,
)
def test_wrong_values_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    """A misspelt or missing value stops the installation, and helm names it."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    command: list[str | Path] = [_HELM, "template", "x", CHART, "-f", tmp_path / "values.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert next(iter(values)) in done.stderr


def test_the_chart_is_of_this_version_and_sound() -> None:
    """`helm lint` finds nothing to warn of."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    done = subprocess.run([_HELM, "lint", "--strict", CHART], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_notifier_is_a_container_without_rights(tmp_path: Path) -> None:
    """It has no capability, no logs and no keys of the node, but the socket, its state and the channels' secrets."""
    found = rendered(tmp_path, {"notify": {"enabled": True, "secretName": "hooks"}})
    for role in _ROLES:
        guard, notifier = pod_of(found, role)["containers"]
        assert notifier["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not notifier["securityContext"]["allowPrivilegeEscalation"]
        mounts = {mount["name"]: mount["mountPath"] for mount in notifier["volumeMounts"]}
        assert sorted(mounts) == ["config", "notify-secrets", "run", "state", "tmp"]
        assert mounts["state"] == "/var/lib/nodewarden/notify"
        assert not any(mount["name"] == "notify-secrets" for mount in guard["volumeMounts"])
