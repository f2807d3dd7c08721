"""What the files of a cluster's node say, on trees as kubeadm, k3s, calico and flannel leave them."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.errors import MalformedRecord
from monitor.node import kubernetes
from monitor.node.kubernetes import (
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    parse_cni,
    parse_flannel,
    parse_kubeconfig,
    parse_kubelet,
    parse_manifest,
    parse_network_or_url,
    parse_rancher,
    read_kubernetes,
    watched_for_kubernetes,
)

KUBELET_CONF = """
apiVersion: v1
kind: Config
clusters:
- name: default-cluster
  cluster:
    certificate-authority-data: QUJD
    server: https://10.1.0.10:6443
users: [{name: default-auth, user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem}}]
"""
KUBELET_CONFIG = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
clusterDNS:
- 10.96.0.10
- fd00:96::a
clusterDomain: cluster.local
podCIDR: 10.244.3.0/24
"""
APISERVER = """
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --advertise-address=10.1.0.10
    - --etcd-servers=https://127.0.0.1:2379,https://10.1.0.31:2379
    - --service-cluster-ip-range=10.96.0.0/12,fd00:96::/108
"""
CONTROLLER = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - command: [kube-controller-manager]
    args: [--cluster-cidr, "10.244.0.0/16,fd00:10:244::/56", --service-cluster-ip-range=10.96.0.0/12]
"""
ETCD = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --initial-cluster=a=https://10.1.0.10:2380,b=https://[fd00:1::11]:2380,c=https://etcd.example:2380
"""
CALICO = {
    "name": "k8s-pod-network",
    "cniVersion": "0.3.1",
    "plugins": [
        {
            "type": "calico",
            "ipam": {"type": "calico-ipam", "ipv4_pools": ["192.168.0.0/16", "a-pool"], "ipv6_pools": ["fd00:c::/48"]},
        },
        {"type": "portmap", "snat": True},
    ],
}
HOST_LOCAL = {
    "name": "bridge",
    "type": "bridge",
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.85.0.0/16"}], [{"subnet": "fd00:85::/64"}]]},
}


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write these files below root."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def networks(root: Path) -> dict[str, str]:
    """Return what is found, with reasons, where nothing is amiss."""
    entries, _, notices = read_kubernetes(root)
    assert notices == []
    return {str(entry.network): entry.reason for entry in entries}


def test_a_control_plane_of_kubeadm(tmp_path: Path) -> None:
    """API server, DNS, networks of both families, etcd members by address; reasons name file and key."""
    tree(
        tmp_path,
        {
            "etc/kubernetes/kubelet.conf": KUBELET_CONF,
            "var/lib/kubelet/config.yaml": KUBELET_CONFIG,
            "etc/kubernetes/manifests/kube-apiserver.yaml": APISERVER,
            "etc/kubernetes/manifests/kube-controller-manager.yaml": CONTROLLER,
            "etc/kubernetes/manifests/etcd.yaml": ETCD,
        },
    )
    found = networks(tmp_path)
    assert set(found) == {
        *("10.1.0.10", "10.1.0.31", "fd00:1::11", "10.96.0.10", "fd00:96::a"),
        *("10.244.3.0/24", "10.244.0.0/16", "fd00:10:244::/56", "10.96.0.0/12", "fd00:96::/108"),
    }
    assert found["10.1.0.10"] == "an API server of the cluster (/etc/kubernetes/kubelet.conf: server)"
    manifests = "/etc/kubernetes/manifests"
    assert found["10.244.0.0/16"] == (
        f"a pod network of the cluster ({manifests}/kube-controller-manager.yaml: --cluster-cidr)"
    )


def test_servers_given_by_name(tmp_path: Path) -> None:
    """API servers, proxies and etcd members may have names; what names no host is noticed, this node itself is not."""
    proxied = "    server: https://CP.example.com.:6443\n    proxy-url: http://user:secret@proxy.example.com:3128\n"
    tree(
        tmp_path,
        {
            "etc/kubernetes/kubelet.conf": KUBELET_CONF.replace("    server: https://10.1.0.10:6443\n", proxied),
            "etc/kubernetes/manifests/etcd.yaml": ETCD.replace("c=https://etcd.example:2380", "c=https://etcd-c:2380"),
            "etc/rancher/k3s/config.yaml": "server: https://localhost:6443\n",
            "etc/rancher/rke2/config.yaml": "server: https://10.1:9345\ncluster-cidr: a-pool\n",
        },
    )
    entries, names, notices = read_kubernetes(tmp_path)
    assert {str(entry.network) for entry in entries} == {"10.1.0.10", "fd00:1::11"}
    assert names == {
        "cp.example.com": "an API server of the cluster (/etc/kubernetes/kubelet.conf: server)",
        "proxy.example.com": "the proxy of the cluster's API server (/etc/kubernetes/kubelet.conf: proxy-url)",
        "etcd-c": "an etcd member of the cluster (/etc/kubernetes/manifests/etcd.yaml: --initial-cluster)",
    }
    assert notices == ["/etc/rancher/rke2/config.yaml: server: 'https://10.1:9345' names no host, and is not protected"]


def test_a_worker_with_flannel(tmp_path: Path) -> None:
    """The pod networks come from flannel's own file; its CNI configuration tells none."""
    env = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK='fd00:10:244::/56'\n"
    conflist = json.dumps({"name": "cbr0", "plugins": [{"type": "flannel", "delegate": {"isDefaultGateway": True}}]})
    tree(tmp_path, {"run/flannel/subnet.env": env, "etc/cni/net.d/10-flannel.conflist": conflist})
    assert networks(tmp_path) == {
        "10.244.0.0/16": "a pod network of the cluster (/run/flannel/subnet.env: FLANNEL_NETWORK)",
        "fd00:10:244::/56": "a pod network of the cluster (/run/flannel/subnet.env: FLANNEL_IPV6_NETWORK)",
    }


def test_k3s(tmp_path: Path) -> None:
    """Networks as text or list, the server it joined, the servers its agent learned; its own loopback is left out."""
    balancer = {"ServerURL": "https://10.1.0.1:6443", "ServerAddresses": ["10.1.0.2:6443", "[fd00::2]:6443"]}
    config = "cluster-cidr: 10.42.0.0/16,fd42::/56\nservice-cidr: [10.43.0.0/16]\nserver: https://10.1.0.1:6443\n"
    kubeconfig = KUBELET_CONF.replace("10.1.0.10", "127.0.0.1")
    base = "var/lib/rancher/k3s"
    tree(
        tmp_path,
        {
            "etc/rancher/k3s/config.yaml": config,
            "etc/rancher/k3s/config.yaml.d/dns.yaml": "cluster-dns: 10.43.0.10\n",
            f"{base}/agent/kubelet.kubeconfig": kubeconfig,
            f"{base}/agent/etc/k3s-agent-load-balancer.json": json.dumps(balancer),
            f"{base}/server/db/etcd/config": "initial-cluster: n-1=https://10.1.0.3:2380,n-2=https://10.1.0.4:2380\n",
        },
    )
    assert set(networks(tmp_path)) == {
        *("10.42.0.0/16", "fd42::/56", "10.43.0.0/16", "10.43.0.10"),
        *("10.1.0.1", "10.1.0.2", "fd00::2", "10.1.0.3", "10.1.0.4"),
    }


def test_cni_configurations() -> None:
    """Calico's literal pools and host-local's ranges count; names of pools and `usePodCidr` do not."""
    assert [claim.text for claim in parse_cni(json.dumps(CALICO))] == ["192.168.0.0/16", "a-pool", "fd00:c::/48"]
    assert parse_network_or_url("a-pool") is None
    assert parse_network_or_url("usePodCidr") is None
    assert [claim.text for claim in parse_cni(json.dumps(HOST_LOCAL))] == ["10.85.0.0/16", "fd00:85::/64"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.96.0.0/12", "10.96.0.0/12"),
        ("10.42.3.1/24", "10.42.3.0/24"),
        ("https://10.0.0.1:6443", "10.0.0.1"),
        ("https://10.0.0.1:6443/path", "10.0.0.1"),
        ("https://[fd00::1]:6443", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("[fd00::1]:6443", "fd00::1"),
        ("10.0.0.1:6443", "10.0.0.1"),
        ("node=https://10.0.0.1:2380", "10.0.0.1"),
        ("https://api.example:6443", None),
        ("https://10.0.0.1.example:6443", None),
        ("https://[fd00::1", None),
        ("/run/some/path", None),
        ("localhost", None),
    ],
)
def test_places(text: str, expected: str | None) -> None:
    """Addresses, networks, URLs and cluster members are understood; names are not, and are not resolved."""
    network = parse_network_or_url(text)
    assert (str(network) if network else None) == expected


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "fd00::/15"])
def test_absurd_networks_are_refused(tmp_path: Path, network: str) -> None:
    """A network that would protect everybody is not protected, and that is said with file and key."""
    tree(tmp_path, {"var/lib/kubelet/config.yaml": f"podCIDR: {network}\nclusterDNS: [10.96.0.10]\n"})
    entries, _, notices = read_kubernetes(tmp_path)
    assert [str(entry.network) for entry in entries] == ["10.96.0.10"]
    assert notices == [f"/var/lib/kubelet/config.yaml: podCIDR: {network} is larger than allowed and is not protected"]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nclusterDNS: [*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (BOMB, "aliases"),
        ("[" * 100_000, "nested"),
        ("a: [1, 2", "yaml"),
        ("a: [" + "1," * 100_000 + "]", "more than 20000 parts"),
        ("x" * (MAX_FILE_BYTES + 1), "oversized"),
        ("podCIDR: 10.0.0.0/99", "is not a network"),
        ("podCIDR: 10.0.0.0/", "is not a network"),
    ],
)
def test_hostile_files_are_skipped_with_a_notice(tmp_path: Path, content: str, cause: str) -> None:
    """One bad file costs its own entries, in bounded time, and is named."""
    tree(
        tmp_path, {"var/lib/kubelet/config.yaml": content, "run/flannel/subnet.env": "FLANNEL_NETWORK=10.244.0.0/16\n"}
    )
    entries, _, notices = read_kubernetes(tmp_path)
    assert [str(entry.network) for entry in entries] == ["10.244.0.0/16"]
    assert len(notices) == 1
    assert cause in notices[0]
    assert notices[0].startswith("/var/lib/kubelet/config.yaml")


def test_what_is_no_file_is_skipped_with_a_notice(tmp_path: Path) -> None:
    """A pipe in place of a file does not hold the daemon."""
    (tmp_path / "var/lib/kubelet").mkdir(parents=True)
    os.mkfifo(tmp_path / "var/lib/kubelet/config.yaml")
    assert read_kubernetes(tmp_path).notices == [
        "/var/lib/kubelet/config.yaml is skipped: unreadable: no permission, or not a regular file"
    ]


def test_numbers_are_bounded_and_said(tmp_path: Path) -> None:
    """A file of a thousand addresses protects the first ones; notices end with how many more there are."""
    many = ", ".join(f"10.9.{number >> 8}.{number & 255}" for number in range(1, 1001))
    tree(tmp_path, {"var/lib/kubelet/config.yaml": f"clusterDNS: [{many}]\n"})
    entries, _, notices = read_kubernetes(tmp_path)
    assert len(entries) == MAX_ENTRIES
    assert len(notices) == 17
    assert notices[-1] == "and 472 more notices about files of the cluster"


def test_no_cluster_no_entries(tmp_path: Path) -> None:
    """On a plain server there is nothing to read and nothing to say."""
    assert read_kubernetes(tmp_path) == ([], {}, [])


def test_every_file_that_is_read_is_watched(tmp_path: Path) -> None:
    """What is read lies at or directly in a watched path, and no watched path has a wildcard."""
    watched = watched_for_kubernetes(tmp_path)
    assert not any("*" in str(path) for path in watched)
    for pattern, _ in kubernetes._FILES:
        path = tmp_path / pattern
        assert path in watched or path.parent in watched


PARSERS = [parse_kubeconfig, parse_kubelet, parse_rancher, parse_manifest, parse_cni, parse_flannel]
SHAPES = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["clusters", "cluster", "server", "spec", "containers", "command", "plugins", "ipam"])
            | st.sampled_from(["ranges", "subnet", "clusterDNS", "podCIDR", "args", "initial-cluster"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text() | SHAPES.map(json.dumps))
def test_arbitrary_text_raises_nothing_but_malformed(parse: Callable[[str], list[kubernetes.Claim]], text: str) -> None:
    """Whatever is in a file, and however its parts are nested, there are claims or MalformedRecord."""
    with contextlib.suppress(MalformedRecord):
        for claim in parse(text):
            with contextlib.suppress(ValueError):
                parse_network_or_url(claim.text)
