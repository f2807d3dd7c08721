"""Rules of a real kernel, dumped by the real programs and read."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.audit.rules.dump import dump_rules
from monitor.audit.rules.gathering import gather_ruleset
from monitor.audit.ruleset import Author
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Host]:
    with Lab("node") as lab:
        yield lab["node"]


@pytest.mark.skipif(not shutil.which("iptables-legacy"), reason="iptables is not installed")
def test_rules_of_nft_and_of_both_kinds_of_iptables_are_read_and_nothing_changes(node: Host) -> None:
    """Each rule has its text, verdict and author; iptables' own notation fills in what nft hides; legacy tables too."""
    node.nft(
        "table inet mine { chain more { ip saddr 10.0.0.0/8 drop; }\n "
        "chain input { type filter hook input priority 0; policy drop; ct state established,related accept;"
        " tcp dport { 22, 8000-8010 } counter accept; jump more; }; }"
    )
    node.run("iptables-nft", "-N", "KUBE-SERVICES")
    node.run("iptables-nft", "-A", "INPUT", "-j", "KUBE-SERVICES")
    node.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-m", "recent", "--set", "-j", "REJECT")
    node.run("ip6tables-legacy", "-t", "mangle", "-A", "INPUT", "-p", "tcp", "-j", "DROP")
    node.run("iptables-legacy", "-L")  # an empty table
    before = _everything(node)
    with node.entered():
        dump = dump_rules()
        ruleset = gather_ruleset(dump)
    assert (dump.lacks, dump.is_terse) == ({}, False)
    assert _everything(node) == before
    assert ruleset.legacy_tables == ("ip6 mangle",)
    texts = {
        f"{chain.family} {chain.table} {chain.name}": [(rule.ref.text, rule.author) for rule in chain.rules]
        for chain in ruleset.chains
    }
    recent = "-p tcp -m tcp --dport 22 -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource"
    assert texts == {
        "inet mine more": [("ip saddr 10.0.0.0/8 drop", Author.OPERATOR)],
        "inet mine input": [
            ("ct state established, related accept", Author.OPERATOR),
            ("tcp dport { 22, 8000-8010 } accept", Author.OPERATOR),
            ("jump more", Author.OPERATOR),
        ],
        "ip filter KUBE-SERVICES": [],
        "ip filter INPUT": [
            ("jump KUBE-SERVICES", Author.KUBE_PROXY),
            (f"{recent} -j REJECT --reject-with icmp-port-unreachable", Author.OPERATOR),
        ],
    }
    assert set(ruleset.digests) == {"inet mine", "ip filter"}


def test_a_reload_of_the_same_rules_after_traffic_gives_the_same_digest(node: Host) -> None:
    """The order of hash sets, counters and handles are another's after a reload; the digest is not."""
    ports = ", ".join(map(str, range(1000, 1200, 2)))
    rules = (
        "table inet mine { chain input { type filter hook input priority 0;"
        f" tcp dport {{ {ports} }} counter accept; tcp dport {{ 1, 2 }} drop; counter; }}; }}"
    )
    node.nft(rules)
    with node.entered():
        first = gather_ruleset(dump_rules())
    node.run("ping", "-c1", "-W1", "127.0.0.1")
    node.nft(f"table ip other {{}}\ndelete table inet mine\n{rules}")
    node.run("ping", "-c1", "-W1", "127.0.0.1")
    with node.entered():
        again = gather_ruleset(dump_rules())
    counted = again.chains[0].rules[2].packets
    assert counted
    assert again.digests == first.digests
    node.nft("add rule inet mine input udp dport 1 drop")
    with node.entered():
        assert gather_ruleset(dump_rules()).digests != first.digests


def test_a_program_that_exceeds_a_bound_is_ended_and_said() -> None:
    """Too much output, too much time, a failure and a missing program are errors with the reason."""
    for arguments, bounds, reason in (
        (["yes"], {"limit_bytes": 1 << 20}, "printed more than 1024 KiB"),
        (["sleep", "60"], {"timeout_s": 0.05}, "took more than 0.05 s"),
        (["nft", "nonsense"], {}, "failed with exit code 1: Error: syntax error"),
        (["no-such-program"], {}, "is not installed"),
    ):
        with pytest.raises(ProgramFailed, match=reason):
            run(*arguments, **bounds)
    assert run("cat", stdin=b"x" * 100_000) == b"x" * 100_000


def _everything(node: Host) -> list[str]:
    """Return all rules, of every kind."""
    return [
        node.run(*command).stdout
        for command in (
            ("nft", "-a", "list", "ruleset"),
            ("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"),
            ("ip6tables-legacy", "-t", "mangle", "-S"),
        )
    ]


def test_diff_shows_opened_ports_and_changed_rules_since_the_baseline(node: Host, tmp_path: Path) -> None:
    """A rule and a listener that are new since the baseline are shown, and kube-proxy's rules are not."""
    node.run("ip", "route", "add", "default", "via", "10.88.0.254")
    node.nft(
        "table inet mine { chain input { type filter hook input priority 0; policy drop;"
        " tcp dport 22 accept; tcp dport 80 accept; }; }"
    )
    config = tmp_path / "nodewarden.yaml"
    config.write_text(f"control:\n  socket: {tmp_path}/none.sock\naudit:\n  report: {tmp_path}/report.json\n")
    audit = (sys.executable, "-c", "from monitor.cli.entry import main; main()", "audit")
    baseline = tmp_path / "baseline.json"
    _listen(node, 22)
    node.run(*audit, "--config", config, "--write-baseline", baseline, "--format", "json")
    same = node.run(*audit, "diff", "--config", config, "--baseline", baseline, check=False)
    assert (same.returncode, same.stdout.splitlines()[1:]) == (0, ["nothing changed"])
    _listen(node, 8080)
    node.nft("add rule inet mine input tcp dport 8080 accept\ntable ip kube-proxy { chain services { }; }")
    node.run("nft", "delete", "rule", "inet", "mine", "input", "handle", _handle(node, "tcp dport 80 accept"))
    done = node.run(*audit, "diff", "--config", config, "--baseline", baseline, "--json", check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert {"world tcp/8080", "nodes tcp/8080"} <= {one["port"] for one in found["opened"]}
    assert (found["closed"], found["unknown"]) == ([], [])
    (table,) = found["tables"]
    assert table["table"] == "inet mine"
    assert [one["rule"] for one in table["added"]] == ["tcp dport 8080 accept"]
    assert [one["rule"] for one in table["removed"]] == ["tcp dport 80 accept"]


LISTEN = """
import socket, sys, time
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
time.sleep(60)
"""


def _listen(node: Host, port: int) -> None:
    process = node.start("python3", "-c", LISTEN, str(port), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()


def _handle(node: Host, rule: str) -> str:
    listed = node.run("nft", "-a", "list", "ruleset").stdout
    return next(line.rpartition(" ")[2] for line in listed.splitlines() if line.strip().startswith(f"{rule} #"))
