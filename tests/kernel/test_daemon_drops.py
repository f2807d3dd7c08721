"""The daemon counts what the kernel drops: in metrics, by source, and never at the price of anything else."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.bpf import programs, programs_of
from tests.support.daemon import NODEWARDEN, wait_for
from tests.support.open_site import OpenSite, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel

_FIREWALL = "table inet f { chain i { type filter hook input priority 0; tcp dport 7 drop; }; }"


def packets(site: OpenSite, reason: str) -> float:
    """Return how many packets dropped on the node for a reason."""
    series = site.daemon.metrics().items()
    name = "nodewarden_kernel_dropped_packets_total"
    return sum(
        value for key, value in series if key.startswith(name) and f'reason="{reason}"' in key and 'foreign="no"' in key
    )


def drops(site: OpenSite) -> dict[str, object]:
    """Return what the status says of the source."""
    return next(one for one in site.daemon.ask("status")["sources"] if one["name"] == "drops")


def is_up(site: OpenSite) -> None:
    """Wait until the program is attached."""
    wait_for(lambda: drops(site)["state"] == "up", "the program", lambda: f"{drops(site)}\n{site.daemon.log}", 20)


def test_drops_are_counted_and_their_source_found(site: OpenSite) -> None:
    """A thousand packets into a firewall that logs nothing: a metric under the kernel's name, and an alert."""
    site.node.nft(_FIREWALL)
    site.start("detectors: {drop_rate: {mode: enforce, maxretry: 500}}\n")
    is_up(site)
    site.attacker.run("hping3", "-q", "-i", "u1000", "-c", "1000", "-S", "-p", "7", site.node.address4, check=False)
    assert packets(site, "NETFILTER_DROP") >= 900
    site.until((site.attacker.address4, "shun", "drop_rate"))
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_ebpf_rung{program="drops",rung="tracing"}'] == 1
    assert metrics['nodewarden_ebpf_map_entries{map="drop_offenders"}'] >= 1
    wait_for(lambda: site.daemon.metrics()['nodewarden_ebpf_runs_total{program="drops"}'] > 0, "runs to be counted")


def test_nothing_stays_attached(site: OpenSite) -> None:
    """Stopped or killed, the kernel drops the program with the process; switched off by a reload, too."""
    site.start()
    is_up(site)
    (ours,) = programs_of(site.daemon.pid, "kfree_skb")
    site.daemon.configure("sources: {drops: {enabled: false}, kernel_log: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    assert drops(site)["state"] == "off"
    wait_for(lambda: ours not in programs("kfree_skb"), "the program to go")
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    is_up(site)
    (again,) = programs_of(site.daemon.pid, "kfree_skb")
    assert site.daemon.process is not None
    site.daemon.process.send_signal(signal.SIGKILL)
    site.daemon.process.wait(5)
    wait_for(lambda: again not in programs("kfree_skb"), "the program to go")


def test_without_bcc_all_else_goes_on(site: OpenSite, tmp_path: Path) -> None:
    """One line says what to install; scans are found as ever."""
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing/bcc.py").write_text("raise ImportError('no module named bcc')\n")
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    site.daemon.start("env", f"PYTHONPATH={tmp_path / 'nothing'}")
    told = "are not seen: the Python module bcc is missing"
    wait_for(lambda: told in site.daemon.run("status").stdout, told, lambda: site.daemon.log, 20)
    assert drops(site)["state"] == "off"
    assert site.daemon.ask("status")["problems"] == []
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-159", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"))


def test_without_the_privilege_all_else_goes_on(site: OpenSite) -> None:
    """The line names the capabilities."""
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    lacking = "-bpf,-perfmon,-sys_admin"
    site.daemon.start("setpriv", f"--bounding-set={lacking}", f"--inh-caps={lacking}")
    told = "CAP_BPF and CAP_PERFMON"
    wait_for(lambda: told in site.daemon.run("status").stdout, told, lambda: site.daemon.log, 20)
    assert site.source()["state"] == "up"


HIDE_TYPES = 'mount -t tmpfs none /sys/kernel/btf && mount -t tracefs tracefs /sys/kernel/tracing && exec "$@"'


def test_without_types_reasons_are_counted_all_the_same(site: OpenSite) -> None:
    """A kernel that tells nothing of its types: the classic tracepoint counts by reason, and says what is missing."""
    site.node.nft(_FIREWALL)
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    site.daemon.start("unshare", "--mount", "sh", "-c", HIDE_TYPES, "hide")
    is_up(site)
    for target in (site.node.address4, site.node.address6):
        site.attacker.run("nmap", "-6" if ":" in target else "-4", "-n", "-Pn", "-sS", "-p", "7", target)
    counted = {key: value for key, value in site.daemon.metrics().items() if "kernel_dropped_packets" in key}
    told = 'direction="unknown",family="{}",foreign="unknown",reason="NETFILTER_DROP",tunnelled="unknown"'
    for family in ("ipv4", "ipv6"):
        labels = set(told.format(family).split(","))
        assert (
            sum(value for key, value in counted.items() if labels <= set(key[key.index("{") + 1 : -1].split(","))) >= 1
        )
    assert site.daemon.metrics()['nodewarden_ebpf_rung{program="drops",rung="tracepoint"}'] == 1
    assert "closed_port_scan see nothing" in site.daemon.run("status").stdout


def test_without_types_and_tracefs_all_else_goes_on(site: OpenSite) -> None:
    """Then nothing is left to count with: one line says both."""
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    site.daemon.start("unshare", "--mount", "sh", "-c", HIDE_TYPES.replace("tracefs tracefs", "tmpfs none"), "hide")
    told = "this kernel has no BTF"
    wait_for(lambda: told in site.daemon.run("status").stdout, told, lambda: site.daemon.log, 20)
    assert "mount -t tracefs" in site.daemon.run("status").stdout
    assert drops(site)["state"] == "off"


def test_where_packets_drop(site: OpenSite) -> None:
    """`nodewarden drops` names the kernel's function, without a daemon, and leaves nothing attached."""
    site.node.nft(_FIREWALL)
    asking = site.node.start(NODEWARDEN, "drops", "--for", "4s", "--json", stdout=subprocess.PIPE)
    wait_for(lambda: programs_of(asking.pid, "kfree_skb"), "the program", timeout_s=20)
    ours = programs_of(asking.pid, "kfree_skb")
    site.attacker.run("hping3", "-q", "-i", "u1000", "-c", "300", "-S", "-p", "7", site.node.address4, check=False)
    report = json.loads(asking.communicate(timeout=20)[0])
    firewall = [place for place in report["places"] if place["reason"] == "NETFILTER_DROP"]
    assert max(place["packets"] for place in firewall) >= 250
    assert any(place["function"].startswith("nft_do_chain") or "nf_hook" in place["function"] for place in firewall), (
        firewall
    )
    wait_for(lambda: not programs("kfree_skb") & ours, "the program to go")
    assert ours


WITH_PODS = 'mount -t tmpfs none /var/lib && cp -r "$0" /var/lib/cni && exec "$@"'
"""A node's results of CNI: from a directory, in a mount namespace of the command's own."""


def cni_result(site: OpenSite, directory: Path) -> None:
    """Write what containerd keeps of a pod, whose network namespace is that of the client."""
    (directory / "results").mkdir(parents=True)
    result = {
        "kind": "cniCacheV1", "containerId": "ab" * 32, "ifName": "eth0", "networkName": "cbr0",
        "netns": f"/var/run/netns/{site.client.namespace}",
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-7d9f8-x2k4p"]],
        "result": {"cniVersion": "1.0.0", "ips": [{"address": f"{site.client.address4}/24"}]},
    }  # fmt: skip
    (directory / "results/cbr0-abab-eth0").write_text(json.dumps(result))


def pod_drops(site: OpenSite) -> dict[str, float]:
    """Return packets dropped in pods, by pod and class."""
    return {
        f"{match['pod']} {match['class']}": value
        for key, value in site.daemon.metrics().items()
        if key.startswith("nodewarden_pod_dropped_packets_total{")
        for match in [dict(pair.split("=") for pair in key[key.index("{") + 1 : -1].replace('"', "").split(","))]
        if value
    }


def test_a_drop_in_a_pod_is_named(site: OpenSite, tmp_path: Path) -> None:
    """Packets to a port that the pod refuses, and to one where nothing listens: under the pod's name end to end.

    The metric, `drops --by pod`, and `why` name the pod; what the node drops meanwhile is not the pod's.
    """
    cni_result(site, tmp_path / "cni")
    site.client.nft(_FIREWALL)
    site.node.nft(_FIREWALL)
    site.daemon.configure("sources: {kernel_log: {enabled: false}, drops: {pods: 5}}\n")
    wrapper = ("unshare", "--mount", "sh", "-c", WITH_PODS, str(tmp_path / "cni"))
    site.daemon.start(*wrapper)
    is_up(site)
    asking = site.node.start(
        *wrapper, NODEWARDEN, "drops", "--by", "pod", "--for", "3s", "--json", stdout=subprocess.PIPE
    )
    wait_for(lambda: programs_of(asking.pid, "kfree_skb"), "the program", timeout_s=20)
    for target, port, count in ((site.client, 7, 300), (site.client, 9, 100), (site.node, 7, 50)):
        site.attacker.run(
            "hping3", "-q", "-i", "u1000", "-c", str(count), "-S", "-p", str(port), target.address4, check=False
        )
    least = {"web-7d9f8-x2k4p firewall": 250, "web-7d9f8-x2k4p closed_port": 80}

    def are_counted() -> bool:
        found = pod_drops(site)  # ticks add to it: one may have come between the two kinds
        return all(found.get(name, 0) >= count for name, count in least.items())

    wait_for(are_counted, "drops of both kinds", lambda: f"{pod_drops(site)}")
    named = pod_drops(site)
    assert 250 <= named["web-7d9f8-x2k4p firewall"] <= 310
    assert 80 <= named["web-7d9f8-x2k4p closed_port"] <= 110
    (one,) = (one for one in json.loads(asking.communicate(timeout=20)[0])["pods"] if one["is_pod"])
    assert one["where"] == "shop/web-7d9f8-x2k4p"
    assert one["classes"]["firewall"] >= 250
    assert site.daemon.ask("why", site.client.address4)["pod"] == "shop/web-7d9f8-x2k4p"
    assert site.daemon.metrics()["nodewarden_pods_known"] == 1
