"""Bans that hold: through kills, reboots, damaged files, full disks, other people's hands and floods."""

import json
import signal
import socket
import sqlite3
import sys
import time

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for
from tests.support.older_table import older_table

pytestmark = pytest.mark.kernel


def ends(site: Site) -> dict[str, float]:
    """Return the end of each ban in force, by network and set."""
    return {f"{ban['network']} {ban['set']}": ban["until_s"] for ban in site.daemon.ask("list")}


def kill(site: Site) -> None:
    """End the daemon the hard way."""
    site.daemon.process.send_signal(signal.SIGKILL)  # type: ignore[union-attr]
    site.daemon.process.wait(5)  # type: ignore[union-attr]


def same(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether nothing is lost, doubled or longer, and nothing shorter by more than the kernel's rounding."""
    return before.keys() == after.keys() and all(-2 < after[key] - before[key] < 0.01 for key in before)


def test_a_kill_loses_no_ban_and_lengthens_none(site: Site) -> None:
    """kill -9 right after the answer: the next daemon knows the same bans, with the same ends, prefixes too."""
    site.daemon.start()
    orders = [f"192.0.2.{number}" for number in range(40)] + ["198.51.100.0/24", "2001:db8::/56"]
    assert site.daemon.run("ban", *orders, "--for", "2h").returncode == 0
    assert site.daemon.run("ban", "198.51.100.0/28", "--for", "4h").returncode == 0
    assert site.daemon.run("ban", "--shun", "192.0.2.1", "--for", "3h").returncode == 0
    assert site.daemon.run("unban", "192.0.2.39").returncode == 0
    before = ends(site)
    for _ in range(3):
        kill(site)
        site.daemon.start()
        assert same(before, ends(site))
    assert len(before) == 43


def test_after_a_reboot_the_store_brings_all_back(site: Site) -> None:
    """The kernel forgot everything: the bans are in its sets again, with their reasons in the list."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "198.51.100.0/24", "--for", "2h", "--reason", "because")
    before = ends(site)
    site.daemon.stop()
    site.node.run("nft", "delete", "table", "inet", "nodewarden")
    site.daemon.start()
    assert same(before, ends(site))
    assert site.in_kernel("192.0.2.1")
    assert {ban["reason"] for ban in site.daemon.ask("list")} == {"because"}


def test_a_damaged_store_is_set_aside_and_the_kernel_tells(site: Site) -> None:
    """Garbage in place of the database: it is kept under another name, `status` says so, the bans are known."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "--for", "2h")
    before = ends(site)
    site.daemon.stop()
    state = site.daemon.configuration_path.parent / "state"
    for path in state.glob("nodewarden.db*"):
        path.write_bytes(b"not a database" * 1000)
    site.daemon.start()
    assert same(before, ends(site))
    assert [ban["detector"] for ban in site.daemon.ask("list")] == ["restored"]
    assert list(state.glob("nodewarden.db.corrupt-*"))
    assert "nodewarden.db.corrupt-" in " ".join(site.daemon.ask("status")["notices"])
    kill(site)
    site.daemon.start()
    assert same(before, ends(site))


def test_an_older_versions_table_is_taken_over(site: Site) -> None:
    """An upgrade after a kill: what the store knows, and what only the old sets knew, egress bans (`block`) included.

    The new daemon is killed at once as well, so that what it did not save is read from its own table.
    """
    site.daemon.start()
    site.daemon.run("ban", "--egress", "192.0.2.1", "198.51.100.0/24", "--for", "2h", "--reason", "saved")
    saved = ends(site)
    kill(site)
    left = {
        "ban4": ["192.0.2.9 timeout 3h"],
        "shun6": ["2001:db8::9 timeout 3h"],
        "block4": ["192.0.2.1 timeout 5h", "192.0.2.7 counter packets 3 bytes 180 timeout 3h"],
        "block4_nets": ["198.51.100.0/24 timeout 119m", "203.0.113.0/25 timeout 3h"],
        "block6": ["2001:db8::7 timeout 3h"],
        "block6_nets": ["2001:db8:7::/48 timeout 3h"],
    }
    site.node.nft(f"delete table inet nodewarden\n{older_table(3, left, {'block4': (70, 4200)})}")
    written_s = time.time()
    site.daemon.start()
    before = ends(site)
    only_in_kernel = ["192.0.2.9 ban", "2001:db8::9 shun"]
    only_in_kernel += [f"{text} egress" for text in ("192.0.2.7", "203.0.113.0/25", "2001:db8::7", "2001:db8:7::/48")]
    expected = saved | dict.fromkeys(only_in_kernel, written_s + 3 * 3600) | {"192.0.2.1 egress": written_s + 5 * 3600}
    assert before == {key: pytest.approx(end_s, abs=5) for key, end_s in expected.items()}
    told = {f"{ban['network']} {ban['set']}": ban["reason"] for ban in site.daemon.ask("list")}
    assert {key for key, reason in told.items() if reason == "saved"} == saved.keys()
    (why,) = site.daemon.ask("why", "192.0.2.7")["bans"]
    assert (why["set"], why["kernel"]["packets"], why["kernel"]["bytes"]) == ("egress", 3, 180)
    assert site.daemon.metrics()['nodewarden_set_dropped_packets_total{set="egress4"}'] == 70
    kill(site)
    listed = site.node.run("nft", "list", "table", "inet", "nodewarden").stdout
    assert "block" not in listed
    assert all(f" {key.split()[0]} " in listed for key in expected)
    site.daemon.start()
    assert same(before, ends(site))


@pytest.mark.parametrize(
    "command",
    [
        ("flush", "ruleset"),
        ("delete", "table", "inet", "nodewarden"),
        ("delete", "element", "inet", "nodewarden", "ban4", "{ 192.0.2.1 }"),
        ("flush", "set", "inet", "nodewarden", "ban4"),
        ("flush", "chain", "inet", "nodewarden", "ban"),
        ("flush", "set", "inet", "nodewarden", "allow4"),
    ],
)
def test_what_others_change_is_put_back(site: Site, command: tuple[str, ...]) -> None:
    """Whatever somebody does to the table with nft, it is as before within moments, and counted."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "192.0.2.2", "198.51.100.0/24", "--for", "2h")

    def shape() -> list[str]:
        listed = site.node.run("nft", "-s", "list", "table", "inet", "nodewarden", check=False).stdout
        return [line.split(" expires ")[0].split(" timeout ")[0].strip() for line in listed.splitlines()]

    before = shape()
    site.node.run("nft", *command)
    wait_for(lambda: sorted(shape()) == sorted(before), "the repair", lambda: site.daemon.log)
    metrics = site.daemon.metrics()
    assert sum(value for series, value in metrics.items() if "table_drift_total" in series) >= 1


def test_beyond_the_budget_bans_are_only_observed(site: Site) -> None:
    """Eight scanners with a budget of three: three are shunned, the rest observed, and status says so first."""
    site.configure("bans: {budget: {bans_per_minute: 3}}\ndetectors: {port_scan: {maxretry: 2}}")
    site.daemon.start()
    for number in range(8):
        for port in ("100", "101"):
            site.attacker.run(
                "hping3",
                "-q",
                "-S",
                "-c",
                "1",
                "-a",
                f"192.0.2.{number + 1}",
                "-p",
                port,
                site.node.address4,
                check=False,
            )
    wait_for(lambda: len(site.daemon.ask("list", "--observed")) == 8, "eight decisions", lambda: site.daemon.log)
    assert len(site.banned()) == 3
    assert "bans.budget.bans_per_minute" in site.daemon.ask("status")["problems"][0]
    assert site.daemon.run("status").stdout.splitlines()[1].startswith("PROBLEM: more than bans.budget")
    assert site.daemon.metrics()['nodewarden_decisions_total{detector="port_scan",verdict="over_budget"}'] == 5
    assert site.daemon.run("ban", "192.0.2.200").returncode == 0


def test_the_allowlist_by_command_outlives_a_restart(site: Site) -> None:
    """`allow add` ends the bans inside, refuses new ones, survives a kill, and `allow remove` takes it back."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "--for", "2h")
    assert site.daemon.run("allow", "test", "192.0.2.1").returncode == 1
    assert site.daemon.run("allow", "add", "192.0.2.0/24", "nonsense").returncode == 2
    assert len(site.banned()) == 1
    assert site.daemon.run("allow", "add", "192.0.2.0/24", "--reason", "office").returncode == 0
    assert site.banned() == []
    kill(site)
    site.daemon.start()
    done = site.daemon.run("ban", "192.0.2.7")
    assert done.returncode == 1
    assert "192.0.2.0/24 is on the allowlist (allowed by command: office)" in done.stderr
    assert site.daemon.run("allow", "test", "192.0.2.7").returncode == 0
    assert site.daemon.run("allow", "remove", "192.0.2.0/24").returncode == 0
    assert site.daemon.run("allow", "remove", "127.0.0.0/8").returncode == 1
    assert site.daemon.run("ban", "192.0.2.7").returncode == 0


def test_ten_thousand_bans_in_one_command(site: Site) -> None:
    """Ten thousand lines with duplicates, nonsense and allowed ones: the good happen, the bad are named, out and in."""
    lines = [f"198.18.{number >> 8}.{number & 255}" for number in range(10_000)]
    bad = [
        "# a comment",
        "",
        "198.18.0.1",
        "198.18.0.1/16",
        "127.0.0.1",
        "fe80::1%eth0",
        "0.0.0.0/0",
        "::ffff:198.18.0.2",
    ]
    path = site.daemon.configuration_path.parent / "list.txt"
    path.write_text("\n".join(bad + lines) + "\n")
    site.daemon.start()
    done = site.daemon.run("import", str(path), "--for", "2h")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "10000 banned, 2 banned already, 4 refused"
    assert "did you mean 198.18.0.0/16" in done.stderr
    assert len(site.daemon.ask("list")) == 10_000
    assert site.daemon.ask("list", "--within", "198.18.1.0/30", "--sort", "network")[0]["network"] == "198.18.1.0"
    exported = {
        notation: site.daemon.run("export", "--format", notation).stdout for notation in ("plain", "json", "nft")
    }
    assert len(json.loads(exported["json"])) == 10_000
    assert site.daemon.run("unban", "--all").returncode == 0
    for notation, text in exported.items():
        path.write_text(text)
        assert site.daemon.run("import", str(path), "--format", notation).returncode == 0
        assert len(site.daemon.ask("list")) == 10_000
        site.daemon.run("flush")


def test_a_full_disk_stops_no_ban(site: Site) -> None:
    """The state directory is full: bans go on in the kernel, status and metrics say that nothing is saved."""
    state = site.daemon.configuration_path.parent / "state"
    state.mkdir()
    mount = f'mount -t tmpfs -o size=64k none {state} && head -c 64k /dev/zero > {state}/filler; exec "$@"'
    site.daemon.launch("unshare", "-m", "sh", "-c", mount, "sh")
    wait_for(lambda: site.daemon.run("status").returncode == 0, "the daemon", lambda: site.daemon.log)
    assert site.daemon.run("ban", "192.0.2.1").returncode == 0
    assert site.in_kernel("192.0.2.1")
    assert "state is not being saved" in site.daemon.ask("status")["problems"][0]
    assert site.daemon.metrics()["nodewarden_state_saving"] == 0


def test_history_and_escalation_are_told(site: Site) -> None:
    """A ban by hand is in the history on disk, and `why` tells it after a restart."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "--for", "2h", "--reason", "spam")
    kill(site)
    site.daemon.start()
    history = site.daemon.ask("why", "192.0.2.1")["history"]
    assert [(past["what"], past["detector"], past["reason"]) for past in history] == [("ban", "manual", "spam")]
    rows = sqlite3.connect(site.daemon.configuration_path.parent / "state/nodewarden.db")
    assert rows.execute("SELECT count(*) FROM offences").fetchone() == (1,)
    rows.close()


def test_a_ban_cuts_established_connections(site: Site) -> None:
    """The attacker holds a connection open; when banned, its conntrack entry goes and nothing more gets through."""
    site.daemon.start()
    site.node.start(sys.executable, "-m", "http.server", "80")
    wait_for(
        lambda: site.attacker.run("curl", "-s", f"http://{site.node.address4}/", check=False).returncode == 0, "web"
    )
    with site.attacker.entered():
        connection = socket.create_connection((site.node.address4, 80), timeout=5)
    with connection:
        connection.sendall(b"GET / HTTP/1.0\r\n")

        def tracked() -> bool:
            listed = site.node.run("conntrack", "-L", "-s", site.attacker.address4, check=False).stdout
            return "ESTABLISHED" in listed

        assert tracked()
        assert site.daemon.run("ban", site.attacker.address4).returncode == 0
        wait_for(lambda: not tracked(), "the entry to go", lambda: site.daemon.log)
        connection.settimeout(0.5)
        connection.sendall(b"\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    wait_for(lambda: site.daemon.metrics()["nodewarden_connections_cut_total"] >= 1, "the metric")
