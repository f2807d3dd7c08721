"""What each source and enforcer needs, what of it is missing, and the command that mends it: pure, over Facts."""

from collections.abc import Iterator

import msgspec

from monitor.daemon.selfcheck.probes import Facts
from monitor.settings.schema import Settings

_UNIT = "nodewarden.service"
_RESTART = f"systemctl restart {_UNIT}"
_BOUGHT = {
    "net/netfilter/nf_conntrack_acct": "bytes of connections and udp_amplification",
    "kernel/bpf_stats_enabled": "telling what the eBPF programs cost",
}
"""What a sysctl buys."""


class Need(msgspec.Struct, frozen=True):
    """One thing that a part needs. `missing` says why it is not there; `mend` is a command for root's shell."""

    what: str
    missing: str = ""
    mend: str = ""


class Part(msgspec.Struct, frozen=True):
    """A source, an enforcer or something else that works or does not."""

    name: str
    kind: str
    """source, enforcer, protection or service."""
    is_wanted: bool
    """Whether the configuration asks for it."""
    needs: list[Need]
    is_optional: bool = False
    """Whether all goes on without it, only not as well."""

    @property
    def state(self) -> str:
        """`off`, `ok`, `missing`, or `could be better`."""
        if not self.is_wanted:
            return "off"
        if not any(need.missing for need in self.needs):
            return "ok"
        return "could be better" if self.is_optional else "missing"


def examine(settings: Settings, facts: Facts) -> list[Part]:
    """Return all parts, sources first."""
    return [*_sources(settings, facts), *_enforcers(settings, facts), *_others(settings, facts)]


def is_sound(parts: list[Part]) -> bool:
    """Whether nothing is missing that the configuration asks for."""
    return all(part.state != "missing" for part in parts)


def _sources(settings: Settings, facts: Facts) -> Iterator[Part]:
    wanted = settings.sources
    yield Part("kernel_log", "source", wanted.kernel_log.enabled, [_kernel_log(facts)])
    conntrack = Need("connection events (ctnetlink)", facts.conntrack, _conntrack_mend(settings, facts))
    yield Part("conntrack", "source", wanted.conntrack.enabled, [conntrack])
    yield Part("drops", "source", wanted.drops.enabled, [*_ebpf(facts), _types(facts)])
    journal = Need(
        "the journal's files", facts.journal, f"usermod --append --groups systemd-journal {facts.account} && {_RESTART}"
    )
    yield Part("journal", "source", wanted.journal.enabled, [journal])
    files = [
        Need(f"{path} (detector {name})", "may not be read", f"chgrp adm {path} && chmod g+rX {path}")
        for name, paths in facts.files.items()
        for path in paths
    ]
    yield Part("files", "source", wanted.files.enabled and bool(facts.files), files)
    scanner = Need(
        "Hyperscan: one pass for all filters", facts.hyperscan, "install again: `make install`, or the package"
    )
    yield Part("filters", "source", wanted.journal.enabled or wanted.files.enabled, [scanner], is_optional=True)
    yield Part(
        "flow_bytes",
        "source",
        wanted.conntrack.enabled,
        [_sysctl(facts, "net/netfilter/nf_conntrack_acct")],
        is_optional=True,
    )
    cost = Need("") if _has(facts, "CAP_SYS_ADMIN") else _sysctl(facts, "kernel/bpf_stats_enabled")
    yield Part("ebpf_run_time", "source", wanted.drops.enabled, [cost], is_optional=True)


def _enforcers(settings: Settings, facts: Facts) -> Iterator[Part]:
    is_allowed = _has(facts, "CAP_NET_ADMIN")
    mend = "modprobe nf_tables" if is_allowed else _capability_mend("CAP_NET_ADMIN", facts)
    nftables = [
        Need("the kernel's nf_tables", facts.nftables, mend),
        Need("libnftables for Python", facts.nftables_library, "apt-get install python3-nftables"),
    ]
    yield Part("nftables", "enforcer", True, nftables)  # noqa: FBT003 - bans by hand need it in any case
    missing = [
        Need(f"the interface {name}", "there is no such interface", "nodewarden config check && ip -brief link")
        for name in facts.interfaces
    ]
    yield Part("xdp", "enforcer", bool(settings.bans.xdp.interfaces), [*_ebpf(facts), *missing])


def _others(settings: Settings, facts: Facts) -> Iterator[Part]:
    cluster = [
        Need(path, "may not be read, so what it names of the cluster could be banned", _cluster_mend(facts))
        for path in facts.cluster
    ]
    yield Part("kubernetes", "protection", settings.bans.protect.kubernetes, cluster)
    directory = settings.state.directory
    mend = f"install -d -o {facts.account} -m 750 {directory} && " + (
        drop_in("state", f"ReadWritePaths={directory}") if facts.is_sandboxed else _RESTART
    )
    yield Part("state", "service", True, [Need(f"{directory}, to be written", facts.state, mend)])  # noqa: FBT003
    listen = settings.metrics.listen
    port = Need(f"{listen} to serve metrics on", facts.metrics, f"ss -ltnp 'sport = {listen.port}'")
    yield Part("metrics", "service", settings.metrics.enabled, [port])
    group = Need("the group that control.group names", facts.group, f"groupadd --system {settings.control.group}")
    yield Part("control", "service", True, [group], is_optional=True)  # noqa: FBT003


def _sysctl(facts: Facts, name: str) -> Need:
    dotted = name.replace("/", ".")
    return Need(
        f"{dotted} = 1 for {_BOUGHT[name]}",
        "" if facts.sysctls.get(name) == "1" else "it is not",
        f"echo {dotted}=1 >> /etc/sysctl.d/60-nodewarden.conf && sysctl --system",
    )


def _kernel_log(facts: Facts) -> Need:
    mend = _capability_mend("CAP_SYSLOG", facts)
    if _has(facts, "CAP_SYSLOG"):
        mend = "in a container, bind /dev/kmsg; or: `sources: {kernel_log: {enabled: false}}`"
    return Need("/dev/kmsg", facts.kernel_log, mend)


def _conntrack_mend(settings: Settings, facts: Facts) -> str:
    for capability in ("CAP_NET_ADMIN", *(["CAP_NET_BROADCAST"] if settings.sources.conntrack.all_namespaces else [])):
        if not _has(facts, capability):
            return _capability_mend(capability, facts)
    return "modprobe nf_conntrack_netlink"


def _ebpf(facts: Facts) -> list[Need]:
    return [
        Need("eBPF maps and programs", facts.bpf, _capability_mend("CAP_BPF", facts)),
        Need("eBPF programs that read kernel memory", facts.tracing, _capability_mend("CAP_PERFMON", facts)),
        Need("bcc, which compiles them", facts.compiler, "apt-get install python3-bpfcc linux-libc-dev"),
    ]


def _types(facts: Facts) -> Need:
    return Need("the kernel's types (BTF)", facts.types, "a kernel with CONFIG_DEBUG_INFO_BTF=y")


def _has(facts: Facts, capability: str) -> bool:
    return capability in facts.capabilities


def _capability_mend(capability: str, facts: Facts) -> str:
    if _has(facts, capability):
        return f"{capability} is there; what else refuses it (lockdown, seccomp, AppArmor)? see journalctl -k"
    return drop_in(capability.lower(), f"AmbientCapabilities={capability}", f"CapabilityBoundingSet={capability}")


def _cluster_mend(facts: Facts) -> str:
    return _capability_mend("CAP_DAC_READ_SEARCH", facts)


def drop_in(name: str, *lines: str) -> str:
    """Return the command that adds lines to the unit's [Service] section and restarts it."""
    words = " ".join(f"'{line}'" for line in ("[Service]", *lines))
    path = f"/etc/systemd/system/{_UNIT}.d/{name}.conf"
    return f"printf '%s\\n' {words} | install -D -m 644 /dev/stdin {path} && systemctl daemon-reload && {_RESTART}"
