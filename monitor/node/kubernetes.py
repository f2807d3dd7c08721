"""Reads the addresses that a Kubernetes node needs from the files of kubelet, kubeadm, k3s, rke2 and CNI plug-ins.

These are API servers, proxies in front of them, etcd peers, cluster DNS, pod and service networks. Names of servers are
returned, and resolved elsewhere (`names`). Parsers are pure: they take text, return claims, and raise MalformedRecord
for text in another format.
Cilium has no documented file with its networks, so it is not supported.
"""

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import msgspec

from monitor.files.access import denied
from monitor.files.changes import read_bounded
from monitor.model.addresses import Network, host, network_of, parse_address
from monitor.model.bans import AllowEntry
from monitor.model.errors import MalformedRecord
from monitor.node.documents import as_list, as_mapping, as_texts, load_json, load_yaml
from monitor.node.names import is_name

MAX_ENTRIES = 512
MAX_FILE_BYTES = 1 << 20
_MAX_FILES = 64
_MAX_NOTICES = 16
_WIDEST = {32: 8, 128: 16}
"""The shortest prefix length that is accepted, by address length in bits."""


class Claim(msgspec.Struct, frozen=True):
    """A value in a file: `text` is an address, a network or a URL, found under `key`."""

    what: str
    key: str
    text: str


Parser: TypeAlias = Callable[[str], list[Claim]]

_API, _DNS, _PEER = "an API server of the cluster", "the cluster's DNS", "an etcd member of the cluster"
_PROXY = "the proxy of the cluster's API server"
_NAMED = (_API, _PEER, _PROXY)
"""What may be given by name."""
POD_NETWORK, _SERVICE = "a pod network of the cluster", "a service network of the cluster"
"""The start of the reasons of their entries."""

_MANIFEST_FLAGS = {
    "--service-cluster-ip-range": _SERVICE,
    "--cluster-cidr": POD_NETWORK,
    "--initial-cluster": _PEER,
    "--etcd-servers": _PEER,
}
_KUBECONFIG_KEYS = {"server": _API, "proxy-url": _PROXY}
_KUBELET_KEYS = {"clusterDNS": _DNS, "podCIDR": POD_NETWORK}
_RANCHER_KEYS = {
    "cluster-cidr": POD_NETWORK,
    "service-cidr": _SERVICE,
    "cluster-dns": _DNS,
    "server": _API,
    "initial-cluster": _PEER,
}
_BALANCER_KEYS = {"ServerURL": _API, "ServerAddresses": _API}
_FLANNEL_KEYS = {"FLANNEL_NETWORK": POD_NETWORK, "FLANNEL_IPV6_NETWORK": POD_NETWORK}
_IPAM_KEYS = {"subnet": POD_NETWORK, "ipv4_pools": POD_NETWORK, "ipv6_pools": POD_NETWORK}


def parse_kubeconfig(text: str) -> list[Claim]:
    """Return the servers of all clusters of a kubeconfig, and the proxies in front of them."""
    clusters = as_list(as_mapping(load_yaml(text)).get("clusters"))
    parts = [as_mapping(as_mapping(cluster).get("cluster")) for cluster in clusters]
    return [claim for part in parts for claim in _claims(part, _KUBECONFIG_KEYS)]


def parse_kubelet(text: str) -> list[Claim]:
    """Return cluster DNS and pod network of a KubeletConfiguration."""
    return _claims(as_mapping(load_yaml(text)), _KUBELET_KEYS)


def parse_rancher(text: str) -> list[Claim]:
    """Return networks and server of a configuration of k3s or rke2, and the etcd members."""
    return _claims(as_mapping(load_yaml(text)), _RANCHER_KEYS)


def parse_balancer(text: str) -> list[Claim]:
    """Return the servers that an agent of k3s or rke2 has discovered (JSON)."""
    return _claims(as_mapping(load_json(text)), _BALANCER_KEYS)


def parse_manifest(text: str) -> list[Claim]:
    """Return the claims in the command lines of a static pod; both `--flag=value` and `--flag value`."""
    found = []
    for container in as_list(as_mapping(as_mapping(load_yaml(text)).get("spec")).get("containers")):
        part = as_mapping(container)
        words = [word for key in ("command", "args") for word in as_list(part.get(key)) if isinstance(word, str)]
        for word, following in pairwise([*words, ""]):
            flag, equals, value = word.partition("=")
            if flag in _MANIFEST_FLAGS:
                found += [Claim(_MANIFEST_FLAGS[flag], flag, text) for text in as_texts(value if equals else following)]
    return found


def parse_cni(text: str) -> list[Claim]:
    """Return the literal networks of the IPAM part of a CNI configuration, or of each plug-in of a list (JSON)."""
    document = as_mapping(load_json(text))
    found = []
    for plugin in [document, *map(as_mapping, as_list(document.get("plugins")))]:
        ipam = as_mapping(plugin.get("ipam"))
        ranges = [as_mapping(item) for some in as_list(ipam.get("ranges")) for item in as_list(some)]
        for part in (ipam, *ranges):
            found += _claims(part, _IPAM_KEYS)
    return [msgspec.structs.replace(claim, key=f"ipam.{claim.key}") for claim in found]


def parse_flannel(text: str) -> list[Claim]:
    """Return the networks of flannel's subnet.env."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return _claims({key: value.strip("\"'") for key, _, value in pairs}, _FLANNEL_KEYS)


def parse_network_or_url(text: str) -> Network | None:
    """Return the network of `10.96.0.0/12`, `10.0.0.1`, `https://10.0.0.1:6443` or `name=https://10.0.0.1:2380`.

    None for a name. Host bits are cleared. ValueError for a network that is none.
    """
    if "://" not in text and "/" in text:
        head, _, tail = text.partition("/")
        try:
            address = parse_address(head)
        except ValueError:
            return None  # such as a path
        if not (tail.isascii() and tail.isdigit() and len(tail) <= 3 and int(tail) <= len(address) * 8):
            raise ValueError(f"{text[:64]!r} is not a network")
        return network_of(address, int(tail))
    for candidate in (text, _host_of(text)):
        try:
            return host(parse_address(candidate))
        except ValueError:
            continue
    return None


def _host_of(text: str) -> str:
    """Return the host of a URL, of `name=URL` or of `HOST:PORT`."""
    before, scheme, rest = text.partition("://")
    try:
        return urlsplit(f"//{rest if scheme else before}").hostname or ""
    except ValueError:
        return ""


# Path or pattern below the root, and its parser. The directory of a pattern is watched, so it has no wildcards.
_FILES: tuple[tuple[str, Parser], ...] = (
    ("etc/kubernetes/kubelet.conf", parse_kubeconfig),
    ("var/lib/kubelet/kubeconfig", parse_kubeconfig),
    ("var/lib/rancher/k3s/agent/kubelet.kubeconfig", parse_kubeconfig),
    ("var/lib/rancher/rke2/agent/kubelet.kubeconfig", parse_kubeconfig),
    ("var/lib/rancher/k3s/agent/etc/*load-balancer.json", parse_balancer),
    ("var/lib/rancher/rke2/agent/etc/*load-balancer.json", parse_balancer),
    ("var/lib/kubelet/config.yaml", parse_kubelet),
    ("var/lib/rancher/k3s/agent/etc/kubelet.conf.d/*.conf", parse_kubelet),
    ("var/lib/rancher/rke2/agent/etc/kubelet.conf.d/*.conf", parse_kubelet),
    ("etc/kubernetes/manifests/*.yaml", parse_manifest),
    ("var/lib/rancher/rke2/agent/pod-manifests/*.yaml", parse_manifest),
    ("etc/rancher/k3s/config.yaml", parse_rancher),
    ("etc/rancher/k3s/config.yaml.d/*.yaml", parse_rancher),
    ("etc/rancher/rke2/config.yaml", parse_rancher),
    ("etc/rancher/rke2/config.yaml.d/*.yaml", parse_rancher),
    ("var/lib/rancher/k3s/server/db/etcd/config", parse_rancher),
    ("var/lib/rancher/rke2/server/db/etcd/config", parse_rancher),
    ("etc/cni/net.d/*.conflist", parse_cni),
    ("etc/cni/net.d/*.conf", parse_cni),
    ("var/lib/rancher/k3s/agent/etc/cni/net.d/*.conflist", parse_cni),
    ("run/flannel/subnet.env", parse_flannel),
)


def watched_for_kubernetes(root: Path = Path("/")) -> list[Path]:
    """Return the files and directories whose change may change the result of `read_kubernetes`."""
    return list(dict.fromkeys(_directory_or_file(root, pattern) for pattern, _ in _FILES))


def denied_to_us(root: Path = Path("/")) -> list[str]:
    """Return the files of the cluster below `root`, and their directories, that this process may not read."""
    return list(denied(str(root / pattern) for pattern, _ in _FILES))


class Cluster(NamedTuple):
    """What the files of the cluster name; `notices` say what could not be used."""

    entries: list[AllowEntry]
    names: dict[str, str]
    """Names of servers, each with the reason to protect it."""
    notices: list[str]


def read_kubernetes(root: Path = Path("/")) -> Cluster:
    """Return what the files of the cluster below `root` name.

    At most `MAX_ENTRIES` entries, and as many names; each reason names file and key. Never raises; without such files
    there is nothing.
    """
    entries: dict[Network, AllowEntry] = {}
    names: dict[str, str] = {}
    closed = denied_to_us(root)
    notices = [f"cannot read {path}, so the cluster is not protected: see `nodewarden doctor`" for path in closed]
    for pattern, parse in _FILES:
        for path in _matching(root, pattern):
            name = f"/{path.relative_to(root)}".encode(errors="replace").decode()
            try:
                for claim in parse(_read(path)):
                    _settle(claim, name, entries, names, notices)
            except MalformedRecord as error:
                notices.append(f"{name} is skipped: {error}")
    if len(notices) > _MAX_NOTICES:
        notices[_MAX_NOTICES:] = [f"and {len(notices) - _MAX_NOTICES} more notices about files of the cluster"]
    return Cluster(list(entries.values()), names, notices)


def _settle(
    claim: Claim, name: str, entries: dict[Network, AllowEntry], names: dict[str, str], notices: list[str]
) -> None:
    """Turn a claim into an entry or a name, or into a notice if it is not accepted."""
    try:
        network = parse_network_or_url(claim.text)
    except ValueError as error:
        notices.append(f"{name}: {claim.key}: {error}")
        return
    if network is None:
        if claim.what in _NAMED:
            _settle_name(claim, name, names, notices)
        return
    if network in entries or _is_local(network):
        return
    if network.prefix_length < _WIDEST[network.bits]:
        notices.append(f"{name}: {claim.key}: {network} is larger than allowed and is not protected")
    elif len(entries) >= MAX_ENTRIES:
        notices.append(f"{name}: {claim.key}: {network} is not protected: more than {MAX_ENTRIES} networks")
    else:
        entries[network] = AllowEntry(network, f"{claim.what} ({name}: {claim.key})")


def _settle_name(claim: Claim, name: str, names: dict[str, str], notices: list[str]) -> None:
    text = (_host_of(claim.text) or claim.text).rstrip(".").lower()
    if is_name(text):
        if len(names) < MAX_ENTRIES:
            names.setdefault(text, f"{claim.what} ({name}: {claim.key})")
    elif text != "localhost":
        shown = claim.text.rpartition("@")[2][:64]  # without the password of a proxy
        notices.append(f"{name}: {claim.key}: {shown!r} names no host, and is not protected")


def _is_local(network: Network) -> bool:
    """Whether this is a loopback or unspecified address."""
    if network.bits == 32:
        return network.prefix_length >= 8 and network.address[0] in (0, 127)
    return network.prefix_length == 128 and not any(network.address[:15]) and network.address[15] <= 1


def _directory_or_file(root: Path, pattern: str) -> Path:
    return (root / pattern).parent if "*" in pattern else root / pattern


def _matching(root: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of a pattern in order of name, at most `_MAX_FILES`."""
    if "*" not in pattern:
        yield root / pattern
        return
    directory = (root / pattern).parent
    try:
        yield from sorted(directory.glob(Path(pattern).name))[:_MAX_FILES]
    except OSError:
        return


def _read(path: Path) -> str:
    data = read_bounded(path, MAX_FILE_BYTES)
    if data is None and os.path.lexists(path):
        raise MalformedRecord("unreadable", "no permission, or not a regular file")
    if data is not None and len(data) > MAX_FILE_BYTES:
        raise MalformedRecord("oversized", f"more than {MAX_FILE_BYTES} bytes")
    return (data or b"").decode(errors="replace")


def _claims(document: dict[Any, Any], keys: dict[str, str]) -> list[Claim]:
    return [Claim(what, key, text) for key, what in keys.items() for text in as_texts(document.get(key))]
