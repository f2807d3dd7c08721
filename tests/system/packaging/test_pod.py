"""The daemon in the confinement of its Kubernetes manifest, as far as systemd can give the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.manifests import KUBERNETES, documents

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]  # the first makes package and image

_CONTAINER = documents((KUBERNETES / "base/daemonset.yaml").read_text())[0]["spec"]["template"]["spec"]["containers"][0]
_CONFIGURATION = Path("/etc/nodewarden/conf.d")


def confinement() -> list[str]:
    """Return the manifest's security context as properties of a unit; a pod has no devices but null and the like."""
    capabilities = " ".join(f"CAP_{name}" for name in _CONTAINER["securityContext"]["capabilities"]["add"])
    writable = [mount["mountPath"] for mount in _CONTAINER["volumeMounts"] if not mount.get("readOnly")]
    return [
        *("User=root", f"CapabilityBoundingSet={capabilities}", "NoNewPrivileges=yes"),
        *("ProtectSystem=strict", "PrivateDevices=yes", "PrivateTmp=yes", "ProtectHome=yes"),
        *(f"ReadWritePaths={path}" for path in writable if path != "/tmp"),
    ]


@pytest.fixture
def pod(node: Machine, deb: Path) -> Iterator[Machine]:
    """Yield a machine where the package's service is stopped, with the manifest's configuration in its place."""
    node.look("dpkg", "--install", deb)
    node.look("systemctl", "stop", "nodewarden")
    node.look("install", "--directory", "--owner=root", "/var/lib/nodewarden", "/run/nodewarden")
    node.look("chown", "--recursive", "root:root", "/var/lib/nodewarden")
    for path in (KUBERNETES / "config/15-kubernetes.yaml", KUBERNETES / "worker/20-role.yaml"):
        node.write(_CONFIGURATION / path.name, path.read_text())
    yield node
    node.look("systemctl", "stop", "pod.service", check=False)
    node.look("rm", "-rf", "/run/nodewarden")


def test_it_works_with_what_its_manifest_gives_it(pod: Machine, site: tuple[Lab, Machine]) -> None:
    """Every source and the enforcer work; the check that makes the pod ready passes; a changed ConfigMap takes hold."""
    properties = [f"--property={one}" for one in confinement()]
    pod.look("systemd-run", "--quiet", "--unit=pod", *properties, "nodewarden", *_CONTAINER["args"])

    def asked(probe: str, page: str = "") -> str:
        where = _CONTAINER[probe]["httpGet"]
        url = f"http://{where['host']}:{where['port']}{page or where['path']}"
        return site[0]["node"].run("curl", "-s", url, check=False).stdout

    wait_for(lambda: asked("readinessProbe") == "ok\n", "it to be ready", lambda: pod.log("pod"))

    def states() -> dict[str, str]:
        told = json.loads(pod.look("nodewarden", "status", "--json"))
        return {source["name"]: source["state"] for source in told["sources"]}

    wait_for(lambda: states()["drops"] != "loading", "the eBPF program to be loaded", lambda: pod.log("pod"))
    assert [name for name, state in states().items() if state == "up"] == ["conntrack", "drops", "journal"]
    assert pod.look("nodewarden", "status", "--check") == "all is well\n"
    assert (asked("livenessProbe"), asked("readinessProbe")) == ("ok\n", "ok\n")
    assert "nodewarden_build_info" in asked("livenessProbe", "/metrics")
    pod.look("nodewarden", "ban", "198.51.100.7")
    assert "198.51.100.7" in pod.look("nft", "list", "table", "inet", "nodewarden")

    pod.write(_CONFIGURATION / "50-local.yaml", "detectors: {port_scan: {mode: observe, maxretry: 99}}\n")
    wait_for(lambda: '"maxretry": 99' in pod.look("nodewarden", "status", "--json"), "the new setting to take hold")
