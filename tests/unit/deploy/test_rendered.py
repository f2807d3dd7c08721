"""What `kubectl apply --kustomize` would create, and how the daemon in it would be configured."""

import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from monitor import __version__
from monitor.daemon.pipeline.wiring import build_rules
from monitor.model.bans import Mode
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.manifests import ROOT, built, one, render

_ROLES = ("worker", "control-plane")


def settings(rendered: list[dict[str, Any]], role: str, directory: Path) -> Settings:
    """Return what a daemon of this role makes of its mounted configuration, over the one of the image."""
    pod = one(rendered, "DaemonSet", f"nodewarden-{role}")["spec"]["template"]["spec"]
    (mounted,) = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "config"]
    (directory / "conf.d").mkdir(parents=True)
    (directory / "nodewarden.yaml").write_text((ROOT / "systemd/nodewarden.yaml").read_text())
    for source in mounted["sources"]:
        name = source["configMap"]["name"]
        if any((what["kind"], what["metadata"]["name"]) == ("ConfigMap", name) for what in rendered):
            for file, text in one(rendered, "ConfigMap", name)["data"].items():
                (directory / "conf.d" / file).write_text(text)
        else:
            assert source["configMap"].get("optional")
    return load(directory / "nodewarden.yaml").settings


@pytest.mark.parametrize(
    "components",
    [
        (),
        ("k3s",),
        ("managed",),
        ("kernel-log",),
        ("monitoring",),
        ("k3s", "kernel-log", "monitoring"),
        ("audit",),
        ("audit", "k3s", "kernel-log"),
        ("kernel-log", "k3s", "audit"),
    ],
    ids="+".join,
)
def test_it_is_valid_with_all_components(components: tuple[str, ...], tmp_path: Path) -> None:
    """Every object that comes out is what Kubernetes expects, and what refers to another object finds it."""
    rendered = render(tmp_path, *components)
    for what in rendered:
        if what["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(what, kubernetes_validate.latest_version(), strict=True)
        assert what["kind"] in ("Namespace", "PriorityClass") or what["metadata"]["namespace"] == "nodewarden"
    for role in _ROLES:
        daemon_set = one(rendered, "DaemonSet", f"nodewarden-{role}")["spec"]
        pod = daemon_set["template"]["spec"]
        one(rendered, "ServiceAccount", pod["serviceAccountName"])
        one(rendered, "PriorityClass", pod["priorityClassName"])
        mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted(volume["name"] for volume in pod["volumes"])
        assert daemon_set["selector"]["matchLabels"].items() <= daemon_set["template"]["metadata"]["labels"].items()
        assert ("privileged" in pod["containers"][0]["securityContext"]) == ("kernel-log" in components)


def test_each_node_gets_one(tmp_path: Path) -> None:
    """Workers and control-plane nodes are told apart by the label that kubeadm gives, and their pods by selector."""
    rendered = render(tmp_path)
    operators = {}
    for role in _ROLES:
        daemon_set = one(rendered, "DaemonSet", f"nodewarden-{role}")["spec"]
        affinity = daemon_set["template"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        (expression,) = term["matchExpressions"]
        assert expression["key"] == "node-role.kubernetes.io/control-plane"
        operators[role] = expression["operator"]
        assert daemon_set["selector"]["matchLabels"]["app.kubernetes.io/component"] == role
    assert operators == {"worker": "DoesNotExist", "control-plane": "Exists"}


@pytest.mark.parametrize("role", _ROLES)
def test_the_configuration_is_sound_and_bans_nobody_at_first(role: str, tmp_path: Path) -> None:
    """What is mounted loads without a fault, and every detector observes."""
    configured = settings(render(tmp_path), role, tmp_path / "etc")
    rules = build_rules(configured, configured.detectors.failures)
    assert {policy.mode for policy in rules.detectors.values()} == {Mode.OBSERVE}
    assert not configured.sources.kernel_log.enabled


def test_a_control_plane_protects_its_ports(tmp_path: Path) -> None:
    """etcd, API server and kubelet are for inside on control-plane nodes; on workers kubelet and kube-proxy are."""
    rendered = render(tmp_path)
    control_plane, worker = (
        settings(rendered, role, tmp_path / role).detectors.protected_port.services for role in reversed(_ROLES)
    )
    assert [str(ports) for ports in control_plane["etcd"].ports] == ["2379-2380"]
    assert control_plane["etcd"].networks == ()
    assert [str(ports) for name in ("kube-apiserver", "kubelet") for ports in control_plane[name].ports] == [
        "6443",
        "10250",
    ]
    assert [str(ports) for ports in worker["kubelet"].ports] == ["10250"]
    assert "kube-proxy" in worker


def test_an_overlay_of_ones_own_works_as_documented(tmp_path: Path) -> None:
    """What docs/kubernetes.md shows: another image, monitoring, settings of one's own, which win; then enforcing."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/kubernetes.md").read_text(), re.MULTILINE | re.DOTALL)
    overlay, own, enforcing = blocks[:3]
    there = os.path.relpath(ROOT, tmp_path.resolve())
    local = re.sub(r"https://YOUR-GIT/nodewarden//(\S+?)\?ref=TAG", rf"{there}/\1", overlay)
    (tmp_path / "50-local.yaml").write_text(own)
    rendered = built(tmp_path, local.replace("REGISTRY", "registry.example"))
    for role in _ROLES:
        configured = settings(rendered, role, tmp_path / role)
        assert [str(network) for network in configured.bans.allowlist] == [
            "10.0.0.0/16",
            "10.244.0.0/16",
            "10.96.0.0/12",
        ]
        assert str(configured.metrics.listen) == "0.0.0.0:9843"
        pod = one(rendered, "DaemonSet", f"nodewarden-{role}")["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == f"registry.example/nodewarden:{__version__}"
    (tmp_path / "50-local.yaml").write_text(own + enforcing)
    detectors = settings(built(tmp_path, local), "worker", tmp_path / "enforcing").detectors
    assert {detectors.port_scan.mode, detectors.half_open.mode, detectors.failures["sshd"].mode} == {Mode.ENFORCE}


@pytest.mark.parametrize(
    "components", [("audit",), ("audit", "k3s", "kernel-log"), ("kernel-log", "audit")], ids="+".join
)
def test_only_the_audit_gets_what_the_audit_needs(components: tuple[str, ...], tmp_path: Path) -> None:
    """It is privileged, sees the node's processes and writes the report, which the guard may only read."""
    rendered = render(tmp_path, *components)
    pod = one(rendered, "DaemonSet", "nodewarden-audit")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    kubernetes_validate.validate(
        one(rendered, "DaemonSet", "nodewarden-audit"), kubernetes_validate.latest_version(), strict=True
    )
    assert (pod["hostPID"], pod["hostNetwork"], container["securityContext"]["privileged"]) == (True, True, True)
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    (written,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/var/lib/nodewarden-audit"]
    assert paths[written["name"]] == "/var/lib/nodewarden-audit"
    for role in _ROLES:
        guard = one(rendered, "DaemonSet", f"nodewarden-{role}")["spec"]["template"]["spec"]
        mounts = {mount["mountPath"]: mount for mount in guard["containers"][0]["volumeMounts"]}
        assert mounts["/var/lib/nodewarden-audit"]["readOnly"]
        assert "hostPID" not in guard
        assert str(settings(rendered, role, tmp_path / role).audit.suppressions).startswith("/etc/nodewarden-audit/")


def test_components_configure_what_they_are_for(tmp_path: Path) -> None:
    """Monitoring opens the endpoint and tells of strangers there; kernel-log reads the kernel log."""
    configured = settings(render(tmp_path, "monitoring", "kernel-log"), "worker", tmp_path / "etc")
    assert str(configured.metrics.listen) == "0.0.0.0:9843"
    assert "nodewarden-metrics" in configured.detectors.protected_port.services
    assert configured.sources.kernel_log.enabled
