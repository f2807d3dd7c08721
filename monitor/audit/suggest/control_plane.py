"""How checks of kubelet, API server and etcd are repaired: program, flags, and who may be cut off."""

from collections.abc import Mapping

from monitor.audit.host import ProgramKind
from monitor.audit.suggest.programs import (
    ADDRESS,
    both,
    chosen_addresses,
    etcd_certificate,
    fixed,
    missing,
    of,
    to_etcd,
    with_plugin,
    without_self_signed,
)
from monitor.audit.suggest.suggestion import Suggest

_KUBELET, _APISERVER, _ETCD = ProgramKind.KUBELET, ProgramKind.APISERVER, ProgramKind.ETCD
_AUTHORITY = "/etc/kubernetes/pki/ca.crt"
_FILE = "the file must be there"

_ROWS = (
    ("kubelet-anonymous", _KUBELET, fixed(anonymous_auth="false"), ""),
    ("kubelet-authorization", _KUBELET, fixed(authorization_mode="Webhook"), "clients need RBAC for nodes/*"),
    ("kubelet-client-ca", _KUBELET, fixed(client_ca_file=_AUTHORITY), _FILE),
    ("kubelet-readonly-port", _KUBELET, fixed(read_only_port="0"), "monitoring that reads port 10255 fails"),
    ("kubelet-iptables", _KUBELET, fixed(make_iptables_util_chains="true"), ""),
    (
        "apiserver-anonymous",
        _APISERVER,
        fixed(anonymous_auth="false"),
        "probes of kubeadm's manifest are anonymous: if they are used, allow their paths by --authentication-config",
    ),
    (
        "apiserver-authorization",
        _APISERVER,
        fixed(authorization_mode="Node,RBAC"),
        "clients without roles are refused; anonymous requests count then, unless --anonymous-auth=false",
    ),
    ("apiserver-noderestriction", _APISERVER, with_plugin("NodeRestriction"), ""),
    ("apiserver-etcd-tls", _APISERVER, to_etcd, "etcd must serve TLS first, and the files must be there"),
    ("apiserver-client-ca", _APISERVER, fixed(client_ca_file=_AUTHORITY), _FILE),
    (
        "external-ips",
        _APISERVER,
        with_plugin("DenyServiceExternalIPs"),
        "services that use externalIPs cannot be changed any more",
    ),
    ("etcd-tls", _ETCD, etcd_certificate, f"clients must use https, and {_FILE}"),
    (
        "etcd-client-auth",
        _ETCD,
        both(
            fixed(client_cert_auth="true"),
            missing(trusted_ca_file="/etc/kubernetes/pki/etcd/ca.crt"),
            etcd_certificate,
        ),
        "clients without a certificate are refused",
    ),
    (
        "etcd-auto-tls",
        _ETCD,
        both(fixed(auto_tls="false"), etcd_certificate),
        "clients must trust the authority of the certificate",
    ),
    ("etcd-peers", _ETCD, without_self_signed, "members that use http cannot talk to those with https"),
    ("etcd-listen", _ETCD, chosen_addresses, f"put the address of this node in place of {ADDRESS}"),
)
_AFTERWARDS = {
    _KUBELET: "the kubelet must be restarted; pods keep running",
    _APISERVER: "the API server restarts when its manifest changes: keep a copy outside of the manifests' directory",
    _ETCD: "etcd restarts: change one member at a time, and wait until it is healthy",
}

CONTROL_PLANE: Mapping[str, tuple[Suggest, ...]] = {
    check: (of(kind, changes, "; ".join(filter(None, (warning, _AFTERWARDS[kind])))),)
    for check, kind, changes, warning in _ROWS
}
