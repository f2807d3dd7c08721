"""What is missing where, who needs it, and which command mends it."""

from typing import Any

import msgspec
import pytest

from monitor.daemon.selfcheck.probes import Facts
from monitor.daemon.selfcheck.requirements import Part, examine, is_sound
from monitor.settings.schema import Settings

_CAPABILITIES = frozenset({"CAP_NET_ADMIN", "CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON"})
_SOUND = Facts(
    account="nodewarden",
    kernel="6.18.0",
    is_sandboxed=True,
    capabilities=_CAPABILITIES,
    kernel_log="",
    nftables="",
    nftables_library="",
    conntrack="",
    bpf="",
    tracing="",
    types="",
    compiler="",
    hyperscan="",
    journal="",
    files={"sshd": ()},
    cluster=(),
    interfaces=(),
    state="",
    metrics="",
    group="",
    sysctls={"net/netfilter/nf_conntrack_acct": "1", "kernel/bpf_stats_enabled": "1"},
)


def _examine(settings: str = "{}", /, **changes: Any) -> dict[str, Part]:
    facts = msgspec.structs.replace(_SOUND, **changes)
    return {part.name: part for part in examine(msgspec.json.decode(settings, type=Settings), facts)}


def _mends(part: Part) -> list[str]:
    return [need.mend for need in part.needs if need.missing]


def test_a_sound_node_misses_nothing() -> None:
    """Where everything is there each part is ok, or off because nobody asked for it."""
    parts = _examine()
    assert {name for name, part in parts.items() if part.state == "off"} == {"xdp"}
    assert {part.state for part in parts.values()} == {"ok", "off"}
    assert is_sound(list(parts.values()))


@pytest.mark.parametrize(
    ("fact", "part", "capability"),
    [
        ("kernel_log", "kernel_log", "CAP_SYSLOG"),
        ("conntrack", "conntrack", "CAP_NET_ADMIN"),
        ("nftables", "nftables", "CAP_NET_ADMIN"),
        ("bpf", "drops", "CAP_BPF"),
        ("tracing", "drops", "CAP_PERFMON"),
    ],
)
def test_a_missing_capability_is_named(fact: str, part: str, capability: str) -> None:
    """What fails for want of a capability is missing, and the command gives the service just that one."""
    parts = _examine(**{fact: "Operation not permitted", "capabilities": _CAPABILITIES - {capability}})
    assert [name for name, one in parts.items() if one.state == "missing"] == [part]
    assert not is_sound(list(parts.values()))
    (mend,) = _mends(parts[part])
    assert f"'AmbientCapabilities={capability}' 'CapabilityBoundingSet={capability}'" in mend
    assert mend.endswith("systemctl daemon-reload && systemctl restart nodewarden.service")


@pytest.mark.parametrize(
    ("fact", "part", "command"),
    [
        ("conntrack", "conntrack", "modprobe nf_conntrack_netlink"),
        ("nftables", "nftables", "modprobe nf_tables"),
        ("nftables_library", "nftables", "apt-get install python3-nftables"),
        ("compiler", "drops", "apt-get install python3-bpfcc linux-libc-dev"),
    ],
)
def test_what_is_missing_besides_capabilities(fact: str, part: str, command: str) -> None:
    """With all capabilities it is a module or a package that is missing."""
    assert _mends(_examine(**{fact: "no"})[part]) == [command]


def test_other_namespaces_take_another_capability() -> None:
    """Events of all network namespaces take CAP_NET_BROADCAST, which the unit does not give by itself."""
    asked = '{"sources": {"conntrack": {"all_namespaces": true}}}'
    (mend,) = _mends(_examine(asked, conntrack="Operation not permitted")["conntrack"])
    assert "AmbientCapabilities=CAP_NET_BROADCAST" in mend


def test_what_is_switched_off_needs_nothing() -> None:
    """A source that the configuration switches off is off, whatever is missing, and nothing is wrong."""
    parts = _examine('{"sources": {"kernel_log": {"enabled": false}}}', kernel_log="No such file or directory")
    assert parts["kernel_log"].state == "off"
    assert is_sound(list(parts.values()))


def test_what_only_helps_is_not_missing() -> None:
    """Without Hyperscan or byte counts all goes on: that could be better, and the exit code stays 0."""
    parts = _examine(hyperscan="no module", sysctls={})
    assert [name for name, part in parts.items() if part.state == "could be better"] == [
        *("filters", "flow_bytes", "ebpf_run_time"),
    ]
    assert is_sound(list(parts.values()))


def test_state_that_the_sandbox_keeps_closed() -> None:
    """A state directory that may not be written is made, given to the account, and opened in the unit."""
    (mend,) = _mends(_examine(state="/var/lib may not be written")["state"])
    assert mend.startswith("install -d -o nodewarden -m 750 /var/lib/nodewarden && ")
    assert "'ReadWritePaths=/var/lib/nodewarden'" in mend
    (mend,) = _mends(_examine(state="/var/lib may not be written", is_sandboxed=False)["state"])
    assert "ReadWritePaths" not in mend


def test_files_are_named_one_by_one() -> None:
    """Each log file that may not be read is a need of its own, with its command; so are the cluster's files."""
    parts = _examine(files={"sshd": (), "web": ("/var/log/web/a.log",)}, cluster=("/etc/kubernetes/kubelet.conf",))
    assert _mends(parts["files"]) == ["chgrp adm /var/log/web/a.log && chmod g+rX /var/log/web/a.log"]
    assert "CAP_DAC_READ_SEARCH" in _mends(parts["kubernetes"])[0]
