"""The daemon counts what the kernel drops: in metrics, by source, and never at the price of anything else."""

import signal
from pathlib import Path

import pytest

from tests.support.bpf import programs
from tests.support.daemon import wait_for
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
    before = programs("kfree_skb")
    site.start()
    is_up(site)
    (ours,) = programs("kfree_skb") - before
    site.daemon.configure("sources: {drops: {enabled: false}, kernel_log: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    assert drops(site)["state"] == "off"
    wait_for(lambda: ours not in programs("kfree_skb"), "the program to go")
    site.daemon.configure("sources: {kernel_log: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    is_up(site)
    (again,) = programs("kfree_skb") - before
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
    told = "dropped packets are not counted: the Python module bcc is missing"
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
