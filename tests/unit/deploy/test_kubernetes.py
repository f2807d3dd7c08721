"""The Kubernetes manifests: valid, complete, and no more privileged than the systemd unit."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitor import __version__
from monitor.cli.main import cli
from monitor.metrics.pages import Page
from monitor.node.kubernetes import watched_for_kubernetes
from monitor.node.pods import NETNS_DIRECTORY, RESULT_DIRECTORIES
from tests.support.manifests import KUBERNETES, ROOT, documents, kustomizations, referenced

_KUBERNETES_VERSIONS = ("1.27", "1.30", kubernetes_validate.latest_version())
_DAEMON_SET = documents((KUBERNETES / "base/daemonset.yaml").read_text())[0]
_POD = _DAEMON_SET["spec"]["template"]["spec"]
_CONTAINER = _POD["containers"][0]
_UNIT = (ROOT / "systemd/nodewarden.service").read_text()


def objects() -> dict[Path, dict[str, Any]]:
    """Return the objects that are written down as a whole, by their file."""
    found = {}
    for directory, kustomization in kustomizations().items():
        for path in referenced(directory, {"resources": kustomization.get("resources", [])}):
            if path.is_file():
                (found[path],) = documents(path.read_text())
    return found


def test_every_reference_leads_somewhere_and_every_file_is_referenced() -> None:
    """No kustomization names what is not there, and no file lies about unused."""
    used = {path.resolve() for directory, what in kustomizations().items() for path in referenced(directory, what)}
    assert [path for path in used if not path.exists()] == []
    there = {path.resolve() for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert there == {path for path in used if path.is_file()}
    for directory in used - there:
        assert (directory / "kustomization.yaml").is_file()


@pytest.mark.parametrize("version", _KUBERNETES_VERSIONS)
def test_every_object_is_what_kubernetes_expects(version: str) -> None:
    """No key is misspelt and no value of the wrong type, by the schemas of an old and of the latest Kubernetes."""
    found = objects()
    checked = [
        kubernetes_validate.validate(what, version, strict=True)
        for what in found.values()
        if what["kind"] != "ServiceMonitor"
    ]
    assert len(checked) == len(found) - 1 >= 4


def test_it_may_do_exactly_what_the_unit_may() -> None:
    """The same capabilities, no new privileges, no writable file outside of its mounts, nothing of the API server."""
    bounding = re.search(r"^CapabilityBoundingSet=(.*)$", _UNIT, re.MULTILINE)
    assert bounding is not None
    context = _CONTAINER["securityContext"]
    assert {f"CAP_{name}" for name in context["capabilities"]["add"]} == set(bounding[1].split())
    assert context["capabilities"]["drop"] == ["ALL"]
    assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
    assert "privileged" not in context
    assert _POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert _POD["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostIPC"} & _POD.keys()
    writable = [mount["mountPath"] for mount in _CONTAINER["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/var/lib/nodewarden", "/run/nodewarden", "/tmp"]


def test_every_capability_has_its_reason() -> None:
    """Beside each stands what it is for."""
    lines = (KUBERNETES / "base/daemonset.yaml").read_text().splitlines()
    added = [line for line in lines if re.match(r" +- [A-Z_]+\b", line)]
    assert len(added) == 4
    assert all(" # " in line for line in added)


def test_pods_can_be_named() -> None:
    """The results of CNI and the namespaces are seen, read-only, also those of pods that start later; no hostPID."""
    mounts = {mount["mountPath"]: mount for mount in _CONTAINER["volumeMounts"]}
    assert all(any(path.is_relative_to(at) for at in mounts) for path in RESULT_DIRECTORIES)
    netns = mounts[str(NETNS_DIRECTORY)]
    assert (netns["readOnly"], netns["mountPropagation"]) == (True, "HostToContainer")
    assert not _POD.get("hostPID", False)


def test_every_mount_has_its_volume() -> None:
    """Kubernetes' schemas do not compare them."""
    mounted = [mount["name"] for mount in _CONTAINER["volumeMounts"]]
    assert sorted(mounted) == sorted(volume["name"] for volume in _POD["volumes"])
    for mount in _CONTAINER["volumeMounts"]:
        volume = next(volume for volume in _POD["volumes"] if volume["name"] == mount["name"])
        if "hostPath" in volume:
            assert volume["hostPath"]["path"] == mount["mountPath"]


def test_it_sees_the_files_that_tell_of_the_cluster() -> None:
    """What the guard looks for is mounted, on nodes made by kubeadm and, with the component k3s, by k3s and rke2."""
    k3s = documents((KUBERNETES / "components/k3s/volumes.yaml").read_text())[0]
    mounts = [*_CONTAINER["volumeMounts"], *k3s["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]]
    seen = [Path(mount["mountPath"]) for mount in mounts]
    unseen = {
        str(path)
        for path in watched_for_kubernetes()
        if not any(path == place or place in path.parents for place in seen)
    }
    rancher = Path("/var/lib/rancher")
    assert unseen == {
        "/var/lib/kubelet/kubeconfig",  # of clouds' own nodes: components/managed
        *(f"{rancher}/{name}/agent/kubelet.kubeconfig" for name in ("k3s", "rke2")),  # names only loopback
        *(f"{rancher}/{name}/server/db/etcd/config" for name in ("k3s", "rke2")),  # beside etcd's data
    }


def test_the_probes_ask_what_exists() -> None:
    """Probes and arguments use commands and options of this version, and the port where metrics are by default."""
    assert _CONTAINER["args"][0] in cli.commands
    options = [option for param in cli.commands["run"].params for option in param.opts]
    assert set(_CONTAINER["args"][1:]) <= set(options)
    for probe, page in (("startupProbe", Page.LIVE), ("livenessProbe", Page.LIVE), ("readinessProbe", Page.HEALTH)):
        where = _CONTAINER[probe]["httpGet"]
        assert (where["host"], where["port"], where["path"]) == ("127.0.0.1", 9843, page)


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("config/10-observe.yaml", "systemd/observe.yaml"),
        ("worker/20-role.yaml", "systemd/presets/worker.yaml"),
        ("control-plane/20-role.yaml", "systemd/presets/control-plane.yaml"),
    ],
)
def test_copies_are_copies(copy: str, original: str) -> None:
    """kustomize reads no file from outside, so some are there twice, alike."""
    assert (KUBERNETES / copy).read_text() == (ROOT / original).read_text()


def test_the_image_is_of_this_version() -> None:
    """The tag is the version of the program."""
    assert kustomizations()[KUBERNETES]["images"] == [{"name": _CONTAINER["image"], "newTag": __version__}]


def test_the_service_monitor_finds_the_pods() -> None:
    """Monitor, service and pods agree on labels and port; job and instance are what rules and dashboards expect."""
    monitoring = KUBERNETES / "components/monitoring"
    monitor, service = (
        documents((monitoring / name).read_text())[0] for name in ("servicemonitor.yaml", "service.yaml")
    )
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert monitor["spec"].keys() == {"jobLabel", "selector", "endpoints"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "nodewarden"
    assert service["spec"]["selector"].items() <= _DAEMON_SET["spec"]["template"]["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] in [port["name"] for port in _CONTAINER["ports"]]
    assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == {"instance", "cluster"}
    assert all(rule.keys() <= {"sourceLabels", "targetLabel", "replacement"} for rule in endpoint["relabelings"])


def test_rule_files_become_prometheus_rules() -> None:
    """What docs/kubernetes.md says to type makes of each rule file what the operator reads."""
    text = (ROOT / "docs/kubernetes.md").read_text()
    typed = re.search(r"^    (for file in .*?^    done) \| kubectl", text, re.MULTILINE | re.DOTALL)
    assert typed is not None
    made = subprocess.run(["sh", "-c", typed[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rules = documents(made)
    files = sorted((ROOT / "dashboards/rules").glob("*.yaml"))
    assert [rule["metadata"]["name"] for rule in rules] == [f"nodewarden-{file.stem}" for file in files]
    for rule, file in zip(rules, files, strict=True):
        assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
        assert rule["spec"] == yaml.safe_load(file.read_text())
        assert rule["spec"]["groups"]


def test_the_containerfile_copies_what_is_there() -> None:
    """Each source of a COPY exists in the checkout, or is made by the stage it comes from; nothing else is fetched."""
    text = (ROOT / "deploy/Containerfile").read_text().replace("\\\n", " ")
    copies = [line.split()[1:] for line in text.splitlines() if line.startswith("COPY ")]
    sources = [word for words in copies if not words[0].startswith("--from") for word in words[:-1]]
    assert len(sources) > 10
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert "ADD " not in text
    assert not re.search(r"curl|wget|https?://", text)


def test_the_containerfile_installs_what_the_package_recommends() -> None:
    """The image counts drops: apt-get leaves out recommendations there, so they are named; and what builds is there."""
    text = (ROOT / "deploy/Containerfile").read_text()
    assert {"linux-libc-dev", "python3-bpfcc"} <= set(text.rpartition("FROM ")[2].split())
    makefile = (ROOT / "Makefile").read_text()
    build = re.search(r"^BUILD_PACKAGES := (.*)$", makefile, re.MULTILINE)
    assert build is not None
    assert set(build[1].split()) <= set(text.rpartition("FROM ")[0].split())


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    """No key is there twice in a mapping: YAML readers would keep the last one silently."""
    for path in KUBERNETES.rglob("*.yaml"):
        _assert_unique(yaml.compose(path.read_text()), path)


def _assert_unique(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{path}: {keys}"
        for _, value in node.value:
            _assert_unique(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _assert_unique(item, path)
