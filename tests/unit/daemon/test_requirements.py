"""What is missing where, which part needs it, and which command repairs it."""

import re
from typing import Any

import msgspec
import pytest

from monitor.daemon.selfcheck.probes import Probed
from monitor.daemon.selfcheck.requirements import examine, is_sound
from monitor.ebpf.requirements import EbpfFindings
from monitor.enforcers.nftables.writers import Writers
from monitor.model.requirements import Part, Privileges
from monitor.settings.schema import Settings
from monitor.sources.conntrack.requirements import ConntrackFindings
from monitor.sources.drops.requirements import DropsFindings
from monitor.sources.journal.requirements import JournalFindings
from monitor.sources.kmsg.requirements import KernelLogFindings
from monitor.sources.tail.requirements import FilesFindings
from monitor.sources.xdp.requirements import XdpFindings

_CAPABILITIES = frozenset({"CAP_NET_ADMIN", "CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON"})
_EBPF = EbpfFindings(bpf="", tracing="", compiler="")
_SOUND = Probed(
    kernel="6.18.0",
    privileges=Privileges("nodewarden", is_sandboxed=True, capabilities=_CAPABILITIES),
    sources={
        "kernel_log": KernelLogFindings(kernel_log=""),
        "conntrack": ConntrackFindings(conntrack="", accounting="1"),
        "drops": DropsFindings(_EBPF, types="", statistics="1"),
        "xdp": XdpFindings(_EBPF, interfaces=()),
        "journal": JournalFindings(journal=""),
        "files": FilesFindings({"sshd": ()}),
    },
    nftables="",
    writers=Writers(),
    owner="",
    hyperscan="",
    cluster=(),
    pods=(),
    state="",
    metrics="",
    group="",
    descriptors=8192,
    reads_logs=True,
)


def _replaced(value: Any, changes: dict[str, Any]) -> Any:
    """Return what was probed with these fields changed, in whatever finding they are."""
    if isinstance(value, dict):
        return {name: _replaced(inner, changes) for name, inner in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    fields = {name: _replaced(inner, changes) for name, inner in msgspec.structs.asdict(value).items()}
    return type(value)(**fields | {name: change for name, change in changes.items() if name in fields})


def _examine(settings: str = "{}", /, **changes: Any) -> dict[str, Part]:
    probed = _replaced(_SOUND, changes)
    return {part.name: part for part in examine(msgspec.json.decode(settings, type=Settings), probed)}


def _repairs(part: Part) -> list[str]:
    return [requirement.repair for requirement in part.requirements if requirement.missing]


def test_a_sound_node_misses_nothing() -> None:
    """Where everything is there each part is ok, or off because it is not enabled."""
    parts = _examine()
    assert {name for name, part in parts.items() if part.state == "off"} == {"xdp"}
    assert {part.state for part in parts.values()} == {"ok", "off"}
    assert is_sound(list(parts.values()))


def test_a_crowded_pattern_is_named() -> None:
    """Too many log files are a requirement that is missing."""
    parts = _examine(crowded=("/var/log/app/*.log",))
    assert [one.missing for one in parts["files"].requirements] == ["/var/log/app/*.log leads to more"]


def test_a_slow_filter_is_named() -> None:
    """A filter that skips long lines could be better; nothing is missing."""
    parts = _examine(slow_filters={"app": "detector app skips lines longer than 80 characters"})
    assert [name for name, one in parts.items() if one.state == "could be better"] == ["filters"]
    assert is_sound(list(parts.values()))
    assert "nodewarden reload" in _repairs(parts["filters"])[0]


@pytest.mark.parametrize("what", ["missing_logs", "silent_logs"])
def test_a_log_that_yields_nothing_is_missing(what: str) -> None:
    """There is none, or it is silent while its service runs: the detector is named, and the setting that repairs it."""
    parts = _examine(**{what: {"web": "no file matches /var/log/nginx/*access.log"}})
    assert [name for name, one in parts.items() if one.state == "missing"] == ["logs"]
    assert not is_sound(list(parts.values()))
    assert "detectors.failures.web.files" in _repairs(parts["logs"])[0]


def test_a_detector_of_logs_that_cannot_run_is_missing() -> None:
    """Its filter is not there, say: another part than that of logs."""
    parts = _examine(filter_faults={"web": "there is no filter 'sshdd'"})
    assert [name for name, one in parts.items() if one.state == "missing"] == ["log_detectors"]


def test_the_names_of_parts_are_one_word_each() -> None:
    """For scripts that read `doctor --json`, and for people who look one up."""
    assert [name for name in _examine() if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)] == []


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
    (repair,) = _repairs(parts[part])
    assert f"'AmbientCapabilities={capability}' 'CapabilityBoundingSet={capability}'" in repair
    assert repair.endswith("systemctl daemon-reload && systemctl restart nodewarden.service")


@pytest.mark.parametrize(
    ("fact", "part", "command"),
    [
        ("conntrack", "conntrack", "modprobe nf_conntrack_netlink"),
        ("nftables", "nftables", "modprobe nf_tables"),
        ("owner", "nftables", "systemctl stop nodewarden, or end the process that is named"),
        ("compiler", "drops", "apt-get install python3-bpfcc linux-libc-dev"),
    ],
)
def test_what_is_missing_besides_capabilities(fact: str, part: str, command: str) -> None:
    """With all capabilities it is a module or a package that is missing."""
    assert _repairs(_examine(**{fact: "no"})[part]) == [command]


def test_other_namespaces_take_another_capability() -> None:
    """Events of all network namespaces take CAP_NET_BROADCAST, which the unit does not give by itself."""
    asked = '{"sources": {"conntrack": {"all_namespaces": true}}}'
    (repair,) = _repairs(_examine(asked, conntrack="Operation not permitted")["conntrack"])
    assert "AmbientCapabilities=CAP_NET_BROADCAST" in repair


def test_what_is_switched_off_needs_nothing() -> None:
    """A source that the configuration switches off is off, whatever is missing, and nothing is wrong."""
    parts = _examine('{"sources": {"kernel_log": {"enabled": false}}}', kernel_log="No such file or directory")
    assert parts["kernel_log"].state == "off"
    assert is_sound(list(parts.values()))


def test_what_only_helps_is_not_missing() -> None:
    """Without Hyperscan or byte counts the daemon works: that could be better, and the exit code stays 0."""
    parts = _examine(hyperscan="no module", accounting="0", statistics="")
    assert [name for name, part in parts.items() if part.state == "could be better"] == [
        *("filters", "flow_bytes", "ebpf_run_time"),
    ]
    assert is_sound(list(parts.values()))


def test_state_that_the_sandbox_keeps_closed() -> None:
    """A state directory that may not be written is made, given to the account, and opened in the unit."""
    (repair,) = _repairs(_examine(state="/var/lib may not be written")["state"])
    assert repair.startswith("install -d -o nodewarden -m 750 /var/lib/nodewarden && ")
    assert "'ReadWritePaths=/var/lib/nodewarden'" in repair
    (repair,) = _repairs(_examine(state="/var/lib may not be written", is_sandboxed=False)["state"])
    assert "ReadWritePaths" not in repair


def test_files_are_named_one_by_one() -> None:
    """Each log file that may not be read is a requirement of its own, with its command; so are the cluster's files."""
    parts = _examine(files={"sshd": (), "web": ("/var/log/web/a.log",)}, cluster=("/etc/kubernetes/kubelet.conf",))
    assert _repairs(parts["files"]) == ["chgrp adm /var/log/web/a.log && chmod g+rX /var/log/web/a.log"]
    assert "CAP_DAC_READ_SEARCH" in _repairs(parts["kubernetes"])[0]
    assert "pods" not in parts


def test_results_of_cni_that_may_not_be_read() -> None:
    """Then pods have no names; everything else works, so the node is sound."""
    part = _examine(pods=("/var/lib/cni/results",))["pods"]
    assert "CAP_DAC_READ_SEARCH" in _repairs(part)[0]
    assert part.state == "could be better"


@pytest.mark.parametrize(("limit", "is_missing"), [(256, True), (4095, True), (4096, False), (-1, False)])
def test_few_descriptors_are_reported(limit: int, *, is_missing: bool) -> None:
    """With fewer than all parts can need together, the check says how to have more; the daemon works all the same."""
    parts = examine(Settings(), msgspec.structs.replace(_SOUND, descriptors=limit))
    (part,) = (one for one in parts if one.name == "descriptors")
    assert part.state == ("could be better" if is_missing else "ok")
    assert "LimitNOFILE=8192" in part.requirements[0].repair


def test_a_table_that_is_not_as_it_should_be_is_missing_something() -> None:
    """What the running daemon cannot repair or compare makes the check unsound, with the reason."""
    part = _examine(table="cannot be set up: changing nftables needs CAP_NET_ADMIN")["nftables"]
    assert part.state == "missing"
    (missing,) = [needed.missing for needed in part.requirements if needed.missing]
    assert missing == "it cannot be set up: changing nftables needs CAP_NET_ADMIN"
