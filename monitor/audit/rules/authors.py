"""Whose a table, chain or rule is, by the names that programs give them.

Anybody may take such a name: an author decides what is compared from one audit to the next and what a person reads, not
what is reachable.
"""

import re
from collections.abc import Iterable

from monitor.audit.ruleset import SETTLED, Author

_TABLES = (
    (Author.NODEWARDEN, re.compile(r"nodewarden(_lists)?")),
    (Author.KUBE_PROXY, re.compile(r"kube-proxy")),
    (Author.FIREWALLD, re.compile(r"firewalld(_policy_drop)?")),
    (Author.FAIL2BAN, re.compile(r"f2b-.*|fail2ban.*")),
    (Author.CROWDSEC, re.compile(r"crowdsec6?(-.*)?")),
    (Author.LIBVIRT, re.compile(r"libvirt_network")),
    (Author.PODMAN, re.compile(r"netavark.*")),
    (Author.DOCKER, re.compile(r"docker-bridges|docker")),
    (
        Author.CNI,
        re.compile(
            r"flannel-ipv[46]|calico|cni_.*|cilium.*|kindnet.*|kube-network-policies|kube-router.*|antrea.*|hostport|"
            r"ovn-kubernetes|weave.*"
        ),
    ),
    (
        Author.OTHER,
        re.compile(r"wg-quick-.*|lxd.*|incus.*|lxc|miniupnpd|sshguard|io\.systemd\.nat|mullvad|tailscale.*"),
    ),
)
_CHAINS = (
    # kube-router names its chains as kube-proxy does
    (Author.CNI, re.compile(r"KUBE-(ROUTER|POD-FW|NWPLCY|SRC|DST)-.*|KUBE-ROUTER.*")),
    (Author.KUBE_PROXY, re.compile(r"KUBE-.*")),
    (
        Author.CNI,
        re.compile(r"cali-.*|FLANNEL.*|(OLD_)?CILIUM_.*|WEAVE.*|CNI-.*|ANTREA.*|AWS-.*|IP-MASQ.*|KIND-.*|OVN-KUBE.*"),
    ),
    (Author.PODMAN, re.compile(r"NETAVARK.*")),
    (Author.DOCKER, re.compile(r"DOCKER.*")),
    (Author.UFW, re.compile(r"ufw6?-.*")),
    (Author.FAIL2BAN, re.compile(r"(f2b|fail2ban)-.*")),
    (Author.CROWDSEC, re.compile(r"(?i:crowdsec).*")),
    (Author.LIBVIRT, re.compile(r"LIBVIRT_.*")),
    (
        Author.FIREWALLD,
        re.compile(
            r"(IN|FWD|FWDI|FWDO|PRE|POST)_[A-Za-z0-9-]+(_(log|deny|allow|pre|post))?|\w+_direct|\w+_ZONES(_.*)?"
        ),
    ),
    (Author.OTHER, re.compile(r"ts-(input|forward|postrouting)|MINIUPNPD.*|sshguard|lxd_.*|nm-sh-.*")),
)
_INTERFACES = (
    (Author.DOCKER, re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")),
    (Author.CNI, re.compile(r"cni0|cni-podman\d+|flannel[.\w-]*|cali.*|tunl0|vxlan\.calico|cilium_.*|lxc\*|weave")),
    (Author.LIBVIRT, re.compile(r"virbr\d+")),
    (Author.PODMAN, re.compile(r"podman\d+")),
)
_COMMENTS = (
    (Author.KUBE_PROXY, re.compile(r"kubernetes |kube-proxy")),
    (Author.CNI, re.compile(r"cali:|flanneld |cilium|CNI portfwd|name: \"|kube-router|AWS[ ,]")),
    (Author.CROWDSEC, re.compile(r"(?i:crowdsec)")),
)


def _named(names: tuple[tuple[Author, re.Pattern[str]], ...], name: str) -> Author | None:
    return next((author for author, pattern in names if pattern.fullmatch(name)), None)


def author_of_table(name: str) -> Author:
    """Return whose a table is."""
    return _named(_TABLES, name) or Author.OPERATOR


def author_of_chain(table: str, name: str) -> Author:
    """Return whose a chain is: its table's, unless the table is one of iptables, which programs share."""
    owner = author_of_table(table)
    return owner if owner is not Author.OPERATOR else _named(_CHAINS, name) or Author.OPERATOR


def is_settled(table: str, chain: str) -> bool:
    """Whether rules of a chain change only when the operator wants that; the chain is empty for the table itself."""
    return author_of_chain(table, chain) in SETTLED


def author_of_rule(chain: Author, target: str, interfaces: Iterable[str], comment: str) -> Author:
    """Return whose a rule in a chain is: programs add theirs to the operator's chains.

    It shows in the chain that the rule jumps to, in its comment, and in the interfaces that it names.
    """
    if chain is not Author.OPERATOR:
        return chain
    if found := _named(_CHAINS, target):
        return found
    if comment and (by := next((author for author, pattern in _COMMENTS if pattern.match(comment)), None)):
        return by
    return next((author for name in interfaces if (author := _named(_INTERFACES, name))), Author.OPERATOR)
